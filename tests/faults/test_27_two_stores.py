"""Several stores on one database in one process

Fault 27 of docs/guarantees.md: POSIX locks do not see their own process, and closing any descriptor of a file loses
them. So one store object might take the journals of another one for a dead process's, or make them look so to other
processes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from faults.oracle import Fault
from trainstore.cli import main
from trainstore.store import TrainStore

BESIDE = """
import threading
from dataclasses import replace
from trainstore.store import TrainStore

assert run.flush(60)
other = TrainStore({url!r})
second = {second}
own = replace(plan, seed=plan.seed + 1_000_000, label="b", first=0, then_at=None, count={count})
mine = report.child("second")
mine.begin(second, own)
recording = threading.Thread(target=produce, args=(second, own, mine))

def open_and_close():
    while recording.is_alive():
        with TrainStore(plan.url) as third:
            third.list_runs()
            assert third.recovered.runs == [] == third.recover().runs, "it took a live journal"
            assert third.is_recorded_here(run) and third.is_recorded_here(second)

recording.start()
looking = threading.Thread(target=open_and_close)
looking.start()
"""
END = "recording.join(); looking.join(); mine.end(second.finish(timeout=60)); other.close()"
SECOND = {
    "another run": 'other.start_run(project="faults", name="second")',
    "the same run": "other.resume_run(run.uid, rank=1)",
}


@pytest.mark.parametrize(("second", "end"), [("another run", "killed"), ("the same run", "finished")])
def test_beside_each_other(fault: Fault, second: str, end: str) -> None:
    """Two record, a third is opened and closed all the time; nobody else takes a journal either."""
    url = fault.url
    if fault.backend == "sqlite":
        # By another name of the file.
        link = fault.folder / "link.db"
        link.symlink_to(Path(str(make_url(url).database)))
        url = f"sqlite:///{link}"
    for _ in fault.times(short=1, long=20):
        killed = end == "killed"
        then = BESIDE.format(url=url, second=SECOND[second], count=None if killed else 500)
        if not killed:
            then += "\nplan.then_at, plan.then = 999, END"
        producer = fault.start(
            count=None if killed else 1_000, rate=500, then_at=50, then=then, before=f"END = {END!r}"
        )
        producer.wait_for(fault.chance.randrange(200, 400))
        with TrainStore(fault.url) as store:
            assert store.recovered.runs == []
            assert len(store.recovered.live) == 2
        if killed:
            producer.kill()
        else:
            producer.end()
        assert "Traceback" not in producer.stderr
        assert len(producer.reports) == 2
        fault.verify(producer, status="lost" if killed else "finished")


def test_doctor_and_recover_beside_a_run(fault: Fault, capsys: pytest.CaptureFixture[str]) -> None:
    """What looks at the journals in the process that records frees none of their locks."""
    fault.injected()
    with TrainStore(fault.url) as store:
        run = store.start_run(project="faults")
        run.log({"loss": 1.0}, step=0)
        assert run.flush(60)
        for command in ("doctor", "recover"):
            with pytest.raises(SystemExit, match="0"):
                main([command, "--store", fault.url])
        assert "their processes are running" in capsys.readouterr().out
        beside = fault.start(count=10)
        beside.end()
        assert store.is_recorded_here(run)
        run.log({"loss": 2.0}, step=1)
        assert run.finish(timeout=60)
        assert store.list_step_logs(run)["loss"].tolist() == [1.0, 2.0]
    fault.verify(beside, status="finished")
