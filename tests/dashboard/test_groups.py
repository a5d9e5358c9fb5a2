"""The mean of several runs, and its band."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainstore.dashboard.groups import banded
from trainstore.errors import InvalidArgumentError

RUN = st.dictionaries(st.integers(0, 40), st.floats(-1e3, 1e3), max_size=20)


def arrays(run):
    """x and y of a run, by x."""
    return np.array(sorted(run), dtype=np.float64), np.array([run[x] for x in sorted(run)], dtype=np.float64)


@given(st.lists(RUN, max_size=6), st.sampled_from(["std", "sem", "range"]))
def test_at_common_places_it_is_what_pandas_says(runs, band):
    """Each step is a place of its own; a run that lacks it does not count there."""
    found = banded([arrays(run) for run in runs], 1_000, band)
    table = pd.DataFrame([dict(run) for run in runs], dtype=float).reindex(sorted(set().union(*runs)), axis=1)
    assert found.x.tolist() == [float(x) for x in table.columns]
    assert found.mean == pytest.approx(table.mean().to_numpy(), abs=1e-9)
    assert found.count.tolist() == table.count().tolist()
    if band == "range":
        assert found.low == pytest.approx(table.min().to_numpy())
        assert found.high == pytest.approx(table.max().to_numpy())
    else:
        width = (table.std() if band == "std" else table.sem()).fillna(0).to_numpy()
        assert found.high - found.mean == pytest.approx(width, abs=1e-6)
        assert found.mean - found.low == pytest.approx(width, abs=1e-6)


@given(st.lists(RUN, min_size=1, max_size=6), st.integers(1, 9))
def test_parts_of_a_range_hold_every_point(runs, points):
    """Counted one by one: a run's value in a part is the mean of its points there."""
    found = banded([arrays(run) for run in runs], points, "range")
    assert len(found) <= points
    every = sorted(set().union(*runs))
    if not every:
        assert len(found) == 0
        return
    if len(every) <= points:
        return
    edges = np.linspace(every[0], every[-1], points + 1)
    expected = []
    for part in range(points):
        inside = [x for x in every if max(0, min(points - 1, int(np.searchsorted(edges[:-1], x, "right")) - 1)) == part]
        means = [np.mean([run[x] for x in inside if x in run]) for run in runs if any(x in run for x in inside)]
        if means:
            expected.append((np.mean(inside), np.mean(means), min(means), max(means), len(means)))
    assert len(found) == len(expected)
    for place, numbers in enumerate(expected):
        got = [array[place] for array in (found.x, found.mean, found.low, found.high, found.count)]
        assert got == pytest.approx(numbers, abs=1e-6)


def test_what_is_not_finite_is_left_out():
    """NaN in one run does not take the others along."""
    x = np.array([1.0, 2.0])
    found = banded([(x, np.array([1.0, np.nan])), (x, np.array([3.0, 4.0]))], 10)
    assert found.mean.tolist() == [2.0, 4.0]
    assert found.count.tolist() == [2.0, 1.0]


def test_an_unknown_band_is_named():
    """With those that there are."""
    with pytest.raises(InvalidArgumentError, match="'iqr' is not one of 'std', 'sem', 'range'"):
        banded([], 10, "iqr")
