"""`MetricAccumulator`: what each mode means, one read of the device, and going on from a checkpoint."""

import math

import pytest
import torch

from trainstore.errors import InvalidArgumentError
from trainstore.training.metrics import MetricAccumulator

ALL = ["mean", "mean_nopostfix", "single", "max", "std"]


@pytest.fixture(autouse=True, params=["numbers", "tensors"])
def way(request, monkeypatch):
    """Tensors on the CPU are read at once; here they are also kept, as on an accelerator."""
    if request.param == "tensors":
        monkeypatch.setattr("trainstore.training.metrics.reads_at_once", lambda value: False)


def filled(values, modes=ALL, kind=float):
    """An accumulator of steps with (sum, count)."""
    accumulator = MetricAccumulator(modes)
    for value, count in values:
        accumulator.add({"loss": {"value": kind(value), "count": count}})
        accumulator.end_step()
    return accumulator


@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_each_mode(kind):
    """The mean is weighted by counts; the others are of the steps' values 2, 3 and 7."""
    values = filled([(2.0, 1), (12.0, 4), (14.0, 2)], kind=kind).take()
    assert values == {
        "loss_mean": 4.0,
        "loss": 4.0,
        "loss_single": 7.0,
        "loss_max": 7.0,
        "loss_std": pytest.approx(math.sqrt((2**2 + 1**2 + 3**2) / 3)),
    }


@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_the_largest_of_negative_values_is_negative(kind):
    """It does not begin at 0."""
    assert filled([(-3.0, 1), (-2.0, 1)], ["max"], kind).take() == {"loss_max": -2.0}


@pytest.mark.parametrize("kind", [float, torch.tensor])
@pytest.mark.parametrize("values", [[1.0, math.nan, 2.0], [math.nan, 1.0]])
def test_nan_is_seen_in_every_mode_but_single(kind, values):
    """It is neither skipped nor taken for the least."""
    found = filled([(value, 1) for value in values], kind=kind).take()
    assert all(math.isnan(value) for name, value in found.items() if name != "loss_single")


def test_equal_values_have_no_deviation():
    """Not even a tiny negative number under the root."""
    assert filled([(0.1, 1)] * 7, ["std"]).take()["loss_std"] == pytest.approx(0.0, abs=1e-7)


def test_taking_begins_anew():
    """Each log is of the steps since the last one."""
    accumulator = filled([(8.0, 1)], ["mean", "max"])
    accumulator.take()
    accumulator.add({"loss": 1.0})
    accumulator.end_step()
    assert accumulator.take() == {"loss_mean": 1.0, "loss_max": 1.0}
    assert accumulator.take() == {}


def test_a_metric_names_its_own_modes():
    """Numbers and tensors have those of the accumulator."""
    accumulator = MetricAccumulator(["mean"])
    accumulator.add({"a": 1, "b": torch.tensor([2.0]), "c": {"value": 3.0, "log_modes": ["max", "mean_nopostfix"]}})
    accumulator.end_step()
    assert accumulator.take() == {"a_mean": 1.0, "b_mean": 2.0, "c_max": 3.0, "c": 3.0}


def test_an_evaluation_is_bare():
    """Its modes are fixed, and numbers count as many examples as the batch has."""
    accumulator = MetricAccumulator(["mean_nopostfix"], fixed=True)
    accumulator.add({"loss": 1.0, "hits": {"value": 3, "count": 4, "log_modes": ["max"]}}, size=4)
    accumulator.end_step()
    accumulator.add({"loss": 6.0, "hits": {"value": 1, "count": 1}}, size=1)
    accumulator.end_step()
    assert accumulator.take() == {"loss": 2.0, "hits": 0.8}


def test_micro_batches_are_one_step():
    """Their sums and counts are added before the step's value is taken."""
    accumulator = MetricAccumulator(["max", "mean"])
    for value, count in [(1.0, 1), (9.0, 3)]:
        accumulator.add({"loss": {"value": value, "count": count}})
    accumulator.end_step()
    assert accumulator.take() == {"loss_max": 2.5, "loss_mean": 2.5}


def test_a_step_that_is_not_finished_can_be_forgotten():
    """As if it had never begun."""
    accumulator = filled([(2.0, 1)], ["mean"])
    accumulator.add({"loss": 100.0})
    accumulator.discard()
    assert accumulator.take() == {"loss_mean": 2.0}


def test_an_accelerator_is_read_once(monkeypatch):
    """However many metrics and steps there are, and not before they are taken."""
    monkeypatch.setattr("trainstore.training.metrics.reads_at_once", lambda value: False)
    reads = []
    original = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: reads.append("tolist") or original(self))
    for name in ("item", "__float__", "__bool__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, lambda self, name=name: pytest.fail(f"{name} reads the device"))
    accumulator = MetricAccumulator(ALL)
    for step in range(5):
        accumulator.add({"a": torch.tensor(float(step)), "b": {"value": torch.tensor(2.0), "count": torch.tensor(4)}})
        accumulator.end_step()
    assert reads == []
    assert accumulator.take()["b"] == 0.5
    assert reads == ["tolist"]


def test_a_value_is_that_of_its_moment():
    """A tensor that is changed in place later was copied."""
    value = torch.tensor(1.0, dtype=torch.float64)
    accumulator = MetricAccumulator()
    accumulator.add({"loss": value})
    value += 5
    accumulator.end_step()
    assert accumulator.take() == {"loss_mean": 1.0}


def test_it_goes_on_from_plain_data_to_the_bit():
    """As if there had been no checkpoint."""
    values = [(torch.rand(()).item(), number) for number in range(1, 9)]
    unbroken, first = filled(values, kind=torch.tensor), filled(values[:3], kind=torch.tensor)
    second = MetricAccumulator(ALL)
    second.load_state_dict(first.state_dict())
    for value, count in values[3:]:
        second.add({"loss": {"value": torch.tensor(value), "count": count}})
        second.end_step()
    assert second.take() == unbroken.take()


def test_an_epoch_is_its_windows():
    """What is taken may be added to another accumulator, whose modes may be others."""
    epoch = MetricAccumulator(["mean_nopostfix"], fixed=True)
    for values in ([(1.0, 1), (2.0, 1)], [(9.0, 2)]):
        filled(values).take(into=epoch)
    assert epoch.take() == {"loss": 3.0}


def test_several_processes_are_taken_together():
    """Means by counts, largest values over all."""

    class Two:
        size = 2

        def gather(self, mine):
            return [mine, filled([(10.0, 3)], ["mean", "max", "single"]).state_dict()]

    found = filled([(2.0, 1)], ["mean", "max", "single"]).take(Two())
    assert found == {"loss_mean": 3.0, "loss_max": pytest.approx(10 / 3), "loss_single": pytest.approx(8 / 3)}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (torch.zeros(3), "'loss' has 3 values"),
        ("high", "'loss' is 'high', not a number"),
        (None, "'loss' is None"),
        ({"count": 3}, "has no 'value'"),
        ({"value": 1.0, "counts": 3}, "has 'counts'"),
        ({"value": 1.0, "log_modes": ["median"]}, "mode 'median'; the modes are mean, mean_nopostfix"),
    ],
)
def test_what_is_not_a_metric_is_named(metric, message):
    """With what it should be."""
    with pytest.raises(InvalidArgumentError, match=message):
        MetricAccumulator().add({"loss": metric})


@pytest.mark.parametrize("modes", [["mean", "sum"], "mean", [], None])
def test_unknown_modes_are_refused(modes):
    """Also a text instead of a list, and none."""
    with pytest.raises(InvalidArgumentError, match=r"mode"):
        MetricAccumulator(modes)
