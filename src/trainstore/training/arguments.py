"""The ``TrainingArguments`` of a training that was given none, for the callbacks that read them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from trainstore.training.plan import Plan
from trainstore.training.ranks import Ranks


class DerivedArguments(TrainingArguments):  # type: ignore[misc]
    """Arguments that say what a trainer of ours does.

    They set up no device: ``TrainingArguments`` would reset accelerate's state, which other trainers in this process
    use. Device and processes are those of our trainer.
    """

    def __init__(self, device: torch.device, ranks: Ranks, **fields: Any) -> None:
        self._our_device, self._our_ranks = device, ranks
        super().__init__(**fields)

    @functools.cached_property
    def _setup_devices(self) -> torch.device:
        self._n_gpu = int(self._our_device.type == "cuda")
        self.distributed_state = None
        return self._our_device

    @property
    def world_size(self) -> int:
        """The number of processes."""
        return self._our_ranks.size

    @property
    def process_index(self) -> int:
        """The number of this process."""
        return self._our_ranks.rank

    @property
    def local_process_index(self) -> int:
        """The number of this process on its machine."""
        return self._our_ranks.local_rank


def derived_arguments(
    device: torch.device,
    ranks: Ranks,
    *,
    output_dir: Path | str | None,
    optimizer: Any,
    precision: str,
    plan: Plan,
    **fields: Any,
) -> TrainingArguments:
    """Arguments that say the same as the plan of a training.

    Args:
        device: The trainer's.
        ranks: The processes.
        output_dir: Where its checkpoints go; None: nowhere.
        optimizer: Its learning rate and weight decay are told.
        precision: "no", "bf16" or "fp16".
        plan: Its loaders' batch sizes are told, how long it is, when it logs, evaluates and saves, and the best metric.
        **fields: Further fields of ``TrainingArguments``, or others than these.
    """
    group, best = optimizer.param_groups[0], plan.best
    told = {
        "output_dir": str(output_dir or "trainer_output"),
        "learning_rate": _number(group.get("initial_lr", group.get("lr")), 0.0),
        "weight_decay": _number(group.get("weight_decay"), 0.0),
        "per_device_train_batch_size": getattr(plan.train_loader, "batch_size", None) or 1,
        "per_device_eval_batch_size": getattr(plan.eval_loader, "batch_size", None) or 1,
        "num_train_epochs": plan.epochs or 1,
        "max_steps": plan.max_steps or -1,
        "logging_strategy": "steps" if plan.log_steps else "epoch",
        "logging_steps": plan.log_steps or 500,
        "eval_strategy": "no" if plan.eval_loader is None else "steps" if plan.eval_steps else "epoch",
        "eval_steps": plan.eval_steps or None,
        "save_strategy": "steps" if plan.save_steps else "epoch" if plan.save_epochs else "no",
        "save_steps": plan.save_steps or 500,
        "metric_for_best_model": None if best is None else best.metric,
        "greater_is_better": None if best is None else best.mode == "max",
        "use_cpu": device.type == "cpu",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    arguments = DerivedArguments(device, ranks, **{**told, **fields})
    # Afterwards, because the constructor asks the hardware, which autocast does itself.
    arguments.bf16, arguments.fp16 = precision == "bf16", precision == "fp16"
    return arguments


def _number(value: Any, default: float) -> float:
    return default if value is None else float(value)
