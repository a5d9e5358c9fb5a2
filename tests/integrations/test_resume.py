"""Going on from a checkpoint: with our key and without, killed, elsewhere, twice, after the store was closed."""

import json
import logging
import pickle
from pathlib import Path

import pytest
from accelerate.state import GradientState
from sqlalchemy import text
from transformers import TrainerCallback

from fixtures.trainers import TESTS, Crash, CrashAt, build_trainer, gpt2, tokens
from fixtures.twins import logged, recorded
from trainstore import TrainStore
from trainstore.errors import InvalidArgumentError, StoreClosedError
from trainstore.integrations.transformers import TrainStoreCallback

SAVING = {"save_strategy": "steps", "save_steps": 2}


def attempts_of(store):
    """Every attempt: where it began, how far it came, how it ended."""
    with store.session() as session:
        attempts = session.query(store.models.Attempt).order_by(store.models.Attempt.attempt).all()
        return [(one.start_step, one.last_step, one.status) for one in attempts]


def saved_key(folder):
    """What a checkpoint carries of ours, or None."""
    state = json.loads((Path(folder) / "trainer_state.json").read_text(encoding="utf-8"))
    return state["stateful_callbacks"].get("trainstore")


# --- A training that was killed ---------------------------------------------------------------------------------------

KILLED = """
    import os, signal, sys
    from pathlib import Path

    tests, url, folder = sys.argv[1:]
    sys.path.insert(0, tests)

    from transformers import TrainerCallback

    from fixtures.trainers import build_trainer
    from trainstore.integrations.transformers import TrainStoreCallback

    class Kills(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 35:
                os.kill(os.getpid(), signal.SIGKILL)

    trainer = build_trainer(
        Path(folder), callbacks=[TrainStoreCallback(url), Kills()], max_steps=50, logging_steps=25,
        save_strategy="steps", save_steps=10,
    )
    trainer.train()
"""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The same training, never broken, which logs every step."""
    trainer = build_trainer(tmp_path_factory.mktemp("unbroken"), max_steps=50, logging_steps=1)
    trainer.train()
    return trainer


def test_killed_at_35_and_resumed_from_30(database_url, start_script, make_trainer, unbroken, tmp_path):
    """Of 50 steps the process dies after 35 and goes on from its checkpoint at 30: one run of two attempts.

    Its 50 current steps are, to the bit, those of a training that was never broken; the dead one's steps 31 to 35 are
    there too, superseded.
    """
    start_script(KILLED, TESTS, database_url, tmp_path, libraries="trainer").finish(code=-9)
    with TrainStore(database_url) as store:
        assert store.list_runs()[["status", "last_step"]].values.tolist() == [["lost", 35]]
        (uid,) = store.list_runs()["uid"]
        callback = TrainStoreCallback(store)
        make_trainer(callbacks=[callback], max_steps=50, logging_steps=25).train(
            resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-30")
        )
        assert callback.run_uid == uid
        assert store.list_runs()[["status", "attempts", "last_step"]].values.tolist() == [["finished", 2, 50]]
        assert [ends[:2] for ends in attempts_of(store)] == [(-1, 35), (30, 50)]
        for key in ("loss", "grad_norm", "learning_rate"):
            assert recorded(store, callback, key) == logged(unbroken, key), key
        with store.engine.connect() as connection:
            current = connection.execute(text("SELECT step FROM current_step_log ORDER BY step")).scalars().all()
        assert current == list(range(1, 51))
        everything = store.list_step_logs(uid, attempts="all")
        superseded = everything[(everything["attempt"] == 1) & (everything["step"] > 30)]
        assert superseded["step"].to_list() == list(range(31, 36))
        assert superseded["loss"].to_list() == [logged(unbroken, "loss")[step] for step in range(31, 36)]
        assert len(everything) == 55


# --- The key in the checkpoint ----------------------------------------------------------------------------------------


def test_a_checkpoint_from_before_the_callback_begins_a_run_at_its_step(store, make_trainer, tmp_path):
    """No key: a new run without a parent, whose rows begin after the checkpoint; its own checkpoints have the key."""
    with pytest.raises(Crash):
        make_trainer(callbacks=[CrashAt(3)], max_steps=8, **SAVING).train()
    assert saved_key(tmp_path / "output" / "checkpoint-2") is None
    first = TrainStoreCallback(store)
    with pytest.raises(Crash):
        make_trainer(callbacks=[first, CrashAt(5)], max_steps=8, **SAVING).train(resume_from_checkpoint=True)
    run = store.get_run(first.run_uid)
    assert (run.parent_uid, run.status, run.last_step) == (None, "failed", 5)
    assert store.list_step_logs(run)["step"].to_list() == [3, 4, 5]
    assert saved_key(tmp_path / "output" / "checkpoint-4")["attributes"]["run_uid"] == run.uid
    second = TrainStoreCallback(store, resume="must")
    trainer = make_trainer(callbacks=[second], max_steps=8, **SAVING)
    trainer.train(resume_from_checkpoint=True)
    assert second.run_uid == run.uid
    assert attempts_of(store) == [(-1, 5, "failed"), (4, 8, "finished")]
    twin = make_trainer(max_steps=8, logging_steps=1, output_dir=str(tmp_path / "twin"))
    twin.train()
    assert recorded(store, second, "loss") == {step: logged(twin, "loss")[step] for step in range(3, 9)}
    assert store.get_run(run).environment["loss_source"] == "training_step"


def test_the_callbacks_state_may_be_restored_by_the_trainer(local_store, make_trainer):
    """restore_callback_states_from_checkpoint=True takes nothing from us: the same run goes on, recorded once."""
    first = TrainStoreCallback(local_store)
    with pytest.raises(Crash):
        make_trainer(callbacks=[first, CrashAt(3)], **SAVING).train()
    second = TrainStoreCallback(local_store)
    trainer = make_trainer(callbacks=[second], restore_callback_states_from_checkpoint=True, max_steps=6, **SAVING)
    trainer.train(resume_from_checkpoint=True)
    assert second.run_uid == first.run_uid
    assert second in trainer.callback_handler.callbacks
    assert recorded(local_store, second, "loss").keys() == set(range(1, 7))


def test_resumed_twice_from_the_same_checkpoint(store, make_trainer, tmp_path):
    """Two crashes after one checkpoint: three attempts; each step is shown as the last attempt made it."""
    uids = set()
    for crash_at in (4, 5, None):
        callback = TrainStoreCallback(store)
        extra = [] if crash_at is None else [CrashAt(crash_at)]
        saving = {"save_strategy": "steps", "save_steps": 3}
        trainer = make_trainer(callbacks=[callback, *extra], max_steps=6, **saving)
        checkpoint = tmp_path / "output" / "checkpoint-3"
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint.exists() else None)
        except Crash:
            pass
        uids.add(callback.run_uid)
    (uid,) = uids
    assert attempts_of(store) == [(-1, 4, "failed"), (3, 5, "failed"), (3, 6, "finished")]
    steps = store.list_step_logs(uid, attempts="all")
    steps_by_attempt = {number: sorted(rows["step"]) for number, rows in steps.groupby("attempt")}
    assert steps_by_attempt == {1: [1, 2, 3, 4], 2: [4, 5], 3: [4, 5, 6]}
    assert store.list_step_logs(uid)["step"].to_list() == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_of_a_training_that_still_runs_makes_a_child(local_store, make_trainer, tmp_path):
    """While the run's writer lives in this process, whoever resumes its checkpoint is another training."""
    children = []

    class GoesOnBeside(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                child = TrainStoreCallback(local_store)
                trainer = make_trainer(model=gpt2(), callbacks=[child], max_steps=4)
                trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-2"))
                children.append(child.run_uid)

    callback = TrainStoreCallback(local_store)
    make_trainer(callbacks=[callback, GoesOnBeside()], max_steps=4, **SAVING).train()
    child = local_store.get_run(children[0])
    assert (child.parent_uid, child.parent_step, child.status) == (callback.run_uid, 2, "finished")
    assert local_store.list_step_logs(child)["step"].to_list() == [3, 4]
    assert recorded(local_store, callback, "loss").keys() == {1, 2, 3, 4}


def test_a_run_of_another_database_is_named(store, new_database, make_trainer, caplog):
    """The checkpoint's run is not in this store: a warning names both, and the run is made with what is remembered."""
    with TrainStore(new_database("sqlite")) as other:
        first = TrainStoreCallback(other)
        make_trainer(callbacks=[first], max_steps=4, logging_steps=2, **SAVING).train()
    second = TrainStoreCallback(store)
    make_trainer(callbacks=[second], max_steps=6, **SAVING).train(resume_from_checkpoint=True)
    assert second.run_uid == first.run_uid
    (warning,) = [one for one in caplog.records if one.name == "trainstore"]
    assert warning.levelno == logging.WARNING
    assert first.run_uid in warning.message
    assert store.url in warning.message
    assert "resume='never'" in warning.message
    assert list(recorded(store, second, "loss")) == [5, 6]
    assert list(recorded(store, second, "loss_window"))[:2] == [2, 4]
    assert store.get_run(second.run_uid).status == "finished"


# --- resume= ----------------------------------------------------------------------------------------------------------


def test_must_goes_on_and_never_begins_anew(store, make_trainer):
    """The same checkpoint: resume="must" takes its run, resume="never" makes one that knows of no parent."""
    first = TrainStoreCallback(store)
    make_trainer(callbacks=[first], max_steps=2, **SAVING).train()
    must = TrainStoreCallback(store, resume="must")
    make_trainer(callbacks=[must], max_steps=4, **SAVING).train(resume_from_checkpoint=True)
    never = TrainStoreCallback(store, resume="never")
    make_trainer(callbacks=[never], max_steps=6, **SAVING).train(resume_from_checkpoint=True)
    assert must.run_uid == first.run_uid != never.run_uid
    assert store.list_step_logs(must.run_uid)["step"].to_list() == [1, 2, 3, 4]
    assert store.list_step_logs(never.run_uid)["step"].to_list() == [5, 6]
    assert store.get_run(never.run_uid).parent_uid is None


@pytest.mark.parametrize("why", ["no key", "another output_dir"])
def test_must_refuses_what_is_no_checkpoint_of_ours(local_store, make_trainer, tmp_path, why):
    """resume="must" with a checkpoint that has no key, or elsewhere: an error before the first step, and no run."""
    recorded_first = [] if why == "no key" else [TrainStoreCallback(local_store)]
    make_trainer(callbacks=recorded_first, max_steps=2, **SAVING).train()
    before = len(local_store.list_runs())
    elsewhere = {} if why == "no key" else {"output_dir": str(tmp_path / "elsewhere")}
    trainer = make_trainer(callbacks=[TrainStoreCallback(local_store, resume="must")], max_steps=4, **elsewhere)
    with pytest.raises(InvalidArgumentError, match="resume='must'"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-2"))
    assert trainer.state.global_step == 2
    assert len(local_store.list_runs()) == before


# --- A store that is closed -------------------------------------------------------------------------------------------


def test_a_closed_store_is_refused_before_a_resumed_training(store, make_trainer):
    """The error says that the store is closed, and no step is trained."""
    make_trainer(callbacks=[TrainStoreCallback(store)], max_steps=2, **SAVING).train()
    trainer = make_trainer(callbacks=[TrainStoreCallback(store)], max_steps=4)
    store.close()
    with pytest.raises(StoreClosedError, match="closed"):
        trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 2


def test_a_store_that_is_closed_under_a_training_does_not_stop_it(database_url, make_trainer, caplog):
    """close() in mid-training, and an evaluation afterwards: no exception, a warning, and no step is lost.

    The run ended with its store.
    """
    store = TrainStore(database_url)

    class Closes(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                store.close()

    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback, Closes()], max_steps=6, eval_dataset=tokens(4))
    trainer.train()
    trainer.evaluate()
    assert trainer.state.global_step == 6
    assert "on_log could not be recorded (ClosedError" in caplog.text
    assert "open a new TrainStore" in caplog.text
    store.close()  # once more: what was recorded after the first time had begun to be delivered again
    with TrainStore(database_url) as again:
        run = again.get_run(callback.run_uid)
        assert again.list_step_logs(run)["step"].to_list() == [1, 2, 3, 4, 5, 6]
        assert run.status == "finished"


# --- Two callbacks, pickles -------------------------------------------------------------------------------------------


def test_the_recording_one_of_two_callbacks_goes_on(store, make_trainer, caplog):
    """Two callbacks on one trainer record one run once, and a resumed training with two goes on with it."""
    pairs = [[TrainStoreCallback(store), TrainStoreCallback(store)] for _ in range(2)]
    with pytest.raises(Crash):
        make_trainer(callbacks=[*pairs[0], CrashAt(3)], max_steps=4, **SAVING).train()
    make_trainer(callbacks=pairs[1], max_steps=4, **SAVING).train(resume_from_checkpoint=True)
    assert [callback.run is None for pair in pairs for callback in pair] == [False, True, False, True]
    assert store.list_runs()[["status", "attempts", "last_step"]].values.tolist() == [["finished", 2, 4]]
    assert len(store.list_step_logs(pairs[0][0].run_uid, attempts="all")) == 5
    assert caplog.text.count("two TrainStoreCallbacks") == 2


def test_a_trainer_that_travels_takes_the_callback_along(database_url, make_trainer):
    """Pickled as Ray does it, twice: each copy records a run of its own into the same store."""
    GradientState._reset_state()  # accelerate's, of the process: it may hold what an earlier test trained with
    callback = TrainStoreCallback(database_url, project="travels", hyperparams={"a": 1})
    trainer = make_trainer(callbacks=[callback], max_steps=2)
    pickled = pickle.dumps(trainer)
    uids = set()
    for _ in range(2):
        copy = pickle.loads(pickled)
        (travelled,) = [one for one in copy.callback_handler.callbacks if isinstance(one, TrainStoreCallback)]
        assert travelled.run is None
        copy.train()
        uids.add(travelled.run_uid)
    with TrainStore(database_url) as store:
        assert set(store.list_runs(project="travels")["uid"]) == uids
        assert len(uids) == 2
        for uid in uids:
            run = store.get_run(uid)
            assert (run.status, run.last_step, run.hyperparams["a"]) == ("finished", 2, 1)
            assert run.environment["loss_source"] == "training_step"


def test_a_pickled_callback_goes_on_with_the_run(local_store, make_trainer, tmp_path):
    """The copy knows nothing of the run; the checkpoint does."""
    callback = TrainStoreCallback(local_store, resume="auto")
    with pytest.raises(Crash):
        build_trainer(tmp_path, callbacks=[callback, CrashAt(3)], **SAVING).train()
    copy = pickle.loads(pickle.dumps(callback))
    build_trainer(tmp_path, model=gpt2(), callbacks=[copy], max_steps=4).train(resume_from_checkpoint=True)
    assert copy.run_uid == callback.run_uid
    assert local_store.list_step_logs(copy.run_uid)["step"].to_list() == [1, 2, 3, 4]
