"""`TrainStoreCallback` for LightGBM: each boosting iteration of ``train``, ``cv`` and the scikit-learn estimators."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from trainstore.integrations.boosting import Best, BoostingCallback, Training
from trainstore.integrations.calls import watch
from trainstore.integrations.libraries import needs

with needs("lightgbm", extra="lightgbm"):
    import lightgbm
    import lightgbm.engine
    import lightgbm.sklearn

__all__ = ["TrainStoreCallback"]

watch("train", lightgbm.engine, lightgbm, lightgbm.sklearn)
watch("cv", lightgbm.engine, lightgbm)


class TrainStoreCallback(BoostingCallback):
    """Records a training of LightGBM: ``lightgbm.train(…, callbacks=[TrainStoreCallback(store)])``.

    Metrics are called ``valid_0-binary_logloss``, the data set's name before the metric's; those of ``cv``
    ``valid-binary_logloss-mean`` and ``-stdv``. The step is the number of the iteration, from 0; ``init_model``
    continues it. In a distributed training only the first worker of ``machines`` records.

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

    _source = "lightgbm"
    order = 25  # before early_stopping, which ends the training by an exception
    before_iteration = False

    def __call__(self, env: Any) -> None:
        """An iteration has ended: record its evaluations."""
        if env.iteration == env.begin_iteration and _is_first_worker(env.params):
            self._begin(env.model, env.iteration, env.end_iteration - env.begin_iteration, _hyperparams(env))
        training = self._training
        if training is not None:
            with training.recording.guard("an iteration"):
                metrics: dict[str, float] = {}
                for data, metric, value, _, *deviation in env.evaluation_result_list or ():
                    # Before 4.7, `cv` called the data set "cv_agg", and the metric "valid auc".
                    name = metric.replace(" ", "-", 1) if data == "cv_agg" else f"{data}-{metric}"
                    _add(metrics, name, value, deviation[0] if deviation else None)
                rate = env.params.get("learning_rate")
                if rate != training.memory.setdefault("learning_rate", rate):  # lightgbm.reset_parameter changed it
                    metrics["learning_rate"] = float(rate)
                training.log(env.iteration, metrics)
        if env.iteration == env.end_iteration - 1:
            self._end_unless_watched()

    def _facts(self, model: Any) -> dict[str, Any]:
        boosters = getattr(model, "boosters", None)
        booster = model if boosters is None else boosters[0]
        folds = boosters and len(boosters)
        return {"model_class": type(booster).__name__, "features": booster.num_feature(), "folds": folds}

    def _best(self, training: Training) -> Best | None:
        iteration = training.model.best_iteration
        if iteration < 1:
            return None
        is_of_cv = hasattr(training.model, "boosters")  # it has a method of every name, and no score
        return Best(iteration, iteration - 1, None if is_of_cv else training.model.best_score)


def _add(metrics: dict[str, float], name: str, value: Any, deviation: Any) -> None:
    """One value, or mean and standard deviation over the folds of ``cv``."""
    if deviation is None:
        metrics[name] = float(value)
    else:
        metrics[f"{name}-mean"], metrics[f"{name}-stdv"] = float(value), float(deviation)


def _hyperparams(env: Any) -> dict[str, Any]:
    """The parameters of the training under way."""
    told = {name: value for name, value in env.params.items() if name != "machines"}
    return {**told, "num_iterations": env.end_iteration - env.begin_iteration}


def _is_first_worker(params: dict[str, Any]) -> bool:
    """Whether this process comes first in the list of a distributed training's workers; it alone records."""
    machines = str(params.get("machines") or "").split(",")
    if len(machines) < 2:
        return True
    host, _, port = machines[0].strip().rpartition(":")
    own = {"localhost", "127.0.0.1", socket.gethostname()}
    with suppress(OSError):
        own.update(socket.gethostbyname_ex(socket.gethostname())[2])
    return host in own and port == str(params.get("local_listen_port"))
