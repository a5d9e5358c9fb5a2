"""One store merged into another; beside it, the least that SQLite could be asked for the same rows."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url, select

from benchmarks.cases import Cases, Figures, Place, check, raw_connection, seconds_of
from benchmarks.stored import STORES
from trainstore import TrainStore

case = Cases("merging")

#: In the order of their foreign keys.
TABLES = ("run", "attempt", "writer", "hyperparam", "metric_summary", "event", "step_log")


@case(stored="merged")
def unchanged(place: Place) -> Figures:
    """All runs are there already; a file that was written a moment ago is copied first."""
    path = _path_of(place)
    with TrainStore(place.folder / "target.db") as target:
        target.merge(path)
        copied, _ = seconds_of(lambda: target.merge(path), place.size.calls)
        os.utime(path, (time.time(), time.time() - 3600))
        seconds, report = seconds_of(lambda: target.merge(path), place.size.calls)
    check("unchanged runs", len(report.unchanged), place.size.merged_runs + 1)
    return {"s": seconds, "copied_s": copied}


@case(stored="merged")
def unchanged_floor(place: Place) -> Figures:
    """The source opened as a store, and its table of writers read."""

    def look() -> int:
        with TrainStore(place.url, read_only=True) as store:
            writer = store.table.writer.c
            return len(store.connection.execute(select(writer.run_id, writer.uid, writer.acked)).all())

    seconds, writers = seconds_of(look, place.size.calls)
    check("writers", writers, place.size.merged_runs + 1)
    return {"s": seconds}


@case(stored="long_run")
def long(place: Place) -> Figures:
    """One run of many steps."""
    return _merged(place, f"sqlite:///{place.folder / 'target.db'}", 1, place.size.series_steps)


@case(stored="long_run")
def long_floor(place: Place) -> Figures:
    """The rows of that run copied inside SQLite."""
    return _attached(place, 1, place.size.series_steps)


@case(stored="small_runs")
def small(place: Place) -> Figures:
    """Many runs of a few steps."""
    runs, steps = place.size.merged_runs, place.size.merged_steps
    return _merged(place, f"sqlite:///{place.folder / 'target.db'}", runs, runs * steps)


@case(stored="small_runs")
def small_floor(place: Place) -> Figures:
    """The rows of those runs copied inside SQLite."""
    runs, steps = place.size.merged_runs, place.size.merged_steps
    return _attached(place, runs, runs * steps)


@case(backends=("postgresql",))
def to_server(place: Place) -> Figures:
    """All of them, from a file into a server; and back into another file."""
    source = place.folder / "source.db"
    STORES["merged"](f"sqlite:///{source}", place.size)
    runs = place.size.merged_runs + 1
    with TrainStore(place.url) as target:
        began = time.perf_counter()
        check("runs", len(target.merge(source).new), runs)
        there = time.perf_counter() - began
    with TrainStore(place.folder / "back.db") as target:
        began = time.perf_counter()
        check("runs that came back", len(target.merge(place.url).new), runs)
        return {"s": there, "back_s": time.perf_counter() - began}


def _path_of(place: Place) -> Path:
    return Path(str(make_url(place.url).database))


def _merged(place: Place, url: str, runs: int, steps: int) -> Figures:
    with TrainStore(url) as target:
        began = time.perf_counter()
        report = target.merge(_path_of(place))
        seconds = time.perf_counter() - began
    check("runs", len(report.new), runs)
    _check(url, runs, steps)
    return {"s": seconds}


def _attached(place: Place, runs: int, steps: int) -> Figures:
    """ATTACH and INSERT SELECT, with all keys and indexes, in one durable transaction."""
    url = f"sqlite:///{place.folder / 'target.db'}"
    TrainStore(url).close()  # makes the tables
    with raw_connection(url) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        began = time.perf_counter()
        connection.execute("ATTACH ? AS source", (str(_path_of(place)),))
        connection.execute("BEGIN")
        for name in TABLES:
            connection.execute(f"INSERT INTO main.{name} SELECT * FROM source.{name}")
        connection.execute("COMMIT")
        seconds = time.perf_counter() - began
    _check(url, runs, steps)
    return {"s": seconds}


def _check(url: str, runs: int, steps: int) -> None:
    with closing(sqlite3.connect(str(make_url(url).database))) as connection:
        check("runs", connection.execute("SELECT count(*) FROM run").fetchone()[0], runs)
        check("steps", connection.execute("SELECT count(*) FROM step_log").fetchone()[0], steps)
