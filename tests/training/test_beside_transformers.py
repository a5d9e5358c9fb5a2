"""A trainer of ours, one of transformers and an Accelerator in one process: none of them changes a bit of another.

Accelerate keeps precision and accumulation in a state of the whole process. A ``TrainingArguments()`` resets it, and a
training that fails leaves it as it is. Random numbers belong to the whole process as well: nothing here draws any.
"""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import nn
from transformers import TrainerCallback

from fixtures.torch_models import adam, classifier, loader, same, weights
from fixtures.torch_modules import module_of
from fixtures.trainers import Crash, build_trainer, course_of, gpt2, is_same_course
from trainstore.training import Trainer


class FailsInAccumulation(TrainerCallback):
    """Raises between two micro-batches of the second step."""

    def on_substep_end(self, args, state, control, **kwargs):
        if state.global_step == 1:
            raise Crash("between two micro-batches")


class Does(TrainerCallback):
    """Does something else at an event of the third step."""

    def __init__(self, event, action):
        self.action, self.done = action, 0
        setattr(self, event, self._do)

    def _do(self, args, state, control, **kwargs):
        if state.global_step == 2:
            self.done += 1
            self.action()


def fail_with_transformers(folder, precision):
    """Make a trainer of transformers with other settings, and let its training fail."""

    def action():
        settings = {"gradient_accumulation_steps": 3, "bf16": precision == "bf16"}
        trainer = build_trainer(folder, callbacks=[FailsInAccumulation()], **settings)
        with pytest.raises(Crash):
            trainer.train()

    return action


def fail_with_ours(precision):
    """The same with a trainer of ours."""

    def action():
        model = classifier()
        config = {"gradient_accumulation_steps": 3, "mixed_precision": precision}
        trainer = Trainer(model, adam(model), nn.CrossEntropyLoss(), config, "cpu", callbacks=[FailsInAccumulation()])
        with pytest.raises(Crash):
            trainer.train(loader(), 3)

    return action


def fail_with_a_module(precision):
    """The same with a TrainerModule."""

    def action():
        options = {"mixed_precision": precision, "callbacks": [FailsInAccumulation()]}
        module = module_of(gradient_accumulate_steps=3, options=options)
        with pytest.raises(Crash):
            module.train_model(loader(), num_epochs=3)

    return action


def our_course(precision, *callbacks):
    """A training of ours, two micro-batches a step: the losses of its epochs and the weights."""
    model = classifier()
    config = {"gradient_accumulation_steps": 2, "mixed_precision": precision, "max_grad_norm": 0.5}
    trainer = Trainer(model, adam(model), nn.CrossEntropyLoss(), config, "cpu", callbacks=list(callbacks))
    history = trainer.train(loader(24), 2, loader())
    return history, weights(model)


def their_course(folder, precision, *callbacks):
    """A training by transformers, likewise."""
    settings = {"gradient_accumulation_steps": 2, "bf16": precision == "bf16", "logging_steps": 1, "max_steps": 5}
    return course_of(build_trainer(folder, callbacks=list(callbacks), model=still_gpt2(), **settings))


def still_gpt2():
    """Without dropout, which would draw random numbers."""
    model = gpt2()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


PRECISIONS = [("no", "bf16"), ("bf16", "no"), ("bf16", "bf16")]
EVENTS = ["on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_step_end"]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(("mine", "theirs"), PRECISIONS)
def test_a_training_of_transformers_that_fails_in_the_middle_of_ours_changes_nothing(tmp_path, mine, theirs, event):
    """Between two steps, and within one: losses and weights are equal bit for bit."""
    disturbance = Does(event, fail_with_transformers(tmp_path, theirs))
    history, after = our_course(mine, disturbance)
    expected, alone = our_course(mine)
    assert disturbance.done == 1
    assert history == expected
    assert same(after, alone)


@pytest.mark.parametrize("fail", [fail_with_ours, fail_with_a_module])
@pytest.mark.parametrize("event", ["on_substep_end", "on_step_end"])
@pytest.mark.parametrize(("theirs", "mine"), PRECISIONS)
def test_a_training_of_ours_that_fails_in_the_middle_of_theirs_changes_nothing(tmp_path, theirs, mine, event, fail):
    """The same, the other way round."""
    disturbance = Does(event, fail(mine))
    course = their_course(tmp_path / "a", theirs, disturbance)
    assert disturbance.done == 1
    assert is_same_course(course, their_course(tmp_path / "b", theirs))


def test_two_steps_of_ours_with_a_failed_training_of_transformers_between_them(tmp_path):
    """Called one by one, outside a training."""
    courses = []
    for disturb in (fail_with_transformers(tmp_path, "no"), lambda: None):
        model = classifier()
        trainer = Trainer(model, adam(model), nn.CrossEntropyLoss(), {"mixed_precision": "bf16"}, "cpu")
        first, second, *_ = loader()
        losses = [trainer.train_step(first)]
        disturb()
        losses += [trainer.train_step(second), trainer.evaluate(loader())]
        courses.append((losses, weights(model)))
    assert courses[0][0] == courses[1][0]
    assert same(courses[0][1], courses[1][1])


@pytest.mark.parametrize("event", ["on_substep_end", "on_step_end"])
def test_a_training_of_transformers_that_fails_in_the_middle_of_a_module_changes_nothing(tmp_path, event):
    """The same for a TrainerModule, in bf16."""
    courses = []
    for callbacks in ([Does(event, fail_with_transformers(tmp_path, "no"))], []):
        module = module_of(gradient_accumulate_steps=2, options={"mixed_precision": "bf16", "callbacks": callbacks})
        results = module.train_model(loader(24), loader(), num_epochs=2)
        losses = [row["loss"] for row in module.state.log_history if "loss" in row]
        courses.append((losses, results["val_epoch_2"]["loss"], weights(module.model)))
        assert all(one.done == 1 for one in callbacks)
    assert courses[0][:2] == courses[1][:2]
    assert same(courses[0][2], courses[1][2])


def test_the_precision_is_really_ours():
    """What the tests above compare: bf16 and float32 differ."""
    assert our_course("bf16")[0] != our_course("no")[0]


def test_an_accelerator_keeps_its_settings():
    """Making, running and failing a trainer of ours beside it: its own backward and autocast are as they were."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    try:
        accelerator = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=4)
        model, optimizer = accelerator.prepare(classifier(), adam(classifier()))
        fail_with_ours("no")()
        our_course("no")
        assert accelerator.mixed_precision == "bf16"
        assert accelerator.gradient_accumulation_steps == 4
        assert accelerator.sync_gradients
        inputs, targets = next(iter(loader()))
        with accelerator.autocast():
            assert nn.Linear(4, 2)(inputs).dtype is torch.bfloat16
        loss = nn.functional.cross_entropy(model(inputs), targets)
        accelerator.backward(loss)
        scaled = [parameter.grad.clone() for parameter in model.parameters()]
        optimizer.zero_grad()
        model.zero_grad()
        (nn.functional.cross_entropy(model(inputs), targets) / 4).backward()
        for one, other in zip(scaled, model.parameters(), strict=True):
            assert torch.equal(one, other.grad)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
