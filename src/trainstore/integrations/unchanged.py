"""For scripts that do not import trainstore: the name in ``report_to="trainstore"`` and ``log_with="trainstore"``.

transformers and Accelerate look the name up in a table of theirs. It is put in there when the script imports the
library. Nothing else is imported before the name is used: the script may still choose devices, seeds and versions as it
does without us.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from trainstore.integrations.afterwards import after_import

NAME = "trainstore"


class ReportTo:
    """What makes ``report_to="trainstore"`` a callback: Trainer calls a class without arguments."""

    def __new__(cls) -> Any:
        """The callback."""
        return importlib.import_module("trainstore.integrations.transformers").TrainStoreCallback()


class LogWith:
    """What makes ``log_with="trainstore"`` a tracker: Accelerate calls a class with the project and ``init_kwargs``."""

    name = NAME
    requires_logging_directory = False

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        """The tracker."""
        return importlib.import_module("trainstore.integrations.accelerate").TrainStoreTracker(*arguments, **options)


def _name_callback(module: ModuleType) -> None:
    module.INTEGRATION_TO_CALLBACK.setdefault(NAME, ReportTo)


def _name_tracker(module: ModuleType) -> None:
    module.LOGGER_TYPE_TO_CLASS.setdefault(NAME, LogWith)


#: Where a library keeps its table: the module, and how the name is put into it.
TABLES: dict[str, Callable[[ModuleType], None]] = {
    "transformers.integrations.integration_utils": _name_callback,
    "accelerate.tracking": _name_tracker,
}


def make_known() -> None:
    """Put the name into the tables of the libraries that are imported, and of those that will be."""
    for name, put in TABLES.items():
        after_import(name, put)
