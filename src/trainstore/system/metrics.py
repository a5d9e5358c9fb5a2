"""`SystemMetrics`: what a loop of one's own does to its machine, recorded into its run."""

from __future__ import annotations

from types import TracebackType

from trainstore.errors import InvalidArgumentError
from trainstore.run import ActiveRun, checked_run
from trainstore.system.sampler import Sampler
from trainstore.system.sensors import all_sensors, require_psutil

INTERVAL = 15.0  # seconds


class SystemMetrics:
    """Records processor, memory, disk, process and GPUs into a run, for the length of a block.

    A thread reads the sensors. What they found goes into the step that was logged last: the mean since the last time,
    of memory and temperatures the maximum. No step exists because of them: while no new one is logged, they wait.
    A sensor that fails is left out, with a warning, and tried again each minute.

    Args:
        run: The run.
        interval: Seconds from one record to the next. The sensors are read five times as often.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
        MissingSystemLibraryError: psutil is not installed; GPUs need nvidia-ml-py, too.
    """

    def __init__(self, run: ActiveRun, interval: float = INTERVAL) -> None:
        self._run = checked_run(run)
        self._interval = checked_interval(interval)
        require_psutil()
        self._recorded_at: int | None = None  # the step of the last record
        self._sampler: Sampler | None = None

    def __enter__(self) -> SystemMetrics:
        self._sampler = Sampler(all_sensors, self._interval, ready=self._record, goes_on=self._is_running)
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sampler = self._sampler
        if sampler is not None:
            sampler.stop()
            if self._is_running():
                self._record()
            self._sampler = None

    def _is_running(self) -> bool:
        return self._run.status == "running"

    def _record(self) -> None:
        step, sampler = self._run.last_step, self._sampler
        if sampler is not None and step is not None and step != self._recorded_at:
            self._recorded_at = step
            values = sampler.take()
            if values:
                self._run.log(values, step)


def checked_interval(interval: float) -> float:
    """The interval. Raises `InvalidArgumentError` if it is not a positive number."""
    if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not 0 < interval < float("inf"):
        raise InvalidArgumentError(f"interval {interval!r} is not a positive number of seconds")
    return interval
