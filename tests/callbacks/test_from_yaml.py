"""Callbacks are built from YAML: by Hydra, and by whatever calls a class with keyword arguments."""

import pytest
from omegaconf import OmegaConf

from fixtures.callbacks import FILE, NAMES, build
from trainstore import callbacks as package


def test_every_callback_is_in_the_file():
    """A new one needs an entry in tests/fixtures/callbacks.yaml."""
    assert sorted(set(OmegaConf.load(FILE)) - {"folder"}) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_hydra_builds_it(tmp_path, name):
    """Lists, mappings and nested objects among the arguments."""
    assert type(build(name, tmp_path)) is getattr(package, name)


def test_the_arguments_are_those_of_the_file(tmp_path):
    """They reach the callback as plain values."""
    assert build("DebugCallback", tmp_path).events_to_log == ["on_train_begin", "on_step_end", "on_log", "on_evaluate"]
    assert build("JsonLogger", tmp_path)._config == {"variant": "b", "layers": [1, 2]}
    assert build("GradLogger", tmp_path)._tracked == ["transformer.h.0", "transformer.wte"]
    assert build("ModelCheckpointCallback", tmp_path).output_dir == tmp_path / "best"
    assert build("EarlyStoppingCallback", tmp_path).patience == 3
    textgen = build("TextgenCallback", tmp_path)
    assert (textgen._texts, textgen._settings["top_p"], textgen._every) == (["w3 w4", "w5"], 0.9, 2)
