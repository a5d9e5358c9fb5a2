"""Every callback in Forgather's trainer and in a loop of one's own: it works, and the training stays the same."""

import logging

import pytest
import torch
from transformers import TrainerState
from transformers.trainer_callback import CallbackHandler, TrainerControl

from fixtures import forgather
from fixtures.trainers import gpt2, tokenizer, tokens
from trainstore import callbacks as package
from trainstore.integrations.transformers import TrainStoreCallback

NAMES = sorted(set(package.__all__) - {"Callback"})


def make(name, folder):
    """A callback of this name; most need no arguments."""
    arguments = {
        "EarlyStoppingCallback": {"patience": 100},
        "GradLogger": {"log_frequency": 2},
        "JsonLogger": {"path": folder / "log.jsonl", "every_step": True},
        "ModelCheckpointCallback": {"output_dir": folder / "best"},
        "TBLogger": {"summary_writer": folder / "board"},
        "TextgenCallback": {"prompts": ["w3 w4", "w5"], "tokenizer": tokenizer(), "generation_steps": 2},
    }
    return getattr(package, name)(**arguments.get(name, {}))


def warnings(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "trainstore" and record.levelno >= logging.WARNING
    ]


def trained(folder, *callbacks, later):
    torch.set_num_threads(1)
    arguments = {"num_train_epochs": 2, "gradient_accumulation_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
    args = forgather.TrainingArguments(output_dir=str(folder), **arguments)
    trainer = forgather.Trainer(gpt2(), args, tokens(16), tokens(4), list(callbacks), later=later)
    trainer.train()
    assert trainer.state.global_step == 8
    return trainer.model.state_dict()


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_each_works_in_forgathers_trainer(store, tmp_path, caplog, name, later):
    """Beside our recorder; nothing is warned of, and the weights are those of the training without it."""
    callback = make(name, tmp_path)
    weights = trained(tmp_path, TrainStoreCallback(store, name="beside"), callback, later=later)
    assert warnings(caplog) == []
    for key, weight in trained(tmp_path, later=later).items():
        assert torch.equal(weight, weights[key]), key
    assert store.list_step_logs("beside")["loss"].count() == 8


@pytest.mark.parametrize("name", NAMES)
def test_each_works_in_a_loop_of_ones_own(store, tmp_path, caplog, name):
    """Arguments may be anything: no event raises, and nothing that failed is in the log."""
    model = gpt2()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    callbacks = [TrainStoreCallback(store, name="loop"), make(name, tmp_path)]
    handler = CallbackHandler(callbacks, model, None, optimizer, None)
    args, state, control = object(), TrainerState(max_steps=4), TrainerControl()
    handler.on_train_begin(args, state, control)
    for step in range(1, 5):
        handler.on_step_begin(args, state, control)
        ids = torch.stack([example["input_ids"] for example in tokens(2)])
        model(ids, labels=ids).loss.backward()
        handler.on_pre_optimizer_step(args, state, control)
        optimizer.step()
        optimizer.zero_grad()
        state.global_step, state.epoch = step, step / 4
        handler.on_step_end(args, state, control)
        handler.on_log(args, state, control, {"loss": 1 / step, "learning_rate": 0.1})
        handler.on_evaluate(args, state, control, {"eval_loss": 1 / step})
    handler.on_train_end(args, state, control)
    failed = [line for line in warnings(caplog) if "failed" in line or "could not" in line or "cannot write" in line]
    assert failed == []
    run = store.get_run("loop")
    assert (run.status, run.last_step) == ("finished", 4)


@pytest.mark.parametrize("later", [False, True])
def test_early_stopping_stops_forgathers_trainer(store, tmp_path, later):
    """Nothing gets better; later versions of that trainer ask the callback for its name."""
    options = {"learning_rate": 0.0, "eval_strategy": "steps", "eval_steps": 1, "num_train_epochs": 2}
    args = forgather.TrainingArguments(output_dir=str(tmp_path), **options)
    callbacks = [TrainStoreCallback(store, name="stopped"), package.EarlyStoppingCallback(patience=2)]
    trainer = forgather.Trainer(gpt2(), args, tokens(16), tokens(4), callbacks, later=later)
    trainer.train()
    run = store.get_run("stopped")
    assert (run.status, run.last_step) == ("finished", 3)
    assert store.list_events(run, kind="early_stop")["step"].to_list() == [3]
    assert trainer.stopped_by == ("EarlyStoppingCallback(eval_loss)" if later else None)
