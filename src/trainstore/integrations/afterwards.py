"""Does something after a module was imported, without importing it."""

from __future__ import annotations

import importlib.abc
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

logger = logging.getLogger("trainstore")

Act = Callable[[ModuleType], None]


def after_import(name: str, act: Act) -> None:
    """Call ``act`` with a module: now if it is imported, else once it will have been, and each time that it is.

    Args:
        name: The module's full name.
        act: What is done. If it fails, as another version of the module is another, that is told.
    """
    if name in sys.modules:
        _do(act, sys.modules[name])
    finder = next((one for one in sys.meta_path if isinstance(one, _Afterwards)), None)
    if finder is None:
        finder = _Afterwards()
        sys.meta_path.insert(0, finder)
    finder.acts[name] = act


class _Afterwards(importlib.abc.MetaPathFinder):
    """Finds no module itself: it asks the other finders."""

    def __init__(self) -> None:
        self.acts: dict[str, Act] = {}
        self._asking: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.acts or fullname in self._asking:
            return None
        self._asking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking.discard(fullname)  # the module may be imported once more: reloaded, or after an error
        if spec is not None and spec.loader is not None:
            _then(spec.loader, self.acts[fullname])
        return spec


def _then(loader: Any, act: Act) -> None:
    """After this loader has executed its module, ``act`` is called with it."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _do(act, module)

    loader.exec_module = exec_module


def _do(act: Act, module: ModuleType) -> None:
    try:
        act(module)
    except Exception as error:  # noqa: BLE001 - whoever imports the module wants to train
        logger.warning("trainstore cannot record with this version of %s (%s)", module.__name__, error)
