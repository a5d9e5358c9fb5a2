"""Calls the callbacks of a loop: Hugging Face's events, in Hugging Face's order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerState
from transformers.trainer_callback import CallbackHandler, ExportableState

logger = logging.getLogger("trainstore")

RUN = "trainstore"  # under this name `TrainStoreCallback` keeps the run, and reads it itself

STEP_EVENTS = (
    "on_step_begin",
    "on_substep_end",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_step_end",
    "on_prediction_step",
)


def handler_of(callbacks: Sequence[Any], model: Any, optimizer: Any, scheduler: Any) -> CallbackHandler:
    """What calls these callbacks, in this order."""
    return CallbackHandler(list(callbacks), model, None, optimizer, scheduler)


def heard_events(callbacks: Sequence[Any]) -> frozenset[str]:
    """The events of a step that at least one callback does something at: the others need not be sent."""
    return frozenset(event for event in STEP_EVENTS if any(_hears(one, event) for one in callbacks))


def _hears(callback: Any, event: str) -> bool:
    method = getattr(callback, event, None)
    return getattr(method, "__func__", method) is not getattr(TrainerCallback, event)


def export_states(callbacks: Sequence[Any], state: TrainerState) -> None:
    """Put what callbacks want to keep into ``state.stateful_callbacks``, which a checkpoint holds."""
    found: dict[str, Any] = {}
    for one in callbacks:
        if isinstance(one, ExportableState):
            found.setdefault(type(one).__name__, []).append(one.state())
    for name, states in found.items():
        state.stateful_callbacks[name] = states[0] if len(states) == 1 else states


def import_states(callbacks: Sequence[Any], state: TrainerState) -> None:
    """Give callbacks back what a checkpoint keeps of them; one that it does not know begins anew."""
    waiting = {name: list(saved) if isinstance(saved, list) else [saved] for name, saved in _saved(state).items()}
    for one in callbacks:
        states = waiting.get(type(one).__name__)
        if isinstance(one, ExportableState) and states:
            for attribute, value in (states.pop(0).get("attributes") or {}).items():
                setattr(one, attribute, value)
    unused = sorted(name for name, states in waiting.items() if states)
    if unused:
        logger.warning(
            "the checkpoint holds the state of callbacks that this training does not have: %s", ", ".join(unused)
        )


def _saved(state: TrainerState) -> dict[str, Any]:
    return {name: saved for name, saved in state.stateful_callbacks.items() if name != RUN}
