"""What holds for every test; the fixtures stand in the modules that are named here."""

import gc
import os

import pytest

pytest_plugins = ["fixtures.databases", "fixtures.processes", "fixtures.revisions"]

#: The models are tiny: threads of PyTorch and NumPy would only wait for each other. Child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave the imported libraries, millions of objects, out of garbage collections: each Trainer makes several."""
    gc.collect()
    gc.freeze()
