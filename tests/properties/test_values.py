"""A value that is written is the value that is read, on both databases."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import fractions
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import select

from properties.profiles import examples
from trainstore.run import ActiveRun
from trainstore.store import TrainStore
from trainstore.values import restore

PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
ANY_TEXT = st.text(st.characters(exclude_categories=[]))
NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(
        [0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, 0.1 + 0.2, 1e16, 1e15, 1e22,
         2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 2**200, 123456789.123456789]
    ),
)  # fmt: skip
SCALARS = st.one_of(NUMBERS, st.booleans(), st.none(), ANY_TEXT, st.sampled_from(["NaN", "Infinity", "-Infinity"]))
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(PLAIN_TEXT.filter(lambda key: key[:1] != "$"), inner, max_size=4)
    ),
    max_leaves=8,
)


class Colour(enum.Enum):
    RED = "red"
    NUMBER = 3


class Level(enum.IntEnum):
    HIGH = 7


@dataclasses.dataclass
class Config:
    rate: float
    name: str


class Bare:
    pass


class Hostile:
    """Raises from everything that a serialiser may try."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __bool__ = __repr__

    @property
    def shape(self) -> Any:
        raise RuntimeError("shape")

    @property
    def item(self) -> Any:
        raise RuntimeError("item")


def cycle() -> list[Any]:
    inner: list[Any] = [1]
    inner.append({"again": inner})
    return inner


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


CONVERTED: list[tuple[Any, Any]] = [
    (np.float32(0.5), 0.5),
    (np.float64("nan"), math.nan),
    (np.float16("inf"), math.inf),
    (np.int64(-3), -3),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.bool_(True), True),
    (np.str_("text"), "text"),
    (np.array(2.5), 2.5),
    (np.array([[2.5]]), 2.5),
    (np.array([1.0, 2.0]), [1.0, 2.0]),
    (decimal.Decimal("1.5"), 1.5),
    (fractions.Fraction(1, 4), 0.25),
    (Colour.RED, "red"),
    (Colour.NUMBER, 3),
    (Level.HIGH, 7),
    (pathlib.PurePosixPath("/a/b"), "/a/b"),
    (Config(0.5, "x"), {"rate": 0.5, "name": "x"}),
    ((1, (2.5, "x")), [1, [2.5, "x"]]),
    ({1: "one", None: 2}, {"1": "one", "None": 2}),
    ("a\x00b", "a\\u0000b"),
    ("lone \ud800 half", "lone \\ud800 half"),
]
KEPT_AS_TEXT: list[Any] = [
    object(), Bare(), Hostile(), Config, len, lambda: None, {1, 2}, frozenset(), b"bytes", bytearray(b"x"), 1 + 2j,
    decimal.Decimal("1e400"), np.zeros((1_001, 2)), np.datetime64("2020-01-01"), range(3),
    ValueError("x"), iter([1]), {"$repr": 1}, {"$int": "no digits"}, 10**5000, Ellipsis, NotImplemented, slice(1),
]  # fmt: skip


def expected(value: Any) -> Any:
    """What the documentation says is read back; independent of the code that does it."""
    if isinstance(value, str):
        special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
        text = "".join(
            f"\\u{ord(char):04x}" if char == "\x00" or 0xD800 <= ord(char) < 0xE000 else char for char in value
        )
        return special.get(value, text)
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, dict):
        return {key or "~empty": expected(item) for key, item in value.items()}
    return value


def same(one: Any, other: Any, *, exact: bool) -> bool:
    """Equal with types; where not ``exact`` (jsonb), whole numbers from 1e16 and the sign of zero as float64."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b, exact=exact) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key], exact=exact) for key in one)
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (one, other))
    if numbers and not exact and isinstance(one, float) and (one == 0 or abs(one) >= 1e16):
        return float(one) == float(other)
    if isinstance(one, float) and isinstance(other, float) and one == 0:
        return other == 0 and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and one == other


class Target:
    """A run to write to and the way to read the same value back."""

    def __init__(self, store: TrainStore) -> None:
        self.store = store
        self.run: ActiveRun = store.start_run()
        self.exact = store.engine.dialect.name == "sqlite"
        self.step = 0

    def metric(self, name: str, value: Any) -> Any:
        self.step += 1
        self.run.log({name: value}, step=self.step)
        assert self.run.flush(60)
        table = self.store.table.step_log
        with self.store.engine.connect() as connection:
            metrics = connection.execute(select(table.c.metrics).where(table.c.step == self.step)).scalar_one()
        (found,) = metrics.values()
        return restore(found)

    def hyperparam(self, value: Any) -> Any:
        self.run.log_hyperparams({"value": value})
        assert self.run.flush(60)
        frame = self.store.list_hyperparams(self.run, namespace="hp", key="value")
        return frame["value"].iloc[0]


@pytest.fixture
def target(store: TrainStore) -> Iterator[Target]:
    made = Target(store)
    yield made
    assert made.run.finish()


@examples(100)
@given(value=JSON)
def test_a_metric_is_read_as_it_was_written(target: Target, value: Any) -> None:
    """Every JSON-like value comes back equal, with its type, through run.log and the step's row."""
    assert same(expected(value), target.metric("m", value), exact=target.exact)


@examples(40)
@given(value=JSON)
def test_a_hyperparameter_is_read_as_it_was_written(target: Target, value: Any) -> None:
    """The same through log_hyperparams and list_hyperparams, which gives on every database what both can keep."""
    assert same(expected(value), target.hyperparam(value), exact=False)


@examples(60)
@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_a_finite_float_keeps_every_bit_in_the_summary(target: Target, number: float) -> None:
    """Minimum, maximum and last value of a metric are the float64 that was logged."""
    assume(number != 0)
    name = f"m{target.step}"
    target.metric(name, number)
    frame = target.store.list_metrics(target.run)
    row = frame[frame["metric"] == name].iloc[0]
    assert (row["min"], row["max"], row["last"]) == (number, number, number)


@examples(40)
@given(name=st.one_of(ANY_TEXT, st.integers(), st.sampled_from(["", "'; DROP TABLE run; --", '"', "\\", "a.b", "%s"])))
def test_any_name_can_be_logged_and_asked_for(target: Target, name: Any) -> None:
    """A metric of any name is stored under one that the documentation foretells, and found by it."""
    kept = expected(str(name)) if str(name) not in ("NaN", "Infinity", "-Infinity") else str(name)
    assume(kept not in ("epoch", "step_time"))  # a number of these names goes into its own column, not into the metrics
    target.metric(name, 0.5)
    assert (kept if kept else "~empty") in set(target.store.list_metrics(target.run)["metric"])


@pytest.mark.parametrize(("value", "read"), CONVERTED, ids=lambda value: ascii(value)[:40])
def test_known_objects_become_what_they_hold(target: Target, value: Any, read: Any) -> None:
    """Numbers of any type, arrays, enums, paths, dataclasses, tuples and odd text are converted, not lost."""
    assert same(read, target.metric("m", value), exact=target.exact)
    assert same(read, target.hyperparam(value), exact=target.exact)


def test_anything_else_is_kept_as_text(target: Target) -> None:
    """What JSON cannot hold is kept as its repr, marked; neither log() nor the records beside it suffer."""
    for value in [*KEPT_AS_TEXT, {"inner": object()}, [Hostile()], cycle(), deep(1_000)]:
        for found in (target.metric("m", value), target.hyperparam(value)):
            while isinstance(found, (list, dict)):
                found = list(found.values())[-1] if isinstance(found, dict) else found[-1]
            assert isinstance(found, str), value
    assert target.metric("m", 0.5) == 0.5


def test_large_values_are_kept_whole_or_marked(target: Target) -> None:
    """A megabyte of text, or a list of 100,000 numbers, comes back; a repr longer than that is cut and says so."""
    text, numbers = "x" * 1_000_000, [float(number) for number in range(100_000)]
    assert target.metric("m", text) == text
    assert target.metric("m", numbers) == numbers
    assert target.metric("m", b"x" * 1_000_000).endswith("more characters)")
