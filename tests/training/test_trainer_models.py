"""`Trainer` with models of transformers, in lower precision, with a compiled or a partly frozen model."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from fixtures.torch_models import adam, classifier, loader, same, weights
from fixtures.trainers import gpt2, tokens
from trainstore.training import Trainer

CROSS_ENTROPY = nn.CrossEntropyLoss()


def test_a_model_of_transformers_computes_its_own_loss(store):
    """With ``loss_fn=None``, from the labels in the batch; its tokens are counted."""
    model, twin = gpt2(), gpt2()
    data = DataLoader(tokens(8), batch_size=2)
    trainer = Trainer(model, torch.optim.AdamW(model.parameters(), lr=1e-3), None, device="cpu", store=store)
    torch.manual_seed(3)  # its dropout
    history = trainer.train(data, 2)
    optimizer = torch.optim.AdamW(twin.parameters(), lr=1e-3)
    twin.train()
    torch.manual_seed(3)
    losses = []
    for _ in range(2):
        for batch in data:
            loss = twin(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert same(weights(model), weights(twin))
    assert history["train_loss"] == pytest.approx([sum(losses[:4]) / 4, sum(losses[4:]) / 4])
    steps = store.list_step_logs(trainer.run_uid)
    assert steps["loss"].tolist() == losses
    assert steps["tokens"].tolist() == [24] * 8
    assert store.get_run(trainer.run_uid).hyperparams["optimizer"] == "AdamW"


def test_a_loss_function_gets_the_logits_of_such_a_model():
    """An output of transformers is more than its scores."""
    model = gpt2()

    def loss_fn(scores, labels):
        return CROSS_ENTROPY(scores[:, :-1].flatten(0, 1), labels[:, 1:].flatten())

    trainer = Trainer(model, adam(model), loss_fn, device="cpu")
    batch = next(iter(DataLoader(tokens(4), batch_size=4)))
    model.eval()
    own = model(**batch).loss.item()
    assert trainer.eval_step(batch)["loss"] == pytest.approx(own)


def test_bf16_is_autocast_around_the_forward_pass():
    """The parameters stay as they are."""
    model, twin = classifier(), classifier()
    trainer = Trainer(model, adam(model), CROSS_ENTROPY, device="cpu", mixed_precision="bf16")
    trainer.train(loader(), 2)
    optimizer = adam(twin)
    for _ in range(2):
        for inputs, targets in loader():
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = CROSS_ENTROPY(twin(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    assert same(weights(model), weights(twin))
    assert next(model.parameters()).dtype == torch.float32
    assert trainer.state.global_step == 10


def test_frozen_parameters_stay_as_they_are():
    """Only the last layer learns."""
    model = classifier()
    model[0].requires_grad_(False)
    before = weights(model)
    optimizer = torch.optim.AdamW(model[3].parameters(), lr=1e-2)
    trainer = Trainer(model, optimizer, CROSS_ENTROPY, {"max_grad_norm": 1.0}, "cpu")
    trainer.train(loader(), 1)
    after = weights(model)
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["3.weight"], after["3.weight"])


def test_two_trainers_in_one_process_do_not_know_each_other():
    """Another precision, another accumulation; their steps alternate."""
    first, second = classifier(), classifier(seed=1)
    one = Trainer(first, adam(first), CROSS_ENTROPY, device="cpu", gradient_accumulation_steps=4)
    two = Trainer(second, adam(second), CROSS_ENTROPY, device="cpu", mixed_precision="bf16")
    alone = classifier()
    third = Trainer(alone, adam(alone), CROSS_ENTROPY, device="cpu", gradient_accumulation_steps=4)
    third.train(loader(), 2)
    one.train(loader(), 1)
    two.train(loader(), 1)
    one.train(loader(), 1)
    assert same(weights(first), weights(alone))
