"""What a training does to its machine: processor, memory, disk, process, GPUs. Needs the extra ``system``.

::

    from trainstore.system import SystemMetrics

    with store.start_run(name="mine") as run, SystemMetrics(run):
        for step in range(1000):
            run.log(loss=train_step())

A thread reads the sensors (`sensors.py`) and keeps means and maxima (`sampler.py`); they are recorded with a step of
the training. In a Trainer, use ``trainstore.callbacks.SystemMetricsCallback``.
"""

from trainstore.system.metrics import SystemMetrics
from trainstore.system.sensors import MissingSystemLibraryError

__all__ = ["MissingSystemLibraryError", "SystemMetrics"]
