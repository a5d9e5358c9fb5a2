"""The disk of the journal is full, or the journal reaches its limit, while the database is away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from faults.disks import small_disk
from faults.gaps import account
from faults.locks import locked
from faults.network import SHORT_LIMITS
from faults.oracle import Fault
from recording.support import eventually
from trainstore.store import TrainStore


def test_a_disk_of_256_kib(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """log() does not raise, training exits with 0, its end is stored, and gaps name every step that is not."""
    for index in fault.times(short=1, long=20):
        with small_disk(fault.folder / f"disk{index}", "256k") as disk:
            url = fault.url
            producer = fault.start(
                count=2_500,
                rate=0,
                marks=0,
                before=SHORT_LIMITS,
                hold=True,
                finish_timeout=1.0,
                env={"TRAINSTORE_JOURNAL_DIR": str(disk)},
            )
            producer.wait_for("{")
            with locked(fault.url):
                producer.wait_for("produced")
                producer.go_on()
                producer.end()
            monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(disk))
            found = account(url, producer)
            assert found.missing, "the disk was not full"
            assert found.missing <= found.named
            assert found.counted == len(found.missing)
            assert found.status == "finished"
            assert found.warnings == 1
            assert producer.stderr.count("Traceback") == 0
            fault.verify(producer, status="finished", gaps=True)


def test_a_disk_that_has_room_again(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged afterwards is kept, behind a gap that says what went meanwhile."""
    for index in fault.times(short=1, long=20):
        with small_disk(fault.folder / f"disk{index}", "512k") as disk:
            producer = fault.start(count=None, marks=0, before=SHORT_LIMITS, env={"TRAINSTORE_JOURNAL_DIR": str(disk)})
            producer.wait_for("{")
            with locked(fault.url):
                while "could not be recorded" not in producer.stderr:
                    producer.wait_for(producer.reported.numbers[-1] + 200 if producer.reported.numbers else 0)
            # The database takes them now, so that segments go.
            eventually(lambda run=producer.run: "could not be written" in gap_reasons(fault.url, run), "the gap")
            producer.wait_for(producer.reported.numbers[-1] + 200)
            producer.kill()
            monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(disk))
            found = account(fault.url, producer)
            assert found.missing
            assert found.missing <= found.named
            assert found.counted == len(found.missing)
            assert max(found.stored) > max(found.missing)
            fault.verify(producer, status="lost", gaps=True)


def test_the_limit_of_a_journal(fault: Fault) -> None:
    """The oldest steps make room: stored and dropped ones are together all that were reported; gaps name the latter."""
    limit = 800_000
    for _ in fault.times(short=1, long=20):
        journals = fault.folder / "journals"
        producer = fault.start(
            count=8_000 if not fault.long else 40_000,
            rate=4_000,
            before=SHORT_LIMITS,
            hold=True,
            finish_timeout=1.0,
            env={"TRAINSTORE_JOURNAL_LIMIT": str(limit)},
        )
        producer.wait_for("{")
        with locked(fault.url):
            largest = 0
            while producer.lines[-1] != "produced":
                largest = max(largest, size(journals))
                time.sleep(0.02)
                assert producer.process.poll() is None, producer.stderr
            producer.go_on()
            producer.end()
        found = account(fault.url, producer)
        assert found.missing
        # Exactly: nothing that a gap names is there, nothing that is not there is unnamed.
        assert found.named == found.missing
        assert found.counted == len(found.missing)
        assert found.status == "finished"
        # The limit is looked after by the delivery thread, which may wait 2 s for a lock: what comes then is beyond.
        assert largest < 6 * limit
        fault.verify(producer, status="finished", gaps=True)


def gap_reasons(url: str, run: str) -> list[str]:
    """What the gaps of a run say, while it is recorded."""
    with TrainStore(url) as store:
        if run not in set(store.list_runs()["uid"]):
            return []
        return [details["reason"] for details in store.list_events(run, kind="gap")["details"]]


def size(folder: Path) -> int:
    """Bytes in the files below a folder that other processes change."""
    total = 0
    for path in folder.rglob("*.seg"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
