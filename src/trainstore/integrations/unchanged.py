"""For scripts that do not import trainstore: the name in ``report_to="trainstore"`` and ``log_with="trainstore"``.

transformers and Accelerate look the name up in a table of theirs. It is put in there when the script imports the
library. Nothing else is imported before the name is used: the script may still choose devices, seeds and versions as it
does without us.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

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
        if name in sys.modules:
            put(sys.modules[name])
    if not any(isinstance(finder, _Afterwards) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Afterwards())


class _Afterwards(importlib.abc.MetaPathFinder):
    """Finds no module itself: it does something after a module of `TABLES` was imported."""

    def __init__(self) -> None:
        self._asking: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in TABLES or fullname in self._asking:
            return None
        self._asking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)  # which asks the other finders
        finally:
            self._asking.discard(fullname)  # the module may be imported once more: reloaded, or after an error
        if spec is not None and spec.loader is not None:
            _then(spec.loader, TABLES[fullname])
        return spec


def _then(loader: Any, put: Callable[[ModuleType], None]) -> None:
    """After this loader has executed its module, ``put`` is called with it."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        put(module)

    loader.exec_module = exec_module
