"""Records a Hugging Face ``Trainer``: every optimizer step, its true loss, and everything known about the run.

::

    from trainstore.integrations.transformers import TrainStoreCallback

    trainer = Trainer(..., callbacks=[TrainStoreCallback("trainstore.db")])
    trainer.train()

``loss`` is the step's own loss: what ``trainer.training_step`` returned, summed over the step's micro-batches, whatever
``logging_steps`` is. ``loss_window`` is what the Trainer logs, the mean since its last log; the row's details name the
window's first and last step. Importing this package registers ``report_to="trainstore"``.

Inside::

    callback.py           the callback: one method for each event; `record`
    settings.py           its arguments; failures.py: failures of trainstore itself
    session.py            what it keeps from one event to the next: the store, the trainings under way, their runs
    beginning.py          how a training begins; runs.py: with which run; checkpoint.py: that of its checkpoint
    checkpoint_file.py    where a checkpoint is, and the file that names its run, if the trainer's own files do not
    ending.py             how a training ends; train_call.py: when train() returns or raises
    training.py           one training under way; ranks.py: its processes; outside.py: what comes before and after it
    steps.py              the rows of the steps; losses.py: where their losses come from
    watch.py              what a trainer's methods reveal (../protocol.py: which); wrappers.py: how they are replaced
    facts.py              what is known at the beginning; datasets.py: about the data; ../parameters.py: the size
    incomplete.py         what could not be read; foreign.py: other libraries' trainers, whose events may lack fields
"""

from trainstore.integrations.libraries import needs

with needs("transformers", "torch", extra="transformers"):
    import torch  # noqa: F401 - its absence is told here
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from trainstore.integrations.transformers.callback import TrainStoreCallback, record
from trainstore.integrations.transformers.checkpoint import STATE_KEY

__all__ = ["TrainStoreCallback", "record"]

INTEGRATION_TO_CALLBACK[STATE_KEY] = TrainStoreCallback
