"""Hugging Face ``Trainer``: every optimizer step, its true loss, and all that is known of the run.

::

    from trainstore.integrations.transformers import TrainStoreCallback

    trainer = Trainer(..., callbacks=[TrainStoreCallback("runs.db")])
    trainer.train()

The step's own loss is ``loss``: what ``trainer.training_step`` returned, added up over the micro-batches of the step,
whatever ``logging_steps`` is. What the Trainer logs, the mean since its last log, is ``loss_window``, with the
window's first and last step in the row's details. Importing this package makes ``report_to="trainstore"`` known.

Inside::

    callback.py           the callback: one method for each event; `record`
    settings.py           its arguments; failures.py: failures of trainstore itself
    session.py            what it keeps from one event to the next: the store, the trainings under way, their runs
    beginning.py          how a training begins; runs.py: with which run; checkpoint.py: that of its checkpoint
    ending.py             how a training ends; train_call.py: as train() returns or raises
    training.py           one training under way; ranks.py: its processes; outside.py: what comes before and after it
    steps.py              the rows of the steps; losses.py: where their losses come from
    watch.py              what a trainer's methods tell; wrappers.py: how they are replaced for a while
    facts.py              what is known at the beginning; datasets.py, parameters.py: of the data, of the model's size
    incomplete.py         what could not be read; foreign.py: what another library's events lack
"""

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from trainstore.integrations.transformers.callback import TrainStoreCallback, record
from trainstore.integrations.transformers.checkpoint import STATE_KEY

__all__ = ["TrainStoreCallback", "record"]

INTEGRATION_TO_CALLBACK[STATE_KEY] = TrainStoreCallback
