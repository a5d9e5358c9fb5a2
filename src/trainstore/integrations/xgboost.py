"""`TrainStoreCallback` for XGBoost: each boosting iteration of ``train``, ``cv`` and the scikit-learn estimators."""

from __future__ import annotations

from typing import Any

from trainstore.integrations.boosting import Best, BoostingCallback, Training
from trainstore.integrations.calls import call_under_way, watch
from trainstore.integrations.libraries import needs

with needs("xgboost", extra="xgboost"):
    import xgboost
    import xgboost.sklearn
    from xgboost import collective
    from xgboost.callback import TrainingCallback

__all__ = ["TrainStoreCallback"]

watch("train", xgboost.training, xgboost, xgboost.sklearn)
watch("cv", xgboost.training, xgboost)


class TrainStoreCallback(BoostingCallback, TrainingCallback):  # type: ignore[misc]
    """Records a training of XGBoost: ``xgboost.train(…, callbacks=[TrainStoreCallback(store)])``.

    Metrics are called as XGBoost prints them: ``train-logloss``; those of ``cv`` ``test-logloss-mean`` and ``-std``.
    The step is the number of the iteration, from 0; ``xgb_model`` continues it. In a distributed training only
    the worker of rank 0 records.

    Args:
        store_or_run: An open run, which is left open; an open `TrainStore`; a path or URL; None: ``TRAINSTORE_URL``,
            else ``trainstore.db``.
        project, name, tags, hyperparams: As for `TrainStore.start_run`.
        resume: The run that a training with ``xgb_model`` continues: a handle, a record, a uid, an id or a name.
            None: every training is a run of its own.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
        TrainStoreError: When training begins: a store that cannot be opened for a reason that you can mend; no run as
            `resume` says.
    """

    _source = "xgboost"

    def before_training(self, model: Any) -> Any:
        """Begin a run, or go on with one."""
        if collective.get_rank() == 0:
            hyperparams = _hyperparams()
            self._begin(model, int(model.num_boosted_rounds()), hyperparams.get("num_boost_round"), hyperparams)
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Record the iteration's evaluations."""
        training = self._training
        if training is not None:
            with training.recording.guard("an iteration"):
                training.memory["evals_log"] = evals_log  # XGBoost's own, to which it adds
                training.log(training.first_step + epoch, _metrics(evals_log))
        return False  # True would end the training

    def after_training(self, model: Any) -> Any:
        """The training is over."""
        training = self._training
        if training is not None:
            with training.recording.guard("an iteration"):
                self._add_last(training)
        self._end_unless_watched()
        return model

    @staticmethod
    def _add_last(training: Training) -> None:
        """The iteration after which an earlier callback of the list stopped the training: the others are not told."""
        evals_log = training.memory.get("evals_log") or {}
        evaluated = max((len(values) for results in evals_log.values() for values in results.values()), default=0)
        told = 0 if training.last_step is None else training.last_step - training.first_step + 1
        if told < evaluated:
            training.log(training.first_step + evaluated - 1, _metrics(evals_log))

    def _facts(self, model: Any) -> dict[str, Any]:
        folds = getattr(model, "cvfolds", None)
        booster = model if folds is None else folds[0].bst
        return {
            "model_class": type(booster).__name__,
            "features": int(booster.num_features()),
            "folds": folds and len(folds),
        }

    def _best(self, training: Training) -> Best | None:
        iteration = training.model.attr("best_iteration")
        if iteration is None or int(iteration) < training.first_step:  # that of the model that was continued
            return None
        return Best(int(iteration), int(iteration), float(training.model.attr("best_score")))


def _metrics(evals_log: Any) -> dict[str, float]:
    """The evaluations of the last iteration, by the names with which XGBoost prints them."""
    metrics: dict[str, float] = {}
    for data, results in evals_log.items():
        for metric, values in results.items():
            _add(metrics, f"{data}-{metric}", values[-1])
    return metrics


def _add(metrics: dict[str, float], name: str, value: Any) -> None:
    """One value, or mean and standard deviation over the folds of ``cv``."""
    if isinstance(value, tuple):
        metrics[f"{name}-mean"], metrics[f"{name}-std"] = map(float, value)
    else:
        metrics[name] = float(value)


def _hyperparams() -> dict[str, Any]:
    """The parameters of the training under way, as it was called with them; empty if the call is not known."""
    call = call_under_way("xgboost")
    if call is None:
        return {}
    given = call.arguments
    params = given.get("params") or {}
    told = dict(params if isinstance(params, dict) else list(params))
    names = ("num_boost_round", "early_stopping_rounds", "nfold", "stratified", "seed")
    return {**told, **{name: given[name] for name in names if name in given}}
