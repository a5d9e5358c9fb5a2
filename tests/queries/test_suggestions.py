"""An answer is not empty without a word: names that no run has cause one warning each, with the closest names."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trainstore import TrainStore
from trainstore.errors import TrainStoreWarning, UnknownNameWarning


@pytest.fixture
def filled(store: TrainStore) -> TrainStore:
    """A store of two runs."""
    for name, rate in (("baseline", 0.1), ("baseline-2", 0.2)):
        hyperparams = {"learning_rate": rate, "optim": {"name": "sgd"}}
        with store.start_run(project="dickens", name=name, hyperparams=hyperparams, tags={"owner": "ann"}) as run:
            run.log({"eval_loss": rate, "text": "t"}, step=0)
            run.log({"eval_loss": rate}, step=1)
    return store


@pytest.fixture
def said(database_url: str) -> Callable[..., list[str]]:
    """What a query of a store that was just opened warns of; each warning shows the caller's line."""
    return lambda query, *arguments, **options: _said(database_url, query.__name__, *arguments, **options)


def _said(url: str, query: str, *arguments: Any, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught, TrainStore(url) as store:
        warnings.simplefilter("always")
        getattr(store, query)(*arguments, **options)
    assert all(warning.category is UnknownNameWarning for warning in caught)
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"project": "dikens"}, "there is no project 'dikens'; did you mean dickens?"),
    ({"project": ["dickens", "dikens"]}, "there is no project 'dikens'; did you mean dickens?"),
    ({"name": "baselin"}, "there is no run 'baselin'; did you mean baseline"),
    ({"name": np.array(["baseline", "zzz"])}, "there is no run 'zzz'; there are baseline"),
    ({"tag": "owne"}, "there is no tag 'owne'; did you mean owner?"),
    ({"tag": ["owner", "onwer"]}, "there is no tag 'onwer'; did you mean owner?"),
    ({"tag": {"owners": "ann"}}, "there is no tag 'owners'; did you mean owner?"),
    ({"where": "tag.owners = ann and hp.learning_rate > 0"}, "there is no tag 'owners'; did you mean owner?"),
    ({"where": ["tag.owners", "tag.x or tag.y"]}, "there is no tag 'owners'; did you mean owner?"),
    (
        {"hyperparams": {"learningrate": 0.1}},
        "there is no hyperparameter 'learningrate'; did you mean hp.learning_rate?",
    ),
    ({"hyperparams": {"optim.nam": "sgd"}}, "'optim.nam'; did you mean hp.optim.name or hp.optim?"),
]


@pytest.mark.parametrize(("options", "words"), UNKNOWN)
def test_an_unknown_name_in_a_filter_is_named(
    filled: TrainStore, said: Callable[..., list[str]], options: dict[str, Any], words: str
) -> None:
    """In every query that takes filters, with the closest names; also inside a list."""
    one, *more = said(filled.list_runs, **options)
    assert words in one
    assert words in said(filled.list_runs_grouped_by_metric, "eval_loss", "min", **options)[0]
    is_empty = filled_best_is_none(filled, options)
    assert [words in text for text in said(filled.get_best_run, "eval_loss", "min", **options)[:1]] == [True] * is_empty
    assert len(more) == ("where" in options and isinstance(options["where"], list))


def filled_best_is_none(store: TrainStore, options: dict[str, Any]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownNameWarning)
        return store.get_best_run("eval_loss", "min", **options) is None


def test_an_unknown_metric_is_named(filled: TrainStore, said: Callable[..., list[str]]) -> None:
    """As a column, to rank by, and among the metrics of steps, wide and tidy."""
    words = ["no run has numbers of the metric 'eval_los'; did you mean eval_loss?"]
    assert said(filled.list_runs, metrics=["eval_los", "eval_loss"]) == words
    assert said(filled.get_best_run, "eval_los", "min") == words
    assert said(filled.list_runs_grouped_by_metric, "eval_los", "min") == words
    for tidy in (False, True):
        assert said(filled.list_step_logs, "baseline", metrics=["eval_los", "text"], tidy=tidy) == words


def test_an_unknown_hyperparameter_is_named(filled: TrainStore, said: Callable[..., list[str]]) -> None:
    """As a column, and as a key."""
    words = ["there is no hyperparameter 'learning_rte'; did you mean hp.learning_rate?"]
    assert said(filled.list_runs, hyperparams=["learning_rte", "optim.name"]) == words
    assert said(filled.list_hyperparams, key="learning_rte") == words


@pytest.mark.parametrize(
    "options",
    [
        {"project": "dickens", "status": "failed"},
        {"name": "baseline", "tag": {"owner": "bob"}},
        {"hyperparams": {"learning_rate": 5}},
        {"where": "not tag.bad and tag.owner = bob"},
        {"where": "tag.bad or tag.owner = bob"},
        {"name": []},
        {"limit": 0},
        {"name": ["baseline", "baseline-2"], "limit": 1},
        {"metrics": ["eval_loss"], "hyperparams": ["learning_rate"]},
    ],
)
def test_an_answer_that_is_empty_for_another_reason_says_nothing(
    filled: TrainStore, said: Callable[..., list[str]], options: dict[str, Any]
) -> None:
    """The names are there; no run has these values."""
    assert said(filled.list_runs, **options) == []


def test_steps_and_keys_that_are_elsewhere_say_nothing(filled: TrainStore, said: Callable[..., list[str]]) -> None:
    """A run need not have what another one has, and a run without steps has no metric yet."""
    with filled.start_run(name="other") as run:
        assert run.flush(60)
        assert said(filled.list_step_logs, run, metrics=["anything"]) == []
        run.log({"loss": 1.0}, step=0)
        assert run.flush(60)
        assert said(filled.list_step_logs, run, metrics=["eval_loss", "epoch", "step_time"]) == []
        assert said(filled.list_hyperparams, run, key="learning_rate") == []


def test_of_many_unknown_names_a_few_are_named(filled: TrainStore, said: Callable[..., list[str]]) -> None:
    """A query may ask for hundreds of runs that were not begun yet."""
    many = [f"planned {number}" for number in range(700)]
    assert len(said(filled.list_runs, name=many)) == 3
    assert len(said(filled.list_runs, hyperparams=many[:200], metrics=many)) == 6


def test_a_store_without_runs_says_nothing(store: TrainStore, said: Callable[..., list[str]]) -> None:
    """Nothing can be misspelt there."""
    assert said(store.list_runs, project="p", name="n", tag="t", hyperparams={"x": 1}, metrics=["m"]) == []
    assert said(store.get_best_run, "loss", "min") == []
    assert said(store.list_hyperparams, key="x") == []


def test_the_warning_comes_once_and_can_be_an_error(filled: TrainStore) -> None:
    """Python shows it once for each line of code; it is an error for who asks for that, and the store goes on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            assert filled.list_runs(project="dikens").empty
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainStoreWarning)
        with pytest.raises(UnknownNameWarning), filled.snapshot() as view:
            view.list_runs(project="diken")
        assert filled._repr_html_().startswith("<p>")
    assert len(filled.list_runs(project="dickens")) == 2
