"""What ``import wandb`` gives where this package stands in for W&B's: this package, and its parts as submodules."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from trainstore.integrations.wandb.names import HINTS, INSTEAD, MODULE_NAMES
from trainstore.integrations.wandb.parts import HERE, is_part, missing, part

_PREFIX = "wandb."
_OURS = f"{HERE}."


class _Parts(MetaPathFinder, Loader):
    """Finds ``wandb.…``. It must stand before all others: they would load files of this package a second time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname.startswith(_OURS):
            _refuse_missing(fullname.removeprefix(_OURS))
        if not fullname.startswith(_PREFIX):
            return None
        if not is_part(fullname.removeprefix(_PREFIX)):
            # Without a name: with one, `from wandb.util import x` would not tell this text.
            raise ModuleNotFoundError(missing(fullname))
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return part(spec.name.removeprefix(_PREFIX))

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


def _refuse_missing(name: str) -> None:
    """``from wandb import Api`` asks for a submodule once there is no such name: the last place that can say why."""
    if name in MODULE_NAMES and not hasattr(import_module(HERE), name):
        raise ModuleNotFoundError(f"trainstore has no wandb.{name}: {HINTS.get(name, INSTEAD)}")


def stand_in() -> None:
    """Make ``wandb`` this package in this process, whatever was imported under that name before."""
    for name in [name for name in sys.modules if name.startswith(_PREFIX)]:
        del sys.modules[name]
    sys.modules["wandb"] = import_module(HERE)
    if not any(isinstance(finder, _Parts) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Parts())
