"""``wandb.integration.xgboost``: what it logs, through ``wandb.log``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import xgboost

from trainstore.integrations import wandb
from trainstore.integrations.wandb.callbacks.begun import direction, log_importance, needs_a_run

__all__ = ["WandbCallback"]


class WandbCallback(xgboost.callback.TrainingCallback):  # type: ignore[misc]
    """Logs each round's evaluations as ``validation_0-logloss``, the booster's configuration and the best round.

    Args:
        log_model: Not needed here: no models are kept.
        log_feature_importance: Whether to log the features' importance after the training.
        importance_type: Of which kind.
        define_metric: Whether the summary holds the best value of each metric, not the last.

    Raises:
        Error: ``wandb.init`` was not called.
    """

    def __init__(
        self,
        log_model: bool = False,
        log_feature_importance: bool = True,
        importance_type: str = "gain",
        define_metric: bool = True,
    ) -> None:
        super().__init__()
        needs_a_run("WandbCallback")
        self.log_feature_importance = log_feature_importance
        self.importance_type = importance_type
        self.define_metric = define_metric

    def before_training(self, model: Any) -> Any:
        """Record the booster's configuration."""
        wandb.config.update(json.loads(model.save_config()))
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Sequence[Any]]]) -> bool:
        """Log a round."""
        latest = {
            (data, metric): values[-1] for data, metrics in evals_log.items() for metric, values in metrics.items()
        }
        if self.define_metric:
            self.define_metric = False
            for data, metric in latest:
                wandb.define_metric(f"{data}-{metric}", summary=direction(metric))
        wandb.log({f"{data}-{metric}": value for (data, metric), value in latest.items()} | {"epoch": epoch})
        return False

    def after_training(self, model: Any) -> Any:
        """Log the best round, and the features' importance."""
        if self.log_feature_importance:
            log_importance(model.get_score(importance_type=self.importance_type).items())
        if model.attr("best_score") is not None:
            best = {"best_score": float(model.attr("best_score")), "best_iteration": int(model.attr("best_iteration"))}
            wandb.log(best)
        return model
