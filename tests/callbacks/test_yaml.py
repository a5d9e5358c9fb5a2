"""Callbacks from YAML: the file that docs/callbacks.md shows, and Forgather's tags."""

import re
from pathlib import Path

import pytest
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fixtures.trainers import tokenizer
from trainstore import TrainStore
from trainstore import callbacks as package
from trainstore.integrations.transformers import TrainStoreCallback

PAGE = (Path(__file__).parents[2] / "docs/callbacks.md").read_text(encoding="utf-8")
HYDRA, FORGATHER = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OURS = {getattr(package, name) for name in package.__all__} - {package.Callback}


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The callbacks of the page's file, built by Hydra in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRAINSTORE_URL", raising=False)
    Path("callbacks.yaml").write_text(HYDRA, encoding="utf-8")
    return list(instantiate(OmegaConf.load("callbacks.yaml")).callbacks)


def test_hydra_builds_every_callback(built):
    """The file has each of them, and their arguments arrive as plain values."""
    assert {type(one) for one in built} == OURS | {TrainStoreCallback}
    by_type = {type(one): one for one in built}
    assert by_type[package.TextgenCallback]._texts == ["Once upon a time", "The king said"]
    assert by_type[package.TextgenCallback]._settings["top_p"] == 0.9
    assert by_type[package.GradLogger]._tracked == ["transformer.h.0", "lm_head"]


def test_what_hydra_built_trains(built, make_trainer):
    """All of them together, in a training."""
    for one in built:
        if isinstance(one, package.TextgenCallback):
            one._tokenizer, one._every, one._settings = tokenizer(), 2, {"max_new_tokens": 4}
    make_trainer(callbacks=built, max_steps=4).train()
    with TrainStore("trainstore.db") as store:
        (run,) = store.list_runs(project="stories")["uid"]
        assert len(store.list_step_logs(run)) == 4
        assert store.list_samples(run)["step"].unique().tolist() == [2, 4]
    assert Path("log.jsonl").exists()


class Tagged(yaml.SafeLoader):
    """Reads ``!singleton:module:Name`` as Forgather does: the name is called with the mapping below it."""


def _singleton(loader, suffix, node):
    module, _, name = suffix.partition(":")
    arguments = loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else {}
    return instantiate({"_target_": f"{module}.{name}", **arguments})


Tagged.add_multi_constructor("!singleton:", _singleton)


def test_forgathers_tags_build_callbacks(tmp_path, monkeypatch):
    """Its template's list, without the lines of its own language."""
    monkeypatch.chdir(tmp_path)
    lines = [line for line in FORGATHER.splitlines() if not line.strip().startswith(("[", "=="))]
    built = yaml.load("\n".join(lines), Tagged)
    assert [type(one) for one in built.values()] == [TrainStoreCallback, package.TextgenCallback, package.GradLogger]
    assert built["textgen"]._every == 500
