"""``--json`` says what is: missing is null, NaN is "NaN", and large integers are numbers."""

import json

import pytest

from trainstore import TrainStore

NAN = float("nan")
LARGE = 2**70


@pytest.fixture
def odd_runs(database_url, monkeypatch):
    """A run that diverged, and one that has nothing of what the other has."""
    with TrainStore(database_url) as store:
        with store.start_run(name="diverged", hyperparams={"lr": 0.1, "decay": NAN}, notes="x") as run:
            run.log({"acc": NAN, "loss": float("inf")}, step=0)
        with store.start_run(name="other", hyperparams={"seed": LARGE, "sizes": {"a": [LARGE, NAN]}}) as run:
            run.log({"loss": 1.0, "tokens": LARGE}, step=0)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)


@pytest.fixture
def asked(call):
    """What a command prints with --json."""

    def ask(*arguments):
        called = call(*arguments, "--json")
        assert (called.code, called.err) == (0, "")
        return json.loads(called.out)

    return ask


def test_runs(odd_runs, asked):
    """A run that never had a metric or hyperparameter has null, one whose value is NaN has "NaN"."""
    other, diverged = asked("runs", "--metric", "acc", "--metric", "loss")
    assert (diverged["metric__acc"], other["metric__acc"]) == ("NaN", None)
    assert (diverged["metric__loss"], other["metric__loss"]) == ("Infinity", 1.0)
    assert (diverged["hp__decay"], other["hp__decay"]) == ("NaN", None)
    assert (diverged["hp__lr"], other["hp__lr"]) == (0.1, None)
    assert (diverged["hp__seed"], other["hp__seed"]) == (None, LARGE)
    assert other["hp__sizes"] == {"a": [LARGE, "NaN"]}
    assert (diverged["error"], diverged["parent_step"]) == (None, None)
    (best,) = asked("best", "loss")
    assert (best["name"], best["sort_metric_value"]) == ("other", 1.0)


def test_one_run(odd_runs, asked):
    """A metric without any finite value has no smallest one; steps have what was logged."""
    shown = asked("show", "diverged")
    metrics = {row["metric"]: row for row in shown["metrics"]}
    assert [metrics["acc"][name] for name in ("min", "max", "last")] == [None, None, "NaN"]
    assert [metrics["loss"][name] for name in ("min", "last")] == [None, "Infinity"]
    assert shown["run"]["metrics"] == {"acc": "NaN", "loss": "Infinity"}
    hyperparams = {row["key"]: (row["value"], row["number"]) for row in shown["hyperparams"]}
    assert (hyperparams["lr"], hyperparams["decay"]) == ((0.1, 0.1), ("NaN", None))
    (step,) = asked("show", "other", "--steps")["steps"]
    assert (step["metrics"], step["epoch"]) == ({"loss": 1.0, "tokens": LARGE}, None)
    values = asked("compare", "diverged", "other")["values"]
    assert list(values["hp.decay"].values()) == ["NaN", None]
    assert list(values["hp.seed"].values()) == [None, LARGE]


def test_tables(odd_runs, call):
    """A table for people writes NaN too, and leaves a cell empty where there is nothing."""
    other, diverged = call("runs", "--metric", "acc").out.splitlines()[-3:-1]
    assert "NaN" in diverged
    assert "NaN" not in other
    steps = call("show", "other", "--steps").out
    assert "NaN" not in steps
