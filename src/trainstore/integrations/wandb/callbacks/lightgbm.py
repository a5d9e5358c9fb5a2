"""``wandb.integration.lightgbm``: what it logs, through ``wandb.log``."""

from __future__ import annotations

from typing import Any

from trainstore.integrations import wandb
from trainstore.integrations.wandb.callbacks.begun import direction, log_importance, needs_a_run

__all__ = ["log_summary", "wandb_callback"]


class _Callback:
    """Called after each iteration, with LightGBM's ``CallbackEnv``."""

    order = 20
    before_iteration = False

    def __init__(self, log_params: bool, define_metric: bool) -> None:
        self._log_params = log_params
        self._define_metric = define_metric

    def __call__(self, env: Any) -> None:
        found: dict[str, float] = {}
        for one in env.evaluation_result_list or ():
            if len(one) == 4:  # data, metric, value, whether higher is better
                found[f"{one[0]}_{one[1]}"] = one[2]
            else:  # of cross-validation, also the standard deviation; older releases call all data "cv_agg"
                name = "_".join(one[1].split() if one[0] == "cv_agg" else one[:2])
                found |= {f"{name}-mean": one[2], f"{name}-stdv": one[4]}
        if env.iteration == env.begin_iteration:
            self._begin(env, found)
        wandb.log(found | {"iteration": env.iteration})

    def _begin(self, env: Any, found: dict[str, float]) -> None:
        if self._log_params:
            wandb.config.update(env.params)
        if self._define_metric:
            for name in found:
                wandb.define_metric(name, summary=direction(name.partition("_")[2]))


def wandb_callback(log_params: bool = True, define_metric: bool = True) -> _Callback:
    """A callback that logs each iteration's evaluations as ``valid_0_auc``.

    Args:
        log_params: Whether LightGBM's parameters become hyperparameters.
        define_metric: Whether the summary holds the best value of each metric, not the last.

    Raises:
        Error: ``wandb.init`` was not called.
    """
    needs_a_run("wandb_callback")
    return _Callback(log_params, define_metric)


def log_summary(model: Any, feature_importance: bool = True, save_model_checkpoint: bool = False) -> None:
    """Log a trained booster: its best iteration and score, and the features' importance.

    Args:
        model: A Booster.
        feature_importance: Whether to log it.
        save_model_checkpoint: Not needed here: no models are kept.

    Raises:
        Error: ``wandb.init`` was not called.
    """
    needs_a_run("log_summary")
    wandb.summary.update({"best_iteration": model.best_iteration, "best_score": model.best_score})
    if feature_importance:
        log_importance(zip(model.feature_name(), model.feature_importance(), strict=True))
