"""Journals and databases are damaged

Fault 19 of docs/guarantees.md: a journal is cut off or changed at any byte, loses a segment, its first records, its
meta.json; an SQLite file is cut off, overwritten, emptied, or loses its -wal. tests/recording/test_journal.py cuts a
row of frames at every byte and flips every bit of it; tests/backends/test_failures.py has files of something else.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from faults.network import SHORT_END
from faults.oracle import Fault, Reported
from recording.support import eventually
from trainstore.errors import TrainStoreError
from trainstore.recording.delivery import decode
from trainstore.recording.journal import claim, frames
from trainstore.recording.records import kind_of
from trainstore.store import TrainStore

SQLITE_ONLY = pytest.mark.parametrize("backend_name", ["sqlite"])
RECORDS_BEFORE = 3  # run, attempt, hyperparameters


class LeftJournal:
    """The journal of a killed process that had delivered nothing, which can be put back as it was."""

    def __init__(self, fault: Fault) -> None:
        # One record for each number, so that a damaged one costs one number.
        producer = fault.start(count=60, metrics=2, marks=0, rate=0, interval=1_000, segment_bytes=4_000, hold=True)
        producer.wait_for("produced")
        producer.kill()
        self.reported = replace(producer.reported, ended=True)
        (lock,) = (fault.folder / "journals").rglob("lock")
        self.folder = lock.parent
        self._kept = fault.folder / "kept"
        shutil.copytree(self.folder, self._kept)
        self.segments = {path.name: path.read_bytes() for path in sorted(self.folder.glob("*.seg"))}
        assert len(self.segments) >= 3

    def restore(self) -> None:
        """Put it back undamaged."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._kept, self.folder)

    def spans(self, name: str) -> Iterator[tuple[int, int, int]]:
        """(first byte, byte after it, sequence number) of every record of a segment."""
        begin = 0
        for end, number, _ in frames(self.segments[name]):
            yield begin, end, number
            begin = end

    def numbers(self, untouched: Callable[[str, int, int], bool]) -> set[int]:
        """The sequence numbers of records whose bytes are ``untouched``."""
        return {
            number for name in self.segments for begin, end, number in self.spans(name) if untouched(name, begin, end)
        }

    def surviving(self, numbers: set[int]) -> Reported:
        """What must be stored when these records are left."""
        last = RECORDS_BEFORE + len(self.reported.numbers)
        kept = [number - RECORDS_BEFORE - 1 for number in sorted(numbers) if RECORDS_BEFORE < number <= last]
        return replace(self.reported, numbers=kept, micros=[1] * len(kept))


def check_recovery(fault: Fault, journal: LeftJournal, left: set[int]) -> None:
    """What is left is stored, exactly; what is missing before it is told of in gaps."""
    fault.injected()
    fault.verify(journal.surviving(left), status="lost")
    with TrainStore(fault.url) as store:
        gaps = store.list_events(journal.reported.run, kind="gap")["details"].tolist()
        told = {number for gap in gaps for number in range(gap["records"][0], gap["records"][1] + 1)}
        assert told == set(range(RECORDS_BEFORE, max(left) + 1)) - left
        store.delete_run(journal.reported.run)


def test_a_segment_is_cut_off(fault: Fault) -> None:
    """The last one: what was whole is stored. One in the middle: a gap besides."""
    journal = LeftJournal(fault)
    for _ in range(60 if fault.long else 4):
        name = fault.chance.choice(list(journal.segments))
        size = fault.chance.randrange(len(journal.segments[name]))
        if name == min(journal.segments):
            size = max(size, 1_000)  # the hyperparameters, which no step stands for
        journal.restore()
        os.truncate(journal.folder / name, size)
        check_recovery(
            fault, journal, journal.numbers(lambda n, _, end, name=name, size=size: n != name or end <= size)
        )


def test_bytes_are_changed(fault: Fault) -> None:
    """A record whose byte changed is left out and told of; the others are stored."""
    journal = LeftJournal(fault)
    for _ in range(60 if fault.long else 4):
        name = fault.chance.choice(sorted(journal.segments)[1:])
        content = bytearray(journal.segments[name])
        at = fault.chance.randrange(len(content))
        content[at] ^= fault.chance.randrange(1, 256)
        journal.restore()
        (journal.folder / name).write_bytes(content)
        left = journal.numbers(lambda n, begin, end, name=name, at=at: n != name or not begin <= at < end)
        check_recovery(fault, journal, left)


@SQLITE_ONLY
def test_every_byte_of_a_journal(fault: Fault) -> None:
    """Cut off before, or changed in, any byte: exactly the records that are whole are read."""
    journal = LeftJournal(fault)
    middle, last = sorted(journal.segments)[1], sorted(journal.segments)[-1]

    def read() -> set[int]:
        found = claim(journal.folder)
        assert found is not None
        try:
            records = decode(0, found.read(0))
        finally:
            found.release()
        return {number for number, record in records if kind_of(record) != "gap"}

    for name in (middle, last):
        content = journal.segments[name]
        for at in range(len(content) if fault.long else min(len(content), 250)):
            path = journal.folder / name
            changed = bytearray(content)
            changed[at] ^= 0x40
            path.write_bytes(changed)
            assert read() == journal.numbers(lambda n, begin, end, name=name, at=at: n != name or not begin <= at < end)
            path.write_bytes(content[:at])
            assert read() == journal.numbers(lambda n, _, end, name=name, at=at: n != name or end <= at)
            path.write_bytes(content)
            fault.injected(2)
    fault.verify(journal.reported)


def test_a_segment_is_gone(fault: Fault) -> None:
    """One in the middle is a gap; without the first, the run and its attempt come out of meta.json."""
    journal = LeftJournal(fault)
    for name in sorted(journal.segments)[:-1]:
        journal.restore()
        (journal.folder / name).unlink()
        left = journal.numbers(lambda n, *_, name=name: n != name)
        check_recovery(fault, journal, left | {1, 2})


@pytest.mark.parametrize(
    "damage",
    [
        "cut off",
        pytest.param("emptied", marks=pytest.mark.soak),
        pytest.param("no JSON", marks=pytest.mark.soak),
        pytest.param("no object", marks=pytest.mark.soak),
    ],
)
def test_meta_is_damaged(fault: Fault, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows whose it is: opening goes on without it, and it stays where it is, whole."""
    fault.injected()
    journal = LeftJournal(fault)
    meta = journal.folder / "meta.json"
    content = meta.read_bytes()
    meta.write_bytes({"cut off": content[:-9], "emptied": b"", "no JSON": b"\0" * 50, "no object": b"[]"}[damage])
    with TrainStore(fault.url) as store:
        assert store.recovered.runs == []
        assert len(store.list_runs()) == 0
    assert f"{journal.folder}: its meta.json is damaged" in caplog.text
    assert {path.name: path.read_bytes() for path in journal.folder.glob("*.seg")} == journal.segments
    meta.write_bytes(content)
    fault.verify(journal.reported)


def test_meta_has_changed_bytes(fault: Fault) -> None:
    """Whatever it says then, opening does not fail, and nothing is stored that nobody logged, or deleted unstored."""
    journal = LeftJournal(fault)
    content = (journal.folder / "meta.json").read_bytes()
    step = 5 if fault.long else 199
    for at in range(fault.chance.randrange(step), len(content), step):
        fault.injected()
        journal.restore()
        changed = bytearray(content)
        changed[at] ^= 0x04
        (journal.folder / "meta.json").write_bytes(changed)
        with TrainStore(fault.url) as store:
            runs = store.list_runs()["uid"].tolist()
        if runs == [] and journal.folder.is_dir():
            journal.restore()
        fault.verify(journal.reported)
        with TrainStore(fault.url) as store:
            store.delete_run(journal.reported.run)


# --- The database ----------------------------------------------------------------------------------------------------


def path_of(url: str) -> Path:
    return Path(str(make_url(url).database))


def damages(content: bytes) -> Iterator[tuple[str, bytes]]:
    for size in (
        2,
        16,
        60,  # SQLite takes a file of one byte for an empty one
        99,
        100,
        512,
        4_096,
        len(content) // 2,
        len(content) - 4_096,
    ):
        yield f"cut off at {size}", content[:size]
    for at in (0, 7, 15, 16, 17, 18, 21, 28, 44, 56, 100, 103, 4_096, 8_192):
        changed = bytearray(content)
        changed[at] ^= 0xFF
        yield f"byte {at}", bytes(changed)
    for page in range(len(content) // 4_096):
        yield f"page {page}", content[: page * 4_096] + os.urandom(4_096) + content[(page + 1) * 4_096 :]


@SQLITE_ONLY
def test_a_damaged_file_is_not_overwritten(fault: Fault) -> None:
    """It opens as the same store, or is refused by an error of ours with every byte left as it was."""
    producer = fault.start(count=100)
    producer.end()
    path = path_of(fault.url)
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        ((uid,),) = connection.execute("SELECT uid FROM store")
    refused = 0
    for name, damaged in damages(content):
        for beside in path.parent.glob(f"{path.name}-*"):
            beside.unlink()
        path.write_bytes(damaged)
        fault.injected()
        try:
            with TrainStore(fault.url) as store:
                assert store._service.store_uid == uid, name
        except TrainStoreError:
            refused += 1
            assert path.read_bytes() == damaged, name
    assert refused > 10
    path.write_bytes(content)
    fault.verify(producer, status="finished")


@SQLITE_ONLY
@pytest.mark.parametrize(
    "damage",
    [
        "emptied",
        pytest.param("header overwritten", marks=pytest.mark.soak),
        pytest.param("cut in half", marks=pytest.mark.soak),
    ],
)
def test_the_file_is_damaged_while_it_is_recorded(fault: Fault, damage: str) -> None:
    """Training goes on and ends well. What was damaged is never taken for a sound store: either the -wal mended it,
    and everything is there, or it is told, at the latest when the file is next opened."""
    for _ in fault.times(short=1, long=10):
        fault.url = fault._new_url()
        path = path_of(fault.url)
        producer = fault.start(count=1_500, rate=1_000, finish_timeout=1.0, before=SHORT_END)
        producer.wait_for(300)
        eventually(lambda path=path: path.with_name(f"{path.name}-wal").stat().st_size > 0, "the first delivery")
        with path.open("r+b") as file:
            if damage == "emptied":
                file.truncate(0)
            elif damage == "cut in half":
                file.truncate(path.stat().st_size // 2)
            else:
                file.write(b"\xff" * 4_096)
        reported = producer.end(timeout=60)
        assert reported is not None
        assert reported.numbers == list(range(1_500))
        if damage != "header overwritten":  # that nobody sees as long as nobody reads it again
            assert "became shorter" in producer.stderr
        if not reported.stored:
            assert "trainstore recover" in producer.stderr
            left = [
                number for path in fault.folder.glob("journals/*/*/*.seg") for _, number, _ in frames(path.read_bytes())
            ]
            assert max(left) > 1_500
        try:
            with TrainStore(fault.url) as store:
                known = reported.run in set(store.list_runs()["uid"])
                sound = store.engine.connect().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        except (TrainStoreError, SQLAlchemyError):
            continue
        if damage == "emptied":
            assert not known
            assert not reported.stored
        elif sound:
            fault.verify(producer, status="finished")


@SQLITE_ONLY
def test_an_emptied_file_gets_no_journal_of_the_former(fault: Fault) -> None:
    """A file of no bytes becomes a new store; what the former one's processes left is kept for it."""
    fault.injected()
    journal = LeftJournal(fault)
    path = path_of(fault.url)
    former = path.read_bytes()
    path.write_bytes(b"")
    with TrainStore(fault.url) as store:
        assert store.recovered.runs == []
        assert len(store.list_runs()) == 0
    for beside in path.parent.glob(f"{path.name}-*"):
        beside.unlink()
    path.write_bytes(former)
    fault.verify(journal.reported)


@SQLITE_ONLY
def test_the_wal_is_deleted(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """The file opens with what it has; what is left of the journal is delivered, or set aside with a warning."""
    caplog.set_level(logging.WARNING)
    for _ in fault.times(short=2, long=20):
        producer = fault.start(count=None)
        producer.wait_for(fault.chance.randrange(100, 400))
        producer.kill()
        path = path_of(fault.url)
        for beside in path.parent.glob(f"{path.name}-*"):
            beside.unlink()
        journals = [folder for folder in (fault.folder / "journals").glob("*/*") if folder.suffix != ".aside"]
        with TrainStore(fault.url) as store:
            assert store.recovered.failed == {}
            handled = [*store.recovered.runs, *store.recovered.set_aside]
        assert len(handled) == len(journals)
        with TrainStore(fault.url) as store:
            assert store.recovered.records == 0
            found = store.engine.connect()
            assert found.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            found.close()
