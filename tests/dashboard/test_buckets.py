"""Curves thinned out: nothing that a person looks for is lost, and smoothing means what it says."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainstore.dashboard.buckets import bucketed, smoothed

NUMBERS = st.floats(-1e6, 1e6)
CURVES = st.lists(st.one_of(NUMBERS, st.sampled_from([math.nan, math.inf, -math.inf])), max_size=80)


def curve(values):
    """Values at the steps 1, 2, …"""
    return np.arange(1.0, len(values) + 1), np.array(values, dtype=np.float64)


@given(CURVES, st.integers(1, 30))
def test_extremes_sum_and_count_are_kept(values, points):
    """And the last point's place."""
    x, y = curve(values)
    found = bucketed(x, y, points)
    finite = y[np.isfinite(y)]
    assert len(found) <= points
    assert found.count.sum() == len(finite)
    if len(finite):
        assert found.low.min() == finite.min()
        assert found.high.max() == finite.max()
        assert (found.mean * found.count).sum() == pytest.approx(finite.sum(), rel=1e-9, abs=1e-6)
        assert found.x[-1] == x[np.isfinite(y)][-1]
        assert (found.count >= 1).all()
        assert (found.low <= found.mean + 1e-6).all()
        assert (found.mean <= found.high + 1e-6).all()
        assert (np.diff(found.x) > 0).all()


@given(CURVES, st.integers(1, 30))
def test_each_bucket_is_what_its_points_say(values, points):
    """Counted one by one."""
    x, y = curve(values)
    found = bucketed(x, y, points)
    finite = np.isfinite(y)
    rest = list(zip(x[finite], y[finite], strict=True))
    for mean, low, high, count in zip(found.mean, found.low, found.high, found.count, strict=True):
        mine, rest = rest[: int(count)], rest[int(count) :]
        assert low == min(value for _, value in mine)
        assert high == max(value for _, value in mine)
        assert mean == pytest.approx(sum(value for _, value in mine) / count, rel=1e-9, abs=1e-6)
    assert rest == []


@given(CURVES)
def test_few_points_are_left_as_they_are(values):
    """Each is a bucket of its own."""
    x, y = curve(values)
    found = bucketed(x, y, max(1, len(values)))
    finite = np.isfinite(y)
    assert np.array_equal(found.x, x[finite])
    for part in (found.mean, found.low, found.high):
        assert np.array_equal(part, y[finite])
    assert np.array_equal(found.odd_x, x[~finite])
    assert np.array_equal(found.odd, y[~finite], equal_nan=True)


@given(CURVES, st.floats(0, 90), st.floats(0, 90))
def test_a_range_is_the_curve_of_its_points(values, low, high):
    """Both ends belong to it."""
    x, y = curve(values)
    inside = (x >= low) & (x <= high)
    found, expected = bucketed(x, y, 7, low, high), bucketed(x[inside], y[inside], 7)
    assert np.array_equal(found.x, expected.x)
    assert np.array_equal(found.mean, expected.mean)


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.floats(0, 0.999))
def test_smoothing_points_is_pandas_moving_average(values, weight):
    """Which is TensorBoard's, corrected for its beginning."""
    x, y = curve(values)
    line = smoothed(bucketed(x, y, len(values)), weight)
    expected = pd.Series(y).ewm(alpha=1 - weight, adjust=True).mean().to_numpy()
    assert line == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_smoothing_buckets_is_near_that_of_the_points():
    """A sample of extremes would be off by several times the noise."""
    generator = np.random.default_rng(0)
    noise = 0.1
    x = np.arange(1.0, 100_001)
    y = 3 + np.exp(-x / 20_000) + generator.normal(0, noise, len(x))
    buckets = bucketed(x, y, 1_000)
    for weight in (0.99, 0.999):
        exact = pd.Series(y).ewm(alpha=1 - weight, adjust=True).mean().to_numpy()
        ends = np.cumsum(buckets.count).astype(int) - 1
        assert np.abs(smoothed(buckets, weight) - exact[ends])[5:].std() < 0.1 * noise
