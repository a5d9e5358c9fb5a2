"""Several runs recorded, edited and deleted at three stores that are merged now and then: they come to hold the same.

`test_histories` has the values of steps; here is what surrounds them: several runs, parents, hyperparameters, tags,
notes, names, events, ends, deletion. Every table is compared.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from properties.profiles import examples
from properties.test_histories import as_float64, attempt_trees
from recording.support import START, AttemptFacts, Desk, HandJournal, desk_at
from trainstore.recording.deletion import delete_run
from trainstore.recording.edits import Edit, apply_edits
from trainstore.recording.flush import RunDeletedError, WatermarkMovedError
from trainstore.transfer.merging import Choice, merge_runs
from trainstore.transfer.reports import Merged
from trainstore.transfer.sources import Source, Waiting
from trainstore.values import time_of

STORES = 3
ALL = range(STORES)
NEVER = 10**15  # microseconds after START: later than the clock of whoever runs this
LATER = 1_000_000  # microseconds after START: edits, later than all that the runs began with


@dataclass(repr=False)
class World:
    """Journals, each with the store that it is delivered to, and what happens in which order."""

    journals: list[HandJournal]
    homes: list[int]
    actions: list[tuple[Any, ...]]

    @property
    def told(self) -> str:
        """All of it in short, for a test that fails."""
        lines = [
            f"journal {number} at {home}: {journal.uid[:8]} of {[a.uid[:8] for a in journal.attempt.lineage]} from "
            f"{journal.attempt.start_step}: {journal.records[2:]}"
            for number, (journal, home) in enumerate(zip(self.journals, self.homes, strict=True))
        ]
        return "\n".join([*lines, *map(str, self.actions)])


@st.composite
def journals_of_run(draw: st.DrawFn, run_uid: str, parent: str | None, number: int, later: bool) -> list[HandJournal]:
    """The journals of one run: openers with hyperparameters, and others that joined.

    ``later``: some attempts began after everything that tests do, their deletions too.
    """
    made: list[AttemptFacts] = []
    by_uid: dict[str, AttemptFacts] = {}
    for attempt in draw(attempt_trees())[:4]:
        above = None if attempt.parent is None else by_uid[attempt.parent.uid]
        is_later = later and (draw(st.booleans()) or (above is not None and above.opened_at > NEVER))
        own = replace(
            attempt,
            opened_at=attempt.opened_at + is_later * NEVER,
            uid=str(uuid.uuid5(uuid.UUID(run_uid), attempt.uid)),
            parent=above,
        )
        by_uid[attempt.uid] = own
        made.append(own)
    openers = draw(st.lists(st.sampled_from(range(len(made))), min_size=1, unique=True))
    joined = draw(st.lists(st.sampled_from(range(len(made))), max_size=2))
    journals = []
    for rank, (index, opens) in enumerate([*((i, True) for i in openers), *((i, False) for i in joined)]):
        attempt = made[index]
        uid = attempt.uid if opens else str(uuid.uuid5(uuid.UUID(attempt.uid), f"joined {rank}"))
        journal = HandJournal(run_uid, attempt, uid=uid, rank=rank)
        journal.records[0] |= {"name": f"run {number}", "notes": f"notes {number}", "project": f"p{number}"}
        journal.records[0]["writer"]["started_at"] = START + draw(st.integers(0, 3))
        if parent is not None:
            journal.records[0] |= {"parent": parent, "parent_step": 3}
        if draw(st.booleans()) and draw(st.booleans()):  # the store was out of reach: all that is known is a checkpoint
            journal.records[0] |= {"name": f"run-{rank}", "notes": None, "project": "default", "parent": None}
            journal.records[0] |= {"parent_step": None, "started_at": START + 5 + rank}
        if opens:
            journal.hyperparams({name: draw(st.integers(0, 2)) for name in draw(st.sets(st.sampled_from("xyz")))})
        for _ in range(draw(st.integers(0, 5))):
            step, kind = draw(st.integers(0, 12)), draw(st.sampled_from(("step", "step", "event", "tag", "note")))
            at = START + LATER + draw(st.integers(0, 20))
            if kind == "step":
                journal.step(step, {f"m{rank}": draw(st.integers(-2, 2)) / 2, "same": step}, epoch=step / 10)
            elif kind == "event":
                journal.event("checkpoint", step=step, details={"path": f"checkpoint-{step}"})
            elif kind == "tag":
                value = f"{uid} {len(journal.records)}"  # each edit another one: an edit to what is there is none
                tags = {draw(st.sampled_from(("good", "bad"))): value}
                journal.records.append({"kind": "tag", "at": at, "values": tags})
            else:
                journal.event("note", details={"notes": f"{uid} {len(journal.records)}"})
                journal.records[-1]["at"] = at
        status = draw(st.sampled_from((None, "finished", "failed")))
        if status is not None:
            journal.status(status, error=status)
            journal.records[-1]["at"] = START + LATER  # of two ranks that fail, the first to arrive says when
        journals.append(journal)
    return journals


@st.composite
def worlds(draw: st.DrawFn, deletes: bool = False) -> World:
    """What happens to one to three runs at three stores."""
    uids = [str(uuid.UUID(int=draw(st.integers(0, 2**16)) << 8 | number)) for number in range(draw(st.integers(1, 3)))]
    journals: list[HandJournal] = []
    for number, uid in enumerate(uids):
        parent = draw(st.sampled_from([None, *uids[:number], str(uuid.UUID(int=7 << 64))]))
        journals += draw(journals_of_run(uid, parent, number, deletes))
    homes = [draw(st.sampled_from(ALL)) for _ in journals]
    deliver = st.tuples(st.just("deliver"), st.integers(0, len(journals) - 1), st.integers(2, 5))
    merge = st.tuples(st.just("merge"), st.sampled_from([(a, b) for a in ALL for b in ALL if a != b]))
    edit = st.sampled_from(
        [("tag", set_, removed) for set_ in ((), ("good",), ("bad",)) for removed in ((), ("good",), ("bad",))]
        + [("note", ("notes",), ()), ("note", (), ("notes",)), ("rename", ("name",), ())]
    )
    place = (st.sampled_from(ALL), st.sampled_from(uids))
    edits = st.tuples(st.just("edit"), *place, edit)
    more = [st.tuples(st.just("delete"), *place)] if deletes else []
    actions = draw(st.lists(st.one_of(deliver, deliver, merge, merge, edits, *more), min_size=2, max_size=16))
    return World(journals, homes, actions)


@pytest.fixture
def desks(database_url: str, new_database: Any) -> Iterator[list[Desk]]:
    """Three stores, one of them on the database of the test, and one that gets everything."""
    with ExitStack() as stack:
        urls = [database_url, *(new_database("sqlite") for _ in ALL)]
        yield [stack.enter_context(desk_at(url)) for url in urls]


def merge(source: Desk, target: Desk, **choice: Any) -> Merged:
    """Merge one store into another. Unless runs may be deleted, nothing that the target held may be gone."""
    before = set() if choice.get("delete") else held(target)
    with source.connection.begin():
        opened = Source(source.connection, source.models, source.backend, "", Waiting())
        report = merge_runs(opened, target.connection, target.statements, Choice(**choice))
    if before:
        assert not before - held(target)
    return report


def held(desk: Desk) -> set[tuple[Any, ...]]:
    """All that was recorded: values of steps, also replaced ones, events, hyperparameters, records that are stored."""
    models = desk.models
    numbers = {(row.run_id, row.attempt): row.uid for row in desk.rows(select(models.attempt))}
    found: set[tuple[Any, ...]] = {("attempt", uid) for uid in numbers.values()}
    for row in desk.rows(select(models.step_log)):
        earlier = (row.details or {}).get("earlier", {})
        for name, value in row.metrics.items():
            place = ("step", numbers[row.run_id, row.attempt], row.step, name)
            found |= {(*place, repr(as_float64(each))) for each in [*earlier.get(name, []), value]}
    found |= {("event", row.writer_uid, row.seq) for row in desk.rows(select(models.event))}
    found |= {("hyperparam", row.run_id, row.namespace, row.key) for row in desk.rows(select(models.hyperparam))
              if row.namespace != "tag"}  # fmt: skip
    for row in desk.rows(select(models.writer)):
        found |= {("record", row.uid, number) for number in range(row.acked + 1)}
    return found


def converge(stores: list[Desk], **choice: Any) -> None:
    """Merge round in both directions, until news have reached everybody; then again, which must change nothing."""
    pairs = [(a, b) for a in stores for b in stores if a is not b]
    for source, target in [*pairs, *pairs]:
        merge(source, target, **choice)
    before = [everything(store) for store in stores]
    for source, target in pairs:
        again = merge(source, target, **choice)
        assert not [*again.new, *again.updated, *again.behind, *again.deleted, *again.revived], again
    assert [everything(store) for store in stores] == before


def act(world: World, stores: list[Desk], oracle: Desk | None = None, **choice: Any) -> None:
    """Do what the world says; the oracle gets every edit that changed something, in the order of their times."""
    edits: list[tuple[str, Edit]] = []
    for number, action in enumerate(world.actions):
        match action:
            case ("deliver", index, count):
                deliver(stores[world.homes[index]], world.journals[index], count)
            case ("merge", (source, target)):
                merge(stores[source], stores[target], **choice)
            case ("edit", place, uid, (kind, set_, removed)):
                writer = str(uuid.uuid5(uuid.NAMESPACE_OID, f"hand {number}"))
                values = dict.fromkeys(set_, f"by hand {number}")
                edit = Edit(kind, time_of(START + 2 * LATER + number), writer, 1, values, removed)
                changes = apply_edit(stores[place], uid, edit)
                edits += [(uid, replace(edit, removed=details["removed"])) for details in changes]
            case ("delete", place, uid):
                forget(stores[place], uid)
    for journal, home in zip(world.journals, world.homes, strict=True):
        deliver(stores[home], journal)
    if oracle is None:
        return
    for journal in world.journals:
        whole = HandJournal(journal.run_uid, journal.attempt, uid=journal.uid, rank=journal.rank)
        whole.records = list(journal.records)
        oracle.deliver(whole)
    for uid, edit in edits:
        apply_edit(oracle, uid, edit, keep=True)  # where it was made, it changed something


def deliver(desk: Desk, journal: HandJournal, count: int | None = None) -> None:
    """Deliver records of a journal; those of a deleted run are set aside."""
    if not journal.seen and time_of(START + journal.attempt.opened_at) <= deleted_at(desk, uid=journal.run_uid):
        return  # a resume looks when the run was deleted, and is later
    try:
        desk.deliver(journal, count)
    except RunDeletedError:
        journal.records = journal.records[: journal.acked]
    except WatermarkMovedError as moved:  # the run was deleted, and is there again as another store knew it
        journal.acked = moved.acked
        desk.deliver(journal, count)
    with desk.connection.begin():  # the process is gone: a run that is being recorded is not deleted
        desk.connection.execute(update(desk.models.writer).values(heartbeat_at=None))


def deleted_at(*desks: Desk, uid: str) -> datetime:
    """When a run was deleted the last time, at one of these stores."""
    times = [row.deleted_at for desk in desks for row in desk.rows(select(desk.models.deleted_run)) if row.uid == uid]
    return max(times, default=time_of(0))


def apply_edit(desk: Desk, uid: str, edit: Edit, *, keep: bool = False) -> list[dict[str, Any]]:
    """Edit a run by hand, if it is there; what that changed."""
    with desk.connection.begin():
        run = desk.statements.lock_run(desk.connection, uid)
        if run is None:
            return []
        head = desk.statements.load_attempts(desk.connection, run.id).head
        return apply_edits(desk.connection, desk.statements, run.id, head.attempt, [edit], keep=keep)


def forget(desk: Desk, uid: str) -> None:
    """Delete a run, if it is there."""
    with desk.connection.begin():
        run = desk.statements.lock_run(desk.connection, uid)
        if run is not None:
            delete_run(desk.connection, desk.statements, run.id, uid, force=True)


def everything(desk: Desk, *, of_the_oracle: bool = False) -> Any:
    """Every table, by uids instead of the store's own numbers.

    Which hyperparameters an attempt changed depends on the order of arrival even in one store: it is left out if the
    oracle is compared.
    """
    models = desk.models
    runs = {row.id: row for row in desk.rows(select(models.run))}
    uids = {run_id: row.uid for run_id, row in runs.items()}
    attempts = {(row.run_id, row.attempt): row for row in desk.rows(select(models.attempt))}
    numbers = {key: row.uid for key, row in attempts.items()}
    local = {"id", "run_id", "attempt", "resumed_from", "parent_run_id", "heartbeat_at", "closed_at"}
    if of_the_oracle:
        local |= {"changed_hyperparams"}

    def plain(row: Any, *more: Any, leave: frozenset[str] = frozenset()) -> Any:
        names = row._mapping.keys() - local - leave
        return as_float64({name: row._mapping[name] for name in names}), *more

    found: dict[str, Any] = {
        "run": {row.uid: plain(row, uids.get(row.parent_run_id), row.ended_at) for row in runs.values()},
        "attempt": {
            row.uid: plain(row, uids[row.run_id], numbers.get((row.run_id, row.resumed_from)), row.closed_at)
            for row in attempts.values()
        },
        "writer": {
            row.uid: plain(row, uids[row.run_id], numbers[row.run_id, row.attempt], row.closed_at is not None)
            for row in desk.rows(select(models.writer))
        },
        "summary": {
            (uids[row.run_id], row.metric): plain(row) for row in desk.rows(select(models.metric_summary)) if row.count
        },
    }
    for name, keys in (("step_log", ("step",)), ("hyperparam", ("namespace", "key"))):
        found[name] = {
            (numbers[row.run_id, row.attempt], *(getattr(row, key) for key in keys)): plain(row)
            for row in desk.rows(select(getattr(models, name)))
            if row._mapping.get("namespace") != "tag"  # under which attempt a tag is noted does not matter
        }
    found["tags"] = {
        (uids[row.run_id], row.key): row.value for row in desk.rows(select(models.hyperparam)) if row.namespace == "tag"
    }
    found["event"] = {
        (uids[row.run_id], row.writer_uid, row.seq): (*plain(row, leave=frozenset({"details"})), _told(row.details))
        for row in desk.rows(select(models.event))
    }
    found["deleted_run"] = {row.uid: tuple(row) for row in desk.rows(select(models.deleted_run))}
    return found


def _told(details: Any) -> Any:
    """An event's details; what stood there before an edit depends on which other edits had arrived."""
    return {name: value for name, value in details.items() if name != "before"} if details else details


def clear(desks: list[Desk]) -> None:
    """Leave the stores empty."""
    for desk in desks:
        with desk.connection.begin():
            desk.connection.execute(delete(desk.models.run))
            desk.connection.execute(delete(desk.models.deleted_run))


def assert_same(one: Any, other: Any) -> None:
    """Compare row by row, so that a failure is readable."""
    for name in one:
        differing = {
            key: (one[name].get(key), other[name].get(key))
            for key in one[name].keys() | other[name].keys()
            if one[name].get(key) != other[name].get(key)
        }
        assert not differing, f"{name}: {differing}"


@examples(6)
@given(world=worlds())
def test_whatever_is_recorded_and_edited_where_all_stores_come_to_hold_it(desks: list[Desk], world: World) -> None:
    """Three stores, merged in any direction in between, end with what one store has that got everything."""
    *stores, oracle = desks
    try:
        act(world, stores, oracle)
        converge(stores)
        note(world.told)
        expected = everything(oracle, of_the_oracle=True)
        for store in stores:
            assert_same(everything(store, of_the_oracle=True), expected)
        first, *others = map(everything, stores)
        for other in others:
            assert_same(other, first)
    finally:
        clear(desks)


@examples(6)
@given(world=worlds(deletes=True))
def test_deleted_runs_are_gone_everywhere_unless_they_went_on(desks: list[Desk], world: World) -> None:
    """With ``delete`` all stores come to hold the same; a run that was begun anew after it was deleted is there."""
    stores = desks[:STORES]
    try:
        act(world, stores, delete=True)
        note(world.told)
        went_on = {
            run.uid
            for store in stores
            for run in store.rows(select(store.models.run))
            if max(row.opened_at for row in store.attempts(run.uid).values()) > deleted_at(*stores, uid=run.uid)
        }
        converge(stores, delete=True)
        first, *others = map(everything, stores)
        for other in others:
            assert_same(other, first)
        assert first["run"].keys() == went_on
    finally:
        clear(desks)


@examples(4)
@given(world=worlds(deletes=True))
def test_nothing_is_lost_by_a_merge_that_may_not_delete(desks: list[Desk], world: World) -> None:
    """Wherever runs were deleted: what a store still has, it has after every merge (`merge` looks)."""
    stores = desks[:STORES]
    try:
        act(world, stores)
        note(world.told)
        for source, target in [(a, b) for a in stores for b in stores if a is not b] * 2:
            merge(source, target)
    finally:
        clear(desks)
