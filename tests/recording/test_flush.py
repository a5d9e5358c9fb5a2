"""The transaction of a flush, with journals made by hand and no thread."""

from __future__ import annotations

import dataclasses
import random
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from recording.support import (
    START,
    Desk,
    HandJournal,
    desk_at,
    first_attempt,
    next_attempt,
    opened_at,
    opener,
)
from trainstore.recording.editing import edit_notes
from trainstore.recording.flush import MANY, RunDeletedError
from trainstore.values import time_of


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    with desk_at(database_url) as opened:
        yield opened


@pytest.fixture
def run_uid() -> str:
    return str(uuid.uuid4())


def steps(journal: HandJournal, first: int, last: int, **metrics: Any) -> None:
    for step in range(first, last + 1):
        journal.step(step, metrics or {"loss": float(step)})


def hyperparams(desk: Desk, run_uid: str) -> dict[str, tuple[Any, float | None]]:
    table = desk.models.hyperparam.c
    rows = desk.rows(select(table).where(table.run_id == desk.run(run_uid).id))
    return {f"{row.namespace}.{row.key}": (row.value, row.number) for row in rows}


# --- The watermark ---------------------------------------------------------------------------------------------------


def test_the_first_flush_makes_run_attempt_and_writer(desk: Desk, run_uid: str) -> None:
    """A run that the database does not know is inserted with its attempt and its writer, in one transaction."""
    journal = opener(run_uid, first_attempt())
    desk.deliver(journal)
    run = desk.run(run_uid)
    assert (run.project, run.name, run.status, run.last_step) == ("p", "n", "running", None)
    assert run.started_at == time_of(START)
    (attempt,) = desk.attempts(run_uid).values()
    assert (attempt.attempt, attempt.start_step, attempt.end_step, attempt.status) == (1, -1, 2**63 - 1, "running")
    writer = desk.one(select(desk.models.writer))
    assert (writer.uid, writer.run_id, writer.attempt, writer.acked) == (journal.uid, run.id, 1, 2)
    assert writer.heartbeat_at is not None
    assert writer.closed_at is None


def test_a_batch_that_was_stored_is_not_stored_again(desk: Desk, run_uid: str) -> None:
    """When the answer to a COMMIT was lost the same records come again: the watermark refuses them, nothing changes."""
    journal = opener(run_uid, first_attempt())
    steps(journal, 0, 4)
    journal.event("checkpoint")
    desk.deliver(journal)
    before = (desk.current(run_uid), desk.summaries(run_uid))
    desk.deliver_again(journal)
    assert (desk.current(run_uid), desk.summaries(run_uid)) == before
    assert desk.one(select(func.count()).select_from(desk.models.event))[0] == 1


def test_a_failed_transaction_leaves_nothing(desk: Desk, run_uid: str) -> None:
    """When the last statement of a flush fails, neither rows nor watermark moved, and the next try stores all."""
    journal = opener(run_uid, first_attempt())
    desk.deliver(journal)
    steps(journal, 0, 4)
    acked = journal.acked
    original = desk.statements.update_run
    desk.statements.update_run = _raise
    with pytest.raises(RuntimeError, match="the last statement"):
        desk.deliver(journal)
    assert desk.current(run_uid) == []
    assert desk.statements.writer_acked(desk.connection, journal.uid) == acked
    desk.connection.rollback()
    desk.statements.update_run = original
    desk.deliver(journal)
    desk.check(run_uid)
    assert len(desk.current(run_uid)) == 5


def _raise(*_arguments: Any) -> None:
    raise RuntimeError("the last statement")


def test_records_of_a_deleted_run_are_refused(desk: Desk, run_uid: str) -> None:
    """A run that was seen in the database and is gone was deleted: its records make no new one."""
    journal = opener(run_uid, first_attempt())
    desk.deliver(journal)
    desk.forget(run_uid)
    steps(journal, 0, 1)
    with pytest.raises(RunDeletedError, match=run_uid):
        desk.deliver(journal)
    late = HandJournal(run_uid, first_attempt(), seen=True)
    with pytest.raises(RunDeletedError, match=run_uid):
        desk.deliver(late)
    assert desk.rows(select(desk.models.run)) == []


def test_a_run_made_anew_refuses_its_former_writers(desk: Desk, run_uid: str) -> None:
    """After a deletion a fresh writer makes the run again under its uid; one of before has lost its place."""
    old = opener(run_uid, first_attempt())
    desk.deliver(old)
    desk.forget(run_uid)
    fresh = opener(run_uid, first_attempt())
    desk.deliver(fresh)
    steps(old, 0, 1)
    with pytest.raises(RunDeletedError, match=run_uid):
        desk.deliver(old)
    steps(fresh, 0, 1)
    desk.deliver(fresh)
    assert [step for step, _ in desk.current(run_uid)] == [0, 1]


def test_the_earliest_writer_says_when_the_run_began(desk: Desk, run_uid: str) -> None:
    """started_at is the smallest of what the run's journals say, whichever comes first."""
    late, early = HandJournal(run_uid, first_attempt()), HandJournal(run_uid, first_attempt())
    late.records[0]["started_at"] = START + 5
    early.records[0]["started_at"] = START + 2
    for journal in (late, early):
        desk.deliver(journal)
    assert desk.run(run_uid).started_at == time_of(START + 2)


def child_of(parent_uid: str, run_uid: str | None = None) -> HandJournal:
    """A run that began from step 7 of another."""
    journal = opener(run_uid or str(uuid.uuid4()), first_attempt())
    journal.records[0] |= {"parent": parent_uid, "parent_step": 7}
    return journal


def parent_of(desk: Desk, journal: HandJournal) -> tuple[Any, Any, Any]:
    run = desk.run(journal.run_uid)
    return run.parent_uid, run.parent_run_id, run.parent_step


def test_a_run_made_from_a_checkpoint_gets_what_it_began_with(desk: Desk, run_uid: str) -> None:
    """A checkpoint tells neither name nor notes: the journal of the beginning does, unless they were edited since."""
    first = first_attempt()
    resumed, began = opener(run_uid, next_attempt(first, 3)), opener(run_uid, first)
    resumed.records[0] |= {"name": "run-1", "project": "default", "started_at": START + 5}
    began.records[0] |= {"name": "long", "project": "vision", "notes": "by day", "source": "transformers"}
    desk.deliver(resumed)
    with desk.connection.begin():
        edit_notes(desk.connection, desk.statements, run_uid, "by night", append=False)
    desk.deliver(began)
    run = desk.run(run_uid)
    assert (run.name, run.project, run.source, run.notes) == ("long", "vision", "transformers", "by night")
    assert run.started_at == time_of(START)


def test_a_run_names_the_run_it_started_from(desk: Desk) -> None:
    """By its uid, whether the database knows that run or not, and by its id while the database does."""
    parent, elsewhere = opener(str(uuid.uuid4()), first_attempt()), str(uuid.uuid4())
    desk.deliver(parent)
    child, orphan = child_of(parent.run_uid), child_of(elsewhere)
    for journal in (child, orphan):
        desk.deliver(journal)
    assert parent_of(desk, child) == (parent.run_uid, desk.run(parent.run_uid).id, 7)
    assert parent_of(desk, orphan) == (elsewhere, None, 7)
    desk.forget(parent.run_uid)
    assert parent_of(desk, child) == (parent.run_uid, None, 7)


def test_a_parent_that_comes_later_finds_its_children(desk: Desk) -> None:
    """All of them, those that ended too; the children of others stay as they are."""
    parent, other = opener(str(uuid.uuid4()), first_attempt()), str(uuid.uuid4())
    ended, begun, foreign = child_of(parent.run_uid), child_of(parent.run_uid), child_of(other)
    ended.status("finished")
    for journal in (ended, begun, foreign, parent):
        desk.deliver(journal)
    found = desk.run(parent.run_uid)
    assert parent_of(desk, ended) == parent_of(desk, begun) == (parent.run_uid, found.id, 7)
    assert parent_of(desk, foreign) == (other, None, 7)
    assert (found.parent_uid, found.parent_run_id, found.parent_step) == (None, None, None)


def test_a_parent_that_came_at_the_same_moment_is_found_at_the_end(desk: Desk) -> None:
    """If neither transaction saw the other's run, the child asks again when it ends."""
    parent = opener(str(uuid.uuid4()), first_attempt())
    desk.deliver(parent)
    child = child_of(parent.run_uid)
    desk.deliver(child)
    with desk.connection.begin():
        desk.connection.execute(desk.models.run.update().values(parent_run_id=None))
    child.status("finished")
    desk.deliver(child)
    assert parent_of(desk, child) == (parent.run_uid, desk.run(parent.run_uid).id, 7)


def test_a_run_learns_its_parent_from_the_journal_that_began_it(desk: Desk, run_uid: str) -> None:
    """A writer that came first, with a checkpoint alone, did not know it."""
    parent = opener(str(uuid.uuid4()), first_attempt())
    first = child_of(parent.run_uid, run_uid)
    later = opener(run_uid, next_attempt(first.attempt, 3))
    for journal in (parent, later, first):
        desk.deliver(journal)
    assert parent_of(desk, first) == (parent.run_uid, desk.run(parent.run_uid).id, 7)


# --- Steps -----------------------------------------------------------------------------------------------------------


def test_a_step_merges_key_by_key(desk: Desk, run_uid: str) -> None:
    """In one batch or in several: the last value of a key wins, other keys stay, null is a value."""
    journal = opener(run_uid, first_attempt())
    journal.step(3, {"a": 1.0, "b": 2.0}, details={"x": 1}, epoch=0.5)
    journal.step(3, {"a": None, "c": "text"}, details={"y": {"z": 2}}, step_time=0.25)
    desk.deliver(journal)
    journal.step(3, {"b": 5.0}, epoch=0.75)
    desk.deliver(journal)
    table = desk.models.step_log
    row = desk.one(select(table))
    assert row.metrics == {"a": None, "b": 5.0, "c": "text"}
    assert row.details == {"x": 1, "y": {"z": 2}, "earlier": {"a": [1.0], "b": [2.0]}}
    assert (row.epoch, row.step_time) == (0.75, 0.25)
    assert row.logged_at == time_of(START + 2), "the time of the step's first record"
    desk.check(run_uid)


def test_the_highest_step_there_is_can_be_stored(desk: Desk, run_uid: str) -> None:
    """Step 2^63 - 1 is stored and current."""
    journal = opener(run_uid, first_attempt())
    journal.step(2**63 - 1, {"loss": 1.0})
    desk.deliver(journal)
    assert desk.run(run_uid).last_step == 2**63 - 1
    desk.check(run_uid)


def test_scattered_steps_merge_with_what_is_stored(desk: Desk, run_uid: str) -> None:
    """Steps far apart are merged with their stored rows as neighbours are, however many."""
    journal = opener(run_uid, first_attempt())
    for step in range(0, 1_200_000, 1_000):
        journal.step(step, {"a": float(step)})
    desk.deliver(journal)
    for step in range(0, 1_200_000, 1_000):
        journal.step(step, {"b": -float(step)})
    desk.deliver(journal)
    current = desk.current(run_uid)
    assert len(current) == 1_200
    assert all(metrics == {"a": step, "b": -step} for step, metrics in current)
    desk.check(run_uid)


def _records(journal: HandJournal, steps: Iterable[int], dice: random.Random) -> None:
    """Steps with metrics of all kinds, not all of the same names; some have an epoch, a time, details."""
    values = (0.5, -1.25, 3, True, "text \\ \t \n é", "NaN", "-Infinity", None, [1, {"a": None}])
    for step in steps:
        metrics = {"loss": dice.random(), "n": dice.randrange(9)}
        if dice.random() < 0.3:
            metrics[dice.choice("abc")] = dice.choice(values)
        more = {"epoch": step / 100, "step_time": 0.25, "details": {"text": "back\\slash \t \n \\N"}}
        journal.step(step, metrics, **{name: more[name] for name in more if dice.random() < 0.2})


@pytest.mark.parametrize("seed", range(6))
def test_steps_in_bulk_are_stored_as_they_are_in_few(desk: Desk, seed: int) -> None:
    """Many at once, new or not, current or not: the same rows, summaries and attempts as in small batches."""
    found = []
    for batch in (1_000, 170, MANY - 1):
        dice, run_uid = random.Random(seed), str(uuid.uuid4())
        crashed = opener(run_uid, first_attempt())
        resumed = opener(run_uid, next_attempt(crashed.attempt, 300))
        again = dice.choice(([], [dice.randrange(400) for _ in range(60)], range(60, 260)))
        _records(crashed, [*range(380), *again, *range(390, 500, dice.choice((1, 2)))], dice)
        _records(resumed, range(dice.choice((250, 301)), 480), dice)
        early = dice.choice((200, 380))
        while crashed.acked < early:
            desk.deliver(crashed, min(batch, early - crashed.acked))
        while resumed.acked < len(resumed.records):
            desk.deliver(resumed, batch)
            desk.check(run_uid)
        while crashed.acked < len(crashed.records):
            desk.deliver(crashed, batch)  # late: of these none is current
        desk.check(run_uid)
        table = desk.models.step_log
        others = [column for column in table.c if column.name != "run_id"]
        rows = desk.rows(select(*others).where(table.c.run_id == desk.run(run_uid).id).order_by(*table.primary_key))
        attempts = {(row.attempt, row.last_step, row.end_step) for row in desk.attempts(run_uid).values()}
        found.append((rows, desk.current(run_uid), desk.summaries(run_uid), attempts))
    assert len(found[0][0]) > 600
    assert found[0] == found[1] == found[2]


def test_a_metric_that_became_text_has_no_summary(desk: Desk, run_uid: str) -> None:
    """When the only number of a metric is replaced by text, its summary counts nothing; a number brings it back."""
    journal = opener(run_uid, first_attempt())
    journal.step(1, {"a": 2.5, "b": 1})
    desk.deliver(journal)
    journal.step(1, {"a": "broken"})
    desk.deliver(journal)
    assert set(desk.summaries(run_uid)) == {"b"}
    journal.step(1, {"a": 4})
    desk.deliver(journal)
    assert desk.summaries(run_uid)["a"].min == 4.0
    desk.check(run_uid)


def test_a_run_of_infinities_is_stored_on_every_database(desk: Desk, run_uid: str) -> None:
    """Infinities and NaN as last values are stored as such; minimum and maximum stay empty."""
    journal = opener(run_uid, first_attempt())
    journal.step(1, {"plus": "Infinity", "minus": "-Infinity", "nan": "NaN"})
    desk.deliver(journal)
    found = desk.summaries(run_uid)
    assert {name: (s.count, s.nonfinite_count, s.min, s.last) for name, s in found.items()} == {
        "plus": (1, 1, None, float("inf")),
        "minus": (1, 1, None, float("-inf")),
        "nan": (1, 1, None, None),
    }


# --- Attempts --------------------------------------------------------------------------------------------------------


def test_a_restart_from_a_checkpoint_takes_over(desk: Desk, run_uid: str) -> None:
    """Steps after the checkpoint stay in the database and are not current; the next attempt's are."""
    first = first_attempt()
    crashed = opener(run_uid, first)
    steps(crashed, 0, 620)
    desk.deliver(crashed)
    second = opener(run_uid, next_attempt(first, 500))
    steps(second, 501, 510, loss=0.25)
    desk.deliver(second)
    current = desk.current(run_uid)
    assert [step for step, _ in current] == [*range(511)]
    assert current[-1][1] == {"loss": 0.25}
    assert desk.run(run_uid).last_step == 510
    assert desk.one(select(func.count()).select_from(desk.models.step_log))[0] == 631
    desk.check(run_uid)


def test_late_records_of_a_superseded_attempt_change_nothing_shown(desk: Desk, run_uid: str) -> None:
    """A process that did not know it was replaced may go on: its rows are kept, not shown, and no summary moves."""
    first = first_attempt()
    stale = opener(run_uid, first)
    steps(stale, 0, 10)
    desk.deliver(stale)
    second = opener(run_uid, next_attempt(first, 5))
    steps(second, 6, 8)
    desk.deliver(second)
    before = (desk.current(run_uid), desk.summaries(run_uid), desk.run(run_uid).last_step)
    steps(stale, 11, 20, loss=-1e9)
    stale.status("failed", "it was replaced")
    desk.deliver(stale)
    assert (desk.current(run_uid), desk.summaries(run_uid), desk.run(run_uid).last_step) == before
    assert desk.run(run_uid).status == "running"
    assert desk.run(run_uid).error is None
    assert desk.attempts(run_uid)[first.uid].status == "failed"


def test_a_late_evaluation_of_the_kept_part_is_shown(desk: Desk, run_uid: str) -> None:
    """What a superseded attempt, or the new one, adds at a step that was kept lands in the row that is shown."""
    first = first_attempt()
    crashed = opener(run_uid, first)
    steps(crashed, 0, 10)
    desk.deliver(crashed)
    second = opener(run_uid, next_attempt(first, 5))
    second.step(5, {"eval_loss": 0.5})
    second.step(6, {"loss": 6.5})
    desk.deliver(second)
    crashed.step(4, {"eval_loss": 0.25})
    desk.deliver(crashed)
    current = dict(desk.current(run_uid))
    assert current[5] == {"loss": 5.0, "eval_loss": 0.5}
    assert current[4] == {"loss": 4.0, "eval_loss": 0.25}
    assert desk.attempts(run_uid)[second.attempt.uid].last_step == 6
    desk.check(run_uid)


def test_a_dead_branch_leaves_the_history(desk: Desk, run_uid: str) -> None:
    """Whichever checkpoint is taken up last, its own history is shown, also where another branch had gone further."""
    root = first_attempt()
    first = opener(run_uid, root)
    steps(first, 0, 9, loss=1.0)
    branch = opener(run_uid, next_attempt(root, 4, opened_at=10))
    steps(branch, 5, 30, loss=2.0)
    other = opener(run_uid, next_attempt(root, 7, opened_at=20))
    other.step(8, {"loss": 3.0})
    for journal in (first, branch, other):
        desk.deliver(journal)
    assert [metrics["loss"] for _, metrics in desk.current(run_uid)] == [1.0] * 8 + [3.0]
    assert desk.run(run_uid).last_step == 8
    desk.check(run_uid)
    again = opener(run_uid, next_attempt(branch.attempt, 20, opened_at=30))
    desk.deliver(again)
    assert [metrics["loss"] for _, metrics in desk.current(run_uid)] == [1.0] * 5 + [2.0] * 16
    desk.check(run_uid)


def test_ancestors_come_with_the_lineage_and_are_filled_later(desk: Desk, run_uid: str) -> None:
    """A resumed run may reach the database before the journal of what it resumed; nothing differs in the end."""
    root = first_attempt()
    middle = next_attempt(root, 5)
    last = opener(run_uid, next_attempt(middle, 8))
    last.step(9, {"loss": 9.0})
    desk.deliver(last)
    stored = desk.attempts(run_uid)
    assert {uid: row.status for uid, row in stored.items()} == {
        root.uid: "interrupted",
        middle.uid: "interrupted",
        last.uid: "running",
    }
    assert {uid: row.end_step for uid, row in stored.items()} == {
        root.uid: 5,
        middle.uid: 8,
        last.uid: 2**63 - 1,
    }
    assert stored[root.uid].opened_at == opened_at(root)
    late = opener(run_uid, root)
    late.records[1]["host"] = "elsewhere"
    steps(late, 0, 7)
    desk.deliver(late)
    filled = desk.attempts(run_uid)[root.uid]
    assert (filled.attempt, filled.host, filled.status) == (stored[root.uid].attempt, "elsewhere", "running")
    assert [step for step, _ in desk.current(run_uid)] == [0, 1, 2, 3, 4, 5, 9]
    desk.check(run_uid)


def test_an_attempt_whose_number_is_taken_is_refused(desk: Desk, run_uid: str) -> None:
    """It would otherwise pass for the other one, and its steps would go there."""
    desk.deliver(opener(run_uid, first_attempt()))
    run_id = desk.run(run_uid).id
    tree = desk.statements.load_attempts(desk.connection, run_id)
    other = dataclasses.replace(tree.head, uid=str(uuid.uuid4()))
    with pytest.raises(IntegrityError):
        desk.statements.insert_attempt(desk.connection, run_id, other)


def test_a_run_may_begin_again_from_nothing(desk: Desk, run_uid: str) -> None:
    """An attempt that resumes nothing is a second root: the first one's rows are no longer shown."""
    first = opener(run_uid, first_attempt())
    steps(first, 0, 3)
    again = opener(run_uid, first_attempt())
    again.attempt.opened_at = again.attempt.opened_at + 5
    again.records[1]["opened_at"] = START + 5
    desk.deliver(first)
    desk.deliver(again)
    assert desk.current(run_uid) == []
    assert desk.run(run_uid).last_step is None
    assert desk.summaries(run_uid) == {}
    again.step(0, {"loss": 7.0})
    desk.deliver(again)
    assert desk.current(run_uid) == [(0, {"loss": 7.0})]
    desk.check(run_uid)


# --- Status ----------------------------------------------------------------------------------------------------------


def test_the_opener_ends_the_attempt_and_the_run(desk: Desk, run_uid: str) -> None:
    """Status, error and time of the opener's end are the attempt's and the run's, and its writer is closed."""
    journal = opener(run_uid, first_attempt())
    journal.status("failed", "ValueError: no")
    desk.deliver(journal)
    run, (attempt,) = desk.run(run_uid), desk.attempts(run_uid).values()
    assert (run.status, run.error, run.ended_at) == ("failed", "ValueError: no", time_of(START + 2))
    assert (attempt.status, attempt.error, attempt.closed_at) == ("failed", "ValueError: no", time_of(START + 2))
    assert desk.one(select(desk.models.writer)).closed_at is not None


def test_a_joined_writer_closes_only_itself(desk: Desk, run_uid: str) -> None:
    """Another rank's, or a notebook's, end is not the run's."""
    attempt = first_attempt()
    first, joined = opener(run_uid, attempt), HandJournal(run_uid, attempt, rank=1)
    joined.status("finished")
    for journal in (first, joined):
        desk.deliver(journal)
    assert desk.run(run_uid).status == "running"
    table = desk.models.writer
    closed = {row.uid: row.closed_at is not None for row in desk.rows(select(table))}
    assert closed == {first.uid: False, joined.uid: True}


@pytest.mark.parametrize("order", ["opener first", "rank first"])
def test_another_rank_may_turn_running_into_failed(desk: Desk, run_uid: str, order: str) -> None:
    """A rank that fails marks a running attempt, whichever journal comes first; an end of the opener's own stands."""
    attempt = first_attempt()
    first, rank = opener(run_uid, attempt), HandJournal(run_uid, attempt, rank=1)
    rank.status("failed", "out of memory on rank 1")
    for journal in (first, rank) if order == "opener first" else (rank, first):
        desk.deliver(journal)
    run = desk.run(run_uid)
    assert (run.status, run.error) == ("failed", "out of memory on rank 1")
    first.status("interrupted")
    desk.deliver(first)
    assert (desk.run(run_uid).status, desk.run(run_uid).error) == ("interrupted", None)
    late = HandJournal(run_uid, attempt, rank=2)
    late.status("failed", "afterwards")
    desk.deliver(late)
    assert desk.run(run_uid).status == "interrupted"


def test_late_rows_revive_nothing_that_ended(desk: Desk, run_uid: str) -> None:
    """Records logged after the end are stored; the status stays."""
    attempt = first_attempt()
    first, notebook = opener(run_uid, attempt), HandJournal(run_uid, attempt)
    first.status("finished")
    notebook.step(5, {"eval": 1.0})
    notebook.status(None)
    for journal in (first, notebook):
        desk.deliver(journal)
    assert desk.run(run_uid).status == "finished"
    assert desk.current(run_uid) == [(5, {"eval": 1.0})]


# --- Hyperparameters, events -----------------------------------------------------------------------------------------


def test_hyperparameters_are_stored_by_namespace_with_their_number(desk: Desk, run_uid: str) -> None:
    """Finite numbers have their float64 beside the value; bools, text, NaN and objects have none."""
    journal = opener(run_uid, first_attempt())
    journal.hyperparams({"lr": 0.5, "n": 3, "flag": True, "nan": "NaN", "deep": {"a": [1, None]}, "none": None})
    journal.hyperparams({"lr": 7}, namespace="mth")
    journal.records.append({"kind": "tag", "namespace": "tag", "values": {"baseline": True}})
    desk.deliver(journal)
    assert hyperparams(desk, run_uid) == {
        "hp.lr": (0.5, 0.5),
        "hp.n": (3, 3.0),
        "hp.flag": (True, None),
        "hp.nan": ("NaN", None),
        "hp.deep": ({"a": [1, None]}, None),
        "hp.none": (None, None),
        "mth.lr": (7, 7.0),
        "tag.baseline": (True, None),
    }


@pytest.mark.parametrize("late", [False, True], ids=["in order", "the first one late"])
def test_a_later_attempt_wins(desk: Desk, run_uid: str, late: bool) -> None:
    """The value of the attempt that opened later stands, whichever journal comes first."""
    root = first_attempt()
    first, second = opener(run_uid, root), opener(run_uid, next_attempt(root, 5))
    first.hyperparams({"lr": 1.0, "only_first": 1})
    second.hyperparams({"lr": 2.0, "only_second": 2})
    for journal in (second, first) if late else (first, second):
        desk.deliver(journal)
    assert {name: value for name, (value, _) in hyperparams(desk, run_uid).items()} == {
        "hp.lr": 2.0,
        "hp.only_first": 1,
        "hp.only_second": 2,
    }


@pytest.mark.parametrize("batch", [1, 100])
def test_an_attempt_remembers_what_it_changed(desk: Desk, run_uid: str, batch: int) -> None:
    """changed_hyperparams holds the value before the attempt and the one that it ended with, in whatever batches."""
    root = first_attempt()
    first, second = opener(run_uid, root), opener(run_uid, next_attempt(root, 5))
    first.hyperparams({"lr": 1.0, "wd": 0.1, "same": 3, "back": 1})
    second.hyperparams({"lr": 2.0, "wd": 0.2, "same": 3, "new": 1, "back": 2})
    second.hyperparams({"lr": 3.0, "new": 5, "back": 1})
    desk.deliver(first)
    desk.deliver(second, 2)
    while second.acked < len(second.records):
        desk.deliver(second, batch)
    changed = desk.attempts(run_uid)[second.uid].changed_hyperparams
    assert changed == {"hp.lr": [1.0, 3.0], "hp.wd": [0.1, 0.2]}
    assert desk.attempts(run_uid)[first.uid].changed_hyperparams is None
    assert hyperparams(desk, run_uid)["hp.back"] == (1, 1.0)


def test_events_are_stored_with_writer_and_number(desk: Desk, run_uid: str) -> None:
    """An event names the record it came from; a gap is an event; notes are the run's latest."""
    journal = opener(run_uid, first_attempt())
    journal.event("checkpoint", step=5, details={"path": "x"})
    journal.records.append({"kind": "gap", "at": START, "details": {"steps": [1, 5]}})
    journal.event("note", details={"notes": "first"})
    journal.event("note", details={"notes": "second"})
    desk.deliver(journal)
    table = desk.models.event
    rows = desk.rows(select(table).order_by(table.c.seq))
    assert [(row.seq, row.kind, row.step, row.writer_uid) for row in rows] == [
        (3, "checkpoint", 5, journal.uid),
        (4, "gap", None, journal.uid),
        (5, "note", None, journal.uid),
        (6, "note", None, journal.uid),
    ]
    assert rows[0].details == {"path": "x"}
    assert desk.run(run_uid).notes == "second"


@pytest.mark.parametrize("details", [None, {}, {"notes": 3}, {"text": "x"}], ids=str)
def test_an_event_called_note_need_not_hold_notes(desk: Desk, run_uid: str, details: Any) -> None:
    """A note event of anybody's own shape is an event like others and blocks nothing."""
    journal = opener(run_uid, first_attempt())
    journal.event("note", details=details)
    journal.step(1, {"loss": 1.0})
    desk.deliver(journal)
    assert desk.run(run_uid).notes is None
    assert desk.one(select(desk.models.event)).details == details
