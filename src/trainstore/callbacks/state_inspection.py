"""`StateInspectionCallback`: prints the trainer's state every few steps."""

from __future__ import annotations

from typing import Any

from trainstore.callbacks.arguments import positive_int
from trainstore.callbacks.base import Callback
from trainstore.callbacks.snapshot import plain_metrics
from trainstore.values import restore


class StateInspectionCallback(Callback):
    """Prints the step, the epoch, the newest entry of the log history and the model's device, on standard output.

    Secrets in that entry are shown as ``[redacted]``.

    Args:
        every: Steps from one print to the next.

    Raises:
        InvalidArgumentError: `every` is not a positive integer.
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self._every = positive_int("every", every, "steps")

    def _reset(self) -> None:
        super()._reset()
        self._shown = 0  # the last step that was

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Nothing of this training was shown."""
        self._shown = 0

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Print it, if it is time."""
        if state.global_step % self._every or state.global_step == self._shown:
            return  # Forgather's trainer ends the last step of an epoch twice
        self._shown = state.global_step
        parts = [f"step {state.global_step}/{state.max_steps}"]
        if isinstance(state.epoch, (int, float)):
            parts.append(f"epoch {state.epoch:.2f}")
        parts.append(f"last log {restore(plain_metrics(state.log_history[-1])) if state.log_history else None}")
        parameter = next(iter(model.parameters()), None) if model is not None else None
        if parameter is not None:
            parts.append(f"device {parameter.device}")
        print("  ".join(parts))
