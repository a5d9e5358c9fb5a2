"""ScalarStop's vocabulary through the facade: data sets, model templates, models and their epochs."""

from __future__ import annotations

import dataclasses
import math
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError, ResourceClosedError

from trainstore import ModelNotFoundError, StoreClosedError, TrainStore
from trainstore.errors import InvalidArgumentError

MODEL_COLUMNS = [
    "model_name",
    "model_class_name",
    "model_last_modified",
    "datablob_name",
    "datablob_group_name",
    "model_template_name",
    "model_template_group_name",
]


@dataclasses.dataclass
class Hyperparams:
    rows: int
    cols: int = 5


@dataclasses.dataclass
class Nested:
    name: str
    group_name: str
    hyperparams: Any


@dataclasses.dataclass
class Appended:
    parent: Nested
    rows: int
    batch_size: int = 2


class Named:
    """What ScalarStop's DataBlob and ModelTemplate have in common."""

    def __init__(self, name: str, hyperparams: Any, group_name: str = "Group") -> None:
        self.name, self.group_name, self.hyperparams = name, group_name, hyperparams


class KerasModel:
    """What the store takes of a ScalarStop model."""

    def __init__(self, datablob: Named, model_template: Named) -> None:
        self.datablob, self.model_template = datablob, model_template
        self.name = f"mt_{model_template.name}__d_{datablob.name}"
        self.history: dict[str, list[float]] = {}

    @property
    def current_epoch(self) -> int:
        return max(map(len, self.history.values()), default=0)

    def fit(self, store: TrainStore | None, losses: list[float]) -> None:
        """The calls that ``KerasModel.fit(train_store=…)`` makes, in their order."""
        if store:
            store.insert_datablob(self.datablob, ignore_existing=True)
            store.insert_model_template(self.model_template, ignore_existing=True)
            store.insert_model(self, ignore_existing=True)
        for loss in losses:
            self.history.setdefault("loss", []).append(loss)
            if store:
                store.insert_model_epoch(
                    epoch_num=self.current_epoch,
                    model_name=self.name,
                    metrics={"loss": loss},
                    steps_per_epoch=None,
                    validation_steps_per_epoch=None,
                    ignore_existing=True,
                )


@pytest.fixture
def model() -> KerasModel:
    return KerasModel(Named("data", Hyperparams(10)), Named("dense", {"units": 2, "optimizer": "adam"}, "Dense"))


@pytest.fixture
def stored(store: TrainStore, model: KerasModel) -> KerasModel:
    model.fit(store, [])
    return model


@pytest.fixture
def grid(store: TrainStore) -> TrainStore:
    """Nine models, three data sets by three templates, each with three epochs of ``score``."""
    for rows in (5, 7, 9):
        for units in (2, 3, 4):
            model = KerasModel(Named(f"d{rows}", {"rows": rows}), Named(f"t{units}", {"units": units}, "Dense"))
            model.fit(store, [])
            for epoch in range(3):
                store.insert_model_epoch(
                    model_name=model.name, epoch_num=epoch, metrics={"score": rows * units * epoch, "loss": 1.0 / rows}
                )
    return store


# --- Data sets and templates ------------------------------------------------------------------------------------------


def test_datablob(store: TrainStore):
    """A data set is stored once, with its hyperparameters as they were passed."""
    before = datetime.now(UTC)
    store.insert_datablob(Named("data", Hyperparams(10)))
    frame = store.list_datablobs()
    assert list(frame.columns) == ["name", "group_name", "hyperparams", "hyperparams_flat", "last_modified"]
    (row,) = frame.to_dict("records")
    assert (row["name"], row["group_name"]) == ("data", "Group")
    assert row["hyperparams"] == row["hyperparams_flat"] == {"rows": 10, "cols": 5}
    assert before <= row["last_modified"] <= datetime.now(UTC)


def test_model_template(store: TrainStore):
    """A template likewise; it has no flat hyperparameters."""
    store.insert_model_template(Named("dense", Hyperparams(10), "Dense"))
    frame = store.list_model_templates()
    assert list(frame.columns) == ["name", "group_name", "hyperparams", "last_modified"]
    assert frame.drop(columns="last_modified").to_dict("records") == [
        {"name": "dense", "group_name": "Dense", "hyperparams": {"rows": 10, "cols": 5}}
    ]


@pytest.mark.parametrize("what", ["datablob", "model_template"])
def test_existing_name(store: TrainStore, what: str):
    """The same name again is SQLAlchemy's IntegrityError, or nothing where that is asked for."""
    by_str = getattr(store, f"insert_{what}_by_str")
    listed = getattr(store, f"list_{what}s")
    by_str(name="x", group_name="first", hyperparams={"a": 1})
    first = listed()
    with pytest.raises(IntegrityError):
        by_str(name="x", group_name="second", hyperparams=None)
    with pytest.raises(IntegrityError):
        getattr(store, f"insert_{what}")(Named("x", None))
    by_str(name="x", group_name="second", hyperparams=None, ignore_existing=True)
    assert listed().to_dict("records") == first.to_dict("records")


@pytest.mark.parametrize("what", ["datablob", "model_template"])
def test_filters(store: TrainStore, what: str):
    """By name or by group, one or several; an empty list asks for all, as in ScalarStop; both together cannot be."""
    for name, group in (("a", "G"), ("b", "G"), ("c", "H")):
        getattr(store, f"insert_{what}_by_str")(name=name, group_name=group, hyperparams=None)

    def names(**arguments: Any) -> list[str]:
        return getattr(store, f"list_{what}s")(**{f"{what}_{key}": value for key, value in arguments.items()})[
            "name"
        ].tolist()

    assert names() == names(name=[]) == names(group_name=None) == ["a", "b", "c"]
    assert names(name="b") == ["b"]
    assert names(name=["c", "a"]) == ["a", "c"]
    assert names(group_name="G") == ["a", "b"]
    assert names(group_name=("G", "H")) == ["a", "b", "c"]
    assert names(name="nobody") == []
    with pytest.raises(ValueError, match=f"{what}_name 'a' and {what}_group_name 'G'"):
        names(name="a", group_name="G")


def test_parent_is_flattened(store: TrainStore):
    """The hyperparameters of what a data set was made from count too; the child's win; nothing passed is changed."""
    grandparent = Nested("g", "G", Hyperparams(1, cols=7))
    dataclass = Appended(parent=Nested("p", "P", Appended(grandparent, rows=2, batch_size=3)), rows=4)
    mapping = dataclasses.asdict(dataclass)
    copy = dataclasses.asdict(dataclass)
    store.insert_datablob_by_str(name="dataclass", group_name="D", hyperparams=dataclass)
    store.insert_datablob_by_str(name="mapping", group_name="D", hyperparams=mapping)
    assert mapping == copy
    for row in store.list_datablobs().to_dict("records"):
        assert row["hyperparams"] == copy
        assert row["hyperparams_flat"] == {"cols": 7, "rows": 4, "batch_size": 2}


@pytest.mark.parametrize("parent", ["a name", 0, {"hyperparams": 3}, {"units": 1}])
def test_hyperparameter_called_parent(store: TrainStore, parent: Any):
    """A parent without hyperparameters is a hyperparameter like others, or none where it is nothing."""
    store.insert_datablob_by_str(name="x", group_name="D", hyperparams={"parent": parent, "a": 1})
    (row,) = store.list_datablobs().to_dict("records")
    assert row["hyperparams"] == {"parent": parent, "a": 1}
    assert row["hyperparams_flat"] == ({"parent": parent, "a": 1} if parent else {"a": 1})


def test_hyperparameters_of_any_kind(store: TrainStore):
    """None is none; pairs are a mapping; values that JSON has not come back as they were; secrets do not."""
    for name, hyperparams in {
        "none": None,
        "pairs": [("a", 1)],
        "values": {
            "nan": math.nan,
            "f32": np.float32(0.5),
            "path": Path("x/y"),
            "big": 2**80,
            "hub_token": "hf_secret",
        },
    }.items():
        store.insert_datablob_by_str(name=name, group_name="D", hyperparams=hyperparams)
    none, pairs, values = store.list_datablobs()["hyperparams"]
    assert (none, pairs) == ({}, {"a": 1})
    assert math.isnan(values.pop("nan"))
    assert values == {"f32": 0.5, "path": "x/y", "big": 2**80, "hub_token": "[redacted]"}


@pytest.mark.parametrize("hyperparams", [3, "text", [1, 2], Hyperparams])
def test_hyperparameters_that_are_none(store: TrainStore, hyperparams: Any):
    """What is no set of names and values is refused by its name."""
    for function in (store.insert_datablob_by_str, store.insert_model_template_by_str):
        with pytest.raises(InvalidArgumentError, match=r"hyperparams .* is neither a mapping nor a dataclass"):
            function(name="x", group_name="g", hyperparams=hyperparams)
    assert store.list_datablobs().empty


def test_hyperparameters_that_were_pickled_by_value(store: TrainStore, tmp_path: Path):
    """A dataclass that was pickled with its class, as ScalarStop saves data sets, has fields of another kind."""
    fields = Hyperparams.__dataclass_fields__
    clone = dataclasses.make_dataclass("Clone", ["rows", "cols"])
    for name in fields:
        clone.__dataclass_fields__[name]._field_type = type("_FIELD_BASE", (), {"__repr__": lambda _: "_FIELD"})()
    assert dataclasses.fields(clone) == ()
    store.insert_datablob_by_str(name="x", group_name="g", hyperparams=clone(1, 2))
    assert store.list_datablobs()["hyperparams"].tolist() == [{"rows": 1, "cols": 2}]


# --- Models -----------------------------------------------------------------------------------------------------------


def test_model(store: TrainStore, stored: KerasModel):
    """A model with what it is trained on and made from, hyperparameters included."""
    frame = store.list_models()
    assert list(frame.columns[:7]) == MODEL_COLUMNS
    assert {*frame.columns[7:9]} == {"dbh__rows", "dbh__cols"}  # PostgreSQL keeps no order of an object's keys
    assert {*frame.columns[9:]} == {"mth__units", "mth__optimizer"}
    (row,) = frame.drop(columns="model_last_modified").to_dict("records")
    assert row == {
        "model_name": "mt_dense__d_data",
        "model_class_name": "KerasModel",
        "datablob_name": "data",
        "datablob_group_name": "Group",
        "model_template_name": "dense",
        "model_template_group_name": "Dense",
        "dbh__rows": 10,
        "dbh__cols": 5,
        "mth__units": 2,
        "mth__optimizer": "adam",
    }


def test_existing_model(store: TrainStore, stored: KerasModel):
    """Its name is unique; a data set that is not there is an error whatever is ignored."""
    with pytest.raises(IntegrityError):
        store.insert_model(stored)
    store.insert_model(stored, ignore_existing=True)
    for ignored in (False, True):
        with pytest.raises(IntegrityError):
            store.insert_model_by_str(
                name="new",
                model_class_name="K",
                datablob_name="nobody's",
                model_template_name="dense",
                ignore_existing=ignored,
            )
    assert len(store.list_models()) == 1


def test_model_filters(grid: TrainStore):
    """By data set and by template, each by name or group."""
    assert len(grid.list_models()) == 9
    assert len(grid.list_models(datablob_name="d5")) == 3
    assert len(grid.list_models(datablob_name=["d5", "d7"], model_template_name="t2")) == 2
    assert len(grid.list_models(datablob_group_name="Group", model_template_group_name=["Dense"])) == 9
    assert grid.list_models(model_template_group_name="nobody's").empty
    for function in (grid.list_models, grid.list_models_grouped_by_epoch_metric, grid.get_best_model):
        ranked = {} if function == grid.list_models else {"metric_name": "score", "metric_direction": "max"}
        with pytest.raises(ValueError, match="datablob_name 'd5' and datablob_group_name 'Group'"):
            function(**ranked, datablob_name="d5", datablob_group_name="Group")
        with pytest.raises(ValueError, match="model_template_name 't2' and model_template_group_name 'Dense'"):
            function(**ranked, model_template_name="t2", model_template_group_name="Dense")


def test_hyperparameters_that_some_models_have(store: TrainStore):
    """Data sets' columns stand before templates', NaN where a model has none; a template's parent is no columns."""
    KerasModel(Named("d1", {"a": 1}), Named("t1", {"x": 1, "parent": {"hyperparams": {"y": 2}}})).fit(store, [])
    KerasModel(Named("d2", {"b": "text"}), Named("t2", {"x": 2})).fit(store, [])
    frame = store.list_models()
    assert list(frame.columns)[:9] == [*MODEL_COLUMNS, "dbh__a", "dbh__b"]
    assert set(frame.columns[9:]) == {"mth__x", "mth__parent"}
    assert frame["dbh__a"].tolist()[0] == 1.0
    assert math.isnan(frame["dbh__a"].tolist()[1])
    assert frame["dbh__b"].tolist()[1] == "text"
    assert frame["mth__parent"].tolist()[0] == {"hyperparams": {"y": 2}}


# --- Epochs -----------------------------------------------------------------------------------------------------------


def test_epoch(store: TrainStore, stored: KerasModel):
    """An epoch's metrics; ints stay ints; steps are None where nobody said."""
    store.insert_model_epoch(model_name=stored.name, epoch_num=0, metrics={"loss": 3, "accuracy": 5})
    frame = store.list_model_epochs()
    assert list(frame.columns[:5]) == [
        "epoch_num",
        "model_name",
        "last_modified",
        "steps_per_epoch",
        "validation_steps_per_epoch",
    ]
    (row,) = frame.drop(columns="last_modified").to_dict("records")
    assert row == {
        "epoch_num": 0,
        "model_name": stored.name,
        "steps_per_epoch": None,
        "validation_steps_per_epoch": None,
        "metric__loss": 3,
        "metric__accuracy": 5,
    }


def test_existing_epoch(store: TrainStore, stored: KerasModel):
    """A number once a model; an epoch of no model is an error whatever is ignored."""
    arguments = {"model_name": stored.name, "epoch_num": 1, "steps_per_epoch": 7}
    store.insert_model_epoch(**arguments, metrics={"loss": 1.0})
    with pytest.raises(IntegrityError):
        store.insert_model_epoch(**arguments, metrics={})
    store.insert_model_epoch(**arguments, metrics={"loss": 2.0}, ignore_existing=True)
    frame = store.list_model_epochs(stored.name)
    assert frame["metric__loss"].tolist() == [1.0]
    assert frame["steps_per_epoch"].tolist() == [7]
    for ignored in (False, True):
        with pytest.raises(IntegrityError):
            store.insert_model_epoch(model_name="nobody", epoch_num=1, metrics={}, ignore_existing=ignored)


def test_metrics_of_any_kind(store: TrainStore, stored: KerasModel):
    """NumPy scalars, NaN, infinity and None are stored as they are; what is no mapping is refused."""
    metrics = {"f32": np.float32(0.5), "nan": math.nan, "inf": -math.inf, "none": None, "odd.na$me \"'": 1}
    store.insert_model_epoch(model_name=stored.name, epoch_num=1, metrics=metrics)
    (row,) = store.list_model_epochs().to_dict("records")
    assert row["metric__f32"] == 0.5
    assert math.isnan(row["metric__nan"])
    assert row["metric__inf"] == -math.inf
    assert row["metric__none"] is None
    assert row["metric__odd.na$me \"'"] == 1
    with pytest.raises(InvalidArgumentError, match="metrics 3"):
        store.insert_model_epoch(model_name=stored.name, epoch_num=2, metrics=3)


def test_numpy_integers(store: TrainStore, stored: KerasModel):
    """The numbers of an epoch may be NumPy's, as a data set's cardinality is; SQLite would keep their bytes."""
    store.insert_model_epoch(
        epoch_num=np.int64(1),
        model_name=stored.name,
        metrics={"loss": 1.0},
        steps_per_epoch=np.int32(7),
        validation_steps_per_epoch=3.0,
    )
    epochs = store.list_model_epochs()
    assert epochs[["epoch_num", "steps_per_epoch", "validation_steps_per_epoch"]].to_numpy().tolist() == [[1, 7, 3]]
    assert store.get_current_epoch(stored.name) == 1


def test_numbers_of_an_epoch_that_cannot_be(store: TrainStore, stored: KerasModel):
    """A number that a database would refuse, round or keep as a text is refused by its name on both."""
    for field in ("epoch_num", "steps_per_epoch", "validation_steps_per_epoch"):
        for value in ("one", 1.5, math.nan, 2**31, -(2**70), [1]):
            arguments = {"epoch_num": 1, "model_name": stored.name, "metrics": {}, field: value}
            with pytest.raises(InvalidArgumentError, match=field):
                store.insert_model_epoch(**arguments)
    assert store.list_model_epochs().empty


def test_names_of_any_text(store: TrainStore):
    """Text that a database cannot hold (NUL, half a character) is escaped, and is found again by the same name."""
    for name in ("a\0b", "a\udc80b", "é🎉 ' \" %s {p}"):
        store.insert_datablob_by_str(name=name, group_name=name, hyperparams=None)
        store.insert_model_template_by_str(name=name, group_name=name, hyperparams=None)
        store.insert_model_by_str(name=name, model_class_name="K", datablob_name=name, model_template_name=name)
        store.insert_model_epoch(epoch_num=4, model_name=name, metrics={})
        assert len(store.list_datablobs(datablob_name=name)) == 1
        assert len(store.list_models(model_template_group_name=[name])) == 1
        assert len(store.list_model_epochs(name)) == 1
        assert store.get_current_epoch(name) == 4


def test_names_that_are_no_text(store: TrainStore):
    """They are refused by a message that shows them; arrays of texts are lists of texts."""
    with pytest.raises(InvalidArgumentError, match="name 5"):
        store.insert_datablob_by_str(name=5, group_name="g", hyperparams=None)
    with pytest.raises(InvalidArgumentError, match="datablob_name 5"):
        store.list_datablobs(datablob_name=5)
    with pytest.raises(InvalidArgumentError, match="model_name 5"):
        store.list_model_epochs([5])
    with pytest.raises(IntegrityError):
        store.insert_datablob_by_str(name=None, group_name="g", hyperparams=None)
    store.insert_datablob_by_str(name="there", group_name="g", hyperparams=None)
    assert len(store.list_datablobs(datablob_name=np.array(["there", "elsewhere"]))) == 1


def test_epochs_of_several_models(grid: TrainStore):
    """In the order of their numbers; of one model, of some, of all."""
    assert grid.list_model_epochs("mt_t2__d_d5")["epoch_num"].tolist() == [0, 1, 2]
    assert grid.list_model_epochs(["mt_t2__d_d5", "mt_t3__d_d5"])["epoch_num"].tolist() == [0, 0, 1, 1, 2, 2]
    assert len(grid.list_model_epochs()) == 27
    assert grid.list_model_epochs("nobody").empty


def test_bulk_insert(store: TrainStore, model: KerasModel):
    """Epochs that were not logged are added under the numbers that fit gives; those that were stay, none twice."""
    model.fit(None, [9.0, 8.0, 7.0])
    model.fit(store, [6.0, 5.0, 4.0])
    logged = store.list_model_epochs(model.name)
    assert logged["epoch_num"].tolist() == [4, 5, 6]
    model.fit(None, [3.0, 2.0, 1.0])
    store.bulk_insert_model_epochs(model)
    frame = store.list_model_epochs(model.name)
    assert frame["epoch_num"].tolist() == list(range(1, 10))
    assert frame["metric__loss"].tolist() == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert frame["last_modified"][3:6].tolist() == logged["last_modified"].tolist()
    store.bulk_insert_model_epochs(model)
    assert len(store.list_model_epochs(model.name)) == 9


def test_bulk_insert_of_uneven_history(store: TrainStore, stored: KerasModel):
    """A metric that began late has no value in earlier epochs; a model without epochs has nothing to insert."""
    store.bulk_insert_model_epochs(stored)
    assert store.list_model_epochs().empty
    stored.history = {"loss": [2.0, 1.0], "accuracy": [0.5]}
    store.bulk_insert_model_epochs(stored)
    frame = store.list_model_epochs()
    assert frame["metric__loss"].tolist() == [2.0, 1.0]
    assert frame["metric__accuracy"].isna().tolist() == [False, True]


def test_bulk_insert_of_an_unknown_model(store: TrainStore, model: KerasModel):
    """Its model must be stored."""
    model.history = {"loss": [1.0]}
    with pytest.raises(IntegrityError):
        store.bulk_insert_model_epochs(model)


def test_current_epoch(store: TrainStore, stored: KerasModel):
    """The highest number, not how many; 0 for a model without epochs, and for no model."""
    assert store.get_current_epoch(stored.name) == 0
    store.insert_model_epoch(model_name=stored.name, epoch_num=500, metrics={})
    assert store.get_current_epoch(stored.name) == 500
    assert store.get_current_epoch("nobody") == 0
    with pytest.raises(ValueError, match="one model"):
        store.get_current_epoch([stored.name])


# --- The best ---------------------------------------------------------------------------------------------------------


def test_grouped_by_metric(grid: TrainStore):
    """A row a model, by its best epoch, the best first, with ScalarStop's columns."""
    frame = grid.list_models_grouped_by_epoch_metric(metric_name="score", metric_direction="max")
    assert list(frame.columns) == [*MODEL_COLUMNS, "sort_metric_value", "dbh__rows", "mth__units"]
    assert frame["sort_metric_value"].tolist() == [72, 56, 54, 42, 40, 36, 30, 28, 20]
    lowest = grid.list_models_grouped_by_epoch_metric(metric_name="score", metric_direction="min", datablob_name="d5")
    assert lowest["sort_metric_value"].tolist() == [0, 0, 0]
    assert lowest["model_name"].tolist() == ["mt_t2__d_d5", "mt_t3__d_d5", "mt_t4__d_d5"]


def test_best_model(grid: TrainStore):
    """A record of thirteen fields, with all metrics of the winning epoch."""
    best = grid.get_best_model(
        metric_name="score", metric_direction="max", datablob_group_name="Group", model_template_group_name="Dense"
    )
    record = dataclasses.asdict(best)
    assert record.pop("model_last_modified").tzinfo is not None
    assert record == {
        "model_name": "mt_t4__d_d9",
        "model_class_name": "KerasModel",
        "model_epoch_metrics": {"score": 72, "loss": 1.0 / 9},
        "datablob_name": "d9",
        "datablob_group_name": "Group",
        "datablob_hyperparams": {"rows": 9},
        "datablob_hyperparams_flat": {"rows": 9},
        "model_template_name": "t4",
        "model_template_group_name": "Dense",
        "model_template_hyperparams": {"units": 4},
        "sort_metric_name": "score",
        "sort_metric_value": 72,
    }
    assert len({best, best}) == 1
    assert pickle.loads(pickle.dumps(best)) == best


@pytest.mark.parametrize("direction", ["min", "max"])
def test_no_finite_value_never_wins(store: TrainStore, direction: str):
    """Models without the metric, with NaN or text are last in both directions, and never the best."""
    for name, values in {
        "without": [{"other": 1.0}],
        "nan": [{"loss": math.nan}, {"loss": math.inf}, {"loss": -math.inf}],
        "text": [{"loss": "low"}, {"loss": None}, {"loss": True}],
        "good": [{"loss": math.nan}, {"loss": 2.0}, {"other": 9.0}],
        "empty": [],
    }.items():
        model = KerasModel(Named(f"d-{name}", None), Named("t", None))
        model.fit(store, [])
        for place, metrics in enumerate(values):
            store.insert_model_epoch(model_name=model.name, epoch_num=place, metrics=metrics)
    frame = store.list_models_grouped_by_epoch_metric(metric_name="loss", metric_direction=direction)
    assert frame["datablob_name"].tolist() == ["d-good", "d-without", "d-nan", "d-text"]
    assert frame["sort_metric_value"].isna().tolist() == [False, True, True, True]
    best = store.get_best_model(metric_name="loss", metric_direction=direction)
    assert (best.datablob_name, best.sort_metric_value) == ("d-good", 2.0)
    assert math.isclose(best.model_epoch_metrics["loss"], 2.0)
    with pytest.raises(ModelNotFoundError, match="'loss'"):
        store.get_best_model(metric_name="loss", metric_direction=direction, datablob_name="d-nan")


def test_no_best_model(store: TrainStore, stored: KerasModel):
    """Nothing there is an error that ScalarStop's callers, too, can catch."""
    for error in (ModelNotFoundError, LookupError, TypeError):
        with pytest.raises(error, match="none of these 1 models has an epoch with a finite 'loss'"):
            store.get_best_model(metric_name="loss", metric_direction="min")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"metric_name": "loss", "metric_direction": "up"}, "metric_direction 'up' is neither"),
        ({"metric_name": "loss", "metric_direction": ""}, "metric_direction '' is neither"),
        ({"metric_name": "", "metric_direction": "min"}, "metric_name ''"),
    ],
)
def test_ranking_that_cannot_be(grid: TrainStore, arguments: dict[str, str], match: str):
    """Both arguments are needed."""
    for function in (grid.list_models_grouped_by_epoch_metric, grid.get_best_model):
        with pytest.raises(ValueError, match=match):
            function(**arguments)


# --- The store --------------------------------------------------------------------------------------------------------


def test_empty_store(store: TrainStore):
    """No rows, but the columns that a caller may name."""
    ranking = {"metric_name": "loss", "metric_direction": "min"}
    assert list(store.list_models().columns) == MODEL_COLUMNS
    assert list(store.list_models_grouped_by_epoch_metric(**ranking).columns) == [*MODEL_COLUMNS, "sort_metric_value"]
    assert list(store.list_model_epochs().columns)[:3] == ["epoch_num", "model_name", "last_modified"]
    assert store.list_datablobs().empty
    assert store.list_model_templates().empty


def test_drop_all_through_the_connection(database_url: str, model: KerasModel):
    """As ScalarStop's own tests begin: a free transaction on the connection drops every table; opening makes them."""
    with TrainStore(connection_string=database_url) as store:
        model.fit(store, [1.0])
        store.list_models()
        with store.connection.begin():
            store.table.metadata.drop_all(store.connection)
        assert inspect(store.engine).get_table_names() == []
    with TrainStore(connection_string=database_url) as store:
        assert store.list_models().empty
        model.fit(store, [1.0])
        assert len(store.list_models()) == 1


def test_own_inserts_through_the_tables(store: TrainStore):
    """Rows that a caller inserts or changes by SQLAlchemy are dated by themselves."""
    table = store.table.datablob
    with store.connection.begin():
        store.connection.execute(
            table.insert().values(datablob_name="x", datablob_group_name="g", datablob_hyperparams={"a": 1})
        )
    (before,) = store.list_datablobs()["last_modified"]
    with store.connection.begin():
        store.connection.execute(table.update().values(datablob_group_name="h"))
    (row,) = store.list_datablobs().to_dict("records")
    assert row["group_name"] == "h"
    assert row["hyperparams_flat"] == {"a": 1}
    assert row["last_modified"] > before


def test_prefixes_keep_apart(empty_database_url: str, model: KerasModel):
    """Two prefixes in one database are two stores."""
    with (
        TrainStore(empty_database_url, table_name_prefix="one__") as one,
        TrainStore(empty_database_url, table_name_prefix="two__") as two,
    ):
        model.fit(one, [1.0])
        assert len(one.list_models()) == 1
        assert two.list_models().empty
        names = inspect(one.engine).get_table_names()
        assert {"one__datablob", "one__model", "two__model_epoch", "two__model_template"} <= set(names)


def test_closed_store(database_url: str, model: KerasModel):
    """Everything raises our error, which is also the one that SQLAlchemy raised for ScalarStop's callers."""
    with TrainStore(database_url) as store:
        model.fit(store, [1.0])
    for function in (
        store.list_datablobs,
        store.list_models,
        store.list_model_epochs,
        lambda: store.insert_model(model),
        lambda: store.connection,
    ):
        with pytest.raises(StoreClosedError) as closed:
            function()
        assert isinstance(closed.value, ResourceClosedError)


def test_store_is_true(store: TrainStore):
    """ScalarStop asks ``if train_store:``; an empty one is one all the same."""
    assert store


def test_echo(empty_database_url: str, caplog: pytest.LogCaptureFixture):
    """Every statement is logged where that is asked for, and else none."""
    for echo in (False, True):
        with TrainStore(empty_database_url, echo=echo) as store:
            caplog.clear()
            store.list_datablobs()
            assert any("datablob" in record.message for record in caplog.records) is echo
