"""MLflow's file store: lines of any age, torn files, and what somebody may put into such a folder."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from importing.databases import all_of, steps
from importing.harness import content, everything, fingerprint, stored_points
from importing.reading import SAMPLES, hyperparams, runs_of, unread_of
from trainstore.importing import import_runs, mlflow, mlflow_files
from trainstore.importing.foreign import End, ForeignRun, Notes
from trainstore.importing.places import Place
from trainstore.store import TrainStore

SAMPLE = SAMPLES / "mlflow" / "file" / "mlruns"
MS = 1_780_000_000_000
ID = "0123456789abcdef0123456789abcdef"


def write(folder: Path, files: dict[str, Any] | None = None, *, run_id: str = ID, **meta: Any) -> Path:
    """A store of one experiment with one run; the run's folder."""
    files = {"metrics/loss": f"{MS} 1.0 0\n"} if files is None else files
    experiment = folder / "7"
    run = experiment / run_id
    values = {"artifact_uri": "''", "end_time": MS + 9_000, "experiment_id": "'7'", "lifecycle_stage": "active"}
    values |= {"run_id": run_id, "run_name": "a", "start_time": MS, "status": 3, "tags": "[]"} | meta
    experiment.mkdir(parents=True, exist_ok=True)
    (experiment / "meta.yaml").write_text("artifact_location: /data\nexperiment_id: '7'\nname: project\n")
    for name, body in {"meta.yaml": "".join(f"{k}: {v}\n" for k, v in values.items()), **files}.items():
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
    return run


def only(folder: Path, **options: Any) -> ForeignRun:
    (run,) = runs_of(mlflow, folder, **options).values()
    return run


def test_a_store_is_found_from_above_and_from_inside(tmp_path: Path) -> None:
    """The folder with mlruns in it, mlruns, an experiment, a run: the same run with the same id."""
    run = write(tmp_path / "work" / "mlruns")
    for place in (tmp_path / "work", tmp_path / "work" / "mlruns", run.parent, run):
        assert mlflow.is_at(Place.of(place))
        found = only(place)
        assert (found.uid, found.name) == (ID, "a")
        assert steps(all_of(found)) == [(0, {"loss": 1.0})]
    assert not mlflow.is_at(Place.of(run / "metrics"))


def test_lines_of_every_age_are_read(tmp_path: Path) -> None:
    """Two fields: no step; three; five, with a data set's name and digest."""
    body = f"{MS} 0.5\n{MS + 1} nan 3\n{MS + 2} -inf 4\n{MS + 3} 1e-05 5 data c0ffee\n"
    write(tmp_path, {"metrics/loss": body})
    found = steps(all_of(only(tmp_path)))
    assert [step for step, _ in found] == [0, 3, 4, 5]
    values = [metrics["loss"] for _, metrics in found]
    assert math.isnan(values[1])
    assert [values[0], *values[2:]] == [0.5, -math.inf, 1e-05]


def test_a_torn_line_is_named_and_comes_when_it_is_whole(tmp_path: Path, store: TrainStore) -> None:
    """Half of a number is another number: what has no line end is not read."""
    run = write(tmp_path, {"metrics/loss": f"{MS} 1.0 0\n{MS} 0.1"}, status=1, end_time="null")
    result = import_runs(store, tmp_path)
    assert (result.points, result.runs[0].damage) == (1, ["metrics/loss: line 2 is torn at the end of the file"])
    with (run / "metrics" / "loss").open("a") as opened:
        opened.write(f"25 1\n{MS} 0.0625 2\n")
    again = import_runs(store, tmp_path)
    assert (again.points, again.runs[0].damage) == (2, [])
    assert stored_points(store) == {"a": [("loss", 0, "1.0"), ("loss", 1, "0.125"), ("loss", 2, "0.0625")]}
    assert import_runs(store, tmp_path).counts["unchanged"] == 1


def test_lines_that_are_none_are_counted_and_the_others_read(tmp_path: Path) -> None:
    """Words, too many fields, numbers of a hundred digits, a line of a megabyte."""
    odd = b"\nwort 1 2\n1 2 3 4\n" + b"9" * 100 + b" 1 1\n" + b"1 1 " + b"1" * 5_000 + b"\n" + b"x" * 1_000_000 + b"\n"
    write(tmp_path, {"metrics/loss": f"{MS} 1.0 0\n".encode() + odd + f"{MS} 0.5 1\n".encode()})
    run = only(tmp_path)
    assert steps(all_of(run)) == [(0, {"loss": 1.0}), (1, {"loss": 0.5})]
    assert run.sessions[0].damage == ["metrics/loss: not “time value step”: 6 lines, the first is line 2"]


def test_metrics_are_merged_by_steps_in_memory_or_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files whose steps go back and forth, metrics at the same steps, the same step twice: the same in either way."""
    bodies = {
        f"metrics/{name}": "".join(f"{MS + place} {place / 8} {place * factor % 11}\n" for place in range(40))
        for name, factor in (("a", 3), ("b/c", 7), ("größe", 1))
    }
    bodies["metrics/nan"] = f"{MS} nan 3\n{MS} inf 3\n"
    write(tmp_path, bodies)
    in_memory = steps(all_of(only(tmp_path)))
    assert [step for step, _ in in_memory] == sorted(step for step, _ in in_memory)
    assert sum(len(metrics) for _, metrics in in_memory) == 122
    monkeypatch.setattr(mlflow_files, "MAX_IN_MEMORY", 0)
    assert repr(steps(all_of(only(tmp_path)))) == repr(in_memory)


def test_names_of_files_are_names_of_metrics(tmp_path: Path, store: TrainStore) -> None:
    """Unicode, line ends, dots, control characters, bytes that are no UTF-8, tags in folders."""
    line = f"{MS} 1.0 0\n"
    run = write(tmp_path, {
        "metrics/größe 模型": line, "metrics/a\nb": line, "metrics/..c": line, "metrics/\x1b[2J": line,
        "tags/a/b": "c", "tags/mlflow.note.content": "# Notizen\n", "params/lr": "0.1", "params/empty": "",
    })  # fmt: skip
    Path(os.fsdecode(os.fsencode(run / "metrics") + b"/\xff\xfe")).write_text(line)
    entries = all_of(only(tmp_path))
    assert hyperparams(entries, "tag") == {"a/b": "c"}
    assert hyperparams(entries) == {"lr": 0.1, "empty": ""}
    assert [entry.text for entry in entries if isinstance(entry, Notes)] == ["# Notizen\n"]
    result = import_runs(store, tmp_path)
    assert result.points == 5
    names = {name for name, _, _ in stored_points(store)["a"]}
    assert {"größe 模型", "..c"} <= names
    assert len(names) == 5
    assert import_runs(store, tmp_path).counts["unchanged"] == 1


def test_yaml_with_tags_is_never_executed(tmp_path: Path, store: TrainStore) -> None:
    """An object's tag in meta.yaml is a text; an alias bomb is refused, and the run is named."""
    touched = tmp_path / "touched"
    write(tmp_path / "m", run_name=f"!!python/object/apply:os.system ['touch {touched}']")
    bomb = "&a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"b{n}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(9)
    )
    write(tmp_path / "m", run_id="b" * 32, tags=bomb)
    result = import_runs(store, tmp_path / "m")
    assert [run.uid.replace("-", "") for run in result.runs] == [ID]
    assert list(result.unread) == [f"7/{'b' * 32}/meta.yaml"]
    assert not touched.exists()


def test_a_run_whose_meta_yaml_is_gone_or_broken_is_named(tmp_path: Path) -> None:
    """Its files are there, but nobody knows which run they are; the others are read."""
    write(tmp_path)
    gone, empty, other = (write(tmp_path, run_id=letter * 32) for letter in "abc")
    (gone / "meta.yaml").unlink()
    (empty / "meta.yaml").write_bytes(b"")
    (other / "meta.yaml").write_text("experiment_id: '7'\nartifact_uri: [\n")
    assert [run.uid for run in runs_of(mlflow, tmp_path).values()] == [ID]
    assert set(unread_of(mlflow, tmp_path)) == {f"7/{'a' * 32}", f"7/{'b' * 32}", f"7/{'c' * 32}/meta.yaml"}


def test_the_trash_is_left_out(tmp_path: Path) -> None:
    """Runs that are marked, and experiments in .trash; with deleted they come."""
    write(tmp_path)
    write(tmp_path, run_id="b" * 32, lifecycle_stage="deleted", run_name="b")
    write(tmp_path / ".trash", run_id="c" * 32, run_name="c")
    assert list(runs_of(mlflow, tmp_path)) == ["a"]
    assert "2 runs" in unread_of(mlflow, tmp_path)
    assert sorted(runs_of(mlflow, tmp_path, deleted=True)) == ["a", "b", "c"]


def test_links_out_of_the_store_are_not_followed(tmp_path: Path) -> None:
    """Neither a metric's file nor a folder of parameters that is elsewhere is read."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(f"{MS} 1.0 0\n")
    run = write(tmp_path / "mlruns")
    (run / "metrics" / "link").symlink_to(outside / "secret")
    (run / "params").symlink_to(outside)
    entries = all_of(only(tmp_path / "mlruns"))
    assert steps(entries) == [(0, {"loss": 1.0})]
    assert hyperparams(entries) == {}


def test_a_run_that_is_there_twice_is_one_run(tmp_path: Path, store: TrainStore) -> None:
    """In a folder that is a copy, it is named; in a database beside the files, it is the same run."""
    run = write(tmp_path / "mlruns")
    shutil.copytree(run.parent, tmp_path / "mlruns" / "8")
    assert list(unread_of(mlflow, tmp_path)) == [f"mlruns/8/{ID}"]
    shutil.rmtree(tmp_path / "mlruns")
    shutil.copytree(SAMPLE, tmp_path / "mlruns")
    shutil.copy(SAMPLES / "mlflow" / "sqlite" / "mlflow.db", tmp_path)
    result = import_runs(store, tmp_path)
    assert (result.counts["new"], result.points) == (6, 282)


def test_states_by_number_and_what_belongs_to_no_metric(tmp_path: Path) -> None:
    """Killed runs were interrupted, running ones have no end; data sets, models and traces are counted."""
    run = write(tmp_path, status=5)
    (end,) = [entry for entry in all_of(only(tmp_path)) if isinstance(entry, End)]
    assert (end.status, end.at) == ("interrupted", (MS + 9_000) * 1_000)
    write(tmp_path, status=1)
    assert not [entry for entry in all_of(only(tmp_path)) if isinstance(entry, End)]
    for path in (run / "inputs" / "x" / "meta.yaml", run.parent / "models" / "m-1" / "meta.yaml",
                 run.parent / "traces" / "t" / "trace_info.yaml", run / "artifacts" / "y" / "meta.yaml"):  # fmt: skip
        path.parent.mkdir(parents=True)
        path.write_text("experiment_id: '7'\nartifact_uri: x\nrun_id: abc\n" if "artifacts" in path.parts else "a: b\n")
    found = only(tmp_path)
    all_of(found)
    assert dict(found.sessions[0].left_out) == {"data set": 1}
    assert set(unread_of(mlflow, tmp_path)) == {"models", "traces"}


def test_the_store_stays_as_it_is(tmp_path: Path, store: TrainStore) -> None:
    """Imported twice, no file is written, and what came is there once."""
    place = shutil.copytree(SAMPLE, tmp_path / "there" / "mlruns")
    before = fingerprint(place)
    import_runs(store, place)
    rows, values = everything(store), content(store)
    import_runs(store, place)
    assert (everything(store), content(store)) == (rows, values)
    assert fingerprint(place) == before
