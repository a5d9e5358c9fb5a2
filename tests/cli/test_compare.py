"""``trainstore compare``: only what differs, or everything."""

import json

import pytest

from trainstore import TrainStore


@pytest.fixture
def two(database_url, monkeypatch):
    with TrainStore(database_url) as store:
        for name, rate in (("a", 0.1), ("b", 0.2)):
            with store.start_run(
                name=name, hyperparams={"lr": rate, "same": 1, "opt": {"beta": rate, "eps": 1}}
            ) as run:
                run.log_hyperparams({"layers": 2 if name == "a" else 3}, "mth")
                run.log({"loss": 3.0}, step=0)
                run.log({"loss": rate}, step=1)
                run.log({"loss": float("nan") if name == "b" else 0.5}, step=2)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)


def values(called):
    shown = json.loads(called.out)
    return {name: list(of_runs.values()) for name, of_runs in shown["values"].items()}


def test_only_what_differs_is_shown(call, two):
    """Hyperparameters of every namespace, nested ones by dotted names, and metrics."""
    assert values(call("compare", "a", "b", "--json")) == {
        "hp.lr": [0.1, 0.2],
        "hp.opt.beta": [0.1, 0.2],
        "metric.loss": [0.5, "NaN"],
        "mth.layers": [2, 3],
    }
    assert values(call("compare", "a", "b", "--summary", "min", "--json"))["metric.loss"] == [0.1, 0.2]
    summaries = values(call("compare", "a", "b", "--summary", "all", "--json"))
    assert (summaries["metric.loss.last"], summaries["metric.loss.min"]) == ([0.5, "NaN"], [0.1, 0.2])
    code, out, err = call("compare", "a", "b")
    assert (code, err) == (0, "")
    assert "hp.opt.beta" in out
    assert "same" not in out
    assert "NaN" in out


def test_all_shows_what_they_have_in_common(call, two):
    """--all shows the rest too: where they ran, how they ended, versions."""
    shown = values(call("compare", "a", "b", "--all", "--json"))
    assert shown["hp.same"] == [1, 1]
    assert shown["metric.loss"] == [0.5, "NaN"]
    assert shown["status"] == ["finished", "finished"]
    assert shown["attempts"] == [1, 1]
    assert len(set(shown["attempt.versions.python"])) == 1
    assert "host" in shown


def test_equal_runs_differ_in_nothing(call, database_url, monkeypatch):
    """That is said; runs of one name are told apart by their ids."""
    with TrainStore(database_url) as store:
        uids = []
        for rate in (1, 1, 2):
            with store.start_run(name="same", hyperparams={"lr": rate}) as run:
                uids.append(run.uid)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    assert "nothing differs" in call("compare", *uids[:2]).out
    out = call("compare", *uids[1:]).out
    assert "same (id 2)" in out
    assert "same (id 3)" in out


def test_a_metric_has_its_last_and_its_best_value(call, database_url, monkeypatch):
    """On one line; runtimes and the names that the headings have stay out unless all is asked for."""
    with TrainStore(database_url) as store:
        for name, losses in (("a", (3.0, 0.5, 1.0)), ("b", (2.0, 1.5, 0.25))):
            with store.start_run(name=name, hyperparams={"output_dir": name, "lr": losses[0]}) as run:
                for step, loss in enumerate(losses):
                    run.log({"loss": loss, "runtime": loss, "norm": loss}, step=step)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    shown = [line.split() for line in call("compare", "a", "b").out.splitlines()]
    rows = [line for line in shown if line and not line[0].startswith("─")]
    assert rows == [
        ["a", "b"],
        ["hp.lr", "3", "2"],
        ["metric.loss", "1", "(0.5", "at", "1)", "0.25", "(best)"],
        ["metric.norm", "1", "0.25"],
        ["hp.output_dir", "a", "b"],
        ["metrics:", "the", "last", "value", "(the", "best", "one", "at", "its", "step)"],
    ]
    out = call("compare", "a", "b", "--all").out
    assert "metric.runtime" in out
    lowest = call("compare", "a", "b", "--summary", "min").out
    assert "at 1" not in lowest
    assert "the best one" not in lowest


def test_one_run_cannot_be_compared(call, two):
    """Two different runs are needed; a name that several have lists their uids."""
    assert call("compare", "a").code == 2
    called = call("compare", "a", "1")
    assert called.code == 2
    assert "two different runs" in called.err
    assert call("compare", "a", "nobody").code == 1


def test_many_runs_are_compared_in_parts(call, database_url, monkeypatch):
    """No run is left out at 80 columns: each part has the names of what differs, and as many runs as fit."""
    names = [f"gpt2-small-lr{number}" for number in range(6)]
    with TrainStore(database_url) as store:
        for number, name in enumerate(names):
            only = {"warmup": 3} if number == 5 else {}
            with store.start_run(name=name, hyperparams={"learning_rate": number / 10, **only}) as run:
                run.log({"loss": number}, step=0)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    monkeypatch.setattr("trainstore.cli.printing.PIPED_WIDTH", 80)
    shown = [line.split() for line in call("compare", *names).out.splitlines()]
    assert max(map(len, call("compare", *names).out.splitlines())) <= 80
    headings = [line for line in shown if line and line[0].startswith("gpt2")]
    assert [name for line in headings for name in line] == names
    assert 1 < len(headings) < len(names)
    rates = [line[1:] for line in shown if line and line[0] == "hp.learning_rate"]
    assert [rate for line in rates for rate in line] == ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]
    assert len(rates) == len(headings)
    assert [line for line in shown if line and line[0] == "hp.warmup"] == [["hp.warmup", "3"]]  # in its part only
    assert not any("room" in line for line in shown)
