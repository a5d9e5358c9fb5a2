"""Trainers of our own: `Trainer` for any PyTorch model, `TrainerModule` from configurations.

Importing this loads torch and transformers.
"""

from trainstore.training.config import (
    CallbackConfig,
    CheckpointConfig,
    LoggerConfig,
    OptimizerConfig,
    SchedulerConfig,
    TrainerConfig,
)
from trainstore.training.intermediates import record_intermediate, watch_modules
from trainstore.training.metrics import MetricAccumulator
from trainstore.training.module import TrainerModule
from trainstore.training.module_hooks import ModuleCallback
from trainstore.training.trainer import Trainer

__all__ = [
    "CallbackConfig",
    "CheckpointConfig",
    "LoggerConfig",
    "MetricAccumulator",
    "ModuleCallback",
    "OptimizerConfig",
    "SchedulerConfig",
    "Trainer",
    "TrainerConfig",
    "TrainerModule",
    "record_intermediate",
    "watch_modules",
]
