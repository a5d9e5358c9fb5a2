"""Every callback in every kind of trainer: it writes what it should, warns of nothing, and the training stays the same.

The trainings have dropout, shuffled data where the trainer shuffles, accumulation, and evaluations.
"""

import functools
import json
import logging
import pickle

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader
from transformers import TrainerState
from transformers.trainer_callback import CallbackHandler, TrainerControl

from fixtures import forgather
from fixtures.callbacks import NAMES, build
from fixtures.trainers import build_trainer, gpt2, tokens
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.training import LoggerConfig, OptimizerConfig, Trainer, TrainerConfig, TrainerModule

STEPS = list(range(1, 9))
EVALUATIONS = STEPS[1::2]


def transformers_weights(folder, callbacks):
    arguments = {"max_steps": 8, "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
    data = {"train_dataset": tokens(16), "eval_dataset": tokens(4)}
    trainer = build_trainer(folder, callbacks=callbacks, **data, **arguments, gradient_accumulation_steps=2)
    trainer.train()
    return trainer.model.state_dict()


def own_weights(folder, callbacks):
    torch.set_num_threads(1)
    model = gpt2()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    config = {"gradient_accumulation_steps": 2, "logging_steps": 2, "eval_steps": 2, "max_grad_norm": 1.0}
    trainer = Trainer(model, optimizer, None, config, "cpu", callbacks=callbacks)
    trainer.train(DataLoader(tokens(16), batch_size=2, shuffle=True), 2, DataLoader(tokens(4), batch_size=4))
    return model.state_dict()


class Language(TrainerModule):
    """A module of the same model."""

    def build_model(self, model_config):
        return gpt2()

    def loss_function(self, model, batch, train=True):
        return model(**batch).loss, {}


def module_weights(folder, callbacks):
    torch.set_num_threads(1)
    config = TrainerConfig(
        logger=LoggerConfig(log_every_n_steps=2), gradient_accumulate_steps=2, check_val_every_n_steps=2
    )
    module = Language(config, None, OptimizerConfig(grad_clip_norm=1.0), device="cpu", callbacks=callbacks)
    batches = DataLoader(tokens(16), batch_size=2, shuffle=True), DataLoader(tokens(4), batch_size=4)
    module.train_model(*batches, num_epochs=2)
    return module.model.state_dict()


def forgather_weights(folder, callbacks, *, later=False):
    torch.set_num_threads(1)
    arguments = {"num_train_epochs": 2, "gradient_accumulation_steps": 2, "eval_strategy": "steps", "eval_steps": 2}
    args = forgather.TrainingArguments(output_dir=str(folder), **arguments)
    trainer = forgather.Trainer(gpt2(), args, tokens(16), tokens(4), callbacks, later=later)
    trainer.train()
    return trainer.model.state_dict()


def loop_weights(folder, callbacks):
    """A loop of one's own: its arguments say nothing, its optimizer's steps are told."""
    torch.set_num_threads(1)
    model = gpt2()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handler = CallbackHandler(callbacks, model, None, optimizer, None)
    args, state, control = object(), TrainerState(max_steps=8), TrainerControl()
    handler.on_train_begin(args, state, control)
    handler.on_epoch_begin(args, state, control)
    for step in STEPS:
        handler.on_step_begin(args, state, control)
        for _ in range(2):
            ids = torch.stack([example["input_ids"] for example in tokens(2)])
            (model(ids, labels=ids).loss / 2).backward()
        handler.on_pre_optimizer_step(args, state, control)
        optimizer.step()
        optimizer.zero_grad()
        state.global_step, state.epoch = step, step / 8
        handler.on_step_end(args, state, control)
        if step in EVALUATIONS:
            handler.on_log(args, state, control, {"loss": 1 / step, "learning_rate": 0.1})
            handler.on_evaluate(args, state, control, {"eval_loss": 1 / step})
    handler.on_epoch_end(args, state, control)
    handler.on_train_end(args, state, control)
    return model.state_dict()


TRAINERS = {
    "transformers.Trainer": transformers_weights,
    "trainstore.training": own_weights,
    "TrainerModule": module_weights,
    "Forgather": forgather_weights,
    "Forgather, later versions": functools.partial(forgather_weights, later=True),
    "CallbackHandler": loop_weights,
}

LOSSES = {"TrainerModule": "val_loss"}  # what an evaluation's is called, if not eval_loss


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights of each trainer without a callback."""
    return functools.cache(lambda name: TRAINERS[name](tmp_path_factory.mktemp("alone"), []))


class Written:
    """What was written in a training: its run, its folder, its output."""

    def __init__(self, store, folder, output, loss):
        self.store, self.folder, self.output, self.loss = store, folder, output, loss

    def lines(self, word):
        return [line for line in self.output.splitlines() if line.startswith(word)]

    def event_of(self, kind):
        return self.store.list_events("beside", kind=kind)["step"].tolist()


def debugged(written):
    assert len(written.lines("on_step_end  step ")) >= len(STEPS)
    assert len(written.lines("on_evaluate  step ")) == len(EVALUATIONS)


def stopped(written):
    assert written.event_of("no_improvement") == [8]


def measured(written):
    norms = written.store.list_step_logs("beside", metrics=["grad_norm_total", "grad_norm/transformer.wte"]).dropna()
    assert norms["step"].tolist() == EVALUATIONS
    assert (norms["grad_norm_total"] >= norms["grad_norm/transformer.wte"]).all()


def described(written):
    assert "GPT2LMHeadModel" in written.output
    assert "beside" in written.output


def logged(written):
    records = [json.loads(line) for line in (written.folder / "log.jsonl").read_text().splitlines()]
    events = [record["event"] for record in records]
    assert (events[0], events[-1]) == ("on_train_begin", "on_train_end")
    evaluations = [record["global_step"] for record in records if record["event"] == "on_evaluate"]
    assert evaluations == EVALUATIONS


def kept(written):
    (model,) = (written.folder / "best").iterdir()
    best = json.loads((model / "metrics.json").read_text())
    assert model.name == f"best_model_step_{best['step']}"
    assert written.event_of("best_model")[-1] == best["step"]


def told(written):
    assert "step 8/8 (100%)" in written.output


def inspected(written):
    lines = [line for line in written.lines("step ") if "last log" in line]
    assert [line.split()[1] for line in lines] == ["2/8", "4/8", "6/8", "8/8"]


def drawn(written):
    events = EventAccumulator(str(written.folder / "board")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == EVALUATIONS
    assert [event.step for event in events.Scalars(written.loss.replace("_", "/"))] == EVALUATIONS


def sampled(written):
    samples = written.store.list_samples("beside")
    assert samples["step"].tolist() == [step for step in EVALUATIONS for _ in range(2)]
    assert samples["prompt"].tolist() == ["w3 w4", "w5"] * 4
    assert samples["completion"].str.startswith("w").all()


def watched(written):
    found = written.store.list_step_logs("beside", metrics=["system/process_memory_mib"], tidy=True)
    assert found["step"].tolist() == [8]
    assert found["value"].item() > 0


WRITES = {
    "DebugCallback": debugged,
    "EarlyStoppingCallback": stopped,
    "GradLogger": measured,
    "InfoCallback": described,
    "JsonLogger": logged,
    "ModelCheckpointCallback": kept,
    "ProgressCallback": told,
    "StateInspectionCallback": inspected,
    "SystemMetricsCallback": watched,
    "TBLogger": drawn,
    "TextgenCallback": sampled,
}


def warnings(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "trainstore" and record.levelno >= logging.WARNING
    ]


def check(store, folder, caplog, capsys, alone, names, trainer, *, prepare=lambda callbacks: callbacks):
    """Train with these callbacks: what they wrote is there, the weights are the same. The warnings are returned."""
    loss = LOSSES.get(trainer, "eval_loss")
    callbacks = prepare([build(name, folder, loss) for name in names])
    callbacks.append(TrainStoreCallback(store, name="beside"))
    weights = TRAINERS[trainer](folder, callbacks)
    captured = capsys.readouterr()
    for name in names:
        WRITES[name](Written(store, folder, captured.out + captured.err, loss))
    said = warnings(caplog)
    if trainer == "CallbackHandler":
        assert said.pop(0).startswith("some fields cannot be read")  # the recorder tells what such a loop lacks
    for key, weight in alone(trainer).items():
        assert torch.equal(weight, weights[key]), key
    run = store.get_run("beside")
    assert (run.status, run.last_step) == ("finished", 8)
    return said


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("name", NAMES)
def test_each_callback_in_each_trainer(tmp_path, caplog, capsys, alone, name, trainer):
    """Beside our recorder. A new callback needs an entry in WRITES and in tests/fixtures/callbacks.yaml."""
    with TrainStore(tmp_path / "store.db") as store:
        assert check(store, tmp_path, caplog, capsys, alone, [name], trainer) == []


@pytest.mark.parametrize("trainer", TRAINERS)
def test_all_of_them_together(store, tmp_path, caplog, capsys, alone, trainer):
    """None of them is in another one's way, and what they store is the same on both databases."""
    assert check(store, tmp_path, caplog, capsys, alone, NAMES, trainer) == []


def test_pickled_and_twice_in_the_list(tmp_path, caplog, capsys, alone):
    """As after a hyperparameter search: each acts once, and says so."""

    def prepare(callbacks):
        copies = pickle.loads(pickle.dumps(callbacks))
        return [*copies, *copies]

    with TrainStore(tmp_path / "store.db") as store:
        said = check(store, tmp_path, caplog, capsys, alone, NAMES, "transformers.Trainer", prepare=prepare)
    assert sorted(said) == [f"{name}: is 2 times in the trainer's list; each event is handled once" for name in NAMES]
