"""trainstore: every run, step and hyperparameter of a training in your own SQL database.

The names below are loaded when they are first used, so that ``import trainstore`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trainstore' has no attribute {name!r}")
    value = getattr(import_module(f"trainstore.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
