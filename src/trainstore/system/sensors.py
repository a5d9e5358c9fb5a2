"""The sensors of a machine: what each of them reads, under which name."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from trainstore.errors import TrainStoreError

logger = logging.getLogger("trainstore")

PREFIX = "system"
_NVIDIA_DRIVER = "/proc/driver/nvidia/version"
_MIB, _MILLI = 2**20, 1e-3


class MissingSystemLibraryError(TrainStoreError):
    """psutil, which reads the sensors, is not installed."""


@dataclass(frozen=True)
class Sensor:
    """One number that can be read.

    Attributes:
        name: That of the metric; its last word is the unit.
        read: Reads it.
        is_peak: Whether the largest of several readings counts, as for memory and temperatures, or their mean.
    """

    name: str
    read: Callable[[], float]
    is_peak: bool = False


def require_psutil() -> None:
    """Raise `MissingSystemLibraryError` if it is not installed."""
    try:
        import psutil  # noqa: F401
    except ImportError as error:
        raise MissingSystemLibraryError("psutil is not installed: pip install 'trainstore[system]'") from error


def all_sensors(host: str | None = None) -> list[Sensor]:
    """Those of this machine, this process, and the GPUs that it may use.

    Args:
        host: The machine's name, for the metrics' names if several train together.
    """
    prefix = PREFIX if host is None else f"{PREFIX}/{host}"
    return [*_machine(prefix), *_gpus(prefix)]


def _machine(prefix: str) -> Iterator[Sensor]:
    import psutil

    process = psutil.Process()
    folder = os.getcwd()
    psutil.cpu_percent()  # counts from here on
    process.cpu_percent()
    yield Sensor(f"{prefix}/cpu_percent", psutil.cpu_percent)
    yield Sensor(f"{prefix}/memory_percent", lambda: psutil.virtual_memory().percent, is_peak=True)
    yield Sensor(f"{prefix}/memory_mib", lambda: psutil.virtual_memory().used / _MIB, is_peak=True)
    yield Sensor(f"{prefix}/disk_percent", lambda: psutil.disk_usage(folder).percent)
    yield Sensor(f"{prefix}/process_cpu_percent", process.cpu_percent)  # of one core
    yield Sensor(f"{prefix}/process_memory_mib", lambda: process.memory_info().rss / _MIB, is_peak=True)
    yield Sensor(f"{prefix}/process_threads", process.num_threads)


def _gpus(prefix: str) -> Iterator[Sensor]:
    """Nothing if there is no GPU of NVIDIA's; if there is one that cannot be read, a warning."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = list(_visible_gpus(pynvml))
    except Exception as error:  # noqa: BLE001 - not installed, no driver, or one that does not fit
        if os.path.exists(_NVIDIA_DRIVER):
            logger.warning("the GPUs cannot be watched (%s: %s)", type(error).__name__, error)
        return
    for index, handle in enumerate(handles):
        yield from _gpu(pynvml, handle, f"{prefix}/gpu{index}")


def _gpu(nvml: Any, gpu: Any, prefix: str) -> Iterator[Sensor]:
    yield Sensor(f"{prefix}/utilization_percent", lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
    yield Sensor(f"{prefix}/memory_mib", lambda: nvml.nvmlDeviceGetMemoryInfo(gpu).used / _MIB, is_peak=True)
    yield Sensor(f"{prefix}/memory_percent", partial(_memory_percent, nvml, gpu), is_peak=True)
    yield Sensor(f"{prefix}/power_watts", lambda: nvml.nvmlDeviceGetPowerUsage(gpu) * _MILLI)
    temperature = partial(nvml.nvmlDeviceGetTemperature, gpu, nvml.NVML_TEMPERATURE_GPU)
    yield Sensor(f"{prefix}/temperature_celsius", temperature, is_peak=True)


def _memory_percent(nvml: Any, gpu: Any) -> float:
    memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
    return float(100 * memory.used / memory.total)


def _visible_gpus(nvml: Any) -> Iterator[Any]:
    """In the order in which CUDA numbers them: CUDA_VISIBLE_DEVICES has indices or identifiers, up to a wrong one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = nvml.nvmlDeviceGetCount()
    if visible is None:
        yield from (nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count))
        return
    for one in visible.replace(" ", "").split(","):
        if one.isdecimal() and int(one) < count:
            yield nvml.nvmlDeviceGetHandleByIndex(int(one))
        elif one.startswith(("GPU-", "MIG-")):
            yield nvml.nvmlDeviceGetHandleByUUID(one)
        else:
            return
