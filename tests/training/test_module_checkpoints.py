"""The checkpoints of a `TrainerModule`: what is in them, what is kept, how they are loaded, what cannot be."""

import json
import math
import os
import shutil

import pytest
import torch
from torch import nn

from fixtures.torch_models import loader, same, weights
from fixtures.torch_modules import Classifier, ModelConfig, module_of
from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.training import CheckpointConfig, LoggerConfig, OptimizerConfig, SchedulerConfig, TrainerConfig
from trainstore.training import module_checkpoints as files

SCHEDULED = OptimizerConfig(
    scheduler=SchedulerConfig(name="cosine_decay", lr=1e-2, decay_steps=40), grad_clip_norm=0.5, weight_decay=0.01
)
DROPOUT = ModelConfig(dropout=0.5)


def trained(folder, checkpoint=None, epochs=2, kind=Classifier, **options):
    """A module that was trained with checkpoints."""
    checkpoint = checkpoint or CheckpointConfig(max_to_keep=None)
    module = module_of(folder, kind, checkpoint=checkpoint, optimizer=SCHEDULED, model=DROPOUT, **options)
    module.train_model(loader(shuffle=True), loader(8), num_epochs=epochs)
    return module


def steps_in(folder):
    """The steps of the checkpoints in a training's folder."""
    return list(files.checkpoints_in(folder / "checkpoints"))


def test_a_checkpoint_is_a_folder_of_everything(tmp_path):
    """Weights, optimizer, training, and two files that people can read."""
    module = trained(tmp_path)
    path = tmp_path / "checkpoints" / "checkpoint_10"
    assert steps_in(tmp_path) == [5, 10]
    assert {one.name for one in path.iterdir()} == {
        "model.safetensors",
        "optimizer.pt",
        "training.pt",
        "metadata.json",
        "metrics.json",
    }
    assert same(files.read_model(path), weights(module.model))
    metadata = json.loads((path / "metadata.json").read_text())
    assert (metadata["step"], metadata["epoch"]) == (10, 2.0)
    assert metadata["model"]["dropout"] == 0.5
    assert metadata["optimizer"]["scheduler"]["decay_steps"] == 40
    metrics = json.loads((path / "metrics.json").read_text())
    assert metrics["metrics"].keys() == {"val_loss", "val_accuracy"}


class Scripted(Classifier):
    """Its validations have a score that is known before."""

    scores = (0.1, 0.9, 0.3, 0.9, math.nan)

    def on_validation_epoch_end(self, eval_metrics, epoch_idx, step_idx):
        eval_metrics["score"] = self.scores[epoch_idx - 1]
        self.best = getattr(self, "best", {})
        self.best[epoch_idx] = weights(self.model)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"max_to_keep": None}, [5, 10, 15, 20, 25]),
        ({"max_to_keep": 2}, [20, 25]),
        ({"max_to_keep": 2, "every_n_epochs": 2}, [10, 20]),
        ({"max_to_keep": None, "every_n_epochs": -1, "every_n_steps": 7}, [7, 14, 21]),
        ({"max_to_keep": 1, "monitor": "score", "mode": "max"}, [10, 25]),
        ({"max_to_keep": 2, "monitor": "score", "mode": "max"}, [10, 20, 25]),
        ({"max_to_keep": 1, "monitor": "score", "mode": "min"}, [5, 25]),
        ({"max_to_keep": 1, "monitor": "val_score", "mode": "max", "every_n_epochs": -1}, [10]),
    ],
)
def test_what_is_kept(tmp_path, options, kept):
    """The newest ones; with a monitor the best ones and the newest. NaN is never the best, an equal value neither."""
    trained(tmp_path, CheckpointConfig(**options), epochs=5, kind=Scripted)
    assert steps_in(tmp_path) == kept


def test_the_best_model_is_tested(tmp_path):
    """Not the newest; the module has its weights then."""
    config = CheckpointConfig(monitor="score", mode="max")
    module = module_of(tmp_path, Scripted, checkpoint=config)
    results = module.train_model(loader(), loader(8), loader(18), num_epochs=5)
    assert same(weights(module.model), module.best[2])
    assert results["test"] == module.test_model(loader(18))
    assert module.state.best_model_checkpoint == str(tmp_path / "checkpoints" / "checkpoint_10")


def test_the_best_checkpoint_can_be_loaded(tmp_path):
    """By its value, which its metrics.json has."""
    module = trained(tmp_path, CheckpointConfig(monitor="score", mode="max", max_to_keep=None), 5, Scripted)
    other = module_of(optimizer=SCHEDULED, model=DROPOUT, seed=9)
    assert other.load_pretrained_model(tmp_path, load_best=True, load_optimizer=False) == 10
    assert same(weights(other.model), module.best[2])
    assert other.load_pretrained_model(tmp_path, load_optimizer=False) == 25
    assert other.global_step == 0
    assert other.load_pretrained_model(tmp_path / "checkpoints", step_idx=15) == 15
    assert same(weights(other.model), module.best[3])
    assert other.global_step == 15
    assert other.load_pretrained_model(tmp_path / "checkpoints" / "checkpoint_20") == 20


@pytest.mark.parametrize("step", [3, 5, 7, 10])
def test_a_training_goes_on_to_the_bit(tmp_path, step):
    """From the middle of an epoch, and from its end: weights, logs, results."""
    config = CheckpointConfig(max_to_keep=None, every_n_steps=1)
    options = {"default_train_log_modes": ["mean", "max", "std"], "check_val_every_n_steps": 4, "log_every": 3}
    module = trained(tmp_path, config, 3, **options)
    other = module_of(optimizer=SCHEDULED, model=DROPOUT, seed=9, **options)
    assert other.load_pretrained_model(tmp_path, step) == step
    results = other.train_model(loader(shuffle=True), loader(8), num_epochs=3)
    assert same(weights(other.model), weights(module.model))
    assert without_times(other.state.log_history) == without_times(module.state.log_history)
    assert without_times(results) == without_times(module._task.results)


def without_times(rows):
    """The rows without how long something took."""
    rows = rows.items() if isinstance(rows, dict) else enumerate(rows)
    return [(key, {name: value for name, value in row.items() if "time" not in name}) for key, row in rows]


def test_accumulation_and_a_generator_of_the_loaders_own_go_on_to_the_bit(tmp_path):
    """And what the intermediate norms have added up."""

    def data():
        return loader(shuffle=True, generator=torch.Generator().manual_seed(3))

    found = []
    for step in (None, 2, 4):
        config = CheckpointConfig(max_to_keep=None, every_n_steps=1)
        folder = tmp_path if step is None else tmp_path / str(step)
        module = module_of(folder, checkpoint=config, model=DROPOUT, gradient_accumulate_steps=2)
        if step is not None:
            module.load_pretrained_model(tmp_path, step)
        module.train_model(data(), {"a": loader(8), "b": data()}, num_epochs=3)
        found.append((weights(module.model), without_times(module.state.log_history)))
    assert all(same(found[0][0], one) and rows == found[0][1] for one, rows in found[1:])


def test_the_newest_checkpoint_of_ones_own_folder(tmp_path):
    """`load_model`; without one, an error or a warning."""
    module = trained(tmp_path)
    other = module_of(tmp_path, optimizer=SCHEDULED, model=DROPOUT, seed=9)
    assert other.load_model() == 10
    assert same(weights(other.model), weights(module.model))
    assert other.load_model(5) == 5
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 7 in .*; there are 5, 10"):
        other.load_model(7)


def test_no_checkpoint_is_an_error_or_a_warning(tmp_path, caplog):
    """As it is wanted."""
    for folder, message in ((tmp_path, "there is no checkpoint in"), (None, "no log_path")):
        module = module_of(folder)
        with pytest.raises(CheckpointError, match=message):
            module.load_model()
        assert module.load_model(raise_if_not_found=False) is None
        assert message in caplog.text
        with pytest.raises(CheckpointError, match="there is no checkpoint"):
            module.load_data_loaders()


def test_a_module_is_made_from_a_checkpoint(tmp_path):
    """With its configurations and weights; it can go on."""
    module = trained(tmp_path, seed=4, check_val_every_n_steps=3)
    other = Classifier.load_from_checkpoint(tmp_path / "checkpoints" / "checkpoint_5", device="cpu")
    assert other.model_config == DROPOUT
    assert other.optimizer_config == SCHEDULED
    assert other.trainer_config.to_dict() == module.trainer_config.to_dict()
    assert other.global_step == 5
    other.train_model(loader(shuffle=True), loader(8), num_epochs=2)
    assert same(weights(other.model), weights(module.model))


def test_a_module_from_a_moved_folder_writes_beside_its_checkpoint(tmp_path):
    """And an example batch may be cut."""
    trained(tmp_path / "old")
    shutil.move(tmp_path / "old", tmp_path / "new")
    batch = next(iter(loader()))
    other = Classifier.load_from_checkpoint(tmp_path / "new", batch, batch_size=2, device="cpu")
    assert other.log_path == tmp_path / "new"
    assert [len(one) for one in other.exmp_batch] == [2, 2]


def test_a_configuration_without_a_class_comes_back_as_a_dict(tmp_path):
    """Plain data is kept as it is."""

    class Plain(Classifier):
        def build_model(self, model_config):
            return nn.Linear(4, model_config["classes"])

    config = TrainerConfig(logger=LoggerConfig(log_path=tmp_path), callbacks=[CheckpointConfig()])
    module = Plain(config, {"classes": 2, "api_key": "sk-" + "a1B2" * 10}, device="cpu")
    module.train_model(loader(), num_epochs=1)
    text = (tmp_path / "checkpoints" / "checkpoint_5" / "metadata.json").read_text()
    assert "a1B2a1B2" not in text
    other = Plain.load_from_checkpoint(tmp_path, device="cpu")
    assert other.model_config["classes"] == 2
    assert same(weights(other.model), weights(module.model))


def test_a_class_that_is_not_imported_is_named(tmp_path):
    """Nothing is imported because a file says so; the module may name the class itself."""
    trained(tmp_path)
    file = tmp_path / "checkpoints" / "checkpoint_10" / "metadata.json"
    file.write_text(file.read_text().replace("fixtures.torch_modules.ModelConfig", "antigravity.ModelConfig"))
    with pytest.raises(InvalidArgumentError, match=r"'antigravity.ModelConfig' is not imported: .* model_config_class"):
        Classifier.load_from_checkpoint(tmp_path, device="cpu")

    class Named(Classifier):
        model_config_class = ModelConfig

    assert Named.load_from_checkpoint(tmp_path, device="cpu").model_config == DROPOUT


def test_a_checkpoint_without_an_optimizer(tmp_path, caplog):
    """It is smaller, and holds weights only."""
    trained(tmp_path, CheckpointConfig(save_optimizer_state=False))
    other = module_of(optimizer=SCHEDULED, model=DROPOUT)
    assert other.load_pretrained_model(tmp_path) == 10
    assert "has no state of an optimizer: only the weights are loaded" in caplog.text
    assert other.global_step == 0


class Stateful:
    """A loader that has a state of its own."""

    def __init__(self):
        self.position = 0

    def __iter__(self):
        for batch in loader(8):
            self.position += 1
            yield batch

    def __len__(self):
        return 2

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def test_loaders_with_a_state_get_it_back(tmp_path):
    """By `load_data_loaders`, and those of evaluations by `load_pretrained_model`."""
    module = module_of(tmp_path, checkpoint=CheckpointConfig())
    module.train_model(Stateful(), Stateful(), Stateful(), num_epochs=2)
    loaders = [Stateful(), Stateful(), Stateful()]
    module.load_data_loaders(-1, *loaders)
    assert [one.position for one in loaders] == [4, 5, 0]  # one batch of the validation's is the check's
    loaders = [Stateful(), Stateful(), Stateful()]
    module.load_pretrained_model(tmp_path, -1, False, True, *loaders)
    assert [one.position for one in loaders] == [0, 5, 0]
    module.restore_data_loaders({"val": {"position": 9}}, None, loaders[1], None)
    assert loaders[1].position == 9


def test_shared_weights_stay_shared(tmp_path):
    """They are written once."""

    class Tied(Classifier):
        def build_model(self, model_config):
            model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
            model[1].weight = model[0].weight
            return model

    module = module_of(tmp_path, Tied, checkpoint=CheckpointConfig())
    module.train_model(loader(), num_epochs=1)
    other = module_of(tmp_path, Tied, seed=9)
    other.load_model()
    assert same(weights(other.model), weights(module.model))
    assert other.model[0].weight is other.model[1].weight


# --- What cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "training.pt", "metadata.json"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, name):
    """And nothing is loaded."""
    trained(tmp_path)
    file = tmp_path / "checkpoints" / "checkpoint_10" / name
    os.truncate(file, file.stat().st_size // 2)
    other = module_of(optimizer=SCHEDULED, model=DROPOUT, seed=9)
    before = weights(other.model)
    with pytest.raises(CheckpointError, match=name):
        other.load_pretrained_model(tmp_path)
    assert same(weights(other.model), before)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    """The difference is named, and nothing is loaded."""
    trained(tmp_path)
    other = module_of(optimizer=SCHEDULED, model=ModelConfig(width=5))
    before = weights(other.model)
    with pytest.raises(CheckpointError, match=r"0.weight has the shape \(8, 4\) there and \(5, 4\) here"):
        other.load_pretrained_model(tmp_path)
    assert same(weights(other.model), before)
    other = module_of(optimizer=OptimizerConfig(weight_decay_all=True))
    with pytest.raises(CheckpointError, match="parameter groups"):
        other.load_pretrained_model(tmp_path)


def test_a_checkpoint_that_could_run_code_is_refused(tmp_path):
    """Only plain data is read."""
    trained(tmp_path)
    torch.save({"optimizer": os.system}, tmp_path / "checkpoints" / "checkpoint_10" / "optimizer.pt")
    with pytest.raises(CheckpointError, match="more than plain data"):
        module_of(optimizer=SCHEDULED).load_pretrained_model(tmp_path)


def test_a_state_without_weights_is_refused():
    """What is there is named."""
    with pytest.raises(CheckpointError, match="no 'params'; it has step, rng"):
        module_of().restore_model({"step": 3, "rng": None})


def test_a_folder_that_is_none_is_refused(tmp_path):
    """Also a step that is not there."""
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        module_of().load_pretrained_model(tmp_path / "nowhere")


def fail_to_write(monkeypatch, after=1):
    """The disk is full from the second checkpoint on."""
    original, calls = files.save_file, []

    def save_file(*args):
        calls.append(args)
        if len(calls) > after:
            raise OSError(28, "No space left on device")
        return original(*args)

    monkeypatch.setattr(files, "save_file", save_file)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch, caplog):
    """The training goes on, and nothing is left half-written."""
    fail_to_write(monkeypatch)
    module = trained(tmp_path, epochs=3)
    assert module.global_step == 15
    assert "No space left on device" in caplog.text
    assert [one.name for one in (tmp_path / "checkpoints").iterdir()] == ["checkpoint_5"]
    assert module_of(optimizer=SCHEDULED, model=DROPOUT).load_pretrained_model(tmp_path) == 5


def test_a_full_disk_may_end_the_training(tmp_path, monkeypatch):
    """If the configuration says so."""
    fail_to_write(monkeypatch)
    with pytest.raises(CheckpointError, match="No space left"):
        trained(tmp_path, CheckpointConfig(stop_if_not_saved=True), epochs=3)


def test_what_a_killed_process_left_is_mended(tmp_path):
    """A half-written folder goes; one that was moved away comes back."""
    trained(tmp_path)
    folder = tmp_path / "checkpoints"
    (folder / ".writing-checkpoint_15").mkdir()
    os.rename(folder / "checkpoint_10", folder / ".replaced-checkpoint_10")
    shutil.copytree(folder / "checkpoint_5", folder / ".replaced-checkpoint_5")
    files.mend(folder)
    assert sorted(one.name for one in folder.iterdir()) == ["checkpoint_10", "checkpoint_5"]
    assert module_of(optimizer=SCHEDULED, model=DROPOUT).load_pretrained_model(tmp_path) == 10


def test_a_checkpoint_config_comes_once():
    """Two would write into the same folder."""
    with pytest.raises(InvalidArgumentError, match="two CheckpointConfigs"):
        module_of("somewhere", callbacks=[CheckpointConfig()], checkpoint=CheckpointConfig())


def test_a_monitored_metric_that_does_not_come_is_told_once(tmp_path, caplog):
    """With those that came."""
    trained(tmp_path, CheckpointConfig(monitor="bleu", mode="max"), epochs=3)
    assert caplog.text.count("metric 'val_bleu' is not among") == 1
    assert steps_in(tmp_path) == [15]
