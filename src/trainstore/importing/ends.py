"""How a session ended whose source does not say it: assumed, once nothing was written for an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainstore.importing.cleaning import time_within
from trainstore.importing.stored import StoredWriter, last_logged
from trainstore.recording.records import now
from trainstore.values import microseconds_of

if TYPE_CHECKING:
    from trainstore.importing.sessions import SessionImport

QUIET = 3_600_000_000  # microseconds without a write, after which a source that does not say so has ended


def assumed_status(session: SessionImport, writer: StoredWriter) -> str | None:
    """The end that is to be recorded, if one is to be assumed."""
    if session.session.written_at is None or (writer.closed_at is not None and not writer.is_assumed):
        return None
    attempt = session.run.stored.tree.by_number.get(writer.attempt)
    if attempt is None:
        return None
    is_opener = attempt.uid == session.uid
    is_resumed = any(one.resumed_from == attempt.attempt for one in session.run.stored.tree.by_number.values())
    later = writer.closed_at is not None and is_opener and session.run.grew  # another session of it went on
    if is_opener and is_resumed:
        status = "interrupted"
    elif (writer.closed_at is None or later) and not session.session.says_its_end and _is_quiet(session, writer):
        status = "finished"
    else:
        return None
    if writer.closed_at is None or attempt.status != status:
        return status
    ended_at = attempt.closed_at and microseconds_of(attempt.closed_at)
    return status if later and ended_at != last_at(session, writer) else None


def _is_quiet(session: SessionImport, writer: StoredWriter) -> bool:
    """Whether nothing was written for an hour. A copied file is new, what it says is not; one that grows is."""
    written = session.run.written_at
    if written is None:
        return False
    if session.context.final:
        written = min(written, _logged_at(session, writer) or written)
    return now() - written > QUIET


def last_at(session: SessionImport, writer: StoredWriter) -> int:
    """When its attempt was heard of last. Not when the files were written, which may be copies."""
    return _logged_at(session, writer) or time_within(session.session.started_at)


def _logged_at(session: SessionImport, writer: StoredWriter) -> int | None:
    """When its attempt's latest step was logged."""
    run_id = session.run.stored.id
    if run_id is None:
        return None
    with session.context.looking() as connection:
        return last_logged(connection, session.context.target.statements, run_id, writer.attempt)
