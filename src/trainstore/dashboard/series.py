"""Curves for charts: of runs, of groups of runs, and the preview of long runs."""

from __future__ import annotations

from collections.abc import Sequence

from trainstore.dashboard.buckets import bucketed
from trainstore.dashboard.columns import Columns
from trainstore.dashboard.wire import Curve

POINTS = 400


def series(
    columns: Columns,
    runs: Sequence[str],
    metrics: Sequence[str],
    *,
    x: str = "step",
    lo: float | None = None,
    hi: float | None = None,
    points: int = POINTS,
) -> list[Curve]:
    """The answer ``series``: a curve of each metric of each run that has it."""
    curves = []
    for uid in dict.fromkeys(runs):
        of_run = columns.get(uid)
        for metric in dict.fromkeys(metrics):
            if metric not in of_run.metrics:
                continue
            across, values = of_run.curve(metric, x)
            head = {
                "run": uid,
                "metric": metric,
                "exact": True,
                "generation": of_run.generation,
                "last_step": of_run.last_step,
                "total": len(across),
            }
            curves.append(Curve(bucketed(across, values, points, lo, hi), head))
    return curves
