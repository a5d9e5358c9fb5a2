"""`DebugCallback`: prints which events come, in which order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from transformers import TrainerCallback

from trainstore.callbacks.base import Callback, guarded
from trainstore.callbacks.snapshot import plain_metrics
from trainstore.errors import InvalidArgumentError
from trainstore.values import restore

EVENTS = tuple(name for name in dir(TrainerCallback) if name.startswith("on_"))
DEFAULT = ("on_train_begin", "on_step_end", "on_log", "on_evaluate")


class DebugCallback(Callback):
    """Prints a line for each event, on standard output: its name, the step and the epoch, and what it carries.

    Secrets in it are shown as ``[redacted]``.

    Args:
        events_to_log: The events, such as ``["on_save"]``; "all" for all of them. None: ``on_train_begin``,
            ``on_step_end``, ``on_log`` and ``on_evaluate``.

    Raises:
        InvalidArgumentError: An event that does not exist.
    """

    def __init__(self, events_to_log: Iterable[str] | str | None = None) -> None:
        super().__init__()
        if events_to_log is None:
            events_to_log = DEFAULT
        elif events_to_log == "all":
            events_to_log = EVENTS
        elif isinstance(events_to_log, str):
            events_to_log = [events_to_log]
        self.events_to_log = list(events_to_log)
        for name in self.events_to_log:
            if name not in EVENTS:
                raise InvalidArgumentError(f"events_to_log: there is no event {name!r}, only {', '.join(EVENTS)}")

    def _show(self, name: str, state: Any, event: dict[str, Any]) -> None:
        if name not in self.events_to_log:
            return
        parts = [name, f"step {state.global_step}"]
        if isinstance(state.epoch, (int, float)):
            parts.append(f"epoch {state.epoch:.2f}")
        carried = {key: event[key] for key in ("logs", "metrics") if event.get(key) is not None}
        parts += [f"{key} {restore(plain_metrics(value))}" for key, value in carried.items()]
        print("  ".join(parts))


def _event(name: str) -> Any:
    def show(self: DebugCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._show(name, state, kwargs)

    show.__name__, show.__qualname__, show.__doc__ = name, f"DebugCallback.{name}", f"Print that ``{name}`` came."
    return guarded(show)


for _name in EVENTS:
    setattr(DebugCallback, _name, _event(_name))
