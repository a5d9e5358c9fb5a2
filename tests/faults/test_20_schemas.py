"""Schemas that are older, newer, foreign, half-made

Fault 20 of docs/guarantees.md: processes killed at each statement of a migration, several that migrate at once, a
schema that becomes newer under a run. tests/migrations/test_prepare.py has the refusal of newer and foreign schemas,
upgrades of older ones with their copies, a kill in the middle of an upgrade and another program's alembic_version.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from faults.network import SHORT_END
from faults.oracle import Fault
from fixtures.databases import opened
from recording.support import eventually

#: Counts the statements that change the schema, and dies before the n-th.
DIE_AT = """
import os, signal
from sqlalchemy import Engine, event
count = 0

@event.listens_for(Engine, "before_cursor_execute")
def die(connection, cursor, statement, *rest):
    global count
    if statement.split(None, 1)[0].upper() in ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE"):
        count += 1
        if count == {number}:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_at_each_statement(fault: Fault, new_database: Callable[..., str]) -> None:
    """Wherever the first migration stops, the next opening makes the schema whole, and records."""
    fault.url = new_database(fault.backend, migrated=False)
    whole = fault.start(count=1, before=DIE_AT.format(number=0), then_at=0, then="report.tell(f'statements {count}')")
    statements = int(whole.wait_for("statements").split()[1])
    whole.end()
    assert statements > 20
    # The last of them are those of the run.
    numbers = list(range(1, statements + 1))
    for number in numbers if fault.long else fault.chance.sample(numbers, 4):
        fault.injected()
        fault.url = new_database(fault.backend, migrated=False)
        fault.start(count=1, before=DIE_AT.format(number=number), hold=True).end(code=-9)
        after = fault.start(count=20)
        after.end()
        fault.verify(after, status="finished")


def test_several_make_the_schema_at_once(fault: Fault, new_database: Callable[..., str]) -> None:
    """Processes that meet an empty database at the same time all record into one store."""
    for _ in fault.times(short=1, long=10):
        fault.url = new_database(fault.backend, migrated=False)
        producers = [fault.start(count=100) for _ in range(4)]
        for producer in producers:
            producer.end()
        fault.verify(*producers, status="finished")


def set_version(url: str, version: str) -> None:
    """Change what the database says of its schema."""
    with opened(url) as database, database.engine.begin() as connection:
        connection.execute(text("UPDATE trainstore_version SET version_num = :version"), {"version": version})


def rows(url: str) -> int:
    with opened(url) as database, database.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM step_log")).scalar_one())


def test_it_becomes_newer_under_a_run(fault: Fault) -> None:
    """From then on nothing is written; the training ends well, and its records wait for a trainstore that knows it."""
    fault.injected()
    wait = "report.tell('waiting'); import sys; sys.stdin.readline()"
    producer = fault.start(count=400, then_at=200, then=wait, finish_timeout=0.5, before=SHORT_END)
    producer.wait_for("waiting")
    with opened(fault.url) as database, database.engine.connect() as connection:
        ((version,),) = connection.execute(text("SELECT version_num FROM trainstore_version")).all()
    eventually(lambda: rows(fault.url) == 200, "the first deliveries")
    set_version(fault.url, "9999")
    stored = rows(fault.url)
    producer.go_on()
    reported = producer.end(timeout=60)
    assert reported is not None
    assert not reported.stored
    assert rows(fault.url) == stored
    assert "9999" in producer.stderr
    set_version(fault.url, version)
    fault.verify(producer, status="finished")
