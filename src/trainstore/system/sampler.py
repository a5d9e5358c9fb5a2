"""A thread that reads sensors, and keeps means and maxima until somebody takes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from math import isfinite
from time import monotonic

from trainstore.system.sensors import Sensor

logger = logging.getLogger("trainstore")

READINGS = 5  # in an interval
SHORTEST_PERIOD = 0.05  # seconds
PAUSE = 60.0  # seconds until a sensor that has failed is read again


class Sampler:
    """Reads sensors in a thread of its own, which disturbs nobody.

    A sensor that fails costs itself, and is tried again later.

    Args:
        find_sensors: Called in the thread, as it may take its time.
        interval: Seconds from one result to the next.
        ready: Called in the thread when there is a result, until it is taken.
        goes_on: Whether to go on reading: False when the training has ended without telling.

    Attributes:
        is_ready: Whether there is a result to be taken: an interval has gone by since the last one.
    """

    def __init__(
        self,
        find_sensors: Callable[[], Sequence[Sensor]],
        interval: float,
        *,
        ready: Callable[[], None] | None = None,
        goes_on: Callable[[], bool] | None = None,
    ) -> None:
        self.is_ready = False
        self._find_sensors = find_sensors
        self._sensors: list[Sensor] = []
        self._failed: dict[str, float] = {}  # when, by the sensor's name
        self._interval = interval
        self._ready, self._goes_on = ready, goes_on
        self._since = monotonic()
        self._lock = threading.Lock()
        self._values: dict[str, list[float]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainstore-system", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Read once more and stop; wait for it so many seconds at most."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def take(self) -> dict[str, float]:
        """The means and maxima since the last call, by name; empty if nothing was read."""
        with self._lock:
            values, self._values = self._values, {}
            self.is_ready, self._since = False, monotonic()
            peaks = {sensor.name for sensor in self._sensors if sensor.is_peak}
        return {name: max(read) if name in peaks else sum(read) / len(read) for name, read in values.items()}

    def _run(self) -> None:
        try:
            self._sensors = list(self._find_sensors())
            period = max(self._interval / READINGS, SHORTEST_PERIOD)
            while not self._stopped.wait(period):
                if self._goes_on is not None and not self._goes_on():
                    return
                self._read()
                if monotonic() - self._since >= self._interval:
                    self.is_ready = True
                if self.is_ready and self._ready is not None:
                    self._ready()
            self._read()
        except Exception as error:  # noqa: BLE001 - it costs the system's metrics, and nothing else
            logger.warning("the system is no longer watched (%s: %s)", type(error).__name__, error)

    def _read(self) -> None:
        for sensor in self._sensors:
            failed_at = self._failed.get(sensor.name)
            if failed_at is not None and monotonic() - failed_at < PAUSE:
                continue
            try:
                value = float(sensor.read())
            except Exception as error:  # noqa: BLE001 - a driver may refuse anything at any time
                self._failed[sensor.name] = monotonic()
                if failed_at is None:
                    logger.warning(
                        "%s cannot be read (%s: %s); it is left out and tried again each minute",
                        sensor.name,
                        type(error).__name__,
                        error,
                    )
                continue
            if isfinite(value):
                with self._lock:
                    self._values.setdefault(sensor.name, []).append(value)
