"""A training's stand-in, run as a process of its own: it logs records that can be computed again, and reports each.

``python producer.py '<a Plan as JSON>'``. What it logs is a function of (seed, sequence number); after each ``log()``
returned it writes the number and the microseconds that the call took to its report, by one unbuffered write(2): what
stands there was acknowledged, whatever became of the process. `Plan` says what it can be told; `faults.oracle` starts
it and checks afterwards. It loads neither torch nor transformers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Plan:
    """What one producer does. The report holds it too, so that a check needs nothing else."""

    url: str
    report: str
    """The file that it appends to; children that code in ``then`` makes begin others beside it (`Report.child`)."""
    seed: int
    count: int | None = 500
    """How many records; None: until something ends it."""
    first: int = 0
    """The first sequence number; a record's step is its sequence number, unless ``steps`` says otherwise."""
    steps: str = "seq"
    """A Python expression of ``seq`` for the step, which may repeat and go backwards: ``"99 - seq // 2"``."""
    rate: float = 2_000.0
    """Records a second, at most; 0: as fast as it goes."""
    metrics: int = 5
    """Floats in a record; an int, a text and a bool come beside them."""
    marks: int = 5
    """An event with every n-th record; 0: none. A double delivery shows in them even where steps merge."""
    label: str = ""
    """A suffix of the metrics' names, so that several writers of one step do not overwrite each other."""
    project: str = "faults"
    run: str | None = None
    """The uid of a run to take up, instead of starting one."""
    resume_at: int | None = None
    """The step that the run is resumed after; None: join its head."""
    rank: int = 0
    prefix: str = ""
    offline_ok: bool = False
    auto_upgrade: bool | None = None
    interval: float = 0.05
    """Seconds between commits (`delivery_thread.INTERVAL`): short, so that a fault meets many."""
    segment_bytes: int = 20_000
    """Size of a journal's segment: small, so that a fault meets many."""
    before: str = ""
    """Python code that runs before the store is opened."""
    then_at: int | None = None
    then: str = ""
    """Python code that runs before record ``then_at``: die, fork, jump. It sees run, store, plan and report."""
    hold: bool = False
    """Wait for a line on stdin before the end."""
    finish: bool = True
    finish_timeout: float = 60.0
    """Seconds."""
    close: bool = True


def metrics_of(seed: int, seq: int, count: int, label: str = "") -> dict[str, Any]:
    """The metrics of a record. The floats are exact in every format between here and the database."""
    base = (seed * 1_000_003 + seq) * 7_919
    metrics: dict[str, Any] = {f"m{i}{label}": (base + i * 104_729) % 1_000_000_007 / 1_024 - 4e5 for i in range(count)}
    metrics[f"whole{label}"] = seed * 1_000_000 + seq
    metrics[f"text{label}"] = f"{seed}/{seq}"
    metrics[f"even{label}"] = seq % 2 == 0
    return metrics


def details_of(seed: int, seq: int, label: str = "") -> dict[str, Any]:
    """The details of a record."""
    return {f"d{label}": [seed, seq]}


def is_marked(plan: Plan, seq: int) -> bool:
    """Whether an event comes with this record."""
    return plan.marks > 0 and seq % plan.marks == 0


class Report:
    """The file of what was acknowledged: a line of JSON with run, attempt and plan, then "seq µs" lines, then "end"."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def tell(self, line: str) -> None:
        """Append a line; it is there when this returns."""
        os.write(self._descriptor, f"{line}\n".encode())

    def begin(self, run: Any, plan: Plan) -> None:
        """Say which run and attempt the numbers that follow belong to."""
        self.tell(json.dumps({"run": run.uid, "attempt": run.attempt_uid, "pid": os.getpid(), "plan": asdict(plan)}))

    def acknowledge(self, seq: int, micros: int) -> None:
        """Say that log() returned."""
        os.write(self._descriptor, b"%d %d\n" % (seq, micros))

    def end(self, stored: bool) -> None:
        """Say that every record was told of, and what finish() answered."""
        self.tell(f"end {int(stored)}")

    def child(self, name: str) -> Report:
        """The report of another process that records into the same run; `oracle.Producer` finds it."""
        return Report(f"{self.path}-{name}")


def produce(run: Any, plan: Plan, report: Report, scope: dict[str, Any] | None = None) -> None:
    """Log and report ``plan.count`` records."""
    step_of = eval(f"lambda seq: {plan.steps}")
    seq = plan.first
    pause = 1 / plan.rate if plan.rate else 0.0
    while plan.count is None or seq < plan.first + plan.count:
        if seq == plan.then_at:
            exec(plan.then, scope if scope is not None else {})
        metrics, details = metrics_of(plan.seed, seq, plan.metrics, plan.label), details_of(plan.seed, seq, plan.label)
        begun = time.perf_counter_ns()
        run.log(metrics, step=step_of(seq), details=details)
        micros = (time.perf_counter_ns() - begun) // 1_000
        if is_marked(plan, seq):
            run.log_event("mark", step=step_of(seq), details={"seed": plan.seed, "seq": seq})
        report.acknowledge(seq, micros)
        seq += 1
        if pause:
            time.sleep(pause)


def open_run(store: Any, plan: Plan) -> Any:
    """Start, resume or join the run."""
    if plan.run is not None:
        return store.resume_run(plan.run, step=plan.resume_at, rank=plan.rank)
    run = store.start_run(project=plan.project, name=f"seed {plan.seed}", rank=plan.rank)
    run.log_hyperparams({"seed": plan.seed})
    return run


def main() -> None:
    """Do what the plan in the first argument says."""
    plan = Plan(**json.loads(sys.argv[1]))
    report = Report(plan.report)
    scope: dict[str, Any] = {"plan": plan, "report": report, "__name__": "__plan__"}
    exec(plan.before, scope)

    from trainstore.recording import delivery_thread, journal
    from trainstore.store import TrainStore

    delivery_thread.INTERVAL, journal.file.SEGMENT_BYTES = plan.interval, plan.segment_bytes
    report.tell("opening")
    store = TrainStore(
        plan.url, table_name_prefix=plan.prefix, offline_ok=plan.offline_ok, auto_upgrade=plan.auto_upgrade
    )
    report.tell("opened")
    run = open_run(store, plan)
    scope |= {"store": store, "run": run, "produce": produce, "Plan": Plan, "Report": Report}
    report.begin(run, plan)
    produce(run, plan, report, scope)
    report.tell("produced")
    if plan.hold:
        sys.stdin.readline()
    report.tell("finishing")
    report.end(run.finish(timeout=plan.finish_timeout) if plan.finish else False)
    if plan.close:
        store.close()


if __name__ == "__main__":
    main()
