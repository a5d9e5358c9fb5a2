"""Callbacks of one's own and of transformers beside ours: managing them, and the usual patterns."""

import pytest
from transformers import EarlyStoppingCallback, TrainerCallback

from fixtures import forgather
from fixtures.trainers import gpt2, tokens
from trainstore.callbacks import Callback, DebugCallback, GradLogger, StateInspectionCallback
from trainstore.integrations.transformers import TrainStoreCallback


def make_forgather(tmp_path):
    return forgather.Trainer(gpt2(), forgather.TrainingArguments(output_dir=str(tmp_path)), tokens(4), tokens(4))


def kinds(trainer):
    return [type(one) for one in getattr(trainer, "callback_handler", trainer).callbacks]


@pytest.mark.parametrize("of", ["transformers", "Forgather"])
def test_callbacks_are_added_and_taken_away(make_trainer, tmp_path, of):
    """As objects, as classes and several in a loop; popped and removed by object and by class."""
    trainer = make_trainer() if of == "transformers" else make_forgather(tmp_path)
    before = kinds(trainer)
    grads = GradLogger(5)
    for one in (grads, DebugCallback, StateInspectionCallback(every=2)):
        trainer.add_callback(one)
    assert kinds(trainer) == [*before, GradLogger, DebugCallback, StateInspectionCallback]
    assert trainer.pop_callback(grads) is grads
    assert type(trainer.pop_callback(DebugCallback)) is DebugCallback
    assert trainer.pop_callback(DebugCallback) is None
    assert trainer.remove_callback(StateInspectionCallback) is None
    assert kinds(trainer) == before


def test_they_are_called_in_the_order_in_which_they_were_added(make_trainer):
    """Ours and others'."""
    called = []

    class First(Callback):
        def on_train_begin(self, args, state, control, **kwargs):
            called.append("first")

    class Second(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            called.append("second")

    class Third(Callback):
        def on_train_begin(self, args, state, control, **kwargs):
            called.append("third")

    make_trainer(callbacks=[First(), Second(), Third()], max_steps=1).train()
    assert called == ["first", "second", "third"]


def test_an_event_may_return_the_control(make_trainer):
    """What it asks for there is done."""

    class StopsAt(Callback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 3
            return control

    trainer = make_trainer(callbacks=[StopsAt()])
    trainer.train()
    assert trainer.state.global_step == 3


def test_a_callback_of_transformers_works_beside_ours(store, make_trainer):
    """Its early stopping ends the training, and the run says so."""
    recorder = TrainStoreCallback(store)
    trainer = make_trainer(
        callbacks=[recorder, EarlyStoppingCallback(early_stopping_patience=3)],
        eval_dataset=tokens(4),
        learning_rate=0.0,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
    )
    trainer.train()
    assert store.get_run(recorder.run_uid).last_step == 4
    assert len(store.list_events(recorder.run_uid, kind="early_stop")) == 1


def test_every_so_many_steps_and_by_epoch(store, make_trainer):
    """What it does then is in the run."""

    class Notes(Callback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % 4 == 0:
                self.run.log_event("fourth", state.global_step)

        def on_epoch_end(self, args, state, control, **kwargs):
            self.run.log_event("epoch", state.global_step, {"epoch": round(state.epoch)})

    recorder = TrainStoreCallback(store)
    make_trainer(callbacks=[recorder, Notes()], train_dataset=tokens(8), max_steps=-1, num_train_epochs=3).train()
    assert store.list_events(recorder.run_uid, kind="fourth")["step"].tolist() == [4, 8, 12]
    epochs = store.list_events(recorder.run_uid, kind="epoch")
    assert epochs["step"].tolist() == [4, 8, 12]
    assert [details["epoch"] for details in epochs["details"]] == [1, 2, 3]


def test_an_external_service_is_told(make_trainer):
    """At the beginning, of each log, and at the end; a service that is away costs the training nothing."""

    class Service:
        def __init__(self, works):
            self.told, self.works = [], works

        def tell(self, *what):
            if not self.works:
                raise ConnectionError("away")
            self.told.append(what)

    class Tells(Callback):
        def __init__(self, service):
            super().__init__()
            self.service = service

        def on_train_begin(self, args, state, control, **kwargs):
            self.service.tell("begin", state.max_steps)

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" in logs:
                self.service.tell("log", state.global_step)

        def on_train_end(self, args, state, control, **kwargs):
            self.service.tell("end", state.global_step)

    up, down = Service(True), Service(False)
    trainer = make_trainer(callbacks=[Tells(up), Tells(down)])
    trainer.train()
    assert up.told == [("begin", 10), ("log", 5), ("log", 10), ("end", 10)]
    assert trainer.state.global_step == 10


@pytest.mark.parametrize(("enabled", "seen"), [(True, [3, 6, 9]), (False, [])])
def test_a_callback_with_arguments(make_trainer, enabled, seen):
    """They are the class's own affair."""

    class Configurable(Callback):
        def __init__(self, frequency=100, enabled=True, **options):
            super().__init__()
            self.frequency, self.enabled, self.options, self.seen = frequency, enabled, options, []

        def on_step_end(self, args, state, control, **kwargs):
            if self.enabled and state.global_step % self.frequency == 0:
                self.seen.append(state.global_step)

    callback = Configurable(frequency=3, enabled=enabled, note="mine")
    make_trainer(callbacks=[callback]).train()
    assert (callback.seen, callback.options) == (seen, {"note": "mine"})
