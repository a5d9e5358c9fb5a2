"""Lightning under its older name, ``pytorch_lightning``: the same as ``lightning.py``, for trainers of that package."""

from __future__ import annotations

from trainstore.integrations.libraries import needs

with needs("pytorch_lightning", extra="pytorch_lightning"):
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger

    from trainstore.integrations.lightning_common.events import TrainerEvents

__all__ = ["TrainStoreLogger"]


class TrainStoreLogger(TrainerEvents, Logger, Callback):  # type: ignore[misc]
    """Records a ``pytorch_lightning.Trainer``, exactly as ``trainstore.integrations.lightning.TrainStoreLogger`` does.

    A trainer takes only loggers and callbacks of its own package, and both packages may be installed.
    """

    _source = "pytorch_lightning"
