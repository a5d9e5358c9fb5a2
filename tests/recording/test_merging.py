"""Several records of one step: the last value counts, the ones before are kept."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from recording.support import AttemptFacts, Desk, HandJournal, desk_at
from trainstore.recording.merging import MAX_EARLIER
from trainstore.store import TrainStore


@pytest.fixture
def desk(database_url: str):
    with desk_at(database_url) as opened:
        yield opened


def journal_of(*steps: tuple[int, dict[str, Any]], **more: Any) -> HandJournal:
    journal = HandJournal(str(uuid.uuid4()), AttemptFacts(str(uuid.uuid4()), -1, 1))
    for step, metrics in steps:
        journal.step(step, metrics, **more)
    return journal


def details(desk: Desk) -> dict[int, Any]:
    with desk.connection.begin():
        table = desk.models.step_log
        return {row.step: row.details for row in desk.connection.execute(table.select())}


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_replaced_values_are_kept_in_order(desk: Desk, batch: int) -> None:
    """Whether the records come in one transaction or in many; what is the same again is no replacement."""
    values = [0.5, 0.5, "NaN", "NaN", 1, 1.0, True, None, "text", "text", [1, 2], [1, 2], 0.5]
    journal = journal_of(*((3, {"loss": value, "other": 7.0}) for value in values), (4, {"loss": 2.0}))
    desk.deliver(journal, 2)
    while journal.acked < len(journal.records):
        desk.deliver(journal, batch)
        desk.deliver_again(journal)
    assert details(desk) == {3: {"earlier": {"loss": [0.5, "NaN", 1, True, None, "text", [1, 2]]}}, 4: None}
    assert desk.current(journal.run_uid) == [(3, {"loss": 0.5, "other": 7.0}), (4, {"loss": 2.0})]
    desk.check(journal.run_uid)


def test_values_stay_apart_beside_many_new_steps(desk: Desk) -> None:
    """Where a step occurs twice among those that are stored in bulk."""
    steps = [(step, {"loss": float(step)}) for step in range(300)]
    journal = journal_of(*steps[:250], (249, {"loss": -1.0}), *steps[250:], (7, {"loss": -2.0}))
    desk.deliver(journal)
    found = details(desk)
    assert {step: value for step, value in found.items() if value} == {
        7: {"earlier": {"loss": [7.0]}},
        249: {"earlier": {"loss": [249.0]}},
    }
    desk.check(journal.run_uid)


def test_a_resumed_attempt_adds_to_the_row_that_it_means(desk: Desk) -> None:
    """An evaluation at the step of the checkpoint belongs to the row before; later steps are rows of its own."""
    first = journal_of((1, {"loss": 1.0}), (2, {"loss": 2.0}), (3, {"loss": 3.0}))
    second = HandJournal(first.run_uid, AttemptFacts(str(uuid.uuid4()), 2, 2, parent=first.attempt))
    for step in (2, 3):
        second.step(step, {"loss": -float(step)})
    desk.deliver(first)
    desk.deliver(second)
    table = desk.models.step_log.c
    rows = desk.rows(desk.models.step_log.select().order_by(table.step, table.attempt))
    assert [(row.step, row.attempt, row.metrics["loss"], row.details) for row in rows] == [
        (1, 1, 1.0, None),
        (2, 1, -2.0, {"earlier": {"loss": [2.0]}}),
        (3, 1, 3.0, None),
        (3, 2, -3.0, None),
    ]


def test_a_loop_that_logs_everything_at_one_step_keeps_the_last_values(desk: Desk) -> None:
    """A thousand of a metric, so that the row stays of a size that a database bears."""
    journal = journal_of(*((0, {"loss": float(value)}) for value in range(MAX_EARLIER + 500)))
    desk.deliver(journal, 700)
    desk.deliver(journal)
    expected = [float(value) for value in range(499, MAX_EARLIER + 499)]
    assert details(desk) == {0: {"earlier": {"loss": expected}}}


def test_details_that_bring_earlier_values_are_added(store: TrainStore) -> None:
    """As an importer records them, at once or one after the other; other details stay beside them."""
    with store.start_run() as run:
        run.log({"loss": 3.0}, step=1, details={"earlier": {"loss": [1.0, 2.0]}, "sample": "a"})
        run.log({"loss": 5.0}, step=1, details={"earlier": {"loss": [3.0, 4.0], "gone": [0]}})
        assert run.flush()
        run.log({"loss": 6.0}, step=1, details={"sample": "b"})
        run.log({"loss": 2.0}, step=2, details={"earlier": {"loss": [1.0]}})
    frame = store.list_step_logs(run, details=True)
    assert frame["details"].tolist() == [
        {"earlier": {"loss": [1.0, 2.0, 3.0, 4.0, 5.0], "gone": [0]}, "sample": "b"},
        {"earlier": {"loss": [1.0]}},
    ]


@pytest.mark.parametrize("own", ["this morning", 3, ["a"], {"when": "yesterday"}, None])
def test_details_of_the_same_name_are_kept_under_another(store: TrainStore, own: object) -> None:
    """A caller's own ``earlier`` of another form loses nothing and breaks nothing."""
    with store.start_run() as run:
        run.log({"loss": 1.0}, step=1, details={"earlier": own})
        run.log({"loss": 2.0}, step=1)
    assert store.list_step_logs(run, details=True)["details"].tolist() == [
        {"details__earlier": own, "earlier": {"loss": [1.0]}}
    ]


def test_such_details_in_an_older_journal(desk: Desk) -> None:
    """Where they were not renamed when they were logged, they are when another value is to be kept."""
    journal = journal_of((1, {"loss": 1.0}), (1, {"loss": 2.0}), details={"earlier": "today"})
    desk.deliver(journal)
    assert details(desk) == {1: {"details__earlier": "today", "earlier": {"loss": [1.0]}}}


def test_three_evaluations_at_one_step(store: TrainStore) -> None:
    """The last one is the metric's value and in its summary; all three can be read."""
    with store.start_run() as run:
        for loss in (0.3, 0.1, 0.2):
            run.log({"eval_loss": loss}, step=10)
    row = store.list_step_logs(run, details=True).iloc[0]
    assert (row["eval_loss"], row["details"]) == (0.2, {"earlier": {"eval_loss": [0.3, 0.1]}})
    summary = store.list_metrics(run).iloc[0]
    assert (summary["count"], summary["min"], summary["last"]) == (1, 0.2, 0.2)
