"""The numbers of runs in memory, column by column: reading a long run takes seconds, drawing a part of it none.

`Columns` keeps the runs that were asked for last, up to a limit of bytes. A run is read by one thread at a time: the
others that ask for it wait, since a page asks for all of its charts at once. A run that goes on is read on from its
last step; one whose history has changed (a resume, a merge) is read anew, as its summary tells.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import select

from trainstore.dashboard.buckets import Floats
from trainstore.queries.frames import COUNT, NUMBER, TIME, times
from trainstore.queries.metric_columns import are_there, cells
from trainstore.queries.reader import Reader, RunKey, resolve_run
from trainstore.queries.steps import read_steps, step_source
from trainstore.store import TrainStore

LIMIT = 512 << 20  # bytes
ATTEMPT = 0  # begins the rows of a summary that are attempts; the others begin with a metric's name
X_AXES = ("step", "epoch", "time", "relative")
_FIXED = (("step", COUNT), ("epoch", NUMBER), ("step_time", NUMBER), ("logged_at", TIME))

Summary = frozenset[tuple[Any, ...]]  # the run's rows of metric_summary, and its attempts


@dataclass
class RunColumns:
    """The current steps of one run.

    Attributes:
        step: The number of each.
        axes: "step", "epoch" and "time" (seconds since 1970) of each step; NaN where there is none.
        started: The time of the run's beginning.
        metrics: For each metric that has numbers, the rows that have it, and its values there.
        generation: How many times the run was read anew: what was drawn before may be wrong then.
        summary: What the database said when it was read.
    """

    step: Floats
    axes: dict[str, Floats]
    started: float
    metrics: dict[str, tuple[Any, Floats]]
    generation: int = 0
    summary: Summary = frozenset()
    beside: frozenset[str] = frozenset()  # metrics that no summary knows: the step's own columns

    @property
    def size(self) -> int:
        """Bytes."""
        arrays = [self.step, *self.axes.values(), *(array for pair in self.metrics.values() for array in pair)]
        return sum(array.nbytes for array in arrays)

    @property
    def last_step(self) -> int:
        """The highest step; -1 if there is none."""
        return int(self.step[-1]) if len(self.step) else -1

    def curve(self, metric: str, x: str) -> tuple[Floats, Floats]:
        """x and y of a metric, in ascending order of x; points without an x are left out.

        Args:
            metric: Its name. A run that does not have it has no points.
            x: "step", "epoch", "time", "relative", or the name of another metric.
        """
        rows, values = self.metrics.get(metric, (np.empty(0, np.intp), np.empty(0)))
        if x == "relative":
            across = self.axes["time"][rows] - self.started
        elif x in self.axes:
            across = self.axes[x][rows]
        else:
            across = self._values_of(x)[rows]
        there = np.isfinite(across)
        if not there.all():
            across, values = across[there], values[there]
        if x != "step" and len(across) > 1 and (np.diff(across) < 0).any():
            order = np.argsort(across, kind="stable")
            across, values = across[order], values[order]
        return across, values

    def _values_of(self, metric: str) -> Floats:
        if metric not in self.metrics:
            return np.full(len(self.step), np.nan)
        rows, values = self.metrics[metric]
        column = np.full(len(self.step), np.nan)
        column[rows] = values
        return column


def read_run(reader: Reader, key: RunKey, *, after: int | None = None) -> RunColumns:
    """The current steps of a run.

    Args:
        reader: Of one snapshot.
        key: The run.
        after: Only those from this step on, this one too: what is logged later may be merged into the last row.
    """
    source = step_source(reader, [key], "current")
    if after is not None:
        source = select(source).where(source.c.step >= after).subquery()
    steps = read_steps(reader, source, [key], _FIXED, None)
    step = np.asarray(steps.fixed["step"], dtype=np.float64) if steps.length else np.empty(0)
    time = times(steps.fixed["logged_at"]).as_unit("us").asi8 / 1e6 if steps.length else np.empty(0)
    metrics = {}
    columns, beside = {**steps.metrics}, frozenset[str]()
    if steps.length and "step_time" not in columns:
        beside = frozenset({"step_time"})
        columns["step_time"] = np.asarray(steps.fixed["step_time"], dtype=np.float64)
    for name, column in columns.items():
        pair = _numbers(column)
        if pair is not None:
            metrics[name] = pair
    epoch = np.asarray(steps.fixed["epoch"], dtype=np.float64) if steps.length else np.empty(0)
    run = reader.models.run.c
    started = reader.connection.execute(select(run.started_at).where(run.id == key.id)).scalar_one()
    axes = {"step": step, "epoch": epoch, "time": np.asarray(time, dtype=np.float64)}
    return RunColumns(step, axes, started.timestamp(), metrics, 0, summary_of(reader, key), beside)


def _numbers(column: Any) -> tuple[Any, Floats] | None:
    """The rows that have a number, and the numbers; None if there are none. Texts are not drawn."""
    if isinstance(column, np.ndarray):
        rows = np.flatnonzero(are_there(column))
        return (rows, column[rows].astype(np.float64)) if len(rows) else None
    found = [
        (row, float(value))
        for row, value in enumerate(cells(column))
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    if not found:
        return None
    places, values = zip(*found, strict=True)
    return np.array(places, dtype=np.intp), np.array(values, dtype=np.float64)


def summary_of(reader: Reader, key: RunKey) -> Summary:
    """What changes whenever the current steps of a run do, but for a value in the middle that is no extreme."""
    summary, attempt = reader.models.metric_summary, reader.models.attempt
    names = ("metric", "count", "nonfinite_count", "min", "min_step", "max", "max_step", "last", "last_step")
    columns = [summary.c[name] for name in names]
    rows = reader.rows(select(*columns).where(summary.c.run_id == key.id, summary.c.count > 0))
    attempts = reader.rows(select(attempt.c.attempt, attempt.c.end_step).where(attempt.c.run_id == key.id))
    return frozenset([tuple(row) for row in rows] + [(ATTEMPT, *row) for row in attempts])


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    columns: RunColumns | None = None


class Columns:
    """The runs in memory.

    Args:
        store: The store.
        limit: Bytes; the runs that were asked for longest ago are forgotten.
    """

    def __init__(self, store: TrainStore, limit: int = LIMIT) -> None:
        self._store, self._limit = store, limit
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def get(self, run: str) -> RunColumns:
        """The columns of a run as they are now.

        Args:
            run: Its uid.

        Raises:
            RunNotFoundError: There is no such run.
        """
        entry = self._entry(run)
        with entry.lock, self._store.snapshot() as snapshot:
            key = resolve_run(snapshot.reader, run)
            columns = entry.columns = self._refreshed(snapshot.reader, key, entry.columns)
        self._forget_old()
        return columns

    def _entry(self, run: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(run, _Entry())
            self._entries.move_to_end(run)
            return entry

    def _refreshed(self, reader: Reader, key: RunKey, known: RunColumns | None) -> RunColumns:
        if known is None:
            return read_run(reader, key)
        summary = summary_of(reader, key)
        if summary == known.summary:
            return known
        longer = _joined(known, read_run(reader, key, after=max(known.last_step, 0)))
        if _tells_the_same(known, longer):
            return longer
        anew = read_run(reader, key)
        anew.generation = known.generation + 1
        return anew

    def _forget_old(self) -> None:
        with self._lock:
            sizes = {run: entry.columns.size for run, entry in self._entries.items() if entry.columns is not None}
            total = sum(sizes.values())
            for run in list(sizes)[:-1]:
                if total <= self._limit:
                    break
                total -= sizes[run]
                del self._entries[run]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        with self._lock:
            return sum(entry.columns.size for entry in self._entries.values() if entry.columns is not None)


def _joined(known: RunColumns, later: RunColumns) -> RunColumns:
    """The rows known, and the later ones, which begin with the last known one."""
    first = later.step[0] if len(later.step) else np.inf
    kept = int(np.searchsorted(known.step, first, "left"))
    metrics = {}
    for name in {**known.metrics, **later.metrics}:
        rows, values = known.metrics.get(name, (np.empty(0, np.intp), np.empty(0)))
        more_rows, more_values = later.metrics.get(name, (np.empty(0, np.intp), np.empty(0)))
        count = int(np.searchsorted(rows, kept, "left"))
        metrics[name] = (
            np.concatenate([rows[:count], more_rows + kept]),
            np.concatenate([values[:count], more_values]),
        )
    axes = {name: np.concatenate([known.axes[name][:kept], later.axes[name]]) for name in known.axes}
    return RunColumns(
        axes["step"], axes, known.started, metrics, known.generation, later.summary, known.beside & later.beside
    )


def _tells_the_same(known: RunColumns, longer: RunColumns) -> bool:
    """Whether the rows read on are the run: no attempt has begun, and they add up to what the database sums up."""
    attempts = {row for row in longer.summary if row[0] == ATTEMPT}
    if not attempts <= known.summary:
        return False
    return {row for row in longer.summary if row[0] != ATTEMPT} == _added_up(longer)


def _added_up(columns: RunColumns) -> set[tuple[Any, ...]]:
    """The rows of metric_summary that belong to these columns."""
    found: set[tuple[Any, ...]] = set()
    for name, (rows, values) in columns.metrics.items():
        if not len(rows) or name in columns.beside:
            continue
        steps, finite = columns.step[rows].astype(np.int64), np.isfinite(values)
        row: list[Any] = [name, len(rows), int((~finite).sum()), None, None, None, None]
        if finite.any():
            sound, at = values[finite], steps[finite]
            low, high = int(sound.argmin()), int(sound.argmax())
            row[3:] = [float(sound[low]), int(at[low]), float(sound[high]), int(at[high])]
        last = float(values[-1])
        found.add((*row, None if last != last else last, int(steps[-1])))
    return found
