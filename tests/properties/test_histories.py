"""Any history of a run, delivered in any order, ends in what the rules of attempts say.

The model below is made from the rules as the documentation tells them, not from the code: attempts are commits, a row
belongs to the nearest of a writer's attempt and its ancestors that reaches its step, and what is shown is the ancestry
of the head.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from sqlalchemy import select

from properties.profiles import examples
from recording.support import AttemptFacts, Desk, HandJournal, desk_at
from trainstore.recording.summary import Summary
from trainstore.values import canonical

NAMES = ("a", "b", "loss")
STEPS = st.one_of(st.integers(0, 12), st.sampled_from([0, 5, 6, 2**63 - 1]))
VALUES = st.one_of(
    st.floats(),
    st.floats(-2, 2, width=16),
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none(),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 2**63, "text", "NaN", "Infinity", [1.0], {"k": 2}]),
)
STATUSES = ("finished", "failed", "interrupted")


@dataclass
class Write:
    """One ``log()``: by which writer, at which step, what."""

    step: int
    metrics: dict[str, Any]


@dataclass
class Plan:
    """A run's whole history, and the order in which its records reach the database."""

    attempts: list[AttemptFacts]
    journals: list[tuple[int, bool, list[Write], str | None]]  # (attempt, opened it, writes, how it ended)
    deliveries: list[tuple[int, int]]  # (journal, number of records)


@st.composite
def attempt_trees(draw: st.DrawFn) -> list[AttemptFacts]:
    """Attempts that resume each other from any step; times may tie between those that do not know each other."""
    attempts: list[AttemptFacts] = []
    for index in range(draw(st.integers(1, 6))):
        parent = draw(st.sampled_from([None, *attempts])) if attempts else None
        latest = max((a.opened_at for a in parent.lineage), default=0) if parent else 0
        attempts.append(
            AttemptFacts(
                uid=str(uuid.UUID(int=draw(st.integers(0, 2**16)) << 16 | index)),
                start_step=-1 if parent is None else draw(st.integers(-1, 12)),
                opened_at=latest + draw(st.integers(1, 3)),
                parent=parent,
            )
        )
    return attempts


@st.composite
def plans(draw: st.DrawFn, own_names: bool = False) -> Plan:
    """A plan; with ``own_names`` no two writers use the same metric."""
    attempts = draw(attempt_trees())
    journals = []
    openers = draw(st.lists(st.sampled_from(range(len(attempts))), min_size=1, unique=True))
    joined = draw(st.lists(st.sampled_from(range(len(attempts))), max_size=3))
    for number, (attempt, opens) in enumerate([*((a, True) for a in openers), *((a, False) for a in joined)]):
        names = st.sampled_from([f"{name}{number}" for name in NAMES] if own_names else NAMES)
        writes = draw(st.lists(st.builds(Write, STEPS, st.dictionaries(names, VALUES, max_size=3)), max_size=8))
        journals.append((attempt, opens, writes, draw(st.sampled_from([None, *STATUSES]))))
    deliveries = draw(
        st.lists(st.tuples(st.sampled_from(range(len(journals))), st.integers(1, 5)), min_size=1, max_size=14)
    )
    return Plan(attempts, journals, deliveries)


def journals_of(plan: Plan, run_uid: str) -> list[HandJournal]:
    """The plan's journals under fresh uids, in the same order of time and of uid (which breaks ties)."""
    made: dict[int, AttemptFacts] = {}
    order = sorted(range(len(plan.attempts)), key=lambda index: plan.attempts[index].uid)
    uids = sorted(str(uuid.uuid4()) for _ in order)
    for index, attempt in enumerate(plan.attempts):
        parent = None if attempt.parent is None else made[plan.attempts.index(attempt.parent)]
        made[index] = replace(attempt, uid=uids[order.index(index)], parent=parent)
    journals = []
    for number, (index, opens, writes, status) in enumerate(plan.journals):
        attempt = made[index]
        uid = attempt.uid if opens else str(uuid.uuid4())
        journal = HandJournal(run_uid, attempt, uid=uid, rank=number)
        for write in writes:
            journal.step(write.step, {name: canonical(value) for name, value in write.metrics.items()})
        if status is not None:
            journal.status(status, error=status)
        journals.append(journal)
    return journals


class Model:
    """What the rules say the database holds, from the records delivered so far."""

    def __init__(self) -> None:
        self.attempts: dict[str, AttemptFacts] = {}
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}  # (owner, step) → metrics
        self.recorded: dict[tuple[str, int], dict[str, list[Any]]] = {}  # (owner, step) → metric → values in order
        self.ended: dict[str, str] = {}  # by its opener
        self.failed: set[str] = set()  # by another writer
        self.described: set[str] = set()  # attempts of which a journal of their own came

    def take(self, journal: HandJournal, record: dict[str, Any]) -> None:
        attempt = journal.attempt
        if record["kind"] == "attempt":
            self.attempts |= {a.uid: a for a in attempt.lineage}
            self.described.add(attempt.uid)
        elif record["kind"] == "step":
            owner = next((a for a in reversed(attempt.lineage) if a.start_step < record["step"]), attempt.lineage[0])
            self.rows.setdefault((owner.uid, record["step"]), {}).update(record["metrics"])
            recorded = self.recorded.setdefault((owner.uid, record["step"]), {})
            for name, value in record["metrics"].items():
                values = recorded.setdefault(name, [])
                if not values or not is_repetition(values[-1], value):
                    values.append(value)
        elif record["kind"] == "status":
            if journal.uid == attempt.uid:
                self.ended[attempt.uid] = record["status"]
            elif record["status"] == "failed":
                self.failed.add(attempt.uid)

    @property
    def head(self) -> AttemptFacts:
        resumed = {a.parent.uid for a in self.attempts.values() if a.parent}
        return max((a for a in self.attempts.values() if a.uid not in resumed), key=lambda a: (a.opened_at, a.uid))

    @property
    def ends(self) -> dict[str, int]:
        chain = self.head.lineage
        later = {a.uid: [b.start_step for b in chain[index + 1 :]] for index, a in enumerate(chain)}
        return {
            uid: min([2**63 - 1, *later[uid]]) if uid in later else a.start_step for uid, a in self.attempts.items()
        }

    @property
    def current(self) -> dict[int, dict[str, Any]]:
        ends = self.ends
        shown = [(step, metrics) for (owner, step), metrics in self.rows.items() if step <= ends[owner]]
        assert len({step for step, _ in shown}) == len(shown), "the rules themselves show a step twice"
        return dict(sorted(shown))

    def status_of(self, uid: str) -> str:
        if uid in self.ended:
            return self.ended[uid]
        if uid not in self.described:
            return "interrupted"
        return "failed" if uid in self.failed else "running"

    @property
    def summaries(self) -> dict[str, Summary]:
        values: dict[str, list[tuple[int, float]]] = {}
        for step, metrics in self.current.items():
            for name, value in metrics.items():
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if is_number or value in ("NaN", "Infinity", "-Infinity"):
                    values.setdefault(name, []).append((step, float(value)))
        return {name: self._summary(pairs) for name, pairs in values.items()}

    @staticmethod
    def _summary(pairs: list[tuple[int, float]]) -> Summary:
        finite = [(step, value) for step, value in pairs if math.isfinite(value)]
        lowest = min(finite, key=lambda pair: (pair[1], pair[0]), default=(None, None))
        highest = min(finite, key=lambda pair: (-pair[1], pair[0]), default=(None, None))
        last_step, last = max(pairs)
        return Summary(
            count=len(pairs),
            nonfinite_count=len(pairs) - len(finite),
            min=lowest[1],
            min_step=lowest[0],
            max=highest[1],
            max_step=highest[0],
            last=None if math.isnan(last) else last,
            last_step=last_step,
        )


def is_repetition(one: Any, other: Any) -> bool:
    """Whether a stored value is the same again; 1 and 1.0 are, 1 and True are not."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_float64(value: Any) -> Any:
    """Numbers as float64: all that both databases promise to keep of them."""
    if isinstance(value, list):
        return [as_float64(item) for item in value]
    if isinstance(value, dict):
        return {key: as_float64(item) for key, item in value.items()}
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def compare(desk: Desk, run_uid: str, model: Model) -> None:
    """The database holds what the model says, and its own invariants hold."""
    desk.check(run_uid)
    assert as_float64(dict(desk.current(run_uid))) == as_float64(model.current)
    assert desk.summaries(run_uid) == model.summaries
    stored = desk.attempts(run_uid)
    assert as_float64(recorded_values(desk, run_uid)) == as_float64(model.recorded)
    assert {uid: row.end_step for uid, row in stored.items()} == model.ends
    assert {uid: row.status for uid, row in stored.items()} == {uid: model.status_of(uid) for uid in stored}
    run = desk.run(run_uid)
    assert run.status == model.status_of(model.head.uid)
    assert run.last_step == max(model.current, default=None)


def recorded_values(desk: Desk, run_uid: str) -> dict[tuple[str, int], dict[str, list[Any]]]:
    """(attempt, step) → metric → the values that were replaced and then the one that counts."""
    uids = {row.attempt: uid for uid, row in desk.attempts(run_uid).items()}
    table = desk.models.step_log
    found = {}
    for row in desk.rows(select(table).where(table.c.run_id == desk.run(run_uid).id)):
        earlier = (row.details or {}).get("earlier", {})
        assert earlier.keys() <= row.metrics.keys()
        found[uids[row.attempt], row.step] = {
            name: [*earlier.get(name, []), value] for name, value in row.metrics.items()
        }
    return found


def contents(desk: Desk, run_uid: str) -> Any:
    """Everything about a run that may not depend on the order of arrival (numbers of attempts are only names)."""
    run = desk.run(run_uid)
    uids = {row.attempt: uid for uid, row in desk.attempts(run_uid).items()}
    steps = desk.models.step_log
    rows = desk.rows(select(steps).where(steps.c.run_id == run.id))
    attempts = {
        uid: (uids.get(row.resumed_from), row.start_step, row.end_step, row.last_step, row.opened_at, row.status)
        for uid, row in desk.attempts(run_uid).items()
    }
    return (
        {(uids[row.attempt], row.step): (row.metrics, row.logged_at, row.details) for row in rows},
        attempts,
        desk.summaries(run_uid),
        run.last_step,
        run.status,
        desk.current(run_uid),
    )


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    with desk_at(database_url) as opened:
        yield opened


@examples(40)
@given(plan=plans())
def test_any_history_ends_in_what_the_rules_say(desk: Desk, plan: Plan) -> None:
    """Whatever forks, restarts, late journals and duplicates, rows, summaries and status are those of the rules, at
    every moment, records delivered twice count once, and values that others replace are kept in order."""
    run_uid = str(uuid.uuid4())
    journals = journals_of(plan, run_uid)
    model = Model()

    def deliver(journal: HandJournal, count: int) -> None:
        begin = journal.acked
        desk.deliver(journal, count)
        for record in journal.records[begin : journal.acked]:
            model.take(journal, record)

    for index, count in plan.deliveries:
        journal = journals[index]
        # A journal's first batch holds its attempt: no batch ends between the two records that open it.
        deliver(journal, count if journal.acked else count + 1)
        desk.deliver_again(journal)
        compare(desk, run_uid, model)
    for journal in journals:
        deliver(journal, len(journal.records))
    compare(desk, run_uid, model)
    desk.forget(run_uid)


@examples(25)
@given(plan=plans(own_names=True), data=st.data())
def test_the_order_of_arrival_does_not_matter(desk: Desk, plan: Plan, data: st.DataObject) -> None:
    """Two deliveries of the same journals in different orders and batches leave the same database."""
    run_uid = str(uuid.uuid4())
    journals = journals_of(plan, run_uid)
    found = []
    for _ in range(2):
        waiting = [replace(journal, seen=False, acked=0, records=[]) for journal in journals]
        for journal, original in zip(waiting, journals, strict=True):
            journal.records = list(original.records)
        for index, count in data.draw(st.permutations(plan.deliveries)):
            desk.deliver(waiting[index], count + 1)
        for index in data.draw(st.permutations(range(len(waiting)))):
            desk.deliver(waiting[index])
        found.append(contents(desk, run_uid))
        desk.forget(run_uid)
    note(f"journals: {journals}")
    assert found[0] == found[1]
