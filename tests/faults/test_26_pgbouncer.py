"""PgBouncer in transaction mode: more writers than connections, cut off again and again

Fault 26 of docs/guarantees.md. Where the program is not installed (Debian: the package pgbouncer), `make soak` says
"not tested".
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from faults.bouncer import PROGRAM, Bouncer
from faults.oracle import Fault
from fixtures.databases import PostgresServer, opened
from trainstore import schema
from trainstore.cli import main
from trainstore.store import TrainStore

pytestmark = [
    pytest.mark.parametrize("backend_name", ["postgresql"]),
    pytest.mark.skipif(PROGRAM is None, reason="not tested: the program pgbouncer is not installed"),
]


@pytest.fixture
def bouncer(postgres_server: PostgresServer) -> Iterator[Bouncer]:
    """A PgBouncer with two connections."""
    started = Bouncer(postgres_server)
    yield started
    started.close()


def through(bouncer: Bouncer, url: str) -> str:
    return bouncer.url(make_url(url).database or "")


def left_behind(url: str) -> list[str]:
    """What of a session is left on the pooled connections: settings, prepared statements, locks, open transactions."""
    found = []
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True, prepare_threshold=None) as connection:
        for _ in range(10):
            rows = connection.execute("SELECT name FROM pg_settings WHERE source = 'session' AND setting <> reset_val")
            ours = {
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "synchronous_commit",
                "default_transaction_isolation",
                "default_transaction_read_only",
                "search_path",
            }
            found += [name for (name,) in rows if name in ours]
            found += [name for (name,) in connection.execute("SELECT name FROM pg_prepared_statements")]
            found += [name for (name,) in connection.execute("SELECT name FROM pg_cursors WHERE is_holdable")]
        found += ["advisory lock" for _ in connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'")]
        found += [
            state
            for (state,) in connection.execute(
                "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
        ]
    return found


def test_more_writers_than_connections(fault: Fault, bouncer: Bouncer) -> None:
    """More processes than connections share them; one is killed, PgBouncer too, and every record is stored once."""
    direct, fault.url = fault.url, through(bouncer, fault.url)
    for _ in fault.times(short=1, long=10):
        producers = [fault.start(count=400) for _ in range(5 if fault.long else 3)]
        dying = fault.start(count=None)
        for producer in (*producers, dying):
            producer.wait_for(50)
        bouncer.kill()
        time.sleep(fault.chance.uniform(0, 0.3))
        bouncer.start()
        dying.wait_for(120)
        dying.kill()
        for producer in producers:
            producer.end()
        fault.verify(*producers, status="finished")
        fault.verify(dying, status="lost")
    assert left_behind(direct) == left_behind(fault.url) == []


def test_everything_else(new_database, backend_name: str, bouncer: Bouncer, tmp_path) -> None:
    """The schema is made, and every way of reading and changing works, on connections that change hands."""
    url = through(bouncer, new_database(backend_name, migrated=False))
    with TrainStore(url) as store, TrainStore(url) as other:
        for each, name in ((store, "one"), (other, "two")):
            run = each.start_run(name=name, tags={"t": 1}, hyperparams={"lr": 0.1})
            for step in range(3_000):
                run.log({"loss": step / 2}, step=step)
            assert run.finish(timeout=60)
        resumed = other.resume_run("one", step=999)
        resumed.log({"loss": -1.0}, step=1_000)
        assert resumed.finish(timeout=60)
        assert len(store.list_step_logs("one")) == 1_001
        assert store.get_best_run(metric_name="loss", metric_direction="min", by="best").name == "one"
        assert set(store.compare_runs(["one", "two"]).index)
        store.set_tags("one", ["new"], remove="t")
        store.set_notes("one", "text")
        store.delete_run("two")
        assert list(other.list_runs()["name"]) == ["one"]
    with opened(url) as database:
        assert schema.check(*database) == []
        schema.upgrade(*database)
    for command in (["export", "one", "-o", str(tmp_path / "one.csv")], ["doctor"], ["db", "check"], ["recover"]):
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--store", url])
    assert (tmp_path / "one.csv").read_text().count("\n") == 1_002
    assert left_behind(url) == []


def test_settings_of_the_database(
    new_database, backend_name: str, bouncer: Bouncer, postgres_server: PostgresServer, capsys
) -> None:
    """They change nothing here either, but that doctor warns where queries may read rounded numbers."""
    direct = new_database(backend_name)
    name = make_url(direct).database or ""
    for setting in ("DateStyle = 'German'", "TimeZone = 'Asia/Kathmandu'", "client_encoding = 'LATIN1'"):
        postgres_server.execute(f"ALTER DATABASE {name} SET {setting}", name)
    with TrainStore(through(bouncer, direct)) as store, TrainStore(through(bouncer, direct)) as other:
        run = store.start_run(name="\U0001f680", hyperparams={"rate": 0.1 + 0.2})
        run.log({"loss": 0.1 + 0.2}, step=0)
        assert run.flush(60)
        for each in (store, other, store):
            (row,) = each.list_runs().to_dict("records")
            assert (row["name"], row["hp__rate"]) == ("\U0001f680", 0.1 + 0.2)
            assert abs(row["started_at"].timestamp() - time.time()) < 600
        postgres_server.execute(f"ALTER DATABASE {name} SET extra_float_digits = '-10'", name)
        bouncer.kill()
        bouncer.start()
        run.log({"loss": 0.2}, step=1)
        assert run.finish(timeout=60)
    with TrainStore(direct) as store:
        assert store.list_metrics(run)["max"].tolist() == [0.1 + 0.2]
    for url, warned in ((through(bouncer, direct), True), (direct, False)):
        with pytest.raises(SystemExit, match="0"):
            main(["doctor", "--store", url])
        assert ("numbers are read rounded" in capsys.readouterr().out) == warned
