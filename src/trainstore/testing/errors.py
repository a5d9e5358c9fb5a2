"""Databases that do not answer, passwords in messages, and what the doctor is told."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from trainstore import schema
from trainstore.backends import open_backend
from trainstore.backends.health import Finding
from trainstore.errors import StoreUnavailableError
from trainstore.store import TrainStore
from trainstore.testing.base import PASSWORD, Away, ContractBase, Database


class Errors(ContractBase):
    """Databases that do not answer, passwords in messages, and what the doctor is told."""

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

    def test_health(self, database: Database) -> None:
        """What the doctor is told are findings, and finding them out changes nothing."""
        engine, backend, models = database
        found = list(backend.inspect_place())
        with backend.reading(engine) as connection:
            found += backend.inspect_database(connection, models)
        assert all(isinstance(finding, Finding) for finding in found)
        assert schema.check(*database) == []
