"""Records what a script passes to Accelerate's ``Accelerator.log``.

::

    import trainstore.integrations.accelerate  # makes the name known

    accelerator = Accelerator(log_with="trainstore")
    accelerator.init_trackers("my-project", config={"learning_rate": 1e-3})
    …
    accelerator.log({"loss": loss}, step=step)
    accelerator.end_training()

Inside::

    tracker.py      what Accelerate calls
    late.py         the run, which begins when something is recorded into it: a new one, or that of a checkpoint
    checkpoints.py  what ``save_state`` and ``load_state`` tell
    facts.py        what is known of the training: processes, precision, models, images
"""

from trainstore.integrations.libraries import needs

with needs("accelerate", extra="accelerate"):
    from accelerate import tracking

from trainstore.integrations.accelerate.tracker import NAME, TrainStoreTracker

__all__ = ["TrainStoreTracker"]

if hasattr(tracking, "register_tracker_class"):
    tracking.LOGGER_TYPE_TO_CLASS.pop(NAME, None)  # if this module is loaded again
    tracking.register_tracker_class(TrainStoreTracker)
