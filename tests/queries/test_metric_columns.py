"""From the JSON of many steps to columns: the same values, whichever way they are read."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from properties.profiles import examples
from trainstore.queries.frames import is_numeric
from trainstore.queries.metric_columns import MetricColumns, are_numbers, are_there, cells, metric_series
from trainstore.values import INT64_MAX, INT64_MIN, restore

NAMES = ("loss", "a_loss", 'a"loss', "a\\loss", "los{s", "Ünï,", "", "loss\n")
TEXTS = st.sampled_from(["NaN", "Infinity", "1.5", '"loss": 7', ',"loss":7', '{"loss":7}', "a,b", "]", "\\", "Ü"])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(min_value=INT64_MIN, max_value=INT64_MAX)
SMALL_INTS = st.integers(min_value=-9, max_value=9)
NESTED = st.recursive(
    st.one_of(TEXTS, FLOATS, INTS, st.none(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)),
    max_leaves=4,
)
STEPS = st.one_of(
    st.lists(st.dictionaries(st.sampled_from(NAMES), values, max_size=4), max_size=12)
    for values in (FLOATS, st.one_of(FLOATS, st.none()), INTS, SMALL_INTS, st.one_of(FLOATS, SMALL_INTS, INTS), NESTED)
)


def expected(steps: list[dict[str, Any]], name: str) -> list[Any]:
    """The values of a metric, parsed step by step."""
    values = [step.get(name) for step in steps]
    return values if is_numeric(values) else [restore(value) for value in values]


def as_sqlite(step: dict[str, Any]) -> str:
    """As the text that SQLite keeps."""
    return orjson.dumps(step).decode()


def as_postgresql(step: dict[str, Any]) -> str:
    """As jsonb is printed."""
    return json.dumps(step, ensure_ascii=False)


def columns_of(texts: list[str], names: list[str] | None, size: int) -> dict[str, Any]:
    """The columns of these texts, read ``size`` at a time."""
    columns = MetricColumns(names)
    for start in range(0, len(texts), size):
        columns.add(texts[start : start + size])
    return columns.finish()


@examples(200)
@given(
    steps=STEPS,
    names=st.one_of(st.none(), st.lists(st.sampled_from([*NAMES, "gone"]), max_size=4, unique=True)),
    size=st.integers(min_value=1, max_value=5),
    as_text=st.sampled_from([as_sqlite, as_postgresql]),
)
@example(steps=[{"a": {"loss": 1.0}}, {"loss": 2.0}], names=["loss"], size=5, as_text=as_sqlite)
@example(steps=[{'a"loss': 1.0}, {"loss": 2.0}], names=["loss"], size=5, as_text=as_postgresql)
@example(steps=[{"loss": "a,b"}, {"loss": "c,d"}], names=["loss"], size=5, as_text=as_sqlite)
@example(steps=[{"loss": [1.0, 2.0]}, {"loss": "NaN"}], names=["loss"], size=1, as_text=as_sqlite)
@example(steps=[{"loss": "NaN"}] * 3, names=["loss"], size=5, as_text=as_postgresql)
@example(steps=[{"loss": 1}, {"loss": True}, {"a_loss": 1.5}], names=["loss", "a_loss"], size=1, as_text=as_sqlite)
@example(steps=[{"loss": 2**53}, {"loss": 2**53 + 1}], names=["loss"], size=1, as_text=as_sqlite)
@example(steps=[{"loss": 1}, {"loss": 2}, {"loss": 0.5}], names=["loss"], size=2, as_text=as_sqlite)
@example(steps=[{"loss": -0.0}, {"loss": None}], names=["loss"], size=1, as_text=as_sqlite)
def test_every_value_is_the_one_of_its_step(steps: Any, names: Any, size: int, as_text: Any) -> None:
    """As if each step's JSON were parsed alone: the same values of the same types, and what is missing is None."""
    found = columns_of([as_text(step) for step in steps], names, size)
    assert set(found) == (set().union(*steps) if names is None else set(names))
    for name, column in found.items():
        values = expected(steps, name)
        assert repr(cells(column)) == repr(values)
        assert are_numbers(column) == is_numeric(values)
        assert are_there(column).tolist() == [value is not None for value in values]
        shown = metric_series(column)
        assert str(shown.dtype) == ("float64" if is_numeric(values) else "object")
        assert len(shown) == len(steps)
        assert repr(metric_series(column, "object").tolist()) == repr(values)
