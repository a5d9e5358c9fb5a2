"""Curves for charts: of runs, of superseded stretches of them, and of groups of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainstore.dashboard.buckets import Floats, bucketed
from trainstore.dashboard.columns import Columns
from trainstore.dashboard.found import each_once, find_runs
from trainstore.dashboard.groups import BANDS, banded
from trainstore.dashboard.limits import check_number
from trainstore.dashboard.preview import at_a_glance, previewed
from trainstore.dashboard.run_columns import RunColumns
from trainstore.dashboard.run_reading import summaries_of
from trainstore.dashboard.superseded import Superseded
from trainstore.dashboard.wire import Curve
from trainstore.errors import InvalidArgumentError, RunNotFoundError
from trainstore.queries.reader import RunKey
from trainstore.store import TrainStore

POINTS = 400


@dataclass(frozen=True)
class Part:
    """Which part of curves is asked for.

    Attributes:
        x: "step", "epoch", "time" (seconds since 1970), "relative" (seconds since the run's start), or a metric.
        lo: Only points from this x on.
        hi: Only points up to this x.
        points: At most so many buckets.
    """

    x: str = "step"
    lo: float | None = None
    hi: float | None = None
    points: int = POINTS

    def check(self) -> None:
        """Raise `InvalidArgumentError` if there can be no such part."""
        check_number("points", "points", self.points)
        if self.points < 1:
            raise InvalidArgumentError(f"points {self.points} is not a number of points; pass 1 or more")
        if self.lo is not None and self.hi is not None and self.lo > self.hi:
            raise InvalidArgumentError(f"lo {self.lo:g} is above hi {self.hi:g}; swap them")


@dataclass(frozen=True)
class Shown:
    """The columns of a run that curves are made of: all of its steps, or some of them."""

    columns: RunColumns
    exact: bool

    def head(self, uid: str, metric: str) -> dict[str, Any]:
        """What is said about a curve."""
        return {
            "run": uid,
            "metric": metric,
            "exact": self.exact,
            "generation": self.columns.generation,
            "last_step": self.columns.last_step,
            "total": self._total(metric),
        }

    def has(self, metric: str) -> bool:
        """Whether the run has numbers of a metric, even if it has none at these steps."""
        return self._total(metric) > 0

    def _total(self, metric: str) -> int:
        counts = [] if self.exact else [int(row[1]) for row in self.columns.summary if row[0] == metric]
        if counts:
            return counts[0]
        rows, _ = self.columns.metrics.get(metric, ((), ()))
        return len(rows)


def series(
    store: TrainStore, cache: Columns, runs: Sequence[str], metrics: Sequence[str], part: Part, *, exact: bool = False
) -> list[Curve]:
    """The answer ``series``: a curve of each metric of each run that has it.

    Args:
        store: The store.
        cache: The runs in memory.
        runs: Their uids. Runs that are gone have no curves.
        metrics: Their names, and "step_time".
        part: Which part of the curves.
        exact: Wait until all steps of long runs are read. Otherwise a long run that is not in memory is shown by some
            of its steps, and its curves say that they are not exact.

    Raises:
        RunNotFoundError: None of these runs is there.
        InvalidArgumentError: The part, or more than the limits allow.
    """
    part.check()
    shown = _shown(store, cache, runs, metrics, part, exact=exact)
    return [curve for uid, one in shown.items() for curve in _of_run(one, uid, metrics, part)]


def superseded(
    store: TrainStore, cache: Superseded, runs: Sequence[str], metrics: Sequence[str], part: Part
) -> list[Curve]:
    """The answer ``series`` with ``attempts=superseded``: what attempts logged beyond the step where a resume cut them.

    One curve of each metric and attempt that has such steps, the head of which names the attempt. Errors as for
    `series`.
    """
    part.check()
    check_number("runs", "curves_runs", runs)
    check_number("metrics", "curves_metrics", metrics)
    curves = []
    with store.snapshot() as snapshot:
        reader = snapshot.reader
        keys = each_once(find_runs(reader, runs).values())
        summaries = summaries_of(reader, [key.id for key in keys])
        for key in keys:
            for number, columns in cache.of(reader, key, summaries[key.id]):
                curves += _of_run(Shown(columns, exact=True), key.uid, metrics, part, attempt=number)
    return curves


def _of_run(shown: Shown, uid: str, metrics: Sequence[str], part: Part, **more: Any) -> list[Curve]:
    """The curve of each metric that a run has."""
    curves = []
    for metric in dict.fromkeys(metrics):
        if shown.has(metric):
            buckets = bucketed(*shown.columns.curve(metric, part.x), part.points, part.lo, part.hi)
            curves.append(Curve(buckets, {**shown.head(uid, metric), **more}))
    return curves


def _shown(
    store: TrainStore, cache: Columns, runs: Sequence[str], metrics: Sequence[str], part: Part, *, exact: bool
) -> dict[str, Shown]:
    """The columns of runs, in their order: those in memory, brought up to date; the others as soon as possible."""
    check_number("runs", "curves_runs", runs)
    check_number("metrics", "curves_metrics", metrics)
    with store.snapshot() as snapshot:
        keys = each_once(find_runs(snapshot.reader, runs).values())
    done = cache.follow(key.uid for key in keys)
    found: dict[str, Shown] = {}
    waiting = []
    for key in keys:
        known = cache.known(key.uid)
        if known is not None and key.uid in done:
            found[key.uid] = Shown(known, exact=True)
        else:
            waiting.append(key)
    if waiting and not exact:
        found |= _previews(store, waiting, [*metrics, part.x], part)
    for key in waiting:
        if key.uid not in found:
            try:
                found[key.uid] = Shown(cache.get(key.uid), exact=True)
            except RunNotFoundError:
                continue  # deleted since
    return {key.uid: found[key.uid] for key in keys if key.uid in found}


def _previews(store: TrainStore, keys: Sequence[RunKey], metrics: Sequence[str], part: Part) -> dict[str, Shown]:
    """Some steps of those of the runs that take long to read."""
    found = {}
    by_step = {"low": part.lo, "high": part.hi} if part.x == "step" else {}
    with store.snapshot() as snapshot:
        reader = snapshot.reader
        summaries = summaries_of(reader, [key.id for key in keys])
        for key in at_a_glance(reader, keys, summaries):
            columns = previewed(reader, key, summaries[key.id], metrics, part.points, **by_step)
            found[key.uid] = Shown(columns, exact=False)
    return found


def group(
    store: TrainStore,
    cache: Columns,
    groups: Sequence[tuple[Sequence[Any], str, Sequence[str]]],
    metrics: Sequence[str],
    part: Part,
    *,
    band: str = "std",
    exact: bool = False,
) -> list[Curve]:
    """The answer ``group``: for each group of runs and each metric the mean of the runs, in a band.

    Args:
        store: The store.
        cache: The runs in memory.
        groups: Values, label and uids of each.
        metrics: Their names. A group none of whose runs has a metric has no curve of it.
        part: Which part of the curves.
        band: One of `groups.BANDS`.
        exact: As for `series`.

    Raises:
        RunNotFoundError: None of these runs is there.
        InvalidArgumentError: The part, the band, or more than the limits allow.
    """
    part.check()
    if band not in BANDS:
        raise InvalidArgumentError(f"band {band!r} is not one of {', '.join(map(repr, BANDS))}")
    shown = _shown(store, cache, [uid for _, _, uids in groups for uid in uids], metrics, part, exact=exact)
    curves = []
    for values, label, uids in groups:
        members = [shown[uid] for uid in dict.fromkeys(uids) if uid in shown]
        for metric in dict.fromkeys(metrics):
            having = [one for one in members if one.has(metric)]
            if having:
                cut = [_between(*one.columns.curve(metric, part.x), part) for one in having]
                head = {
                    "group": list(values),
                    "label": label,
                    "metric": metric,
                    "runs": len(having),
                    "exact": all(one.exact for one in having),
                }
                curves.append(Curve(banded(cut, part.points, band), head))
    return curves


def _between(x: Floats, y: Floats, part: Part) -> tuple[Floats, Floats]:
    first = 0 if part.lo is None else int(np.searchsorted(x, part.lo, "left"))
    last = len(x) if part.hi is None else int(np.searchsorted(x, part.hi, "right"))
    return x[first:last], y[first:last]
