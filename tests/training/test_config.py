"""The configurations of a `TrainerModule`: dicts and back, Hydra, bad values."""

from dataclasses import dataclass, field, fields

import pytest
import torch

from fixtures.torch_models import classifier
from trainstore.errors import InvalidArgumentError
from trainstore.training.config import (
    CallbackConfig,
    CheckpointConfig,
    LoggerConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainerConfig,
)
from trainstore.training.config_base import Config
from trainstore.training.optimizers import build_optimizer, build_scheduler, learning_rate

DEFAULTS = {
    "seed": 0,
    "debug": False,
    "donate_train_state": True,
    "enable_progress_bar": True,
    "gradient_accumulate_steps": 1,
    "gradient_accumulate_scan": False,
    "check_val_every_n_epoch": 1,
    "check_val_every_n_steps": -1,
    "check_for_nan": True,
    "log_grad_norm": True,
    "log_grad_norm_per_param": False,
    "log_param_norm": True,
    "log_param_norm_per_param": False,
    "log_intermediates": False,
    "default_train_log_modes": ("mean",),
    "intermediates_log_modes": ("mean",),
    "logger": None,
    "callbacks": (),
    "seed_eval": 0,
}


def test_the_trainers_attributes_have_the_references_defaults():
    """All 19 of them, by name."""
    config = TrainerConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert {one.name for one in fields(TrainerConfig)} - DEFAULTS.keys() == {"compile_model"}


def test_get_has_a_default():
    """For names that are not there."""
    config = TrainerConfig(seed=7)
    assert config.get("seed") == 7
    assert config.get("speed") is None
    assert config.get("speed", 3) == 3


def full_config():
    """One with everything in it."""
    return TrainerConfig(
        seed=3,
        default_train_log_modes=["mean", "max"],
        logger=LoggerConfig(log_path="logs", log_every_n_steps=5, tags={"a": 1}),
        callbacks=[CheckpointConfig(monitor="accuracy", mode="max", max_to_keep=None)],
    )


def test_a_config_comes_back_from_its_dict():
    """With the configurations in it, and their classes."""
    config = full_config()
    data = config.to_dict()
    assert data["logger"]["log_every_n_steps"] == 5
    assert data["callbacks"][0]["_target_"] == "trainstore.training.config.CheckpointConfig"
    assert TrainerConfig.from_dict(TrainerConfig, data) == config
    optimizer = OptimizerConfig(name="sgd", scheduler=SchedulerConfig(lr=0.3))
    assert Config.from_dict(OptimizerConfig, optimizer.to_dict()) == optimizer


def test_classes_need_not_be_named():
    """What an attribute is declared as decides."""
    config = TrainerConfig.from_dict(TrainerConfig, {"seed": 1, "logger": {"log_every_n_steps": 2}})
    assert config == TrainerConfig(seed=1, logger=LoggerConfig(log_every_n_steps=2))


@dataclass
class Layer(Config):
    """A user's configuration."""

    width: int = 1


@dataclass
class Model(Config):
    """One with others in it."""

    depth: int = 2
    layers: list[Layer] = field(default_factory=list)
    head: Layer | None = None
    rate: float | None = None


def test_users_configs_work_too():
    """Lists of them, and optional ones."""
    model = Model(layers=[Layer(3), Layer(4)], head=Layer(5), rate=0.1)
    assert Config.from_dict(Model, model.to_dict()) == model
    assert Config.from_dict(Model, {"layers": [{"width": 3}], "head": {"width": 5}}).layers == [Layer(3)]


def test_an_unknown_key_is_named(caplog):
    """A warning, or an error; with what was meant."""
    data = {"seeed": 3, "debug": True}
    assert TrainerConfig.from_dict(TrainerConfig, data) == TrainerConfig(debug=True)
    assert "TrainerConfig has no 'seeed'; did you mean 'seed'?" in caplog.text
    with pytest.raises(InvalidArgumentError, match="TrainerConfig has no 'seeed'; did you mean 'seed'"):
        TrainerConfig.from_dict(TrainerConfig, data, ignore_extensive_attributes=False)
    with pytest.raises(InvalidArgumentError, match="Layer has no 'colour'; it has width"):
        Config.from_dict(Model, {"head": {"colour": 1}}, ignore_extensive_attributes=False)


def test_none_may_become_zero_for_integers():
    """Only where an integer is declared."""
    data = {"depth": None, "rate": None}
    assert Config.from_dict(Model, data).depth is None
    assert Config.from_dict(Model, data, none_to_zero_for_ints=True) == Model(depth=0, rate=None)


def test_a_class_that_is_not_imported_is_never_imported():
    """It is the declared one instead, or an error."""
    data = {"head": {"_target_": "antigravity.Layer", "width": 2}}
    assert Config.from_dict(Model, data).head == Layer(2)
    with pytest.raises(InvalidArgumentError, match=r"'antigravity.Layer' is not imported"):
        Config.from_dict(Model, data, strict_classname_parsing=True)
    import sys

    assert "antigravity" not in sys.modules


def test_a_class_of_another_kind_is_refused():
    """A dict cannot make any object that it likes."""
    data = {"logger": {"_target_": "trainstore.training.config.SchedulerConfig"}}
    with pytest.raises(InvalidArgumentError, match="is not a LoggerConfig"):
        TrainerConfig.from_dict(TrainerConfig, data)


@pytest.mark.parametrize("data", [3, "seed", None, [1]])
def test_what_is_not_a_dict_is_refused(data):
    """With what it should be."""
    with pytest.raises(InvalidArgumentError, match="is not a dict with the values of a TrainerConfig"):
        TrainerConfig.from_dict(TrainerConfig, data)


def test_hydra_builds_them():
    """From YAML with ``_target_``, as `to_dict` writes it too."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    config = OmegaConf.create(
        """
        _target_: trainstore.training.TrainerConfig
        seed: 3
        default_train_log_modes: [mean, max]
        logger: {_target_: trainstore.training.LoggerConfig, log_path: logs, log_every_n_steps: 5, tags: {a: 1}}
        callbacks:
          - {_target_: trainstore.training.CheckpointConfig, monitor: accuracy, mode: max, max_to_keep: null}
        """
    )
    built = instantiate(config, _convert_="all")
    assert built == full_config()
    assert instantiate(built.to_dict(), _convert_="all") == built


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (TrainerConfig, {"seed": -1}, "seed -1 is not an integer from 0 on"),
        (TrainerConfig, {"seed": 1.5}, "seed 1.5"),
        (TrainerConfig, {"debug": 1}, "debug 1 is not True or False"),
        (TrainerConfig, {"gradient_accumulate_steps": 0}, "gradient_accumulate_steps 0"),
        (TrainerConfig, {"check_val_every_n_epoch": 0}, "neither an integer from 1 on nor -1"),
        (TrainerConfig, {"default_train_log_modes": ["median"]}, "default_train_log_modes has the mode 'median'"),
        (TrainerConfig, {"intermediates_log_modes": "mean"}, "is not a list of modes"),
        (TrainerConfig, {"logger": {"log_path": "x"}}, "is not a LoggerConfig"),
        (LoggerConfig, {"log_every_n_steps": 0}, "log_every_n_steps 0"),
        (CallbackConfig, {"every_n_steps": 0}, "every_n_steps 0"),
        (CheckpointConfig, {"mode": "lowest"}, "mode 'lowest' is not one of 'min', 'max'"),
        (CheckpointConfig, {"max_to_keep": 0}, "max_to_keep 0"),
        (CheckpointConfig, {"monitor": ""}, "monitor '' is not the name of a metric"),
        (OptimizerConfig, {"name": "lion"}, "'lion' is not one of 'adam', 'adamw', 'sgd'"),
        (OptimizerConfig, {"beta1": 1.5}, "beta1 1.5 is not a number from 0 to 1"),
        (OptimizerConfig, {"grad_clip_norm": float("nan")}, "grad_clip_norm nan"),
        (OptimizerConfig, {"scheduler": 0.1}, "scheduler 0.1 is not a SchedulerConfig"),
        (SchedulerConfig, {"name": "linear"}, "decay_steps 0 must be more than"),
        (SchedulerConfig, {"name": "linear", "decay_steps": 5, "warmup_steps": 5}, "decay_steps 5 must be more than"),
        (SchedulerConfig, {"name": "exponential_decay", "decay_steps": 5}, "needs an end_lr"),
        (SchedulerConfig, {"lr": "high"}, "lr 'high' is not a number from 0 on"),
    ],
)
def test_bad_values_are_named(kind, values, message):
    """When the configuration is made."""
    with pytest.raises(InvalidArgumentError, match=message):
        kind(**values)


def test_create_is_for_subclasses():
    """The message names the class."""
    with pytest.raises(NotImplementedError, match="CallbackConfig does not define create"):
        CallbackConfig().create(None)


def test_the_log_folder_as_text():
    """Empty if there is none."""
    assert LoggerConfig(log_path="a/b").log_dir == "a/b"
    assert LoggerConfig().log_dir == ""


@pytest.mark.parametrize(
    ("config", "rates"),
    [
        (SchedulerConfig(lr=2.0, warmup_steps=4), [0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0]),
        (SchedulerConfig(name="linear", lr=4.0, decay_steps=4), [4.0, 3.0, 2.0, 1.0, 0.0, 0.0]),
        (SchedulerConfig(name="linear", lr=4.0, decay_steps=5, warmup_steps=1, end_lr=2.0), [0.0, 4.0, 3.5, 3.0, 2.5]),
        (SchedulerConfig(name="cosine_decay", lr=2.0, decay_steps=2), [2.0, 1.0, 0.0]),
        (SchedulerConfig(name="exponential_decay", lr=4.0, decay_steps=2, end_lr_factor=0.25), [4.0, 2.0, 1.0, 1.0]),
        (SchedulerConfig(lr=2.0, decay_steps=4, cooldown_steps=2), [2.0, 2.0, 2.0, 1.0, 0.0, 0.0]),
    ],
)
def test_learning_rates(config, rates):
    """Step by step, also from the scheduler."""
    assert [learning_rate(config, step) for step in range(len(rates))] == pytest.approx(rates)
    optimizer = build_optimizer(OptimizerConfig(scheduler=config), classifier())
    scheduler, found = build_scheduler(config, optimizer), []
    for _ in rates:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert found == pytest.approx(rates)


def test_a_constant_learning_rate_needs_no_scheduler():
    """There is none."""
    config = OptimizerConfig()
    assert build_scheduler(config.scheduler, build_optimizer(config, classifier())) is None


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_optimizers(name, kind):
    """Matrices decay; biases do not, unless all do."""
    model = classifier()
    optimizer = build_optimizer(OptimizerConfig(name=name, weight_decay=0.1), model)
    assert type(optimizer) is kind
    assert [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups] == [(2, 0.1), (2, 0.0)]
    optimizer = build_optimizer(OptimizerConfig(name=name, weight_decay=0.1, weight_decay_all=True), model)
    assert [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups] == [(4, 0.1)]
