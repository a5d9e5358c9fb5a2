"""Whatever is recorded at three stores, and merged in whatever direction, they come to hold what one store would."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from properties.profiles import examples
from properties.test_histories import Plan, as_float64, contents, journals_of, plans, recorded_values
from recording.support import Desk, HandJournal, desk_at
from trainstore.transfer.merging import Choice, merge_runs
from trainstore.transfer.reports import Merged
from trainstore.transfer.sources import Source, Waiting

STORES = 3


@pytest.fixture
def desks(database_url: str, new_database: Any) -> Iterator[list[Desk]]:
    """Three stores and a fourth that gets every journal; one is on the database of the test, the others on SQLite."""
    with ExitStack() as stack:
        others = [new_database("sqlite") for _ in range(STORES)]
        yield [stack.enter_context(desk_at(url)) for url in (database_url, *others)]


def merge(source: Desk, target: Desk, **choice: Any) -> Merged:
    """Merge one desk into another."""
    with source.connection.begin():
        opened = Source(source.connection, source.models, source.backend, "", Waiting())
        return merge_runs(opened, target.connection, target.statements, Choice(**choice))


def converge(desks: list[Desk]) -> None:
    """Merge in every direction, as often as news need to go round."""
    for _ in range(2):
        for source in desks:
            for target in desks:
                if source is not target:
                    merge(source, target)
    for source in desks:
        for target in desks:
            if source is not target:
                again = merge(source, target)
                assert not [*again.new, *again.updated, *again.behind], again


def deliver_at_homes(plan: Plan, journals: list[HandJournal], desks: list[Desk], data: st.DataObject) -> None:
    """Each journal goes into one store, in pieces, and stores are merged in between."""
    homes = [desks[data.draw(st.integers(0, STORES - 1))] for _ in journals]
    moves = [(a, b) for a in range(STORES) for b in range(STORES) if a != b]
    for index, count in plan.deliveries:
        journal = journals[index]
        homes[index].deliver(journal, count if journal.acked else count + 1)
        for source, target in data.draw(st.lists(st.sampled_from(moves), max_size=2)):
            merge(desks[source], desks[target])
    for index, journal in enumerate(journals):
        homes[index].deliver(journal)


def record_everywhere(plan: Plan, journals: list[HandJournal], desks: list[Desk], data: st.DataObject) -> None:
    """The last store gets every journal; the others get them as the plan says, and are merged until they agree."""
    *stores, oracle = desks
    for journal in journals:
        copy = HandJournal(journal.run_uid, journal.attempt, uid=journal.uid, rank=journal.rank)
        copy.records = list(journal.records)
        oracle.deliver(copy)
    deliver_at_homes(plan, journals, stores, data)
    converge(stores)
    note(f"journals: {journals}")


@contextmanager
def forgetting(desks: list[Desk], run_uid: str) -> Iterator[None]:
    """Leave the stores empty."""
    try:
        yield
    finally:
        for desk in desks:
            desk.forget(run_uid)


@examples(8)
@given(plan=plans(own_names=True), data=st.data())
def test_three_stores_hold_what_one_would(desks: list[Desk], plan: Plan, data: st.DataObject) -> None:
    """Rows, attempts, summaries and what a run shows are those of a store that got every journal."""
    run_uid = str(uuid.uuid4())
    journals = journals_of(plan, run_uid)
    *stores, oracle = desks
    with forgetting(desks, run_uid):
        record_everywhere(plan, journals, desks, data)
        expected = numbers_alike(contents(oracle, run_uid))
        for store in stores:
            store.check(run_uid)
            assert numbers_alike(contents(store, run_uid)) == expected


@examples(8)
@given(plan=plans(), data=st.data())
def test_values_that_several_writers_set_are_all_kept(desks: list[Desk], plan: Plan, data: st.DataObject) -> None:
    """Whoever set a value of a step, and wherever: each store holds every value in the end, as current or earlier."""
    run_uid = str(uuid.uuid4())
    journals = journals_of(plan, run_uid)
    *stores, oracle = desks
    with forgetting(desks, run_uid):
        record_everywhere(plan, journals, desks, data)
        expected = values_of(oracle, run_uid)
        for store in stores:
            store.check(run_uid)
            assert values_of(store, run_uid) == expected


def numbers_alike(value: Any) -> Any:
    """`contents` with numbers as float64."""
    if isinstance(value, tuple):
        return tuple(map(numbers_alike, value))
    if isinstance(value, dict):
        return {key: numbers_alike(item) for key, item in value.items()}
    return [numbers_alike(item) for item in value] if isinstance(value, list) else as_float64(value)


def values_of(desk: Desk, run_uid: str) -> dict[Any, set[str]]:
    """(attempt, step, metric) → the different values."""
    return {
        (place, name): {plain(value) for value in values}
        for place, metrics in recorded_values(desk, run_uid).items()
        for name, values in metrics.items()
    }


def plain(value: Any) -> str:
    """A value as text; both zeros are one, as in PostgreSQL's jsonb."""
    number = as_float64(value)
    return repr(number + 0.0 if isinstance(number, float) else number)
