"""`MetricAccumulator`: the metrics of many steps, added up on the device and read once when they are logged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from trainstore.errors import InvalidArgumentError
from trainstore.training.ranks import Ranks
from trainstore.values import scalar_of

POSTFIXES = {"mean": "_mean", "mean_nopostfix": "", "single": "_single", "max": "_max", "std": "_std"}
PARTS = ("value", "count", "log_modes")


def check_log_modes(name: str, modes: Any) -> tuple[str, ...]:
    """Modes in which a metric is logged. Raises InvalidArgumentError for an unknown one.

    Args:
        name: Whose modes, for the message.
        modes: Some of "mean", "mean_nopostfix", "single", "max", "std".
    """
    known = ", ".join(POSTFIXES)
    if isinstance(modes, (str, bytes)) or not isinstance(modes, Iterable):
        raise InvalidArgumentError(f"{name} {modes!r} is not a list of modes, such as ['mean', 'max']")
    found = tuple(modes)
    wrong = next((mode for mode in found if mode not in POSTFIXES), None)
    if wrong is not None or not found:
        given = f"the mode {wrong!r}" if found else "no mode"
        raise InvalidArgumentError(f"{name} has {given}; the modes are {known}")
    return found


@dataclass
class Sums:
    """What is kept of one metric. Numbers, or tensors of one element on the device.

    Attributes:
        modes: How it is logged.
        total: The sum of its values.
        count: The sum of their counts.
        last: The last step's value divided by its count.
        maximum: The largest of these.
        first: The sum of these,
        squares: and of their squares.
        steps: How many there are.
    """

    modes: list[str]
    total: Any = 0.0
    count: Any = 0.0
    last: Any = 0.0
    maximum: Any = float("-inf")
    first: Any = 0.0
    squares: Any = 0.0
    steps: int = 0

    def add(self, value: Any, count: Any) -> None:
        """A step has this sum over so many elements."""
        self.total = self.total + value
        self.count = self.count + count
        self.steps += 1
        if self.modes == ["mean"] or self.modes == ["mean_nopostfix"]:
            return
        self.last = mean = value if _is_one(count) else _divide(value, count)
        if "max" in self.modes:
            self.maximum = _larger(self.maximum, mean)
        if "std" in self.modes:
            self.first = self.first + mean
            self.squares = self.squares + mean * mean

    def merge(self, later: Sums) -> None:
        """Add what another one has, which comes later; both hold numbers."""
        self.total += later.total
        self.count += later.count
        self.maximum = later.maximum if later.maximum != later.maximum else max(self.maximum, later.maximum)
        self.first += later.first
        self.squares += later.squares
        self.last, self.steps = later.last, self.steps + later.steps

    def values(self, name: str) -> dict[str, float]:
        """What is logged, when all are numbers."""
        found: dict[str, float] = {}
        for mode in self.modes:
            if mode in ("mean", "mean_nopostfix"):
                value = _divide(self.total, self.count)
            elif mode == "max":
                value = self.maximum
            elif mode == "single":
                value = self.last
            else:
                mean = self.first / self.steps
                value = max(0.0, self.squares / self.steps - mean * mean) ** 0.5 if mean == mean else mean
            found[name + POSTFIXES[mode]] = float(value)
        return found


def _is_one(count: Any) -> bool:
    return not isinstance(count, torch.Tensor) and count == 1


def _divide(value: Any, count: Any) -> Any:
    if isinstance(value, torch.Tensor) or isinstance(count, torch.Tensor):
        return value / count  # 0 / 0 is NaN, without a read
    return value / count if count else float("nan")


def _larger(first: Any, second: Any) -> Any:
    if isinstance(first, torch.Tensor) or isinstance(second, torch.Tensor):
        tensor = first if isinstance(first, torch.Tensor) else second
        return torch.maximum(
            *(torch.as_tensor(one, dtype=tensor.dtype, device=tensor.device) for one in (first, second))
        )
    return second if second != second else first if first != first else max(first, second)


class MetricAccumulator:
    """Adds up metrics over steps.

    A metric is a number, a tensor of one element, or ``{"value": sum, "count": n, "log_modes": […]}``: the sum over n
    elements, tokens for example, so that steps of different sizes count as they should. ``count`` and ``log_modes`` may
    be left out.

    ==================  ====================================================  ==============
    mode                what is logged                                        as
    ==================  ====================================================  ==============
    ``mean``            the sum of the values divided by that of the counts   ``loss_mean``
    ``mean_nopostfix``  the same                                              ``loss``
    ``single``          the last step's value divided by its count            ``loss_single``
    ``max``             the largest of these                                  ``loss_max``
    ``std``             their standard deviation, all steps counting alike    ``loss_std``
    ==================  ====================================================  ==============

    Nothing is read from an accelerator before `take`, which reads once.

    Args:
        log_modes: Of metrics that name none.
        fixed: Whether these are also the modes of metrics that name others, as in an evaluation.

    Raises:
        InvalidArgumentError: An unknown mode.
    """

    def __init__(self, log_modes: Sequence[str] = ("mean",), *, fixed: bool = False) -> None:
        self._modes = list(check_log_modes("log_modes", log_modes))
        self._fixed = fixed
        self._sums: dict[str, Sums] = {}
        self._step: dict[str, tuple[Any, Any]] = {}  # of micro-batches whose step has not ended

    def add(self, metrics: Mapping[str, Any], size: int = 1, log_modes: Sequence[str] | None = None) -> None:
        """The metrics of a micro-batch; `end_step` follows the last one of a step.

        Args:
            metrics: By name.
            size: The count of metrics that name none.
            log_modes: Of metrics that name none, instead of the accumulator's.

        Raises:
            InvalidArgumentError: A metric that is not one number, or has an unknown mode.
        """
        for name, metric in metrics.items():
            value, count, modes = self._parts(name, metric, size)
            sums = self._sums.get(name)
            if sums is None:
                self._sums[name] = sums = Sums(list(modes or log_modes or self._modes))
            before = self._step.get(name)
            self._step[name] = (value, count) if before is None else (before[0] + value, before[1] + count)

    def _parts(self, name: str, metric: Any, size: int) -> tuple[Any, Any, Any]:
        modes: Any = None
        if isinstance(metric, Mapping):
            wrong = next((key for key in metric if key not in PARTS), None)
            if wrong is not None or "value" not in metric:
                problem = f"has {wrong!r}" if wrong is not None else "has no 'value'"
                raise InvalidArgumentError(f"the metric {name!r} {problem}: a metric has 'value', 'count', 'log_modes'")
            modes = None if self._fixed else metric.get("log_modes")
            if modes is not None and name not in self._sums:
                modes = check_log_modes(f"the metric {name!r}", modes)
            return _number(name, metric["value"]), _number(name, metric.get("count", 1)), modes
        value = _number(name, metric)
        return (value, 1, None) if size == 1 else (value * size, size, None)

    def end_step(self) -> None:
        """The step's micro-batches are all added."""
        for name, (value, count) in self._step.items():
            self._sums[name].add(value, count)
        self._step.clear()

    def discard(self) -> None:
        """Forget the metrics of a step that was not finished."""
        self._step.clear()

    @property
    def is_empty(self) -> bool:
        """Whether no step was added since the last `take`."""
        return not any(sums.steps for sums in self._sums.values())

    # --- Reading ----------------------------------------------------------------------------------------------------

    def read(self) -> dict[str, Sums]:
        """The sums as numbers, by one read of the device."""
        names = [name for name, sums in self._sums.items() if sums.steps]
        fields = ("total", "count", "last", "maximum", "first", "squares")
        numbers = iter(_to_numbers([getattr(self._sums[name], one) for name in names for one in fields]))
        found = {}
        for name in names:
            sums = self._sums[name]
            values: dict[str, Any] = {one: next(numbers) for one in fields}
            found[name] = replace(sums, modes=list(sums.modes), **values)
        return found

    def take(self, ranks: Ranks | None = None, into: MetricAccumulator | None = None) -> dict[str, float]:
        """What is logged, and begin anew.

        Args:
            ranks: Processes whose metrics are taken together; all of them call this. Largest values and standard
                deviations are those of each process's steps.
            into: Another accumulator, which is given the sums.
        """
        found = self.read()
        if ranks is not None and ranks.size > 1:
            found = _merged(ranks.gather({name: asdict(sums) for name, sums in found.items()}))
        if into is not None:
            into.merge(found)
        self._sums.clear()
        return {key: value for name, sums in found.items() for key, value in sums.values(name).items()}

    def merge(self, found: Mapping[str, Sums]) -> None:
        """Add sums that hold numbers."""
        for name, sums in found.items():
            if name in self._sums:
                self._sums[name].merge(sums)
            else:
                self._sums[name] = Sums(**{**asdict(sums), "modes": list(self._modes if self._fixed else sums.modes)})

    def state_dict(self) -> dict[str, Any]:
        """The sums as plain numbers, between two steps."""
        return {name: asdict(sums) for name, sums in self.read().items()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from these."""
        self._sums = {name: Sums(**sums) for name, sums in saved.items()}
        self._step.clear()


def reads_at_once(value: torch.Tensor) -> bool:
    """Whether a read waits for nobody: numbers are added up faster than tensors."""
    return bool(value.device.type == "cpu")


def _number(name: str, value: Any) -> Any:
    """A Python number, or a tensor of one element in the precision of sums; a copy, which nobody changes."""
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise InvalidArgumentError(
                f"the metric {name!r} has {value.numel()} values: give one, or their sum as 'value' and their "
                "number as 'count'"
            )
        if reads_at_once(value):
            return float(value.item())
        exact = torch.float32 if value.device.type == "mps" else torch.float64
        value = value.detach()
        return (value if value.dim() == 0 else value.reshape(())).to(exact, copy=True)
    number = scalar_of(value)
    if isinstance(number, (bool, int, float)):
        return float(number)
    raise InvalidArgumentError(f"the metric {name!r} is {value!r}, not a number")


def _to_numbers(values: list[Any]) -> list[float]:
    """Tensors as numbers: one read of each device that they are on."""
    found: list[Any] = list(values)
    places: dict[torch.device, list[int]] = {}
    for place, value in enumerate(values):
        if isinstance(value, torch.Tensor):
            places.setdefault(value.device, []).append(place)
    for indices in places.values():
        for place, number in zip(indices, torch.stack([values[index] for index in indices]).tolist(), strict=True):
            found[place] = number
    return [float(value) for value in found]


def _merged(parts: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Sums]:
    """The sums of all processes; ``single`` is the mean of what they have."""
    found: dict[str, Sums] = {}
    lasts: dict[str, list[float]] = {}
    for part in parts:
        for name, fields in part.items():
            sums = Sums(**fields)
            lasts.setdefault(name, []).append(sums.last)
            if name in found:
                found[name].merge(sums)
            else:
                found[name] = sums
    for name, sums in found.items():
        sums.last = sum(lasts[name]) / len(lasts[name])
    return found
