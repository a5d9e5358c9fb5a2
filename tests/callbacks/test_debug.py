"""The callbacks that print what happens."""

import math

import pytest
from transformers import TrainerCallback

from fixtures.trainers import tokens
from trainstore.callbacks import DebugCallback, StateInspectionCallback
from trainstore.errors import InvalidArgumentError


def events(output):
    return [line.split()[0] for line in output.splitlines() if line.startswith("on_")]


def test_four_events_are_printed(make_trainer, capsys):
    """The beginning, the end of each step, logs, evaluations; with the step and what they carry."""
    make_trainer(
        callbacks=[DebugCallback()],
        max_steps=1,
        logging_steps=1,
        eval_dataset=tokens(4),
        eval_strategy="steps",
        eval_steps=1,
    ).train()
    output = capsys.readouterr().out
    assert events(output) == ["on_train_begin", "on_step_end", "on_log", "on_log", "on_evaluate", "on_log"]
    assert "on_step_end  step 1  epoch 0.03\n" in output
    assert "on_log  step 1  epoch 0.03  logs {'loss': 3." in output
    assert "on_evaluate  step 1  epoch 0.03  metrics {'eval_loss': 3." in output


def test_the_events_can_be_chosen(make_trainer, capsys):
    """A list of them, one, or all: then in the order in which they come."""
    make_trainer(callbacks=[DebugCallback(["on_step_begin", "on_train_end"])], max_steps=1).train()
    assert events(capsys.readouterr().out) == ["on_step_begin", "on_train_end"]
    make_trainer(callbacks=[DebugCallback("on_save")], max_steps=1, save_strategy="steps", save_steps=1).train()
    assert events(capsys.readouterr().out) == ["on_save"]
    make_trainer(callbacks=[DebugCallback("all")], max_steps=1, logging_steps=1).train()
    assert events(capsys.readouterr().out) == [
        "on_init_end", "on_train_begin", "on_epoch_begin", "on_step_begin", "on_pre_optimizer_step",
        "on_optimizer_step", "on_step_end", "on_log", "on_epoch_end", "on_log", "on_train_end",
    ]  # fmt: skip


def test_the_state_is_printed_every_few_steps(make_trainer, capsys):
    """Step, epoch, the newest entry of the history, the model's device."""
    make_trainer(callbacks=[StateInspectionCallback(every=2)], max_steps=4, logging_steps=1).train()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.partition("  ")[0] for line in lines] == ["step 2/4", "step 4/4"]
    assert "epoch 0.12  last log {'loss': 3." in lines[1]
    assert lines[1].endswith("device cpu")


def test_no_secret_is_printed(make_trainer, capsys):
    """A text that was logged is shown without the secrets in it; numbers that are not finite stay numbers."""
    secret = "hf_" + "Q7" * 17

    class LogsText(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            logs |= {"nan": math.nan, "command": f"train --token={secret}"}
            state.log_history[-1] |= logs

    make_trainer(
        callbacks=[LogsText(), DebugCallback(), StateInspectionCallback()], max_steps=2, logging_steps=1
    ).train()
    output = capsys.readouterr().out
    assert secret not in output
    for start in ("on_log  step 1", "step 2/2"):
        (line,) = [line for line in output.splitlines() if line.startswith(start)]
        assert "'nan': nan, 'command': 'train --token=[redacted]'" in line


@pytest.mark.parametrize(
    "make",
    [lambda: DebugCallback(["on_stop"]), lambda: StateInspectionCallback(0), lambda: StateInspectionCallback("1")],
)
def test_wrong_arguments_are_refused_at_once(make):
    """They are errors before any training."""
    with pytest.raises(InvalidArgumentError, match=r"on_stop|every"):
        make()
