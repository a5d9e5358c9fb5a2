"""DVCLive's folders: series, parameters, the summary, and what is named when it cannot be read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from importing.reading import SAMPLES, hyperparams, points, runs_of, true_points, truth, unread_of
from trainstore.errors import SourceError
from trainstore.importing import dvclive
from trainstore.importing.foreign import Entry, ForeignRun, Step
from trainstore.importing.places import Place

SAMPLE = SAMPLES / "dvclive"


def entries(run: ForeignRun) -> list[Entry]:
    return list(run.sessions[0].entries())


def write(folder: Path, *, old: bool = True, **series: str) -> Path:
    metrics = folder / "plots" / "metrics"
    metrics.mkdir(parents=True, exist_ok=True)
    for name, rows in series.items():
        path = metrics / f"{name}.tsv"
        path.write_text(f"step\t{name}\n{rows}")
        if old:
            os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder


def test_the_sample_s_runs_are_as_the_truth() -> None:
    """Points with repeated steps, typed parameters, times where there are time stamps."""
    found = runs_of(dvclive, SAMPLE)
    assert set(found) == {run["source_id"] for run in truth("dvclive")}
    for run in truth("dvclive"):
        read = entries(found[run["source_id"]])
        assert points(read) == true_points(run["points"])
        assert hyperparams(read) == run["params"]
        steps = [entry.step for entry in read if isinstance(entry, Step)]
        assert steps == sorted(steps)
    times = [entry.at for entry in entries(found["time"]) if isinstance(entry, Step)]
    assert times == [1795878416632000, 1795878416645000, 1795878416653000]
    assert found["time"].started_at == times[0]
    resumed = [
        entry.metrics["loss"] for entry in entries(found["resumed"]) if isinstance(entry, Step) and entry.step == 21
    ]
    assert resumed == [0.090909, 0.340909]


def test_a_run_is_the_same_wherever_the_source_begins(tmp_path: Path) -> None:
    """The folder of a run, the one around it, and a copy."""
    shutil.copytree(SAMPLE / "größe", tmp_path / "somewhere" / "größe")
    whole = runs_of(dvclive, SAMPLE)["größe"]
    for source in (SAMPLE / "größe", tmp_path, tmp_path / "somewhere"):
        (run,) = runs_of(dvclive, source).values()
        assert run.identity == whole.identity
        assert run.name == ("somewhere/größe" if source == tmp_path else "größe")
        assert run.sessions[0].stamp == whole.sessions[0].stamp


def test_what_stands_in_the_summary_alone_is_kept(tmp_path: Path) -> None:
    """Values put there by hand are at its step; nested names are joined; what has a series is not doubled."""
    write(tmp_path / "run", loss="0\t1.0\n1\t0.5\n")
    summary = {"step": 1, "loss": 0.5, "best": {"acc": 0.9, "epoch": 1}}
    (tmp_path / "run/metrics.json").write_text(json.dumps(summary))
    (run,) = runs_of(dvclive, tmp_path).values()
    expected = [["loss", 0, 1.0], ["loss", 1, 0.5], ["best/acc", 1, 0.9], ["best/epoch", 1, 1]]
    assert points(entries(run)) == true_points(expected)


def test_a_change_of_any_file_is_a_change_of_the_run(tmp_path: Path) -> None:
    """Its stamp tells a new row, another parameter and another summary; its identity stays."""
    folder = write(tmp_path / "run", loss="0\t1.0\n1\t0.5\n")
    stamps, identities = set(), set()
    changes: list[tuple[str, str]] = [
        ("params.yaml", "lr: 1\n"),
        ("params.yaml", "lr: 2\n"),
        ("metrics.json", "{}"),
        ("plots/metrics/acc.tsv", "step\tacc\n1\t0.5\n"),
        ("plots/metrics/loss.tsv", "step\tloss\n0\t1.0\n1\t0.5\n2\t0.2\n"),
    ]
    for name, content in changes:
        (folder / name).write_text(content)
        (run,) = runs_of(dvclive, tmp_path).values()
        stamps.add(run.sessions[0].stamp)
        identities.add(run.identity)
    assert len(stamps) == len(changes)
    assert len(identities) == 1


def test_a_run_that_has_just_begun_waits_for_its_second_step(tmp_path: Path) -> None:
    """Its first metric would be another's name a moment later."""
    folder = write(tmp_path / "run", old=False, loss="0\t1.0\n")
    assert runs_of(dvclive, tmp_path) == {}
    assert unread_of(dvclive, tmp_path) == {
        "run/plots/metrics": "has one step so far; it is read when there is another, or after a minute"
    }
    write(folder, old=False, acc="0\t0.1\n1\t0.2\n")
    (run,) = runs_of(dvclive, tmp_path).values()
    assert len(points(entries(run))) == 3


def test_damaged_files_are_named_and_the_others_read(tmp_path: Path) -> None:
    """Torn rows, a file of other columns, torn parameters and summaries."""
    folder = write(tmp_path / "run", loss="0\t1.0\n1\t0.5\n", acc="0\t0.1\n1\t0.2\n2\t0.")
    (folder / "plots/metrics/odd.tsv").write_text("a\tb\tc\n1\t2\t3\n")
    (folder / "plots/metrics/empty.tsv").write_text("")
    (folder / "params.yaml").write_text("a: [1\n")
    (folder / "metrics.json").write_text("{")
    (folder / "plots/images/1").mkdir(parents=True)
    (folder / "plots/images/1/a.png").write_bytes(b"png")
    (run,) = runs_of(dvclive, tmp_path).values()
    assert len(points(entries(run))) == 4
    assert run.sessions[0].left_out == {"image": 1}
    assert [line.partition(":")[0] for line in run.sessions[0].damage] == [
        "run/plots/metrics/acc.tsv",
        "run/plots/metrics/empty.tsv has the columns none, not step and a metric",
        "run/plots/metrics/odd.tsv has the columns a, b, c, not step and a metric",
        "run/params.yaml is not YAML in line 2",
        "run/metrics.json is not JSON",
    ]


@pytest.mark.parametrize("series", [{}, {"loss": "x\t1\n"}])
def test_a_folder_without_a_row_is_named(tmp_path: Path, series: dict[str, Any]) -> None:
    """There is a run, with nothing in it yet."""
    write(tmp_path / "run", **series)
    (tmp_path / "run/plots/metrics/other.tsv").write_text("step\tother\n")
    (why,) = unread_of(dvclive, tmp_path).values()
    assert why.startswith("cannot be read: ")


def test_many_series_are_read_a_few_hundred_files_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are open at once."""
    monkeypatch.setattr(dvclive, "_AT_ONCE", 3)
    write(tmp_path / "run", **{f"m{number}": "0\t1\n1\t2\n" for number in range(10)})
    (run,) = runs_of(dvclive, tmp_path).values()
    assert len(points(entries(run))) == 20


def test_a_folder_without_series_is_told(tmp_path: Path) -> None:
    """It is not taken for DVCLive's."""
    assert not dvclive.is_at(Place.of(tmp_path))
    with pytest.raises(SourceError, match=r"holds no plots/metrics/\*\.tsv"):
        runs_of(dvclive, tmp_path)
