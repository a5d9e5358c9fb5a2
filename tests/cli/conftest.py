"""A store of two runs, and the command called on it."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from trainstore import TrainStore
from trainstore.cli import main


class Called(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys, monkeypatch) -> Callable[..., Called]:
    """Runs the command through its entry point; gives (exit code, standard output, standard error)."""

    def run(*arguments) -> Called:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return Called(exit_.value.code, output.out, output.err)

    return run


def two_runs(store: TrainStore) -> None:
    """What `store_url` holds."""
    for name, rate in (("first", 0.1), ("second", 0.01)):
        with store.start_run(project="cli", name=name, hyperparams={"learning_rate": rate}, tags=["t"]) as run:
            for step in range(5):
                run.log({"eval_loss": rate + 1 / (step + 1)}, step=step)
            run.log_event("checkpoint", step=4, details={"path": "here"})


@pytest.fixture
def store_url(backend_name, recorded_once, new_database) -> str:
    """The connection string of a store of two runs, on each database."""
    return new_database(backend_name, template=recorded_once(backend_name, two_runs))


@pytest.fixture
def trainstore(store_url, call, monkeypatch) -> Callable[..., Called]:
    """The command, on `store_url`."""
    monkeypatch.setenv("TRAINSTORE_URL", store_url)
    return call


@pytest.fixture
def command() -> list[str]:
    """The command in a process of its own."""
    return [sys.executable, "-m", "trainstore"]
