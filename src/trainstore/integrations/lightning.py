"""Lightning (``lightning.pytorch``): a logger and callback in one. For ``pytorch_lightning`` see the module beside."""

from __future__ import annotations

from trainstore.integrations.libraries import needs

with needs("lightning", extra="lightning"):
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger

    from trainstore.integrations.lightning_common.events import TrainerEvents

__all__ = ["TrainStoreLogger"]


class TrainStoreLogger(TrainerEvents, Logger, Callback):  # type: ignore[misc]
    """Records a Lightning ``Trainer`` into a store.

    Give it to a trainer as its logger, as one of its callbacks, or as both; it makes no difference.

    Args:
        store_or_run: An open run, which is recorded into and left open; an open `TrainStore`, which is left open; the
            path or URL of a store, which is opened when the training begins and closed when it ends; None:
            ``TRAINSTORE_URL``, else ``trainstore.db``.
        project: None: ``TRAINSTORE_PROJECT``, else "default".
        name: The run's label. None: ``TRAINSTORE_RUN_NAME``, else a new one.
        tags: As for `TrainStore.start_run`.
        hyperparams: Recorded beside those of ``save_hyperparams()``; of two with the same name, yours is kept.
        resume: What ``fit(ckpt_path=…)`` does. "auto": the run that the checkpoint names gets its next attempt.
            "never": a new run, whose parent it is.
        save_dir: Where ``ModelCheckpoint`` saves if it has no ``dirpath`` of its own: in a folder of the project, with
            one for the run. None: the trainer's ``default_root_dir``.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
        TrainStoreError: When training begins, and only if you can fix it: a store that cannot be opened, is closed, or
            read-only.
    """
