"""A case: one thing that is measured, in a process and a store of its own.

A group of cases is a module of this package. Each case is a function that takes a `Place`, does the work, checks the
answer, and returns its figures by name. The least that a database could be asked for the same points is a case like
any other, so a floor is measured in the same round, on the same machine, as what is compared with it.
"""

from __future__ import annotations

import gc
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

Figures = dict[str, float]


@dataclass(frozen=True)
class Size:
    """How much work a case does."""

    steps: int = 10_000  # of one run
    wide_steps: int = 1_000  # with 500 metrics each
    training_steps: int = 600
    pairs: int = 9  # of trainings, one of them recorded
    paired_steps: int = 500  # of each of them
    trainer_steps: int = 1_000
    trainer_runs: int = 3  # of each way to train, in turns
    short_runs: int = 50
    processes: int = 8
    process_steps: int = 2_000  # of each process
    runs: int = 2_000  # of the stored table
    many_runs: int = 20_000
    series_steps: int = 100_000
    deep_runs: int = 50  # whose steps are stored too, where the best run is asked for
    few_steps: int = 100  # of each of them
    many_steps: int = 10_000
    disk_steps: int = 20_000
    memory_steps: int = 1_000_000
    shown_runs: int = 5_000  # in the dashboard's table
    curves: int = 50  # runs of a chart
    curve_steps: int = 2_000  # of each of them
    long_steps: int = 1_000_000  # of the longest run of a chart
    imported_runs: int = 100  # of an MLflow database
    imported_steps: int = 1_667  # of each of them
    imported_long: int = 1_666_667  # steps of 6 metrics in one event file
    merged_runs: int = 200  # small ones
    merged_steps: int = 50  # of each of them
    watched_seconds: float = 30  # that a training is watched
    watched_steps: int = 3_000  # of each training of a pair, one of them watched
    watched_pairs: int = 7
    frames: int = 120  # of one measurement of a page
    calls: int = 5  # of one query, after a first one that is not counted


FULL = Size()
TINY = Size(
    steps=300, wide_steps=20, training_steps=60, pairs=1, paired_steps=10, trainer_steps=60, trainer_runs=1,
    short_runs=2, processes=2, process_steps=100, runs=60, many_runs=120,
    series_steps=400, deep_runs=3, few_steps=10, many_steps=50, disk_steps=200, memory_steps=2_000, calls=2,
    shown_runs=150, curves=12, curve_steps=120, long_steps=6_000,
    imported_runs=3, imported_steps=50, imported_long=2_000, merged_runs=5, merged_steps=8,
    watched_seconds=2, watched_steps=30, watched_pairs=1, frames=15,
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a case works: an empty folder, the connection string of a store, and how much to do.

    The store is empty, or a copy of what the case's ``stored`` made: a store, or a database to import from.
    """

    folder: Path
    url: str
    size: Size = FULL


@dataclass(frozen=True)
class Case:
    """A function that measures, and what it needs."""

    name: str  # "group.function"
    run: Callable[[Place], Figures]
    backends: tuple[str, ...] = ("sqlite",)
    pinned: bool = True  # to one core
    stored: str | None = None  # a name in stored.STORES: what the store holds already


@dataclass
class Cases:
    """Those of one module; a decorator."""

    group: str
    all: list[Case] = field(default_factory=list)

    def __call__(self, **needs: Any) -> Callable[[Callable[[Place], Figures]], Callable[[Place], Figures]]:
        def add(function: Callable[[Place], Figures]) -> Callable[[Place], Figures]:
            self.all.append(Case(f"{self.group}.{function.__name__}", function, **needs))
            return function

        return add


BOTH = ("sqlite", "postgresql")


class WrongAnswerError(Exception):
    """What was read back is not what was recorded: the time that it took means nothing."""


def check(what: str, found: object, expected: object, *, tolerance: float = 1e-9) -> None:
    """An answer is compared with what it must be; floats may differ by a part of their size."""
    same = found == expected
    if isinstance(found, float) and isinstance(expected, float):
        same = abs(found - expected) <= tolerance * max(abs(found), abs(expected))
    if not same:
        raise WrongAnswerError(f"{what}: {found!r} instead of {expected!r}")


def seconds_of(function: Callable[[], Any], calls: int = 1) -> tuple[float, Any]:
    """The median time of a call in seconds, after one that is not counted, and the last answer."""
    answer = function()
    times = []
    for _ in range(calls):
        answer = None  # let go of before, not during, the next call
        gc.collect()
        began = time.perf_counter()
        answer = function()
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2], answer


def memory_mib(name: str) -> float:
    """A figure of this process in MiB: VmRSS, what is resident now; VmHWM, the most that ever was."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def is_sqlite(url: str) -> bool:
    """Which of the two databases it is."""
    return make_url(url).get_backend_name() == "sqlite"


@contextmanager
def raw_connection(url: str) -> Any:
    """A connection of the driver alone: what floors are measured with. Durable commits, on SQLite in WAL mode."""
    if is_sqlite(url):
        path = make_url(url).database
        assert path is not None
        connection: Any = sqlite3.connect(path, timeout=60, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    else:
        connection = psycopg.connect(url, autocommit=True)
    try:
        yield connection
    finally:
        connection.close()
