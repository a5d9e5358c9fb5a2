"""`EarlyStoppingCallback`: ends a training when a metric has not become better for some evaluations."""

from __future__ import annotations

import math
from typing import Any

from trainstore.callbacks.arguments import positive_int
from trainstore.callbacks.base import Callback
from trainstore.callbacks.best_metric import BestMetric
from trainstore.run import ActiveRun


class EarlyStoppingCallback(Callback):
    """Ends a training when a metric has not become better for `patience` evaluations in a row.

    It needs neither ``load_best_model_at_end`` nor ``metric_for_best_model``. An event ``no_improvement`` in the run
    says why it ended: ``{metric, mode, best, best_step, patience}``. Evaluations whose metric is NaN count as not
    better. A training that is resumed goes on counting, if its checkpoints keep ``state.stateful_callbacks``, as those
    of ``transformers.Trainer`` do.

    Args:
        patience: How many evaluations it waits.
        threshold: By how much a value must be better to count.
        metric: The metric's name; ``eval_`` in front of it may be left out.
        mode: "min" or "max", which values are better. None: as the name says, "min" if it does not.
        run: The run to write into. None: the one that the `TrainStoreCallback` of the same trainer records.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    every_rank = True  # all of them must stop

    def __init__(
        self,
        patience: int = 3,
        threshold: float = 0.0,
        metric: str = "eval_loss",
        mode: str | None = None,
        *,
        run: ActiveRun | None = None,
    ) -> None:
        super().__init__(run=run)
        self.patience = positive_int("patience", patience, "evaluations")
        self._best = BestMetric(metric, mode, threshold)
        self.name = f"EarlyStoppingCallback({self._best.metric})"
        self.count = 0  # evaluations since the best one

    @property
    def _key(self) -> str:
        return f"trainstore.EarlyStoppingCallback({self._best.metric})"

    def target(self) -> object | None:
        """Two wait for two metrics."""
        return self._best.metric

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to count, or go on after a resume."""
        self.warn_without_evaluations(args, "the training is not stopped early")
        self._best.reset()
        self.count = 0
        saved = getattr(state, "stateful_callbacks", None) or {}
        if state.global_step and self._key in saved:
            attributes = saved[self._key]["attributes"]
            self._best.value, self._best.step = float(attributes["best"]), int(attributes["best_step"])
            self.count = int(attributes["count"])

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Count an evaluation, and stop the training after too many."""
        step = state.global_step
        value = self._best.find(metrics, step)
        if value is None:
            self._tell_missing(step)
            return
        self.count = 0 if self._best.improve(value, step) else self.count + 1
        self._save(state)
        if self.count >= self.patience:
            control.should_training_stop = True
            self._tell(step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Whether there was something to wait for."""
        self._tell_missing(None)

    def _save(self, state: Any) -> None:
        """Put the count into all later checkpoints."""
        saved = getattr(state, "stateful_callbacks", None)
        if isinstance(saved, dict):
            # As text: JSON has no infinity.
            attributes = {"best": str(self._best.value), "best_step": self._best.step, "count": self.count}
            saved[self._key] = {"args": {}, "attributes": attributes}

    def _tell(self, step: int) -> None:
        run = self.run
        if run is not None:
            best = self._best
            details = {
                "metric": best.metric,
                "mode": best.mode,
                "best": best.value if math.isfinite(best.value) else None,
            }
            run.log_event("no_improvement", step, {**details, "best_step": best.step, "patience": self.patience})

    def _tell_missing(self, step: int | None) -> None:
        if self._best.is_missing(step):
            self.warn_once(f"no evaluation has {self._best.metric}; the training is not stopped early")
