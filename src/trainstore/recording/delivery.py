"""From a journal's frames to flushes: what is missing becomes a gap, what the database refuses is put aside.

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
    """The records of frames that follow ``after``, with a gap in the place of those that are missing.

    A step stays the JSON that it is: a flush takes many apart at once.

    A gap that the journal itself wrote, when it had to make room, names the numbers that it stands for, and so does a
    ``skip`` of each earlier row of them; any other missing number is damage.
    """
    records: list[tuple[int, Record | bytes]] = []
    known = after  # up to here nothing is missing that is not named
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

    Where the database refuses one of them the batch is halved until it is found: the others are stored as they are,
    and it becomes an event.

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
    """An event that holds the record as text: ASCII, whatever made the database refuse it."""
    payload = record if isinstance(record, bytes) else orjson.dumps(record)
    text = plain_text(payload.decode().encode("ascii", "backslashreplace").decode(), MAX_REFUSED)
    # Time and step are not the record's own: it may have been refused for them.
    return event_record("refused", now(), None, {"reason": describe(error), "record": text})


def describe(error: Exception) -> str:
    """An error without its text, which may hold values: its type, and the database's code where it has one."""
    cause = getattr(error, "orig", None) if isinstance(error, SQLAlchemyError) else None
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    return f"{type(cause or error).__name__}{f' {code}' if code else ''}"
