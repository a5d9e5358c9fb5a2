"""`TrainerModule`: what it trains, logs, validates, tests and returns."""

import io
import math

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from fixtures.torch_models import FEATURES, loader, points, same, weights
from fixtures.torch_modules import Classifier, ModelConfig, bare_training, logged, module_of
from trainstore.errors import InvalidArgumentError
from trainstore.training import (
    CallbackConfig,
    CheckpointConfig,
    ModuleCallback,
    OptimizerConfig,
    SchedulerConfig,
    TrainerModule,
    record_intermediate,
)

WARM = OptimizerConfig(
    scheduler=SchedulerConfig(name="linear", lr=1e-2, decay_steps=20, warmup_steps=2), grad_clip_norm=0.3
)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_training_is_the_plain_loop_bit_for_bit(accumulation):
    """With norms, metrics, validations between the steps, clipping and a schedule."""
    model = ModelConfig(dropout=0.5)
    twin = module_of(optimizer=WARM, model=model)
    losses = bare_training(twin, loader(), 2, accumulation)
    module = module_of(
        optimizer=WARM,
        model=model,
        gradient_accumulate_steps=accumulation,
        check_val_every_n_steps=2,
        log_grad_norm_per_param=True,
        log_param_norm_per_param=True,
    )
    results = module.train_model(loader(), loader(8, shuffle=True), num_epochs=2)
    assert same(weights(module.model), weights(twin.model))
    assert module.global_step == len(losses)
    half = len(losses) // 2
    assert results["train_epoch_1"]["loss"] == pytest.approx(sum(losses[:half]) / half, abs=0.05)


class Mesh:
    """As much of a mesh as is looked at."""

    def __init__(self, names, size):
        self.mesh_dim_names, self.size = names, lambda: size


def test_what_is_returned():
    """Epochs and steps count from 1."""
    module = module_of(check_val_every_n_steps=3)
    results = module.train_model(loader(), loader(8), loader(12), num_epochs=2)
    assert list(results) == [
        "val_step_3",
        "train_epoch_1",
        "val_epoch_1",
        "val_step_6",
        "val_step_9",
        "train_epoch_2",
        "val_epoch_2",
        "test",
    ]
    assert results["val_epoch_2"].keys() == results["test"].keys() == {"loss", "accuracy"}
    assert results["train_epoch_1"].keys() == {"loss", "accuracy", "epoch_time"}
    assert results["test"] == module.test_model(loader(12))


def test_a_step_that_is_validated_at_the_end_of_an_epoch_is_validated_once():
    """By steps and by epochs, both at once."""
    seen = []

    class Own(Classifier):
        def on_validation_epoch_start(self, epoch_idx, step_idx):
            seen.append((epoch_idx, step_idx))

    results = module_of(kind=Own, check_val_every_n_steps=5).train_model(loader(), loader(8), num_epochs=2)
    assert seen == [(1, 5), (2, 10)]
    assert results["val_step_5"] == results["val_epoch_1"]


@pytest.mark.parametrize(("every", "epochs"), [(2, [2, 4]), (-1, []), (1, [1, 2, 3, 4])])
def test_validation_by_epochs(every, epochs):
    """Every so many; -1 is never."""
    results = module_of(check_val_every_n_epoch=every).train_model(loader(), loader(8), num_epochs=4)
    assert [name for name in results if name.startswith("val")] == [f"val_epoch_{number}" for number in epochs]


def test_an_evaluation_is_the_mean_over_the_examples():
    """Numbers by the batch's size, others by their counts."""
    module = module_of()
    data = points(18)
    found = module.eval_model(loader(18), "val")
    outputs = module.model.eval()(data.tensors[0])
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(outputs, data.tensors[1]).item())
    assert found["accuracy"] == pytest.approx((outputs.argmax(1) == data.tensors[1]).float().mean().item())
    assert logged(module, "val_loss") == {0: found["loss"]}


def test_several_loaders_have_metrics_of_their_own():
    """Each name begins with the loader's key."""
    module = module_of()
    loaders = {"short": loader(8), "long": loader(18)}
    results = module.train_model(loader(), loaders, {"one": loader(4)}, num_epochs=1)
    assert results["val_epoch_1"].keys() == {"short_loss", "short_accuracy", "long_loss", "long_accuracy"}
    assert results["test"].keys() == {"one_loss", "one_accuracy"}
    assert "val_short_loss" in module.state.log_history[-2]


def test_what_is_logged_every_few_steps():
    """The modes' names; the norms; the rest of an epoch at its end."""
    module = module_of(default_train_log_modes=["mean", "max", "single", "std"], log_param_norm_per_param=True)
    module.train_model(loader(), num_epochs=1)
    rows = {row["step"]: row for row in module.state.log_history}
    assert list(rows) == [2, 4, 5]
    for name in ("loss", "accuracy", "grad_norm"):
        assert {f"{name}_{mode}" for mode in ("mean", "max", "single", "std")} <= rows[2].keys()
    assert {"param_norm", "param_norm_0.weight", "learning_rate", "loss"} <= rows[2].keys()
    assert rows[5]["loss_std"] == 0.0  # of one step
    assert {"train_loss", "train_accuracy", "train_epoch_time"} <= rows[5].keys()
    assert rows[2]["loss_mean"] == pytest.approx(rows[2]["loss"])


def test_norms_are_those_of_the_model():
    """The gradients' before clipping, the parameters' after the step."""
    module = module_of(optimizer=WARM, log_every=1, log_grad_norm_per_param=True, log_param_norm_per_param=True)
    twin = module_of(optimizer=WARM)
    batch = next(iter(loader()))
    module.train_model([batch], num_epochs=1)
    row = module.state.log_history[0]
    twin.loss_function(twin.model, batch)[0].backward()
    norms = {name: one.grad.norm().item() for name, one in twin.model.named_parameters()}
    assert {name: row[f"grad_norm_{name}_mean"] for name in norms} == {
        name: pytest.approx(value) for name, value in norms.items()
    }
    assert row["grad_norm_mean"] == pytest.approx(math.hypot(*norms.values()))
    assert row["grad_norm_mean"] > 0.3
    for name, one in module.model.named_parameters():
        assert row[f"param_norm_{name}"] == pytest.approx(one.detach().norm().item())
    assert row["param_norm"] == pytest.approx(
        torch.cat([one.detach().flatten() for one in module.model.parameters()]).norm()
    )


def test_norms_can_be_left_out():
    """None is logged then."""
    module = module_of(log_grad_norm=False, log_param_norm=False)
    module.train_model(loader(), num_epochs=1)
    assert not any("norm" in name for row in module.state.log_history for name in row)


def test_intermediate_values_are_logged_in_their_modes():
    """If it is wanted."""

    class Watched(Classifier):
        def loss_function(self, model, batch, train=True):
            record_intermediate("seen", batch[0].mean())
            return super().loss_function(model, batch, train)

    module = module_of(kind=Watched, log_intermediates=True, intermediates_log_modes=["max"], log_every=1)
    module.train_model(loader(), num_epochs=1)
    means = [batch[0].mean().item() for batch in loader()]
    assert list(logged(module, "seen_max").values()) == pytest.approx(means)
    assert "seen" not in module._task.results["train_epoch_1"]
    module = module_of(kind=Watched)
    module.train_model(loader(), num_epochs=1)
    assert not any("seen" in name for row in module.state.log_history for name in row)


class Hooked(Classifier):
    """Adds a metric at each end."""

    def __init__(self, *args, **options):
        self.calls = []
        super().__init__(*args, **options)

    def on_training_start(self):
        self.calls.append("start")

    def on_training_end(self):
        self.calls.append("end")

    def on_training_epoch_start(self, epoch_idx):
        self.calls.append(("epoch", epoch_idx))

    def on_training_epoch_end(self, train_metrics, epoch_idx):
        self.calls.append(("epoch end", epoch_idx, sorted(train_metrics)))
        train_metrics["added"] = 1.0

    def on_validation_epoch_start(self, epoch_idx, step_idx):
        self.calls.append(("val", epoch_idx, step_idx))

    def on_validation_epoch_end(self, eval_metrics, epoch_idx, step_idx):
        self.calls.append(("val end", epoch_idx, step_idx, sorted(eval_metrics)))
        eval_metrics["added"] = 2.0

    def on_test_epoch_start(self, epoch_idx):
        self.calls.append(("test", epoch_idx))

    def on_test_epoch_end(self, test_metrics, epoch_idx):
        self.calls.append(("test end", epoch_idx, sorted(test_metrics)))
        test_metrics["added"] = 3.0


def test_hooks_are_called_in_order_and_what_they_add_is_logged():
    """Epochs count from 1."""
    module = module_of(kind=Hooked)
    results = module.train_model(loader(), loader(8), loader(8), num_epochs=2)
    one = ["accuracy", "loss"]
    assert module.calls == [
        "start",
        ("epoch", 1),
        ("epoch end", 1, ["accuracy", "epoch_time", "loss"]),
        ("val", 1, 5),
        ("val end", 1, 5, one),
        ("epoch", 2),
        ("epoch end", 2, ["accuracy", "epoch_time", "loss"]),
        ("val", 2, 10),
        ("val end", 2, 10, one),
        ("test", 2),
        ("test end", 2, one),
        "end",
    ]
    assert [logged(module, f"{mode}_added") for mode in ("train", "val", "test")] == [
        {5: 1.0, 10: 1.0},
        {5: 2.0, 10: 2.0},
        {10: 3.0},
    ]
    assert results["val_epoch_1"]["added"] == 2.0
    assert results["test"]["added"] == 3.0


def test_a_test_calls_hooks_only_if_asked_to():
    """Called directly, it does not."""
    module = module_of(kind=Hooked)
    assert module.test_model(loader(8)).keys() == {"loss", "accuracy"}
    assert module.calls == []
    assert module.test_model(loader(8), apply_callbacks=True, epoch_idx=7)["added"] == 3.0
    assert module.calls[0] == ("test", 7)


class Every(ModuleCallback):
    """Remembers what it hears."""

    def __init__(self, config, trainer):
        super().__init__(config, trainer)
        self.heard = []

    def on_filtered_training_epoch_start(self, epoch_idx):
        self.heard.append(("start", epoch_idx))

    def on_filtered_training_epoch_end(self, train_metrics, epoch_idx):
        self.heard.append(("end", epoch_idx))
        train_metrics["from a callback"] = 1.0

    def on_filtered_validation_epoch_start(self, epoch_idx, step_idx):
        self.heard.append(("val start", epoch_idx))

    def on_filtered_validation_epoch_end(self, eval_metrics, epoch_idx, step_idx):
        self.heard.append(("val", step_idx))


class EveryConfig(CallbackConfig):
    """Makes it."""

    def create(self, trainer):
        return Every(self, trainer)


class Counts(TrainerCallback):
    """One of Hugging Face's kind."""

    steps = 0

    def on_step_end(self, args, state, control, **kwargs):
        self.steps += 1


def test_callbacks_from_configs_and_those_of_hugging_face():
    """Filtered by epochs and steps; a data set is told to them."""
    module = module_of(
        callbacks=[EveryConfig(every_n_epochs=2), EveryConfig(every_n_epochs=-1, every_n_steps=5), Counts]
    )
    module.set_dataset("numbers")
    module.train_model(loader(), loader(8), num_epochs=3)
    by_epochs, by_steps, counts = module.callbacks
    assert by_epochs.heard == [("start", 2), ("end", 2), ("val start", 2), ("val", 10)]
    assert [one for one in by_steps.heard if one[0] == "val"] == [("val", 5), ("val", 10), ("val", 15)]
    assert counts.steps == 15
    assert module.dataset == by_epochs.dataset == "numbers"
    assert logged(module, "train_from a callback") == {10: 1.0}


def test_metrics_are_postprocessed_before_they_are_logged():
    """Perplexity from the loss, for example."""

    class Own(Classifier):
        def get_metric_postprocess_fn(self):
            return lambda metrics: metrics | ({"perplexity": math.exp(metrics["loss"])} if "loss" in metrics else {})

    module = module_of(kind=Own)
    results = module.train_model(loader(), loader(8), num_epochs=1)
    assert results["val_epoch_1"]["perplexity"] == pytest.approx(math.exp(results["val_epoch_1"]["loss"]))
    assert 5 in logged(module, "val_perplexity")


class Broken(Classifier):
    """Its loss, or a metric, is NaN from the fourth step on."""

    what = "loss"

    def loss_function(self, model, batch, train=True):
        loss, metrics = super().loss_function(model, batch, train)
        if train and self.global_step >= 3:
            if self.what == "loss":
                loss = loss * float("nan")
            else:
                metrics["ratio"] = float("nan")
        return loss, metrics


@pytest.mark.parametrize(("what", "stopped"), [("loss", 4), ("ratio", 4)])
def test_nan_ends_the_training(what, stopped, caplog):
    """Of the loss, or of any metric when it is logged; the hooks are called, nothing is validated or tested."""
    kind = type("Own", (Broken,), {"what": what})
    module = module_of(kind=kind)
    results = module.train_model(loader(), loader(8), loader(8), num_epochs=3)
    assert module.global_step == stopped
    assert list(results) == ["train_epoch_1"]
    assert "NaN" in module.loop.failure
    assert any(value != value for row in module.state.log_history for value in row.values())
    assert "the training stops" in caplog.text


def test_nan_can_be_ignored():
    """If the configuration says so."""
    module = module_of(kind=type("Own", (Broken,), {"what": "ratio"}), check_for_nan=False)
    module.train_model(loader(), num_epochs=2)
    assert module.global_step == 10
    assert module.loop.failure is None


def test_a_training_does_not_notice_evaluations():
    """Shuffled loaders, dropout, random numbers in the loss function of an evaluation."""

    class Random(Classifier):
        def loss_function(self, model, batch, train=True):
            if not train:
                torch.rand(3)
            return super().loss_function(model, batch, train)

    found = []
    for every in (-1, 1, 2):
        module = module_of(kind=Random, check_val_every_n_steps=every, model=ModelConfig(dropout=0.5))
        module.train_model(loader(shuffle=True), loader(8, shuffle=True), num_epochs=2)
        found.append(weights(module.model))
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_evaluations_repeat():
    """Their random numbers have a seed of their own."""

    class Noisy(Classifier):
        def loss_function(self, model, batch, train=True):
            loss, _ = super().loss_function(model, batch, train)
            return loss, {"noise": torch.rand(())}

    module = module_of(kind=Noisy, seed_eval=3)
    first = module.eval_model(loader(8), "val")
    torch.rand(5)
    assert module.eval_model(loader(8), "val") == first


def test_the_check_before_a_training_changes_nothing():
    """Not even the order of a loader with a generator of its own."""
    own = torch.Generator().manual_seed(4)
    val = loader(8, shuffle=True, generator=own)
    before, everything = own.get_state(), torch.get_rng_state()
    assert module_of().test_eval_function(val).keys() == {"loss", "accuracy"}
    assert torch.equal(own.get_state(), before)
    module = module_of()
    everything = torch.get_rng_state()
    module.test_eval_function({"a": val})
    assert torch.equal(torch.get_rng_state(), everything)


def test_the_seed_decides_the_weights():
    """And run_model_init tells them."""
    first, again, other = (module_of(seed=seed) for seed in (1, 1, 2))
    assert same(weights(first.model), weights(again.model))
    assert not same(weights(first.model), weights(other.model))
    assert same(first.run_model_init(None, 2), weights(other.model))
    assert same(weights(first.model), weights(again.model))


def test_steps_instead_of_epochs():
    """The epochs follow."""
    module = module_of()
    module.train_model(loader(), loader(8), num_train_steps=7)
    assert module.global_step == 7
    assert module.state.epoch == pytest.approx(1.4)


def test_an_epoch_may_be_shorter_than_its_loader():
    """So many steps, then a validation."""
    module = module_of(gradient_accumulate_steps=2)
    results = module.train_model(loader(), loader(8), num_epochs=2, steps_per_epoch=2)
    assert module.global_step == 4
    assert "val_epoch_2" in results


def test_lazy_layers_see_the_example_batch():
    """The inputs of it."""

    class Lazy(Classifier):
        def build_model(self, model_config):
            return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(2))

    batch = next(iter(loader()))
    module = module_of(kind=Lazy, options={"batch": batch})
    assert module.get_num_params() == (FEATURES + 1) * 8 + 9 * 2
    assert module.exmp_batch is batch
    with pytest.raises(InvalidArgumentError, match="lazy layers: pass an example batch"):
        module_of(kind=Lazy)


def test_the_parameters_as_a_table():
    """Names, shapes, numbers."""
    module = module_of()
    module.model[0].bias.requires_grad = False
    lines = module.tabulate_params().splitlines()
    assert lines[0].split() == ["Name", "Shape", "Dtype", "Count", "Trained"]
    assert lines[2].split() == ["0.weight", "8×4", "float32", "32", "yes"]
    assert lines[3].split() == ["0.bias", "8", "float32", "8", "no"]
    assert lines[-1].split() == ["Total", "58"]
    assert module.get_num_params() == 58


def test_a_step_may_be_made_by_hand():
    """And an evaluation."""
    module = module_of()
    assert module.first_step
    batch = next(iter(loader()))
    step, evaluate = module.create_training_step_function(), module.create_evaluation_step_function()
    before = evaluate(batch)
    assert step(batch) == {"loss": pytest.approx(before["loss"])}
    assert evaluate(batch)["loss"] < before["loss"]
    assert not module.first_step
    assert module.global_step == 1


def test_bars_only_where_they_can_be_drawn(monkeypatch):
    """And if they are wanted."""
    from trainstore.training import module_parts

    module = module_of()
    numbers = [1, 2]
    assert module.tracker(numbers) is numbers  # no terminal here
    monkeypatch.setattr(module_parts, "shows_bars", lambda: True)
    assert module.tracker(numbers, desc="x", file=io.StringIO()) is not numbers
    assert module_of(enable_progress_bar=False).tracker(numbers) is numbers


def test_a_training_with_bars_is_the_same(monkeypatch, capfd):
    """They show the epochs and the validations."""
    from trainstore.training import module_parts

    plain = module_of(gradient_accumulate_steps=2)
    plain.train_model(loader(), loader(8), num_epochs=2)
    monkeypatch.setattr(module_parts, "shows_bars", lambda: True)
    module = module_of(gradient_accumulate_steps=2)
    module.train_model(loader(), loader(8), num_epochs=2)
    shown = capfd.readouterr().err
    assert "Epoch 1" in shown
    assert "Val" in shown
    assert same(weights(module.model), weights(plain.model))


def test_the_state_of_everything():
    """As `restore_model` takes it."""
    module = module_of(optimizer=WARM)
    module.train_model(loader(), num_epochs=1)
    state = module.train_state()
    other = module_of(optimizer=WARM, seed=5)
    other.restore_model(state)
    assert same(weights(other.model), weights(module.model))
    assert other.global_step == 5
    batch = next(iter(loader()))
    assert module.train_step(batch) == other.train_step(batch)
    assert same(weights(other.model), weights(module.model))


def test_random_numbers_for_models_that_take_generators():
    """One for each use."""
    generators = TrainerModule.get_model_rng(3)
    assert generators.keys() == {"params", "dropout"}
    assert torch.rand(1, generator=generators["params"]) != torch.rand(1, generator=generators["dropout"])


def test_compiling_is_asked_for_and_never_done_when_debugging(monkeypatch):
    """It takes long, and some models cannot be compiled."""
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    module_of()
    module_of(compile_model=True, debug=True)
    assert compiled == []
    module = module_of(compile_model=True)
    assert compiled == [module.model]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.train_model(loader()), "num_epochs or num_train_steps"),
        (lambda m: m.train_model(loader(), num_epochs=1, num_train_steps=1), "num_epochs or num_train_steps"),
        (lambda m: m.train_model(loader(), num_epochs=0), "num_epochs 0"),
        (lambda m: m.train_model(loader(), num_epochs=1, steps_per_epoch=6), "steps_per_epoch 6 is more than the 5"),
        (lambda m: m.train_model([], num_epochs=1), "the training data loader has no batch"),
        (lambda m: m.train_model(loader(), [], num_epochs=1), "val_loader has no batch"),
        (lambda m: m.train_model(loader(), {"a": []}, num_epochs=1), "val_loader 'a' has no batch"),
        (lambda m: m.train_model(loader(), {}, num_epochs=1), "val_loader is an empty dict"),
    ],
)
def test_bad_arguments_of_a_training(call, message):
    """Before its first step."""
    module = module_of()
    with pytest.raises(InvalidArgumentError, match=message):
        call(module)
    assert module.global_step == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": {"lr": 1}}, "is not an OptimizerConfig"),
        ({"callbacks": [3]}, "neither a CallbackConfig nor a TrainerCallback"),
        ({"checkpoint": CheckpointConfig()}, "needs a folder"),
        ({"options": {"mixed_precision": "fp8"}}, "fp8"),
        ({"options": {"mesh": "all"}}, "has not the dimensions 'dp'"),
        ({"options": {"mesh": Mesh(("tp",), 1)}}, "has not the dimensions 'dp'"),
        ({"options": {"mesh": Mesh(("dp",), 4)}}, "the mesh has 4 processes, and there are 1"),
    ],
)
def test_bad_arguments_of_the_module(options, message):
    """When it is made."""
    with pytest.raises(InvalidArgumentError, match=message):
        module_of(**options)


def test_a_module_without_a_model_says_what_is_missing():
    """The two methods of a subclass."""
    with pytest.raises(NotImplementedError, match="does not define build_model"):
        module_of(kind=TrainerModule)
    with pytest.raises(InvalidArgumentError, match="is not a TrainerConfig"):
        Classifier({}, None)


@pytest.mark.parametrize("result", [None, 3.0, (torch.zeros(2), {}), (torch.zeros(()), 3)])
def test_a_loss_function_that_returns_something_else(result):
    """The message says what it should be."""

    class Own(Classifier):
        def loss_function(self, model, batch, train=True):
            return result

    with pytest.raises(InvalidArgumentError, match=r"not \(loss, metrics\)"):
        module_of(kind=Own).train_model(loader(), num_epochs=1)


def test_bfloat16():
    """The forward pass in it, the weights not."""

    class Own(Classifier):
        seen = None

        def loss_function(self, model, batch, train=True):
            Own.seen = model(batch[0]).dtype
            return super().loss_function(model, batch, train)

    module = module_of(kind=Own, options={"mixed_precision": "bf16"})
    module.train_model(loader(), num_epochs=1)
    assert Own.seen is torch.bfloat16
    assert next(module.model.parameters()).dtype is torch.float32


def test_a_training_does_not_depend_on_what_happened_before_it():
    """The seed is that of the training, too."""
    first, second = (module_of(model=ModelConfig(dropout=0.5)) for _ in range(2))
    for module in (first, second):
        module.train_model(loader(shuffle=True), num_epochs=1)
        torch.rand(7)
    assert same(weights(first.model), weights(second.model))


def test_parts_can_be_replaced(tmp_path):
    """The mesh, the log, the callbacks, the optimizer: each by its method."""

    class Own(Classifier):
        def init_mesh(self, model_config, mesh=None):
            self.meshes = [model_config.width]
            return super().init_mesh(model_config, mesh)

        def init_logger(self, logger_config):
            config = super().init_logger(logger_config)
            self.log_path = tmp_path / "elsewhere"
            return config

        def init_callbacks(self, callback_configs):
            return [*super().init_callbacks(callback_configs), Counts()]

        def init_optimizer(self, optimizer_config):
            return torch.optim.SGD(self.model.parameters(), lr=optimizer_config["rate"]), None

    module = module_of(kind=Own, optimizer={"rate": 0.5})
    assert (module.mesh, module.meshes) == (None, [8])
    module.train_model(loader(), num_epochs=1)
    assert module.callbacks[0].steps == 5
    assert module.log_path == tmp_path / "elsewhere"
    assert logged(module, "learning_rate") == {2: 0.5, 4: 0.5, 5: 0.5}


def test_empty_accumulators():
    """Those of steps have the configured modes, those of evaluations are bare."""
    module = module_of(default_train_log_modes=["max"])
    found = []
    for metrics in (module.init_train_metrics(), module.init_eval_metrics()):
        assert metrics.is_empty
        metrics.add({"loss": 2.0})
        metrics.end_step()
        found.append(metrics.take())
    assert found == [{"loss_max": 2.0}, {"loss": 2.0}]


def test_what_a_training_will_be_is_logged(caplog):
    """Its length, the model's size, the data."""
    caplog.set_level("INFO", "trainstore")
    module_of().train_model(loader(), loader(8), num_epochs=2)
    assert "training: 2 epochs of 5 steps, 58 parameters, 5 batches to train, 2 val batches" in caplog.text
