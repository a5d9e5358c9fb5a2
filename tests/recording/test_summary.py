"""The rules of metric_summary, without a database."""

from __future__ import annotations

from math import inf, nan

from trainstore.recording.summary import Summaries, Summary, summarize


def test_minimum_and_maximum_are_over_finite_values() -> None:
    """NaN and infinities count, and never win; the earliest step that has the extreme is named."""
    rows = [
        (1, {"a": nan}),
        (2, {"a": 3}),
        (3, {"a": inf}),
        (4, {"a": 1.0}),
        (5, {"a": -inf}),
        (6, {"a": 1}),
        (7, {"a": 3.0}),
    ]
    stored = [(step, {"a": _stored(metrics["a"])}) for step, metrics in rows]
    assert summarize(stored) == {"a": Summary(7, 3, 1.0, 4, 3.0, 2, 3.0, 7)}


def test_what_is_no_number_is_not_summarised() -> None:
    """Bools, text, null, lists, objects and integers beyond 64 bit have no summary."""
    values = {"b": True, "t": "1.5", "n": None, "l": [1], "o": {"x": 1}, "i": {"$int": "9" * 30}, "f": 0.5}
    assert summarize([(1, values)]) == {"f": Summary(1, 0, 0.5, 1, 0.5, 1, 0.5, 1)}


def test_a_metric_of_nan_alone_has_a_last_step_without_a_value() -> None:
    """NaN as the last value is null with its step set; infinities are kept as they are."""
    assert summarize([(3, {"a": "NaN"})])["a"] == Summary(1, 1, None, None, None, None, None, 3)
    assert summarize([(3, {"a": "-Infinity"})])["a"] == Summary(1, 1, None, None, None, None, -inf, 3)


def test_steps_may_arrive_in_any_order() -> None:
    """The last value is that of the highest step, not of the latest arrival."""
    summaries = Summaries({})
    for step in (5, 9, 2):
        summaries.update(step, None, {"a": float(step)})
    assert summaries["a"] == Summary(3, 0, 2.0, 2, 9.0, 9, 9.0, 9)
    assert not summaries.to_rescan


def test_a_replaced_extreme_asks_for_a_rescan() -> None:
    """Only where the replaced value was the minimum or maximum, and the new one is not, the rows are read again."""
    start = {"a": Summary(3, 0, 1.0, 1, 3.0, 3, 3.0, 3)}
    for step, old, new, rescan in (
        (2, 2.0, 2.5, False),
        (2, 2.0, 0.5, False),
        (2, 2.0, "NaN", False),
        (1, 1.0, 0.5, False),
        (1, 1.0, 1.5, True),
        (1, 1.0, "Infinity", True),
        (3, 3.0, 4, False),
        (3, 3.0, 2, True),
        (2, 2.0, "text", True),
        (2, 2.0, None, True),
    ):
        summaries = Summaries({"a": Summary(**{name: getattr(start["a"], name) for name in Summary.__slots__})})
        summaries.update(step, {"a": old}, {"a": new})
        assert ("a" in summaries.to_rescan) == rescan, (step, old, new)


def test_an_equal_value_changes_nothing() -> None:
    """The same number again, NaN included, is no change and is not written."""
    summaries = Summaries({"a": Summary(1, 0, 1.0, 1, 1.0, 1, 1.0, 1), "n": Summary(1, 1, last_step=1)})
    summaries.update(1, {"a": 1, "n": "NaN"}, {"a": 1.0, "n": "NaN"})
    assert not summaries.touched


def _stored(value: float) -> float | str:
    if value != value:
        return "NaN"
    return {inf: "Infinity", -inf: "-Infinity"}.get(value, value)
