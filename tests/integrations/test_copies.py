"""Trainers and callbacks that are copied or pickled: neither the copy's training nor the original's is harmed."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from accelerate.state import GradientState
from sqlalchemy import make_url
from transformers import TrainerCallback

from fixtures.trainers import build_trainer
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.wrappers import Wrappers

SECRET = "pw-never-pickled"
WRAPPED = ("training_step", "_run_epoch", "_evaluate")

#: Pickled by 0.1.0: TrainStoreCallback("DATABASE", project="p", tags=["t"], hyperparams={"a": 1}, loss="logs").
PICKLED_BY_0_1_0 = (
    b"ccopy_reg\n_reconstructor\np0\n(ctrainstore.integrations.transformers\nTrainStoreCallback\np1\nc__builtin__\n"
    b"object\np2\nNtp3\nRp4\n(dp5\nVconfig\np6\n(dp7\nVstore_or_url\np8\ng0\n(ctrainstore.pickling\nStoreAddress\np9\n"
    b"g2\nNtp10\nRp11\n(dp12\nVfactory\np13\nctrainstore.store\nTrainStore\np14\nsVurl\np15\nVDATABASE\np16\n"
    b"sVoptions\np17\n(dp18\nsVin_memory\np19\nI00\nsbsVproject\np20\nVp\np21\nsVname\np22\nNsVtags\np23\n(lp24\nVt\n"
    b"p25\nasVhyperparams\np26\n(dp27\nVa\np28\nI1\nssVresume\np29\nVauto\np30\nsVloss\np31\nVlogs\np32\nsVon_error\n"
    b"p33\nVwarn\np34\nssb."
)


@pytest.fixture(autouse=True)
def gradient_state():
    """accelerate's, of the process: it may hold what an earlier test trained with."""
    GradientState._reset_state()


class AtStep2(TrainerCallback):
    """Does something to the trainer in the middle of its training."""

    def __init__(self, act):
        self.act = act

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            self.act()


def without_acts(trainer):
    trainer.callback_handler.callbacks[:] = [
        one for one in trainer.callback_handler.callbacks if not isinstance(one, AtStep2)
    ]
    return trainer


def trained(other):
    """Train a copy for three steps; return whether its own parameters were trained."""
    without_acts(other).optimizer = other.lr_scheduler = None
    other.args.max_steps = 3
    before = [parameter.clone() for parameter in other.model.parameters()]
    other.train()
    assert other.state.global_step == 3
    return not all(map(torch.equal, before, other.model.parameters()))


def callback_of(trainer):
    (found,) = [one for one in trainer.callback_handler.callbacks if isinstance(one, TrainStoreCallback)]
    return found


def assert_two_whole_runs(store, first, second):
    assert first.run_uid != second.run_uid
    for callback, steps in ((first, 5), (second, 3)):
        log = store.list_step_logs(callback.run_uid)
        assert log["step"].to_list() == list(range(1, steps + 1))
        assert log[["loss", "grad_norm", "learning_rate"]].notna().all().all()
        run = store.get_run(callback.run_uid)
        assert (run.status, run.environment["loss_source"]) == ("finished", "training_step")
    assert len(store.list_runs()) == 2


def test_a_trainer_copied_in_the_middle_of_its_training(store, database_url, tmp_path):
    """The copy trains its own model, at once, and records it as a run of its own; the original goes on as it was."""
    callback, copies = TrainStoreCallback(database_url), []

    def act():
        copies.append(copy.deepcopy(trainer))
        assert not hasattr(copies[0].training_step, "__trainstore__")
        assert trained(copies[0])

    trainer = build_trainer(tmp_path, callbacks=[callback, AtStep2(act)], max_steps=5)
    trainer.train()
    assert_two_whole_runs(store, callback, callback_of(copies[0]))
    assert not any(name in vars(trainer) for name in WRAPPED)
    assert "clip_grad_norm_" not in vars(trainer.accelerator)


class Counter:
    """Something with a method that tells whose it is."""

    def __init__(self):
        self.calls = 0

    def count(self):
        """Count the call."""
        self.calls += 1
        return self.calls


COPIES = {
    "deep copy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "deep copy of a copy": lambda one: copy.deepcopy(copy.deepcopy(one)),
}


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_a_copy_of_what_is_wrapped_has_a_method_of_its_own(make_copy):
    """Wrapped once or twice: the copy's method is its own and not wrapped, and can be wrapped and put back."""
    seen = []

    def make(original):
        def count():
            seen.append(original)
            return original()

        return count

    one, wrappers, others = Counter(), Wrappers(), Wrappers()
    assert wrappers.wrap(one, "count", make)
    assert wrappers.wrap(one, "count", make)
    assert one.count() == 1
    assert len(seen) == 2
    assert one.count.__doc__ == "Count the call."
    other = make_copy(one)
    assert (other.count(), other.count()) == (2, 3)
    assert (one.calls, other.calls, len(seen)) == (1, 3, 2)
    assert others.wrap(other, "count", make)
    assert (other.count(), one.calls, len(seen)) == (4, 1, 3)
    others.remove()
    wrappers.remove()
    assert (other.count(), one.count(), len(seen)) == (5, 2, 3)
    assert "count" not in vars(one)


def test_a_shallow_copy_is_wrapped_for_itself():
    """Its wrapper calls its own method, whatever the copied attributes brought along."""
    one, wrappers = Counter(), Wrappers()
    wrappers.wrap(one, "count", lambda original: lambda: original() + 100)
    other = copy.copy(one)
    wrappers.wrap(other, "count", lambda original: lambda: original() + 1000)
    assert (other.count(), one.calls) == (1001, 0)


def test_a_wrapper_that_cannot_be_taken_out_is_only_the_method_afterwards():
    """Somebody wrapped it again: theirs stays, and calls nothing of ours, nor keeps it alive."""

    class Seen:
        def __init__(self):
            self.calls = 0

    seen, one, wrappers = Seen(), Counter(), Wrappers()
    alive = weakref.ref(seen)

    def make(original, seen=seen):
        def count():
            seen.calls += 1
            return original()

        return count

    wrappers.wrap(one, "count", make)
    del make
    ours = one.count
    one.count = lambda: ours() + 100
    assert (one.count(), seen.calls) == (101, 1)
    wrappers.remove()
    assert (one.count(), seen.calls) == (102, 1)
    del seen
    gc.collect()
    assert alive() is None


def test_one_object_that_refuses_does_not_keep_the_others_wrapped():
    """What can be put back is, whatever another object raises."""

    class Frozen(Counter):
        def __delattr__(self, name):
            raise RuntimeError("frozen")

    one, other, wrappers = Counter(), Frozen(), Wrappers()
    for owner in (one, other):
        assert wrappers.wrap(owner, "count", lambda original: lambda: original() + 100)
    wrappers.remove()
    assert (one.count(), other.count()) == (1, 1)


@pytest.mark.parametrize("moment", ["before", "middle", "after"])
def test_a_copy_of_a_trainer_trains_later(local_store, tmp_path, moment):
    """Copied before, in the middle of or after the training: both runs are whole, and in the same open store."""
    callback, copies = TrainStoreCallback(local_store), []
    trainer = build_trainer(tmp_path, max_steps=5)
    trainer.add_callback(callback)

    def act():
        copies.append(copy.deepcopy(trainer))

    if moment == "middle":
        trainer.add_callback(AtStep2(act))
    elif moment == "before":
        act()
    trainer.train()
    if moment == "after":
        act()
    assert callback_of(copies[0]).run is None
    assert trained(copies[0])
    assert_two_whole_runs(local_store, callback, callback_of(copies[0]))


def test_a_copy_without_the_callback_records_nothing(local_store, tmp_path):
    """Its steps are not among those of the original, whose row of each step is there once."""
    callback = TrainStoreCallback(local_store)

    def act():
        other = copy.deepcopy(trainer)
        other.remove_callback(TrainStoreCallback)
        assert trained(other)

    trainer = build_trainer(tmp_path, callbacks=[callback, AtStep2(act)], max_steps=5)
    trainer.train()
    log = local_store.list_step_logs(callback.run_uid)
    assert log["step"].to_list() == [1, 2, 3, 4, 5]
    assert set(log["tokens"]) == {24}
    assert local_store.get_run(callback.run_uid).environment["loss_source"] == "training_step"


def test_a_copied_callback_has_the_same_arguments_and_store(local_store):
    """Also a subclass of one's own, by either way of copying."""

    class Own(TrainStoreCallback):
        pass

    callback = Own(local_store, project="p", hyperparams={"a": 1})
    for copied in (copy.copy(callback), copy.deepcopy(callback)):
        assert type(copied) is Own
        assert copied is not callback
        assert copied.store is local_store
        assert copied._settings == callback._settings


@pytest.mark.parametrize("backend_name", ["postgresql"])
@pytest.mark.parametrize("given", ["url", "store"])
def test_a_pickled_callback_carries_no_password(database_url, monkeypatch, given):
    """It finds the same database again: by TRAINSTORE_URL if that names it, else as libpq does."""
    url = make_url(database_url).set(username="postgres", password=SECRET).render_as_string(hide_password=False)
    with TrainStore(url) as store:
        pickled = pickle.dumps(TrainStoreCallback(url if given == "url" else store))
        assert SECRET.encode() not in pickled
        again = pickle.loads(pickle.dumps(pickle.loads(pickled)))
        assert again.store.url == store.url.replace(":***@", "@")
        again.close()
        monkeypatch.setenv("TRAINSTORE_URL", url)
        again = pickle.loads(pickled)
        assert again.store.url == store.url
        again.close()


def test_a_pickled_callback_keeps_the_prefix_and_does_without_a_store_in_memory(new_database):
    """The tables' prefix travels with the store; of a store in memory another process has one of its own."""
    with TrainStore(new_database("sqlite"), table_name_prefix="team_") as store:
        again = pickle.loads(pickle.dumps(TrainStoreCallback(store)))
        assert (again.store.url, again.store.models.prefix) == (store.url, "team_")
        again.close()
    with TrainStore("sqlite://") as store:
        again = pickle.loads(pickle.dumps(TrainStoreCallback(store)))
        assert again.store is not store
        again.close()


def test_a_callback_that_an_earlier_version_pickled_records(database_url, make_trainer):
    """The modules it was made of have moved; its arguments are as they were."""
    address = make_url(database_url).render_as_string(hide_password=False)
    callback = pickle.loads(PICKLED_BY_0_1_0.replace(b"DATABASE", address.encode()))
    make_trainer(callbacks=[callback]).train()
    with TrainStore(database_url) as store:
        run = store.get_run(callback.run_uid)
        assert (run.project, run.tags, run.hyperparams["a"]) == ("p", {"t": True}, 1)
        assert run.environment["loss_source"] == "logs"
