"""From a journal's frames to flushes: missing records become a gap, refused ones an event.

Nothing that a journal held is lost silently: a ``gap`` event names the numbers of records that are not there, a
``refused`` event holds the record that the database would not take.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import orjson
from sqlalchemy.exc import SQLAlchemyError

from trainstore.recording.flush import RunDeletedError, WatermarkMovedError
from trainstore.recording.records import STEP, Record, Records, event_record, gap_record, kind_of, now
from trainstore.values import plain_text

logger = logging.getLogger("trainstore")

MAX_REFUSED = 100_000  # characters of a refused record that its event keeps


def decode(after: int, frames: Iterable[tuple[int, bytes]]) -> list[tuple[int, Record | bytes]]:
    """The records of frames that follow ``after``, with a gap in place of missing ones.

    Steps stay JSON: a flush decodes many at once.

    Numbers dropped to make room are covered by a ``gap``, or by a ``skip`` for each earlier range. Any other missing
    number is damage.
    """
    records: list[tuple[int, Record | bytes]] = []
    known = after  # up to here every number is there, or covered
    for sequence, payload in frames:
        record = payload if payload.startswith(STEP) else orjson.loads(payload)
        first = sequence if isinstance(record, bytes) else _stands_for(sequence, record)
        if first > known + 1:
            records.append((first - 1, gap_record("damage", records=[known + 1, first - 1])))
        records.append((sequence, record))
        known = sequence
    return records


def _stands_for(sequence: int, record: Record) -> int:
    """The first of the numbers, up to its own, that a record stands for."""
    if kind_of(record) == "gap":
        return int(record["details"].get("records", (sequence,))[0])
    return int(record["first"]) if kind_of(record) == "skip" else sequence


def deliver(
    flush: Callable[[int, Records], None], is_refusal: Callable[[Exception], bool], acked: int, records: Records
) -> int:
    """Store records that follow ``acked``; the number of the last one stored.

    If the database refuses one of them, the batch is halved until it is found. It becomes an event; the others are
    stored as they are.

    Args:
        flush: Stores records after a watermark in one transaction, or raises.
        is_refusal: Whether an error means that trying again cannot help (`Backend.is_refusal`).
        acked: The watermark.
        records: At least one.
    """
    try:
        flush(acked, records)
    except (WatermarkMovedError, RunDeletedError):
        raise
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(records) == 1:
            sequence, record = records[0]
            kind = kind_of(record)
            if kind in ("run", "attempt"):
                raise  # without them nothing else can be stored
            logger.warning("a record (%s) is refused by the database (%s)", kind, describe(error))
            flush(acked, [(sequence, _refused(record, error))])
            return sequence
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            acked = deliver(flush, is_refusal, acked, half)
        return acked
    return records[-1][0]


def _refused(record: Record | bytes, error: Exception) -> Record:
    """An event with the record as ASCII text, so that the database takes it."""
    payload = record if isinstance(record, bytes) else orjson.dumps(record)
    text = plain_text(payload.decode().encode("ascii", "backslashreplace").decode(), MAX_REFUSED)
    # Time and step are not the record's own: it may have been refused for them.
    return event_record("refused", now(), None, {"reason": describe(error), "record": text})


def describe(error: Exception) -> str:
    """An error without its text, which may contain values: its type, and the database's code if there is one."""
    cause = getattr(error, "orig", None) if isinstance(error, SQLAlchemyError) else None
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    return f"{type(cause or error).__name__}{f' {code}' if code else ''}"
