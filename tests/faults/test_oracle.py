"""The oracle itself: it finds each kind of damage that it is there to find."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from faults.oracle import Findings, Reported, examine, read_reports
from faults.producer import Plan, Report, open_run, produce
from fixtures.databases import opened
from trainstore.store import TrainStore

DAMAGES = {
    "a record is lost": ["DELETE FROM step_log WHERE step = 30"],
    "its event is lost": ["DELETE FROM event WHERE step = 30"],
    "a record without a value": ["UPDATE step_log SET metrics = '{}' WHERE step = 30"],
    "another value": ["UPDATE step_log SET details = '{\"d\": [1, 2]}' WHERE step = 30"],
    "a row that nobody logged": [
        "INSERT INTO step_log (run_id, step, attempt, logged_at, metrics) "
        "SELECT run_id, 5000, attempt, logged_at, metrics FROM step_log WHERE step = 30"
    ],
    "an event twice": [
        "INSERT INTO event (run_id, writer_uid, seq, at, step, kind, details) "
        "SELECT run_id, writer_uid, 100000, at, step, kind, details FROM event WHERE step = 30"
    ],
    "a batch counted twice": ["UPDATE metric_summary SET count = count + 10 WHERE metric = 'm0'"],
    "another status": ["UPDATE run SET status = 'failed'"],
    "an attempt too many": [
        "INSERT INTO attempt (run_id, attempt, uid, start_step, end_step, opened_at, status) "
        "SELECT run_id, 2, 'x', -1, -1, opened_at, 'lost' FROM attempt"
    ],
    "no run": ["DELETE FROM metric_summary", "DELETE FROM run"],
}
WITHOUT_RECORDS = ("a batch counted twice", "another status", "an attempt too many")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(database_url: str, tmp_path: Path, damage: str) -> None:
    """What a sound store passes, a damaged one fails."""
    plan = Plan(url=database_url, seed=7, count=60, rate=0, report=str(tmp_path / "report"))
    with TrainStore(database_url) as store:
        run, report = open_run(store, plan), Report(plan.report)
        report.begin(run, plan)
        produce(run, plan, report)
        report.end(run.finish(timeout=60))
    (reported,) = read_reports(tmp_path / "report")
    assert len(reported.numbers) == 60
    assert examine(database_url, [reported], status="finished").problems == []
    with opened(database_url) as database, database.engine.begin() as connection:
        for statement in DAMAGES[damage]:
            connection.execute(text(statement))
    findings = examine(database_url, [reported], status="finished")
    assert findings.problems
    # The others are no matter of single records.
    assert (findings.lost + findings.doubled > 0) == (damage not in WITHOUT_RECORDS)


def test_times_are_checked() -> None:
    """A slow call breaks the bound on the worst, a slow hundredth that on the p99."""

    def problems(micros: list[int]) -> list[str]:
        findings = Findings()
        findings.add_times(micros, p99_ms=50, worst_ms=2_000)
        return findings.problems

    assert problems([30] * 1_000) == []
    assert problems([30] * 1_000 + [1_900_000]) == []
    assert "worst" in problems([30] * 1_000 + [2_100_000])[0]
    assert "p99" in problems([30] * 95 + [60_000] * 5)[0]


def test_the_reports_of_children_are_read(tmp_path: Path) -> None:
    """Numbers count from the line that names the run; of a torn report the rest is there."""
    path = tmp_path / "report"

    class Run:
        uid, attempt_uid = "r", "a"

    plan = Plan(url="u", seed=1, report=str(path))
    report = Report(str(path))
    report.tell("opening")
    report.begin(Run, plan)
    report.acknowledge(0, 12)
    child = report.child("c1")
    child.begin(Run, plan)
    child.acknowledge(0, 5)
    child.end(True)
    parent, other = read_reports(path)
    assert (parent.numbers, parent.micros, parent.ended, parent.next_number) == ([0], [12], False, 1)
    assert (other.numbers, other.ended, other.stored) == ([0], True, True)
    assert isinstance(parent, Reported)
