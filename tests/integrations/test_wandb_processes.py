"""Scripts written for W&B in threads and processes, and how their runs end."""

from __future__ import annotations

import os
import pickle
import threading
from typing import Any

import pytest

from fixtures.adapter_tests import only_run
from fixtures.closed_port import Proxy
from trainstore import TrainStore
from trainstore.integrations import wandb


def test_threads_forked_children_and_a_pickled_run_log_into_one_run(store: TrainStore) -> None:
    """No call is lost or counted twice; a child's own init begins a run of its own."""
    run = wandb.init(store=store, name="shared")

    def log() -> None:
        for _ in range(50):
            wandb.log({"counted": 1})

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wandb.define_metric("waiting", step_metric="global_step")
    wandb.log({"waiting": 3.0}, commit=False)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            wandb.log({"child": 1.0}, step=1_000)
            wandb.log({"global_step": 5}, step=1_001)  # what waits for it is the parent's
            assert wandb.run is run
            with wandb.init(store=store, name="own") as own:
                own.log({"loss": 1.0})
                code = 0 if own is not run else 2
            store.flush()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    copy = pickle.loads(pickle.dumps(run))
    copy.log({"copied": 2.0}, step=2_000)
    copy.finish()
    assert wandb.run is run
    wandb.finish()
    store.recover()
    rows = store.list_step_logs("shared").set_index("step")
    assert rows["counted"].dropna().index.tolist() == list(range(200))
    assert rows["waiting"].dropna().to_dict() == {200: 3.0}
    assert rows["child"].dropna().to_dict() == {1_000: 1.0}
    assert rows["copied"].dropna().to_dict() == {2_000: 2.0}
    assert store.get_run("own").status == "finished"


def test_a_script_that_never_finishes_its_run_ends_it(start_script: Any, database_url: str) -> None:
    """At its exit; with what waited for its axis; failed, if an exception ended it."""
    script = start_script(
        """
        import sys
        from trainstore.integrations import wandb

        wandb.init(store=sys.argv[1], name="left")
        wandb.define_metric("loss", step_metric="global_step")
        wandb.log({"global_step": 7})
        wandb.log({"loss": 1.0}, commit=False)
        wandb.config.update({"lr": 1 / len(sys.argv[2:])})
        """,
        database_url,
    )
    script.finish(code=1)
    with TrainStore(database_url) as store:
        record = store.get_run("left")
        assert (record.status, record.error) == ("failed", "ZeroDivisionError: division by zero")
        assert store.list_step_logs(record).set_index("step")["loss"].to_dict() == {7: 1.0}


def test_finish_while_an_exception_is_handled_says_how_it_ended(store: TrainStore) -> None:
    """In a finally block; but not a run that is begun while one is handled, nor an exit code that is given."""

    def diverges() -> None:
        wandb.init(store=store, name="finally")
        try:
            raise ValueError("diverged")
        finally:
            wandb.finish()

    with pytest.raises(ValueError, match="diverged"):
        diverges()
    try:
        raise MemoryError
    except MemoryError:
        wandb.init(store=store, name="again")
        wandb.log({"loss": 1.0})
        wandb.finish()
        wandb.init(store=store, name="code")
        wandb.finish(exit_code=255)
    ends = store.list_runs().set_index("name")[["status", "error"]].to_dict("index")
    assert ends["finally"] == {"status": "failed", "error": "ValueError: diverged"}
    assert ends["again"]["status"] == "finished"
    assert ends["code"] == {"status": "interrupted", "error": "exit code 255"}


def test_processes_that_share_an_id_write_into_one_run(store: TrainStore) -> None:
    """The second joins the run that is being recorded; the first says how it ends."""
    first = wandb.init(store=store, id="shared", reinit="create_new")
    first.log({"loss": 1.0}, step=0)  # which is not stored yet
    second = wandb.init(store=store, id="shared", reinit="create_new")
    assert second.resumed
    second.log({"rank1/loss": 2.0}, step=0)
    second.finish()
    first.finish(exit_code=1)
    assert store.list_step_logs(only_run(store))[["loss", "rank1/loss"]].to_numpy().tolist() == [[1.0, 2.0]]
    assert only_run(store).status == "failed"


def test_a_run_with_an_id_begins_while_the_database_is_away(
    new_database: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it is there cannot be asked: it begins, and is delivered later; must raises, as nobody knows."""
    monkeypatch.setattr("trainstore.integrations.recording.FINISH_TIMEOUT", 0.2)
    monkeypatch.setattr("trainstore.store.CLOSE_TIMEOUT", 0.2)
    proxy = Proxy(new_database("postgresql"))
    with wandb.init(store=proxy.url, id="x", resume="allow") as run:
        run.log({"loss": 1.0})
    assert "no run with the id x can be looked up now" in caplog.text
    proxy.open()
    try:
        with TrainStore(proxy.url) as store:
            store.recover()
            assert only_run(store).metrics == {"loss": 1.0}
    finally:
        proxy.close()
