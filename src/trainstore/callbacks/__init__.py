"""Callbacks for every trainer that sends Hugging Face's events: ``transformers.Trainer`` and those with its interface.

::

    from trainstore.callbacks import Callback

    class Watcher(Callback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if self.run is not None and logs["loss"] > 10:
                self.run.alert("the loss is high", f"{logs['loss']:.3g}", level="warn")

    trainer = Trainer(..., callbacks=[TrainStoreCallback("trainstore.db"), Watcher()])

Importing this package loads torch and transformers. Inside::

    base.py               `Callback`: what all of them have in common
    neighbours.py         the callbacks beside a callback: in its trainer's list
    models.py             a model without the wrappers of DDP, FSDP, torch.compile and PEFT
    textgen.py            `TextgenCallback`: text samples; sampling.py: a model generates without a trace
    summary_writer.py     a TensorBoard writer that is opened when it is first used, and can be pickled
"""

from trainstore.callbacks.base import Callback
from trainstore.callbacks.textgen import TextgenCallback

__all__ = ["Callback", "TextgenCallback"]
