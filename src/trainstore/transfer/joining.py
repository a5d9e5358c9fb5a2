"""A run that both stores have: what the source knows of it more is added to the target, in one transaction.

Attempts are known by their uids; their numbers differ between stores. Whoever has stored more of a writer's journal
knows more of what that writer may have written. Where both have news, a value that differs is decided by the writer
that started last, the same from both sides, and the other value is kept in ``earlier``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from trainstore.models import OPEN_END
from trainstore.recording.attempts import Attempt, AttemptTree
from trainstore.recording.edits import EDIT_KINDS, Edit, apply_edits, edited_places
from trainstore.recording.statements import Statements
from trainstore.recording.summary import Summaries
from trainstore.transfer.comparing import differing_rows
from trainstore.transfer.reading import STEP_ROW, check_reached, parts_of
from trainstore.transfer.reports import Conflict
from trainstore.transfer.rows import News, differ, join_rows
from trainstore.transfer.sources import Source
from trainstore.transfer.stored_values import read_columns
from trainstore.transfer.vectors import Known
from trainstore.values import INT64_MIN, microseconds_of

_FACTS = ("git_commit", "git_dirty", "command", "host", "versions")


class Joining:
    """One run; `join` does it all, inside the transaction of ``connection`` that has locked the run."""

    def __init__(
        self, source: Source, theirs: Known, connection: Connection, statements: Statements, mine: Known
    ) -> None:
        self.source = source
        self.connection = connection
        self.sql = statements
        self.their_sql = Statements(source.models, source.backend)
        self.theirs = theirs
        self.mine = mine
        self.run_id = mine.run_id
        self.conflicts: list[Conflict] = []
        self.as_stored = source.backend.keeps_rows and source.backend.name == statements.backend.name

    def join(self) -> list[Conflict]:
        """Add what is new; the values that differ though both had news."""
        check_reached(self.source, self.theirs)
        self.tree = self.sql.load_attempts(self.connection, self.run_id)
        self.their_tree = self.their_sql.load_attempts(self.source.connection, self.theirs.run_id)
        self.writers = self._rows_of("writer", self.their_sql, self.source.connection, self.theirs.run_id, "uid")
        self.my_writers = self._rows_of("writer", self.sql, self.connection, self.run_id, "uid")
        self.changed: set[int] = set()
        self._join_attempts()
        self._join_writers()
        self.summaries = Summaries(self.sql.load_summaries(self.connection, self.run_id))
        changed, self.stale = self.tree.set_end_steps()  # stale: the summaries are to be recomputed
        self.changed.update(changed)
        for number, mine in self.numbers.items():
            self._join_steps(self.their_tree.by_number[number], self.tree.by_number[mine])
        # Tags that an edit of either store touches are its business.
        edits = self._join_events()
        self._join_notifications()
        self._join_hyperparams(edited_places(self.connection, self.sql, self.run_id) | {("tag", k) for k in edits})
        self._join_run()
        self._show()
        return self.conflicts

    # --- attempts and writers ---------------------------------------------------------------------------------------

    def _join_attempts(self) -> None:
        """Insert those that are missing, ancestors first, and take over the state of those known better there."""
        rows = self._rows_of("attempt", self.their_sql, self.source.connection, self.theirs.run_id, "attempt")
        self.numbers: dict[int, int] = {}  # theirs → ours
        lineages = map(self.their_tree.lineage, self.their_tree.by_number.values())
        for theirs in [lineage[-1] for lineage in sorted(lineages, key=lambda line: (len(line), line[-1].order))]:
            facts = {name: getattr(rows[theirs.attempt], name) for name in _FACTS}
            mine = self.tree.by_uid.get(theirs.uid)
            if mine is None:
                mine = Attempt(
                    attempt=self.tree.next_number,
                    uid=theirs.uid,
                    resumed_from=None if theirs.resumed_from is None else self.numbers[theirs.resumed_from],
                    start_step=theirs.start_step,
                    end_step=theirs.start_step,
                    last_step=None,
                    opened_at=theirs.opened_at,
                    closed_at=theirs.closed_at,
                    status=theirs.status,
                    error=theirs.error,
                    changed_hyperparams=theirs.changed_hyperparams,
                )
                self.tree.add(mine)
                self.sql.insert_attempt(self.connection, self.run_id, mine)
                self.sql.describe_attempt(self.connection, self.run_id, mine.attempt, facts)
                self.changed.add(mine.attempt)
            else:
                self._update_attempt(mine, theirs, facts)
            self.numbers[theirs.attempt] = mine.attempt

    def _update_attempt(self, mine: Attempt, theirs: Attempt, facts: Mapping[str, Any]) -> None:
        further = self.theirs.acked.get(theirs.uid, -1) > self.mine.acked.get(mine.uid, -1)
        if further:
            self.sql.describe_attempt(self.connection, self.run_id, mine.attempt, facts)
        if self._tells_more(theirs, mine):
            mine.status, mine.error, mine.closed_at = theirs.status, theirs.error, theirs.closed_at
            self.changed.add(mine.attempt)
        one, other = (mine, theirs) if further else (theirs, mine)
        changes = {**(one.changed_hyperparams or {}), **(other.changed_hyperparams or {})}
        if changes != (mine.changed_hyperparams or {}):
            mine.changed_hyperparams = changes
            self.changed.add(mine.attempt)

    def _tells_more(self, theirs: Attempt, mine: Attempt) -> bool:
        """Whether the source knows more of how an attempt goes or went."""
        there, here = self.theirs.acked.get(theirs.uid, -1), self.mine.acked.get(mine.uid, -1)
        (further, one), (other, another) = (self.theirs, theirs), (self.mine, mine)
        if there < here:
            (further, one), (other, another) = (other, another), (further, one)
        if there != here and one.status == "running" and another.closed_at is not None:
            # Its opener took its end back, unless the end is somebody else's of whom only the other store has heard.
            by_hand = other.by_hand - further.by_hand
            failed = another.status == "failed" and other.ahead_of(further) - {mine.uid}
            return (further is self.theirs) != bool(by_hand or failed)
        return _state(theirs, self.theirs) > _state(mine, self.mine)

    def _join_writers(self) -> None:
        table = self.sql.models.writer
        for uid, row in self.writers.items():
            values = dict(row._mapping) | {"run_id": self.run_id, "attempt": self.numbers.get(row.attempt, 0)}
            there = self.my_writers.get(uid)
            if there is None:
                self.sql.insert_writer(self.connection, values)
                continue
            newer: dict[str, Any] = {}
            if row.acked > there.acked:
                newer |= {"acked": row.acked, "closed_at": row.closed_at}
            elif row.acked == there.acked and row.closed_at is not None and there.closed_at is None:
                newer["closed_at"] = row.closed_at
            if row.heartbeat_at is not None and (there.heartbeat_at is None or row.heartbeat_at > there.heartbeat_at):
                newer["heartbeat_at"] = row.heartbeat_at
            if newer:
                self.connection.execute(update(table).where(table.c.uid == uid).values(newer))

    def _news(self, theirs: Attempt, mine: Attempt) -> News:
        """Who of those that may have written into an attempt has been heard further: there, and here."""
        ahead = self.theirs.ahead_of(self.mine) & _may_write(self.writers, self.their_tree, theirs)
        behind = self.mine.ahead_of(self.theirs) & _may_write(self.my_writers, self.tree, mine)
        started = {uid: (row.started_at, uid) for uid, row in [*self.my_writers.items(), *self.writers.items()]}
        last = max(ahead | behind, key=lambda uid: started[uid], default=None)
        return News(bool(ahead), bool(behind), last in ahead)

    # --- steps ------------------------------------------------------------------------------------------------------

    def _join_steps(self, theirs: Attempt, mine: Attempt) -> None:
        news = self._news(theirs, mine)
        if not news.there:
            return
        reached = mine.last_step
        if reached is not None and self.as_stored:
            there = (self.source.connection, self.source.models.step_log, self.theirs.run_id, theirs.attempt)
            here = (self.connection, self.sql.models.step_log, self.run_id, mine.attempt)
            for rows in differing_rows(there, here, reached):
                columns = read_columns(self.source.models.step_log, STEP_ROW, rows)
                self._join_known(mine, _steps_in(columns), news)
        elif reached is not None:
            for part in self._their_rows(theirs, INT64_MIN, reached):
                self._join_known(mine, part, news)
        for part in self._their_rows(theirs, INT64_MIN if reached is None else reached, OPEN_END):
            self._append(mine, [*part.values()])
            mine.last_step = max(part)
            self.changed.add(mine.attempt)

    def _their_rows(self, theirs: Attempt, after: int, up_to: int) -> Iterator[dict[int, dict[str, Any]]]:
        """The rows after a step and up to another, by step, ascending, some at a time."""

        def wanted(c: Any) -> ColumnElement[bool]:
            return and_(c.run_id == self.theirs.run_id, c.attempt == theirs.attempt, c.step > after, c.step <= up_to)

        for part in parts_of(self.source, "step_log", STEP_ROW, wanted, order="step"):
            yield _steps_in(part.columns)

    def _append(self, mine: Attempt, rows: list[dict[str, Any]]) -> None:
        self._count(mine, rows)
        columns = (
            [self.run_id] * len(rows),
            [row["step"] for row in rows],
            [mine.attempt] * len(rows),
            [microseconds_of(row["logged_at"]) for row in rows],
            *([row[name] for row in rows] for name in ("epoch", "step_time", "metrics", "details")),
        )
        self.sql.append_steps(self.connection, [columns])

    def _count(self, mine: Attempt, rows: Iterable[Mapping[str, Any]]) -> None:
        current = [row for row in rows if row["step"] <= mine.end_step]
        if current and not self.stale:
            self.summaries.add_rows([row["step"] for row in current], [row["metrics"] for row in current])

    def _join_known(self, mine: Attempt, rows: dict[int, dict[str, Any]], news: News) -> None:
        stored = self.sql.load_steps(self.connection, self.run_id, mine.attempt, list(rows))
        changed = []
        for step, row in rows.items():
            if step not in stored:
                changed.append(row)
                continue
            before = stored[step]
            joined, differing = join_rows(before, row, news)
            for name, counts, other in differing:
                self.conflicts.append(Conflict(self.mine.uid, step, name, counts, other))
            if joined != before:
                self.stale = self.stale or step <= mine.end_step
                changed.append(joined)
        self._count(mine, [row for row in changed if row["step"] not in stored])
        place = {"run_id": self.run_id, "attempt": mine.attempt}
        self.sql.upsert_steps(self.connection, [{**row, **place} for row in changed])

    # --- events, hyperparameters, the run ---------------------------------------------------------------------------

    def _join_events(self) -> set[str]:
        """Insert those that are missing; the names of tags that were edited there."""
        event = self.source.models.event.c
        new = [
            (event.writer_uid == uid) & (event.seq > self.mine.acked.get(uid, -1))
            for uid in self.theirs.ahead_of(self.mine)
        ]
        hands = {writer for writer, _ in self.theirs.by_hand - self.mine.by_hand}
        names = ("writer_uid", "seq", "at", "step", "kind", "details")
        edits: list[Edit] = []
        rows: list[dict[str, Any]] = []
        for condition in [*_alternatives(new), *([event.writer_uid.in_(hands)] if hands else [])]:
            statement = select(*(event[name] for name in names)).where(event.run_id == self.theirs.run_id, condition)
            for row in self.source.connection.execute(statement):
                edit = _edit_of(row)
                if edit is None:
                    rows.append({"run_id": self.run_id, **row._mapping})
                else:
                    edits.append(edit)
        if rows:
            self.sql.insert_events(self.connection, rows)
        apply_edits(self.connection, self.sql, self.run_id, self.tree.head.attempt, edits, keep=True)
        return {key for edit in edits if edit.kind == "tag" for key in (*edit.set, *edit.removed)}

    def _join_notifications(self) -> None:
        """What was sent of events: nobody sends it again."""
        theirs = self.source.models.notification
        ours = self.sql.models.notification
        found = select(theirs).where(theirs.c.run_id == self.theirs.run_id)
        rows = [{**row, "run_id": self.run_id} for row in self.source.connection.execute(found).mappings()]
        keys = ("writer_uid", "seq", "target")
        self.sql.backend.insert_missing(self.connection, ours, keys, rows)
        for row in rows:
            if row["sent_at"] is not None:
                there = [ours.c[key] == row[key] for key in keys]
                unsent = update(ours).where(*there, ours.c.sent_at.is_(None))
                self.connection.execute(unsent.values(sent_at=row["sent_at"]))

    def _join_hyperparams(self, edited: set[tuple[str, str]]) -> None:
        mine = self.sql.load_hyperparams(self.connection, self.run_id)
        rows: dict[tuple[str, str], tuple[Any, int]] = {}
        there = self.their_sql.load_hyperparams(self.source.connection, self.theirs.run_id)
        for place, (value, number) in there.items():
            setter = self.their_tree.by_number.get(number)
            if place in edited or setter is None:
                continue
            if place in mine:
                old, old_number = mine[place]
                setter_here = self.tree.by_number.get(old_number)
                if setter_here is not None and setter.order < setter_here.order:
                    continue
                same = setter_here is not None and setter.uid == setter_here.uid
                if same and not (differ(old, value) and self._counts(place, setter, value, old)):
                    continue
            rows[place] = (value, self.numbers[number])
        self.sql.upsert_hyperparams(self.connection, self.run_id, rows)

    def _counts(self, place: tuple[str, str], theirs: Attempt, value: Any, old: Any) -> bool:
        """Whether their value of a hyperparameter counts, which the same attempt set to another one here."""
        news = self._news(theirs, self.tree.by_uid[theirs.uid])
        if news.there and news.here:
            counts, other = (value, old) if news.theirs_last else (old, value)
            self.conflicts.append(Conflict(self.mine.uid, None, ".".join(place), counts, other))
        return news.there and (not news.here or news.theirs_last)

    def _join_run(self) -> None:
        run = self.sql.run_record(self.connection, self.run_id)
        theirs = self.their_sql.run_record(self.source.connection, self.theirs.run_id)
        values: dict[str, Any] = {}
        if theirs["started_at"] < run["started_at"]:
            # Here it was made from a checkpoint; there is what it began with.
            edited = {kind for kind, _ in edited_places(self.connection, self.sql, self.run_id)}
            values = {name: theirs[name] for name in ("started_at", "project", "source")}
            values |= {} if "rename" in edited else {"name": theirs["name"]}
            values |= {} if "note" in edited else {"notes": theirs["notes"]}
        for name in ("model_name", "parent_uid", "parent_step"):
            if run[name] is None and theirs[name] is not None:
                values[name] = theirs[name]
        if values:
            self.sql.update_run(self.connection, self.run_id, values)

    def _show(self) -> None:
        """Write what follows from the rows: attempts, summaries, and what the run shows."""
        for number in sorted(self.changed):
            self.sql.update_attempt(self.connection, self.run_id, self.tree.by_number[number])
        if self.stale:
            self.sql.recompute_summaries(self.connection, self.run_id)
        else:
            touched = [(metric, self.summaries[metric]) for metric in self.summaries.touched]
            self.sql.upsert_summaries(self.connection, self.run_id, touched)
        head = self.tree.head
        last_step = self.sql.last_current_step(self.connection, self.run_id)
        shown = {"status": head.status, "ended_at": head.closed_at, "error": head.error, "last_step": last_step}
        self.sql.update_run(self.connection, self.run_id, shown)

    def _rows_of(
        self, name: str, statements: Statements, connection: Connection, run_id: int, key: str
    ) -> dict[Any, Row[Any]]:
        table = getattr(statements.models, name)
        return {getattr(row, key): row for row in connection.execute(select(table).where(table.c.run_id == run_id))}


def _steps_in(columns: Sequence[Sequence[Any]]) -> dict[int, dict[str, Any]]:
    """The rows of columns of `STEP_ROW`, by step."""
    return {row[0]: dict(zip(STEP_ROW, row, strict=True)) for row in zip(*columns, strict=True)}


def _state(attempt: Attempt, known: Known) -> tuple[Any, ...]:
    """The greater, the more is known of how an attempt goes or went. A placeholder is neither running nor closed."""
    closed = attempt.closed_at
    opened = attempt.status == "running" or closed is not None
    never = datetime.min.replace(tzinfo=attempt.opened_at.tzinfo)
    return (opened, closed is not None, known.acked.get(attempt.uid, -1), closed or never, attempt.status)


def _may_write(writers: Mapping[str, Row[Any]], tree: AttemptTree, attempt: Attempt) -> set[str]:
    """The writers whose records may be rows of an attempt: its own, and those of what resumed it."""
    below = {
        number
        for number, other in tree.by_number.items()
        if any(ancestor.attempt == attempt.attempt for ancestor in tree.lineage(other))
    }
    return {uid for uid, row in writers.items() if row.attempt in below}


def _edit_of(row: Row[Any]) -> Edit | None:
    details = row.details
    if row.kind not in EDIT_KINDS or not isinstance(details, dict) or details.keys() != {"set", "removed", "before"}:
        return None
    return Edit(row.kind, row.at, row.writer_uid, row.seq, details["set"], details["removed"])


def _alternatives(conditions: list[Any]) -> Iterator[Any]:
    """Joined by OR, some at a time."""
    for start in range(0, len(conditions), 100):
        yield or_(*conditions[start : start + 100])
