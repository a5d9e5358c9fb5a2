"""Callbacks for every trainer that sends Hugging Face's events: ``transformers.Trainer`` and those with its interface.

::

    from trainstore.callbacks import Callback

    class Watcher(Callback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if self.run is not None and logs.get("loss", 0.0) > 10:
                self.run.alert("the loss is high", f"{logs['loss']:.3g}", level="warn")

    trainer = Trainer(..., callbacks=[TrainStoreCallback("trainstore.db"), Watcher()])

Importing this package loads torch and transformers. Inside::

    base.py               `Callback`: what all of them have in common
    progress.py           bars, or a line now and then
    info.py               a table at the beginning
    tb_logger.py          TensorBoard
    json_logger.py        a file of JSON Lines
    model_checkpoint.py   keeps the best model; early_stopping.py: ends the training; best_metric.py: for both
    debug.py              which events come; state_inspection.py: the trainer's state
    snapshot.py           arguments and the model's configuration as plain values, without secrets
    neighbours.py         the callbacks beside a callback: in its trainer's list
    models.py             a model without the wrappers of DDP, FSDP, torch.compile and PEFT
    textgen.py            `TextgenCallback`: text samples; sampling.py: a model generates without a trace
    grad_logger.py        `GradLogger`: norms of gradients; gradients.py: layers, their norms, what is unusual
    system_metrics.py     processor, memory, GPUs, with `trainstore.system`
    summary_writer.py     a TensorBoard writer that is opened when it is first used, and can be pickled
"""

from trainstore.callbacks.base import Callback
from trainstore.callbacks.debug import DebugCallback
from trainstore.callbacks.early_stopping import EarlyStoppingCallback
from trainstore.callbacks.grad_logger import GradLogger
from trainstore.callbacks.info import InfoCallback
from trainstore.callbacks.json_logger import JsonLogger
from trainstore.callbacks.model_checkpoint import ModelCheckpointCallback
from trainstore.callbacks.progress import ProgressCallback
from trainstore.callbacks.state_inspection import StateInspectionCallback
from trainstore.callbacks.system_metrics import SystemMetricsCallback
from trainstore.callbacks.tb_logger import TBLogger
from trainstore.callbacks.textgen import TextgenCallback

__all__ = [
    "Callback",
    "DebugCallback",
    "EarlyStoppingCallback",
    "GradLogger",
    "InfoCallback",
    "JsonLogger",
    "ModelCheckpointCallback",
    "ProgressCallback",
    "StateInspectionCallback",
    "SystemMetricsCallback",
    "TBLogger",
    "TextgenCallback",
]
