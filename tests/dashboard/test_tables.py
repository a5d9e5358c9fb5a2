"""The table of runs as pages get it: columns that are fields of the filter language, cells that JSON can hold."""

import math

import pytest

from trainstore.dashboard.answers import Answers


@pytest.fixture
def answers(store):
    """Of a store with three runs."""
    with store.start_run("a", project="p", hyperparams={"lr": 0.1, "optim": {"name": "sgd"}}, tags=["good"]) as run:
        run.log({"loss": 1.0}, 1)
        run.log({"loss": 0.5}, 2)
    with store.start_run("b", project="p", hyperparams={"lr": 0.2, "seed": 2**70}) as run:
        run.log({"loss": math.nan}, 1)
    with store.start_run("<b>c</b>", project="q"):
        pass
    return Answers(store)


def cells(answer):
    """The values of each column by its id."""
    return {column["id"]: column["values"] for column in answer["columns"]}


def test_the_table_has_a_column_for_everything_that_is_known(answers):
    """Newest run first; numbers that JSON lacks, or that float64 would round, are texts."""
    found = cells(answers.runs(columns=["*"]))
    assert found["name"] == ["<b>c</b>", "b", "a"]
    assert found["hp.lr"] == [None, 0.2, 0.1]
    assert found["hp.optim.name"] == [None, None, "sgd"]
    assert found["hp.optim"] == [None, None, '{"name":"sgd"}']
    assert found["hp.seed"] == [None, str(2**70), None]
    assert found["metric.loss"] == [None, "NaN", 0.5]
    assert found["metric.loss.max"] == [None, None, 1.0]
    assert found["metric.loss.count"] == [None, 1, 2]
    assert found["tag.good"] == [None, None, True]
