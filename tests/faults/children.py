"""What other processes of a producer do: forked ones, those of multiprocessing, workers of a DataLoader.

Each logs records of its own plan, with a report beside its parent's, into the parent's run: by the handle that it
inherited, or by joining the run where nothing is inherited.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from producer import Plan, Report, produce


def plan_of(plan: Plan, number: int, count: int = 60) -> Plan:
    """The plan of a child: other values, metrics of its own name in the same steps."""
    return replace(plan, seed=plan.seed + 1_000_000 * number, label=f"c{number}", count=count, then_at=None, first=0)


def record(run: Any, plan: Plan, report: Report, number: int, *, finish: bool) -> None:
    """Log and report in a child that inherited its parent's handle."""
    gc.collect()
    own, mine = plan_of(plan, number), report.child(f"c{number}")
    mine.begin(run, own)
    produce(run, own, mine)
    gc.collect()
    mine.end(run.finish(timeout=60) if finish else False)


def fork(run: Any, plan: Plan, report: Report, number: int, *, finish: bool = True) -> int:
    """Fork a child that records; its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            record(run, plan, report, number, finish=finish)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    return pid


def wait_for(*pids: int) -> None:
    """Wait for children; each must have ended well."""
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def join(url: str, run_uid: str, plan: Plan, path: str, number: int) -> None:
    """Log and report in a child that inherited nothing: it opens the store and joins the run."""
    from trainstore.store import TrainStore

    with TrainStore(url) as store:
        run = store.resume_run(run_uid, rank=number)
        own, mine = plan_of(plan, number), Report(f"{path}-c{number}")
        mine.begin(run, own)
        produce(run, own, mine)
        mine.end(run.finish(timeout=60))


class Samples:
    """A data set whose items are logged by the worker that fetches them; without a handle it joins the run."""

    def __init__(self, plan: Plan, run_uid: str, run: Any, length: int) -> None:
        self.plan = plan
        self.run_uid = run_uid
        self.run = run
        self.length = length
        self._report: Report | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        from torch.utils.data import get_worker_info

        number = get_worker_info().id + 1
        plan = replace(plan_of(self.plan, number), first=index, count=1)
        if self.run is None:
            from trainstore.store import TrainStore

            self.run = TrainStore(plan.url).resume_run(self.run_uid, rank=number)
        if self._report is None:
            self._report = Report(f"{plan.report}-c{number}")
            self._report.begin(self.run, plan)
        if index % 16 == 0:
            gc.collect()
        produce(self.run, plan, self._report)
        return index
