"""One session of a foreign run on its way into the store: a writer."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from trainstore.errors import SourceError
from trainstore.importing.cleaning import Cleaner, attempt_fields, host_of, time_within, told
from trainstore.importing.comparing import Comparison
from trainstore.importing.context import Reached
from trainstore.importing.ends import assumed_status, last_at
from trainstore.importing.folding import merged
from trainstore.importing.foreign import Entry, Session, Step
from trainstore.importing.reports import ImportedRun
from trainstore.importing.sending import Sender
from trainstore.importing.stored import EVENT, PLACES, StoredWriter
from trainstore.models import LOST_AFTER
from trainstore.recording.flush import Source
from trainstore.recording.opening import joined_attempt
from trainstore.recording.records import Record, attempt_record, event_record, now, run_record, status_record
from trainstore.values import stored_text

if TYPE_CHECKING:
    from trainstore.importing.bringing import RunImport

logger = logging.getLogger("trainstore")


FAULT = "reading stopped at a fault of trainstore"
MAX_DAMAGE = 100  # lines about one session
_TRIES = 100


class StartOver(Exception):  # noqa: N818 - no error: another import stored something of the same table
    """What was compared is no longer what is stored."""


class SessionImport:
    """One session of a run: a writer."""

    def __init__(self, run: RunImport, place: int) -> None:
        self.run = run
        self.context = run.context
        self.place = place
        self.session: Session = run.run.sessions[place]
        self.uid = run.writers[place]
        self.cleaner = Cleaner()
        self.reached = self.context.reached.get(self.uid)
        self.sender: Sender | None = None
        self.has_sent = False
        self.told = 0  # points that the report has of it

    @property
    def writer(self) -> StoredWriter | None:
        """As it was stored when last looked at."""
        return self.run.stored.own(self.uid, self.run.uid)

    # --- reading and storing ----------------------------------------------------------------------------------------

    def bring(self) -> None:
        """Import what is new of it."""
        elsewhere = self.run.stored.writers.get(self.uid)
        if elsewhere is not None and elsewhere.run_uid != self.run.uid:
            self.run.report.damage.append(f"a part of it is here already, as part of run {elsewhere.run_uid}")
            return
        if self._is_unchanged():
            return
        for _ in range(_TRIES):
            try:
                self._bring()
                break
            except StartOver:
                self.context.reached.pop(self.uid, None)
                self.reached = None
                self.run.report.points -= self.told
                self.told = 0
                self.run.look_again()
                if self._is_unchanged():  # the other one has brought all of it
                    return
        else:
            raise SourceError(f"{self.run.run.where} is being imported elsewhere too; wait until that has ended")
        if self.sender is not None and self.sender.acked and not self.context.target.dry_run:
            self.run.look_again()  # later sessions go on from its attempt

    def _is_unchanged(self) -> bool:
        """Whether it was read to its end before, by what the source says without being read."""
        session, writer = self.session, self.writer
        mark = session.stamp if session.stamp is not None else session.end_position
        if mark is None:
            return False
        if self.reached is not None:
            return self.reached.mark == mark and not self.reached.broken
        if writer is None or not writer.is_whole:
            return False
        return bool(writer.last.get("stamp" if session.stamp is not None else "read_to") == mark)

    def _bring(self) -> None:
        session, writer = self.session, self.writer
        is_table = session.stamp is not None
        reached = self.reached
        if reached is None:
            reached = Reached(after=writer.read_to if writer and not is_table else 0)
            self.reached = self.context.reached[self.uid] = reached
        seen = self.run.stored.id is not None
        source = Source(self.uid, self.run.uid, seen, revives=self.run.revives, alive=self._is_alive())
        acked = writer.acked if writer else 0
        self.sender = Sender(self.context.target, source, acked, moved=_start_over if is_table else None)
        if acked < 2:
            for number, record in enumerate(self._opening_records(), 1):
                self._add(number, record)
        session.left_out.clear()
        session.damage.clear()
        if is_table:
            self._bring_table(reached, acked)
        else:
            self._bring_log(reached, acked)
        self.sender.send()
        reached.stored = reached.stored or self.has_sent or (writer is not None and not writer.is_whole)
        reached.mark = session.stamp if is_table else session.end_position

    def _bring_log(self, reached: Reached, acked: int) -> None:
        sender, writer, session = self.sender, self.writer, self.session
        assert sender is not None
        reopens = writer is not None and writer.is_assumed
        reached.uncounted = reached.uncounted or bool(reached.left_out or reached.damage)
        for entry in self._one_by_one(session.entries(reached.after), reached):
            number = PLACES * entry.position
            if entry.position <= reached.after:
                raise SourceError(f"positions of {session.identity} do not ascend: {entry.position} is one")
            reached.after = entry.position
            self._count(entry, reached, is_new=number > acked)
            if number <= acked:
                continue
            if reopens:
                reopens = False
                if (acked + 1) // PLACES == acked // PLACES:
                    sender.add(acked + 1, status_record("running", None, 0))
            self._add(number, self.cleaner.record(entry))
        reached.left_out, reached.damage = _cleaned(session.left_out), list(session.damage)

    def _bring_table(self, reached: Reached, acked: int) -> None:
        writer, session = self.writer, self.session
        reached.points = 0

        def records() -> Iterator[Record]:
            for entry in merged(self._one_by_one(session.entries(), reached)):
                self._count(entry, reached, is_new=writer is None)
                yield self.cleaner.record(entry)

        found: Iterable[Record] = records()
        if writer is not None:
            statements = self.context.target.statements
            found = Comparison(self.context.looking, statements, self.run.stored, writer, self.uid).missing(found)
            if writer.is_assumed:
                found = _taken_up(found)
        for number, record in enumerate(found, max(acked, 2) + 1):
            if writer is not None and record["kind"] == "step":
                self._tell(len(record["metrics"]))
            self._add(number, record)
        reached.stored = True  # its stamp is new, which an import event will say
        reached.left_out, reached.damage = _cleaned(session.left_out), list(session.damage)

    def _add(self, number: int, record: Record) -> None:
        assert self.sender is not None
        self.sender.add(number, record)
        self.has_sent = self.context.grew = True
        if not self.context.is_first:
            self.context.grown_at[self.run.uid] = now()

    def _one_by_one(self, entries: Iterable[Entry], reached: Reached) -> Iterator[Entry]:
        """Entries, as far as they can be read: what is whole is imported, what is not is named."""
        reached.broken = False
        try:
            yield from entries
        except SourceError as error:
            reached.broken = True
            self.session.damage.append(f"reading stopped: {error}")
        except OSError as error:
            reached.broken = True
            self.session.damage.append(f"reading stopped: {error.strerror or type(error).__name__}")
        except Exception as error:  # one run that our reader fails at must not keep the others from being imported
            logger.debug("reading %s", self.run.run.where, exc_info=True)
            reached.broken = True
            self.session.damage.append(f"{FAULT} ({type(error).__name__}); please report it")

    def _count(self, entry: Entry, reached: Reached, *, is_new: bool) -> None:
        if not isinstance(entry, Step):
            return
        points = len(entry.metrics)
        reached.points += points
        at = time_within(entry.at)
        if reached.last_at is None or at > reached.last_at:
            reached.last_at = at
        if is_new:
            self._tell(points)

    def _tell(self, points: int) -> None:
        self.told += points
        self.run.report.points += points
        self.context.progress(self.run.report.name, points)

    # --- the first two records --------------------------------------------------------------------------------------

    def _opening_records(self) -> tuple[Record, Record]:
        session = self.session
        started_at = time_within(session.started_at)
        writer = {"uid": self.uid, "rank": 0, "started_at": started_at, "host": host_of(session)}
        writer |= {"username": None, "pid": 0}
        seen = self.run.stored.id is not None
        return run_record(self.run.fields, seen=seen, writer=writer), attempt_record(self._attempt(started_at))

    def _attempt(self, started_at: int) -> Record:
        lineage = self.run.lineage_before(self.place)
        start_step = self.session.opening()
        if start_step is None and lineage:
            return joined_attempt(lineage)
        opened_at = max(started_at, *(entry[2] + 1 for entry in lineage)) if lineage else started_at
        return {
            "uid": self.uid,
            "start_step": start_step if lineage and start_step is not None else -1,
            "opened_at": opened_at,
            "lineage": lineage,
            **attempt_fields(self.session),
        }

    def _is_alive(self) -> bool:
        """Whether the source was just written: then the run is shown as running for as long as a writer's would be."""
        written_at = self.run.written_at
        return written_at is not None and now() - written_at < LOST_AFTER.total_seconds() * 1e6

    # --- the end ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Assume an end, if the source does not say it and is written no more; leave an event of what was done."""
        report, writer, reached = self.run.report, self.writer, self.reached
        status = None if writer is None or self.context.target.dry_run else assumed_status(self, writer)
        if report.state == "unchanged" and (self.has_sent or status is not None):
            report.state = "updated"
        self._report(report)
        if writer is None or self.context.target.dry_run:
            return
        if writer.closed_at is None and status is None:
            self.context.open[self.uid] = max(self.run.written_at or 0, self.context.grown_at.get(self.run.uid, 0))
        else:
            self.context.open.pop(self.uid, None)
        records: list[Record] = []
        if status is not None:
            records.append(status_record(status, None, last_at(self, writer)))
        said = self.session.stamp is None and writer.is_whole  # by an import that overtook this one
        if status is not None or (reached is not None and reached.stored and self.context.final and not said):
            details = self._details(assumed=status is not None)
            records.append(event_record(EVENT, now(), None, details))
        if records and self._store(list(enumerate(records, writer.acked + 1)), writer.acked) and reached is not None:
            self.context.reached[self.uid] = Reached(
                after=reached.after, mark=reached.mark, broken=reached.broken, last_at=reached.last_at
            )

    def _store(self, records: list[tuple[int, Record]], acked: int) -> bool:
        """Store what the import itself says; not at all if there is no room for it, or it has been said meanwhile."""
        if self.session.stamp is None and records[-1][0] // PLACES != acked // PLACES:
            return False
        source = Source(self.uid, self.run.uid, seen=True, alive=False)
        sender = Sender(self.context.target, source, acked, moved=_start_over)
        try:
            for number, record in records:
                sender.add(number, record)
            sender.send()
        except StartOver:
            return False
        return True

    def _report(self, report: ImportedRun) -> None:
        """Add what was left out and what is damaged, of earlier imports too: it still is."""
        writer, reached = self.writer, self.reached
        left_out, damage = Counter[str](), list[str]()
        if writer is not None and (reached is None or self.session.stamp is None):
            left_out, damage = writer.left_out, writer.damage
        if reached is not None:
            kept = writer.damage_behind if writer is not None else ()
            damage = [*(line for line in damage if line not in kept), *reached.damage]
            left_out = left_out + self._new_left_out(reached)
        report.left_out = dict(Counter(report.left_out) + left_out)
        report.damage = list(dict.fromkeys([*report.damage, *map(told, damage)]))[:MAX_DAMAGE]

    def _new_left_out(self, reached: Reached) -> Counter[str]:
        """What was left out, without what the last import event has counted already."""
        writer = self.writer
        return reached.left_out - writer.left_out_behind if writer and self.session.stamp is None else reached.left_out

    def _behind(self, reached: Reached) -> dict[str, Any]:
        """What is left out or damaged behind the last entry of a log: found by reading that again."""
        session = self.session
        if session.stamp is not None or not (reached.left_out or reached.damage):
            return {}
        session.left_out.clear()
        session.damage.clear()
        for _ in self._one_by_one(session.entries(reached.after), Reached()):
            break  # it has grown meanwhile
        found = {"left_out": dict(_cleaned(session.left_out)), "damage": list(map(told, session.damage[:MAX_DAMAGE]))}
        return {name: value for name, value in found.items() if value}

    def _details(self, *, assumed: bool) -> dict[str, Any]:
        """What the event of this import says."""
        session, reached, writer = self.session, self.reached or Reached(), self.writer
        details: dict[str, Any] = {"tool": self.context.tool, "source": self.run.report.where}
        if session.stamp is not None:
            details["stamp"] = None if reached.broken else session.stamp
        elif session.end_position is not None and not reached.broken:
            details["read_to"] = session.end_position
        details["points"] = reached.points
        left_out = self._new_left_out(reached)
        if left_out:
            details["left_out"] = dict(left_out)
        if reached.damage:
            details["damage"] = list(map(told, reached.damage[:MAX_DAMAGE]))
        behind = self._behind(reached)
        if behind:
            details["behind"] = behind
        if assumed or (writer is not None and writer.is_assumed and writer.closed_at is not None):
            details["status"] = "assumed"
        return details


def _taken_up(records: Iterable[Record]) -> Iterator[Record]:
    """The records that are new of a session whose end was assumed: if there are steps, it had not ended."""
    has_ended = True
    for record in records:
        if has_ended and record["kind"] == "step":
            has_ended = False
            yield status_record("running", None, 0)
        yield record


def _start_over(_acked: int) -> None:
    raise StartOver


def _cleaned(left_out: Mapping[str, int]) -> Counter[str]:
    """Counts by names without secrets, as they are stored."""
    return Counter({stored_text(name, 200): count for name, count in left_out.items()})
