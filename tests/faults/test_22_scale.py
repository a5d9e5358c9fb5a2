"""Ten thousand names, a million steps, ten thousand calls a second

Fault 22 of docs/guarantees.md: what a store is given is more than anybody plans for. Memory and disk stay bounded,
whatever is dropped for that is told by gaps. tests/recording/test_journal.py has the limit of a journal, benchmarks/
the times.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from faults.gaps import account
from faults.locks import locked
from faults.network import SHORT_LIMITS
from faults.oracle import Fault, Producer
from trainstore.store import TrainStore

MIB = 1024 * 1024


def peak_memory(producer: Producer) -> int:
    """Bytes of memory that its process had at most until now."""
    status = Path(f"/proc/{producer.pid}/status")
    if not status.exists():
        pytest.skip("not tested: a process's memory is read from /proc")
    match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert match
    return int(match[1]) * 1024


def disk_used(folder: Path) -> int:
    """Bytes in the journals below a folder, while their process writes them."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.suffix == ".seg" else 0
        except FileNotFoundError:
            continue
    return total


def test_ten_thousand_names(fault: Fault) -> None:
    """Each metric is stored, summarised and found by its name, and a query of one reads one."""
    fault.injected()
    count = 60 if fault.long else 6
    producer = fault.start(count=count, metrics=10_000, rate=0, segment_bytes=MIB)
    producer.end()
    with TrainStore(fault.url) as store:
        summaries = store.list_metrics(producer.run).set_index("metric")
        assert {f"m{number}" for number in range(10_000)} <= set(summaries.index)
        assert (summaries["count"] == count).sum() == 10_001  # and the whole number
        frame = store.list_step_logs(producer.run, metrics=["m9999"])
        assert frame["m9999"].notna().sum() == count
        assert len(frame.columns) < 10
        assert len(store.list_runs(metrics=["m1", "m9999"])) == 1
    fault.verify(producer, status="finished", p99_ms=2_000)


#: Steps of a run beside the producer's own, in the same process.
MANY_STEPS = """
other = store.start_run()
for seq in range({count}):
    other.log({{"m": seq * 0.5}}, step=seq)
    if seq == {count} // 100:
        report.tell(f"begun {{other.uid}}")
assert other.finish(timeout=600)
report.tell(f"other {{other.uid}}")
"""


def test_a_million_steps(fault: Fault) -> None:
    """All are stored, and readable in part; the process that logs them as fast as it can does not grow with them."""
    fault.injected()
    count = 1_000_000 if fault.long else 20_000
    producer = fault.start(count=100, then_at=50, then=MANY_STEPS.format(count=count), hold=True, segment_bytes=MIB)
    producer.wait_for("begun")
    before = peak_memory(producer)
    uid = producer.wait_for("other", timeout=900).split()[1]
    assert peak_memory(producer) - before < 100 * MIB
    producer.wait_for("produced")
    producer.go_on()
    producer.end()
    with TrainStore(fault.url) as store:
        assert store.get_current_step(uid) == count - 1
        row = store.list_metrics(uid).iloc[0]
        assert (row["count"], row["min"], row["max"], row["last"]) == (count, 0.0, (count - 1) / 2, (count - 1) / 2)
        log, run = store.table.step_log, store.table.run
        with store.engine.connect() as connection:
            own = log.c.run_id == select(run.c.id).where(run.c.uid == uid).scalar_subquery()
            found = connection.execute(
                select(
                    func.count(), func.count(log.c.step.distinct()), func.min(log.c.step), func.max(log.c.step)
                ).where(own)
            ).one()
            assert tuple(found) == (count, count, 0, count - 1)
        assert len(store.list_step_logs(uid)) == count
        store.delete_run(uid)
    fault.verify(producer, status="finished")


def test_ten_thousand_calls_a_second_while_the_database_is_away(fault: Fault) -> None:
    """A minute of them: training is not held up, memory and disk stay bounded, gaps name exactly what was dropped.

    The long form is as fast as the process can, which is more than ten thousand where a core is free for it.
    """
    fault.injected()
    count, limit = (600_000, 32 * MIB) if fault.long else (24_000, MIB // 2)
    producer = fault.start(
        count=count, metrics=2, rate=0 if fault.long else 10_000, marks=0, before=SHORT_LIMITS, hold=True,
        finish_timeout=1.0, env={"TRAINSTORE_JOURNAL_LIMIT": str(limit)}, segment_bytes=64 * MIB,
        interval=1.0 if fault.long else 0.3,
    )  # fmt: skip
    producer.wait_for("{")
    with locked(fault.url):
        producer.wait_for(count // 100)
        before = peak_memory(producer)
        largest = 0
        while producer.lines[-1] != "produced":
            largest = max(largest, disk_used(fault.folder / "journals"))
            assert producer.process.poll() is None, producer.stderr
            time.sleep(0.05)
        grown = peak_memory(producer) - before
        producer.go_on()
        producer.end()
    # What comes between two looks of the delivery thread comes on top; without a limit it were 4.2 MiB, in the long
    # form 100.
    print(f"at most {largest / MIB:.1f} MiB on the disk, {grown / MIB:.1f} MiB more memory")
    assert largest < limit + (16 if fault.long else 3) * MIB
    assert grown < 100 * MIB
    found = account(fault.url, producer)
    assert found.missing
    assert found.named == found.missing
    assert found.counted == len(found.missing)
    assert found.status == "finished"
    fault.verify(producer, status="finished", gaps=True)
