"""What a backend does when a store is opened: schema, migration, several processes at once."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, inspect, select, update

from trainstore import schema
from trainstore.backends import open_backend
from trainstore.errors import (
    SchemaForeignError,
    SchemaTooNewError,
)
from trainstore.store import TrainStore
from trainstore.testing.base import ContractBase, Database


class Opening(ContractBase):
    """What a backend does when a store is opened: schema, migration, several processes at once."""

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

    def test_schema_is_as_declared(self, database: Database) -> None:
        """The schema is at head, nothing differs from the models, and upgrading again changes nothing."""
        assert schema.current(*database) == schema.HEAD
        assert schema.check(*database) == []
        schema.upgrade(*database)
        assert schema.check(*database) == []

    def test_schemas_of_others_are_left_alone(self, database: Database) -> None:
        """A schema of a newer trainstore is refused, by name, and not changed."""
        with database.engine.begin() as connection:
            connection.execute(update(database.models.trainstore_version).values(version_num="9999"))
        with pytest.raises(SchemaTooNewError, match="9999"):
            schema.prepare(*database)
        assert schema.current(*database) == "9999"

    def test_foreign_tables_are_left_alone(self, lasting_url: str) -> None:
        """A foreign table with one of our names is an error, and no table is created."""
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

    def test_a_failed_migration_leaves_nothing(self, database: Database) -> None:
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
