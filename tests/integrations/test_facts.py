"""What a run says of its data and its model: types but never data, and the model's size however it is stored."""

import math
from collections import UserDict
from types import SimpleNamespace

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch import distributed
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import TrainerCallback

from fixtures.trainers import build_trainer, gpt2, tokens
from trainstore.integrations.parameters import count_parameters
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.datasets import dataset_facts
from trainstore.integrations.transformers.incomplete import Incomplete


class Records(list):
    """A data set that keeps something as its ``features``."""

    def __init__(self, features):
        super().__init__(tokens(8))
        self.features = features


DATA = {
    "pairs": [("patient 1: text", "label")] * 8,
    "dictionaries": [{"patient": [1]}] * 8,
    "a tensor": torch.zeros(8, 4),
    "names": ["patient", "height"],
    "columns of data": {"text": ["patient 1", "patient 2"]},
    "one record": {"name": "patient 1", "age": 34},
    "one word each": {"name": "patient"},
    "arrays": {"patient": np.zeros(8)},
    "a type and data": {"id": "int64", "name": "patient 1"},
    "data in brackets": {"name": "List(patient)"},
    "text": "patient",
    "nothing": {},
}


@pytest.mark.parametrize("features", DATA.values(), ids=DATA)
def test_data_is_never_recorded_as_features(features):
    """What a data set calls features and is not types is left out; class and size are there."""
    facts = dataset_facts("train", Records(features), Incomplete(None))
    assert facts == {"train_class": "Records", "train_size": 8}


def test_no_training_data_reaches_the_database(store, tmp_path):
    """A training on a data set whose features are its data: class and size are recorded, and nothing of the data."""
    callback = TrainStoreCallback(store)
    data, more = Records([("patient 1: text", "label")]), Records(torch.zeros(8, 4))
    build_trainer(tmp_path, callbacks=[callback], max_steps=1, train_dataset=data, eval_dataset={"more": more}).train()
    run = store.get_run(callback.run_uid)
    train, evaluation = {"train_class": "Records", "train_size": 8}, {"eval_more_class": "Records", "eval_more_size": 8}
    assert run.data_hyperparams == train | evaluation
    assert "incomplete" not in run.environment


TYPES = {
    "names": ({"id": "int64", "at": "timestamp[ns, tz=UTC]"}, {"id": "int64", "at": "timestamp[ns, tz=UTC]"}),
    "nested names": ({"ids": "List(int64)", "x": "list<item: double>"},) * 2,
    "Python": ({"id": int, "names": [str]}, {"id": "int", "names": "[<class 'str'>]"}),
    "NumPy": ({"id": np.dtype("int8"), "x": np.float32}, {"id": "int8", "x": "float32"}),
    "torch": ({"id": torch.int64}, {"id": "torch.int64"}),
    "pandas": ({"id": pd.Int64Dtype(), "kind": pd.CategoricalDtype(["patient"])}, {"id": "Int64", "kind": "category"}),
    "Arrow": (UserDict(id=pa.int64(), ids=pa.large_string()), {"id": "int64", "ids": "large_string"}),
    "datasets": ({"id": datasets.Value("int64")}, {"id": "Value('int64')"}),
}


@pytest.mark.parametrize(("features", "expected"), TYPES.values(), ids=TYPES)
def test_names_with_their_types_are_recorded(features, expected):
    """A mapping of columns to types, whichever library's, is what features are."""
    assert dataset_facts("train", Records(features), Incomplete(None))["train_features"] == expected


def test_a_dataset_of_the_library_shows_all_its_facts():
    """datasets.Dataset: class, size, columns, types however nested, and the fingerprint."""
    made = datasets.Dataset.from_dict({"ids": [[1, 2], [3]], "meta": [{"a": "x"}, {"a": "y"}]})
    assert dataset_facts("eval_one", made, Incomplete(None)) == {
        "eval_one_class": "Dataset",
        "eval_one_size": 2,
        "eval_one_columns": ["ids", "meta"],
        "eval_one_features": {"ids": "List(Value('int64'))", "meta": "{'a': Value('string')}"},
        "eval_one_fingerprint": made._fingerprint,
    }


# --- Parameters -------------------------------------------------------------------------------------------------------


def half_frozen():
    """A model of which the embeddings are not trained: the model, all its parameters, the trained ones."""
    model = gpt2()
    model.transformer.wte.weight.requires_grad = False
    total = sum(parameter.numel() for parameter in model.parameters())
    return model, total, total - model.transformer.wte.weight.numel()


def counts(model):
    return count_parameters(model), count_parameters(model, trainable=True)


@pytest.fixture
def two_ranks():
    """This process as the first of two, whose collectives go nowhere."""
    distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield distributed.device_mesh.init_device_mesh("cpu", (2,))
    distributed.destroy_process_group()


@pytest.mark.parametrize("originals", [True, False], ids=["original parameters", "flat parameters"])
def test_parameters_that_fsdp_flattened_count_whole(two_ranks, originals):
    """FSDP leaves each rank half of every flat parameter; the model has as many parameters as before."""
    model, total, trained = half_frozen()
    if not originals:  # a flat parameter is trained whole or not at all
        model.requires_grad_(True)
        trained = total
    wrapped = FullyShardedDataParallel(
        model,
        device_mesh=two_ranks,
        use_orig_params=originals,
        auto_wrap_policy=ModuleWrapPolicy({type(model.transformer.h[0])}),
        device_id=torch.device("cpu"),
    )
    assert sum(parameter.numel() for parameter in wrapped.parameters()) < total
    assert counts(wrapped) == (total, trained)


def test_parameters_that_fsdp2_sharded_count_whole(two_ranks):
    """A DTensor counts at its full size."""
    model, total, trained = half_frozen()
    fully_shard(model, mesh=two_ranks)
    assert counts(model) == (total, trained)


class Empty(TrainerCallback):
    """When the training begins, takes the parameters' data away, as a partitioned model has none of it."""

    def __init__(self, kept):
        self.kept = kept

    def on_train_begin(self, args, state, control, **kwargs):
        for parameter in self.kept:
            parameter.ds_numel = parameter.numel()
            parameter.data = torch.empty(0)


class Fill(Empty):
    """Gives it back, so that the training can be made without DeepSpeed."""

    def on_train_begin(self, args, state, control, **kwargs):
        for parameter, data in self.kept.items():
            parameter.data = data


def test_parameters_that_zero3_took_away_count_whole(store, tmp_path):
    """DeepSpeed leaves a rank empty parameters that know their size (ds_numel)."""
    model, total, trained = half_frozen()
    kept = {parameter: parameter.data for parameter in model.parameters()}
    callback = TrainStoreCallback(store)
    trainer = build_trainer(tmp_path, model=model, max_steps=1, callbacks=[Empty(kept), callback, Fill(kept)])
    trainer.train()
    facts = store.get_run(callback.run_uid).model_hyperparams
    assert (facts["num_parameters"], facts["num_trainable_parameters"]) == (total, trained)


def test_four_bit_weights_count_as_the_weights_that_they_are():
    """bitsandbytes packs two weights into a byte, and keeps the shape that they had."""
    layer = torch.nn.Linear(8, 6)
    packed = torch.nn.Parameter(torch.zeros(24, 1, dtype=torch.uint8), requires_grad=False)
    packed.quant_state = SimpleNamespace(shape=torch.Size([6, 8]))
    layer.weight = packed
    assert counts(layer) == (math.prod((6, 8)) + 6, 6)
