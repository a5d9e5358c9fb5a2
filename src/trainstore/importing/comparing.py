"""A table's content against what is stored of it: only what is missing is sent.

A row of the store holds, for each metric, the values that were replaced (``details["earlier"]``) and then the one that
counts. A table's values of a metric at a step, in its order and without repetitions, are the same sequence once all of
it is stored; what an interrupted import brought is the beginning of it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select

from trainstore.importing.stored import EVENT, StoredRun, StoredWriter
from trainstore.recording.attempts import Attempt
from trainstore.recording.merging import EARLIER, MAX_EARLIER, differ, own_details
from trainstore.recording.records import Record, hyperparam_record, status_record, step_record
from trainstore.recording.statements import Statements
from trainstore.values import Json, microseconds_of, time_of

STEPS = 500  # that are compared at a time
VALUES = 20_000  # after which fewer are
EVENTS = 1_000  # that are read at a time


class Comparison:
    """What is stored of one session of a table."""

    def __init__(
        self,
        looking: Callable[[], AbstractContextManager[Connection]],
        statements: Statements,
        run: StoredRun,
        writer: StoredWriter,
        writer_uid: str,
    ) -> None:
        assert run.id is not None
        self._looking = looking
        self._statements = statements
        self._run_id = run.id
        self._run = run
        self._writer = writer
        self._attempt = run.tree.by_number[writer.attempt]
        self._is_opener = self._attempt.uid == writer_uid
        with looking() as connection:
            self._hyperparams = statements.load_hyperparams(connection, run.id)
            self._notes = statements.load_labels(connection, run.id)["notes"]
            self._events = self._stored_events(connection, writer_uid)

    def missing(self, records: Iterable[Record]) -> Iterator[Record]:
        """Of all records of the table, those that change what is stored."""
        rows: dict[int, _Row] = {}
        values = 0
        has_ended = False
        for record in records:
            kind = record["kind"]
            if kind == "step":
                row = rows.get(record["step"])
                if row is None:
                    if len(rows) >= STEPS or values >= VALUES:
                        yield from self._missing_steps(rows)
                        rows, values = {}, 0
                    row = rows[record["step"]] = _Row(record["at"])
                values += row.add(record)
            elif kind == "hyperparam":
                yield from self._missing_hyperparams(record)
            elif kind == "event":
                yield from self._missing_event(record)
            else:
                has_ended = True
                yield from self._changed_end(record)
        yield from self._missing_steps(rows)
        if not has_ended and self._writer.closed_at is not None and not self._writer.is_assumed:
            yield status_record("running", None, 0)  # it has been taken up again

    # --- steps ------------------------------------------------------------------------------------------------------

    def _missing_steps(self, rows: dict[int, _Row]) -> Iterator[Record]:
        owners: dict[int, list[int]] = {}
        for step in rows:
            owners.setdefault(self._owner(step).attempt, []).append(step)
        stored: dict[int, dict[str, Any]] = {}
        with self._looking() as connection:
            for number, steps in owners.items():
                stored |= self._statements.load_steps(connection, self._run_id, number, steps)
        for step, row in rows.items():
            yield from row.missing(step, stored.get(step))

    def _owner(self, step: int) -> Attempt:
        if self._attempt.resumed_from is None:
            return self._attempt
        return self._run.tree.owner(self._attempt, step)

    # --- everything else --------------------------------------------------------------------------------------------

    def _missing_hyperparams(self, record: Record) -> Iterator[Record]:
        namespace = record["namespace"]
        changed = {
            key: value
            for key, value in record["values"].items()
            if (namespace, key) not in self._hyperparams or differ(self._hyperparams[namespace, key][0], value)
        }
        if changed:
            yield hyperparam_record(namespace, changed)

    def _missing_event(self, record: Record) -> Iterator[Record]:
        if record["event"] == "note" and record["details"]["notes"] == (self._notes or ""):
            return
        key = _key(record["event"], record["at"], record["step"], record["details"])
        if self._events[key]:
            self._events[key] -= 1
        else:
            yield record

    def _changed_end(self, record: Record) -> Iterator[Record]:
        attempt, closed_at = self._attempt, time_of(record["at"])
        same = (attempt.status, attempt.closed_at, attempt.error) == (record["status"], closed_at, record["error"])
        if not same if self._is_opener else self._writer.closed_at is None:
            yield record

    def _stored_events(self, connection: Connection, writer_uid: str) -> Counter[int]:
        event = self._statements.models.event.c
        statement = (
            select(event.seq, event.kind, event.at, event.step, event.details)
            .where(event.run_id == self._run_id, event.writer_uid == writer_uid, event.seq > bindparam("_after"))
            .order_by(event.seq)
            .limit(EVENTS)
        )
        found: Counter[int] = Counter()
        after = 0
        while rows := connection.execute(statement, {"_after": after}).all():
            after = rows[-1].seq
            for _, kind, at, step, details in rows:
                if kind == EVENT:
                    continue
                if kind == "note" and isinstance(details, dict) and details.keys() == {"set", "removed", "before"}:
                    details = {"notes": details["set"].get("notes", "")}  # as its record had it
                found[_key(kind, microseconds_of(at), step, details)] += 1
        return found


class _Row:
    """What a table says of one step."""

    __slots__ = ("_at", "_axes", "_details", "_values")

    def __init__(self, at: int) -> None:
        self._at = at
        self._values: dict[str, deque[Json]] = {}
        self._axes: dict[str, float] = {}
        self._details: dict[str, Json] = {}

    def add(self, record: Record) -> int:
        """Take in a record of the step; how many values it has."""
        self._at = min(self._at, record["at"])
        details = own_details(record.get("details"))
        for name, values in details.pop(EARLIER, {}).items() if EARLIER in details else ():
            for value in values:
                self._append(name, value)
        self._details |= details
        for name, value in record["metrics"].items():
            self._append(name, value)
        for axis in ("epoch", "step_time"):
            if axis in record:
                self._axes[axis] = record[axis]
        return len(record["metrics"])

    def _append(self, name: str, value: Json) -> None:
        values = self._values.get(name)
        if values is None:
            values = self._values[name] = deque(maxlen=MAX_EARLIER + 1)
        if not values or differ(values[-1], value):
            values.append(value)

    def missing(self, step: int, stored: dict[str, Any] | None) -> Iterator[Record]:
        """The records that make the stored row what the table says; none if it is."""
        metrics = stored["metrics"] if stored else {}
        kept = own_details(stored["details"]) if stored else {}
        earlier = kept.get(EARLIER, {})
        wanted: dict[str, list[Json]] = {}
        for name, values in self._values.items():
            there = [*earlier.get(name, ()), metrics[name]] if name in metrics else []
            lacking = missing_values(there, list(values))
            if lacking:
                wanted[name] = lacking
        axes = {name: value for name, value in self._axes.items() if stored is None or stored[name] != value}
        details = {name: value for name, value in self._details.items() if name not in kept or kept[name] != value}
        is_earlier = stored is not None and self._at < microseconds_of(stored["logged_at"])
        if stored is not None and not (wanted or axes or details or is_earlier):
            return
        for place in range(max(map(len, wanted.values()), default=1)):
            found = {name: values[place] for name, values in wanted.items() if place < len(values)}
            if place:
                yield step_record(self._at, step, found)
            else:
                yield step_record(self._at, step, found, axes.get("epoch"), axes.get("step_time"), details or None)


def missing_values(stored: list[Json], wanted: list[Json]) -> list[Json]:
    """What must be recorded after the stored values of a metric so that all that are wanted are there, the last last.

    Both are in order, without repetitions. If the stored ones are the beginning of the wanted, or their last thousand
    (`MAX_EARLIER`), the sequence goes on; else those that are nowhere are added.
    """
    count = len(stored)
    if _same(stored, wanted):
        return []
    if _same(stored, wanted[:count]):
        return wanted[count:]
    if count > MAX_EARLIER:
        for overlap in range(min(count, len(wanted)), 0, -1):
            if _same(stored[-overlap:], wanted[:overlap]):
                return wanted[overlap:]
    lacking = [value for value in wanted if all(differ(value, other) for other in stored)]
    if differ((lacking or stored)[-1], wanted[-1]):
        lacking.append(wanted[-1])
    return lacking


def _same(one: list[Json], other: list[Json]) -> bool:
    return len(one) == len(other) and not any(map(differ, one, other))


def _key(kind: str, at: int, step: int | None, details: Json) -> int:
    return hash((kind, at, step, orjson.dumps(_plain(details), option=orjson.OPT_SORT_KEYS)))


def _plain(value: Json) -> Json:
    """As both databases give it back: whole floats as ints."""
    if isinstance(value, float) and value.is_integer():
        return int(value) if abs(value) < 2**53 else repr(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return repr(float(value))
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
