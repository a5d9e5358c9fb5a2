"""`TrainStoreCallback` for CatBoost: each iteration of ``fit`` of its estimators."""

from __future__ import annotations

from typing import Any

from trainstore.integrations.boosting import Best, BoostingCallback, Training
from trainstore.integrations.calls import Call, watch
from trainstore.integrations.libraries import needs

with needs("catboost", extra="catboost"):
    import catboost

__all__ = ["TrainStoreCallback"]

for _estimator in (catboost.CatBoost, catboost.CatBoostClassifier, catboost.CatBoostRegressor, catboost.CatBoostRanker):
    watch("fit", _estimator)


class TrainStoreCallback(BoostingCallback):
    """Records a training of CatBoost: ``model.fit(…, callbacks=[TrainStoreCallback(store)])``.

    Metrics are called ``learn-Logloss`` and ``validation-Logloss``, the data set's name before the metric's. The step
    is the number of the iteration, from 0 as CatBoost prints it; ``init_model`` continues it.

    Args:
        store_or_run: An open run, which is left open; an open `TrainStore`; a path or URL; None: ``TRAINSTORE_URL``,
            else ``trainstore.db``.
        project, name, tags, hyperparams: As for `TrainStore.start_run`.
        resume: The run that a training with ``init_model`` continues: a handle, a record, a uid, an id or a name.
            None: every training is a run of its own.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
        TrainStoreError: When training begins: a store that cannot be opened for a reason that you can mend; no run as
            `resume` says.
    """

    _source = "catboost"

    def after_iteration(self, info: Any) -> bool:
        """Record the iteration's metrics."""
        call = self._call
        if call is not None and call not in self._trainings:
            self._begin_with(call, info.iteration)
        training = self._training
        if training is not None:
            with training.recording.guard("an iteration"):
                metrics = {}
                for data, results in info.metrics.items():
                    for metric, values in results.items():
                        name = f"{data}-{metric}"
                        if len(values) != training.memory.get(name):  # metric_period leaves iterations out
                            training.memory[name] = len(values)
                            metrics[name] = float(values[-1])
                training.log(training.memory["offset"] + info.iteration, metrics)
        return True  # False would end the training

    def _begin_with(self, call: Call, iteration: int) -> None:
        """The first iteration of this call: 1, or the one after a snapshot's."""
        model, continued = call.arguments["self"], call.arguments.get("init_model")
        if continued is not None and not isinstance(continued, catboost.CatBoost):
            continued = catboost.CatBoost().load_model(continued)
        offset = (0 if continued is None else continued.tree_count_) - 1
        names = ("early_stopping_rounds", "use_best_model")
        given = {name: call.arguments[name] for name in names if call.arguments.get(name) is not None}
        self._begin(model, offset + iteration, None, {**model.get_params(), **given})
        if self._training is not None:
            self._training.memory["offset"] = offset

    def _facts(self, model: Any) -> dict[str, Any]:
        return {"model_class": type(model).__name__}

    def _ending(self, error: BaseException) -> tuple[str, str | None]:
        """An exception in a callback comes as the text of CatBoost's own, whose last line says which it was."""
        status, text = super()._ending(error)
        if isinstance(error, catboost.CatBoostError) and "Traceback (most recent call last)" in str(error):
            cause = str(error).strip().rpartition("\n")[2]
            return "interrupted" if cause == "KeyboardInterrupt" else status, f"{cause}\n{text}"
        return status, text

    def _best(self, training: Training) -> Best | None:
        model, given = training.model, training.model.get_params()
        params = model.get_all_params()  # with those that CatBoost chose itself
        start = training.memory["offset"] + 1
        if "iterations" in params:  # of which a snapshot has some already
            training.rounds = params["iterations"] - (training.first_step - start)
        training.run.log_hyperparams({"features": model.n_features_in_, "trees": model.tree_count_}, "mth")
        if "learning_rate" in params and not {"learning_rate", "eta"} & set(given):
            training.run.log_hyperparams({"learning_rate": params["learning_rate"]})
        if model.best_iteration_ is None:
            return None
        # It counts the iterations of this training, a snapshot's too.
        return Best(model.best_iteration_, start + model.best_iteration_, model.best_score_)
