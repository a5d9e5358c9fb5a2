"""list_runs: one row a run, columns and dtypes the same on both databases."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from queries.builders import START, Builder
from trainstore.errors import InvalidArgumentError
from trainstore.models import OPEN_END
from trainstore.queries import list_runs, list_runs_grouped_by_metric, resolve_runs

DTYPES = {
    "run_id": "int64", "project": "object", "name": "object", "status": "object",
    "started_at": "datetime64[us, UTC]", "ended_at": "datetime64[us, UTC]", "last_step": "Int64", "attempts": "int64",
    "source": "object", "error": "object", "notes": "object", "model_name": "object", "parent_uid": "object",
    "parent_step": "Int64", "host": "object", "command": "object", "git_commit": "object", "git_dirty": "boolean",
    "uid": "object",
}  # fmt: skip
HOSTILE = [
    "it's",
    'say "x"',
    "100%",
    "%s %(x)s :y ?",
    "a\\b",
    "'; DROP TABLE run; --",
    "Ünïcødé 🦆",
    "a.b",
    "\x1f",
    "a\nb",
]


def names(frame: pd.DataFrame) -> list[str]:
    return list(frame["name"])


def listed(builder: Builder, **arguments: Any) -> pd.DataFrame:
    with builder.reader() as reader:
        return list_runs(reader, **arguments)


def fill(builder: Builder) -> None:
    """Runs with everything that a run may have."""
    parent = builder.run("parent", notes="first", ended_at=START + timedelta(minutes=9), last_step=7)
    builder.run(
        "child", minutes=1, status="failed", error="ValueError: it's", parent_uid=parent,
        parent_step=3, model_name="m", project="other",
        hyperparams={
            "hp.lr": 1e-4, "hp.epochs": 3, "hp.fp16": True, "hp.optim": "adamw", "hp.none": None, "hp.big": 1e17,
            "hp.betas": [0.9, 0.999], "hp.nested": {"b": [1, {"c": None}], "a": 1.5}, "hp.inf": math.inf,
            "hp.seed": 2**60 + 1, "hp.huge": 10**30, "hp.nan": math.nan, "hp.greater": 1e19,
            "mth.n_layer": 2, "dbh.rows": 10, "env.python": "3.11", "tag.baseline": True,
        },
        metrics={"loss": 0.5, "nan": math.nan, "inf": -math.inf},
    )  # fmt: skip
    builder.run(
        "other", minutes=2, status="running", heartbeat_age=5,
        hyperparams={"hp.lr": 1, "hp.epochs": 4, "hp.fp16": 1, "hp.betas": [1, 2], "hp.nested": {"a": 1.5},
                     "hp.big": 3, "hp.seed": 3, "hp.optim": "sgd"},
        metrics={"loss": 0.25, "only": 1.0},
    )  # fmt: skip
    for name in HOSTILE:
        builder.run(name, minutes=3, hyperparams={f"hp.{name}": name}, metrics={name: 1.5})


def test_columns_and_dtypes_are_as_documented(builder: Builder) -> None:
    """The fixed columns come first, in the documented order and dtypes, then what was recorded."""
    fill(builder)
    frame = listed(builder, hyperparams=["lr", "epochs", "fp16", "optim", "mth.n_layer", "tag.baseline"])
    assert dict(frame.dtypes.astype(str).iloc[: len(DTYPES)]) == DTYPES
    assert list(frame.columns[: len(DTYPES)]) == list(DTYPES)
    hyperparams = frame.columns[len(DTYPES) : len(DTYPES) + 6]
    assert list(hyperparams) == ["hp__lr", "hp__epochs", "hp__fp16", "hp__optim", "mth__n_layer", "tag__baseline"]
    kinds = frame[hyperparams].dtypes.astype(str)
    assert list(kinds) == ["float64", "Int64", "object", "object", "Int64", "boolean"]
    assert (frame.filter(like="metric__").dtypes == "float64").all()
    child = frame[frame["name"] == "child"].iloc[0]
    parent = frame[frame["name"] == "parent"].iloc[0]
    assert (child["parent_uid"], child["parent_step"], child["error"]) == (parent["uid"], 3, "ValueError: it's")
    assert parent["started_at"] == START
    assert parent["ended_at"] == START + timedelta(minutes=9)
    assert (parent["last_step"], parent["parent_uid"]) == (7, None)
    assert child["last_step"] is pd.NA
    assert (child["host"], child["command"], child["git_commit"], child["git_dirty"]) == (
        "node1",
        "train.py --lr 1",
        "c0ffee",
        False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"hyperparams": "varying"},
        {"hyperparams": ["betas", "mth.n_layer", "missing"], "metrics": ["loss", "gone"]},
        {"summary": "min"},
        {"summary": "max", "limit": 2},
        {"project": "nowhere"},
        {"limit": 0},
        {"hyperparams": HOSTILE, "metrics": HOSTILE},
    ],
)
def test_both_databases_give_the_same_frame(both: tuple[Builder, Builder], arguments: dict[str, Any]) -> None:
    """The same runs give the same frame, to the dtype."""
    for builder in both:
        fill(builder)
    first, second = (listed(builder, **arguments) for builder in both)
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_an_empty_store_gives_typed_columns(builder: Builder) -> None:
    """Without runs the fixed columns are there, with their dtypes."""
    assert dict(listed(builder).dtypes.astype(str)) == DTYPES
    asked = listed(builder, hyperparams=["lr"], metrics=["loss"])
    assert list(asked.columns[-2:]) == ["hp__lr", "metric__loss"]
    assert list(asked.dtypes.astype(str).iloc[-2:]) == ["object", "float64"]
    with builder.reader() as reader:
        grouped = list_runs_grouped_by_metric(reader, metric_name="loss", metric_direction="min")
    assert dict(grouped.dtypes.astype(str)) == {**DTYPES, "sort_metric_value": "float64", "sort_metric_step": "Int64"}


def test_the_newest_come_first(builder: Builder) -> None:
    """By start, and of those that started together the later stored."""
    for name, minutes in (("a", 1), ("b", 5), ("c", 3), ("d", 5)):
        builder.run(name, minutes=minutes)
    assert names(listed(builder)) == ["d", "b", "c", "a"]
    assert names(listed(builder, limit=2)) == ["d", "b"]
    assert names(listed(builder, limit=10**30)) == ["d", "b", "c", "a"]


def test_hyperparameters_come_back_as_python_values(builder: Builder) -> None:
    """Of any type, in the row of their run."""
    fill(builder)
    frame = listed(builder)
    child = frame[frame["name"] == "child"].iloc[0]
    assert child["hp__betas"] == [0.9, 0.999]
    assert child["hp__nested"] == {"b": [1, {"c": None}], "a": 1.5}
    assert (child["hp__huge"], child["hp__seed"], child["hp__inf"]) == (10**30, 2**60 + 1, math.inf)
    assert math.isnan(child["hp__nan"])
    assert child["hp__none"] is None
    assert child["hp__fp16"] is True
    other = frame[frame["name"] == "other"].iloc[0]
    assert (other["hp__betas"], other["hp__nested"]) == ([1, 2], {"a": 1.5})
    assert [frame.set_index("name").loc[name, f"hp__{name}"] for name in HOSTILE] == HOSTILE
    parent = frame[frame["name"] == "parent"].iloc[0]
    assert parent["hp__betas"] is None
    assert math.isnan(parent["hp__lr"])


def test_lists_of_one_length_fill_a_column(builder: Builder) -> None:
    """Lists and dicts are single values, each run's its own."""
    for name in "abc":
        builder.run(name, hyperparams={"hp.betas": [0.9, 0.99], "hp.d": {"x": []}})
    frame = listed(builder)
    frame["hp__betas"].iloc[0].append(1)
    frame["hp__d"].iloc[0]["x"] = 1
    assert list(frame["hp__betas"]) == [[0.9, 0.99, 1], [0.9, 0.99], [0.9, 0.99]]
    assert list(frame["hp__d"]) == [{"x": 1}, {"x": []}, {"x": []}]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([True, False], "boolean"), ([True, None], "boolean"), ([1, 2], "Int64"), ([1, None], "Int64"),
        ([1, 2.5], "float64"), ([1.0, 2.0], "float64"), ([math.nan, 1], "float64"), ([1, True], "object"),
        (["a", None], "object"), ([None, None], "object"), ([1, "1"], "object"), ([[1], [2]], "object"),
        ([1e17, 1e18], "Int64"), ([1e17, 0.5], "float64"), ([10**30, 1], "object"), ([1e300, 1e19], "float64"),
        ([-(2**63), 2**63 - 1], "Int64"), (["NaN", 1.0], "float64"),
    ],
)  # fmt: skip
def test_a_hyperparameter_has_the_dtype_of_its_values(builder: Builder, values: list[Any], dtype: str) -> None:
    """All bools: boolean; all ints: Int64; all numbers: float64; else object; the same on both databases."""
    for value in values:
        builder.run(hyperparams={"hp.x": value})
    assert str(listed(builder)["hp__x"].dtype) == dtype


def test_varying_shows_what_has_different_values(builder: Builder) -> None:
    """1 and 1.0 are the same, and dicts in any order; 1 and True are not. That a run lacks it is no difference."""
    same = {"hp.a": 1, "hp.n": math.nan, "hp.none": None, "hp.d": {"x": 1, "y": [2.0]}, "hp.t": "t"}
    builder.run("one", hyperparams={**same, "hp.lr": 1, "hp.flag": True, "hp.text": "a", "mth.width": 1, "hp.l": [1]})
    builder.run(
        "two",
        hyperparams={
            "hp.a": 1.0,
            "hp.n": math.nan,
            "hp.d": {"y": [2], "x": 1.0},
            "hp.t": "t",
            "hp.lr": 2,
            "hp.flag": 1,
            "hp.text": "b",
            "hp.extra": 5,
            "hp.l": [True],
        },
    )
    shown = [name for name in listed(builder, hyperparams="varying").columns if name not in DTYPES]
    assert shown == ["hp__flag", "hp__l", "hp__lr", "hp__text"]
    absent = [name for name in listed(builder, hyperparams="differing").columns if name not in DTYPES]
    assert absent == ["hp__extra", "hp__flag", "hp__l", "hp__lr", "hp__text", "mth__width"]
    alone = listed(builder, hyperparams="varying", name="one")
    assert list(alone.columns) == list(DTYPES)


def test_none_is_a_value_that_varies(builder: Builder) -> None:
    """None that was recorded differs from 1; a run without the hyperparameter has neither."""
    for value in (None, 1):
        builder.run(hyperparams={"hp.clip": value})
    builder.run(hyperparams={"hp.other": 1})
    assert "hp__clip" in listed(builder, hyperparams="varying")
    builder.run(hyperparams={"hp.other": None})
    assert "hp__other" in listed(builder, hyperparams="varying")


def test_a_plain_run_beside_a_trainers_run_does_not_make_everything_vary(builder: Builder) -> None:
    """Two Trainer runs that differ in their learning rate, and a loop with a tag: one column, and the tag."""
    arguments = {f"hp.argument_{number}": number for number in range(100)}
    for rate in (0.1, 0.2):
        builder.run(hyperparams={**arguments, "hp.learning_rate": rate})
    builder.run("plain", hyperparams={"hp.lr": 0.3, "tag.baseline": True})
    frame = listed(builder, hyperparams="varying")
    assert [name for name in frame.columns if name not in DTYPES] == ["hp__learning_rate", "tag__baseline"]
    assert frame["hp__learning_rate"].isna().tolist() == [name == "plain" for name in frame["name"]]


def test_metrics_are_shown_by_their_last_lowest_or_highest_value(builder: Builder) -> None:
    """summary chooses; NaN and infinities are themselves; a metric whose values are gone has no column."""
    builder.run(
        "a",
        metrics={
            "loss": {"count": 9, "min": 0.1, "min_step": 3, "max": 0.9, "max_step": 1, "last": math.inf},
            "nan": math.nan,
            "gone": {"count": 0},
        },
    )
    builder.run("b", metrics={"acc": 1.0})
    frame = listed(builder, name="a")
    assert list(frame.columns[len(DTYPES) :]) == ["metric__loss", "metric__nan"]
    assert frame["metric__loss"].tolist() == [math.inf]
    assert frame["metric__nan"].isna().all()
    assert listed(builder, name="a", summary="min")["metric__loss"].tolist() == [0.1]
    assert listed(builder, name="a", summary="max")["metric__loss"].tolist() == [0.9]
    chosen = listed(builder, metrics=["acc", "loss", "acc"])
    assert list(chosen.columns[len(DTYPES) :]) == ["metric__acc", "metric__loss"]


def shown_columns(builder: Builder, **arguments: Any) -> list[str]:
    return [name for name in listed(builder, metrics=[], **arguments).columns if name not in DTYPES]


def test_values_inside_others_have_columns(builder: Builder) -> None:
    """Beside the whole value, with the dtypes of their own values; a list, or an empty dict, is a single value."""
    builder.run("a", hyperparams={"hp.optim": {"lr": 0.1, "betas": [0.9, 0.99], "more": {"eps": 1, "none": {}}}})
    builder.run("b", minutes=1, hyperparams={"hp.optim": {"lr": 0.2}, "mth.size": {"n_layer": 2}})
    builder.run("c", minutes=2, hyperparams={"hp.optim": "adamw"})
    frame = listed(builder).set_index("name")
    assert shown_columns(builder) == [
        "hp__optim",
        "hp__optim.betas",
        "hp__optim.lr",
        "hp__optim.more.eps",
        "hp__optim.more.none",
        "mth__size",
        "mth__size.n_layer",
    ]
    assert frame.loc["b", "hp__optim"] == {"lr": 0.2}
    assert frame["hp__optim.lr"].dropna().to_dict() == {"b": 0.2, "a": 0.1}
    assert frame.loc["a", "hp__optim.betas"] == [0.9, 0.99]
    assert [str(frame[name].dtype) for name in ("hp__optim.lr", "hp__optim.more.eps")] == ["float64", "Int64"]


def test_what_varies_inside_a_mapping_is_a_column(builder: Builder) -> None:
    """Only the values that differ, and the mapping itself only where it is none; "differing" compares it whole."""
    for rate in (0.1, 0.2):
        builder.run(hyperparams={"hp.optim": {"lr": rate, "name": "adamw", "eps": 1e-8}, "hp.same": {"a": 1}})
    assert shown_columns(builder, hyperparams="varying") == ["hp__optim.lr"]
    assert shown_columns(builder, hyperparams="differing") == ["hp__optim"]
    for name in ("sgd", "adamw"):
        builder.run(hyperparams={"hp.optim": name})
    assert shown_columns(builder, hyperparams="varying") == ["hp__optim", "hp__optim.lr"]


def test_a_mapping_of_many_values_stays_one_column(builder: Builder) -> None:
    """The names of a thousand labels are no thousand columns; each is still found by its name."""
    builder.run(hyperparams={"mth.id2label": {str(number): f"label {number}" for number in range(1000)}})
    assert shown_columns(builder) == ["mth__id2label"]
    assert shown_columns(builder, hyperparams=["mth.id2label.7"]) == ["mth__id2label.7"]


def test_two_names_that_read_alike_are_two_columns(builder: Builder) -> None:
    """The key "a.b" is in quotes beside "b" inside "a"."""
    builder.run(hyperparams={"hp.a.b": 1, "hp.a": {"b": 2}})
    frame = listed(builder, metrics=[])
    assert {name: frame[name][0] for name in shown_columns(builder)} == {
        "hp__a": {"b": 2},
        "hp__a.b": 2,
        'hp__"a.b"': 1,
    }


def test_the_name_of_a_column_is_the_name_of_its_hyperparameter(builder: Builder) -> None:
    """As a filter and as a column to show; a key that is really called so comes first."""
    for number, rate in enumerate((0.1, 0.2)):
        builder.run(f"r{number}", hyperparams={"hp.optim": {"lr": rate}, "hp.seed": number, "mth.n": number})
    for name, value in (("hp__optim.lr", 0.2), ("hp__seed", 1), ("mth__n", 1)):
        assert names(listed(builder, hyperparams={name: value})) == ["r1"], name
        assert names(listed(builder, where=f"{name} = {value}")) == ["r1"], name
        assert shown_columns(builder, hyperparams=[name]) == [name]
    builder.run("odd", hyperparams={"hp.hp__seed": 1})
    assert names(listed(builder, hyperparams={"hp__seed": 1})) == ["odd"]


def main_metrics(builder: Builder, **filters: Any) -> list[str]:
    frame = listed(builder, hyperparams=[], metrics="main", **filters)
    return [name.removeprefix("metric__") for name in frame.columns[len(DTYPES) :]]


def test_main_metrics_are_those_by_which_runs_are_judged(builder: Builder) -> None:
    """No runtimes, no counters, no averages of what is there anyway; the callback's own come first."""
    timings = ("data_time", "eval_runtime", "eval_steps_per_second", "tokens", "total_flos", "train_runtime")
    results = ("eval_loss", "grad_norm", "learning_rate", "loss", "loss_window", "train_loss")
    trained = dict.fromkeys((*timings, *results), 1.0)
    builder.run("trained", metrics=trained)
    assert main_metrics(builder) == ["eval_loss", "loss", "train_loss"]
    builder.run("trained, too", metrics=trained)
    builder.run("plain", project="p", metrics={"train/loss": 1.0, "val/loss": 1.0, "val/top_5": 1.0, "lr": 1.0})
    builder.run("scores", project="p", metrics={"test_f1": 1.0, "val/loss": 1.0})
    assert main_metrics(builder, project="p") == ["val/loss", "test_f1", "train/loss"]
    assert main_metrics(builder) == ["eval_loss", "val/loss", "loss", "train_loss"]


def test_each_run_with_a_metric_has_a_main_one_if_possible(builder: Builder) -> None:
    """What only one run has is shown if that run has nothing else; what is no result is shown if nothing is."""
    for number in range(3):
        builder.run(f"usual {number}", metrics={"eval_loss": 1.0, "loss": 1.0, "train_loss": 1.0, "eval_accuracy": 1.0})
    builder.run("odd", metrics={"energy": 1.0, "step_time": 1.0})
    builder.run("empty")
    frame = listed(builder, hyperparams=[], metrics="main")
    assert main_metrics(builder) == ["eval_loss", "energy", "loss", "train_loss"]
    assert frame.set_index("name").loc["odd", "metric__energy"] == 1.0
    assert main_metrics(builder, name="odd") == ["energy"]
    assert main_metrics(builder, name="empty") == []
    builder.run("timed", metrics={"train_runtime": 1.0})
    assert main_metrics(builder, name="timed") == []


def test_runs_are_found_in_small_lists_and_wide_gaps(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the ids lie, and however many names are asked for, every run has its own values."""
    monkeypatch.setattr("trainstore.queries.reader.IN_LIMIT", 2)
    monkeypatch.setattr("trainstore.queries.columns.IN_LIMIT", 2)
    for number in range(30):
        builder.run(
            f"r{number}",
            minutes=number,
            hyperparams={"hp.n": number, "hp.m": -number, "hp.k": 0},
            metrics={"x": number},
        )
    few = listed(
        builder, name=["r0", "r7", "r8", "r9", "r29"], hyperparams=["n", "m", "missing"], metrics=["x", "y", "z"]
    )
    assert few["hp__n"].tolist() == [29, 9, 8, 7, 0]
    assert few["hp__m"].tolist() == [-29, -9, -8, -7, 0]
    assert few["metric__x"].tolist() == [29, 9, 8, 7, 0]
    assert "hp__k" not in few
    pairs = listed(builder, name=["r3", "r4", "r6"])
    assert pairs["hp__n"].tolist() == [6, 4, 3]


def test_a_name_with_the_separator_is_read_all_the_same(builder: Builder) -> None:
    """No character of a name can put values under the wrong one."""
    builder.run("a", hyperparams={"hp.x\x1fy": 1, "hp.z": 2, "env.e": 3})
    builder.run("b", hyperparams={"hp.x": 4, "hp.y": 5, "hp.z": 6})
    frame = listed(builder).set_index("name")
    assert frame.loc["a", ["hp__x\x1fy", "hp__z", "env__e"]].tolist() == [1, 2, 3]
    assert frame.loc["b", ["hp__x", "hp__y", "hp__z"]].tolist() == [4, 5, 6]
    assert listed(builder, name="a", hyperparams=["x\x1fy"])["hp__x\x1fy"].tolist() == [1]


@pytest.mark.parametrize(
    ("age", "opened", "closed", "status", "shown"),
    [
        (10, START, False, "running", "running"),
        (89, START, False, "running", "running"),
        (95, START, False, "running", "lost"),
        (5, START, True, "running", "lost"),
        (None, START, False, "running", "lost"),
        (None, None, False, "running", "running"),
        (500, START, False, "finished", "finished"),
        (None, START, False, "failed", "failed"),
    ],
)
def test_a_running_run_that_is_silent_is_lost(
    builder: Builder, age: float | None, opened: datetime | None, closed: bool, status: str, shown: str
) -> None:
    """No heartbeat of the head's opener for 90 s, or none at all since it was opened, or its writer has closed."""
    uid = builder.run(
        "x",
        status=status,
        heartbeat_age=age,
        opened_at=opened or datetime.now(UTC) - timedelta(seconds=5),
        closed=closed,
    )
    frame = listed(builder)
    assert frame["status"].tolist() == [shown]
    for wanted in ("running", "lost", "finished", "failed"):
        assert listed(builder, status=wanted)["uid"].tolist() == ([uid] if wanted == shown else [])


def test_only_the_heads_opener_counts(builder: Builder) -> None:
    """A writer of a superseded attempt, or one that joined, does not keep a run alive."""
    uid = builder.run("x", status="running", heartbeat_age=1)
    run_id = builder.run_id(uid)
    builder.attempt(run_id, 2, resumed_from=1, start_step=3, opened_at=START + timedelta(hours=1), host="node2")
    builder.writer(run_id, "a joined writer", 1)
    assert listed(builder)["status"].tolist() == ["lost"]


def test_the_facts_of_the_head_are_shown(builder: Builder) -> None:
    """Of the last opened of the attempts that nobody resumed; a tie goes to the greater uid."""
    run_id = builder.run_id(builder.run("x"))
    hour = timedelta(hours=1)
    builder.attempt(run_id, 2, resumed_from=1, opened_at=START + 3 * hour, end_step=3, host="resumed")
    builder.attempt(run_id, 3, resumed_from=2, opened_at=START + 1 * hour, uid="b", host="head", git_dirty=True)
    builder.attempt(run_id, 4, resumed_from=2, opened_at=START + 1 * hour, uid="a", end_step=OPEN_END, host="dead")
    frame = listed(builder)
    assert frame[["host", "attempts", "git_dirty"]].to_numpy().tolist() == [["head", 4, True]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hyperparams": "some"}, ["'some'", "'all'", "'varying'"]),
        ({"hyperparams": 7}, ["7", "'all'"]),
        ({"hyperparams": [7]}, ["7"]),
        ({"metrics": "loss"}, ["'loss'", "list"]),
        ({"metrics": [7]}, ["7"]),
        ({"metrics": 7}, ["7"]),
        ({"summary": "mean"}, ["'mean'", "'last'", "'min'", "'max'"]),
        ({"summary": ["last"]}, ["'last'"]),
        ({"limit": -1}, ["-1"]),
        ({"limit": True}, ["True"]),
        ({"limit": 1.5}, ["1.5"]),
    ],
)
def test_what_cannot_be_shown_is_refused(on_sqlite: Builder, arguments: dict[str, Any], words: list[str]) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(InvalidArgumentError) as error:
        listed(on_sqlite, **arguments)
    assert all(word in str(error.value) for word in words)


SHORT = {
    "name": "object",
    "project": "object",
    "status": "object",
    "started_at": "datetime64[us, UTC]",
    "duration": "timedelta64[us]",
    "last_step": "Int64",
    "attempts": "int64",
}


def test_the_short_table_has_results_and_what_differs(builder: Builder) -> None:
    """By id: progress, the main metrics, then the hyperparameters that differ, those of most runs first."""
    rates: tuple[tuple[str, float], ...] = (("a", 0.1), ("b", 0.2))
    for number, (name, rate) in enumerate(rates):
        builder.run(
            name,
            minutes=number,
            ended_at=START + timedelta(minutes=number, seconds=90),
            hyperparams={
                "hp.betas": [number],
                "hp.lr": rate,
                "hp.optim": {"eps": rate, "name": "adamw"},
                "hp.output_dir": name,
                "hp.same": 1,
                "hp.seed": number,
                "env.torch": name,
                "mth.n_layer": number,
                "tag.owner": name,
            },
            metrics={"loss": rate, "train_runtime": 1.0},
        )
    builder.run("plain", minutes=9, hyperparams={"hp.lr": 0.3}, status="running", heartbeat_age=0)
    frame = listed(builder, columns="short")
    assert (frame.index.name, frame.index.tolist()) == ("run_id", [3, 2, 1])
    assert list(frame.columns) == [
        *SHORT,
        "metric__loss",
        "hp__lr",
        "hp__optim.eps",
        "mth__n_layer",
        "tag__owner",
        "hp__seed",
        "hp__betas",
        "hp__output_dir",
    ]
    assert frame["duration"].iloc[1:].tolist() == [timedelta(seconds=90)] * 2
    assert frame["duration"].iloc[0] > timedelta()
    chosen = listed(builder, columns="short", hyperparams=["same"], metrics=["train_runtime"])
    assert list(chosen.columns) == [*SHORT, "metric__train_runtime", "hp__same"]
    assert names(listed(builder, columns="short", hyperparams={"lr": 0.1})) == ["a"]
    with builder.reader() as reader:
        ranked = list_runs_grouped_by_metric(reader, metric_name="loss", metric_direction="max", columns="short")
        assert [key.id for key in resolve_runs(reader, ranked)] == [2, 1]
    assert list(ranked.columns)[len(SHORT) :][:3] == ["sort_metric_value", "sort_metric_step", "metric__loss"]


def test_the_short_table_has_its_dtypes_without_runs_too(builder: Builder) -> None:
    """Also if a run is lost, whose duration is not known; anything but "all" and "short" is refused."""
    assert dict(listed(builder, columns="short").dtypes.astype(str)) == SHORT
    builder.run("lost", status="running", heartbeat_age=1000)
    frame = listed(builder, columns="short")
    assert dict(frame.dtypes.astype(str)) == SHORT
    assert frame["status"].tolist() == ["lost"]
    assert frame["duration"].isna().all()
    with pytest.raises(InvalidArgumentError, match="'long'"):
        listed(builder, columns="long")
