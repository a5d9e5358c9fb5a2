"""ScalarStop's tables are merged by name, and the row that was modified later counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from fixtures.databases import BACKENDS, opened
from trainstore import TrainStore
from trainstore.transfer.scalarstop import RowsBrought, merge_scalarstop
from trainstore.transfer.sources import Target, open_store


@pytest.fixture(params=BACKENDS)
def other_url(request: pytest.FixtureRequest, new_database: Callable[..., str]) -> str:
    """The other store, on each database in turn."""
    return new_database(request.param)


def merge(source: str, target: str, *, dry_run: bool = False) -> dict[str, RowsBrought]:
    with (
        opened(target) as (engine, backend, models),
        engine.begin() as connection,
        open_store(source, "", Target(backend, models, connection)) as store,
    ):
        return merge_scalarstop(store, connection, models, backend, dry_run=dry_run)


def fill(store: TrainStore, model: str, losses: list[float]) -> None:
    store.insert_datablob_by_str(name="data", group_name="blobs", hyperparams={"rows": 3}, ignore_existing=True)
    store.insert_model_template_by_str(name="net", group_name="nets", hyperparams={"cols": [1]}, ignore_existing=True)
    store.insert_model_by_str(
        name=model, model_class_name="Keras", datablob_name="data", model_template_name="net", ignore_existing=True
    )
    for number, loss in enumerate(losses):
        store.insert_model_epoch(
            epoch_num=number, model_name=model, metrics={"loss": loss}, steps_per_epoch=7, ignore_existing=True
        )


def tables(url: str) -> dict[str, Any]:
    """Everything in the tables, without local ids, in the order of the names."""
    found = {}
    with TrainStore(url) as store:
        for name in ("datablob", "model_template", "model", "model_epoch"):
            table = getattr(store.table, name)
            rows = [dict(row._mapping) for row in store.connection.execute(table.select())]
            for row in rows:
                row.pop("model_epoch_id", None)
            found[name] = sorted(rows, key=str)
    return found


def test_two_stores_have_the_same_rows_in_the_end(database_url: str, other_url: str) -> None:
    """What only one has is brought to the other; the second time nothing changes."""
    with TrainStore(database_url) as one, TrainStore(other_url) as other:
        fill(one, "a", [1.0, math.nan])
        fill(other, "b", [0.25])
    # The data set and the template, which both have, were modified later at the other.
    expected = {"model": RowsBrought(1, 0), "model_epoch": RowsBrought(2, 0)}
    before = tables(other_url)
    assert merge(database_url, other_url, dry_run=True) == expected
    assert tables(other_url) == before
    assert merge(database_url, other_url) == expected
    assert merge(other_url, database_url) == {
        "datablob": RowsBrought(0, 1),
        "model_template": RowsBrought(0, 1),
        "model": RowsBrought(1, 0),
        "model_epoch": RowsBrought(1, 0),
    }
    assert tables(other_url) == tables(database_url)
    losses = [row["model_epoch_metrics"]["loss"] for row in tables(other_url)["model_epoch"]]
    assert sorted(losses, key=str) == [0.25, 1.0, "NaN"]
    assert merge(other_url, database_url) == merge(database_url, other_url) == {}


def test_nan_as_scalarstop_wrote_it(new_database: Callable[..., str], database_url: str) -> None:
    """Bare NaN, which is no JSON, becomes what both databases take."""
    source = new_database("sqlite")
    with TrainStore(source) as store:
        fill(store, "a", [1.0])
        store.connection.exec_driver_sql(
            """UPDATE model_epoch SET model_epoch_metrics = '{"loss": NaN, "n": [Infinity]}'"""
        )
    merge(source, database_url)
    assert tables(database_url)["model_epoch"][0]["model_epoch_metrics"] == {"loss": "NaN", "n": ["Infinity"]}


def test_the_row_that_was_modified_later_counts(database_url: str, other_url: str) -> None:
    """An older state never replaces a newer one; a newer one does, and is counted as updated."""
    with TrainStore(database_url) as one:
        fill(one, "a", [1.0])
    assert merge(database_url, other_url) == {
        name: RowsBrought(1, 0) for name in ("datablob", "model_template", "model", "model_epoch")
    }
    with TrainStore(database_url) as one, one.session() as session:
        session.execute(update(one.models.ModelEpoch).values(model_epoch_metrics={"loss": 9}))
    assert merge(other_url, database_url) == {}
    assert merge(database_url, other_url) == {"model_epoch": RowsBrought(0, 1)}
    assert tables(other_url) == tables(database_url)
    assert tables(other_url)["model_epoch"][0]["model_epoch_metrics"] == {"loss": 9}


def test_a_row_that_cannot_be_read_is_named(new_database: Callable[..., str], database_url: str) -> None:
    """None of these rows is brought then; the runs are."""
    source = new_database("sqlite")
    with TrainStore(source) as store, store.start_run("a"):
        fill(store, "a", [1.0, 2.0])
        store.connection.exec_driver_sql("UPDATE model_epoch SET steps_per_epoch = 'many' WHERE model_epoch_num = 1")
    with TrainStore(database_url) as target:
        report = target.merge(source)
        why = "it is damaged: model_epoch.steps_per_epoch holds 'many', no whole number of 32 bits"
        assert (report.scalarstop, report.scalarstop_refused) == ({}, why)
        assert str(report).splitlines() == [f"{source}: 1 new", f"ScalarStop's tables were not merged: {why}"]
    assert not any(tables(database_url).values())
