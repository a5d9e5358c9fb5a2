"""The fixtures of the trainers, for the tests of integrations alone: they need torch."""

import gc
import shutil

import pytest

from fixtures.garbage import leave_libraries_out
from fixtures.trainers import make_trainer
from trainstore import TrainStore

__all__ = ["make_trainer"]


@pytest.fixture
def local_url(new_database):
    """A database in SQLite, for tests in which only the training's side matters."""
    return new_database("sqlite")


@pytest.fixture
def local_store(local_url):
    """A store in SQLite, for tests in which only the training's side matters."""
    with TrainStore(local_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_store(sqlite_template, tmp_path_factory):
    """A store in SQLite for all tests of a file that each look only at runs of their own."""
    path = tmp_path_factory.mktemp("shared") / "store.db"
    shutil.copyfile(sqlite_template, path)
    with TrainStore(path) as opened:
        yield opened


@pytest.fixture(autouse=True, scope="module")
def libraries_out_of_sight():
    """No Trainer's garbage collection looks at the imported libraries."""
    leave_libraries_out()


@pytest.fixture(autouse=True, scope="package")
def libraries_back_in_sight():
    """What was left out for these tests is collected again."""
    yield
    gc.unfreeze()


@pytest.fixture
def fresh_wandb():
    """W&B's words without a run of another test, and nothing that was warned of before."""
    from trainstore.integrations import wandb
    from trainstore.integrations.wandb import names, sessions

    names._warned.clear()
    sessions._last.clear()
    yield
    wandb.teardown()
