"""Trainers of our own: `Trainer` for any PyTorch model. Importing this loads torch and transformers."""

from trainstore.training.trainer import Trainer

__all__ = ["Trainer"]
