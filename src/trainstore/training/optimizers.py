"""An optimizer and its learning rates, as an `OptimizerConfig` says."""

from __future__ import annotations

import math
from typing import Any

import torch

from trainstore.training.config import OptimizerConfig, SchedulerConfig


def build_optimizer(config: OptimizerConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a model's parameters that are trained."""
    trained = [one for one in model.parameters() if one.requires_grad]
    decayed = [one for one in trained if config.weight_decay_all or one.dim() > 1]
    others = [one for one in trained if not (config.weight_decay_all or one.dim() > 1)]
    groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": config.weight_decay}] if decayed else []
    groups += [{"params": others, "weight_decay": 0.0}] if others else []
    rate = config.scheduler.lr
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=config.momentum, nesterov=config.nesterov)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, betas=(config.beta1, config.beta2), eps=config.eps)


def build_scheduler(config: SchedulerConfig, optimizer: torch.optim.Optimizer) -> Any:
    """The scheduler that steps with the optimizer; None if the learning rate is constant."""
    if config.name == "constant" and not config.warmup_steps and not config.cooldown_steps:
        return None
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(config, step) / (config.lr or 1.0))


def learning_rate(config: SchedulerConfig, step: int) -> float:
    """The learning rate of a step, from 0."""
    if step < config.warmup_steps:
        return config.lr * step / config.warmup_steps
    decay = config.decay_steps - config.warmup_steps - config.cooldown_steps
    if config.cooldown_steps and step >= config.decay_steps - config.cooldown_steps:
        part = min(1.0, (step - (config.decay_steps - config.cooldown_steps)) / config.cooldown_steps)
        return config.last_lr + (config.cooldown_lr - config.last_lr) * part
    if config.name == "constant":
        return config.lr
    part = min(1.0, (step - config.warmup_steps) / decay)
    if config.name == "linear":
        return config.lr + (config.last_lr - config.lr) * part
    if config.name == "exponential_decay":
        return float(config.lr * (config.last_lr / config.lr) ** part)
    return config.last_lr + (config.lr - config.last_lr) * 0.5 * (1 + math.cos(math.pi * part))
