"""``store.connection``: one connection for a notebook that stays open for days."""

import pandas as pd
import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from trainstore import TrainStore


@pytest.fixture
def count(store: TrainStore):
    """The statement that counts runs."""
    return select(func.count().label("runs")).select_from(store.table.run)


@pytest.fixture
def row(store: TrainStore):
    """An INSERT of a run, which another statement must not repeat."""
    store.start_run(name="template").finish()
    template = store.table.run
    with store.engine.connect() as connection:
        values = dict(connection.execute(select(template)).mappings().one())
    del values["id"]
    return lambda uid: insert(template).values({**values, "uid": uid, "name": uid})


def test_each_statement_sees_what_is_stored(store, count):
    """However long the connection is held, by whichever of its methods; it leaves no transaction open."""
    held = store.connection
    for runs in range(3):
        assert pd.read_sql(count, store.connection)["runs"].tolist() == [runs]
        assert held.execute(count).scalar() == runs
        assert held.scalar(count) == runs
        assert held.scalars(count).all() == [runs]
        assert held.exec_driver_sql("SELECT count(*) FROM run").scalar() == runs
        assert held is store.connection
        assert not held.in_transaction()
        store.start_run(name=f"r{runs}").finish()


def test_a_failed_statement_does_not_block_the_next(store, count, row):
    """Neither one that cannot be understood nor one that a constraint refuses."""
    connection = store.connection
    connection.execute(row("once"))
    for statement in (text("SELECT nothing FROM nowhere"), row("once")):
        with pytest.raises(DBAPIError):
            connection.execute(statement)
        assert connection.scalar(count) == 2
        assert not connection.in_transaction()


def test_a_block_is_one_transaction(store, count, row):
    """Begun and committed by the block, or rolled back by its exception; a statement outside stands by itself."""
    connection = store.connection
    connection.execute(row("alone"))
    assert len(store.list_runs()) == 2
    connection.rollback()

    def fail_half_way():
        with connection.begin():
            connection.execute(row("inside"))
            connection.execute(row("alone"))  # it is there already

    with pytest.raises(DBAPIError):
        fail_half_way()
    assert connection.scalar(count) == 2
    with connection.begin():
        connection.execute(row("inside"))
        assert connection.scalar(count) == 3
        assert len(store.list_runs()) == 2
        connection.execute(row("too"))
    assert len(store.list_runs()) == 4


def test_rows_may_be_read_slowly(store, row):
    """Rows that were not fetched yet hold up no writer, and come all the same."""
    run = store.table.run
    result = store.connection.execute(select(run.c.name).order_by(run.c.id))
    first = result.fetchone()
    store.start_run(name="meanwhile").finish()
    assert [first, *result.fetchall()][0].name == "template"
    chunks = pd.read_sql(select(run.c.name).order_by(run.c.id), store.connection, chunksize=1)
    assert [name for chunk in chunks for name in chunk["name"]] == ["template", "meanwhile"]
    inserted = store.connection.execute(row("returned").returning(run.c.name))
    assert inserted.scalar() == "returned"
    assert "returned" in set(store.list_runs()["name"])


def test_a_lost_connection_is_made_anew(store, count, backend_name):
    """One that the server or the user closed."""
    with store.connection as connection:
        assert connection.scalar(count) == 0
    assert store.connection.scalar(count) == 0
    if backend_name == "postgresql":
        held = store.connection
        with store.engine.connect() as other, other.begin():
            other.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"))
        with pytest.raises(DBAPIError):
            held.scalar(count)
        assert store.connection.scalar(count) == 0
