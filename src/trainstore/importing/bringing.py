"""The engine: what a reader tells becomes records of writers, which go the way that journals go.

A session is a writer. Its records 1 and 2 are the run and the attempt; an entry of a log at position p has the number
``64 * p``, so that ``writer.acked`` says how far the log is imported; a table's entries are numbered on. What the
import itself adds (an end that it assumes, an event that says what was brought) takes the next free numbers. So an
import may be killed at any record, be run again, and be run twice at once: what is there is known by its number.
"""

from __future__ import annotations

from typing import Any

from trainstore.importing.cleaning import run_fields, time_within
from trainstore.importing.context import Context, made_uid
from trainstore.importing.foreign import ForeignRun
from trainstore.importing.reports import ImportedRun
from trainstore.importing.sessions import SessionImport
from trainstore.importing.stored import StoredRun, look
from trainstore.recording.flush import RunDeletedError
from trainstore.values import stored_text, time_of


class RunImport:
    """One foreign run; `bring` imports it, as far as it is not there yet."""

    def __init__(self, context: Context, run: ForeignRun) -> None:
        self.context = context
        self.run = run
        self.uid = context.run_uid(run)
        context.runs[run.identity] = self.uid
        self.fields = run_fields(
            run,
            self.uid,
            project=context.project or run.project or context.place_name,
            source=context.tool,
            parent=context.parent_uid(run),
        )
        self.report = ImportedRun(self.uid, self.fields["name"], self.fields["project"], stored_text(run.where, 1_000))
        self.writers = [made_uid(context.tool, "session", session.identity) for session in run.sessions]
        written = [session.written_at for session in run.sessions if session.written_at is not None]
        self.written_at = max(written, default=None)
        self.stored = self._look()
        self.revives = False  # it was deleted, and is brought back with its first records
        self.grew = False  # whether something new of it was stored

    def _look(self) -> StoredRun:
        with self.context.looking() as connection:
            return look(connection, self.context.target.statements, self.uid, self.writers)

    def bring(self) -> None:
        """Its sessions one after the other, then how they ended; ``report`` says what was done."""
        report = self.report
        if self._was_recorded_here():
            report.name, report.project = self.stored.name, self.stored.project
            return
        reason = self._why_not()
        if reason is not None:
            report.state, report.reason = "skipped", reason
            return
        if self.stored.id is None:
            report.state = "new"
            self.revives = self._is_deleted()
        else:
            report.name, report.project = self.stored.name, self.stored.project
        try:
            sessions = [SessionImport(self, place) for place in range(len(self.run.sessions))]
            for session in sessions:
                session.bring()
            self.grew = any(session.has_sent for session in sessions)
            for session in sessions:
                session.settle()
        except RunDeletedError:
            report.state, report.reason = "skipped", "it was deleted from the store meanwhile"
            self._forget()
        except BaseException:
            self._forget()
            raise
        if not self.context.follows:
            self._forget()

    def _was_recorded_here(self) -> bool:
        """Whether an adapter of ours recorded it, under the same uid, while it ran: then all of it is here."""
        stored = self.stored
        is_here = stored.id is not None and stored.source == self.context.tool and not stored.was_imported
        return is_here and not any(w.run_uid == self.uid for w in stored.writers.values())

    def _why_not(self) -> str | None:
        """Why this run cannot be imported, if it cannot."""
        if self.stored.id is not None and not any(w.run_uid == self.uid for w in self.stored.writers.values()):
            source = self.stored.source
            if source != self.context.tool:
                return f"a run with its uid {self.uid} is here already, recorded by {source!r}"
            return f"a run with its uid {self.uid} is here already, and was not imported from this source"
        if self.stored.id is None and self.stored.writers:
            other = next(iter(self.stored.writers.values())).run_uid
            return f"it is here already, as part of run {other}"
        if self._is_deleted() and not self.context.revive:
            assert self.stored.tombstone is not None
            day = self.stored.tombstone.deleted_at.date()
            return f"it was deleted from the store on {day}; --revive (revive=True) brings it back"
        return None

    def _is_deleted(self) -> bool:
        """Whether it was deleted, and no session of it began later."""
        latest = max(time_within(session.started_at) for session in self.run.sessions)
        return self.stored.tombstone is not None and self.stored.tombstone.holds(time_of(latest))

    def _forget(self) -> None:
        """What was counted and then not stored is counted anew."""
        for uid in self.writers:
            self.context.reached.pop(uid, None)

    def look_again(self) -> StoredRun:
        """Read anew what is stored."""
        self.stored = self._look()
        return self.stored

    def lineage_before(self, place: int) -> list[list[Any]]:
        """The attempts that a new session resumes or joins: those of the nearest session before it that is here."""
        for uid in reversed(self.writers[:place]):
            writer = self.stored.own(uid, self.uid)
            if writer is not None and writer.attempt in self.stored.tree.by_number:
                return self.stored.lineage(writer)
        return []
