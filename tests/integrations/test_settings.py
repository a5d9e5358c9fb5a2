"""A callback's arguments: which of them are refused, which store they mean, and that they can be pickled."""

import pickle
import threading
from pathlib import Path

import pytest
from sqlalchemy import make_url
from transformers import TrainerCallback

from fixtures.trainers import tokens
from trainstore import TrainStore
from trainstore.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    StoreClosedError,
    StoreUnavailableError,
)
from trainstore.integrations.transformers import TrainStoreCallback


@pytest.mark.parametrize("given", ["runs.db", Path("runs.db"), "sqlite:///runs.db", None, "TRAINSTORE_URL"])
def test_a_relative_path_starts_where_the_callback_was_made(tmp_path, monkeypatch, given):
    """Its store is opened when training begins, and again for a later evaluation: one file, wherever the script is."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    if given == "TRAINSTORE_URL":
        monkeypatch.setenv("TRAINSTORE_URL", "runs.db")
        given = None
    callback = TrainStoreCallback(given)
    for folder in ("b", "a"):
        monkeypatch.chdir(tmp_path / folder)
        assert isinstance(callback.store, TrainStore)
        callback.close()
    found = [path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.db")]
    assert found == ["a"]


def test_a_store_that_the_callback_opened_is_closed(local_url, make_trainer):
    """Given a URL the callback closes the store when the training ends; evaluate() opens it once more."""
    before = set(threading.enumerate())

    def writers():
        return [one for one in threading.enumerate() if one.name == "trainstore-writer" and one not in before]

    callback = TrainStoreCallback(local_url)
    trainer = make_trainer(callbacks=[callback], max_steps=2, eval_dataset=tokens(4))
    trainer.train()
    assert writers() == []
    trainer.evaluate()
    assert writers() == []
    with TrainStore(local_url) as store:
        assert store.list_step_logs(callback.run_uid).set_index("step")["eval_loss"].notna()[2]


def test_it_pickles_to_its_arguments(local_url, local_store, make_trainer):
    """A pickled callback is a fresh one with the same arguments, whatever the first one was doing."""
    callback = TrainStoreCallback(local_store, project="p", tags=["t"], hyperparams={"a": 1})
    copies = []

    class Pickles(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            copies.append(pickle.loads(pickle.dumps(callback)))

    make_trainer(callbacks=[callback, Pickles()], max_steps=1).train()
    (copy,) = copies
    assert copy.run is None
    make_trainer(callbacks=[copy], max_steps=2).train()
    run = local_store.get_run(copy.run_uid)
    assert (run.project, run.tags, run.hyperparams["a"]) == ("p", {"t": True}, 1)
    assert run.uid != callback.run_uid


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"resume": "maybe"}, InvalidArgumentError),
        ({"loss": "guess"}, InvalidArgumentError),
        ({"on_error": "ignore"}, InvalidArgumentError),
        ({"hyperparams": 5}, InvalidArgumentError),
        ({"tags": 5}, InvalidArgumentError),
        ({"project": 5}, InvalidArgumentError),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_at_once(arguments, error):
    """A wrong argument is an error where it is given."""
    with pytest.raises(error, match=next(iter(arguments))):
        TrainStoreCallback("x.db", **arguments)


@pytest.mark.parametrize(
    ("make_arguments", "error"),
    [
        (lambda folder: {"store_or_url": str(folder / "missing" / "x.db")}, StoreUnavailableError),
        (lambda folder: {"store_or_url": folder}, StoreUnavailableError),
    ],
    ids=["missing folder", "folder"],
)
def test_what_the_user_can_fix_stops_the_training_before_it_begins(make_trainer, tmp_path, make_arguments, error):
    """A store that cannot be opened is an error before the first step."""
    trainer = make_trainer(callbacks=[TrainStoreCallback(**make_arguments(tmp_path))])
    with pytest.raises(error):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_closed_store_is_an_error_before_the_training(local_url, make_trainer):
    """A store that was closed cannot be recorded into."""
    store = TrainStore(local_url)
    trainer = make_trainer(callbacks=[TrainStoreCallback(store)])
    store.close()
    with pytest.raises(StoreClosedError):
        trainer.train()


def test_a_login_that_may_only_read_is_an_error_before_the_training(new_database, postgres_server, make_trainer):
    """It is told at once, not in the background of a training whose records all wait."""
    url = make_url(new_database("postgresql"))
    role = f"reader_{url.database[-12:]}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN")
    try:
        postgres_server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", url.database)
        trainer = make_trainer(callbacks=[TrainStoreCallback(url.set(username=role).render_as_string(False))])
        with pytest.raises(PermissionDeniedError, match=rf"{role}@.*INSERT and UPDATE"):
            trainer.train()
        assert trainer.state.global_step == 0
    finally:
        postgres_server.execute(f"DROP OWNED BY {role}", url.database)
        postgres_server.execute(f"DROP ROLE {role}")
