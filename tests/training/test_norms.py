"""Norms, and values from inside a model."""

import pytest
import torch
from torch import nn

from fixtures.torch_models import FEATURES, classifier
from trainstore.errors import InvalidArgumentError
from trainstore.training.intermediates import collected_intermediates, record_intermediate, watch_modules
from trainstore.training.norms import gradient_norms, parameter_norms, total_norm


def test_norms_of_parameters():
    """By name; together they are that of all."""
    model = classifier()
    norms = parameter_norms(model)
    assert {name: value.item() for name, value in norms.items()} == {
        name: pytest.approx(one.detach().norm().item()) for name, one in model.named_parameters()
    }
    flat = torch.cat([one.detach().flatten() for one in model.parameters()])
    assert total_norm(norms).item() == pytest.approx(flat.norm().item())


def test_norms_of_gradients():
    """Of those that there are; none at all is 0."""
    model = classifier()
    assert gradient_norms(model) == {}
    assert total_norm({}).item() == 0
    model[3](torch.ones(2, 8)).sum().backward()
    norms = gradient_norms(model)
    assert norms.keys() == {"3.weight", "3.bias"}
    assert total_norm(norms) == torch.nn.utils.get_total_norm([model[3].weight.grad, model[3].bias.grad])


class Inner(nn.Module):
    """A layer that records its mean."""

    def forward(self, inputs):
        record_intermediate("inner", inputs.mean())
        return inputs * 2


def test_a_model_records_values():
    """Twice in a step: sum and count."""
    model = nn.Sequential(Inner(), Inner())
    with collected_intermediates() as found:
        model(torch.ones(3))
    assert found == {"inner": {"value": torch.tensor(3.0), "count": 2}}
    model(torch.ones(3))  # nobody collects it
    assert len(found) == 1


def test_hooks_record_values():
    """Under the module's name; they can be taken away."""
    model = classifier()
    hooks = watch_modules(model, {"1": lambda output: (output > 0).float().mean()})
    inputs = torch.randn(3, FEATURES)
    with collected_intermediates() as found:
        model(inputs)
    share = (model[0](inputs) > 0).float().mean()
    assert found == {"1": {"value": share, "count": 1}}
    hooks[0].remove()
    with collected_intermediates() as found:
        model(inputs)
    assert found == {}


def test_a_module_that_is_not_there():
    """The message names some that are."""
    with pytest.raises(InvalidArgumentError, match="no module 'head'; it has 0, 1"):
        watch_modules(classifier(), {"head": torch.mean})


def test_what_is_not_one_number_is_left_out(caplog):
    """With one warning each."""
    with collected_intermediates() as found:
        for _ in range(2):
            record_intermediate("a matrix", torch.ones(2, 2))
            record_intermediate("a text", "high")
            record_intermediate("a number", 3)
    assert found == {"a number": {"value": 6, "count": 2}}
    assert caplog.text.count("a matrix") == caplog.text.count("a text") == 1


def test_a_recorded_value_keeps_no_graph():
    """It is not part of the backward pass."""
    weight = torch.ones((), requires_grad=True)
    with collected_intermediates() as found:
        record_intermediate("weight", weight * 2)
    assert not found["weight"]["value"].requires_grad
