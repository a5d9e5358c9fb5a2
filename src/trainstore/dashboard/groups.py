"""Curves of several runs as one: their mean, and a band around it that says how far they differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainstore.dashboard.buckets import Buckets, Floats
from trainstore.errors import InvalidArgumentError

BANDS = ("std", "sem", "range")


def banded(curves: Sequence[tuple[Floats, Floats]], points: int, band: str = "std") -> Buckets:
    """The mean of curves, each run counting the same, however many points it has.

    Args:
        curves: x and y of each run, x in ascending order. What is not finite is left out.
        points: At most so many places, at least 1. If the runs have no more x than that between them, these are the
            places; otherwise the range is divided into so many parts of the same width, and a run's value in a part is
            the mean of its points there.
        band: "std": the standard deviation between the runs (of a sample; 0 for one run). "sem": that of the mean.
            "range": the smallest and the largest run.

    Returns:
        Buckets whose ``low`` and ``high`` are the band's, and whose ``count`` is the number of runs.

    Raises:
        InvalidArgumentError: Another band.
    """
    if band not in BANDS:
        raise InvalidArgumentError(f"band {band!r} is not one of {', '.join(map(repr, BANDS))}")
    sound = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in curves]
    sound = [(x, y) for x, y in sound if len(x)]
    if not sound:
        return Buckets(*(np.empty(0) for _ in range(5)))
    every = np.unique(np.concatenate([x for x, _ in sound]))
    places, edges = _places(every, points)
    table = np.full((len(sound), len(places)), np.nan)
    for row, (x, y) in zip(table, sound, strict=True):
        part = np.clip(np.searchsorted(edges, x, "right") - 1, 0, len(places) - 1)
        count = np.bincount(part, minlength=len(places))
        total = np.bincount(part, weights=y, minlength=len(places))
        row[count > 0] = total[count > 0] / count[count > 0]
    return _summed_up(places, table, band)


def _places(every: Floats, points: int) -> tuple[Floats, Floats]:
    """Where the group has values, and the left end of each part."""
    if len(every) <= points:
        return every, every
    edges = np.linspace(every[0], every[-1], points + 1)
    part = np.clip(np.searchsorted(edges[:-1], every, "right") - 1, 0, points - 1)
    count = np.bincount(part, minlength=points)
    middle = np.bincount(part, weights=every, minlength=points)
    places = np.where(count > 0, middle / np.maximum(count, 1), (edges[:-1] + edges[1:]) / 2)
    return places, edges[:-1]


def _summed_up(places: Floats, table: Floats, band: str) -> Buckets:
    there = ~np.isnan(table)
    count = there.sum(axis=0)
    kept = count > 0
    places, table, there, count = places[kept], table[:, kept], there[:, kept], count[kept]
    filled = np.where(there, table, 0.0)
    mean = filled.sum(axis=0) / count
    if band == "range":
        low = np.where(there, table, np.inf).min(axis=0)
        high = np.where(there, table, -np.inf).max(axis=0)
        return Buckets(places, mean, low, high, count.astype(np.float64))
    squares = (np.where(there, table - mean, 0.0) ** 2).sum(axis=0)
    width = np.sqrt(squares / np.maximum(count - 1, 1))
    if band == "sem":
        width = width / np.sqrt(count)
    return Buckets(places, mean, mean - width, mean + width, count.astype(np.float64))
