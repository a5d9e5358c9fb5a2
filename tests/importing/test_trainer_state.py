"""Hugging Face's trainer_state.json: its runs, that every entry is there, and what is named when it is not."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from importing.reading import SAMPLES, points, runs_of, true_points, truth, unread_of
from trainstore.errors import SourceError
from trainstore.importing import trainer_state
from trainstore.importing.foreign import End, Entry, ForeignRun, Hyperparams, Step
from trainstore.importing.places import Place

SAMPLE = SAMPLES / "trainer_state"
OLD = 1_700_000_000


def entries(run: ForeignRun) -> list[Entry]:
    return list(run.sessions[0].entries())


def write(folder: Path, history: list[Any], *, at: float = OLD, **state: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    steps = [entry["step"] for entry in history if isinstance(entry, dict) and isinstance(entry.get("step"), int)]
    given = {"global_step": max(steps, default=0), "max_steps": 1_000, "logging_steps": 1, "log_history": history}
    path.write_text(json.dumps(given | state))
    os.utime(path, (at, at))
    return path


def losses(*steps: int) -> list[dict[str, Any]]:
    return [{"step": step, "epoch": step / 10, "loss": 1 / step} for step in steps]


def test_the_sample_has_every_point_of_the_truth() -> None:
    """Runs, points, epochs, settings and ends are as the Trainer logged them."""
    found = runs_of(trainer_state, SAMPLE)
    assert set(found) == {run["source_id"] for run in truth("trainer_state")}
    for run in truth("trainer_state"):
        assert points(entries(found[run["source_id"]])) == true_points(run["points"])
    first, *_, last = entries(found["größe"])
    assert first == Hyperparams(
        {"num_train_epochs": 4, "max_steps": 30, "train_batch_size": 8, "logging_steps": 1, "eval_steps": 10}
        | {"save_steps": 10}
    )
    assert isinstance(last, End)
    assert last.status == "finished"
    rows = [entry for entry in entries(found["größe"]) if isinstance(entry, Step)]
    assert [row.step for row in rows] == sorted(row.step for row in rows)
    assert all(row.epoch == pytest.approx(row.step / 8) for row in rows)


@pytest.mark.parametrize(
    ("source", "count"),
    [("", 107), ("größe", 107), ("größe/checkpoint-20", 68), ("größe/checkpoint-20/trainer_state.json", 68)],
)
def test_a_run_is_the_same_wherever_the_source_begins(source: str, count: int) -> None:
    """A checkpoint, its folder, the folder of all runs and the file alone name the same run."""
    run = runs_of(trainer_state, SAMPLE / source)["größe"]
    assert run.identity == runs_of(trainer_state, SAMPLE)["größe"].identity
    assert run.sessions[0].identity == run.identity
    assert len(points(entries(run))) == count


def test_the_checkpoint_of_the_greatest_step_counts(tmp_path: Path) -> None:
    """Checkpoints are ordered by their numbers, not by their names or times; the run goes on in the next import."""
    write(tmp_path / "out/checkpoint-9", losses(1, 9), at=OLD + 100)
    (before,) = runs_of(trainer_state, tmp_path).values()
    write(tmp_path / "out/checkpoint-100", losses(1, 9, 100))
    (run,) = runs_of(trainer_state, tmp_path).values()
    assert run.where == "out/checkpoint-100/trainer_state.json"
    assert [step for _, step, _ in points(entries(run))] == [1, 9, 100]
    assert run.identity == before.identity
    assert run.sessions[0].stamp != before.sessions[0].stamp


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_read(tmp_path: Path) -> None:
    """A torn, an empty and a foreign file are named with what is wrong; what is whole is there."""
    write(tmp_path / "checkpoint-10", losses(1, 10))
    torn = write(tmp_path / "checkpoint-20", losses(1, 10, 20))
    torn.write_bytes(torn.read_bytes()[:-9])
    write(tmp_path / "other", [], global_step=0)
    (tmp_path / "third").mkdir()
    (tmp_path / "third/trainer_state.json").write_text("[1]")
    unread = unread_of(trainer_state, tmp_path)
    assert set(unread) == {f"{name}/trainer_state.json" for name in ("checkpoint-20", "other", "third")}
    assert unread["checkpoint-20/trainer_state.json"].startswith("is not JSON")
    assert unread["other/trainer_state.json"].startswith("has an empty log_history")
    assert unread["third/trainer_state.json"].startswith("has no log_history")
    (run,) = runs_of(trainer_state, tmp_path).values()
    assert [step for _, step, _ in points(entries(run))] == [1, 10]
    shutil.rmtree(tmp_path / "checkpoint-10")
    with pytest.raises(SourceError, match=r"checkpoint-20/trainer_state\.json is not JSON"):
        runs_of(trainer_state, tmp_path)


def test_the_loss_is_a_window_where_not_every_step_is_logged(tmp_path: Path) -> None:
    """With logging_steps above 1 the Trainer's loss is a mean, named as our callback names it, with its steps."""
    history = [*losses(10, 20), {"step": 20, "eval_loss": 0.5}]
    write(tmp_path / "out", history, logging_steps=10)
    rows = [entry for entry in entries(runs_of(trainer_state, tmp_path)["out"]) if isinstance(entry, Step)]
    assert [(row.step, dict(row.metrics)) for row in rows] == [
        (10, {"loss_window": 0.1}),
        (20, {"loss_window": 0.05}),
        (20, {"eval_loss": 0.5}),
    ]
    assert rows[1].details == {"loss_window": {"first_step": 11, "last_step": 20}}


@pytest.mark.parametrize(
    ("history", "state", "age", "status"),
    [
        (losses(1, 2), {}, 10_000, "interrupted"),
        (losses(1, 2), {}, 10, None),
        (losses(1, 2), {"max_steps": 2}, 10, "finished"),
        ([*losses(1, 2), {"step": 2, "train_runtime": 1.0}], {}, 10, "finished"),
    ],
)
def test_how_a_training_ended(
    tmp_path: Path, history: list[Any], state: dict[str, Any], age: float, status: str | None
) -> None:
    """Finished by its steps or its summary; interrupted if no checkpoint came for an hour; else it goes on."""
    write(tmp_path / "out", history, at=time.time() - age, **state)
    run = runs_of(trainer_state, tmp_path)["out"]
    assert [entry.status for entry in entries(run) if isinstance(entry, End)] == ([status] if status else [])


def test_the_model_s_configuration_is_taken_and_no_pickle_is_opened(tmp_path: Path) -> None:
    """config.json becomes facts of the model; training_args.bin is counted, never loaded; a torn config is damage."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    write(tmp_path / "out/checkpoint-2", losses(1, 2))
    (tmp_path / "out/checkpoint-2/training_args.bin").write_bytes(pickle.dumps(Trap()))
    config = tmp_path / "out/config.json"
    config.write_text('{"model_type": "gpt2", "n_layer": 2}')
    (run,) = runs_of(trainer_state, tmp_path).values()
    assert Hyperparams({"config": {"model_type": "gpt2", "n_layer": 2}}, "mth") in entries(run)
    assert run.sessions[0].left_out == {"pickle (training_args.bin)": 1}
    assert not (tmp_path / "executed").exists()
    config.write_text('{"model_type": ')
    (run,) = runs_of(trainer_state, tmp_path).values()
    assert len(points(entries(run))) == 2
    assert [line.split(":")[0] for line in run.sessions[0].damage] == ["out/config.json is not JSON"]


def test_a_training_that_our_callback_recorded_is_that_run(tmp_path: Path) -> None:
    """The checkpoint names the run: its uid is taken; of two folders that name it, the one that is further counts."""
    uid = str(uuid.uuid4())
    saved = {"trainstore": {"args": {}, "attributes": {"run_uid": uid}}}
    write(tmp_path / "first/checkpoint-2", losses(1, 2), stateful_callbacks=saved)
    write(tmp_path / "second/checkpoint-3", losses(1, 2, 3), stateful_callbacks=saved)
    write(tmp_path / "third", losses(4), stateful_callbacks={"trainstore": {"attributes": [uid]}})
    found = runs_of(trainer_state, tmp_path)
    assert {run.name: run.uid for run in found.values()} == {"second": uid, "third": None}
    assert unread_of(trainer_state, tmp_path) == {
        "first/checkpoint-2/trainer_state.json": (
            "is an earlier state of the run that second/checkpoint-3/trainer_state.json has, too"
        )
    }


def test_runs_that_began_alike_stay_apart(tmp_path: Path) -> None:
    """Two folders of one name whose first entries are equal are two runs."""
    for place in ("a/out", "b/out"):
        write(tmp_path / place, losses(1, 2))
    found = runs_of(trainer_state, tmp_path)
    assert len({run.identity for run in found.values()}) == 2


def test_odd_entries_are_left_out_and_counted(tmp_path: Path) -> None:
    """Entries without a step, with a step that is none, or that are no mapping are counted; trials are parameters."""
    history: list[Any] = [
        *losses(1),
        {"loss": 1},
        [1],
        {"step": "x"},
        {"step": -1},
        {"step": 2.0, "loss": 2, "epoch": "a"},
    ]
    write(tmp_path / "out", history, global_step=2, trial_name="t", trial_params={"lr": 0.1}, max_steps=None)
    run = runs_of(trainer_state, tmp_path)["out"]
    found = entries(run)
    assert [(entry.step, entry.epoch) for entry in found if isinstance(entry, Step)] == [(1, 0.1), (2, None)]
    assert run.sessions[0].left_out == {"entry of log_history without a step": 4}
    assert found[0] == Hyperparams({"logging_steps": 1, "trial_name": "t", "lr": 0.1})


def test_a_folder_without_such_a_file_is_told(tmp_path: Path) -> None:
    """It is not taken for the Trainer's."""
    assert not trainer_state.is_at(Place.of(tmp_path))
    with pytest.raises(SourceError, match=r"holds no trainer_state\.json"):
        runs_of(trainer_state, tmp_path)
