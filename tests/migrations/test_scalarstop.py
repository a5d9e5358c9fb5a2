"""Databases that ScalarStop itself wrote, in each of its versions, become stores of ours and keep their rows."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import inspect, text

from fixtures.databases import migrate, opened
from fixtures.snapshots import dump
from trainstore import TrainStore, schema
from trainstore.errors import SchemaForeignError

PREFIX = "scalarstop__"

# As each version's create_all made them. {json} and {time} are what its columns became on the two databases, and so
# is {serial}; the names of the constraints are the databases' own.
TABLES = """
CREATE TABLE {p}datablob (
    datablob_name TEXT NOT NULL, datablob_group_name TEXT NOT NULL, datablob_hyperparams {json} NOT NULL,
    datablob_last_modified {time} NOT NULL{flat}, PRIMARY KEY (datablob_name));
CREATE TABLE {p}model_template (
    model_template_name TEXT NOT NULL, model_template_group_name TEXT NOT NULL,
    model_template_hyperparams {json} NOT NULL, model_template_last_modified {time} NOT NULL,
    PRIMARY KEY (model_template_name));
CREATE TABLE {p}model (
    model_name TEXT NOT NULL, model_class_name TEXT NOT NULL, model_last_modified {time} NOT NULL,
    datablob_name TEXT NOT NULL, model_template_name TEXT NOT NULL, PRIMARY KEY (model_name),
    FOREIGN KEY(datablob_name) REFERENCES {p}datablob (datablob_name) ON DELETE CASCADE ON UPDATE CASCADE,
    FOREIGN KEY(model_template_name) REFERENCES {p}model_template (model_template_name)
        ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE {p}model_epoch (
    model_epoch_id {serial} NOT NULL, model_epoch_num INTEGER NOT NULL, model_name TEXT NOT NULL,
    model_epoch_metrics {json} NOT NULL, model_epoch_last_modified {time} NOT NULL{steps},
    PRIMARY KEY (model_epoch_id), UNIQUE (model_epoch_num, model_name),
    FOREIGN KEY(model_name) REFERENCES {p}model (model_name) ON DELETE CASCADE ON UPDATE CASCADE)
"""
ROWS = """
INSERT INTO {p}datablob (datablob_name, datablob_group_name, datablob_hyperparams, datablob_last_modified)
    VALUES ('digits', 'Images', '{{"rows": 3, "scale": 5.0}}', '2021-03-04 05:06:07.000008');
INSERT INTO {p}model_template VALUES ('dense', 'Dense', '{{"units": 7}}', '2021-03-04 05:06:08.000000');
INSERT INTO {p}model VALUES ('dense-digits', 'KerasModel', '2021-03-04 05:06:09.000000', 'digits', 'dense');
INSERT INTO {p}model_epoch (model_epoch_num, model_name, model_epoch_metrics, model_epoch_last_modified)
    VALUES (1, 'dense-digits', '{{"loss": 0.5, "accuracy": 1}}', '2021-03-04 05:06:10.000000');
INSERT INTO {p}model_epoch (model_epoch_num, model_name, model_epoch_metrics, model_epoch_last_modified)
    VALUES (2, 'dense-digits', '{{"loss": 0.25, "accuracy": 1}}', '2021-03-04 05:06:11.000000')
"""
VERSIONS = {
    "0.2.3": {"flat": "", "steps": ""},
    "1.0.0": {"flat": ", datablob_hyperparams_flat {json}", "steps": ""},
    "4.0.0": {
        "flat": ", datablob_hyperparams_flat {json}",
        "steps": ", steps_per_epoch INTEGER, validation_steps_per_epoch INTEGER",
    },
}
TYPES = {
    "sqlite": {"json": "JSON", "time": "DATETIME", "serial": "INTEGER"},
    "postgresql": {"json": "JSONB", "time": "TIMESTAMP WITH TIME ZONE", "serial": "SERIAL"},
}


def execute(url: str, statements: str) -> None:
    with opened(url) as (engine, _, _), engine.begin() as connection:
        connection.execute(text("SET TIME ZONE 'UTC'")) if engine.name == "postgresql" else None
        for statement in statements.split(";"):
            connection.exec_driver_sql(statement)


def written_by_scalarstop(url: str, version: str, prefix: str = PREFIX) -> None:
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    parts = {name: part.format(**TYPES[kind]) for name, part in VERSIONS[version].items()}
    execute(url, TABLES.format(p=prefix, **TYPES[kind], **parts))
    execute(url, ROWS.format(p=prefix))


def whole_schema(url: str) -> list[str]:
    """Line by line: where a column stands in a table is the one thing that may differ."""
    with opened(url) as (engine, _, _), engine.connect() as connection:
        return sorted(line.strip(" ,") for line in dump(connection).splitlines())


@pytest.mark.parametrize("prefix", [PREFIX, ""])
@pytest.mark.parametrize("version", VERSIONS)
def test_rows_are_kept(empty_database_url: str, version: str, prefix: str):
    """What ScalarStop stored is shown as ScalarStop shows it, and more can be stored beside it."""
    written_by_scalarstop(empty_database_url, version, prefix)
    with TrainStore(empty_database_url, table_name_prefix=prefix) as store:
        (datablob,) = store.list_datablobs().to_dict("records")
        assert datablob["hyperparams"] == datablob["hyperparams_flat"] == {"rows": 3, "scale": 5.0}
        assert datablob["last_modified"].isoformat() == "2021-03-04T05:06:07.000008+00:00"
        (model,) = store.list_models().to_dict("records")
        assert (model["model_name"], model["dbh__rows"], model["mth__units"]) == ("dense-digits", 3, 7)
        epochs = store.list_model_epochs("dense-digits")
        assert epochs["epoch_num"].tolist() == [1, 2]
        assert epochs["metric__loss"].tolist() == [0.5, 0.25]
        assert epochs["steps_per_epoch"].tolist() == [None, None]
        store.insert_model_epoch(
            epoch_num=3, model_name="dense-digits", metrics={"loss": 1.0}, steps_per_epoch=10, ignore_existing=True
        )
        assert store.get_current_epoch("dense-digits") == 3
        assert store.get_best_model(metric_name="loss", metric_direction="min").model_epoch_metrics["loss"] == 0.25
        with store.start_run(model_name="dense-digits") as run:
            run.log({"loss": 1.0})
        assert store.get_run(run).model_name == "dense-digits"


@pytest.mark.parametrize("version", VERSIONS)
def test_schema_is_ours(new_database: Callable[..., str], backend_name: str, version: str):
    """Afterwards the database is one that we might have made: to the last constraint's name."""
    theirs, ours = (new_database(backend_name, migrated=False) for _ in range(2))
    written_by_scalarstop(theirs, version)
    migrate(theirs, PREFIX)
    migrate(ours, PREFIX)
    assert whole_schema(theirs) == whole_schema(ours)
    with opened(theirs, PREFIX) as database:
        assert schema.check(*database) == []


def test_references_still_cascade(empty_database_url: str):
    """A data set that is deleted takes its models and their epochs along, as before."""
    written_by_scalarstop(empty_database_url, "0.2.3")
    with TrainStore(empty_database_url, table_name_prefix=PREFIX) as store:
        with store.connection.begin():
            store.connection.execute(store.table.datablob.delete())
        assert store.list_models().empty
        assert store.list_model_epochs().empty


def test_what_others_built_on_them_stays(empty_database_url: str):
    """Views, indexes and references that somebody added to ScalarStop's tables work as before."""
    written_by_scalarstop(empty_database_url, "0.2.3")
    execute(
        empty_database_url,
        f"CREATE VIEW latest AS SELECT model_name, max(model_epoch_num) AS epoch FROM {PREFIX}model_epoch "
        f"GROUP BY model_name; CREATE INDEX by_time ON {PREFIX}model_epoch (model_epoch_last_modified);"
        f"CREATE TABLE grade (model_name TEXT REFERENCES {PREFIX}model ON DELETE CASCADE, grade INTEGER);"
        "INSERT INTO grade VALUES ('dense-digits', 1)",
    )
    with TrainStore(empty_database_url, table_name_prefix=PREFIX) as store, store.engine.connect() as connection:
        assert "by_time" in {index["name"] for index in inspect(connection).get_indexes(f"{PREFIX}model_epoch")}
        assert connection.execute(text("SELECT * FROM latest")).all() == [("dense-digits", 2)]
        connection.execute(text("INSERT INTO grade VALUES ('dense-digits', 2)"))
        connection.execute(text(f"DELETE FROM {PREFIX}model"))
        assert connection.execute(text("SELECT count(*) FROM grade")).scalar_one() == 0


def test_bare_nan_is_read(tmp_path: Path):
    """ScalarStop put NaN into SQLite bare, which SQLite's JSON functions refuse; nothing of the kind stays."""
    path = tmp_path / "theirs.sqlite3"
    written_by_scalarstop(f"sqlite:///{path}", "4.0.0")
    with sqlite3.connect(path) as connection:
        connection.execute(f"""UPDATE {PREFIX}model_epoch SET model_epoch_metrics = '{{"loss": NaN, "x": Infinity}}'
                               WHERE model_epoch_num = 2""")
    connection.close()
    with TrainStore(path, table_name_prefix=PREFIX) as store:
        epochs = store.list_model_epochs()
        assert epochs["metric__loss"].isna().tolist() == [False, True]
        assert epochs["metric__x"].tolist()[1] == float("inf")
        assert store.get_best_model(metric_name="loss", metric_direction="min").sort_metric_value == 0.5
        valid = text(f"SELECT count(*) FROM {PREFIX}model_epoch WHERE json_valid(model_epoch_metrics)")
        with store.connection.begin():
            assert store.connection.execute(valid).scalar_one() == 2


def test_numbers_that_numpy_counted_are_read(tmp_path: Path):
    """SQLite kept a NumPy integer as its bytes; it is a number again."""
    path = tmp_path / "theirs.sqlite3"
    written_by_scalarstop(f"sqlite:///{path}", "4.0.0")
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {PREFIX}model_epoch SET steps_per_epoch = ?", (np.int64(300),))
        kept = connection.execute(f"SELECT DISTINCT typeof(steps_per_epoch) FROM {PREFIX}model_epoch").fetchall()
    connection.close()
    assert kept == [("blob",)]
    with TrainStore(path, table_name_prefix=PREFIX) as store:
        assert store.list_model_epochs()["steps_per_epoch"].tolist() == [300, 300]


def test_a_missing_constraint_is_named(empty_database_url: str):
    """On PostgreSQL, where tables are changed in place, it must be there; SQLite makes it anew."""
    written_by_scalarstop(empty_database_url, "1.0.0")
    if empty_database_url.startswith("sqlite"):
        execute(empty_database_url, f"DROP TABLE {PREFIX}model_epoch")
        no_key = TABLES.split(";")[3].split(", UNIQUE")[0] + ")"
        execute(empty_database_url, no_key.format(p=PREFIX, steps="", **TYPES["sqlite"]))
        with TrainStore(empty_database_url, table_name_prefix=PREFIX) as store:
            assert inspect(store.engine).get_unique_constraints(f"{PREFIX}model_epoch")
        return
    execute(
        empty_database_url,
        f"ALTER TABLE {PREFIX}model_epoch DROP CONSTRAINT {PREFIX}model_epoch_model_epoch_num_model_name_key",
    )
    before = whole_schema(empty_database_url)
    with pytest.raises(SchemaForeignError, match="no constraint on model_epoch_num, model_name"):
        TrainStore(empty_database_url, table_name_prefix=PREFIX)
    assert whole_schema(empty_database_url) == before


def test_file_is_copied_first(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The file as ScalarStop left it stays beside it."""
    path = tmp_path / "theirs.sqlite3"
    written_by_scalarstop(f"sqlite:///{path}", "1.0.0")
    with caplog.at_level(logging.WARNING):
        migrate(f"sqlite:///{path}", PREFIX)
    (copy,) = tmp_path.glob("theirs.sqlite3.backup-scalarstop-*")
    assert str(copy) in caplog.text
    with sqlite3.connect(copy) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert names == {f"{PREFIX}{name}" for name in ("datablob", "model_template", "model", "model_epoch")}
        assert connection.execute(f"SELECT count(*) FROM {PREFIX}model_epoch").fetchone() == (2,)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE scalarstop__model ADD COLUMN theirs INTEGER", "scalarstop__model"),
        ("CREATE TABLE scalarstop__run (id INTEGER)", "scalarstop__run"),
        ("CREATE VIEW scalarstop__event AS SELECT 1 AS one", "scalarstop__event"),
    ],
)
def test_what_is_not_scalarstops_is_refused(empty_database_url: str, statement: str, named: str):
    """A column more, or another table of one of our names: then it is somebody else's, and stays as it is."""
    written_by_scalarstop(empty_database_url, "4.0.0")
    execute(empty_database_url, statement)
    before = whole_schema(empty_database_url)
    with opened(empty_database_url, PREFIX) as database, pytest.raises(SchemaForeignError, match=f"'{named}'"):
        schema.prepare(*database)
    assert whole_schema(empty_database_url) == before


def test_a_table_with_other_columns_or_key_is_refused(empty_database_url: str):
    """Many an application has a table called "model"."""
    execute(empty_database_url, "CREATE TABLE model (model_name TEXT PRIMARY KEY, price INTEGER)")
    with opened(empty_database_url) as database, pytest.raises(SchemaForeignError, match="'model'"):
        schema.prepare(*database)
