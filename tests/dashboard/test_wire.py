"""Frames of curves: what is sent arrives, bit for bit."""

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainstore.dashboard.buckets import bucketed
from trainstore.dashboard.wire import Curve, of_frame, to_frame, to_json

VALUES = st.lists(st.floats(width=64), max_size=20)


@given(st.lists(st.tuples(st.text(), VALUES), max_size=5))
def test_a_frame_brings_every_number(curves):
    """Names of any characters, zeros with a sign, NaN and infinities."""
    sent = [
        Curve(
            bucketed(np.arange(float(len(values))), np.array(values, dtype=np.float64), 50),
            {"run": "a", "metric": name},
        )
        for name, values in curves
    ]
    frame = to_frame(sent)
    arrived = of_frame(frame)
    assert [curve.head for curve in arrived] == [curve.head for curve in sent]
    for one, other in zip(sent, arrived, strict=True):
        for name in ("x", "mean", "low", "high", "count", "odd_x", "odd"):
            assert getattr(one.buckets, name).tobytes() == getattr(other.buckets, name).tobytes()


def test_numbers_lie_where_a_browser_can_view_them():
    """A Float64Array needs an offset that is a multiple of 8."""
    for name in ("", "a", "ab", "é", "loss/train"):
        frame = to_frame([Curve(bucketed(np.array([1.0]), np.array([2.0]), 5), {"metric": name})])
        assert (4 + int.from_bytes(frame[:4], "little")) % 8 == 0


def test_json_names_what_it_has_no_number_for():
    """It is read by any reader of JSON."""
    values = np.array([1.0, math.nan, math.inf, -math.inf])
    (found,) = json.loads(to_json([Curve(bucketed(np.arange(4.0), values, 9), {"run": "a"})]))
    assert found["mean"] == [1.0]
    assert found["odd"] == ["NaN", "Infinity", "-Infinity"]
    assert found["odd_x"] == [1.0, 2.0, 3.0]
    assert found["run"] == "a"
