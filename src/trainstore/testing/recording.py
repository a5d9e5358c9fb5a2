"""What is recorded reads back as it was: values, steps that merge, resumed and deleted runs."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import OperationalError

from trainstore.backends import Backend, open_backend
from trainstore.errors import RunNotFoundError
from trainstore.recording.deletion import deleted_runs
from trainstore.store import TrainStore
from trainstore.testing.base import AT, VALUES, ContractBase, Database, same


class Recording(ContractBase):
    """What is recorded reads back as it was: values, steps that merge, resumed and deleted runs."""

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
        """Text that databases cannot hold is stored escaped, in every field."""
        odd = "a\x00b\ud800"
        with contract_store.start_run(name=odd, hyperparams={"x": odd, odd: 1}, notes=odd) as run:
            run.log({odd: 1.0, "text": odd}, step=0, details={"x": [odd]})
        record = contract_store.get_run(run)
        assert record.name == record.notes == "a\\u0000b\\ud800"
        assert record.hyperparams == {"x": "a\\u0000b\\ud800", "a\\u0000b\\ud800": 1}
        assert contract_store.list_step_logs(run)["a\\u0000b\\ud800"].tolist() == [1.0]

    def test_times_keep_their_microseconds(self, database: Database) -> None:
        """A stored time comes back to the microsecond, in UTC, and compares with the database's clock."""
        run = database.models.run
        with database.engine.connect() as connection:
            assert connection.execute(select(run.c.started_at)).scalar_one() == AT
            moment = connection.execute(select(database.backend.now())).scalar_one()
            assert moment.tzinfo is UTC
            assert moment > AT
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

    def test_a_lost_answer_to_commit_stores_nothing_twice(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """COMMITs that fail, before or after the database did them, are tried again; each record is there once."""
        plan = ["lose", "refuse", "work", "lose", "lose", "refuse"]
        backend = open_backend(database_url)
        create_writer_engine = type(backend).create_writer_engine
        backend.close()

        def create(backend: Backend) -> Engine:
            engine = create_writer_engine(backend)
            commit = engine.dialect.do_commit

            def do_commit(connection: Any) -> None:
                what = plan.pop(0) if opened and plan else "work"
                if what != "refuse":
                    commit(connection)
                if what != "work":
                    raise OperationalError("COMMIT", {}, ConnectionError("the answer was lost"))

            engine.dialect.do_commit = do_commit  # type: ignore[assignment, method-assign]
            return engine

        monkeypatch.setattr(type(backend), "create_writer_engine", create)
        opened = False
        with TrainStore(database_url) as store:
            opened = True
            with store.start_run() as run:
                for step in range(40):
                    run.log({"loss": float(step)}, step=step)
                    run.log_event("mark", step=step)
                    if step % 5 == 0:
                        assert run.flush(60)
            assert plan == []
            assert store.list_step_logs(run)["loss"].tolist() == [float(step) for step in range(40)]
            assert store.list_events(run, kind="mark")["step"].tolist() == list(range(40))
            assert store.list_metrics(run)["count"].tolist() == [40]

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
        attempts = contract_store.list_attempts(first)
        assert attempts["kept_step"].tolist() == [4, 7]
        assert attempts["changed_hyperparams"].tolist() == [None, {"hp.lr": [0.1, 0.2]}]
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
        """A deleted run leaves no row in any table; other runs stay, a child of it keeps its parent's uid."""
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
        with contract_store.engine.connect() as connection:
            (tombstone,) = deleted_runs(connection, contract_store.models).values()
        assert tombstone.uid == gone.uid
        assert tombstone.holds(None)
        assert contract_store.get_run(child).parent_uid == gone.uid
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

    @staticmethod
    def _rows(store: TrainStore) -> dict[str, int]:
        """The number of rows of every table that belongs to runs; of deleted ones a row is kept on purpose."""
        tables = {
            name: table for name, table in store.models.metadata.tables.items() if table is not store.models.deleted_run
        }
        with store.engine.connect() as connection:
            return {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in tables.items()
            }
