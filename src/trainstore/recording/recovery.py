"""Delivery of journals whose process is gone: when a store is opened, and by ``trainstore recover``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from trainstore.errors import TrainStoreError
from trainstore.models import LOST_AFTER
from trainstore.recording.delivery import decode, deliver, describe
from trainstore.recording.delivery_thread import MAX_RECORDS
from trainstore.recording.flush import RunDeletedError, Source, WatermarkMovedError, flush
from trainstore.recording.journal import LOCK, META, FoundJournal, claim, hostname, journal_folders, read_meta
from trainstore.recording.records import Records, kind_of
from trainstore.recording.statements import Statements

logger = logging.getLogger("trainstore")

PROGRESS_AFTER = 2.0  # seconds


@dataclass(slots=True)
class Recovered:
    """What a recovery did."""

    records: int = 0
    """Records brought into the database."""
    runs: list[str] = field(default_factory=list)
    """uids of the runs whose journals were delivered."""
    live: list[Path] = field(default_factory=list)
    """Journals left alone because their process lives."""
    set_aside: list[Path] = field(default_factory=list)
    """Journals of deleted runs."""
    failed: dict[Path, str] = field(default_factory=dict)
    """Journals that could not be delivered, and why."""


def recover(
    connect: Callable[[], Connection],
    statements: Statements,
    roots: Iterable[Path],
    belongs: Callable[[Path, dict[str, Any]], bool],
) -> Recovered:
    """Deliver every journal under ``roots`` that ``belongs`` to this store and whose process is gone.

    A journal that cannot be delivered stays where it is, and does not hold up the others.
    """
    result = Recovered()
    connection: Connection | None = None
    started = time.monotonic()
    told = False
    try:
        for folder in _candidates(roots, belongs):
            try:
                found = claim(folder) if not _maybe_live_elsewhere(folder) else None
            except OSError as error:
                result.failed[folder] = error.strerror or describe(error)
                continue
            if found is None:
                if folder.is_dir():
                    result.live.append(folder)
                continue
            try:
                if connection is None:
                    connection = connect()
                if _is_heard_of(connection, statements, found):
                    found.release()
                    result.live.append(folder)
                    continue
                count = _deliver(connection, statements, found)
            except RunDeletedError:
                kept = found.set_aside()
                result.set_aside.append(kept)
                logger.warning("run %s was deleted; its left records are kept in %s", found.meta.get("run_uid"), kept)
            except Exception as error:  # noqa: BLE001 - one bad journal must not hide the others, or close the store
                found.release()
                result.failed[folder] = _reason(statements, error)
                if connection is not None:
                    connection.invalidate()
                    connection.close()
                    connection = None
            else:
                found.remove()
                result.records += count
                result.runs.append(str(found.meta.get("run_uid")))
            if not told and time.monotonic() - started > PROGRESS_AFTER:
                told = True
                logger.warning("delivering records that ended processes left; %d so far", result.records)
    finally:
        if connection is not None:
            statements.backend.settle(connection)
            connection.close()
    return result


def _candidates(roots: Iterable[Path], belongs: Callable[[Path, dict[str, Any]], bool]) -> Iterator[Path]:
    seen: set[Path] = set()
    for root in roots:
        for folder in journal_folders(root):
            real = folder.resolve()
            meta = read_meta(folder)
            if meta is None and (folder / META).is_file():  # else its owner, or another recovery, just removed it
                logger.warning("nobody can tell whose records are in %s: its meta.json is damaged; it stays", folder)
            if real not in seen and meta is not None and belongs(folder, meta):
                seen.add(real)
                yield folder


def _maybe_live_elsewhere(folder: Path) -> bool:
    """Locks in a shared home may hold on one host only: another host's journal must also be untouched for a while."""
    meta = read_meta(folder) or {}
    if meta.get("host") == hostname():
        return False
    try:
        return time.time() - (folder / LOCK).stat().st_mtime < LOST_AFTER.total_seconds()
    except OSError:
        return False


def _is_heard_of(connection: Connection, statements: Statements, found: FoundJournal) -> bool:
    """Whether the writer of another host's journal still beats in the database."""
    if found.meta.get("host") == hostname():
        return False
    with statements.backend.writing(connection):
        beat = statements.writer_heartbeat(connection, found.uid)
        return beat is not None and statements.now(connection) - beat < LOST_AFTER


def _deliver(connection: Connection, statements: Statements, found: FoundJournal) -> int:
    meta = found.meta
    source = Source(found.uid, str(meta.get("run_uid")), seen=bool(meta.get("seen")), alive=False)
    with statements.backend.writing(connection):
        acked = statements.writer_acked(connection, found.uid) or 0
    count = 0
    while records := _following(found, acked):
        try:
            stored = deliver(
                partial(flush, connection, statements, source), statements.backend.is_refusal, acked, records
            )
        except WatermarkMovedError as moved:
            acked = moved.acked
        else:
            acked = stored
            count += sum(kind_of(record) not in ("gap", "skip") for _, record in records)
        if not source.seen:
            source.seen = True
            found.update_meta(seen=True)
    with statements.backend.writing(connection):
        statements.close_writer(connection, found.uid)
    return count


def _following(found: FoundJournal, acked: int) -> Records:
    """The next records of a journal; the first two come from its ``meta.json``, in case the others are damaged."""
    opening = list(enumerate(found.meta.get("opening") or (), 1))
    after = max(acked, len(opening))
    records = decode(after, islice(found.read(after), MAX_RECORDS))
    for _, record in records:
        if not isinstance(record, bytes) and kind_of(record) == "gap" and record["details"]["reason"] == "damage":
            logger.warning("%s is damaged: records %d to %d are lost", found.folder, *record["details"]["records"])
    return [*(numbered for numbered in opening if numbered[0] > acked), *records]


def _reason(statements: Statements, error: Exception) -> str:
    if isinstance(error, SQLAlchemyError) and statements.backend.is_privilege_error(error):
        return "no right to write"
    return str(error) if isinstance(error, TrainStoreError) else describe(error)
