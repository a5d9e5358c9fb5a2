"""Whatever was recorded, its lines read back are the same run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.profiles import examples
from properties.test_histories import Plan, contents, journals_of, plans
from recording.support import Desk, desk_at
from trainstore.transfer.from_lines import load
from trainstore.transfer.lines import write_runs
from transfer.test_histories import forgetting, numbers_alike


@pytest.fixture
def desks(database_url: str, new_database: Any) -> Iterator[list[Desk]]:
    """One that records, one that reads the lines."""
    with ExitStack() as stack:
        yield [stack.enter_context(desk_at(url)) for url in (database_url, new_database("sqlite"))]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


@examples(12)
@given(plan=plans(), data=st.data())
def test_any_history_comes_back(desks: list[Desk], path: Path, plan: Plan, data: st.DataObject) -> None:
    """Steps, attempts, summaries and what the run shows, of trees of attempts and of half-delivered journals."""
    run_uid = str(uuid.uuid4())
    journals = journals_of(plan, run_uid)
    source, target = desks
    with forgetting(desks, run_uid):
        for index, count in plan.deliveries:
            source.deliver(journals[index], count if journals[index].acked else count + 1)
        if data.draw(st.booleans()):
            for journal in journals:
                source.deliver(journal)
        recorded = source.rows(source.models.run.select())
        with path.open("wb") as file, source.connection.begin():
            runs = [(row.id, row.uid) for row in recorded]
            write_runs(file, source.connection, source.models, source.backend, runs)
        loaded = load(path, target.connection, target.statements)
        assert loaded.damaged == {}
        assert [run.uid for run in loaded.runs] == [row.uid for row in recorded]
        for run in loaded.runs:
            target.check(run.uid)
            assert numbers_alike(contents(target, run.uid)) == numbers_alike(contents(source, run.uid))
