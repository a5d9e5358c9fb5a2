"""Which runs: the filters that every list takes."""

from __future__ import annotations

import math
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from queries.builders import START, Builder
from trainstore.errors import InvalidArgumentError
from trainstore.models import Run
from trainstore.queries import list_runs
from trainstore.redaction import REDACTED

HOSTILE = ["it's", 'say "x"', "100%", "%s %(x)s :y ?", "a\\b", "' OR 1=1 --", "Ünïcødé 🦆", "a\nb"]


def found(builder: Builder, **arguments: Any) -> set[str]:
    with builder.reader() as reader:
        return set(list_runs(reader, metrics=[], **arguments)["name"])


def test_texts_choose_by_project_name_and_status(builder: Builder) -> None:
    """One text or any of a list; several conditions must all hold; an empty list matches nothing."""
    builder.run("a", project="p")
    builder.run("b", project="p", status="failed")
    builder.run("c", project="q", status="pruned")
    assert found(builder, project="p") == {"a", "b"}
    assert found(builder, project=["p", "q"]) == {"a", "b", "c"}
    assert found(builder, project=("q", "nowhere")) == {"c"}
    assert found(builder, name="P") == set()
    assert found(builder, name={"a", "c"}, project="p") == {"a"}
    assert found(builder, status="failed") == {"b"}
    assert found(builder, status=["failed", "pruned"]) == {"b", "c"}
    for argument in ("project", "name", "status", "tag"):
        assert found(builder, **{argument: []}) == set()


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_only_a_text(builder: Builder, text: str) -> None:
    """SQL, quotes, percent signs and colons in a filter are compared, not run."""
    builder.run("plain", hyperparams={"hp.x": "plain", "tag.plain": True})
    builder.run(text, project=text, hyperparams={"hp.x": text, f"hp.{text}": 1, f"tag.{text}": text})
    assert found(builder, name=text) == {text}
    assert found(builder, project=text) == {text}
    assert found(builder, tag=text) == {text}
    assert found(builder, tag={text: text}) == {text}
    assert found(builder, hyperparams={"x": text}) == {text}
    assert found(builder, hyperparams={text: 1}) == {text}


def test_text_that_cannot_be_stored_is_compared_as_it_was_stored(builder: Builder) -> None:
    """NUL, which PostgreSQL refuses, is escaped in what is stored and so in the question."""
    from trainstore.values import plain_text

    builder.run(plain_text("a\x00b"), hyperparams={"hp.x": "c\x00d"})
    assert found(builder, name="a\x00b") == {"a\\u0000b"}
    assert found(builder, hyperparams={"x": "c\x00d"}) == {"a\\u0000b"}
    assert found(builder, project="\ud800") == set()


def test_tags(builder: Builder) -> None:
    """A text: it is there; a list: all are; a mapping: each has the value."""
    builder.run("a", hyperparams={"tag.x": True, "tag.y": True, "tag.seed": 1})
    builder.run("b", hyperparams={"tag.x": True, "tag.seed": 2})
    builder.run("c", hyperparams={"hp.x": True})
    assert found(builder, tag="x") == {"a", "b"}
    assert found(builder, tag=["x", "y"]) == {"a"}
    assert found(builder, tag={"seed": 2}) == {"b"}
    assert found(builder, tag={"x": True, "seed": [1, 2]}) == {"a", "b"}
    assert found(builder, tag={"x": 1}) == set()
    assert found(builder, tag={}) == {"a", "b", "c"}


VALUES: dict[str, Any] = {
    "one": 1, "half": 0.5, "true": True, "false": False, "text": "1", "none": None, "nan": math.nan, "inf": math.inf,
    "huge": 10**30, "list": [1, {"a": True}], "dict": {"b": 1, "a": [1.5]}, "empty": [], "big": 2**60, "zero": 0,
}  # fmt: skip


ASKED: list[tuple[Any, set[str]]] = [
    (1, {"one"}), (1.0, {"one"}), (0.5, {"half"}), (True, {"true"}), (False, {"false"}), (0, {"zero"}),
    ("1", {"text"}), (None, {"none"}), (math.nan, {"nan"}), (math.inf, {"inf"}), (-math.inf, set()),
    (10**30, {"huge"}), (2**60, {"big"}), ([[1, {"a": True}]], {"list"}), ([[1.0, {"a": True}]], {"list"}),
    ([[1, {"a": 1}]], set()), ({"a": [1.5], "b": 1.0}, {"dict"}),
    ([1, {"a": True}], {"one", "list"}), ((1.0, {"a": True}), {"one", "list"}),
    ({"a": [1.5]}, set()), ([[]], {"empty"}),
    ([1, "1", None], {"one", "text", "none"}), ([], set()), ({1, 0.5}, {"one", "half"}), ("2", set()),
    ([True, [1, {"a": True}]], {"true", "list"}),
]  # fmt: skip


def test_hyperparameters_are_compared_by_value_and_type(builder: Builder) -> None:
    """Numbers exactly, never with bools; a list means any of its items, or that very list."""
    for name, stored in VALUES.items():
        builder.run(name, hyperparams={"hp.x": stored})
    builder.run("without", hyperparams={"hp.y": 1, "mth.x": 1})
    for value, names in ASKED:
        assert found(builder, hyperparams={"x": value}) == names, value
        assert found(builder, hyperparams={"hp.x": value}) == names, value


def test_a_list_of_values_may_be_long(builder: Builder) -> None:
    """SQLite refuses a chain of some hundred ORs, so it is none."""
    builder.run("text", hyperparams={"hp.x": "x1700"})
    builder.run("number", hyperparams={"hp.x": 1700})
    builder.run("other", hyperparams={"hp.x": None})
    assert found(builder, hyperparams={"x": [f"x{number}" for number in range(2_000)]}) == {"text"}
    assert found(builder, hyperparams={"x": range(2_000)}) == {"number"}
    assert found(builder, hyperparams={"x": ["x1700", 1700, None]}) == {"text", "number", "other"}


SEVERAL: list[Any] = [
    [1, 2], (1, 2), {1, 2}, np.array([1, 2]), np.array([1.0, 2.0]), pd.Series([1, 2, None], dtype="Int64"),
    pd.Series([1, 2]).unique(), pd.Index([1, 2]), range(1, 3), {1: 0, 2: 0}.keys(), {"a": 1, "b": 2}.values(),
    [np.int64(1), Decimal(2)], deque([1, 2]),
]  # fmt: skip


def test_a_list_may_come_as_anything_that_holds_several_values(builder: Builder) -> None:
    """Arrays, columns of frames, ranges, views and generators are lists of values, any of which will do."""
    for layers in (1, 2, 3):
        builder.run(str(layers), hyperparams={"hp.layers": layers, "tag.n": layers, "hp.model": {"n": layers}})
    for values in SEVERAL:
        assert found(builder, hyperparams={"layers": values}) == {"1", "2"}, values
        assert found(builder, hyperparams={"model.n": values}) == {"1", "2"}, values
        assert found(builder, tag={"n": (value for value in list(values))}) == {"1", "2"}, values


def test_values_are_asked_for_as_a_frame_shows_them(builder: Builder) -> None:
    """Each value of a column finds the rows that hold it: also what is kept as a text, large ints, NA for None."""
    values = [
        2**53, 2**53 + 1, 2**60 + 1, 0.5, True, "a", None, datetime(2026, 1, 2), {3, 4}, 10**30, 1e300,  # noqa: DTZ001
        [1, 2], {"a": [1]}, b"x", math.inf, "NaN", "c\x00d", 2**63 - 1, float(2**62),
    ]  # fmt: skip
    for number, value in enumerate(values):
        builder.run(str(number), hyperparams={"hp.x": value, "hp.in": {"x": value}})
    with builder.reader() as reader:
        frame = list_runs(reader, hyperparams=["x", "in.x"])
    for column, name in (("hp__x", "x"), ("hp__in.x", "in.x")):
        for run, shown in zip(frame["name"], frame[column], strict=True):
            assert found(builder, hyperparams={name: shown}) == {run}, (name, shown)
            assert found(builder, hyperparams={name: [shown, "nowhere"]}) == {run}, (name, shown)
    assert found(builder, hyperparams={"x": pd.NA}) == found(builder, hyperparams={"in.x": pd.NaT}) == {"6"}
    assert found(builder, hyperparams={"x": pd.Timestamp("2026-01-02")}) == {"7"}
    assert found(builder, hyperparams={"x": np.array([2**53 + 1, 2**60])}) == {"1"}
    assert found(builder, hyperparams={"x": [np.bool_(True), np.float32(0.5), Decimal("0.5")]}) == {"3", "4"}
    assert found(builder, hyperparams={"x": int(1e300)}) == {"10"}


def test_large_integers_are_compared_exactly(builder: Builder) -> None:
    """Not as doubles, which tell neither 2^53 from 2^53 + 1 nor a seed from its neighbours."""
    for seed in (2**53, 2**53 + 1, 2**53 + 2, 2**62 + 1, -(2**60) - 1, 0.5):
        builder.run(str(seed), hyperparams={"hp.seed": seed, "hp.all": {"seed": seed}})
    for seed in (2**53, 2**53 + 1, 2**62 + 1, -(2**60) - 1):
        assert (
            found(builder, hyperparams={"seed": seed}) == found(builder, hyperparams={"all.seed": seed}) == {str(seed)}
        )
    assert found(builder, hyperparams={"seed": float(2**53)}) == {str(2**53)}
    assert found(builder, hyperparams={"seed": 2**62}) == set()
    with builder.reader() as reader:
        column = list_runs(reader)["hp__seed"]
    assert set(map(repr, column)) == {str(seed) for seed in (2**53, 2**53 + 1, 2**53 + 2, 2**62 + 1, -(2**60) - 1, 0.5)}


def test_a_secret_cannot_be_asked_for(builder: Builder) -> None:
    """It was not stored, so no answer would be right; that it is redacted can be asked."""
    builder.run("a", hyperparams={"hp.api_key": REDACTED, "hp.all": {"api_key": REDACTED}})
    for name in ("api_key", "all.api_key"):
        with pytest.raises(InvalidArgumentError, match=r"hp\.(all\.)?api_key .*secret") as error:
            found(builder, hyperparams={name: "my own key"})
        assert "my own key" not in str(error.value)
        assert found(builder, hyperparams={name: REDACTED}) == {"a"}


def test_namespaces_are_told_apart(builder: Builder) -> None:
    """A name alone is one of hp; one that begins with another namespace and a dot is that namespace's."""
    builder.run("a", hyperparams={"hp.n": 1, "mth.n": 2, "hp.optim.lr": 3})
    assert found(builder, hyperparams={"n": 1}) == found(builder, hyperparams={"mth.n": 2}) == {"a"}
    assert found(builder, hyperparams={"n": 2}) == found(builder, hyperparams={"env.n": 2}) == set()
    assert found(builder, hyperparams={"optim.lr": 3, "hp.optim.lr": 3}) == {"a"}
    assert found(builder, hyperparams={"n": 1, "mth.n": 1}) == set()


def test_expressions(builder: Builder) -> None:
    """One or several, over the run's columns; other tables through a subquery."""
    builder.run("a", minutes=1, last_step=10)
    builder.run("b", minutes=2, last_step=20, metrics={"loss": 1.0})
    run, summary = builder.models.run.c, builder.models.metric_summary.c
    assert found(builder, where=run.last_step > 10) == {"b"}
    assert found(builder, where=[run.last_step > 1, run.started_at < START + timedelta(minutes=2)]) == {"a"}
    assert found(builder, where=run.id.in_(select(summary.run_id).where(summary.metric == "loss"))) == {"b"}
    assert found(builder, where=Run.name == "a") == {"a"}
    assert found(builder, where=[]) == {"a", "b"}


def test_a_prefix_has_tables_of_its_own(new_database: Any) -> None:
    """Queries read the tables of the store's prefix."""
    url = new_database("sqlite", migrated=False)
    builders = [Builder(url), Builder(url, prefix="t_")]
    for name, builder in zip(("plain", "prefixed"), builders, strict=True):
        builder.models.metadata.create_all(builder.engine)
        builder.run(name, hyperparams={"hp.x": 1}, metrics={"loss": 1.0})
    for name, builder in zip(("plain", "prefixed"), builders, strict=True):
        assert found(builder, hyperparams={"x": 1}, where=builder.models.run.c.id > 0) == {name}
        builder.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"status": "dead"}, ["'dead'", "running", "finished", "failed", "interrupted", "pruned", "lost"]),
        ({"status": ["lost", "dead"]}, ["'dead'"]),
        ({"project": 7}, ["project", "7"]),
        ({"name": ["a", 7]}, ["name", "7"]),
        ({"tag": 7}, ["tag", "7"]),
        ({"tag": b"x"}, ["tag", "b'x'"]),
        ({"hyperparams": {7: 1}}, ["7"]),
        ({"where": True}, ["True", "expression"]),
        ({"where": b"name = 'a'"}, ["name = 'a'", "expression"]),
        ({"hyperparams": {"x": lambda value: value > 1}}, ["lambda", "where="]),
        ({"hyperparams": {"x": {"$gt": 1}}}, ["$gt", "operator", "where="]),
        ({"hyperparams": {"x": pd.DataFrame({"x": [1]})}}, ["shape (1, 1)"]),
        ({"where": pd.Series([True])}, ["Series"]),
        ({"hyperparams": {"x": slice(1, 2)}}, ["slice"]),
        ({"hyperparams": {"x": Run.last_step > 1}}, ["where="]),
        ({"tag": {7: 1}}, ["tag", "7"]),
        ({"where": [None]}, ["None", "expression"]),
        ({"where": Run.metadata.tables["attempt"].c.host == "x"}, ["attempt", "run.c.id.in_"]),
    ],
)
def test_what_is_no_filter_is_refused(on_sqlite: Builder, arguments: dict[str, Any], words: list[str]) -> None:
    """The message names the argument's value and what is allowed."""
    with pytest.raises(InvalidArgumentError) as error:
        found(on_sqlite, **arguments)
    assert all(word in str(error.value) for word in words)


def test_runs_are_chosen_by_when_they_started(builder: Builder) -> None:
    """``since`` includes its moment, ``until`` does not; times in any type, or how long ago."""
    builder.run("old", minutes=0)
    builder.run("later", minutes=60)
    builder.insert("run", _now("new"))
    at = START + timedelta(minutes=60)
    for since in (at, at.isoformat(), at.replace(tzinfo=None).isoformat(), np.datetime64(at.replace(tzinfo=None))):
        assert found(builder, since=since) == {"later", "new"}
        assert found(builder, until=since) == {"old"}
    assert found(builder, since=START.date(), until=START.date() + timedelta(days=1)) == {"old", "later"}
    for since in ("1h", "-1h", " 1h30m ", timedelta(hours=1), "2026-06-01"):
        assert found(builder, since=since) == {"new"}
        assert found(builder, until=since) == {"old", "later"}
    assert found(builder, since="999999999w") == found(builder, since=timedelta.max) == {"old", "later", "new"}


def _now(name: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"uid": name, "name": name, "project": "p", "status": "finished", "source": "python", "started_at": now}


NO_TIMES = ["yesterday", "7", "7x", "", 7, [START], START.replace(tzinfo=None), np.datetime64("NaT")]


@pytest.mark.parametrize("value", NO_TIMES)
def test_what_is_no_time_is_refused(builder: Builder, value: Any) -> None:
    """The message names the argument and how to write a time."""
    for argument in ("since", "until"):
        with pytest.raises(InvalidArgumentError, match=f"^{argument}: .*how long ago, like '7d'"):
            found(builder, **{argument: value})


def test_an_operator_with_a_value_is_refused(builder: Builder) -> None:
    """The message has the condition as text; a list that begins with such a text is still a list."""
    builder.run("a", hyperparams={"hp.lr": 0.1, "hp.optim": {"sign": ">"}})
    with pytest.raises(InvalidArgumentError, match=r"write a condition as text: where='hp.lr > 0.005'"):
        found(builder, hyperparams={"lr": (">", 0.005)})
    with pytest.raises(InvalidArgumentError, match=r"where='hp.optim.sign <= 3'"):
        found(builder, hyperparams={"optim.sign": ["<=", 3]})
    assert found(builder, hyperparams={"optim.sign": ["<", ">"]}) == {"a"}
    assert found(builder, hyperparams={"optim.sign": [">", 1, 2]}) == {"a"}
