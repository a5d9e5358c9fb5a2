"""What all callbacks have in common: where they write, and that none of them disturbs a training."""

import copy
import inspect
import logging
import pickle
from collections import Counter

import pytest
import torch
from transformers import TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler

from fixtures.trainers import course_of, gpt2, is_same_course, tokens
from trainstore.callbacks import Callback
from trainstore.callbacks.models import unwrapped, without_adapters
from trainstore.callbacks.summary_writer import SummaryWriterSource
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.transformers import TrainStoreCallback, record


class Notes(Callback):
    """Writes an event into the run at each log."""

    writes = True

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.run is not None and "loss" in logs:
            self.run.log_event("note", state.global_step, {"of": type(self).__name__})


class Only(Notes):
    """There may be one of it in a trainer."""

    def target(self):
        return "the only one"


class Fails(Callback):
    """Fails in every event."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def _raise(self, name):
        self.calls[name] += 1
        raise ZeroDivisionError("password=hunter2")

    def on_train_begin(self, args, state, control, **kwargs):
        self._raise("on_train_begin")

    def on_step_end(self, args, state, control, **kwargs):
        self._raise("on_step_end")

    def on_log(self, args, state, control, **kwargs):
        self._raise("on_log")

    def on_train_end(self, args, state, control, **kwargs):
        self._raise("on_train_end")


def notes(store, run):
    return store.list_events(run, kind="note")["step"].tolist()


@pytest.mark.parametrize("order", [1, -1])
def test_it_writes_into_the_run_of_the_same_trainer(store, make_trainer, order):
    """The run is the one that the trainer's TrainStoreCallback records, wherever that stands in the list."""
    recorder = TrainStoreCallback(store)
    make_trainer(callbacks=[Notes(), recorder][::order], logging_steps=5).train()
    assert notes(store, recorder.run_uid) == [5, 10]


def test_it_finds_the_run_of_record(store, make_trainer):
    """A block of `record` is found like a callback in the list."""
    trainer = make_trainer(callbacks=[Notes()], max_steps=2, logging_steps=1)
    with record(trainer, store) as recorder:
        trainer.train()
    assert notes(store, recorder.run_uid) == [1, 2]


def test_it_writes_into_the_run_that_is_given(store, make_trainer):
    """``run=`` needs no TrainStoreCallback."""
    with store.start_run(name="own") as run:
        make_trainer(callbacks=[Notes(run=run)], max_steps=2, logging_steps=1).train()
    assert notes(store, run) == [1, 2]


def test_two_trainings_of_one_recorder_keep_their_runs_apart(store, make_trainer):
    """A training inside another one writes into its own run, although one callback records both."""
    recorder = TrainStoreCallback(store)

    class Nested(Callback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 1:
                make_trainer(callbacks=[recorder, Notes()], max_steps=2, logging_steps=1).train()

    make_trainer(callbacks=[Nested(), Notes(), recorder], max_steps=3, logging_steps=3).train()
    found = {len(store.list_step_logs(uid)): notes(store, uid) for uid in store.list_runs()["uid"]}
    assert found == {3: [3], 2: [1, 2]}


def test_it_works_in_a_loop_over_a_callback_handler(store):
    """A loop of one's own has no trainer at all; its callbacks find each other in the handler."""
    recorder, state = TrainStoreCallback(store), TrainerState(max_steps=2)
    handler = CallbackHandler([recorder, Notes()], gpt2(), None, None, None)
    control = TrainerControl()
    args = {"output_dir": "out"}
    handler.on_train_begin(args, state, control)
    for step in (1, 2):
        handler.on_step_begin(args, state, control)
        state.global_step = step
        handler.on_step_end(args, state, control)
        handler.on_log(args, state, control, {"loss": 1.0})
    handler.on_train_end(args, state, control)
    assert notes(store, recorder.run_uid) == [1, 2]


def test_without_a_place_to_write_it_says_so_once(make_trainer, caplog):
    """Neither a run nor a summary writer: one warning, which names the fix."""
    trainer = make_trainer(callbacks=[Notes()], max_steps=2)
    for _ in range(2):
        trainer.train()
    assert [record.getMessage() for record in caplog.records if record.name == "trainstore"] == [
        "Notes: has nowhere to write; add a TrainStoreCallback to the trainer, or give run= or summary_writer="
    ]


def test_with_recording_disabled_it_does_not_complain(make_trainer, caplog, monkeypatch, tmp_path):
    """TRAINSTORE_DISABLED is a decision, and no mistake."""
    monkeypatch.setenv("TRAINSTORE_DISABLED", "1")
    make_trainer(callbacks=[Notes(), TrainStoreCallback(tmp_path / "x.db")], max_steps=1).train()
    make_trainer(callbacks=[Notes()], max_steps=1).train()
    assert [record for record in caplog.records if record.name == "trainstore"] == []


def test_what_fails_is_told_once_and_never_stops_the_training(make_trainer, caplog):
    """An event that failed five times is left out; the others are not. The error's text, which may be secret, is not
    logged."""
    fails = Fails()
    course = course_of(make_trainer(callbacks=[fails], logging_steps=1, max_steps=8))
    assert fails.calls == {"on_train_begin": 1, "on_step_end": 5, "on_log": 5, "on_train_end": 1}
    messages = [record.getMessage() for record in caplog.records if record.name == "trainstore"]
    assert messages.count("Fails: on_step_end failed (ZeroDivisionError); the training goes on") == 1
    assert messages.count("Fails: on_step_end failed 5 times and is no longer handled") == 1
    assert "hunter2" not in caplog.text
    assert is_same_course(course, course_of(make_trainer(logging_steps=1, max_steps=8)))


def test_the_next_training_begins_afresh(make_trainer):
    """What failed in one training is tried again in the next one."""
    fails = Fails()
    trainer = make_trainer(callbacks=[fails], max_steps=8)
    trainer.train()
    trainer.train()
    assert fails.calls["on_step_end"] == 10


def test_an_interrupt_is_not_a_failure(make_trainer):
    """Ctrl-C inside a callback stops the training, as it does anywhere else."""

    class Interrupted(Callback):
        def on_step_end(self, args, state, control, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_trainer(callbacks=[Interrupted()]).train()


def test_the_same_object_twice_acts_once(store, make_trainer, caplog):
    """Each event is handled once, and a warning says that it stands in the list twice."""
    begun = []

    class Begins(Notes):
        def on_train_begin(self, args, state, control, **kwargs):
            begun.append(state.max_steps)

    callback, recorder = Begins(), TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[recorder, callback, callback], max_steps=2, logging_steps=1)
    trainer.train()
    trainer.train()
    assert begun == [2, 2]
    assert notes(store, recorder.run_uid) == [1, 2]
    assert caplog.text.count("Begins: is 2 times in the trainer's list") == 1


def test_of_two_that_write_to_the_same_place_one_acts(store, make_trainer, caplog):
    """The first one in the list; two that write to different places both act."""
    recorder = TrainStoreCallback(store)
    make_trainer(callbacks=[recorder, Only(), Only()], max_steps=2, logging_steps=1).train()
    assert notes(store, recorder.run_uid) == [1, 2]
    assert caplog.text.count("another one in the trainer's list does the same") == 1
    make_trainer(callbacks=[recorder, Notes(), Notes()], max_steps=2, logging_steps=1).train()
    assert notes(store, recorder.run_uid) == [1, 1, 2, 2]


@pytest.mark.parametrize("other", [pickle.dumps, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_copy_has_the_arguments_and_no_training(store, make_trainer, tmp_path, other):
    """Also one that is made in the middle of a training, with a writer of TensorBoard open."""
    copies, recorder = [], TrainStoreCallback(store)
    original = Notes(summary_writer=tmp_path / "board")

    class Copies(Callback):
        def on_step_end(self, args, state, control, **kwargs):
            original.summary_writer.add_scalar("x", 1.0, state.global_step)
            copied = other(original)
            copies.append(pickle.loads(copied) if isinstance(copied, bytes) else copied)

    make_trainer(callbacks=[recorder, original, Copies()], max_steps=1, logging_steps=1).train()
    (copied,) = copies
    assert copied.run is None
    assert copied.summary_writer.get_logdir() == str(tmp_path / "board")
    assert copied.summary_writer is not original.summary_writer
    make_trainer(callbacks=[recorder, copied], max_steps=3, logging_steps=3).train()
    assert notes(store, recorder.run_uid) == [3]


def test_a_pickled_one_takes_its_run_along(store):
    """The run that was given is joined as another writer."""
    with store.start_run(name="own") as run:
        copied = pickle.loads(pickle.dumps(Notes(run=run)))
        assert copied.run.uid == run.uid


def test_a_subclass_may_forget_super(store, make_trainer):
    """The rules hold for a callback whose constructor does not call that of the base."""

    class Forgets(Callback):
        def __init__(self, text):
            self.text = text

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" in logs:
                self.run.log_event("note", state.global_step, {"text": self.text})

    recorder = TrainStoreCallback(store)
    make_trainer(callbacks=[recorder, Forgets("hello")], max_steps=1, logging_steps=1).train()
    assert notes(store, recorder.run_uid) == [1]


def test_help_shows_the_arguments_of_the_constructor():
    """Those of the class, and of a subclass of yours."""

    class Mine(Notes):
        def __init__(self, text, *, limit=5):
            super().__init__()

    assert list(inspect.signature(Notes).parameters) == ["run", "summary_writer"]
    assert str(inspect.signature(Mine)) == "(text, *, limit=5)"


def test_super_inside_an_event_is_one_call(store, make_trainer):
    """A subclass of a subclass calls the event of its base, and both act once."""

    class More(Notes):
        def on_log(self, args, state, control, logs=None, **kwargs):
            super().on_log(args, state, control, logs=logs, **kwargs)
            if "loss" in logs:
                self.run.log_event("more", state.global_step)

    recorder, more = TrainStoreCallback(store), More()
    make_trainer(callbacks=[recorder, more, more], max_steps=1, logging_steps=1).train()
    assert notes(store, recorder.run_uid) == [1]
    assert store.list_events(recorder.run_uid, kind="more")["step"].tolist() == [1]


def test_other_ranks_do_nothing():
    """Only the first process acts, unless the callback's work needs all of them."""

    class Everywhere(Notes):
        every_rank = True

    for kind, acts in ((Notes, False), (Everywhere, True)):
        seen = []
        callback = kind()
        callback._fail = lambda name, error, seen=seen: seen.append(name)
        callback._find_recorders = lambda: 1 / 0
        callback.on_train_begin({}, TrainerState(is_world_process_zero=False), TrainerControl())
        assert bool(seen) is acts


@pytest.mark.parametrize("arguments", [{"run": "some-uid"}, {"summary_writer": 5}])
def test_wrong_arguments_are_refused_at_once(arguments):
    """They are errors before any training, which name the argument."""
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        Notes(**arguments)


def test_a_writer_opened_in_a_folder_is_closed_and_opens_again(tmp_path):
    """A writer that the user gave stays open."""
    from torch.utils.tensorboard import SummaryWriter

    source = SummaryWriterSource(tmp_path / "a")
    first = source.open()
    source.close()
    assert source.open() is not first
    source.close()
    given = SummaryWriter(str(tmp_path / "b"))
    source = SummaryWriterSource(given)
    source.close()
    given.add_scalar("x", 1.0, 1)
    assert source.open() is given
    given.close()
    assert not SummaryWriterSource(None)


def test_a_model_is_unwrapped():
    """DDP's, DataParallel's, compile's and PEFT's wrappers are taken off, in any order."""
    from peft import LoraConfig, get_peft_model

    plain = gpt2()
    assert unwrapped(plain) is plain
    assert unwrapped(torch.nn.DataParallel(torch.compile(plain))) is plain
    assert unwrapped(torch.compile(torch.nn.DataParallel(plain))) is plain
    adapted = get_peft_model(gpt2(), LoraConfig(target_modules=["c_attn"]))
    assert unwrapped(torch.compile(adapted)) is adapted
    assert type(without_adapters(torch.compile(adapted))) is type(plain)
    assert unwrapped(None) is None


def test_evaluation_outside_a_training_disturbs_nothing(make_trainer, caplog):
    """There is no run then; nothing fails."""

    class Evaluated(Callback):
        seen = 0

        def on_evaluate(self, args, state, control, metrics=None, **kwargs):
            self.seen += self.run is None

    callback = Evaluated()
    with caplog.at_level(logging.WARNING, "trainstore"):
        make_trainer(callbacks=[callback], eval_dataset=tokens(4)).evaluate()
    assert callback.seen == 1
    assert [record for record in caplog.records if record.name == "trainstore"] == []


@pytest.mark.parametrize("order", [1, -1])
def test_what_a_callback_takes_is_no_steps_time(store, make_trainer, monkeypatch, order):
    """Neither a step's, nor the wait for the data of the next one, wherever it stands in the list."""
    import trainstore.callbacks.base as module

    class Slow(Callback):
        def on_step_end(self, args, state, control, **kwargs):
            pass

    clock = iter(range(0, 10**9, 1_000))  # each time it is asked, a thousand seconds have gone by
    monkeypatch.setattr(module, "perf_counter", lambda: float(next(clock)))
    recorder = TrainStoreCallback(store)
    make_trainer(callbacks=[recorder, Slow()][::order], max_steps=4).train()
    logs = store.list_step_logs(recorder.run_uid)
    # They did not really go by, so the time from which they were left out is far below zero: that of the step if the
    # recorder comes after the callback, else that of the wait that follows.
    left_out = logs["step_time"] if order < 0 else logs["data_time"].shift(-1).iloc[:-1]
    assert (left_out < -900).all()
