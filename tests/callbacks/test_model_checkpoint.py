"""The model of the best evaluation."""

import json
import math
import os

import pytest
import torch
from safetensors.torch import load_model
from transformers import GPT2LMHeadModel, TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler
from transformers.utils import logging

from fixtures.trainers import gpt2, tokenizer, tokens
from trainstore.callbacks import ModelCheckpointCallback
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.transformers import TrainStoreCallback


def evaluate(callback, values, model=None, *, step=0, begins=True, **kwargs):
    """A training whose evaluations have these losses; the steps at which the trainer was asked to save."""
    state, saves = TrainerState(max_steps=100, global_step=step, epoch=0.5), []
    handler = CallbackHandler([callback], gpt2() if model is None else model, kwargs.get("tokenizer"), None, None)
    if begins:
        handler.on_train_begin({}, state, TrainerControl())
    for value in values:
        state.global_step += 1
        control = TrainerControl()
        handler.on_evaluate({}, state, control, {"eval_loss": value})
        if control.should_save:
            saves.append(state.global_step)
    handler.on_train_end({}, state, TrainerControl())
    return saves


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_best_model_is_saved_and_the_run_names_it(store, make_trainer, tmp_path):
    """It can be loaded, has its metrics beside it, and the trainer is asked for a checkpoint."""
    recorder, callback = TrainStoreCallback(store), ModelCheckpointCallback(tmp_path / "best")
    trainer = make_trainer(
        callbacks=[recorder, callback], max_steps=4, eval_strategy="steps", eval_steps=2, eval_dataset=tokens(8)
    )
    trainer.train()
    losses = {one["step"]: one["eval_loss"] for one in trainer.state.log_history if "eval_loss" in one}
    best = min(losses, key=losses.get)
    assert callback.best_model_path == tmp_path / "best" / f"best_model_step_{best}"
    assert callback.best_metric == losses[best]
    saved = json.loads((callback.best_model_path / "metrics.json").read_text())
    assert (saved["step"], saved["eval_loss"], saved["all_metrics"]["eval_loss"]) == (best, losses[best], losses[best])
    loaded = GPT2LMHeadModel.from_pretrained(callback.best_model_path)
    if best == 4:
        pairs = zip(loaded.parameters(), trainer.model.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    events = [one for one in store.list_events(recorder.run_uid, kind="best_model")["details"] if "name" in one]
    assert events[-1] == {
        "path": str(callback.best_model_path), "step": best, "name": "eval_loss", "metric": losses[best],
    }  # fmt: skip
    assert (tmp_path / "output" / f"checkpoint-{best}").is_dir()


def test_only_what_is_better_is_saved(tmp_path):
    """NaN never is; the trainer is asked for a checkpoint each time, unless that is switched off."""
    values = [math.nan, 3.0, 4.0, 2.0, 2.0]
    assert evaluate(ModelCheckpointCallback(tmp_path / "a"), values) == [2, 4]
    assert names(tmp_path / "a") == ["best_model_step_2", "best_model_step_4"]
    assert evaluate(ModelCheckpointCallback(tmp_path / "b", save_checkpoint=False), values) == []
    assert names(tmp_path / "b") == ["best_model_step_2", "best_model_step_4"]
    evaluate(ModelCheckpointCallback(tmp_path / "c", mode="max"), values)
    assert names(tmp_path / "c") == ["best_model_step_2", "best_model_step_3"]


def test_the_worst_are_removed(tmp_path):
    """So many are kept as were asked for."""
    evaluate(ModelCheckpointCallback(tmp_path, save_total_limit=2), [4.0, 3.0, 2.0, 1.0])
    assert names(tmp_path) == ["best_model_step_3", "best_model_step_4"]


def test_the_tokenizer_goes_with_it(tmp_path):
    """What is saved can be used."""
    evaluate(ModelCheckpointCallback(tmp_path), [1.0], tokenizer=tokenizer())
    assert "tokenizer.json" in names(tmp_path / "best_model_step_1")


def test_a_plain_model_is_saved_as_safetensors(tmp_path):
    """Also one that shares weights between its layers, and one inside a wrapper."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    evaluate(ModelCheckpointCallback(tmp_path), [1.0], model=torch.nn.DataParallel(model))
    other = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    other[1].weight = other[0].weight
    load_model(other, str(tmp_path / "best_model_step_1" / "model.safetensors"))
    assert torch.equal(other[0].weight, model[0].weight)


def test_a_model_that_is_cut_short_is_never_taken_for_whole(tmp_path, caplog):
    """A failure while saving leaves nothing behind, and the next evaluation that is better is saved."""
    model, calls = gpt2(), []
    save = model.save_pretrained

    def fails_once(folder):
        save(folder)
        calls.append(folder)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")

    model.save_pretrained = fails_once
    callback = ModelCheckpointCallback(tmp_path)
    evaluate(callback, [2.0, 2.0, 3.0], model=model)
    assert names(tmp_path) == ["best_model_step_2"]
    assert callback.best_model_path == tmp_path / "best_model_step_2"
    assert "No space left on device" in caplog.text


def test_what_a_killed_process_left_is_removed(tmp_path):
    """It may have had the same process id, as the first process of a container has each time."""
    for leftover in (f".best_model_step_1.{os.getpid()}", ".best_model_step_7.1", ".best_model_step_7.1.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "model.safetensors").write_bytes(b"half of")
    (tmp_path / ".best_model_step_1.mine").write_text("kept")
    evaluate(ModelCheckpointCallback(tmp_path), [2.0])
    assert names(tmp_path) == [".best_model_step_1.mine", "best_model_step_1"]


def test_a_resumed_training_knows_its_best_model(tmp_path):
    """The best one up to the checkpoint's step; later ones are those of the attempt before."""
    evaluate(ModelCheckpointCallback(tmp_path), [3.0, 2.0, 1.0])
    callback = ModelCheckpointCallback(tmp_path)
    assert evaluate(callback, [2.5, 1.5], step=2) == [4]
    assert callback.best_metric == 1.5
    assert names(tmp_path) == [f"best_model_step_{step}" for step in (1, 2, 3, 4)]


def test_a_model_of_an_earlier_attempt_is_replaced(tmp_path):
    """The same step again."""
    evaluate(ModelCheckpointCallback(tmp_path), [3.0])
    evaluate(ModelCheckpointCallback(tmp_path), [2.0])
    assert names(tmp_path) == ["best_model_step_1"]
    assert json.loads((tmp_path / "best_model_step_1" / "metrics.json").read_text())["eval_loss"] == 2.0


def test_other_ranks_ask_for_the_checkpoint_and_write_nothing(tmp_path):
    """The trainer's checkpoint needs all of them."""
    callback, control = ModelCheckpointCallback(tmp_path), TrainerControl()
    state = TrainerState(is_world_process_zero=False, global_step=1)
    callback.on_evaluate({}, state, control, metrics={"eval_loss": 1.0}, model=gpt2())
    assert control.should_save
    assert names(tmp_path) == []


def test_a_sharded_model_is_left_to_the_trainer(tmp_path, caplog):
    """One warning when the training begins; the trainer's own checkpoint is written."""
    model = gpt2()
    model.lm_head.weight.ds_id = 1
    assert evaluate(ModelCheckpointCallback(tmp_path), [2.0, 1.0], model=model) == [1, 2]
    assert names(tmp_path) == []
    assert caplog.text.count("sharded over processes") == 1


def test_a_training_without_evaluations_is_told_at_its_beginning(make_trainer, tmp_path, caplog):
    """It would wait for them in vain."""
    make_trainer(callbacks=[ModelCheckpointCallback(tmp_path)], max_steps=1).train()
    assert caplog.text.count("eval_strategy is 'no'") == 1


def test_a_metric_that_is_missing_is_told_once(tmp_path, caplog):
    """The training goes on without a saved model."""
    evaluate(ModelCheckpointCallback(tmp_path, metric="eval_accuracy"), [2.0, 1.0, 0.5])
    assert [record.getMessage() for record in caplog.records if record.name == "trainstore"] == [
        "ModelCheckpointCallback: no evaluation has eval_accuracy; no model is saved"
    ]


@pytest.mark.parametrize(
    "arguments",
    [{"output_dir": 5}, {"output_dir": __file__}, {"metric": 5}, {"mode": "up"}, {"save_total_limit": 0}],
)
def test_wrong_arguments_are_refused_at_once(arguments):
    """They are errors before any training, which name the argument."""
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        ModelCheckpointCallback(**{"output_dir": "x", **arguments})


def test_saving_shows_no_bar_of_its_own(tmp_path, capfd):
    """It would break the training's; the setting of transformers is what it was before."""
    logging.enable_progress_bar()
    evaluate(ModelCheckpointCallback(tmp_path / "best"), [1.0])
    assert logging.is_progress_bar_enabled()
    assert "shards" not in capfd.readouterr().err
    assert names(tmp_path / "best") == ["best_model_step_1"]
