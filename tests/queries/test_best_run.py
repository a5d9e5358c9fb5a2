"""The best run: finite values only, ties to the earlier run, found by an index."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import event

from queries.builders import START, Builder
from trainstore.errors import InvalidArgumentError
from trainstore.queries import RunRecord, get_best_run, list_runs, list_runs_grouped_by_metric


def best(
    builder: Builder, metric_name: str = "loss", metric_direction: str | None = "min", **arguments: Any
) -> RunRecord | None:
    with builder.reader() as reader:
        return get_best_run(reader, metric_name=metric_name, metric_direction=metric_direction, **arguments)


def ranked(
    builder: Builder, metric_name: str = "loss", metric_direction: str = "min", **arguments: Any
) -> pd.DataFrame:
    with builder.reader() as reader:
        return list_runs_grouped_by_metric(
            reader, metric_name=metric_name, metric_direction=metric_direction, **arguments
        )


def summary(low: float | None, high: float | None, last: float | None) -> dict[str, Any]:
    """A row of metric_summary; the steps say what is where."""
    return {"min": low, "min_step": 11, "max": high, "max_step": 22, "last": last, "last_step": 33}


@pytest.mark.parametrize(
    ("direction", "by", "winner", "value", "step"),
    [
        ("min", "best", "low", 0.1, 11),
        ("max", "best", "high", 9.0, 22),
        ("min", "last", "end-low", 0.4, 33),
        ("max", "last", "end-high", 0.9, 33),
    ],
)
def test_the_best_over_the_steps_or_the_best_at_the_end(
    builder: Builder, direction: str, by: str, winner: str, value: float, step: int
) -> None:
    """by says whether the minimum and maximum over a run's steps count, or its last value."""
    for name, row in {
        "low": summary(0.1, 1.0, 0.5),
        "high": summary(0.2, 9.0, 0.5),
        "end-low": summary(0.3, 1.0, 0.4),
        "end-high": summary(0.3, 1.0, 0.9),
    }.items():
        builder.run(name, metrics={"loss": row})
    found = best(builder, metric_direction=direction, by=by)
    assert found is not None
    assert (found.name, found.sort_metric_name, found.sort_metric_value, found.sort_metric_step) == (
        winner,
        "loss",
        value,
        step,
    )
    frame = ranked(builder, metric_direction=direction, by=by)
    assert len(frame) == 4
    assert (frame["name"][0], frame["sort_metric_value"][0], frame["sort_metric_step"][0]) == (winner, value, step)
    assert frame["sort_metric_value"].is_monotonic_increasing or direction == "max"
    assert frame["sort_metric_value"].is_monotonic_decreasing or direction == "min"


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("by", ["best", "last"])
def test_nan_and_infinity_never_win(builder: Builder, direction: str, by: str) -> None:
    """Nor do they rank at all; and where there is nothing else, there is no best run."""
    builder.run("nan", metrics={"loss": math.nan})
    builder.run("plus", metrics={"loss": math.inf})
    builder.run("minus", metrics={"loss": -math.inf})
    builder.run("gone", metrics={"loss": {"count": 0}})
    builder.run("another", metrics={"acc": 1.0})
    assert best(builder, metric_direction=direction, by=by) is None
    assert ranked(builder, metric_direction=direction, by=by).empty
    builder.run("finite", metrics={"loss": 5.0})
    assert getattr(best(builder, metric_direction=direction, by=by), "name", None) == "finite"
    assert ranked(builder, metric_direction=direction, by=by)["name"].tolist() == ["finite"]


@pytest.mark.parametrize("direction", ["min", "max"])
def test_ties_go_to_the_earlier_run(builder: Builder, direction: str) -> None:
    """By its start; of runs that started together, to the one stored first."""
    for name, minutes in (("late", 5), ("early", 1), ("early too", 1), ("latest", 9)):
        builder.run(name, minutes=minutes, metrics={"loss": 0.5})
    assert getattr(best(builder, metric_direction=direction), "name", None) == "early"
    assert ranked(builder, metric_direction=direction)["name"].tolist() == ["early", "early too", "late", "latest"]


def test_the_record_is_the_whole_run(builder: Builder) -> None:
    """Hyperparameters by namespace, tags, last metrics, and what list_runs shows of it."""
    builder.run(
        "x",
        notes="n",
        last_step=40,
        hyperparams={"hp.lr": 0.1, "mth.n": 1, "dbh.d": [1], "env.e": "E", "tag.t": True},
        metrics={"loss": summary(0.1, 1.0, None), "acc": math.inf},
    )
    found = best(builder)
    assert found is not None
    assert (found.hyperparams, found.model_hyperparams, found.data_hyperparams, found.environment, found.tags) == (
        {"lr": 0.1},
        {"n": 1},
        {"d": [1]},
        {"e": "E"},
        {"t": True},
    )
    assert list(found.metrics) == ["acc", "loss"]
    assert found.metrics["acc"] == math.inf
    assert math.isnan(found.metrics["loss"])
    assert (found.notes, found.last_step, found.started_at, found.ended_at) == ("n", 40, START, None)
    assert (found.host, found.command, found.git_commit, found.git_dirty, found.attempts) == (
        "node1",
        "train.py --lr 1",
        "c0ffee",
        False,
        1,
    )


def test_sort_columns_stand_before_the_hyperparameters(builder: Builder) -> None:
    """The rest is as in list_runs, and so are its options."""
    builder.run("a", hyperparams={"hp.lr": 1, "mth.n": 2}, metrics={"loss": 0.5, "acc": 1.0})
    builder.run("b", hyperparams={"hp.lr": 2, "mth.n": 2}, metrics={"loss": 0.4, "acc": 1.0})
    frame = ranked(builder, hyperparams="varying", metrics=["acc"], limit=1)
    with builder.reader() as reader:
        plain = list(list_runs(reader).columns)
    place = plain.index("hp__lr")
    assert list(ranked(builder).columns) == [*plain[:place], "sort_metric_value", "sort_metric_step", *plain[place:]]
    assert frame["name"].tolist() == ["b"]


def test_filters_choose_among_whom(builder: Builder) -> None:
    """The best of a project, of a status, of runs with a hyperparameter, of what an expression admits."""
    builder.run("a", project="p", hyperparams={"hp.lr": 1}, metrics={"loss": 0.1}, status="failed")
    builder.run("b", project="p", hyperparams={"hp.lr": 2}, metrics={"loss": 0.2})
    builder.run("c", project="q", hyperparams={"hp.lr": 1, "tag.t": True}, metrics={"loss": 0.3})
    run = builder.models.run.c
    for arguments, winner in (
        ({}, "a"),
        ({"project": "q"}, "c"),
        ({"status": "finished"}, "b"),
        ({"hyperparams": {"lr": 2}}, "b"),
        ({"tag": "t"}, "c"),
        ({"where": run.name > "b"}, "c"),
        ({"name": []}, None),
    ):
        assert getattr(best(builder, **arguments), "name", None) == winner, arguments
        assert ranked(builder, **arguments)["name"].tolist()[:1] == ([winner] if winner else []), arguments


@pytest.mark.parametrize("name", ['it\'s "x" \\ %s :y', "'; DROP TABLE run; --", "Ünï/🦆", "a" * 400])
def test_any_name_of_a_metric_will_do(builder: Builder, name: str) -> None:
    """SQL in a name is a name; one that is too long is found under what it was stored as."""
    from trainstore.values import stored_name

    builder.run("x", metrics={stored_name(name): 1.0})
    assert getattr(best(builder, name), "name", None) == "x"


@pytest.mark.parametrize("direction", ["min", "max"])
def test_it_is_an_index_look_up(on_sqlite: Builder, direction: str) -> None:
    """The ranking reads the index of the metric in its order, and no step anywhere."""
    on_sqlite.run("x", metrics={"loss": 1.0}, steps={1: {"loss": 1.0}})
    sent: list[tuple[str, Any]] = []
    event.listen(
        on_sqlite.engine, "before_cursor_execute", lambda _c, _cursor, sql, values, *_: sent.append((sql, values))
    )
    assert best(on_sqlite, metric_direction=direction) is not None
    assert not [sql for sql, _ in sent if "step_log" in sql]
    (statement, parameters), *more = [(sql, values) for sql, values in sent if "ORDER BY metric_summary" in sql]
    assert not more
    with on_sqlite.engine.connect() as connection:
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert plan[0].startswith(f"SEARCH metric_summary USING INDEX ix_metric_summary_metric_{direction} (metric=?")
    # Only runs of equal value are sorted, by the two columns that break ties ("RIGHT PART", "LAST 2 TERMS").
    assert plan[-1].startswith("USE TEMP B-TREE FOR ")
    assert plan[-1].endswith(" OF ORDER BY")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metric_direction": "up"}, ["'up'", "'min'", "'max'"]),
        ({"metric_name": "score", "metric_direction": None}, ["'score'", "'min'"]),
        ({"by": "mean"}, ["'mean'", "'best'", "'last'"]),
        ({"metric_name": 7}, ["7"]),
        ({"metric_name": ""}, ["''"]),
        ({"hyperparams": ["lr"]}, ["lr", "mapping"]),
        ({"status": "dead"}, ["'dead'", "running", "lost"]),
    ],
)
def test_what_cannot_be_ranked_is_refused(on_sqlite: Builder, arguments: dict[str, Any], words: list[str]) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(InvalidArgumentError) as error:
        best(on_sqlite, **arguments)
    assert all(word in str(error.value) for word in words)


def test_a_study_says_which_values_of_its_objective_are_better(builder: Builder) -> None:
    """No direction has to be passed then; if studies disagree, or for any other metric, it has to."""
    for name, value in (("low", 0.25), ("high", 0.5)):
        metrics = {"objective": summary(value, value, value), "score": summary(value, value, value)}
        builder.run(name, project="up", metrics=metrics, hyperparams={"tag.study.direction": "maximize"})
        builder.run(name, project="down", metrics=metrics, hyperparams={"tag.study.direction": "minimize"})
        pair = {"objective_0": summary(value, value, value), "objective_1": summary(value, value, value)}
        directions = ["maximize", "minimize"]
        builder.run(name, project="pair", metrics=pair, hyperparams={"tag.study.direction": directions})

    def winner(metric: str, **conditions: Any) -> str:
        found = best(builder, metric, None, **conditions)
        assert found is not None
        return found.name

    assert (winner("objective", project="up"), winner("objective", project="down")) == ("high", "low")
    assert (winner("objective_0", project="pair"), winner("objective_1", project="pair")) == ("high", "low")
    for metric, project in (("objective", ["up", "down"]), ("score", "up"), ("objective", "none")):
        with pytest.raises(InvalidArgumentError, match="pass metric_direction"):
            winner(metric, project=project)
