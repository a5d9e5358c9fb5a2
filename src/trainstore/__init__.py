"""trainstore: every run, step and hyperparameter of a training in your own SQL database.

The names below are loaded when they are first used, so that ``import trainstore`` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainstore.recording import listeners

__version__ = "0.1.0"

_HOMES = {
    "TrainStore": "store",
    "ActiveRun": "run",
    "RunRecord": "queries",
    "ModelRecord": "queries",
    **dict.fromkeys(
        (
            "Run", "Attempt", "StepLog", "MetricSummary", "Hyperparam", "Writer", "Event",
            "Datablob", "ModelTemplate", "Model", "ModelEpoch", "models_for",
        ),
        "models",
    ),
    **dict.fromkeys(
        (
            "TrainStoreError", "InvalidArgumentError", "FilterError", "StoreURLError", "StoreUnavailableError",
            "StoreClosedError", "NotADatabaseError", "NetworkFileSystemError", "PermissionDeniedError",
            "ReadOnlyStoreError", "SchemaError", "SchemaOutdatedError", "SchemaTooNewError", "SchemaForeignError",
            "SchemaMissingError", "RunNotFoundError", "RunNotUniqueError", "ModelNotFoundError", "RunActiveError",
            "RunEndedError", "JournalError", "BackupError", "CheckpointError", "TrainStoreWarning",
            "PendingRecordsWarning", "UnknownNameWarning",
        ),
        "errors",
    ),
}  # fmt: skip
__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from trainstore.errors import *  # noqa: F403
    from trainstore.models import *  # noqa: F403
    from trainstore.queries import ModelRecord as ModelRecord
    from trainstore.queries import RunRecord as RunRecord
    from trainstore.run import ActiveRun as ActiveRun
    from trainstore.store import TrainStore as TrainStore


_SENDER = "trainstore.notifying.sender"


def _send(event: listeners.Event, service: Any) -> None:
    """Recording tells of alerts and ends of runs; whoever sends them lies above it (notifying/)."""
    if _SENDER not in sys.modules and not import_module("trainstore.notifying.targets").may_exist():
        return  # as most processes do, without a word
    import_module(_SENDER).hear(event, service)  # another thread may just be importing it


def _send_the_rest() -> None:
    sender = sys.modules.get(_SENDER)
    if sender is not None:
        sender.close()


listeners.listen(_send, _send_the_rest)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trainstore' has no attribute {name!r}")
    value = getattr(import_module(f"trainstore.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
