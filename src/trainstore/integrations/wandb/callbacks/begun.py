"""What the callbacks have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainstore.integrations import wandb


def needs_a_run(callback: str) -> None:
    """Raise ``wandb.Error`` unless a run was begun: as W&B's callbacks do, before the training."""
    if wandb.run is None:
        raise wandb.Error(f"{callback} records into the run of wandb.init, which was not called yet")


def log_importance(importance: Iterable[tuple[str, Any]]) -> None:
    """Log how important features are, as a bar chart whose rows are kept as samples."""
    rows = [[name, float(value)] for name, value in importance]
    table = wandb.Table(data=rows, columns=["Feature", "Importance"])
    wandb.log({"Feature Importance": wandb.plot.bar(table, "Feature", "Importance", title="Feature Importance")})


def direction(metric: str) -> str | None:
    """Which value of a metric of boosting is the best, "min" or "max"; None if its name does not tell."""
    name = metric.lower().partition("@")[0]
    if name in ("auc", "aucpr", "ndcg", "map", "average_precision"):
        return "max"
    known = ("rmse", "rmsle", "mae", "mape", "mphe", "error", "merror", "l1", "l2", "huber", "fair", "poisson", "gamma")
    return "min" if "loss" in name or name in known else None
