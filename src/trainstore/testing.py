"""The contract of a backend, as tests: what a database must do for trainstore, tried through the public store.

A package that adds a backend (see `trainstore.backends.base.Backend`) subclasses `BackendContract` in its tests and
says where an empty database is::

    # tests/test_contract.py
    import pytest
    from trainstore.testing import BackendContract

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def database_url(self, tmp_path):
            return f"myscheme:///{tmp_path}/store"

and runs pytest, which finds every test of the contract. What cannot be known of every database is given by more
fixtures and attributes, which `BackendContract` names; the tests that need one which is not given are skipped, with the
reason. For whole messages of failed assertions put ``pytest.register_assert_rewrite("trainstore.testing")`` into
``conftest.py``. pytest must be installed.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, inspect, make_url, select, update
from sqlalchemy.exc import OperationalError

from trainstore import schema
from trainstore.backends import Backend, open_backend
from trainstore.backends.health import Finding
from trainstore.errors import (
    InvalidArgumentError,
    ReadOnlyStoreError,
    RunNotFoundError,
    SchemaForeignError,
    SchemaTooNewError,
    StoreUnavailableError,
)
from trainstore.models import Models, models_for
from trainstore.recording import writer
from trainstore.store import TrainStore
from trainstore.values import canonical

__all__ = ["VALUES", "Away", "BackendContract"]

DEADLINE = 120.0  # seconds; only ends a test that is broken
PASSWORD = "c4n4ry-password"

#: One value of every kind that can be stored.
VALUES: dict[str, Any] = {
    "int": 3, "zero": 0, "lowest": -(2**63), "highest": 2**63 - 1, "big": 2**80, "negative big": -(10**30),
    "float": 0.1, "tiny": 5e-324, "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "true": True, "false": False,
    "none": None, "text": "3", "empty": "",
    "unicode": "損失 é \u202e 🎉", "quotes": "'; DROP TABLE run; -- \\ \" % %s :a ?",
    "list": [1, [2.5, None]], "no list": [], "object": {"a": [1, {"b": None}], "ключ": True}, "no object": {},
    "a.b": 1.5, "a b": 2.5, "$": 3.5, "é'": 4.5, "0": 5.5, "[0]": 6.5, "a\\b": 7.5, 'a"b': 8.5, "%": 9.5,
}  # fmt: skip

_AT = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
_KEYS = ("run_id", "step", "attempt")


class Away(NamedTuple):
    """A database that cannot be reached until ``come_back()`` is called."""

    url: str
    come_back: Callable[[], None]


class _Database(NamedTuple):
    """What stands below a store: engine, backend and models of a database that has the schema, one run, one attempt."""

    engine: Any
    backend: Backend
    models: Models


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, NaN equal to itself, True not equal to 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other or (one != one and other != other))


class BackendContract:
    """The tests that every backend passes. Subclass it as ``class TestMine(BackendContract)``.

    Fixtures to override (and the attributes below):

    - ``database_url`` (must): the connection string of a database of its own for each test, without any table; it need
      not exist where opening makes it.
    - ``unreachable_url``: a connection string of the same kind where no database answers: a closed port, a folder that
      does not exist. Where it can hold a password, give `PASSWORD`.
    - ``away``: an `Away`: an empty database that cannot be reached until it is called back.

    Attributes:
        setup_code: Python code that the processes started by the tests run first. Needed only where the backend is not
            installed with its entry point: ``"import mine; mine.register()"``.
        transactional_ddl: Whether the database takes back CREATE TABLE with its transaction.
    """

    setup_code: ClassVar[str] = ""
    transactional_ddl: ClassVar[bool] = True

    # --- Fixtures --------------------------------------------------------------------------------------------------

    @pytest.fixture
    def database_url(self) -> str:
        """The connection string of an empty database; to be overridden."""
        raise NotImplementedError(f"{type(self).__name__} lacks a fixture database_url that gives an empty database")

    @pytest.fixture
    def unreachable_url(self) -> str:
        """The connection string of a database that does not answer; to be overridden."""
        pytest.skip("no fixture unreachable_url")

    @pytest.fixture
    def away(self) -> Away:
        """A database that is away and comes back; to be overridden."""
        pytest.skip("no fixture away")

    @pytest.fixture(autouse=True)
    def contract_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Nothing of the caller's TRAINSTORE_* counts; journals lie in the test's folder; commits come fast."""
        for name in [name for name in os.environ if name.startswith("TRAINSTORE_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(tmp_path / "contract-journals"))
        monkeypatch.setattr(writer, "INTERVAL", 0.02)
        monkeypatch.setattr(writer, "BACKOFF", (0.01, 0.1))

    @pytest.fixture
    def lasting_url(self, database_url: str) -> str:
        """``database_url`` where the database outlives its store; else the test is skipped."""
        backend = open_backend(database_url)
        try:
            if backend.in_memory:
                pytest.skip("the database is gone when its store is closed")
        finally:
            backend.close()
        return database_url

    @pytest.fixture
    def contract_store(self, database_url: str) -> Iterator[TrainStore]:
        """A store on the empty database, closed after the test."""
        with TrainStore(database_url) as store:
            yield store

    @pytest.fixture
    def database(self, database_url: str) -> Iterator[_Database]:
        """The backend below, for what a store does not let one see."""
        backend = open_backend(database_url)
        engine = backend.create_engine()
        models = models_for("")
        try:
            schema.prepare(engine, backend, models)
            run = {"id": 1, "uid": "r", "project": "p", "name": "n", "status": "running", "started_at": _AT}
            attempt = {"run_id": 1, "attempt": 1, "uid": "a", "start_step": -1, "end_step": 9, "opened_at": _AT}
            with engine.begin() as connection:
                connection.execute(insert(models.run).values({**run, "source": "python"}))
                connection.execute(insert(models.attempt).values({**attempt, "status": "running"}))
            yield _Database(engine, backend, models)
        finally:
            engine.dispose()
            backend.close()

    # --- Opening ---------------------------------------------------------------------------------------------------

    def test_opening_makes_the_schema(self, lasting_url: str) -> None:
        """An empty database gets the schema at the first opening, and the same store is there at the next ones."""
        uids = []
        for _ in range(3):
            with TrainStore(lasting_url) as store, store.engine.connect() as connection:
                uids.append(connection.execute(select(store.table.store.c.uid)).scalar_one())
        assert len(set(uids)) == 1
        backend = open_backend(lasting_url)
        assert backend.exists()
        assert open_backend(lasting_url).identity == backend.identity
        backend.close()

    def test_schema_is_as_declared(self, database: _Database) -> None:
        """The schema is at head, nothing differs from the models, and upgrading again changes nothing."""
        assert schema.current(*database) == schema.HEAD
        assert schema.check(*database) == []
        schema.upgrade(*database)
        assert schema.check(*database) == []

    def test_schemas_of_others_are_left_alone(self, database: _Database) -> None:
        """A schema of a newer trainstore is refused, by name, and not changed."""
        with database.engine.begin() as connection:
            connection.execute(update(database.models.trainstore_version).values(version_num="9999"))
        with pytest.raises(SchemaTooNewError, match="9999"):
            schema.prepare(*database)
        assert schema.current(*database) == "9999"

    def test_foreign_tables_are_left_alone(self, lasting_url: str) -> None:
        """A table of one of our names that is somebody else's: an error, and no table of ours is made."""
        backend = open_backend(lasting_url)
        engine = backend.create_engine()
        try:
            theirs = Table("run", MetaData(), Column("theirs", Integer, primary_key=True))
            with engine.begin() as connection:
                theirs.create(connection)
                connection.execute(insert(theirs).values(theirs=7))
            with pytest.raises(SchemaForeignError, match="run"):
                TrainStore(lasting_url)
            with engine.connect() as connection:
                assert connection.execute(select(theirs.c.theirs)).scalars().all() == [7]
                assert inspect(connection).get_table_names() == ["run"]
        finally:
            engine.dispose()
            backend.close()

    def test_a_failed_migration_leaves_nothing(self, database: _Database) -> None:
        """What a migration did until it failed is taken back, tables and rows."""
        if not self.transactional_ddl:
            pytest.skip("transactional_ddl = False")
        engine, backend, models = database
        table = Table("half_done", MetaData(), Column("id", Integer, primary_key=True))
        with pytest.raises(ZeroDivisionError), backend.migration_transaction(engine, "") as connection:  # noqa: PT012
            table.create(connection)
            connection.execute(update(models.run).values(name="changed"))
            raise ZeroDivisionError
        with engine.connect() as connection:
            assert "half_done" not in inspect(connection).get_table_names()
            assert connection.execute(select(models.run.c.name)).scalar_one() == "n"

    def test_processes_may_open_it_at_once(self, lasting_url: str) -> None:
        """Several processes that open an empty database together make one schema and see one store."""
        code = """
            from trainstore.store import TrainStore
            sys.stdin.readline()
            with TrainStore(url) as store, store.engine.connect() as connection:
                print(connection.execute(store.table.store.select()).one().uid)
            """
        started = [self._start(code, lasting_url) for _ in range(4)]
        for process in started:
            process.stdin.write("go\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        assert len({self._finish(process) for process in started}) == 1

    def test_prefixes_keep_stores_apart(self, lasting_url: str) -> None:
        """Stores of different prefixes share a database and know nothing of each other."""
        for prefix in ("", "one_", "two_"):
            with (
                TrainStore(lasting_url, table_name_prefix=prefix) as store,
                store.start_run(name=f"of {prefix}") as run,
            ):
                run.log({"loss": 1.0}, step=0)
        for prefix in ("", "one_", "two_"):
            with TrainStore(lasting_url, table_name_prefix=prefix) as store:
                assert store.list_runs()["name"].tolist() == [f"of {prefix}"]
                assert len(store.list_step_logs(f"of {prefix}")) == 1

    # --- Recording and reading back --------------------------------------------------------------------------------

    def test_values_come_back(self, contract_store: TrainStore) -> None:
        """Every kind of value, as hyperparameter, tag, metric and detail, reads back as it was recorded."""
        with contract_store.start_run(hyperparams=VALUES, tags=VALUES, notes="損失\n'") as run:
            run.log(VALUES, step=0, epoch=0.25, details=VALUES)
            run.log_event("x", step=0, details=VALUES)
        assert contract_store.flush(60)
        record = contract_store.get_run(run)
        assert same(record.hyperparams, VALUES)
        assert same(record.tags, VALUES)
        assert record.notes == "損失\n'"
        frame = contract_store.list_step_logs(run, details=True)
        assert same(frame["details"].iloc[0], VALUES)
        assert frame["epoch"].tolist() == [0.25]
        assert same(contract_store.list_events(run, kind="x")["details"].iloc[0], VALUES)
        tidy = contract_store.list_step_logs(run, tidy=True)
        numbers = dict(zip(tidy["metric"], tidy["value"], strict=True))
        for name in ("int", "float", "tiny", "nan", "inf", "-inf", "a.b", "$", "é'", "[0]", "a\\b", 'a"b', "%"):
            assert same(float(numbers[name]), float(VALUES[name])), name

    def test_nul_and_lone_surrogates_are_kept_escaped(self, contract_store: TrainStore) -> None:
        """Text that no database holds is kept escaped, wherever it stands."""
        odd = "a\x00b\ud800"
        with contract_store.start_run(name=odd, hyperparams={"x": odd, odd: 1}, notes=odd) as run:
            run.log({odd: 1.0, "text": odd}, step=0, details={"x": [odd]})
        record = contract_store.get_run(run)
        assert record.name == record.notes == "a\\u0000b\\ud800"
        assert record.hyperparams == {"x": "a\\u0000b\\ud800", "a\\u0000b\\ud800": 1}
        assert contract_store.list_step_logs(run)["a\\u0000b\\ud800"].tolist() == [1.0]

    def test_times_keep_their_microseconds(self, database: _Database) -> None:
        """A stored time comes back to the microsecond, in UTC, and compares with the database's clock."""
        run = database.models.run
        with database.engine.connect() as connection:
            assert connection.execute(select(run.c.started_at)).scalar_one() == _AT
            moment = connection.execute(select(database.backend.now())).scalar_one()
            assert moment.tzinfo is UTC
            assert moment > _AT
            assert connection.execute(select(run.c.id).where(run.c.started_at < database.backend.now())).all() == [(1,)]
            assert connection.execute(select(run.c.id).where(run.c.started_at > database.backend.now())).all() == []

    def test_steps_merge(self, contract_store: TrainStore) -> None:
        """A step logged again merges key by key, in any order of steps, over several commits; no value is lost."""
        with contract_store.start_run() as run:
            for step in (5, 1, 3):
                run.log({"a": step, "b": 0}, step=step)
            assert run.flush(60)
            for step in (3, 5, 2):
                run.log({"b": step * 2, "c": 1.0}, step=step, details={"d": step})
            assert run.flush(60)
            run.log({"b": -1}, step=5)
        frame = contract_store.list_step_logs(run, details=True).set_index("step")
        assert frame.index.tolist() == [1, 2, 3, 5]
        assert frame["b"].tolist() == [0, 4, 6, -1]
        assert frame.loc[5, "a"] == 5
        assert frame.loc[3, "details"] == {"d": 3, "earlier": {"b": [0]}}
        assert frame.loc[5, "details"] == {"d": 5, "earlier": {"b": [0, 10]}}

    def test_many_rows_and_wide_rows(self, contract_store: TrainStore) -> None:
        """2,000 steps in few commits, and a step of 300 metrics: nothing is lost, narrow and wide."""
        with contract_store.start_run() as run:
            for step in range(2_000):
                run.log({"loss": 1 / (step + 1)}, step=step)
            run.log({f"m{number}": number for number in range(300)}, step=2_000)
            assert run.flush(60)
        wide = contract_store.list_step_logs(run)
        assert wide["step"].tolist() == list(range(2_001))
        assert wide["loss"].iloc[:2_000].tolist() == [1 / (step + 1) for step in range(2_000)]
        tidy = contract_store.list_step_logs(run, tidy=True)
        assert len(tidy) == 2_300
        only = contract_store.list_step_logs(run, metrics=["m7"], tidy=True)
        assert only[["step", "metric", "value"]].values.tolist() == [[2_000, "m7", 7]]
        summary = contract_store.list_metrics(run).set_index("metric").loc["loss"]
        assert (summary["count"], summary["min"], summary["min_step"]) == (2_000, 1 / 2_000, 1_999)

    def test_a_lost_answer_to_commit_stores_nothing_twice(self, contract_store: TrainStore) -> None:
        """COMMITs that fail, before or after the database did them, are tried again; each record is there once."""
        dialect = contract_store._service._engine.dialect
        commit = dialect.do_commit
        plan = ["lose", "refuse", "work", "lose", "lose", "refuse"]

        def do_commit(connection: Any) -> None:
            what = plan.pop(0) if plan else "work"
            if what != "refuse":
                commit(connection)
            if what != "work":
                raise OperationalError("COMMIT", {}, ConnectionError("the answer was lost"))

        dialect.do_commit = do_commit  # type: ignore[assignment]
        try:
            with contract_store.start_run() as run:
                for step in range(40):
                    run.log({"loss": float(step)}, step=step)
                    run.log_event("mark", step=step)
                    if step % 5 == 0:
                        assert run.flush(60)
        finally:
            dialect.do_commit = commit  # type: ignore[method-assign]
        assert plan == []
        assert contract_store.list_step_logs(run)["loss"].tolist() == [float(step) for step in range(40)]
        assert contract_store.list_events(run, kind="mark")["step"].tolist() == list(range(40))
        assert contract_store.list_metrics(run)["count"].tolist() == [40]

    def test_a_resumed_run_shows_each_step_once(self, contract_store: TrainStore) -> None:
        """Steps behind the checkpoint are superseded, stay in the table, and count in no summary."""
        with contract_store.start_run(hyperparams={"lr": 0.1}) as first:
            for step in range(10):
                first.log({"loss": float(step)}, step=step)
        with contract_store.resume_run(first, step=4) as second:
            second.log_hyperparams({"lr": 0.2})
            for step in range(5, 8):
                second.log({"loss": 100.0 + step}, step=step)
        frame = contract_store.list_step_logs(first)
        assert frame["step"].tolist() == list(range(8))
        assert frame["loss"].tolist() == [0, 1, 2, 3, 4, 105, 106, 107]
        assert len(contract_store.list_step_logs(first, attempts="all")) == 13
        summary = contract_store.list_metrics(first).iloc[0]
        assert (summary["count"], summary["max"], summary["last"], summary["last_step"]) == (8, 107, 107, 7)
        record = contract_store.get_run(first)
        assert (record.attempts, record.last_step, record.status) == (2, 7, "finished")
        assert record.hyperparams == {"lr": 0.2}
        assert contract_store.get_current_step(first) == 7

    def test_runs_end_as_they_say(self, contract_store: TrainStore) -> None:
        """Every status, and the error's text."""
        for status in ("finished", "failed", "interrupted", "pruned"):
            contract_store.start_run(name=status).finish(status, error=f"because {status} é")
        frame = contract_store.list_runs().set_index("name")
        assert frame["status"].to_dict() == {name: name for name in frame.index}
        assert frame.loc["failed", "error"] == "because failed é"

    def test_deletion(self, contract_store: TrainStore) -> None:
        """A deleted run leaves no row in any table; other runs stay, a child of it loses its parent."""
        with contract_store.start_run(name="kept", hyperparams={"lr": 1}) as kept:
            kept.log({"loss": 1.0}, step=0)
        kept_rows = self._rows(contract_store)
        with contract_store.start_run(name="gone", hyperparams={"lr": 2}, tags=["x"], notes="n") as gone:
            gone.log({"loss": 2.0}, step=0, details={"a": 1})
            gone.log_event("x")
        child = contract_store.start_run(name="child", parent=gone, parent_step=0)
        child.finish()
        assert contract_store.get_run(child).parent_uid == gone.uid
        contract_store.delete_run(gone)
        with pytest.raises(RunNotFoundError):
            contract_store.get_run(gone)
        assert contract_store.get_run(child).parent_uid is None
        contract_store.delete_run(child)
        assert self._rows(contract_store) == kept_rows
        assert contract_store.list_step_logs(kept)["loss"].tolist() == [1.0]

    def test_tags_and_notes_can_be_edited(self, contract_store: TrainStore) -> None:
        """What is edited without a journal is stored too."""
        with contract_store.start_run(tags={"a": 1, "b": 2}, notes="one") as run:
            pass
        assert contract_store.set_tags(run, {"a": 3, "c": "é"}, remove=["b"]) == ["b"]
        assert contract_store.set_notes(run, "two", append=True).split() == ["one", "two"]
        assert contract_store.get_run(run).tags == {"a": 3, "c": "é"}

    def test_a_failed_transaction_leaves_nothing(self, contract_store: TrainStore) -> None:
        """A session that ends in an error takes back what it wrote; one that ends well keeps it."""
        with contract_store.start_run(name="n") as run:
            pass
        table = contract_store.table.run
        with pytest.raises(ZeroDivisionError), contract_store.session() as session:  # noqa: PT012
            session.execute(update(table).values(name="lost"))
            raise ZeroDivisionError
        assert contract_store.get_run(run).name == "n"
        with contract_store.session() as session:
            session.execute(update(table).values(name="kept"))
        assert contract_store.get_run(run).name == "kept"

    # --- Queries ---------------------------------------------------------------------------------------------------

    @pytest.fixture
    def three_runs(self, contract_store: TrainStore) -> TrainStore:
        """Runs a, b, c of two projects, the best of them b; c has only NaN."""
        losses = {"a": [3.0, 2.0, 2.5], "b": [1.0, math.nan, 4.0], "c": [math.nan, math.inf, math.nan]}
        for place, (name, values) in enumerate(losses.items()):
            with contract_store.start_run(
                project="p" if place < 2 else "q",
                name=name,
                hyperparams={"lr": 0.1 * (place + 1), "same": "s", "nested": {"depth": place}, 'odd "name"': place},
                tags=["first"] if place == 0 else {"kind": "later"},
            ) as run:
                for step, value in enumerate(values):
                    run.log({"loss": value, "text": name, 'odd "name"': place}, step=step)
        return contract_store

    def test_list_runs(self, three_runs: TrainStore) -> None:
        """Runs come newest first and by every filter; differing hyperparameters can be asked for."""
        store = three_runs

        def names(**filters: Any) -> list[str]:
            return list(store.list_runs(**filters)["name"])

        assert names() == ["c", "b", "a"]
        assert names(limit=2) == ["c", "b"]
        assert names(project="p") == ["b", "a"]
        assert names(name=["a", "c"]) == ["c", "a"]
        assert names(status="failed") == []
        assert names(tag="first") == ["a"]
        assert names(tag={"kind": "later"}) == ["c", "b"]
        assert names(hyperparams={"lr": [0.1, 0.2]}) == ["b", "a"]
        assert names(hyperparams={"same": "s", "nested": {"depth": 2}}) == ["c"]
        assert names(hyperparams={'odd "name"': 1}) == ["b"]
        assert names(where=store.table.run.c.name != "b") == ["c", "a"]
        varying = set(store.list_runs(hyperparams="varying"))
        assert "hp__lr" in varying
        assert "hp__same" not in varying

    def test_values_of_a_frame_in_expressions(self, three_runs: TrainStore) -> None:
        """NumPy's numbers and pandas' times find the rows they come from; an array is refused, not compared."""
        frame = three_runs.list_runs(name="b")
        run = three_runs.table.run.c
        for name in ("id", "last_step", "started_at"):
            value = frame[{"id": "run_id"}.get(name, name)].iloc[0]
            below = list(three_runs.list_runs(where=run[name] <= value)["name"])
            assert below == (["c", "b", "a"] if name == "last_step" else ["b", "a"]), name
        with pytest.raises(InvalidArgumentError):
            three_runs.list_runs(where=run.id == frame["run_id"].to_numpy().repeat(2))

    def test_best_run(self, three_runs: TrainStore) -> None:
        """The best run by minimum and maximum, by best and last value; NaN, infinities and text never win."""
        store = three_runs
        best = store.get_best_run(metric_name="loss", metric_direction="min")
        assert best is not None
        assert (best.name, best.sort_metric_value, best.sort_metric_step) == ("b", 1.0, 0)
        most = store.get_best_run(metric_name="loss", metric_direction="max")
        assert most is not None
        assert (most.name, most.sort_metric_value, most.sort_metric_step) == ("b", 4.0, 2)
        last = store.get_best_run(metric_name="loss", metric_direction="min", by="last")
        assert last is not None
        assert (last.name, last.sort_metric_value) == ("a", 2.5)
        odd = store.get_best_run(metric_name='odd "name"', metric_direction="max")
        assert odd is not None
        assert odd.name == "c"
        assert store.get_best_run(metric_name="text", metric_direction="min") is None
        assert store.get_best_run(metric_name="absent", metric_direction="min") is None
        assert store.get_best_run(metric_name="loss", metric_direction="min", hyperparams={"lr": 0.1}).name == "a"  # type: ignore[union-attr]
        grouped = store.list_runs_grouped_by_metric(metric_name="loss", metric_direction="min")
        assert grouped["name"].tolist() == ["b", "a"]

    def test_step_logs_narrow_and_wide(self, three_runs: TrainStore) -> None:
        """One row a step or one row a value, of one run or several, all metrics or some, to the value."""
        wide = three_runs.list_step_logs("b")
        assert wide["step"].tolist() == [0, 1, 2]
        assert same(wide["loss"].tolist(), [1.0, math.nan, 4.0])
        assert wide["text"].tolist() == ["b"] * 3
        some = three_runs.list_step_logs(["a", "b"], metrics=["loss", "absent"])
        assert len(some) == 6
        assert "text" not in some
        narrow = three_runs.list_step_logs("b", metrics=["loss"], tidy=True)
        assert same([float(value) for value in narrow["value"]], [1.0, math.nan, 4.0])
        nested = three_runs.list_step_logs("b", metrics=['odd "name"'])
        assert nested['odd "name"'].tolist() == [1, 1, 1]

    def test_hyperparams_events_and_differences(self, three_runs: TrainStore) -> None:
        """Hyperparameters one a row, by key; what differs between runs."""
        rows = three_runs.list_hyperparams(namespace="hp", key="lr")
        assert sorted(rows["number"]) == [0.1, 0.2, pytest.approx(0.3)]
        differences = three_runs.compare_runs(["a", "b"])
        assert any("hp.lr" in str(key) for key in differences.reset_index().to_numpy().ravel())
        assert not any("hp.same" in str(key) for key in differences.reset_index().to_numpy().ravel())
        assert len(three_runs.list_metrics(["a", "b"])) >= 4

    # --- Processes and threads -------------------------------------------------------------------------------------

    def test_threads_share_a_store(self, contract_store: TrainStore) -> None:
        """Threads log into one run and query meanwhile; nothing is lost."""
        failures: list[BaseException] = []
        run = contract_store.start_run(name="shared")
        assert run.flush(60)

        def work(number: int) -> None:
            try:
                for step in range(100):
                    run.log({f"t{number}": step}, step=step)
                    if step % 40 == 0:
                        contract_store.list_runs()
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a query may say that records still wait
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE)
        assert failures == []
        assert run.finish(timeout=60)
        frame = contract_store.list_step_logs(run)
        assert [frame[f"t{number}"].tolist() for number in range(4)] == [list(range(100))] * 4

    def test_read_only(self, lasting_url: str) -> None:
        """With ``read_only=True`` queries answer, and what records or edits is refused."""
        with TrainStore(lasting_url) as store:
            store.start_run(name="there").finish()
        with TrainStore(lasting_url, read_only=True) as store:
            for change in (store.start_run, store.recover, partial(store.set_notes, "there", "new")):
                with pytest.raises(ReadOnlyStoreError):
                    change()
            assert store.get_run("there").notes is None

    def test_processes_write_at_once(self, lasting_url: str) -> None:
        """Three processes log into the same steps of one run, and a run of their own each: every value is there."""
        with TrainStore(lasting_url) as store:
            shared = store.start_run(name="shared")
            assert shared.flush(60)
            code = """
                from trainstore.store import TrainStore
                with TrainStore(url) as store:
                    shared, own = store.resume_run(sys.argv[2]), store.start_run(name=f"own {sys.argv[3]}")
                    for step in range(150):
                        shared.log({f"rank{sys.argv[3]}": step}, step=step)
                        own.log({"loss": float(step)}, step=step)
                        if step % 30 == 0:
                            assert store.flush(60)
                    assert shared.finish(timeout=60) and own.finish(timeout=60)
                """
            started = [self._start(code, lasting_url, shared.uid, rank) for rank in range(3)]
            for process in started:
                self._finish(process)
            shared.finish()
            frame = store.list_step_logs(shared)
            assert frame["step"].tolist() == list(range(150))
            assert [frame[f"rank{rank}"].tolist() for rank in range(3)] == [list(range(150))] * 3
            for rank in range(3):
                assert store.list_step_logs(f"own {rank}")["loss"].tolist() == [float(step) for step in range(150)]
            metrics = store.list_metrics(shared)
            assert metrics["count"].tolist() == [150] * 3

    def test_a_killed_process_loses_nothing(self, lasting_url: str, tmp_path: Path) -> None:
        """The next opening delivers the journal of a killed process; delivered again it changes nothing."""
        code = """
            import time
            from trainstore.recording import writer
            from trainstore.store import TrainStore
            writer.INTERVAL = 0.02
            run = TrainStore(url).start_run(name="killed", hyperparams={"lr": 0.1})
            for step in range(300):
                run.log({"loss": float(step)}, step=step)
                run.log_event("mark", step=step)
                if step == 100:
                    assert run.flush(60)
                    writer.INTERVAL = 600
            print("logged", flush=True)
            time.sleep(600)
            """
        process = self._start(code, lasting_url)
        assert self._line(process) == "logged"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE)
        self._close(process)
        roots = [tmp_path / "contract-journals"]
        beside = open_backend(lasting_url).journal_root()
        roots += [beside] if beside is not None else []
        copies = [(root, tmp_path / f"copy{place}") for place, root in enumerate(roots) if root.exists()]
        for root, copy in copies:
            shutil.copytree(root, copy)
        for place in range(2):
            with TrainStore(lasting_url) as store:
                assert store.recovered.failed == {}
                if place == 0:
                    assert store.get_run("killed").status == "lost"
                frame = store.list_step_logs("killed")
                assert frame["loss"].tolist() == [float(step) for step in range(300)]
                assert store.list_events("killed", kind="mark")["step"].tolist() == list(range(300))
                assert store.list_metrics("killed")["count"].tolist() == [300]
            for root, copy in copies:
                shutil.copytree(copy, root, dirs_exist_ok=True)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    def test_a_forked_child_records_too(self, lasting_url: str) -> None:
        """Parent and child of a fork log on, query, and lose nothing; the parent's connections stay its own."""
        code = """
            import os, warnings
            warnings.simplefilter("ignore")
            from trainstore.store import TrainStore
            store = TrainStore(url)
            run = store.start_run(name="forked")
            store.connection.execute(store.table.run.select()).all()
            store.connection.rollback()
            for step in range(50):
                run.log({"parent": step}, step=step)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    for step in range(100):
                        run.log({"child": step}, step=step)
                    store.list_runs()
                    status = 0 if run.finish(timeout=60) else 2
                finally:
                    os._exit(status)
            for step in range(50, 100):
                run.log({"parent": step}, step=step)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            store.connection.execute(store.table.run.select()).all()
            store.connection.rollback()
            assert run.finish(timeout=60)
            frame = store.list_step_logs("forked")
            assert frame["parent"].tolist() == frame["child"].tolist() == list(range(100))
            store.close()
            print("done")
            """
        assert self._finish(self._start(code, lasting_url)) == "done"

    # --- Statements ------------------------------------------------------------------------------------------------

    def test_upsert_inserts_and_replaces(self, database: _Database) -> None:
        """upsert() inserts new rows, replaces whole rows that exist, and may be repeated; no rows are no statement."""
        table = database.models.step_log
        first = [self._step(1, {"loss": 1.0}, epoch=0.5, details={"a": "b"}), self._step(2, {"loss": math.nan})]
        second = [self._step(1, VALUES, logged_at=_AT + timedelta(microseconds=1)), self._step(3, {"big": 2**62})]
        with database.engine.begin() as connection:
            for rows in ([], first, first, second, second):
                database.backend.upsert(connection, table, _KEYS, rows)
            stored = connection.execute(select(table).order_by(table.c.step)).all()
        assert [row.step for row in stored] == [1, 2, 3]
        assert stored[0].metrics == canonical(VALUES)
        assert (stored[0].epoch, stored[0].details) == (None, None)
        assert stored[0].logged_at == _AT + timedelta(microseconds=1)
        assert stored[1].metrics == {"loss": "NaN"}

    def test_insert_missing_leaves_what_is_there(self, database: _Database) -> None:
        """insert_missing() adds rows whose keys are new, changes no other, and may be repeated."""
        table = database.models.step_log
        with database.engine.begin() as connection:
            for rows in ([], [self._step(1, {"a": 1})], [self._step(1, {"a": 2}), self._step(2, {"a": 3})]):
                database.backend.insert_missing(connection, table, _KEYS, rows)
            stored = connection.execute(select(table.c.metrics).order_by(table.c.step)).scalars().all()
        assert stored == [{"a": 1}, {"a": 3}]

    def test_insert_new_stores_what_upsert_would(self, database: _Database) -> None:
        """insert_new() takes any number of rows with any values, column by column; times are microseconds."""
        table, backend = database.models.step_log, database.backend
        text = {"text": 'tab\t line\n back\\slash \\N quote" \u00e9\u4e2d\U0001f600'}
        variants: tuple[dict[str, Any], ...] = (
            {"metrics": VALUES},
            {"metrics": text, "details": {"\\": [None, "\\."]}},
            {"metrics": {}, "epoch": math.inf, "step_time": 5e-324, "logged_at": _AT + timedelta(microseconds=1)},
        )
        rows = [self._step(**{"number": number, **variants[number % len(variants)]}) for number in range(300)]
        names = tuple(rows[0])
        microseconds = [
            {**row, "logged_at": (row["logged_at"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)}
            for row in rows
        ]
        batches = [
            [[row[name] for row in microseconds[begin:end]] for name in names] for begin, end in ((0, 2), (2, 300))
        ]
        read = []
        for write in (
            partial(backend.insert_new, names=names, batches=iter(())),
            partial(backend.insert_new, names=names, batches=iter(batches)),
            partial(backend.upsert, rows=rows),
        ):
            with database.engine.connect() as connection:
                write(connection, table, _KEYS)
                statement = select(*(table.c[name] for name in names)).order_by(table.c.step)
                read.append([tuple(row) for row in connection.execute(statement)])
                connection.rollback()
        nothing, *read = read
        assert nothing == []
        assert len(read[0]) == len(rows)
        assert read[0] == read[1]

    def test_floats_are_exact(self, database: _Database) -> None:
        """Float columns take infinities, the extremes of float64 and None exactly."""
        table = database.models.metric_summary
        values = [(-math.inf, math.inf, None), (5e-324, 1.7976931348623157e308, 0.1), (-0.5, 1e16, 123456789.123456789)]
        rows = [
            {"run_id": 1, "metric": f"m{place}", "count": 1, "nonfinite_count": 0, "min": a, "max": b, "last": c}
            for place, (a, b, c) in enumerate(values)
        ]
        with database.engine.begin() as connection:
            database.backend.upsert(connection, table, ("run_id", "metric"), rows)
            read = connection.execute(select(table.c.min, table.c.max, table.c.last).order_by(table.c.metric)).all()
        assert [tuple(row) for row in read] == values

    def test_json_expressions(self, database: _Database) -> None:
        """json_value() finds what json_path_reaches() admits; json_number() is a finite number or NULL."""
        table, backend = database.models.step_log, database.backend
        stored = canonical(VALUES)
        with database.engine.begin() as connection:
            backend.upsert(connection, table, _KEYS, [self._step(1, VALUES)])
            for name, value in stored.items():
                if not backend.json_path_reaches(name):
                    continue
                found = connection.execute(select(backend.json_value(table.c.metrics, name))).scalar()
                assert found == value, name
                number = connection.execute(select(backend.json_number(table.c.metrics, name))).scalar()
                expected = float(value) if type(value) in (int, float) else None
                assert (None if number is None else float(number)) == expected, name
            for expression in (backend.json_value, backend.json_number):
                assert connection.execute(select(expression(table.c.metrics, "absent"))).scalar() is None

    def test_json_numbers_compare(self, database: _Database) -> None:
        """Comparing and ordering by a number passes over rows where the key holds something else."""
        table, backend = database.models.step_log, database.backend
        values = [2, "high", 0.5, None, True, math.inf, [9], 1]
        with database.engine.begin() as connection:
            rows = [self._step(place, {"x": value}) for place, value in enumerate(values)]
            backend.upsert(connection, table, _KEYS, rows)
            number = backend.json_number(table.c.metrics, "x")
            found = connection.execute(select(table.c.step).where(number > 0).order_by(number)).scalars().all()
        assert found == [2, 7, 0]

    def test_json_text_is_equal_for_equal_values(self, database: _Database) -> None:
        """json_text() is a text that can be compared and grouped by."""
        table, backend = database.models.step_log, database.backend
        rows = [self._step(1, {"a": 1}), self._step(2, {"a": 1}), self._step(3, {"a": 2})]
        with database.engine.begin() as connection:
            backend.upsert(connection, table, _KEYS, rows)
            texts = (
                connection.execute(select(backend.json_text(table.c.metrics)).order_by(table.c.step)).scalars().all()
            )
        assert texts[0] == texts[1] != texts[2]
        assert isinstance(texts[0], str)

    def test_reading(self, database: _Database) -> None:
        """reading(), snapshot() and lock_rows() give the rows that are committed."""
        engine, backend, models = database
        statement = select(models.run.c.uid)
        for reading in (backend.reading, backend.snapshot):
            with reading(engine) as connection:
                assert connection.execute(statement).scalars().all() == ["r"]
                assert connection.execute(select(func.count()).select_from(models.attempt)).scalar_one() == 1
        own = backend.create_writer_engine()
        with own.connect() as connection, backend.writing(connection):
            assert connection.execute(backend.lock_rows(statement)).scalars().all() == ["r"]
        own.dispose()

    # --- Errors, health --------------------------------------------------------------------------------------------

    def test_no_password_is_shown(self, database_url: str) -> None:
        """repr, safe_url, identity and journal_key hold no password; two users of a database share its identity."""
        url = make_url(database_url)
        backend = open_backend(url.set(password=PASSWORD) if url.username else url)
        shown = (repr(backend), str(backend), backend.safe_url, backend.identity, backend.journal_key(""))
        assert not [text for text in shown if PASSWORD in text]
        assert backend.journal_key("") != backend.journal_key("x_")
        backend.close()

    def test_what_does_not_answer_is_unavailable(self, unreachable_url: str) -> None:
        """A database that does not answer is a `StoreUnavailableError`, soon, without the password."""
        with pytest.raises(StoreUnavailableError) as failed:
            TrainStore(unreachable_url)
        assert PASSWORD not in "".join(map(str, (failed.value, repr(failed.value), failed.value.__cause__)))

    def test_being_away(self, away: Away) -> None:
        """A run begins in its journal while the database is away, and is delivered when it is back."""
        backend = open_backend(away.url)
        assert backend.can_be_away
        backend.close()
        with TrainStore(away.url, offline_ok=True) as store:
            run = store.start_run(name="offline", hyperparams={"lr": 0.1})
            for step in range(50):
                run.log({"loss": float(step)}, step=step)
            assert not run.flush(0.1)
            away.come_back()
            assert run.finish(timeout=60)
            assert store.list_step_logs(run)["loss"].tolist() == [float(step) for step in range(50)]
            assert store.get_run("offline").hyperparams == {"lr": 0.1}

    def test_a_closed_store_lets_go(self, lasting_url: str) -> None:
        """A store may be closed twice and opened again at once, many times."""
        for place in range(5):
            store = TrainStore(lasting_url)
            store.start_run(name=f"n{place}").finish()
            store.close()
            store.close()
        with TrainStore(lasting_url) as store:
            assert len(store.list_runs()) == 5

    def test_health(self, database: _Database) -> None:
        """What the doctor is told are findings, and finding them out changes nothing."""
        engine, backend, models = database
        found = list(backend.inspect_place())
        with backend.reading(engine) as connection:
            found += backend.inspect_database(connection, models)
        assert all(isinstance(finding, Finding) for finding in found)
        assert schema.check(*database) == []

    # --- How -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _step(number: int, metrics: dict[str, Any], **others: Any) -> dict[str, Any]:
        row = {"run_id": 1, "step": number, "attempt": 1, "logged_at": _AT, "epoch": None, "step_time": None}
        return {**row, "metrics": canonical(metrics), "details": None, **others}

    @staticmethod
    def _rows(store: TrainStore) -> dict[str, int]:
        """The number of rows of every table that belongs to runs."""
        tables = store.models.metadata.tables
        with store.engine.connect() as connection:
            return {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in tables.items()
            }

    def _start(self, code: str, url: str, *arguments: object) -> subprocess.Popen[str]:
        """A process that runs ``code``, which finds ``url``, ``sys`` and the arguments from ``sys.argv[2]`` on."""
        begin = f"import sys\n{textwrap.dedent(self.setup_code)}\nurl = sys.argv[1]\n"
        return subprocess.Popen(
            [sys.executable, "-c", begin + textwrap.dedent(code), url, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _line(self, process: subprocess.Popen[str]) -> str:
        """The next line of a process; the test fails where it ends before, or is silent for too long."""
        timer = threading.Timer(DEADLINE, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()  # type: ignore[union-attr]
        finally:
            timer.cancel()
        if not line:
            process.kill()
            pytest.fail(f"the process wrote nothing: {process.communicate()[1]}")
        return line.strip()

    def _finish(self, process: subprocess.Popen[str]) -> str:
        """Wait for the end of a process, which must be a good one; what it wrote."""
        try:
            out, err = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"the process did not end: {process.communicate()}")
        assert process.returncode == 0, err
        return out.strip()

    @staticmethod
    def _close(process: subprocess.Popen[str]) -> None:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
