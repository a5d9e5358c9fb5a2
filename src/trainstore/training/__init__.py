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
from trainstore.training.trainer import Trainer

__all__ = [
    "CallbackConfig",
    "CheckpointConfig",
    "LoggerConfig",
    "MetricAccumulator",
    "OptimizerConfig",
    "SchedulerConfig",
    "Trainer",
    "TrainerConfig",
    "record_intermediate",
    "watch_modules",
]
