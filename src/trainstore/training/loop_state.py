"""What a checkpoint keeps of a loop, and how a loop goes back to it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from transformers import TrainerState

from trainstore.training.events import export_states, import_states
from trainstore.training.plan import Plan

if TYPE_CHECKING:
    from trainstore.training.loop import Loop

#: The fields of a ``TrainerState`` that belong to the training that goes on, and not to the checkpoint.
OWN = (
    "num_train_epochs",
    "logging_steps",
    "eval_steps",
    "save_steps",
    "train_batch_size",
    "is_local_process_zero",
    "is_world_process_zero",
)


def state_of(loop: Loop) -> dict[str, Any]:
    """All of a training but model, optimizer and scheduler, between two steps. Every process calls it."""
    state, best = loop.state, None if loop.plan is None else loop.plan.best
    export_states(loop.callbacks, state)
    return {
        "state": dataclasses.asdict(state),
        "epoch": loop.position.epoch,
        "is_ended": loop.is_ended,
        "losses": loop.ranks.gather(loop.losses.state_dict()),
        "last": {name: _number(getattr(loop, name)) for name in ("grad_norm", "learning_rate")},
        "positions": loop.ranks.gather(loop.position.state_dict()),
        "best": None if best is None else {"metric": best.metric, "value": best.value, "step": best.step},
        "bad_epochs": loop.bad_epochs,
        "evaluated": list(loop.evaluated),
        "scaler": None if loop.precision.scaler is None else loop.precision.scaler.state_dict(),
        "task": loop.task.task_state(),
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def go_back(loop: Loop, plan: Plan, saved: dict[str, Any]) -> None:
    """Set a loop that begins to what a checkpoint says."""
    loop.state = TrainerState(**{**saved["state"], **{name: getattr(loop.state, name) for name in OWN}})
    loop.epoch_index, loop.bad_epochs = saved["epoch"], saved["bad_epochs"]
    loop.is_ended = saved["is_ended"]
    loop.evaluated = (saved["evaluated"][0], dict(saved["evaluated"][1]))
    loop.grad_norm, loop.learning_rate = saved["last"]["grad_norm"], saved["last"]["learning_rate"]
    positions, ranks = saved["positions"], loop.ranks
    if len(positions) != ranks.size:
        loop.warn_once(
            f"the checkpoint is of {len(positions)} processes, and these are {ranks.size}: the training goes on, but "
            "not as it would have gone on"
        )
    rank = min(ranks.rank, len(positions) - 1)
    loop.losses.load_state_dict(saved["losses"][rank])
    loop.position.load_state_dict(positions[rank])
    best = saved["best"]
    if plan.best is not None and best is not None and best["metric"] == plan.best.metric:
        plan.best.value, plan.best.step = best["value"], best["step"]
    if loop.precision.scaler is not None and saved["scaler"] is not None:
        loop.precision.scaler.load_state_dict(saved["scaler"])
    loop.task.load_task_state(saved["task"])
    import_states(loop.callbacks, loop.state)
