"""What ``self.logger.experiment`` is before the run begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainstore.run import ActiveRun

MAX_HELD = 1_000  # calls


class Experiment:
    """Stands for the run of a training that has not begun: Lightning asks for it before the checkpoint is read.

    What is recorded through it is recorded when the run begins.
    """

    def __init__(self) -> None:
        self._held: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_") or not callable(getattr(ActiveRun, name, None)):
            raise AttributeError(f"the run has no {name!r} yet: it begins with the training")

        def hold(*args: Any, **kwargs: Any) -> None:
            if len(self._held) < MAX_HELD:
                self._held.append((name, args, kwargs))

        return hold

    def release(self, run: ActiveRun) -> None:
        """The run has begun: make the calls that were held."""
        held, self._held = self._held, []
        for name, args, kwargs in held:
            getattr(run, name)(*args, **kwargs)


class NoExperiment:
    """What it is where nothing is recorded, on other ranks for example: each of its methods does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None
