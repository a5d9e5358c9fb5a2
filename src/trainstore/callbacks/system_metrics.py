"""`SystemMetricsCallback`: what a training does to its machine."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import Any
from weakref import ref

from trainstore.callbacks.base import Callback, only_if
from trainstore.run import ActiveRun
from trainstore.system.metrics import INTERVAL, checked_interval
from trainstore.system.sampler import Sampler
from trainstore.system.sensors import all_sensors, require_psutil


class SystemMetricsCallback(Callback):
    """Records processor, memory, disk, process and GPUs, as metrics ``system/…``.

    A thread reads the sensors. What they found is recorded with the step that ends next: the mean since the last time,
    of memory and temperatures the maximum. No step exists because of them. A sensor that fails is left out, with a
    warning, and tried again each minute. On each machine one process does this; if several machines train together, the
    names have the machine's: ``system/<host>/gpu0/power_watts``.

    Args:
        interval: Seconds from one record to the next. The sensors are read five times as often.
        run: The run to write into. None: the one that the `TrainStoreCallback` of the same trainer records.
        summary_writer: A ``SummaryWriter`` of TensorBoard that gets them as well, or the folder in which one is opened.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
        MissingSystemLibraryError: psutil is not installed; GPUs need nvidia-ml-py, too.
    """

    every_rank = True  # one process of each machine acts
    writes = True

    def __init__(self, interval: float = INTERVAL, *, run: ActiveRun | None = None, summary_writer: Any = None) -> None:
        super().__init__(run=run, summary_writer=summary_writer)
        self._interval = checked_interval(interval)
        require_psutil()

    def _reset(self) -> None:
        super()._reset()
        self._sampler: Sampler | None = None
        self._joined: ActiveRun | None = None  # by a process that does not record the run itself
        self._saw_run = False

    def target(self) -> object | None:
        """There is one machine."""
        return "the machine"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The first process of each machine begins to read."""
        self._stop()
        if getattr(state, "is_local_process_zero", True):
            host = socket.gethostname().partition(".")[0] if _has_several_machines() else None
            self._saw_run = False
            # The thread must not keep the callback, and with it a trainer, alive.
            self._sampler = Sampler(
                partial(all_sensors, host), self._interval, goes_on=partial(_is_under_way, ref(self))
            )
            self._sampler.start()

    @only_if(lambda self, state: self._sampler is not None and self._sampler.is_ready)
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record what was found since the last time, if it is time."""
        sampler = self._sampler
        if sampler is not None and sampler.is_ready:
            self._record(sampler, state.global_step)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """At the end of the last epoch, record what is left: the run ends with the training."""
        sampler = self._sampler
        if sampler is not None and (state.global_step >= state.max_steps or control.should_training_stop):
            sampler.stop()
            self._record(sampler, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop reading."""
        self._stop()

    def _record(self, sampler: Sampler, step: int) -> None:
        values = sampler.take()
        run = self._run_here()
        if run is not None and values:
            run.log(values, step)
        self.add_scalars(values, step)

    def _run_here(self) -> ActiveRun | None:
        """The run; in a process that does not record it, as another writer of it."""
        run = self.run
        if run is None and not getattr(self._state, "is_world_process_zero", True):
            if self._joined is None:
                for recorder in self._recorders or ():
                    self._joined = self._joined or recorder.join_run_of(self._state)
            run = self._joined
        return run

    def _stop(self) -> None:
        sampler, self._sampler = self._sampler, None
        joined, self._joined = self._joined, None
        if sampler is not None:
            sampler.stop()
        if joined is not None:
            joined.finish()  # which leaves it
        self.close_summary()


def _is_under_way(callback: Any) -> bool:
    """Whether a training goes on. One that failed does not tell, but its run has ended."""
    one: SystemMetricsCallback | None = callback()
    if one is None:
        return False
    is_recorded = one.run is not None
    is_over = one._saw_run and not is_recorded
    one._saw_run |= is_recorded
    return not is_over


def _has_several_machines() -> bool:
    """As torchrun and accelerate, or Slurm, tell their processes."""
    here, all_of_them = os.environ.get("LOCAL_WORLD_SIZE"), os.environ.get("WORLD_SIZE")
    if here is not None and all_of_them is not None:
        return int(all_of_them) > int(here)
    return int(os.environ.get("SLURM_NNODES", 1)) > 1
