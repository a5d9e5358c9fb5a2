"""Curves thinned out to as many points as a screen can show: buckets of mean, minimum, maximum and count.

A chosen point, as a sample would take, can miss a spike or show nothing else. A bucket keeps both ends and says how
many points it stands for, so that a smoothed line can be made from buckets as from the points themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Buckets:
    """A curve in buckets, in the order of x.

    Attributes:
        x: The mean x of each bucket's finite points; the last bucket's is that of its last point.
        mean: Of its finite values.
        low: The smallest.
        high: The largest.
        count: How many there are, above 0.
        odd_x: Where a value is NaN or infinite.
        odd: Which of them it is.
    """

    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    count: Floats
    odd_x: Floats = field(default_factory=lambda: np.empty(0))
    odd: Floats = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.x)


def bucketed(x: Floats, y: Floats, points: int, low: float | None = None, high: float | None = None) -> Buckets:
    """The curve as at most ``points`` buckets of as many points each; with no more points than that, each its own.

    Args:
        x: In ascending order, finite.
        y: The values, NaN and infinities among them.
        points: At most so many buckets; at least 1.
        low: Only points from this x on.
        high: Only points up to this x.
    """
    first = 0 if low is None else int(np.searchsorted(x, low, "left"))
    last = len(x) if high is None else int(np.searchsorted(x, high, "right"))
    x, y = x[first:last], y[first:last]
    finite = np.isfinite(y)
    odd_x, odd = _thinned(x[~finite], y[~finite], points)
    x, y = x[finite], y[finite]
    if len(x) <= points:
        return Buckets(x, y, y, y, np.ones(len(x)), odd_x, odd)
    # Whole numbers of points in each; the first points begin a bucket of their own as soon as one is full.
    edges = np.linspace(0, len(x), points + 1).astype(np.int64)[:-1]
    count = np.diff(np.append(edges, len(x))).astype(np.float64)
    across = np.add.reduceat(x, edges) / count
    across[-1] = x[-1]
    return Buckets(
        across,
        np.add.reduceat(y, edges) / count,
        np.minimum.reduceat(y, edges),
        np.maximum.reduceat(y, edges),
        count,
        odd_x,
        odd,
    )


def _thinned(x: Floats, y: Floats, points: int) -> tuple[Floats, Floats]:
    """At most so many of the points that are not finite, the first and the last among them."""
    if len(x) <= points:
        return x, y
    chosen = np.unique(np.linspace(0, len(x) - 1, points).astype(np.int64))
    return x[chosen], y[chosen]


def smoothed(buckets: Buckets, weight: float) -> Floats:
    """The exponential moving average of a curve, as far as its buckets tell: exact where each is one point.

    It is TensorBoard's, with its correction for the beginning: ``weight`` is that of the past, from 0 to below 1. A
    bucket of n points counts as n times its mean.
    """
    value = norm = 0.0
    line = np.empty(len(buckets))
    for place, (mean, count) in enumerate(zip(buckets.mean.tolist(), buckets.count.tolist(), strict=True)):
        kept = weight**count
        value = kept * value + (1 - kept) * mean
        norm = kept * norm + (1 - kept)
        line[place] = value / norm if norm else mean
    return line
