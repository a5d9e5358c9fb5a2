"""The transaction of a flush: a batch of a journal's records into the database, once and only once.

The order matters. First the run's row is locked: flushes of one run, the opening of an attempt and a recovery queue up
there. Without the lock, a late flush of a superseded writer would leave a wrong summary for good. Then the watermark
``writer.acked`` moves, in the same transaction as the rows. A batch that was stored already, because only the answer to
its COMMIT was lost, finds another watermark and changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection

from trainstore.errors import TrainStoreError
from trainstore.recording.attempts import Attempt
from trainstore.recording.deletion import revive
from trainstore.recording.edits import (
    EDITED_COLUMNS,
    Edit,
    apply_edits,
    edit_of_record,
    edited_places,
    edited_tags,
)
from trainstore.recording.merging import merge
from trainstore.recording.new_steps import NewSteps
from trainstore.recording.records import Record, Records
from trainstore.recording.statements import Statements
from trainstore.recording.summary import Summaries, Summary, summarize
from trainstore.values import time_of

MANY = 50  # steps, from which on they are stored in bulk


class WatermarkMovedError(TrainStoreError):
    """Another transaction stored records of this journal; go on from ``acked``."""

    def __init__(self, acked: int) -> None:
        super().__init__(f"records up to {acked} are stored already")
        self.acked = acked


class RunDeletedError(TrainStoreError):
    """The run that a journal belongs to was in the database, and has been deleted."""


@dataclass(slots=True)
class Source:
    """Whose records are flushed: one writer, and what its journal's ``meta.json`` knows."""

    writer_uid: str
    run_uid: str
    seen: bool  # the run was in the database: if it is missing now, it was deleted
    revives: bool = False  # with a run that is not there: that it was deleted no longer counts
    alive: bool = True  # a live writer beats its heart; a recovery must not make a dead one look alive
    counts_namesakes: bool = False  # whether to find out how many runs have the name of a new one
    namesakes: int = 0


def flush(connection: Connection, statements: Statements, source: Source, acked: int, records: Records) -> None:
    """Store records that follow ``acked`` in one transaction on ``connection``.

    Raises `WatermarkMovedError` and `RunDeletedError`, and whatever the driver raises; then nothing was stored, or
    the answer to COMMIT was lost, which the next call finds out.
    """
    # Resuming at an earlier step recomputes every summary, so it gets the long time-out. A new run has nothing to
    # recompute: with the short one a silent server is noticed sooner.
    steps = [record for _, record in records if isinstance(record, bytes)]
    others = [(number, record) for number, record in records if not isinstance(record, bytes)]
    goes_back = any(record["kind"] == "attempt" and (source.seen or record.get("lineage")) for _, record in others)
    with statements.backend.writing(connection, patient=goes_back):
        _Flush(connection, statements, source).store(acked, records[-1][0], steps, others)


class _Flush:
    """One transaction. `store` calls the others: first the run's lock, last what the run shows."""

    def __init__(self, connection: Connection, statements: Statements, source: Source) -> None:
        self.connection = connection
        self.sql = statements
        self.source = source
        self.changed: set[int] = set()  # numbers of attempts, which are written at the end

    def store(self, acked: int, last: int, steps: list[bytes], others: list[tuple[int, Record]]) -> None:
        by_kind: defaultdict[str, list[tuple[int, Record]]] = defaultdict(list)
        for numbered in others:
            by_kind[numbered[1]["kind"]].append(numbered)

        self.run = self._lock_run(by_kind["run"])
        self.run_id: int = self.run.id
        self._advance(acked, last)
        self.tree = self.sql.load_attempts(self.connection, self.run_id)
        self.last_step: int | None = self.run.last_step
        for _, record in by_kind["attempt"]:
            self._open_attempt(record)
        self.attempt: Attempt = self.tree.by_uid[self._attempt_uid(by_kind["attempt"])]
        self._store_hyperparams([record for _, record in by_kind["hyperparam"]])
        self._store_steps(steps)
        self._store_events(by_kind["event"] + by_kind["gap"] + by_kind["tag"])
        for _, record in by_kind["status"]:
            self._set_status(record)
        self._save_attempts()
        self._show_head()

    # --- run and watermark ------------------------------------------------------------------------------------------

    def _lock_run(self, run_records: list[tuple[int, Record]]) -> Any:
        if not self.source.seen and run_records:
            record = run_records[0][1]
            values = {name: record.get(name) for name in ("uid", "project", "name", "source", "notes", "model_name")}
            values |= {
                "status": "running",
                "started_at": time_of(record["started_at"]),
                **self._parent_of(record),
            }
            self.sql.insert_run(self.connection, values)
            if self.source.revives:
                revive(self.connection, self.sql, [self.source.run_uid])
            if self.source.counts_namesakes:
                self.source.namesakes = self.sql.count_named(self.connection, record["name"])
        run = self.sql.lock_run(self.connection, self.source.run_uid, self.source.writer_uid)
        if run is None:
            raise RunDeletedError(f"run {self.source.run_uid} was deleted")
        if not self.source.seen and run_records:
            self.sql.adopt_children(self.connection, run.id, run.uid)
        for _, record in run_records:
            if time_of(record["started_at"]) < run.started_at:
                self.sql.update_run(self.connection, run.id, self._beginning(run.id, record))
            if record.get("parent") and run.parent_uid is None:
                # Another writer made the run from a checkpoint, which does not tell its parent.
                self.sql.update_run(self.connection, run.id, self._parent_of(record))
            self._insert_writer(run.id, record["writer"])
        return run

    def _beginning(self, run_id: int, record: Record) -> dict[str, Any]:
        """What the run began with, if another writer made it from a checkpoint, which does not tell."""
        values = {name: record[name] for name in ("project", "source", "model_name") if record.get(name) is not None}
        edited = edited_places(self.connection, self.sql, run_id)
        values |= {name: record.get(name) for kind, name in EDITED_COLUMNS.items() if (kind, name) not in edited}
        return values | {"started_at": time_of(record["started_at"])}

    def _parent_of(self, record: Record) -> dict[str, Any]:
        """The columns that say which run this one began from. Its id is unknown until that run arrives."""
        uid = record.get("parent")
        found = self.sql.run_id(self.connection, uid) if uid else None
        return {"parent_uid": uid, "parent_step": record.get("parent_step"), "parent_run_id": found}

    def _insert_writer(self, run_id: int, writer: Record) -> None:
        values = {name: writer.get(name) for name in ("uid", "rank", "host", "username", "pid")}
        # Attempt 0 is nobody's: the attempt's record, the next in the journal, says which.
        self.sql.insert_writer(
            self.connection, {**values, "run_id": run_id, "attempt": 0, "started_at": time_of(writer["started_at"])}
        )

    def _advance(self, low: int, high: int) -> None:
        uid = self.source.writer_uid
        if not self.sql.advance(self.connection, uid, low, high, heartbeat=self.source.alive):
            acked = self.sql.writer_acked(self.connection, uid)
            if acked is None:
                # The run was deleted, and created again by another of its writers.
                raise RunDeletedError(f"run {self.source.run_uid} was deleted")
            raise WatermarkMovedError(acked)

    # --- attempts ---------------------------------------------------------------------------------------------------

    def _attempt_uid(self, attempt_records: list[tuple[int, Record]]) -> str:
        if attempt_records:
            uid: str = attempt_records[-1][1]["uid"]
            return uid
        return self.tree.by_number[self.run.attempt].uid

    def _open_attempt(self, record: Record) -> None:
        """Insert the attempt and whichever of its ancestors are missing; fill in what the opener knows."""
        parent: Attempt | None = None
        for uid, start_step, opened_at in (
            *record["lineage"],
            (record["uid"], record["start_step"], record["opened_at"]),
        ):
            found = self.tree.by_uid.get(uid)
            if found is None:
                found = Attempt(
                    attempt=self.tree.next_number,
                    uid=uid,
                    resumed_from=parent.attempt if parent else None,
                    start_step=start_step,
                    end_step=start_step,
                    last_step=None,
                    opened_at=time_of(opened_at),
                    closed_at=None,
                    # All that is known of an ancestor whose own journal has not arrived: somebody resumed it.
                    status="running" if uid == record["uid"] else "interrupted",
                    error=None,
                )
                self.tree.add(found)
                self.sql.insert_attempt(self.connection, self.run_id, found)
            parent = found
        attempt = self.tree.by_uid[record["uid"]]
        self.sql.assign_writer(self.connection, self.source.writer_uid, attempt.attempt)
        if attempt.closed_at is None and attempt.status != "running":
            # A descendant inserted it. Now one of its own journals has arrived, so it is running until it is closed.
            attempt.status = "running"
            self.changed.add(attempt.attempt)
        if record["uid"] == self.source.writer_uid:
            facts = ("git_commit", "git_dirty", "command", "host", "versions")
            self.sql.describe_attempt(
                self.connection, self.run_id, attempt.attempt, {name: record.get(name) for name in facts}
            )
        self._set_end_steps()

    def _save_attempts(self) -> None:
        for number in sorted(self.changed):
            self.sql.update_attempt(self.connection, self.run_id, self.tree.by_number[number])
        self.changed.clear()

    def _set_end_steps(self) -> None:
        """Update end_step of every attempt and, if rows become current or stop being so, all that depends on it."""
        changed, stale = self.tree.set_end_steps()
        self.changed.update(changed)
        if stale:
            self._save_attempts()  # they say which steps are current
            self.sql.recompute_summaries(self.connection, self.run_id)
            self.last_step = self.sql.last_current_step(self.connection, self.run_id)

    # --- hyperparameters --------------------------------------------------------------------------------------------

    def _store_hyperparams(self, records: list[Record]) -> None:
        if not records:
            return
        stored = self.sql.load_hyperparams(self.connection, self.run_id)
        changes = dict(self.attempt.changed_hyperparams or {})
        rows: dict[tuple[str, str], tuple[Any, int]] = {}
        begins_with_tags = any(record["namespace"] == "tag" for record in records)
        edited = edited_tags(self.connection, self.sql, self.run_id) if begins_with_tags else set()
        for record in records:
            for key, value in record["values"].items():
                place = (record["namespace"], key)
                name = f"{place[0]}.{key}"
                if place[0] == "tag" and key in edited:
                    continue
                if place in stored:
                    old, number = stored[place]
                    setter = self.tree.by_number[number]
                    if setter.order > self.attempt.order:
                        continue
                    if number == self.attempt.attempt:
                        # Set by this attempt before: the old value is the one before the attempt, if it is known.
                        old = changes.pop(name)[0] if name in changes else value
                    if old != value:
                        changes[name] = [old, value]
                stored[place] = rows[place] = (value, self.attempt.attempt)
        self.sql.upsert_hyperparams(self.connection, self.run_id, rows)
        if changes != (self.attempt.changed_hyperparams or {}):
            self.attempt.changed_hyperparams = changes
            self.changed.add(self.attempt.attempt)

    # --- steps ------------------------------------------------------------------------------------------------------

    def _store_steps(self, records: list[bytes]) -> None:
        if not records:
            return
        summaries = Summaries(self.sql.load_summaries(self.connection, self.run_id))
        if len(records) >= MANY:
            records = records[self._append_steps(records, summaries) :]
        if records:
            self._merge_steps(list(map(orjson.loads, records)), summaries)
        if summaries.to_rescan:
            self._save_attempts()  # they say which steps are current
            found = summarize(self.sql.current_steps(self.connection, self.run_id), summaries.to_rescan)
            for metric in summaries.to_rescan:
                summaries.set(metric, found.get(metric, Summary()))
        self.sql.upsert_summaries(
            self.connection, self.run_id, [(metric, summaries[metric]) for metric in summaries.touched]
        )

    def _append_steps(self, records: list[bytes], summaries: Summaries) -> int:
        """Store the usual records, each a new and current step of this attempt. Returns how many it took."""
        new = NewSteps(self.run_id, self.attempt, summaries)
        self.sql.append_steps(self.connection, new.take(records))
        if new.count:
            self.last_step = max(self.last_step or 0, new.last)
            self._reach(self.attempt, new.last)
        return new.count

    def _merge_steps(self, records: list[Record], summaries: Summaries) -> None:
        """Store any records: the step says which attempt each belongs to, and it merges with what is there."""
        batch: defaultdict[int, dict[int, Record]] = defaultdict(dict)  # attempt → step → row
        simple = self.attempt.resumed_from is None
        for record in records:
            step = record["step"]
            owner = self.attempt if simple else self.tree.owner(self.attempt, step)
            rows = batch[owner.attempt]
            row = {
                "run_id": self.run_id,
                "step": step,
                "attempt": owner.attempt,
                "logged_at": time_of(record["at"]),
                "epoch": record.get("epoch"),
                "step_time": record.get("step_time"),
                "metrics": record["metrics"],
                "details": record.get("details"),
            }
            if step in rows:
                merge(rows[step], row)
            else:
                rows[step] = row
        for number, rows in batch.items():
            self._store_rows(self.tree.by_number[number], rows, summaries)

    def _store_rows(self, attempt: Attempt, rows: dict[int, Record], summaries: Summaries) -> None:
        stored: dict[int, Record] = {}
        if attempt.last_step is not None and min(rows) <= attempt.last_step:
            stored = self.sql.load_steps(self.connection, self.run_id, attempt.attempt, list(rows))
        for step in rows.keys() & stored.keys():
            before = stored[step]
            old_metrics = before["metrics"]
            merge(before, rows[step])
            rows[step].update(before)
            if step <= attempt.end_step:
                summaries.update(step, old_metrics, before["metrics"])
        current = [step for step in rows if step <= attempt.end_step]
        new = sorted(step for step in current if step not in stored)
        summaries.add_rows(new, [rows[step]["metrics"] for step in new])
        self.last_step = max((self.last_step, *current) if self.last_step is not None else current, default=None)
        self.sql.upsert_steps(self.connection, list(rows.values()))
        self._reach(attempt, max(rows))

    def _reach(self, attempt: Attempt, highest: int) -> None:
        if attempt.last_step is None or highest > attempt.last_step:
            attempt.last_step = highest
            self.changed.add(attempt.attempt)

    # --- events, status ---------------------------------------------------------------------------------------------

    def _store_events(self, records: list[tuple[int, Record]]) -> None:
        rows: list[Record] = []
        edits: list[Edit] = []
        for sequence, record in records:
            # A tag in a journal of an earlier version has no time.
            at = time_of(record["at"]) if "at" in record else self.attempt.opened_at
            edit = edit_of_record(self.source.writer_uid, sequence, at, record)
            if edit is not None:
                edits.append(edit)
                continue
            rows.append(
                {
                    "run_id": self.run_id,
                    "writer_uid": self.source.writer_uid,
                    "seq": sequence,
                    "at": at,
                    "step": record.get("step"),
                    "kind": record.get("event", "gap"),
                    "details": record.get("details"),
                }
            )
        if rows:
            self.sql.insert_events(self.connection, rows)
        apply_edits(self.connection, self.sql, self.run_id, self.attempt.attempt, edits)

    def _set_status(self, record: Record) -> None:
        """The end of a writer. The opener sets its attempt's status; another rank may only turn running into failed.

        "running" opens both again: an import had taken a source for ended, and it goes on.
        """
        status = record["status"]
        opener = self.attempt.uid == self.source.writer_uid
        if status == "running":
            if opener:
                self.attempt.status, self.attempt.error, self.attempt.closed_at = status, None, None
                self.changed.add(self.attempt.attempt)
            self.sql.reopen_writer(self.connection, self.source.writer_uid)
            return
        if status is not None and (opener or (status == "failed" and self.attempt.status == "running")):
            self.attempt.status = status
            self.attempt.error = record.get("error")
            self.attempt.closed_at = time_of(record["at"])
            self.changed.add(self.attempt.attempt)
        self.sql.close_writer(self.connection, self.source.writer_uid)
        if self.run.parent_uid is not None and self.run.parent_run_id is None:
            # If both runs arrived at the same moment, neither transaction saw the other's.
            parent = self.sql.run_id(self.connection, self.run.parent_uid)
            self.sql.update_run(self.connection, self.run_id, {"parent_run_id": parent})

    def _show_head(self) -> None:
        """The run shows what its head says."""
        head = self.tree.head
        shown = {"status": head.status, "ended_at": head.closed_at, "error": head.error, "last_step": self.last_step}
        if any(getattr(self.run, name) != value for name, value in shown.items()):
            self.sql.update_run(self.connection, self.run_id, shown)
