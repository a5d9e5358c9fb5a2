"""A training whose process is killed, and one whose database is away."""

import logging
from pathlib import Path

import pytest

from fixtures.closed_port import Proxy
from fixtures.trainers import CrashAt
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback

TRAINING = """
    import sys
    from pathlib import Path

    tests, url, folder = sys.argv[1:]
    sys.path.insert(0, tests)

    from transformers import TrainerCallback

    from fixtures.trainers import build_trainer
    from trainstore.integrations.transformers import TrainStoreCallback

    class Tells(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            print("step", state.global_step)  # the one before, whose log has come by now

    callback = TrainStoreCallback(url)
    trainer = build_trainer(
        Path(folder), callbacks=[callback, Tells()], max_steps=100_000, save_strategy="steps", save_steps=10,
        save_total_limit=2,
    )
    trainer.train()
"""
TESTS = Path(__file__).parents[1]


@pytest.fixture
def proxy(new_database):
    """A PostgreSQL database behind a port that is still closed."""
    made = Proxy(new_database("postgresql"))
    yield made
    made.close()


def last_step(script):
    """The highest step that the script said it had finished."""
    return max(int(line.split()[1]) for line in script.lines if line.startswith("step "))


def test_a_killed_training_keeps_every_finished_step(database_url, start_script, make_trainer, tmp_path):
    """SIGKILL in mid-training: every finished step is there with its loss, and the checkpoint goes on with the run."""
    script = start_script(TRAINING, TESTS, database_url, tmp_path, libraries="trainer")
    script.wait_for("step 25")
    script.kill()
    finished = last_step(script)
    with TrainStore(database_url) as store:
        (uid,) = store.list_runs()["uid"]
        steps = store.list_step_logs(uid)
        # One step more may have been recorded before it could say so.
        assert steps["step"].to_list()[:finished] == list(range(1, finished + 1))
        assert len(steps) <= finished + 1
        assert steps["loss"].notna().all()
        killed_at = len(steps)

        checkpoints = [int(path.name.split("-")[1]) for path in (tmp_path / "output").glob("checkpoint-*")]
        callback = TrainStoreCallback(store)
        trainer = make_trainer(callbacks=[callback], max_steps=max(checkpoints) + 5)
        # The last folder may be half written: the one before it never is.
        resumed = sorted(checkpoints)[-2] if len(checkpoints) > 1 else checkpoints[0]
        trainer.train(resume_from_checkpoint=str(tmp_path / "output" / f"checkpoint-{resumed}"))
        assert callback.run_uid == uid
        assert store.list_step_logs(uid)["step"].to_list() == list(range(1, max(checkpoints) + 6))
        assert len(store.list_step_logs(uid, attempts="all")) == killed_at + max(checkpoints) + 5 - resumed
        assert store.list_runs()[["status", "attempts"]].values.tolist() == [["finished", 2]]


def test_a_database_that_is_away_at_the_start_gets_everything_later(proxy, make_trainer, monkeypatch, caplog):
    """The training begins in the journal, with one warning; when the server is back, it gets the whole run."""
    monkeypatch.setattr("trainstore.integrations.transformers.session.FINISH_TIMEOUT", 0.2)
    callback = TrainStoreCallback(proxy.url)
    trainer = make_trainer(callbacks=[callback], max_steps=20)
    trainer.train()
    assert trainer.state.global_step == 20
    begun = [r for r in caplog.records if r.name == "trainstore" and "start in the journal" in r.message]
    assert [record.levelno for record in begun] == [logging.WARNING]
    proxy.open()
    assert callback.store.flush(timeout=60)
    callback.close()
    with TrainStore(proxy.url) as store:
        run = store.get_run(callback.run_uid)
        assert (run.status, run.last_step, run.hyperparams["max_steps"]) == ("finished", 20, 20)
        assert store.list_step_logs(run)["loss"].notna().sum() == 20


def test_a_training_killed_while_the_database_is_away_loses_nothing(proxy, start_script, tmp_path):
    """Neither the server nor the process lived: opening the store later delivers what the journal holds."""
    script = start_script(TRAINING, TESTS, proxy.url, tmp_path, libraries="trainer")
    script.wait_for("step 15")
    script.kill()
    finished = last_step(script)
    proxy.open()
    with TrainStore(proxy.url) as store:
        assert store.recovered.records > finished
        (uid,) = store.list_runs()["uid"]
        assert store.list_step_logs(uid)["step"].to_list()[:finished] == list(range(1, finished + 1))
        assert store.get_run(uid).hyperparams["max_steps"] == 100_000


def test_a_checkpoint_resumes_while_the_database_is_away(proxy, make_trainer, monkeypatch):
    """The checkpoint alone knows the run and its attempts: the server gets one run with two attempts later."""
    monkeypatch.setattr("trainstore.integrations.transformers.session.FINISH_TIMEOUT", 0.2)
    saving = {"save_strategy": "steps", "save_steps": 5}
    first = TrainStoreCallback(proxy.url)
    with pytest.raises(RuntimeError, match="at step 7"):
        make_trainer(callbacks=[first, CrashAt(7)], **saving).train()
    second = TrainStoreCallback(proxy.url)
    make_trainer(callbacks=[second], **saving).train(resume_from_checkpoint=True)
    assert second.run_uid == first.run_uid
    proxy.open()
    for callback in (second, first):  # the later attempt arrives before the one that it resumed
        assert callback.store.flush(timeout=60)
        callback.close()
    with TrainStore(proxy.url) as store:
        assert store.list_runs()[["status", "attempts", "last_step"]].values.tolist() == [["finished", 2, 10]]
        assert store.list_step_logs(first.run_uid)["step"].to_list() == list(range(1, 11))
        assert len(store.list_step_logs(first.run_uid, attempts="all")) == 12
