"""list_step_logs: every point of the current history, wide or tidy."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import update

from queries.builders import START, Builder
from trainstore.errors import InvalidArgumentError, RunNotFoundError
from trainstore.queries import get_current_step, list_runs, list_step_logs
from trainstore.values import canonical

FIXED = {"step": "int64", "epoch": "float64", "step_time": "float64", "logged_at": "datetime64[us, UTC]"}
TIDY = {"run": "object", "name": "object", "step": "int64", "metric": "object", "value": "float64"}
HOSTILE = ['say "x"', "a\\b", "it's", "100%", "a.b", "$.x", "Ünï 🦆", "'; DROP TABLE run; --"]


def logs(builder: Builder, runs: Any, **arguments: Any) -> pd.DataFrame:
    with builder.reader() as reader:
        return list_step_logs(reader, runs, **arguments)


def resumed(builder: Builder) -> str:
    """A run of steps 0 to 4 that was resumed at 2 and went on to 4."""
    uid = builder.run("resumed", steps={step: {"loss": 10.0 + step} for step in range(5)})
    run_id = builder.run_id(uid)
    attempt = builder.models.attempt
    with builder.engine.begin() as connection:
        connection.execute(update(attempt).where(attempt.c.run_id == run_id).values(end_step=2))
    builder.attempt(run_id, 2, resumed_from=1, start_step=2)
    for step in (4, 3):
        builder.step(run_id, step, {"loss": 20.0 + step, "acc": 0.5}, attempt=2)
    return uid


def test_one_row_a_step_in_order(builder: Builder) -> None:
    """Fixed columns first, then one a metric, sorted by name; absent is NaN."""
    steps = {7: {"loss": 0.5, "epoch": 0.1, "step_time": 0.25}, 2: {"loss": 1}, 10**12: {"acc": 1.0}, 0: {"loss": 2.5}}
    builder.run("x", steps=steps)
    frame = logs(builder, "x")
    assert dict(frame.dtypes.astype(str)) == {**FIXED, "acc": "float64", "loss": "float64"}
    assert frame["step"].tolist() == [0, 2, 7, 10**12]
    assert frame["loss"].tolist()[:3] == [2.5, 1.0, 0.5]
    assert math.isnan(frame["loss"][3])
    assert frame["acc"].isna().tolist() == [True, True, True, False]
    assert (frame["epoch"][2], frame["step_time"][2]) == (0.1, 0.25)
    assert frame["logged_at"][1] == START + timedelta(seconds=2)


def test_nan_and_infinity_come_back_as_numbers(builder: Builder) -> None:
    """In float64 columns; None is NaN there too."""
    builder.run("x", steps=dict(enumerate({"v": v} for v in (math.nan, math.inf, -math.inf, None, 1, 0.1, 2**53))))
    for metrics in (None, ["v"]):
        column = logs(builder, "x", metrics=metrics)["v"]
        assert str(column.dtype) == "float64"
        assert [repr(value) for value in column] == ["nan", "inf", "-inf", "nan", "1.0", "0.1", "9007199254740992.0"]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1.5, "text"], [1.5, "text"]),
        ([True, False], [True, False]),
        ([1, True], [1, True]),
        ([[1, "NaN"], {"a": math.inf}], [[1, math.nan], {"a": math.inf}]),
        ([10**30, 1], [10**30, 1]),
        (["1.5", "2"], ["1.5", "2"]),
    ],
)
def test_what_is_not_all_numbers_stays_what_it_is(builder: Builder, values: list[Any], shown: list[Any]) -> None:
    """An object column of Python values, None where a step has none."""
    builder.run("x", steps={**dict(enumerate({"v": value} for value in values)), 99: {"other": 1}})
    column = logs(builder, "x")["v"]
    assert str(column.dtype) == "object"
    assert repr(column.tolist()) == repr([*shown, None])
    assert repr(logs(builder, "x", tidy=True, metrics=["v"])["value"].tolist()) == repr(shown)


def test_only_some_metrics(builder: Builder) -> None:
    """In the order asked for, each once; one that nobody logged is a column of NaN; every step keeps its row."""
    builder.run("x", steps={0: {"a": 1, "b": 2, "c": 3}, 1: {"c": 4}})
    frame = logs(builder, "x", metrics=["c", "gone", "a", "c"])
    assert list(frame.columns) == [*FIXED, "c", "gone", "a"]
    assert frame["c"].tolist() == [3, 4]
    assert frame[["gone", "a"]].isna().to_numpy().tolist() == [[True, False], [True, True]]
    assert list(logs(builder, "x", metrics=[]).columns) == list(FIXED)
    assert list(logs(builder, "x", metrics=["epoch", "a", "step_time"]).columns) == [*FIXED, "a"]


def test_one_metric_is_the_same_alone(builder: Builder) -> None:
    """Whatever the others are: text that looks like it, lists, mappings, numbers of any kind."""
    metrics: dict[str, Any] = {"loss": 0.1, "eval_loss": 1e-7, 'a"loss': 5.0, "n": 2**53 + 1, "text": '"loss":9,{'}
    odd: dict[str, Any] = {"nested": {"loss": 7.0}, "list": [1, {"loss": 8}], "loss": math.nan, "flag": True}
    builder.run("plain", steps={step: {"loss": step / 3, "eval_loss": None} for step in range(400)})
    builder.run("odd", steps={0: metrics, 1: {"loss": -math.inf}, 2: odd, 3: {"eval_loss": 3}, 4: {"loss": 0.25}})
    for run in ("plain", "odd", ["odd", "plain"]):
        every = logs(builder, run)
        for name in every.columns[len(FIXED) :]:
            if name not in FIXED:
                alone = logs(builder, run, metrics=[name])[name]
                assert repr(alone.tolist()) == repr(every[name].tolist())
                assert alone.dtype == every[name].dtype
    assert logs(builder, "plain", metrics=["loss"])["loss"].tolist() == [step / 3 for step in range(400)]


@pytest.mark.parametrize("name", [*HOSTILE, "x" * 400])
def test_any_name_of_a_metric_is_a_column(builder: Builder, name: str) -> None:
    """Quotes and backslashes too, which SQLite's JSON paths cannot name; a long name is found as it was stored."""
    from trainstore.values import stored_name

    stored = stored_name(name)
    builder.run("x", steps={0: {stored: 1.5, "loss": 1}})
    assert logs(builder, "x", metrics=[name])[stored].tolist() == [1.5]
    assert logs(builder, "x")[stored].tolist() == [1.5]


def test_names_of_our_own_columns_get_a_prefix(builder: Builder) -> None:
    """Whichever of them are shown; and no two metrics share a column."""
    odd = {"step": 7, "run": 8, "metric__run": 9, "attempt": 1, "logged_at": 2, "details": 3, "name": 4}
    builder.run("x", steps={0: odd})
    frame = logs(builder, "x")
    assert frame.iloc[0, len(FIXED) :].to_dict() == {
        "metric__step": 7,
        "metric__run": 8,
        "metric__metric__run": 9,
        "metric__attempt": 1,
        "metric__logged_at": 2,
        "metric__details": 3,
        "metric__name": 4,
    }
    assert logs(builder, "x", metrics=["run"])["metric__run"].tolist() == [8]


def test_the_current_history_or_every_attempt(builder: Builder) -> None:
    """Superseded steps are hidden, and shown with their attempt when asked for."""
    uid = resumed(builder)
    current = logs(builder, uid)
    assert current["step"].tolist() == [0, 1, 2, 3, 4]
    assert current["loss"].tolist() == [10, 11, 12, 23, 24]
    every = logs(builder, uid, attempts="all")
    assert list(every.columns) == ["step", "attempt", "epoch", "step_time", "logged_at", "acc", "loss"]
    assert every[["step", "attempt"]].to_numpy().tolist() == [[0, 1], [1, 1], [2, 1], [3, 1], [3, 2], [4, 1], [4, 2]]
    tidy = logs(builder, uid, attempts="all", tidy=True, metrics=["loss"])
    assert list(tidy.columns) == ["run", "name", "step", "attempt", "metric", "value"]
    assert tidy["value"].tolist() == [10, 11, 12, 13, 23, 14, 24]


def test_several_runs(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uid and name come first; rows are sorted by run id and step; metrics of one run are NaN in another."""
    monkeypatch.setattr("trainstore.queries.reader.IN_LIMIT", 2)
    a = builder.run("a", steps={1: {"loss": 1}, 0: {"loss": 2}})
    builder.run("never asked for", steps={0: {"noise": 1}})
    b = builder.run("b", steps={0: {"acc": 3}})
    c = builder.run("c", steps={5: {"loss": 4}})
    empty = builder.run("empty")
    frame = logs(builder, [c, "a", b, a, empty])
    assert list(frame.columns) == ["run", "name", *FIXED, "acc", "loss"]
    assert frame["run"].tolist() == [a, a, b, c]
    assert frame["name"].tolist() == ["a", "a", "b", "c"]
    assert logs(builder, [c, a], tidy=True)["name"].tolist() == ["a", "a", "c"]
    assert frame["step"].tolist() == [0, 1, 0, 5]
    assert frame["acc"].isna().tolist() == [True, True, False, True]
    assert list(logs(builder, [a]).columns) == ["run", "name", *FIXED, "loss"]
    with builder.reader() as reader:
        runs = list_runs(reader, name=["a", "b"])
    assert logs(builder, runs)["run"].tolist() == [a, a, b]
    assert logs(builder, runs["uid"])["run"].tolist() == [a, a, b]
    assert logs(builder, runs.iloc[0])["step"].tolist() == logs(builder, runs["name"].iloc[0])["step"].tolist()


def test_tidy_is_one_row_a_value(builder: Builder) -> None:
    """By run, step and name; NaN is a value, None and absent are not."""
    uid = builder.run("x", steps={0: {"loss": 1, "acc": math.nan}, 1: {"loss": None}, 2: {"loss": 3, "epoch": 0.5}})
    frame = logs(builder, uid, tidy=True)
    assert dict(frame.dtypes.astype(str)) == TIDY
    assert repr(frame.to_numpy().tolist()) == repr(
        [[uid, "x", 0, "acc", math.nan], [uid, "x", 0, "loss", 1.0], [uid, "x", 2, "loss", 3.0]]
    )
    asked = logs(builder, uid, tidy=True, metrics=["loss", "epoch", "gone"])
    assert asked[["step", "metric", "value"]].to_numpy().tolist() == [
        [0, "loss", 1.0],
        [2, "loss", 3.0],
        [2, "epoch", 0.5],
    ]


def test_an_int_that_float64_would_round_stays_one(builder: Builder) -> None:
    """A metric with such values is a column of objects, a seed or a counter is as it was logged."""
    uid = builder.run("x", steps={0: {"seed": 2**53 + 1, "count": 2**60}, 1: {"seed": 0.5, "count": 1}})
    frame = logs(builder, uid)
    assert frame["seed"].tolist() == [2**53 + 1, 0.5]
    assert frame["seed"].map(type).tolist() == [int, float]
    assert (str(frame["count"].dtype), frame["count"].tolist()) == ("float64", [2.0**60, 1.0])
    assert logs(builder, uid, tidy=True, metrics=["seed"])["value"].tolist() == [2**53 + 1, 0.5]


def test_details(builder: Builder) -> None:
    """What is no metric comes back as it was, where asked for."""
    run_id = builder.run_id(builder.run("x"))
    builder.step(run_id, 0, {"loss": 1}, details=canonical({"sample": "it's", "n": [math.inf]}))
    builder.step(run_id, 1, {"loss": 1})
    frame = logs(builder, run_id, details=True)
    assert list(frame.columns) == [*FIXED, "details", "loss"]
    assert frame["details"].tolist() == [{"sample": "it's", "n": [math.inf]}, None]
    assert "details" not in logs(builder, run_id)


def test_a_run_without_steps_has_typed_columns(builder: Builder) -> None:
    """And so has no run at all."""
    builder.run("x")
    assert dict(logs(builder, "x").dtypes.astype(str)) == FIXED
    assert dict(logs(builder, [], attempts="all", details=True).dtypes.astype(str)) == {
        "run": "object",
        "name": "object",
        "step": "int64",
        "attempt": "int64",
        "epoch": "float64",
        "step_time": "float64",
        "logged_at": "datetime64[us, UTC]",
        "details": "object",
    }
    assert dict(logs(builder, "x", tidy=True).dtypes.astype(str)) == TIDY
    assert dict(logs(builder, "x", tidy=True, metrics=["a"]).dtypes.astype(str)) == TIDY
    assert str(logs(builder, "x", metrics=["a"])["a"].dtype) == "float64"


def test_every_point_is_there(builder: Builder) -> None:
    """More than one chunk of rows, whose names change on the way."""
    uid = builder.run("x")
    run_id = builder.run_id(uid)
    rows = [
        {
            "run_id": run_id,
            "step": step,
            "attempt": 1,
            "logged_at": START,
            "epoch": None,
            "step_time": None,
            "metrics": {"a": step} if step < 6_000 else {"b": step},
            "details": None,
        }
        for step in range(11_000)
    ]
    with builder.engine.begin() as connection:
        builder.backend.upsert(connection, builder.models.step_log, ("run_id", "step", "attempt"), rows)
    frame = logs(builder, uid)
    assert frame["step"].tolist() == list(range(11_000))
    assert frame["a"].tolist()[:6_000] == list(range(6_000))
    assert frame["b"].tolist()[6_000:] == list(range(6_000, 11_000))
    assert frame["a"].isna().sum() == 5_000
    assert frame["b"].isna().sum() == 6_000


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"tidy": True},
        {"attempts": "all"},
        {"details": True},
        {"metrics": ["loss", *HOSTILE]},
        {"tidy": True, "metrics": []},
    ],
)
def test_both_databases_give_the_same_frame(both: tuple[Builder, Builder], arguments: dict[str, Any]) -> None:
    """The same steps give the same frame, to the dtype."""
    frames = []
    for builder in both:
        runs = [resumed(builder)]
        runs.append(
            builder.run("odd", steps={0: dict.fromkeys(HOSTILE, 1.5), 3: {"loss": math.inf, "t": "a", "b": True}})
        )
        frames.append(logs(builder, runs, **arguments))
    pd.testing.assert_frame_equal(*frames, check_exact=True)


def test_the_current_step(builder: Builder) -> None:
    """As the run's row has it; None before the first."""
    builder.run("x", last_step=2**62)
    builder.run("y")
    with builder.reader() as reader:
        assert get_current_step(reader, "x") == 2**62
        assert get_current_step(reader, "y") is None
        with pytest.raises(RunNotFoundError):
            get_current_step(reader, "z")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"attempts": "some"}, ["'some'", "'current'", "'all'"]),
        ({"attempts": 1}, ["1", "'current'"]),
        ({"metrics": "loss"}, ["'loss'", "list"]),
        ({"metrics": [None]}, ["None"]),
    ],
)
def test_what_cannot_be_shown_is_refused(on_sqlite: Builder, arguments: dict[str, Any], words: list[str]) -> None:
    """The message names the value and what is allowed."""
    on_sqlite.run("x")
    with pytest.raises(InvalidArgumentError) as error:
        logs(on_sqlite, "x", **arguments)
    assert all(word in str(error.value) for word in words)
