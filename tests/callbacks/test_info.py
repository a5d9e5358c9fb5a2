"""The table at the beginning of a training."""

import re

import pytest
import torch

from fixtures.trainers import gpt2, tokens
from trainstore.callbacks import InfoCallback
from trainstore.integrations.transformers import TrainStoreCallback

SECRET = "hf_" + "abcdefghijklmnopqrstuvwxyz"


def rows(output: str) -> dict[str, str]:
    """The table's rows by name; lines without a name go on with the row above."""
    found: dict[str, str] = {}
    name = ""
    for line in output[output.index("Training") :].splitlines()[2:]:
        named = re.match(r" (\S.*?) {2,}(.*)", line)
        if named is not None:
            name = named[1]
        value = line.strip() if named is None else named[2].strip()
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("order", [1, -1])
def test_it_says_what_is_trained_and_where_it_is_recorded(store, make_trainer, capsys, wide, order):
    """Model, data, device, plan, chosen arguments, run; wherever the recorder stands in the list."""
    recorder = TrainStoreCallback(store, name="mine", project="p")
    make_trainer(
        callbacks=[InfoCallback(), recorder][::order],
        max_steps=3,
        eval_dataset=tokens(8),
        gradient_accumulation_steps=2,
        hub_token=SECRET,
    ).train()
    output = capsys.readouterr().out
    found = rows(output)
    assert found["run"] == f"mine of project p, {recorder.run_uid}"
    assert found["model"] == "GPT2LMHeadModel"
    assert found["parameters"] == "4.02 k, all trained, 15.7 KiB"
    assert (found["training data"], found["evaluation data"]) == ("64 examples", "8 examples")
    assert found["device"] == "cpu"
    assert found["batch"] == "4 examples a step: 2 micro-batches of 2"
    assert found["to come"] == "3 steps, 12 examples"
    assert "learning_rate = 0.01" in found["arguments"].splitlines()
    assert "weight_decay" not in found["arguments"]
    assert SECRET not in output
    assert output.count("GPT2LMHeadModel") == 1


def test_frozen_parameters_are_counted_apart(make_trainer, capsys, wide):
    """The share that is trained is named."""
    model = gpt2()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "wte" in name
    make_trainer(model=model, callbacks=[InfoCallback()], max_steps=1).train()
    assert rows(capsys.readouterr().out)["parameters"] == "4.02 k, 512 trained (12.7%), 15.7 KiB"


def test_a_resumed_training_counts_what_is_to_come(make_trainer, capsys, wide, tmp_path):
    """The steps before the checkpoint are done."""
    make_trainer(max_steps=4, save_strategy="steps", save_steps=2).train()
    trainer = make_trainer(callbacks=[InfoCallback()], max_steps=4)
    trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-2"))
    assert rows(capsys.readouterr().out)["to come"] == "2 steps, after step 2, 4 examples"


def test_a_training_by_epochs_has_its_epochs_to_come(make_trainer, capsys, wide, tmp_path):
    """The number of examples would be wrong: the last batch of an epoch is smaller."""
    make_trainer(
        callbacks=[InfoCallback()], train_dataset=tokens(3), max_steps=-1, num_train_epochs=2, save_strategy="epoch"
    ).train()
    assert rows(capsys.readouterr().out)["to come"] == "4 steps, 2 epochs"
    trainer = make_trainer(callbacks=[InfoCallback()], train_dataset=tokens(3), max_steps=-1, num_train_epochs=2)
    trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-2"))
    assert rows(capsys.readouterr().out)["to come"] == "2 steps, after step 2, up to epoch 2"


def test_verbose_prints_everything(make_trainer, capsys, wide):
    """All arguments, the model's configuration and layers, the optimizer, the scheduler."""
    make_trainer(callbacks=[InfoCallback(verbose=True)], max_steps=1, hub_token=SECRET).train()
    output = capsys.readouterr().out
    for part in ("weight_decay = 0.0", "n_embd = 16", "AdamW", "LambdaLR", "(wte): Embedding(32, 16)"):
        assert part in output
    assert SECRET not in output


def test_what_cannot_be_read_is_left_out(make_trainer, capsys, wide):
    """Data without a length costs its own row."""

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(tokens(8))

    make_trainer(callbacks=[InfoCallback()], train_dataset=Stream(), max_steps=1).train()
    found = rows(capsys.readouterr().out)
    assert "training data" not in found
    assert found["model"] == "GPT2LMHeadModel"
