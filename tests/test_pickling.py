"""Handles and stores that are copied or pickled, with what holds them."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import make_url

from trainstore.errors import InvalidArgumentError
from trainstore.store import TrainStore

SECRET = "hunter2-canary"


def steps(store: TrainStore, run: object) -> list[tuple[int, float]]:
    return list(store.list_step_logs(run)[["step", "loss"]].itertuples(index=False, name=None))


def test_a_copied_handle_is_the_same_handle(store: TrainStore) -> None:
    """A model that holds one, and its store, may be copied deeply: an average of weights, a trainer, a data set."""
    run = store.start_run()
    held = SimpleNamespace(run=run, store=store)
    for copied in (copy.copy(held), copy.deepcopy(held)):
        assert copied.run is run
        assert copied.store is store
    assert copy.copy(run) is run
    assert copy.copy(store) is store
    assert run.finish()


def test_a_pickled_handle_joins_the_run_in_another_process(store: TrainStore) -> None:
    """It records into the same run as another writer; the status is left to the handle that opened the run."""
    run = store.start_run(name="travels")
    run.log({"loss": 1.0}, step=0)
    script = "import pickle, sys; run = pickle.load(sys.stdin.buffer); run.log({'loss': 2.0}); print(run.finish())"
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(run), capture_output=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (b"True", b"")
    run.log({"loss": 3.0}, step=2)
    assert steps(store, run) == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert store.get_run(run).status == "running"
    assert run.finish()
    record = store.get_run(run)
    assert (record.status, record.attempts) == ("finished", 1)


def test_a_pickled_handle_that_is_not_used_opens_nothing(store: TrainStore, database_url: str) -> None:
    """A loader's workers get a data set with a handle in it; most of them never use it."""
    run = store.start_run()
    other = pickle.loads(pickle.dumps(run))
    assert (other.uid, other.name, other.lineage, other.status) == (run.uid, run.name, run.lineage, "running")
    assert other.flush()
    assert other.finish()
    assert other._service is None
    assert run.finish()
    assert len(store.list_runs()) == 1


def test_several_pickled_handles_share_a_store(store: TrainStore) -> None:
    """And a handle that was pickled twice still leads to the same run."""
    runs = [store.start_run(), store.start_run()]
    copies = [pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(run)))) for run in runs]
    for number, joined in enumerate(copies):
        joined.log({"loss": float(number)}, step=0)
    assert copies[0]._service is copies[1]._service
    for number, (run, joined) in enumerate(zip(runs, copies, strict=True)):
        assert joined.finish()
        assert run.finish()
        assert steps(store, run) == [(0, float(number))]


def test_a_pickled_handle_of_a_finished_run_adds_to_it(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """As the handle itself would: what is logged is kept, the status stays, one warning says so."""
    run = store.start_run()
    assert run.finish("pruned")
    joined = pickle.loads(pickle.dumps(run))
    joined.log({"loss": 1.0}, step=0)
    assert joined.finish()
    assert steps(store, run) == [(0, 1.0)]
    assert store.get_run(run).status == "pruned"
    assert caplog.text.count("is pruned already; what is logged now is kept") == 1


def test_a_pickled_handle_whose_store_cannot_be_opened_stops_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, which run it is and why, and each further step costs nothing."""
    path = tmp_path / "runs.db"
    with TrainStore(path) as store, store.start_run() as run:
        joined = pickle.loads(pickle.dumps(run))
    path.write_text("something else " * 1000)
    for step in range(3):
        joined.log({"loss": 1.0}, step=step)
    joined.set_tags(["late"])
    assert joined.finish()
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"run {run.uid}: a step could not be recorded" in message
    assert str(path) in message
    assert path.read_text().startswith("something else ")


def test_a_pickled_store_is_opened_again(database_url: str) -> None:
    """With its prefix and settings; closing one of the two leaves the other open."""
    with TrainStore(database_url, table_name_prefix="team_") as store:
        store.start_run(name="r").finish()
        with pickle.loads(pickle.dumps(store)) as again:
            assert again is not store
            assert (again.url, again.models.prefix) == (store.url, "team_")
            assert list(again.list_runs()["name"]) == ["r"]
        assert list(store.list_runs()["name"]) == ["r"]


def test_a_store_in_memory_is_not_pickled() -> None:
    """No other process could reach it; the error says what to use."""
    with TrainStore(":memory:") as store, store.start_run() as run:
        for held in (store, run, {"model": [run]}):
            with pytest.raises(
                InvalidArgumentError, match=r"a store in memory cannot be pickled.*TrainStore\('trainstore.db'\)"
            ):
                pickle.dumps(held)
        assert copy.deepcopy([run, store]) == [run, store]


@pytest.mark.parametrize("backend_name", ["postgresql"])
def test_no_password_is_pickled(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process takes TRAINSTORE_URL if that names the same database, else what libpq finds."""
    url = make_url(database_url).set(username="postgres", password=SECRET)
    secret_url = url.update_query_dict({"sslpassword": SECRET}).render_as_string(hide_password=False)
    with TrainStore(secret_url) as store, store.start_run() as run:
        pickled = pickle.dumps([store, run])
        assert SECRET.encode() not in pickled
        other, joined = pickle.loads(pickled)
        with other:
            assert other._backend.url.password is None
            assert "sslpassword" not in other._backend.url.query
            assert other._backend.url.query.get("host") == url.query.get("host")
        joined.log({"loss": 1.0}, step=0)
        assert joined.finish()
        assert steps(store, run) == [(0, 1.0)]
        monkeypatch.setenv("TRAINSTORE_URL", secret_url)
        with pickle.loads(pickled)[0] as other:
            assert other._backend.url.password == SECRET
        monkeypatch.setenv("TRAINSTORE_URL", "elsewhere.db")
        with pickle.loads(pickled)[0] as other:
            assert other._backend.url.password is None
