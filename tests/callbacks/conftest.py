"""The fixtures of the trainers, for the tests of callbacks."""

import gc

import pytest

from fixtures.trainers import make_trainer

__all__ = ["make_trainer"]


@pytest.fixture(autouse=True, scope="package")
def libraries_out_of_sight():
    """Each Trainer collects garbage when it begins; the imported libraries' objects, most of its time, are left out."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
