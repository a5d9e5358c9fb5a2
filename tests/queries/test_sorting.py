"""The order of a run table: by a field, either way, with what is missing last."""

from __future__ import annotations

import math
from typing import Any

import pytest

from queries.builders import Builder
from trainstore.errors import FilterError, InvalidArgumentError
from trainstore.queries import list_runs


def order(builder: Builder, **arguments: Any) -> list[str]:
    with builder.reader() as reader:
        return list(list_runs(reader, **arguments)["name"])


@pytest.fixture
def four(builder: Builder) -> Builder:
    """Four runs, d the newest."""
    builder.run("a", minutes=1, metrics={"loss": 2.0}, hyperparams={"hp.lr": 0.1, "hp.optim": {"name": "sgd"}})
    builder.run("B", minutes=2, metrics={"loss": -1.0}, hyperparams={"hp.lr": 10, "hp.optim": {"name": "adam"}})
    builder.run("c", minutes=3, metrics={"loss": math.nan}, hyperparams={"hp.lr": "auto", "tag.rank": 2})
    builder.run("d", minutes=4, hyperparams={"hp.x": 1, "tag.rank": 1}, last_step=7, project="other")
    return builder


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        (None, "dcBa"),
        ("started", "aBcd"),
        ("-started_at", "dcBa"),
        ("metric.loss", "Badc"),
        ("-metric.loss", "aBdc"),
        ("loss", "Badc"),
        (" - metric__loss ", "aBdc"),
        ("hp.lr", "aBcd"),
        ("-lr", "cBad"),
        ("hp.optim.name", "Badc"),
        ("name", "Bacd"),
        ("-name", "dcaB"),
        ("tag.rank", "dcBa"),
        ("-tag.rank", "cdBa"),
        ("last_step", "dcBa"),
        ("run_id", "aBcd"),
        ("metric.loss.count", "dcBa"),
        (["project", "name"], "Bacd"),
        (["-project", "-name"], "dcaB"),
        ([], "dcBa"),
    ],
)
def test_runs_are_sorted_by_a_field(four: Builder, sort: Any, names: str) -> None:
    """Numbers before texts; missing values and NaN last in both directions; ties stay newest first."""
    assert order(four, sort=sort) == list(names)


def test_the_limit_counts_in_that_order(four: Builder) -> None:
    """The first of the sorted runs are shown, and filters choose before that."""
    assert order(four, sort="metric.loss", limit=2) == ["B", "a"]
    assert order(four, sort="-started", limit=1, where="hp.lr > 0") == ["B"]
    with four.reader() as reader:
        frame = list_runs(reader, sort="name", limit=3)
    assert frame["hp__lr"].tolist() == [10, 0.1, "auto"]
    assert frame["metric__loss"].tolist()[:2] == [-1.0, 2.0]


@pytest.mark.parametrize(
    ("sort", "words"),
    [
        ("metric.los", "sort, character 1: there is no metric los; did you mean metric.loss"),
        ("-lss", "sort, character 2: there is no hyperparameter or field lss; did you mean metric.loss"),
        ("tag", "tag has no order; sort by one tag"),
        ("-", "there is no name; write e.g. metric.loss"),
    ],
)
def test_a_name_that_has_no_order_is_refused(four: Builder, sort: str, words: str) -> None:
    """The error says where it is and has the closest names."""
    with pytest.raises(FilterError, match=words):
        order(four, sort=sort)


@pytest.mark.parametrize("sort", [5, [5], {"name": 1, 3: 2}])
def test_something_else_is_not_a_field(four: Builder, sort: Any) -> None:
    """Only texts name fields."""
    with pytest.raises(InvalidArgumentError, match=r"is not the name of a field; pass e\.g\. 'metric.loss'"):
        order(four, sort=sort)


def test_a_short_table_shows_what_it_was_sorted_and_chosen_by(four: Builder) -> None:
    """Metrics and hyperparameters that ``sort`` and ``where`` name come first; tags, and what no run has, do not."""
    four.run("e", minutes=5, metrics={"loss": 1.0, "grad_norm": 3.0}, hyperparams={"hp.lr": 0.1, "hp.depth": 2})
    four.run("f", minutes=6, metrics={"loss": 1.0, "grad_norm": 2.0}, hyperparams={"hp.lr": 0.2, "hp.depth": 2})

    def columns(**arguments: Any) -> list[str]:
        with four.reader() as reader:
            return list(list_runs(reader, columns="short", **arguments).columns[7:])

    both = ["e", "f"]
    assert columns(name=both) == ["metric__loss", "hp__lr"]
    assert columns(name=both, sort="metric.grad_norm") == ["metric__grad_norm", "metric__loss", "hp__lr"]
    by_two = columns(where=["hp.depth = 2"], sort=["-lr", "grad_norm"])
    assert by_two == ["metric__grad_norm", "metric__loss", "hp__depth", "hp__lr"]
    nested = columns(where="hp.optim.name = sgd or (tag.rank > 5 and not metric.loss)")
    assert nested == ["metric__loss", "hp__optim.name"]
    assert columns(name="e", where="not hp.optim.name = sgd") == ["metric__loss"]
    chosen = columns(name=both, where="depth > 1", hyperparams=["lr"], metrics=["loss"])
    assert chosen == ["metric__loss", "hp__lr"]
