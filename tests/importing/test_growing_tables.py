"""Files that are read as a whole each time, while they grow or are written anew: in the end as if imported once."""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from importing.harness import SAMPLES, Source, content, stored_points
from importing.sources import SOURCES
from trainstore import TrainStore
from trainstore.errors import SourceError
from trainstore.importing import import_runs

GROWING = [source for source in SOURCES if source.tool in ("csv", "dvclive", "lightning_csv")]


@pytest.mark.parametrize("source", GROWING, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_rows_that_are_appended_are_brought(
    source: Source, seed: int, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """Every file is cut anywhere, imported, made longer, and imported again; in the middle of a number, too."""
    random_ = random.Random(f"{source}-{seed}")
    whole, part = source.copy(tmp_path / "whole"), source.copy(tmp_path / "part")
    now = time.time()
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    for path in whole.rglob("*"):
        os.utime(path, (now, now))
    with TrainStore(new_database("sqlite")) as once, TrainStore(new_database("sqlite")) as piecewise:
        source.bring(once, whole)
        for share in (0.4, 0.7, 1.0):
            for name in files:
                text = (whole / name).read_bytes()
                begin = text.index(b"\n", text.index(b"\n") + 1) + 1 if text.count(b"\n") > 1 else len(text)
                cut = len(text) if share == 1 or name.suffix == ".parquet" else int(share * len(text))
                cut = max(begin, cut + random_.randrange(-5, 5)) if share < 1 else cut
                (part / name).write_bytes(text[:cut])
                os.utime(part / name, (now, now))
            source.bring(piecewise, part)
        assert stored_points(piecewise) == stored_points(once)
        assert content(piecewise) == content(once)


def test_a_trainer_s_checkpoints_are_brought_one_after_the_other(store: TrainStore, tmp_path: Path) -> None:
    """The run goes on with each of them, until it has ended; what came before is not sent again."""
    (source,) = (one for one in SOURCES if one.tool == "trainer_state")
    found: list[tuple[str, int]] = []
    for name in ("checkpoint-10", "checkpoint-20", "checkpoint-30", ""):
        path = tmp_path / "größe" / name / "trainer_state.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((SAMPLES / "trainer_state" / "größe" / name / "trainer_state.json").read_bytes())
        (run,) = import_runs(store, tmp_path / "größe").runs
        found.append((run.state, run.points))
        status = store.list_runs()["status"].iloc[0]
        assert status == ("running" if name in ("checkpoint-10", "checkpoint-20") else "finished")
    assert [state for state, _ in found] == ["new", "updated", "updated", "updated"]
    assert sum(points for _, points in found) == 107
    assert stored_points(store)["größe"] == source.expected()["größe"]


def test_a_training_that_was_recorded_here_is_not_doubled(store: TrainStore, tmp_path: Path) -> None:
    """Its checkpoint names the run: it is skipped, with the reason, and nothing changes."""
    with store.start_run(name="recorded") as run:
        run.log({"loss": 1.0}, step=1)
    history = [{"step": 1, "loss": 1.0}]
    saved = {"trainstore": {"args": {}, "attributes": {"run_uid": run.uid}}}
    state = {"global_step": 1, "max_steps": 1, "log_history": history, "stateful_callbacks": saved}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    (skipped,) = import_runs(store, tmp_path).runs
    assert (skipped.uid, skipped.state) == (run.uid, "skipped")
    assert "here already" in (skipped.reason or "")
    assert stored_points(store) == {"recorded": [("loss", 1, "1.0")]}
    saved["trainstore"]["attributes"]["run_uid"] = str(uuid.uuid4())
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    (other,) = import_runs(store, tmp_path).runs
    assert (other.uid, other.state) == (saved["trainstore"]["attributes"]["run_uid"], "new")


def test_secrets_in_parameters_and_columns_are_redacted(tmp_path: Path, new_database: Callable[..., str]) -> None:
    """Of YAML, JSON and CSV alike; none reaches the store."""
    secret = "hf_" + "aB3dE5gH7jK9mN1pQ3rS5tU7vW9xY1z"
    version = tmp_path / "logs" / "version_0"
    version.mkdir(parents=True)
    (version / "metrics.csv").write_text(f"loss,step,note\n1,0,{secret}\n")
    (version / "hparams.yaml").write_text(f"hub_token: {secret}\nnested:\n  text: token={secret}\n")
    out = tmp_path / "out"
    out.mkdir()
    history = [{"step": 1, "loss": 1.0, "note": secret}]
    (out / "trainer_state.json").write_text(json.dumps({"log_history": history, "trial_params": {"api_key": secret}}))
    with TrainStore(new_database("sqlite")) as store:
        for source in ("logs", "out"):
            assert import_runs(store, tmp_path / source).counts["new"] == 1
        path = Path(store.url.removeprefix("sqlite:///"))
    assert secret.encode() not in b"".join(
        one.read_bytes() for one in path.parent.glob(f"{path.name}*") if one.is_file()
    )


def test_a_source_that_is_no_run_of_any_tool_is_told(tmp_path: Path, new_database: Callable[..., str]) -> None:
    """A folder of CSV files without steps: the error lists the columns, and which option names one."""
    path = tmp_path / "tables" / "a.csv"
    path.parent.mkdir()
    path.write_text("x,y\n1,2\n")
    with TrainStore(new_database("sqlite")) as store, pytest.raises(SourceError, match=r"--step: its columns are x, y"):
        import_runs(store, path.parent)
