"""Rows of two SQLite files are compared as they are stored, and no difference is overlooked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from fixtures.databases import opened
from trainstore import TrainStore
from trainstore.transfer import comparing
from trainstore.transfer.comparing import differing_rows

STEPS = 40


@pytest.fixture(params=[1, 7, 500])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows that are read at a time."""
    monkeypatch.setattr(comparing, "CHUNK", request.param)
    return int(request.param)


def differing(one: str, other: str, up_to: int = STEPS) -> list[int]:
    with (
        opened(one) as first,
        opened(other) as second,
        first.engine.connect() as there,
        second.engine.connect() as here,
    ):
        theirs, mine = (there, first.models.step_log, 1, 1), (here, second.models.step_log, 1, 1)
        return [row[0] for part in differing_rows(theirs, mine, up_to) for row in part]


def record(url: str, *, without: Any = (), changes: Any = None) -> None:
    with TrainStore(url) as store, store.start_run() as run:
        for step in range(STEPS):
            if step not in without:
                run.log({"loss": step, "text": "é", **(changes or {}).get(step, {})}, step=step)
        run.flush()
        with store.session() as session:
            session.execute(update(store.table.step_log).values(logged_at=datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.usefixtures("chunk")
def test_every_difference_is_found(new_database: Callable[..., str]) -> None:
    """A row that is missing, that has another value, or the same number as another type; those up to a step."""
    mine, theirs = new_database("sqlite"), new_database("sqlite")
    record(mine, without=(3, 39))
    record(theirs, changes={7: {"more": 1}, 8: {"loss": 8.5}, 9: {"loss": 9.0}, 20: {"text": "e"}}, without=(30,))
    assert differing(theirs, mine) == [3, 7, 8, 9, 20, 39]
    assert differing(theirs, mine, up_to=19) == [3, 7, 8, 9]
    assert differing(mine, mine) == []
