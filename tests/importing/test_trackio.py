"""Trackio's databases: which runs they hold, of any age, and what is kept of them."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from importing.databases import Inserted, all_of, made, steps
from importing.harness import everything, fingerprint, stored_points
from importing.reading import SAMPLES, events, hyperparams, runs_of, truth, unread_of
from trainstore.errors import SourceError
from trainstore.importing import import_runs, trackio
from trainstore.store import TrainStore

SAMPLE = SAMPLES / "trackio" / "store"
TABLES = """
CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);
CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id TEXT, run_name TEXT, config TEXT, created_at TEXT);
CREATE TABLE system_metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, metrics TEXT);
CREATE TABLE alerts (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, title TEXT, text TEXT,
    level TEXT, step INTEGER, alert_id TEXT);
"""
ID = "0123456789abcdef0123456789abcdef"


def at(second: int) -> str:
    return f"2026-05-01T12:00:{second:02}+00:00"


def logged(step: Any, second: int = 0, **metrics: Any) -> Inserted:
    return "metrics", (None, ID, at(second), "a", step, json.dumps(metrics).encode())


def test_the_sample_s_runs_are_as_they_were_logged() -> None:
    """Names, ids, projects, parameters and groups; steps and values are compared by the tests of every source."""
    found = runs_of(trackio, SAMPLE)
    assert set(found) == {run["name"] for run in truth("trackio")}
    for run in truth("trackio"):
        one = found[run["name"]]
        assert (one.uid, one.project) == (run["source_id"], "portabilität")
        entries = all_of(one)
        assert hyperparams(entries) == run["params"]
        assert hyperparams(entries, "tag") == ({"group": run["group"]} if "group" in run else {})
        assert one.sessions[0].written_at == max(entry.at for entry in entries if hasattr(entry, "step"))


def test_numbers_that_trackio_writes_as_texts_are_numbers(tmp_path: Path) -> None:
    """NaN and infinities, in lists and in what is nested, too; other texts stay, pictures are counted."""
    path = made(
        tmp_path / "p.db",
        TABLES,
        logged(
            0,
            a="NaN",
            b={"c": "-Infinity", "d": {"e": "text"}},
            f=["Infinity", 1],
            g={"_type": "trackio.image", "file": "x"},
        ),
    )
    (run,) = runs_of(trackio, path).values()
    ((step, metrics),) = steps(all_of(run))
    assert math.isnan(metrics.pop("a"))
    assert (step, metrics) == (0, {"b.c": -math.inf, "b.d.e": "text", "f": [math.inf, 1]})
    assert dict(run.sessions[0].left_out) == {"image": 1}


def test_a_file_of_before_there_were_ids_is_read_by_names(tmp_path: Path) -> None:
    """The run's identity is the project's name and its own, wherever the file lies."""
    script = "CREATE TABLE metrics (id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);"
    rows: list[Inserted] = [("metrics", (None, at(n), name, 0, '{"loss": 1}')) for n, name in enumerate("ab")]
    one, other = (made(tmp_path / folder / "p.db", script, *rows) for folder in ("one", "other"))
    found = runs_of(trackio, one)
    assert [(run.name, run.uid, run.identity) for run in found.values()] == [("a", None, "p:a"), ("b", None, "p:b")]
    assert [run.identity for run in runs_of(trackio, other).values()] == ["p:a", "p:b"]


def test_several_projects_of_a_folder_are_projects(tmp_path: Path, store: TrainStore) -> None:
    """A file each; a run of the same name in two of them is two runs. Other databases between them are no obstacle."""
    made(tmp_path / "one.db", TABLES, logged(0, loss=1.0))
    made(tmp_path / "two.db", TABLES, ("metrics", (None, "f" * 32, at(1), "a", 0, '{"loss": 2.0}')))
    made(tmp_path / "else.db", "CREATE TABLE thing (a)")
    result = import_runs(store, tmp_path)
    assert sorted((run.project, run.name) for run in result.runs) == [("one", "a"), ("two", "a")]


def test_what_was_sampled_of_the_machine_is_at_the_step_before_it(tmp_path: Path) -> None:
    """As with our own system metrics; what was sampled before the first step is counted."""
    path = made(
        tmp_path / "p.db",
        TABLES,
        logged(0, 10, loss=1.0),
        logged(1, 20, loss=0.5),
        *(
            ("system_metrics", (None, ID, at(second), "a", json.dumps({"gpu/0/power": second})))
            for second in (5, 12, 25)
        ),
    )
    (run,) = runs_of(trackio, path).values()
    assert steps(all_of(run)) == [
        (0, {"loss": 1.0}), (0, {"system/gpu/0/power": 12}), (1, {"loss": 0.5}), (1, {"system/gpu/0/power": 25}),
    ]  # fmt: skip
    assert dict(run.sessions[0].left_out) == {"system metric": 1}


def test_alerts_are_events(tmp_path: Path) -> None:
    """With our names of their levels."""
    path = made(
        tmp_path / "p.db",
        TABLES,
        logged(0, loss=1.0),
        ("alerts", (1, ID, at(3), "a", "high", "loss", "warn", 0, "x")),
        ("alerts", (2, ID, at(4), "a", "low", None, "error", None, "y")),
    )
    (run,) = runs_of(trackio, path).values()
    assert [(event.kind, event.step, event.details) for event in events(all_of(run))] == [
        ("alert", 0, {"title": "high", "text": "loss", "level": "warn"}),
        ("alert", None, {"title": "low", "text": "", "level": "error"}),
    ]


def test_a_run_that_is_resumed_gets_its_new_values_and_keeps_the_old(tmp_path: Path, store: TrainStore) -> None:
    """Steps logged again: the later value counts. A configuration that was overwritten does not take ours away."""
    path = made(tmp_path / "p.db", TABLES, logged(0, 0, loss=1.0), logged(1, 0, loss=0.5),
                ("configs", (1, ID, "a", '{"lr": 0.1}', at(0))))  # fmt: skip
    assert import_runs(store, path).points == 2
    made(path, "UPDATE configs SET config = '{}'", logged(1, 5, loss=0.6), logged(2, 5, loss=0.4))
    again = import_runs(store, path)
    assert (again.points, again.runs[0].state) == (2, "updated")
    (points,) = stored_points(store).values()
    assert points == [("loss", 0, "1.0"), ("loss", 1, "0.5"), ("loss", 1, "0.6"), ("loss", 2, "0.4")]
    frame = store.list_runs()
    assert (frame["metric__loss"].tolist(), frame["hp__lr"].tolist()) == ([0.4], [0.1])
    rows = everything(store)
    assert import_runs(store, path).counts["unchanged"] == 1
    assert everything(store) == rows


def test_how_a_run_ended_is_assumed_from_its_last_row(tmp_path: Path, store: TrainStore) -> None:
    """Nothing logged for an hour: finished. Who copied the file when does not count."""
    path = made(tmp_path / "p.db", TABLES, logged(0, loss=1.0))
    import_runs(store, path)
    assert store.list_runs()["status"].tolist() == ["finished"]
    assert [line for line in everything(store)["event"] if "assumed" in line]


def test_rows_that_cannot_be_read_are_named(tmp_path: Path, store: TrainStore) -> None:
    """Broken JSON, JSON nested too deep, a list, a step that is a text, times that are none."""
    path = made(
        tmp_path / "p.db",
        TABLES,
        logged(0, loss=1.0),
        logged("x", loss=2.0),
        ("metrics", (None, ID, at(0), "a", 1, "{")),
        ("metrics", (None, ID, at(0), "a", 2, "[1]")),
        ("metrics", (None, ID, at(0), "a", 3, '{"a":' * 70_000)),
        ("metrics", (None, ID, b"\xff", "a", 4, b'{"loss": 3.0}')),
        ("configs", (1, ID, "a", "no JSON", at(0))),
        ("configs", (2, "e" * 32, "empty", "{}", at(0))),
    )
    result = import_runs(store, path)
    (run,) = result.runs
    assert len(run.damage) == 2
    assert "4 rows are not read" in run.damage[1]
    assert list(result.unread) == ["p.db: 1 run"]
    (points,) = stored_points(store).values()
    assert points == [("loss", 0, "1.0"), ("loss", 4, "3.0")]


def test_a_database_that_is_being_written_is_read_as_of_one_moment(tmp_path: Path, store: TrainStore) -> None:
    """What Trackio has committed is there; its -wal and -shm stay as they are."""
    path = made(tmp_path / "there" / "p.db", "PRAGMA journal_mode = WAL;" + TABLES)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO metrics VALUES (1, ?, ?, 'a', 0, ?)", (ID, at(0), '{"loss": 1}'))
        before = fingerprint(path.parent)
        assert import_runs(store, path.parent).points == 1
        assert fingerprint(path.parent) == before


def test_a_view_is_no_table_of_metrics(tmp_path: Path, new_database: Callable[..., str]) -> None:
    """Nor is there anything to read in a folder without a database of Trackio's."""
    path = made(tmp_path / "p.db", TABLES.replace("TABLE metrics", "TABLE real")
                + "CREATE VIEW metrics AS SELECT * FROM real")  # fmt: skip
    with TrainStore(new_database("sqlite")) as store, pytest.raises(SourceError, match="no database of Trackio"):
        import_runs(store, path, tool="trackio")
    assert unread_of(trackio, SAMPLE) == {}
