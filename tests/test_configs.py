"""Configuration objects of every library are hyperparameters."""

import argparse
import dataclasses
import types
from typing import Any

import attrs
import omegaconf
import pydantic
import pytest

from trainstore import InvalidArgumentError, TrainStore
from trainstore.configs import plain_config


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1
    betas: tuple[float, ...] = (0.9, 0.99)


@attrs.define
class Data:
    path: str = "train"


class Model(pydantic.BaseModel):
    width: int = 8
    password: str = "hidden-word"
    optimizer: Optimizer = Optimizer()


class Open(pydantic.BaseModel, extra="allow"):
    known: int = 1


def omega(**values: Any) -> Any:
    return omegaconf.OmegaConf.create(values)


OPTIMIZER = {"lr": 0.1, "betas": [0.9, 0.99]}


@pytest.mark.parametrize(
    ("config", "stored"),
    [
        (argparse.Namespace(lr=0.1, data=Data()), {"lr": 0.1, "data": {"path": "train"}}),
        (types.SimpleNamespace(optim=Optimizer()), {"optim": OPTIMIZER}),
        (Data(), {"path": "train"}),
        (Model(), {"width": 8, "password": "[redacted]", "optimizer": OPTIMIZER}),
        (Open(known=2, more="x"), {"known": 2, "more": "x"}),
        (omega(lr=0.1, layers=[1, 2], name="${lr}"), {"lr": 0.1, "layers": [1, 2], "name": 0.1}),
        (omega(lr=0.1, name="${not.there}"), {"lr": 0.1, "name": "${not.there}"}),
        ({"model": Model, "data": [Data()]}, {"model": f"<class '{__name__}.Model'>", "data": [{"path": "train"}]}),
    ],
)
def test_it_is_recorded_by_its_fields(database_url, config, stored):
    """Nested ones too, and without secrets; a class is not a configuration."""
    with TrainStore(database_url) as store:
        with store.start_run(hyperparams=config) as run:
            pass
        assert store.get_run(run).hyperparams == stored


def test_what_is_not_a_configuration_stays_as_it_is():
    """A class has fields too, but no values."""
    assert plain_config(5) == 5
    assert plain_config(Optimizer) is Optimizer


@pytest.mark.parametrize("config", [5, "text", [1, 2], Model])
def test_anything_else_is_refused(database_url, config):
    """The message says what can be passed."""
    with TrainStore(database_url) as store, pytest.raises(InvalidArgumentError, match=r"argparse\.Namespace"):
        store.start_run(hyperparams=config)


def test_metrics_by_keyword(database_url):
    """Alone or beside a mapping; step, epoch and details keep their meaning."""
    with TrainStore(database_url) as store:
        with store.start_run() as run:
            run.log(loss=1, step=3)
            run.log({"loss": 2.0}, accuracy=0.5)
        frame = store.list_step_logs(run)
        assert frame["step"].tolist() == [3, 4]
        assert frame["loss"].tolist() == [1.0, 2.0]
        assert frame["accuracy"].tolist()[1:] == [0.5]


def test_the_best_run_by_the_name_of_the_metric(database_url):
    """The direction is known for losses, errors and perplexities; else it is asked for."""
    with TrainStore(database_url) as store:
        for name, loss in (("a", 2.0), ("b", 1.0)):
            with store.start_run(name=name) as run:
                run.log({"eval_loss": loss, "val/Perplexity": loss, "eval_accuracy": loss})
        assert store.get_best_run("eval_loss").name == store.get_best_run("val/Perplexity").name == "b"
        assert list(store.list_runs_grouped_by_metric("eval_loss")["name"]) == ["b", "a"]
        assert store.get_best_run("eval_accuracy", "maximize").name == "a"
        assert store.get_best_run("eval_accuracy", metric_direction="minimize").name == "b"
        with pytest.raises(InvalidArgumentError, match="'min' or 'max' for 'eval_accuracy'"):
            store.get_best_run("eval_accuracy")
        with pytest.raises(InvalidArgumentError, match="objective; did you mean eval_loss"):
            store.get_best_run("eval_los")
