"""`Trainer` in two processes (gloo, on the CPU): one model, trained on all the data."""

import json

import pytest
from torch import nn

from fixtures.processes import places_of
from fixtures.torch_models import adam, classifier, loader
from fixtures.trainers import TESTS
from trainstore.training import Trainer

SCRIPT = """
    import json, sys

    tests, kind = sys.argv[1:]
    sys.path.insert(0, tests)

    import torch
    from torch import nn
    from fixtures.torch_models import adam, classifier, loader
    from trainstore.training import Trainer

    class Whole(Trainer):
        def train_step(self, batch):
            inputs, targets = self._prepare_batch(batch)
            outputs = self.model(inputs) if kind == "plain model" else self._forward_pass(inputs)
            self.optimizer.zero_grad()
            loss = self._compute_loss(outputs, targets)
            loss.backward()
            self.optimizer.step()
            return {"loss": loss.item()}

    model = classifier()
    trainer = (Trainer if kind == "trainer" else Whole)(model, adam(model), nn.CrossEntropyLoss(), device="cpu")
    history = trainer.train(loader(20, batch_size=2), 2, loader(18))
    weights = [parameter.sum().item() for parameter in model.parameters()]
    print("done", json.dumps({"weights": weights, "history": history}))
"""


@pytest.fixture
def train(start_script):
    """Train in two processes; what each has at the end, and what they said."""

    def run(kind):
        scripts = [start_script(SCRIPT, TESTS, kind, libraries="trainer", env=place) for place in places_of(2)]
        lines = [script.finish()[-1] for script in scripts]
        return [json.loads(line.removeprefix("done ")) for line in lines], [script.stderr for script in scripts]

    return run


def test_two_processes_are_one_of_twice_the_batch(train):
    """The gradients are averaged; each example is evaluated once."""
    (first, second), _ = train("trainer")
    assert first == second
    model = classifier()
    # Each process takes every second example: together, four that follow each other.
    history = Trainer(model, adam(model), nn.CrossEntropyLoss(), device="cpu").train(loader(20), 2, loader(18))
    assert first["weights"] == pytest.approx([parameter.sum().item() for parameter in model.parameters()], abs=1e-5)
    assert first["history"]["eval_loss"] == pytest.approx(history["eval_loss"], abs=1e-5)
    assert first["history"]["train_loss"] == pytest.approx(history["train_loss"], abs=1e-5)


def test_an_own_step_by_the_forward_pass_trains_one_model(train):
    """Although it makes the optimizer's step itself."""
    (first, second), told = train("forward pass")
    assert first["weights"] == second["weights"]
    assert "train apart" not in "".join(told)


def test_an_own_step_by_the_plain_model_is_told(train):
    """Its processes train two models."""
    (first, second), told = train("plain model")
    assert first["weights"] != second["weights"]
    for text in told:
        assert text.count("the 2 processes train apart") == 1
