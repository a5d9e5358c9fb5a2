"""Which runs: the filters that every list takes."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from queries.builders import START, Builder
from trainstore.errors import InvalidArgumentError
from trainstore.models import Run
from trainstore.queries import list_runs

HOSTILE = ["it's", 'say "x"', "100%", "%s %(x)s :y ?", "a\\b", "' OR 1=1 --", "Ünïcødé 🦆", "a\nb"]


def found(builder: Builder, **arguments: Any) -> set[str]:
    with builder.reader() as reader:
        return set(list_runs(reader, **arguments)["name"])


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


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (1, {"one"}), (1.0, {"one"}), (0.5, {"half"}), (True, {"true"}), (False, {"false"}), (0, {"zero"}),
        ("1", {"text"}), (None, {"none"}), (math.nan, {"nan"}), (math.inf, {"inf"}), (-math.inf, set()),
        (10**30, {"huge"}), (2**60, {"big"}), ([[1, {"a": True}]], {"list"}), ([[1.0, {"a": True}]], {"list"}),
        ([[1, {"a": 1}]], set()), ({"a": [1.5], "b": 1.0}, {"dict"}), ({"a": [1.5]}, set()), ([[]], {"empty"}),
        ([1, "1", None], {"one", "text", "none"}), ([], set()), ({1, 0.5}, {"one", "half"}), ("2", set()),
        ([True, [1, {"a": True}]], {"true", "list"}),
    ],
)  # fmt: skip
def test_hyperparameters_are_compared_by_value_and_type(builder: Builder, value: Any, names: set[str]) -> None:
    """Numbers as float64, never with bools; a list means any of its items, so a list's own value stands in one."""
    for name, stored in VALUES.items():
        builder.run(name, hyperparams={"hp.x": stored})
    builder.run("without", hyperparams={"hp.y": 1, "mth.x": 1})
    assert found(builder, hyperparams={"x": value}) == names
    assert found(builder, hyperparams={"hp.x": value}) == names


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
        ({"where": "name = 'a'"}, ["name = 'a'", "expression"]),
        ({"where": [None]}, ["None", "expression"]),
        ({"where": Run.metadata.tables["attempt"].c.host == "x"}, ["attempt", "run.c.id.in_"]),
    ],
)
def test_what_is_no_filter_is_refused(on_sqlite: Builder, arguments: dict[str, Any], words: list[str]) -> None:
    """The message names the argument's value and what is allowed."""
    with pytest.raises(InvalidArgumentError) as error:
        found(on_sqlite, **arguments)
    assert all(word in str(error.value) for word in words)
