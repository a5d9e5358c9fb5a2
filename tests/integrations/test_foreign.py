"""Trainers of other libraries that speak the Trainer's events: recorded with what there is, and never ended by us."""

import weakref
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import TrainerCallback
from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState

from trainstore.integrations.transformers import TrainStoreCallback, record
from trainstore.integrations.transformers.foreign import Events
from trainstore.integrations.transformers.losses import RingLoss


@dataclass
class Arguments:
    """The arguments of another library."""

    output_dir: str = "out"
    learning_rate: float = 0.1


def handler_of(callback):
    return CallbackHandler([callback], torch.nn.Linear(2, 2), None, None, None)


def ours(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "trainstore"]


def test_a_loop_of_ones_own_is_recorded_with_what_there_is(store, caplog):
    """Arguments without world_size, device and rank: steps, logged means, arguments and status; one warning."""
    handler, args = handler_of(TrainStoreCallback(store, name="own")), Arguments()
    state, control = TrainerState(max_steps=4), TrainerControl()
    handler.on_train_begin(args, state, control)
    for state.global_step in range(1, 5):
        handler.on_step_begin(args, state, control)
        handler.on_step_end(args, state, control)
        handler.on_log(args, state, control, {"loss": 1 / state.global_step})
    handler.on_train_end(args, state, control)
    run = store.get_run("own")
    assert (run.status, run.last_step) == ("finished", 4)
    assert store.list_step_logs(run)["loss_window"].to_list() == [1, 1 / 2, 1 / 3, 1 / 4]
    assert run.hyperparams == {"output_dir": "out", "learning_rate": 0.1}
    assert run.model_hyperparams["num_parameters"] == 6
    assert (run.environment["world_size"], run.environment["loss_source"]) == (1, "logs")
    missing = ["args.device", "args.process_index", "args.world_size", "loss"]
    assert run.environment["incomplete"] == missing
    (warning,) = ours(caplog)
    assert all(f"{name} (" in warning for name in missing)


def test_the_model_tells_the_device_that_the_arguments_lack():
    """A loss on an accelerator is then kept there, as in a Trainer, and not read at every step."""
    assert Events(torch.nn.Linear(2, 2, device="meta")).arguments(Arguments()).device == torch.device("meta")
    assert Events(None).arguments(SimpleNamespace(device="cuda:1")).device == torch.device("cuda", 1)
    assert Events(object()).arguments(None).device == torch.device("cpu")


class Hostile:
    """Nothing of it can be read."""

    def __getattr__(self, name):
        raise RuntimeError(name)


def state_of(step, **more):
    return SimpleNamespace(global_step=step, **more)


ODD = {"world_size": "two", "process_index": None, "device": 1.5, "output_dir": 7, "run_name": 3, "hub_model_id": []}
ODD_STATE = {
    "epoch": "first",
    "max_steps": None,
    "log_history": [1],
    "stateful_callbacks": None,
    "is_world_process_zero": None,
    "trial_name": 5,
    "best_model_checkpoint": "best",
}
LOOPS = {
    "bare objects": (object(), state_of, object()),
    "mappings": ({"lr": 0.1}, lambda step: {"global_step": step, "epoch": 0.5}, {"should_training_stop": False}),
    "nothing at all": (None, lambda step: None, None),
    "all raises": (Hostile(), lambda step: Hostile(), Hostile()),
    "other types": (
        SimpleNamespace(**ODD),
        lambda step: state_of(torch.tensor(step), **ODD_STATE),
        SimpleNamespace(should_training_stop=None),
    ),
    "a Trainer's state": (Arguments(), lambda step: TrainerState(global_step=step, max_steps=4), TrainerControl()),
}
OTHER_EVENTS = (
    "on_init_end",
    "on_epoch_begin",
    "on_substep_end",
    "on_optimizer_step",
    "on_prediction_step",
    "on_epoch_end",
    "on_save",
    "on_push_begin",
)


@pytest.mark.parametrize(("args", "make_state", "control"), LOOPS.values(), ids=LOOPS)
def test_no_event_of_any_loop_raises(local_store, caplog, args, make_state, control):
    """Every event, with arguments, state and control of any kind: four steps, their logs, and a finished run."""
    callback = TrainStoreCallback(local_store, on_error="raise")
    assert set(OTHER_EVENTS) < set(vars(TrainerCallback))
    callback.on_train_begin(args, make_state(0), control)
    for step in range(1, 5):
        state = make_state(step)
        callback.on_step_begin(args, state, control)
        callback.on_pre_optimizer_step(args, state, control)
        for event in OTHER_EVENTS:
            getattr(callback, event)(args, state, control)
        callback.on_step_end(args, state, control)
        callback.on_log(args, state, control, logs={"loss": 1.0, "reward": step})
        callback.on_log(args, state, control, logs=[1.0])
        callback.on_evaluate(args, state, control, metrics={"eval_loss": 2.0})
        callback.on_predict(args, state, control, metrics="none")
    callback.on_train_end(args, make_state(4), control)
    run = local_store.get_run(callback.run_uid)
    assert run.status == "finished"
    steps = local_store.list_step_logs(run)
    assert steps["step"].to_list() == [1, 2, 3, 4]
    assert steps["reward"].to_list() == [1, 2, 3, 4]
    assert set(steps["eval_loss"]) == {2.0}
    assert "could not be recorded" not in caplog.text
    assert not any(word in caplog.text for word in ("stops recording", "records nothing"))


class OwnLoop:
    """What a trainer of another library has: a training_step, no accelerator to speak of, and a state of its own."""

    __slots__ = ()

    def __init__(self, callback, fails_at=None):
        self.callback_handler = handler_of(callback)
        self.fails_at = fails_at

    @property
    def accelerator(self):
        raise RuntimeError("not prepared")

    def training_step(self, model, inputs):
        if inputs["input_ids"].shape[0] == self.fails_at:
            raise RuntimeError("nobody expected this")
        return torch.tensor(0.5)

    def train(self):
        args, state, control = Arguments(), state_of(0), TrainerControl()
        self.callback_handler.on_train_begin(args, state, control)
        for state.global_step in range(1, 4):
            self.callback_handler.on_step_begin(args, state, control)
            self.training_step(None, {"input_ids": torch.zeros(state.global_step, 2)})
            self.callback_handler.on_step_end(args, state, control)
        self.callback_handler.on_train_end(args, state, control)


class OwnTrainer(OwnLoop):
    """Such a trainer, as most are."""


def test_another_librarys_training_step_tells_the_loss(store):
    """Where its trainer has a training_step, the loss and the tokens of every step are recorded."""
    callback = TrainStoreCallback(store)
    OwnTrainer(callback).train()
    run = store.get_run(callback.run_uid)
    steps = store.list_step_logs(run)
    assert steps["loss"].to_list() == [0.5] * 3
    assert steps["tokens"].to_list() == [2, 4, 6]
    assert (run.status, run.environment["loss_source"]) == ("finished", "training_step")
    assert "loss" not in run.environment["incomplete"]


class SlottedTrainer(OwnLoop):
    """One that weak references cannot point to."""

    __slots__ = ("__dict__",)

    def add_callback(self, callback):
        self.callback_handler.add_callback(callback)

    def remove_callback(self, callback):
        self.callback_handler.remove_callback(callback)


@pytest.mark.parametrize("way", ["callback", "record"])
def test_a_trainer_without_weak_references_is_recorded_too(store, way):
    """By its callback and by `record`; nothing raises, and every loss is there."""
    callback = TrainStoreCallback(store)
    trainer = SlottedTrainer(callback)
    with pytest.raises(TypeError):
        weakref.ref(trainer)
    if way == "callback":
        trainer.train()
    else:
        trainer.remove_callback(callback)
        with record(trainer, store) as callback:
            trainer.train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.environment["loss_source"]) == ("finished", "training_step")
    assert store.list_step_logs(run)["loss"].to_list() == [0.5] * 3


def test_a_failure_in_another_librarys_training_step_is_that_of_the_run(store):
    """The exception goes on its way; the run is failed, and an event has the traceback."""
    callback = TrainStoreCallback(store)
    with pytest.raises(RuntimeError, match="nobody expected this"):
        OwnTrainer(callback, fails_at=2).train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.error) == ("failed", "RuntimeError: nobody expected this")
    (event,) = store.list_events(run, kind="exception")["details"]
    assert "training_step" in event["traceback"]


class WithoutHandler:
    """A trainer that keeps its callbacks in a list and calls them itself; its loss is any kind of number."""

    losses = (0.5, 1, np.float32(1.5))

    def __init__(self, callback):
        self.callbacks = [callback]

    def tell(self, event, state):
        for callback in self.callbacks:
            getattr(callback, event)(Arguments(), state, TrainerControl(), model=torch.nn.Linear(2, 2))

    def training_step(self, model, inputs):
        return self.losses[len(inputs["input_ids"]) - 1]

    def train(self):
        state = state_of(0)
        self.tell("on_train_begin", state)
        for step in range(1, 4):
            self.tell("on_step_begin", state)
            self.training_step(None, {"input_ids": torch.zeros(step, 2)})
            state.global_step = step
            self.tell("on_step_end", state)
        self.tell("on_train_end", state)


@pytest.mark.parametrize("reads", ["at once", "later"])
def test_a_trainer_without_a_handler_is_recorded_and_a_loss_may_be_a_number(store, monkeypatch, reads):
    """Its list of callbacks is enough; a float, an int and a NumPy number are losses, also on an accelerator."""
    if reads == "later":
        monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", lambda: RingLoss("cpu"))
    callback = TrainStoreCallback(store)
    WithoutHandler(callback).train()
    run = store.get_run(callback.run_uid)
    steps = store.list_step_logs(run)
    assert steps["loss"].to_list() == [0.5, 1.0, 1.5]
    assert steps["tokens"].to_list() == [2, 4, 6]
    assert (run.status, run.environment["loss_source"]) == ("finished", "training_step")


def test_a_step_that_ends_twice_is_one_step(store):
    """Some trainers begin a step at an epoch's end and find no data: the last row stays as it is."""
    handler = handler_of(TrainStoreCallback(store, name="twice"))
    state, control = TrainerState(max_steps=2), TrainerControl()
    handler.on_train_begin(Arguments(), state, control)
    for step in (1, 2, 2):
        handler.on_step_begin(Arguments(), state, control)
        state.global_step = step
        handler.on_step_end(Arguments(), state, control)
    handler.on_train_end(Arguments(), state, control)
    log = store.list_step_logs("twice", details=True)
    assert log["step"].to_list() == [1, 2]
    assert log["details"].isna().all()
