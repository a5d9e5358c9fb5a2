"""Metrics, hyperparameters and events row by row; what differs between runs."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from queries.builders import START, Builder
from trainstore import TrainStore, queries
from trainstore.errors import InvalidArgumentError, RunNotFoundError
from trainstore.queries.training_arguments import DEFAULTS

METRICS = {
    "uid": "object", "metric": "object", "count": "int64", "nonfinite_count": "int64", "min": "float64",
    "min_step": "Int64", "max": "float64", "max_step": "Int64", "last": "float64", "last_step": "Int64",
}  # fmt: skip
HYPERPARAMS = {
    "uid": "object",
    "namespace": "object",
    "key": "object",
    "value": "object",
    "number": "float64",
    "attempt": "int64",
}
EVENTS = {
    "uid": "object",
    "at": "datetime64[us, UTC]",
    "step": "Int64",
    "kind": "object",
    "details": "object",
    "writer_uid": "object",
}


def ask(builder: Builder, function: str, *arguments: Any, **named: Any) -> pd.DataFrame:
    with builder.reader() as reader:
        return getattr(queries, function)(reader, *arguments, **named)


def fill(builder: Builder) -> tuple[str, str]:
    a = builder.run(
        "a",
        hyperparams={"hp.lr": 0.1, "hp.Z": 1, "hp.a": [1, {"b": math.nan}], "hp.none": None, "mth.n": 2, "tag.t": True},
        metrics={"loss": math.nan, "acc": {"count": 3, "min": 0.1, "min_step": 2, "last": 0.5, "last_step": 7}},
    )
    b = builder.run("b", hyperparams={"hp.lr": 1, "env.python": "3.11"}, metrics={"Loss": 1.0, "gone": {"count": 0}})
    for number, (uid, kind, minutes) in enumerate([(b, "note", 2), (a, "checkpoint", 5), (a, "refused", 1)]):
        builder.insert(
            "event",
            {
                "run_id": builder.run_id(uid),
                "writer_uid": "w",
                "seq": number,
                "at": START + timedelta(minutes=minutes),
                "step": 4 if kind == "checkpoint" else None,
                "kind": kind,
                "details": {"path": "it's", "x": "-Infinity"} if kind == "checkpoint" else None,
            },
        )
    return a, b


def test_metrics(builder: Builder) -> None:
    """By run and name; a last value of NaN has its step; one without values is not there."""
    a, b = fill(builder)
    frame = ask(builder, "list_metrics")
    assert dict(frame.dtypes.astype(str)) == METRICS
    assert frame[["uid", "metric"]].to_numpy().tolist() == [[a, "acc"], [a, "loss"], [b, "Loss"]]
    acc, loss = frame.iloc[0], frame.iloc[1]
    assert (acc["count"], acc["min"], acc["min_step"], acc["last"], acc["last_step"]) == (3, 0.1, 2, 0.5, 7)
    assert acc["max_step"] is pd.NA
    assert math.isnan(loss["last"])
    assert (loss["nonfinite_count"], loss["last_step"]) == (1, 0)
    assert ask(builder, "list_metrics", "b")["metric"].tolist() == ["Loss"]
    assert len(ask(builder, "list_metrics", [b, a])) == 3


def test_hyperparams(builder: Builder) -> None:
    """By run, namespace and key, as Python values."""
    a, b = fill(builder)
    frame = ask(builder, "list_hyperparams")
    assert dict(frame.dtypes.astype(str)) == HYPERPARAMS
    assert (frame["namespace"] + "." + frame["key"]).tolist() == [
        "hp.Z",
        "hp.a",
        "hp.lr",
        "hp.none",
        "mth.n",
        "tag.t",
        "hp.lr",
        "env.python",
    ]
    assert frame["uid"].tolist() == [a] * 6 + [b] * 2
    assert repr(frame["value"].tolist()) == repr([1, [1, {"b": math.nan}], 0.1, None, 2, True, 1, "3.11"])
    assert frame["number"].tolist()[0] == 1
    assert frame["number"].isna().tolist() == [False, True, False, True, False, True, False, True]
    assert ask(builder, "list_hyperparams", b, namespace="env")["value"].tolist() == ["3.11"]
    assert ask(builder, "list_hyperparams", key="lr")["value"].tolist() == [0.1, 1]
    assert ask(builder, "list_hyperparams", namespace="mth", key="lr").empty


def test_events(builder: Builder) -> None:
    """By run, in the order in which they happened."""
    a, b = fill(builder)
    frame = ask(builder, "list_events")
    assert dict(frame.dtypes.astype(str)) == EVENTS
    assert frame[["uid", "kind"]].to_numpy().tolist() == [[a, "refused"], [a, "checkpoint"], [b, "note"]]
    checkpoint = frame.iloc[1]
    assert (checkpoint["at"], checkpoint["step"]) == (START + timedelta(minutes=5), 4)
    assert checkpoint["details"] == {"path": "it's", "x": -math.inf}
    assert ask(builder, "list_events", [a, b], kind="note")["uid"].tolist() == [b]
    assert ask(builder, "list_events", kind="\x00").empty


@pytest.mark.parametrize(
    ("function", "dtypes"), [("list_metrics", METRICS), ("list_hyperparams", HYPERPARAMS), ("list_events", EVENTS)]
)
def test_nothing_has_typed_columns_too(builder: Builder, function: str, dtypes: dict[str, str]) -> None:
    """For an empty store, a run without any, and no runs."""
    assert dict(ask(builder, function).dtypes.astype(str)) == dtypes
    builder.run("x")
    assert dict(ask(builder, function, "x").dtypes.astype(str)) == dtypes
    assert dict(ask(builder, function, []).dtypes.astype(str)) == dtypes
    with pytest.raises(RunNotFoundError):
        ask(builder, function, "nobody")


@pytest.mark.parametrize("function", ["list_metrics", "list_hyperparams", "list_events"])
def test_both_databases_give_the_same_frame(both: tuple[Builder, Builder], function: str) -> None:
    """The same facts give the same frame, to the dtype."""
    for builder in both:
        fill(builder)
    first, second = (ask(builder, function) for builder in both)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_what_differs_between_runs(builder: Builder) -> None:
    """A row for each key that is not the same in all, nested ones dotted; a column for each run. None is as missing."""
    same = {"hp.same": 1, "hp.nan": math.nan, "hp.deep": {"x": 1, "y": {"z": 1}}, "hp.list": [{"a": 1, "b": 2}]}
    a = builder.run("a", status="failed", hyperparams={**same, "hp.lr": 0.1, "hp.flag": True}, metrics={"loss": 1.0})
    b = builder.run(
        "a",
        hyperparams={
            "hp.same": 1.0,
            "hp.nan": math.nan,
            "hp.deep": {"y": {"z": 2}, "x": 1},
            "hp.lr": 0.2,
            "hp.flag": 1,
            "hp.list": [{"b": 2, "a": 1.0}],
            "hp.huge": 10**400,
            "mth.n": None,
        },
        metrics={"loss": 1.0, "acc": math.nan},
    )
    frame = ask(builder, "compare_runs", [a, b], columns="uid")
    assert list(frame.columns) == [a, b]
    assert frame.index.name == "key"
    assert repr(frame.T.to_dict("list")) == repr(
        {
            "hp.deep.y.z": [1, 2],
            "hp.flag": [True, 1],
            "hp.huge": [None, 10**400],
            "hp.lr": [0.1, 0.2],
            "metric.acc": [None, math.nan],
            "status": ["failed", "finished"],
        }
    )
    assert (frame.dtypes == "object").all()
    assert list(ask(builder, "compare_runs", [b, a], columns="uid").columns) == [b, a]
    assert list(ask(builder, "compare_runs", b, a).columns) == ["a (id 2)", "a (id 1)"]
    assert ask(builder, "compare_runs", [a, a]).shape == (0, 1)
    assert ask(builder, "compare_runs", []).shape == (0, 0)


def test_what_matters_comes_first(builder: Builder) -> None:
    """Hyperparameters, metrics, model, data, tags, the run, environment, folders; what took how long only on demand."""
    effort = ["train_runtime", "eval_samples_per_second", "total_flos", "num_tokens", "num_input_tokens_seen", "epoch"]
    uids = [
        builder.run(
            f"r{number}",
            last_step=number,
            hyperparams={
                "env.python": f"3.{number}",
                "hp.lr": number,
                "hp.output_dir": f"{number}",
                "tag.t": number,
                "mth.n": number,
                "dbh.d": number,
            },
            metrics={**dict.fromkeys(effort, number), "loss": number, "eval/acc": number, "runtime_error": number},
        )
        for number in (1, 2)
    ]
    frame = ask(builder, "compare_runs", uids)
    assert list(frame.columns) == ["r1", "r2"]
    assert list(frame.index) == [
        "hp.lr", "metric.eval/acc", "metric.loss", "metric.runtime_error", "mth.n", "dbh.d", "tag.t", "last_step",
        "env.python", "hp.output_dir",
    ]  # fmt: skip
    by_uid = ask(builder, "compare_runs", uids, columns="uid")
    assert by_uid.loc["name"].tolist() == ["r1", "r2"]
    everything = ask(builder, "compare_runs", uids, everything=True)
    assert list(everything.index)[-len(effort) :] == [f"metric.{name}" for name in sorted(effort)]
    assert "name" in everything.index


def test_a_plain_run_beside_a_trainers_run(builder: Builder) -> None:
    """The defaults that it lacks do not differ, nor do the model and the environment, of which it recorded nothing."""
    defaults = {"hp.seed": 42, "hp.adam_beta1": 0.9, "hp.accelerator_config": DEFAULTS["accelerator_config"]}
    facts = {"mth.n_layer": 2, "env.torch": "2.6", "dbh.train_size": 10}
    trainer = {"source": "transformers", "hyperparams": {**defaults, **facts, "hp.learning_rate": 0.1}}
    builder.run("a", **trainer)
    builder.run("b", source="transformers", hyperparams={**trainer["hyperparams"], "mth.n_layer": 3})
    builder.run("c", hyperparams={"hp.lr": 0.1})
    frame = ask(builder, "compare_runs", "a", "b", "c")
    assert frame.loc[["hp.learning_rate", "hp.lr", "mth.n_layer"]].to_numpy().tolist() == [
        [0.1, 0.1, None],
        [None, None, 0.1],
        [2, 3, None],
    ]
    assert list(frame.index) == ["hp.learning_rate", "hp.lr", "mth.n_layer", "source"]
    everything = ask(builder, "compare_runs", "a", "c", everything=True)
    assert {"hp.adam_beta1", "hp.accelerator_config.even_batches", "env.torch"} <= set(everything.index)
    builder.run("d", hyperparams={"hp.seed": 7})
    assert ask(builder, "compare_runs", "a", "d").loc["hp.seed"].tolist() == [42, 7]


def test_a_metric_is_compared_by_its_last_lowest_or_highest_value_or_by_all(builder: Builder) -> None:
    """One row a metric unless all are asked for; one whose name holds dots is told from a summary."""
    low, high = ({"count": 2, "min": n, "min_step": 0, "max": 9.0, "max_step": 1, "last": 9.0} for n in (1.0, 2.0))
    uids = [
        builder.run("a", hyperparams={"hp.a.b": 1, "hp.a": {"b": 1}}, metrics={"loss": low, "loss.min": 5.0}),
        builder.run("a", hyperparams={"hp.a.b": 2, "hp.a": {"b": 3}}, metrics={"loss": high, "loss.min": math.nan}),
    ]
    flattened = {'hp."a.b"': [1, 2], "hp.a.b": [1, 3]}
    for summary, rows in {
        "last": {'metric."loss.min"': [5.0, math.nan]},
        "min": {'metric."loss.min"': [5.0, None], "metric.loss": [1.0, 2.0]},
        "all": {
            'metric."loss.min".last': [5.0, math.nan],
            'metric."loss.min".max': [5.0, None],
            'metric."loss.min".min': [5.0, None],
            "metric.loss.min": [1.0, 2.0],
        },
    }.items():
        frame = ask(builder, "compare_runs", uids, summary=summary)
        assert repr(frame.T.to_dict("list")) == repr({**flattened, **rows})
    everything = ask(builder, "compare_runs", uids, everything=True)
    assert everything.loc[["metric.loss", "project", "attempt.versions.python"]].values.tolist() == [
        [9.0, 9.0],
        ["default", "default"],
        ["3.11", "3.11"],
    ]


def test_runs_are_compared_one_by_one_or_as_one_list(store: TrainStore) -> None:
    """As arguments or in a list, by whatever names a run; not in a list beside others."""
    for name in ("a", "b"):
        store.start_run(name=name, hyperparams={"lr": len(name), name: 1}).finish()
    listed = store.compare_runs(["a", "b"])
    pd.testing.assert_frame_equal(store.compare_runs("a", store.get_run("b")), listed)
    assert list(listed.index) == ["hp.a", "hp.b"]
    with pytest.raises(InvalidArgumentError, match=r"one list, or runs one by one; \['a'\] is not a run"):
        store.compare_runs(["a"], "b")
    with pytest.raises(InvalidArgumentError, match="several runs"):
        store.compare_runs("a")


def test_both_databases_see_the_same_differences(both: tuple[Builder, Builder]) -> None:
    """To the dtype."""
    first, second = (ask(builder, "compare_runs", fill(builder)) for builder in both)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        ("list_hyperparams", {"namespace": "hyper"}, ["'hyper'", "hp, mth, dbh, env, tag"]),
        ("list_hyperparams", {"key": 7}, ["7"]),
        ("list_events", {"kind": 7}, ["7"]),
        ("list_metrics", {"runs": 1.5}, ["1.5"]),
        ("compare_runs", {"runs": "x"}, ["'x'", "list"]),
        ("compare_runs", {"runs": [], "summary": "mean"}, ["'mean'", "'last'", "'all'"]),
        ("compare_runs", {"runs": [], "columns": "id"}, ["'id'", "'name'", "'uid'"]),
    ],
)
def test_what_cannot_be_asked_is_refused(
    on_sqlite: Builder, function: str, arguments: dict[str, Any], words: list[str]
) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(InvalidArgumentError) as error:
        ask(on_sqlite, function, **arguments)
    assert all(word in str(error.value) for word in words)
