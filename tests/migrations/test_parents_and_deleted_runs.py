"""Revision 0002, from a store of 0001 with rows in every table and back; and processes of 0001 that still record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import JSON, Boolean, Connection, Double, Integer, insert, text, update

from fixtures.databases import opened
from fixtures.older import unpack
from fixtures.processes import Script
from fixtures.snapshots import dump
from trainstore import schema
from trainstore.column_types import UTCDateTime
from trainstore.errors import SchemaForeignError, SchemaOutdatedError
from trainstore.models import Models
from trainstore.recording.deletion import Tombstone, deleted_runs, unite
from trainstore.recording.statements import Statements
from trainstore.store import TrainStore

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
ELSEWHERE = "99999999-0000-4000-8000-000000000000"
NEW = ("deleted_run", "notification")

# --- Rows ------------------------------------------------------------------------------------------------------------


def uid(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def value(table: str, column: Any, number: int) -> Any:
    """Something for a column of the n-th row; equal numbers refer to each other."""
    if column.name == "uid":
        return uid(number)
    if column.name == "parent_run_id":
        return 1 if number == 2 else None
    if isinstance(column.type, UTCDateTime):
        return AT
    for kind, made in ((JSON, {"a": [number, None, 0.1]}), (Boolean, True), (Double, number + 0.1), (Integer, number)):
        if isinstance(column.type, kind):
            return made
    return f"{column.name} {number}"[: column.type.length]


def tables_of_0001(models: Models) -> list[Any]:
    left_out = {models.trainstore_version, models.current_step_log, *(getattr(models, name) for name in NEW)}
    return [table for table in models.metadata.sorted_tables if table not in left_out]


def fill(connection: Connection, models: Models) -> None:
    """Three rows in every table that 0001 has, the second run's parent being the first."""
    for table in tables_of_0001(models):
        if table is models.store:
            continue  # it has its one
        columns = [column for column in table.c if column.name != "parent_uid"]
        rows = [{column.name: value(table.name, column, number) for column in columns} for number in (1, 2, 3)]
        connection.execute(insert(table), rows)


def rows(connection: Connection, models: Models) -> dict[str, list[dict[str, Any]]]:
    """Everything that 0001 holds, as the database has it, and what its view shows."""
    names = [*(table.name for table in tables_of_0001(models)), models.current_step_log.name]
    found = {name: connection.execute(text(f"SELECT * FROM {name} ORDER BY 1")).mappings().all() for name in names}
    assert all(found.values())
    return {name: [{k: v for k, v in row.items() if k != "parent_uid"} for row in all_] for name, all_ in found.items()}


def parents(connection: Connection, models: Models) -> list[Any]:
    asked = text(f"SELECT parent_run_id, parent_uid FROM {models.run.name} ORDER BY id")
    return [tuple(row) for row in connection.execute(asked)]


@pytest.mark.parametrize("prefix", ["", "mine_"])
def test_up_and_down_with_rows_in_every_table(empty_database_url: str, prefix: str):
    """Nothing is lost on the way up, and parents get their uid; on the way down what 0001 has no room for is lost."""
    with opened(empty_database_url, prefix) as database:
        engine, backend, models = database
        statements = Statements(models, backend)
        schema.upgrade(engine, backend, models, "0001")
        with engine.begin() as connection:
            fill(connection, models)
            before, older = rows(connection, models), dump(connection)
        with pytest.raises(SchemaOutdatedError, match="at revision 0001, this trainstore needs 0002"):
            schema.prepare(*database, auto_upgrade=False)
        schema.prepare(*database, auto_upgrade=True)
        assert schema.check(*database) == []
        with engine.begin() as connection:
            assert rows(connection, models) == before
            assert parents(connection, models) == [(None, None), (1, uid(1)), (None, None)]
            newer = dump(connection)
            third = update(models.run).where(models.run.c.id == 3)
            connection.execute(third.values(parent_uid=ELSEWHERE))
            unite(connection, statements, [Tombstone(ELSEWHERE, AT)])
            alert = {"run_id": 1, "writer_uid": uid(1), "seq": 1, "target": "t", "claimed_at": AT}
            connection.execute(insert(models.notification), alert)
        with TrainStore(empty_database_url, table_name_prefix=prefix) as store:
            assert store.get_run(uid(2)).parent_uid == uid(1)
            assert store.get_run(uid(3)).parent_uid == ELSEWHERE
        with backend.migration_transaction(engine, prefix) as connection:
            command.downgrade(schema._config(connection, models), "0001")
        with engine.connect() as connection:
            assert rows(connection, models) == before
            assert dump(connection) == older
        schema.prepare(*database, auto_upgrade=True)
        with engine.connect() as connection:
            assert rows(connection, models) == before
            assert dump(connection) == newer
            assert parents(connection, models) == [(None, None), (1, uid(1)), (None, None)]
            assert deleted_runs(connection, models) == {}


@pytest.mark.parametrize("kind", ["TABLE notification (theirs INTEGER)", "VIEW deleted_run AS SELECT 7 AS theirs"])
def test_a_table_of_others_under_a_new_name_is_left_alone(empty_database_url: str, kind: str):
    """The upgrade is refused by that table's name, and nothing has changed; without the table it is done."""
    with opened(empty_database_url) as database:
        schema.upgrade(*database, "0001")
        with database.engine.begin() as connection:
            connection.execute(text(f"CREATE {kind}"))
            before = dump(connection)
        name = kind.split()[1]
        with pytest.raises(SchemaForeignError, match=f"adds '{name}' to the store, but .* nothing was changed"):
            schema.prepare(*database, auto_upgrade=True)
        assert schema.current(*database) == "0001"
        with database.engine.begin() as connection:
            assert dump(connection) == before
            connection.execute(text(f"DROP {kind.split()[0]} {name}"))
        schema.prepare(*database, auto_upgrade=True)
        assert schema.check(*database) == []


# --- Writers of 0001 -------------------------------------------------------------------------------------------------

#: Records all the time; after a line on stdin some more, and a child.
RECORD = """
import sys, threading, time
from trainstore import schema, store as stores
from trainstore.recording import service

assert schema.HEAD == "0001"
stores.CLOSE_TIMEOUT = service.EXIT_TIMEOUT = 0.2
upgraded = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), upgraded.set()), daemon=True).start()
store = stores.TrainStore(sys.argv[1])
run = store.start_run(name=sys.argv[2])
run.log({"loss": 0.0}, step=0)
assert run.flush(60)
print("recording", flush=True)
step = 1
while not upgraded.is_set() or step < 100:
    run.log({"loss": step / 2}, step=step)
    step += 1
    time.sleep(0.001)
for _ in range(50):
    run.log({"loss": step / 2}, step=step)
    step += 1
print("stored", run.finish(timeout=0.2), flush=True)
child = store.start_run(name=f"{sys.argv[2]}'s child", parent=run, parent_step=step - 1)
child.finish(timeout=0.2)
store.close()
print("steps", step, flush=True)
"""
OPEN = """
import sys
from trainstore.store import TrainStore
from trainstore.errors import SchemaTooNewError

try:
    TrainStore(sys.argv[1])
except SchemaTooNewError as error:
    print("refused:", error, flush=True)
"""


@pytest.fixture
def start_older(tmp_path: Path, start_script: Callable[..., Script]) -> Callable[..., Script]:
    """Start a script with the trainstore of revision 0001."""
    code = unpack("0001", tmp_path / "older")
    return lambda *arguments: start_script(*arguments, env={"PYTHONPATH": str(code)})


def test_writers_of_0001_hold_what_they_record_until_they_are_upgraded(
    empty_database_url: str, start_older: Callable[..., Script]
):
    """From the upgrade on they store nothing, say so once, and train on; the new version brings all of it, once."""
    names = ("a", "b")
    first = start_older(RECORD, empty_database_url, "a")
    first.wait_for("recording")  # it has made the schema
    writers = [first, start_older(RECORD, empty_database_url, "b")]
    writers[1].wait_for("recording")
    with opened(empty_database_url) as database:
        assert schema.current(*database) == "0001"
        schema.upgrade(*database)
    for writer in writers:
        writer.send("go on")
    counts = {name: int(writer.wait_for("steps").split()[1]) for name, writer in zip(names, writers, strict=True)}
    for writer in writers:
        writer.finish()
        assert "stored False" in writer.lines
        (told,) = [line for line in writer.stderr.splitlines() if "cannot be written" in line]
        assert "was changed to revision 0002 meanwhile; start this process again" in told
        assert "the training goes on and its records wait in the journal" in told
    late = start_older(OPEN, empty_database_url)
    refused = late.wait_for("refused:")
    assert "is at revision 0002, which this trainstore (at 0001) does not know; it was not changed" in refused
    assert "pip install -U trainstore" in refused
    with TrainStore(empty_database_url) as store:
        assert store.recovered.failed == {}
        for name, count in counts.items():
            assert store.list_step_logs(name, attempts="all")["step"].tolist() == list(range(count))
            assert store.list_step_logs(name)["loss"].tolist() == [step / 2 for step in range(count)]
            assert store.get_run(name).status == "finished"
            child = store.get_run(f"{name}'s child")
            assert (child.parent_uid, child.parent_step) == (store.get_run(name).uid, count - 1)
        assert len(store.list_runs()) == 4
