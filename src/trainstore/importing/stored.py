"""What the store knows of a foreign run already: the run, its writers, what their imports said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from trainstore.recording.attempts import AttemptTree
from trainstore.recording.deletion import Tombstone, deleted_runs
from trainstore.recording.statements import Statements
from trainstore.values import microseconds_of

EVENT = "import"  # the kind of the event that an import leaves
PLACES = 64  # record numbers of one position of a log: the entry's, and those of what the import adds there
_IN_LIMIT = 500


@dataclass(slots=True)
class StoredWriter:
    """One session that was imported, perhaps not to its end."""

    run_uid: str
    acked: int
    attempt: int
    closed_at: datetime | None
    last: Mapping[str, Any] = field(default_factory=dict)  # the details of its latest import event
    last_seq: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)
    #: Of these, what lies behind the last entry of a log: reading on meets it again.
    left_out_behind: Counter[str] = field(default_factory=Counter)
    damage_behind: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether its last import came to its end."""
        return self.acked == self.last_seq

    @property
    def read_to(self) -> int:
        """The position of a log up to which the import events account for everything."""
        return self.last_seq // PLACES

    @property
    def is_assumed(self) -> bool:
        """Whether its end is not the source's word."""
        return self.last.get("status") == "assumed"


@dataclass(slots=True)
class StoredRun:
    """A run in the store, or None in place of its id; and the writers of its sessions, wherever they are."""

    id: int | None
    source: str | None
    project: str
    name: str
    tree: AttemptTree
    writers: dict[str, StoredWriter]
    tombstone: Tombstone | None = None
    was_imported: bool = False  # from whichever source

    def own(self, writer_uid: str, run_uid: str) -> StoredWriter | None:
        """The writer, if it is this run's."""
        writer = self.writers.get(writer_uid)
        return writer if writer is not None and writer.run_uid == run_uid else None

    def lineage(self, writer: StoredWriter) -> list[list[Any]]:
        """The attempts that a writer's goes back to, root first, and itself, as records have them."""
        attempt = self.tree.by_number[writer.attempt]
        return [[one.uid, one.start_step, microseconds_of(one.opened_at)] for one in self.tree.lineage(attempt)]


def look(connection: Connection, statements: Statements, run_uid: str, writer_uids: Sequence[str]) -> StoredRun:
    """Read what is known of a run and of the writers of its sessions."""
    run = statements.models.run.c
    row = connection.execute(select(run.id, run.source, run.project, run.name).where(run.uid == run_uid)).first()
    writers = _writers(connection, statements, writer_uids)
    if row is None:
        tombstone = deleted_runs(connection, statements.models, [run_uid]).get(run_uid)
        return StoredRun(None, None, "", "", AttemptTree(()), writers, tombstone)
    events = sorted(statements.load_events(connection, row.id, (EVENT,)), key=lambda event: event.seq)
    for event in events:
        writer = writers.get(event.writer_uid)
        if writer is not None and writer.run_uid == run_uid and isinstance(event.details, dict):
            _take(writer, event.seq, event.details)
    tree = statements.load_attempts(connection, row.id)
    return StoredRun(row.id, row.source, row.project, row.name, tree, writers, was_imported=bool(events))


def last_logged(connection: Connection, statements: Statements, run_id: int, attempt: int) -> int | None:
    """When an attempt's latest step was logged, by any of its writers."""
    log = statements.models.step_log.c
    at = connection.execute(
        select(func.max(log.logged_at)).where(log.run_id == run_id, log.attempt == attempt)
    ).scalar()
    return None if at is None else microseconds_of(at)


def _writers(connection: Connection, statements: Statements, uids: Sequence[str]) -> dict[str, StoredWriter]:
    run, writer = statements.models.run, statements.models.writer
    columns = (writer.c.uid, run.c.uid.label("run_uid"), writer.c.acked, writer.c.attempt, writer.c.closed_at)
    base = select(*columns).join_from(writer, run)
    found: dict[str, StoredWriter] = {}
    for begin in range(0, len(uids), _IN_LIMIT):
        for uid, *others in connection.execute(base.where(writer.c.uid.in_(uids[begin : begin + _IN_LIMIT]))):
            found[uid] = StoredWriter(*others)
    return found


def _take(writer: StoredWriter, seq: int, details: Mapping[str, Any]) -> None:
    """What the next import event of a writer adds."""
    behind = details.get("behind")
    behind = behind if isinstance(behind, dict) else {}
    if "stamp" in details:  # a table is read as a whole each time
        writer.left_out, writer.damage = Counter(), []
    lines = [line for line in writer.damage if line not in writer.damage_behind]
    writer.damage = list(dict.fromkeys([*lines, *_lines(details.get("damage"))]))
    writer.left_out += _counts(details.get("left_out"))
    writer.left_out_behind, writer.damage_behind = _counts(behind.get("left_out")), _lines(behind.get("damage"))
    writer.last, writer.last_seq = details, seq


def _counts(value: object) -> Counter[str]:
    return Counter({str(name): int(count) for name, count in value.items()} if isinstance(value, dict) else {})


def _lines(value: object) -> list[str]:
    return [str(line) for line in value] if isinstance(value, list) else []
