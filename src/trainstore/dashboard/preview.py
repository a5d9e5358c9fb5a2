"""A long run at a glance: some of its steps, found by the primary key, until all of them are in memory.

Reading a million steps takes seconds, and 500 of them, evenly apart, a few milliseconds. A metric that few steps have
would be missed by them. Its summary tells how many there are and where some of them lie, and so, if they are evenly
apart, where all of them do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import BigInteger, column, func, select, values

from trainstore.dashboard.run_columns import ATTEMPT, RunColumns, Summary
from trainstore.dashboard.run_reading import read_run
from trainstore.queries.reader import Reader, RunKey

LONG = 50_000  # steps of a run: fewer are read at once
AT_ONCE = 200_000  # steps of all runs that one question is about
FEWEST, MOST = 500, 2_000  # steps of a preview
DENSE = 0.9  # of all steps: such a metric is hardly missed


@dataclass(frozen=True)
class _Known:
    """What the summary says of one metric: how many steps have it, and where some of them lie."""

    count: int
    steps: tuple[int, ...]

    @property
    def last(self) -> int:
        return max(self.steps)


def at_a_glance(reader: Reader, keys: Sequence[RunKey], summaries: Mapping[int, Summary]) -> list[RunKey]:
    """Those of these runs that would keep a page waiting: the long ones, and all that come when enough was read."""
    found, read = [], 0
    for key in keys:
        steps = _count(reader, key, summaries[key.id])
        if steps > LONG or (steps > FEWEST and read + steps > AT_ONCE):
            found.append(key)
        else:
            read += steps
    return found


def _count(reader: Reader, key: RunKey, summary: Summary) -> int:
    """How many current steps a run has, or more than `LONG`."""
    most = max((row[1] for row in summary if row[0] != ATTEMPT), default=0)
    if most > LONG:
        return int(most)
    log = reader.models.current_step_log.c  # what a resume has superseded is not read
    some = select(log.step).where(log.run_id == key.id).limit(LONG + 1).subquery()
    return int(reader.rows(select(func.count()).select_from(some))[0][0])


def previewed(
    reader: Reader,
    key: RunKey,
    summary: Summary,
    metrics: Sequence[str],
    points: int,
    low: float | None = None,
    high: float | None = None,
) -> RunColumns:
    """Some of the current steps of a run: the first and the last, and where each metric is smallest and largest.

    Args:
        reader: Of one snapshot.
        key: The run.
        summary: That of the same snapshot.
        metrics: What the steps are for.
        points: About so many.
        low: Only steps from this one on.
        high: Only steps up to this one.
    """
    number = min(max(points, FEWEST), MOST)
    known = {row[0]: _Known(row[1], _steps(row)) for row in summary if row[0] != ATTEMPT and _steps(row)}
    first, last = _ends(reader, key)
    begin = max(first, math.ceil(low)) if low is not None else first
    end = min(last, math.floor(high)) if high is not None else last
    most = max((one.count for one in known.values()), default=0)
    others: set[int] = set()
    for metric in metrics:
        if metric in known:
            others.update(known[metric].steps)
            if known[metric].count < DENSE * most:
                others.update(_guessed(known[metric], first, begin, end, number))
    stride = _stride(first, last, most)
    wanted = np.unique(np.linspace(begin, end, number).astype(np.int64)).tolist() if begin <= end else []
    if stride is not None:
        chosen = {first + (step - first) // stride * stride for step in wanted}
        found = _read(reader, key, summary, chosen | others, begin, end)
        if 2 * len(found.step) > len(chosen):
            return found
    return _read(reader, key, summary, others.union(_there(reader, key, wanted)), begin, end)


def _read(reader: Reader, key: RunKey, summary: Summary, steps: Collection[int], begin: int, end: int) -> RunColumns:
    return read_run(reader, key, summary, only=sorted(step for step in {*steps, begin, end} if begin <= step <= end))


def _steps(row: Sequence[object]) -> tuple[int, ...]:
    """The steps that a summary names: of the minimum, the maximum and the last value."""
    return tuple(step for step in (row[4], row[6], row[8]) if isinstance(step, int))


def _ends(reader: Reader, key: RunKey) -> tuple[int, int]:
    """The first step, and the last one that is shown: a superseded attempt may have gone further.

    If none is shown, the last one lies before the first.
    """
    log, run = reader.models.step_log.c, reader.models.run.c
    first = select(func.min(log.step)).where(log.run_id == key.id).scalar_subquery()
    begin, end = reader.rows(select(first, run.last_step).where(run.id == key.id))[0]
    return (0, -1) if end is None else (begin, end)


def _stride(first: int, last: int, count: int) -> int | None:
    """How far apart the steps are, if they seem to be evenly apart."""
    apart, rest = divmod(last - first, max(count - 1, 1))
    return apart if rest == 0 and apart > 0 else None


def _there(reader: Reader, key: RunKey, wanted: Sequence[int]) -> list[int]:
    """For each of these steps, the first that is there from it on."""
    if not wanted:
        return []
    at = values(column("at", BigInteger), name="wanted").data([(step,) for step in wanted]).cte("wanted")
    log = reader.models.step_log.c
    following = select(func.min(log.step)).where(log.run_id == key.id, log.step >= at.c.at).scalar_subquery()
    return [row[0] for row in reader.rows(select(following).select_from(at)) if row[0] is not None]


def _guessed(known: _Known, first: int, begin: int, end: int, number: int) -> Iterator[int]:
    """Steps that have a metric, if those that do are evenly apart, as evaluations are."""
    about = max((known.last - first) / known.count, 1)
    together = math.gcd(*(known.last - step for step in known.steps))
    periods = {round((known.last - first) / max(known.count - 1, 1)), round(known.last / known.count)}
    if together:
        periods.add(together // max(round(together / about), 1))
    for period in periods - {0}:
        for anchor in set(known.steps):
            lowest = anchor - (anchor - begin) // period * period
            found = range(lowest, end + 1, period)
            yield from found[:: max(math.ceil(len(found) / number), 1)]
