"""Which store a callback means."""

from pathlib import Path

import pytest

from trainstore import TrainStore
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
