"""Follows one metric over the evaluations of a training: which value is the best, and whether it comes at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trainstore.errors import InvalidArgumentError
from trainstore.queries.metric_names import better_direction
from trainstore.values import scalar_of

MODES = ("min", "max")


class BestMetric:
    """The best value of a metric so far.

    Args:
        metric: Its name; ``eval_`` in front of it may be left out.
        mode: "min" or "max", which values are better. None: as the name says, "min" if it does not.
        threshold: By how much a value must be better.

    Attributes:
        value: The best value; infinite before the first one.
        step: The step of that value; -1 before the first one.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    def __init__(self, metric: str, mode: str | None, threshold: float = 0.0) -> None:
        if not isinstance(metric, str) or not metric:
            raise InvalidArgumentError(f"metric {metric!r} is not the name of a metric, such as 'eval_loss'")
        if mode is not None and mode not in MODES:
            raise InvalidArgumentError(f"mode {mode!r} is not 'min' or 'max'")
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold < math.inf:
            raise InvalidArgumentError(f"threshold {threshold!r} is not a number from 0 on")
        self.metric = metric
        self.mode = mode or better_direction(metric) or "min"
        self.threshold = threshold
        self.reset()

    def reset(self) -> None:
        """Before the first value."""
        self.value = math.inf if self.mode == "min" else -math.inf
        self.step = -1
        self._missed_at: int | None = None  # the step of the first evaluation without it, if none had it
        self._is_found = False

    def find(self, metrics: Any, step: int) -> float | None:
        """The value among the results of an evaluation; None if it is not there, or no number."""
        if isinstance(metrics, Mapping):
            for name in (self.metric, f"eval_{self.metric}"):
                if name in metrics:
                    number = scalar_of(metrics[name])
                    if isinstance(number, (int, float)):
                        self._is_found = True
                        return float(number)
        if self._missed_at is None:
            self._missed_at = step
        return None

    def is_among(self, metrics: Mapping[str, Any]) -> bool:
        """Whether these metrics have it, whatever its value."""
        return self.metric in metrics or f"eval_{self.metric}" in metrics

    def improve(self, value: float, step: int) -> bool:
        """Whether a value is better than all before, which NaN never is. It is then the best one."""
        gain = self.value - value if self.mode == "min" else value - self.value
        if not gain > self.threshold:
            return False
        self.value, self.step = value, step
        return True

    def is_missing(self, step: int | None = None) -> bool:
        """Whether evaluations before this step had results, and none of them this metric.

        The evaluations of one step belong together: several data sets have a metric of their own each.
        """
        return not self._is_found and self._missed_at is not None and self._missed_at != step
