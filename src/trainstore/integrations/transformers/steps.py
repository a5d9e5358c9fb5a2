"""Turns the events of one training's steps into the rows of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from time import perf_counter
from typing import Any, NamedTuple

import torch

from trainstore.integrations.protocol import TRANSFORMERS, Protocol
from trainstore.integrations.transformers.incomplete import Unreadable, raise_it
from trainstore.integrations.transformers.losses import DirectLoss, RingLoss, Values
from trainstore.recording.records import now
from trainstore.run import ActiveRun

SELF_CHECK_TOLERANCE = 1e-3  # relative; the Trainer sums a window in float32

ADDED_LATER = frozenset({"step_time", "epoch"})  # to the metrics of a step that ends

Doubt = tuple[Any, ...]  # a message and its arguments


def _rate_on_host(rate: Any) -> Any:
    """A learning rate as a number; None if it is on the optimizer's device, or if the optimizer computes it itself.

    A tensor is read now, because the scheduler changes it in place.
    """
    if isinstance(rate, (float, int)):
        return rate
    if isinstance(rate, torch.Tensor):
        return rate.item() if rate.device.type == "cpu" else None  # reading it would wait for the device
    return None if rate is None else float(rate)


def raise_error(error: Exception) -> None:
    """Raise it: for a recorder that is used by itself."""
    raise error


def without_logged(metrics: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    """The results of an evaluation without those just logged (the same objects under the same names)."""
    return {key: value for key, value in metrics.items() if key not in logged or logged[key] is not value}


def name_of_loss(logs: Mapping[str, Any], protocol: Protocol = TRANSFORMERS) -> str:
    """The name under which a logged loss is recorded: whether it is the trainer's own, a mean, or somebody else's."""
    return "loss_window" if protocol.own_log in logs else "logged_loss"


def _examples(inputs: Any) -> int:
    """How many examples a batch has: the length of its first tensor; 0 if it does not begin with one."""
    while not isinstance(inputs, torch.Tensor):
        if isinstance(inputs, (list, tuple)) and inputs:
            inputs = inputs[0]
        elif isinstance(inputs, Mapping):
            inputs = next(iter(inputs.values()), None)
        else:
            return 0
    shape = inputs.shape
    return int(shape[0]) if shape else 1


class _EndedStep(NamedTuple):
    """A step that is not recorded yet: the Trainer is about to log, and one record will hold both."""

    metrics: dict[str, float]
    step: int
    epoch: float
    step_time: float  # seconds
    at: int  # microseconds since 1970


class StepRecorder:
    """What is known about the step under way, and about the window since the Trainer's last log.

    One for each training, called by the callback's hooks in the training's thread. ``reader`` reads the true loss of
    each step; without it there are only the means that the Trainer logs. ``unreadable`` is called for each field of a
    step that cannot be read; the rest of the step is recorded. ``protocol`` is that of the trainer;
    ``lost`` is called with the reason if a step that was held back cannot be recorded.
    """

    def __init__(
        self,
        run: ActiveRun,
        reader: DirectLoss | RingLoss | None,
        global_step: int,
        unreadable: Unreadable = raise_it,
        protocol: Protocol = TRANSFORMERS,
        lost: Callable[[Exception], None] = raise_error,
    ) -> None:
        self.run = run
        self.reader = reader
        self.more_metrics: Callable[[], Mapping[str, Any] | None] | None = None  # of the step that ends
        self._unreadable = unreadable
        self._protocol = protocol
        self._lost = lost
        self.last_step = -1  # that ended
        self._learning_rate: float | None = None  # of all parameter groups
        self._learning_rates: dict[str, Any] = {}  # if there are several
        self._tokens = self._samples = 0
        self.idle_since = perf_counter()
        # The hook on_step_begin sets both. A log or an evaluation within a step moves idle_since, so the wait for data
        # is measured when the step begins. None: no step has begun.
        self.step_began: float | None = None
        self.data_time = 0.0
        self._window_first = global_step + 1
        self._window_sum = 0.0
        self._window_count = 0
        self._logged: tuple[int, dict[str, Any]] = (-1, {})
        self.held: _EndedStep | None = None

    def go_on_with(self, total: float, count: int) -> None:
        """The window has begun before: so many losses of this sum came since the Trainer's last log."""
        self._window_first -= count
        self._window_sum, self._window_count = total, count

    def begin_epoch(self) -> None:
        """The wait for the first batch begins. A step that the previous epoch left unfinished is dropped."""
        if self.reader is not None:
            self.reader.discard()
        self._tokens = self._samples = 0
        self.idle_since = perf_counter()

    def add_loss(self, loss: Any) -> None:
        """The loss of a micro-batch, or of a whole step, is computed."""
        try:
            self.reader.add_loss(loss)  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001 - a user's trainer may return anything as its loss
            self._unreadable("loss", error)

    def add_inputs(self, inputs: Any) -> None:
        """A micro-batch has these inputs."""
        try:
            # The type is compared first because isinstance() is slow with an abstract class.
            kind = type(inputs)
            if kind is dict or (kind is not list and kind is not tuple and isinstance(inputs, Mapping)):
                ids = inputs.get("input_ids")
                if ids is not None:
                    self._tokens += ids.numel()  # the shape is known on the host: no wait for a device
                    return
            if self._protocol.counts_samples:
                self._samples += _examples(inputs)
        except Exception as error:  # noqa: BLE001 - input_ids may be a list, or not there yet
            self._unreadable("tokens", error)

    def add_grad_norm(self, norm: Any) -> None:
        """The gradients were clipped."""
        try:
            self.reader.add_grad_norm(norm)  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001
            self._unreadable("grad_norm", error)

    def before_optimizer(self, optimizer: Any) -> None:
        """Keep the learning rate of this step: when the step ends, the scheduler has already changed it."""
        self._learning_rate, self._learning_rates = None, {}
        try:
            groups = optimizer.param_groups
            first = groups[0].get("lr")
            for group in groups:
                rate = group.get("lr")
                if type(rate) is not float or rate != first:
                    self._learning_rates = self._several_rates(groups)
                    return
            self._learning_rate = first
        except Exception as error:  # noqa: BLE001 - a user's optimizer may lack any of it
            self._unreadable("learning_rate", error)

    def _several_rates(self, groups: Any) -> dict[str, Any]:
        """The learning rates by name, if those of the groups differ or are not plain numbers."""
        rates: dict[str, Any] = {}
        first: Any = None
        for index, group in enumerate(groups):
            name = f"learning_rate_{index}" if index else "learning_rate"
            try:
                given = group.get("lr")
                rate = _rate_on_host(given)
                if index == 0:
                    first = rate
                    if rate is None and isinstance(self.reader, RingLoss) and isinstance(given, torch.Tensor):
                        self.reader.add_learning_rate(given)
                if rate is not None and (index == 0 or rate != first):
                    rates[name] = rate
            except Exception as error:  # noqa: BLE001
                self._unreadable(name, error)
        return rates

    def end_step(self, step: int, epoch: float, *, log_follows: bool = False) -> None:
        """Record the step: all of it on the CPU; on an accelerator, loss and gradient norm follow later.

        If a log follows at once, the step is held for it. Whatever comes instead must call `release`.
        """
        began, ended, reader = self.step_began, perf_counter(), self.reader
        self.step_began = None
        if step == self.last_step and (reader is None or not reader.has_loss):
            return  # some trainers begin a step at an epoch's end, and find no data for it
        self.last_step = step
        metrics = {} if reader is None else reader.end_step(step, self._unreadable)
        if "loss" in metrics:
            self._window_sum += metrics["loss"]
            self._window_count += 1
        rate = self._learning_rate
        if rate is None:
            metrics.update(self._learning_rates)
        else:
            metrics["learning_rate"] = rate
        if self._tokens:
            metrics["tokens"] = self._tokens
            self._tokens = 0
        if self._samples:
            metrics["samples"] = self._samples
            self._samples = 0
        if began is None:  # a loop that does not say when a step begins
            began = self.idle_since
        else:
            metrics["data_time"] = self.data_time
        is_plain = self.more_metrics is None or self._add_more(metrics)
        if is_plain and rate is not None and type(epoch) is float and type(step) is int:
            if log_follows:
                self.held = _EndedStep(metrics, step, epoch, ended - began, now())
            else:
                self.run.log_measured(metrics, step, epoch, ended - began)
        else:
            metrics["step_time"] = ended - began
            self.run.log(metrics, step, epoch)
        if reader is not None and reader.is_behind:
            self.catch_up(wait=False)
        self.idle_since = perf_counter()

    def _add_more(self, metrics: dict[str, Any]) -> bool:
        """Add the metrics that the trainer itself has of this step; whether they can be stored as they are."""
        try:
            more = self.more_metrics()  # type: ignore[misc]
            if not more:
                return True
            for name, value in more.items():
                if name not in metrics and name not in ADDED_LATER:
                    metrics[name] = value
            return self.run._metrics.are_plain(metrics)
        except Exception as error:  # noqa: BLE001 - a user's step may return anything
            self._unreadable("step_metrics", error)
            return False

    def release(self) -> None:
        """Record the step that is held, if there is one: what comes next is not its log."""
        held, self.held = self.held, None
        if held is not None:
            try:
                self.run.log_measured(*held)
            except Exception as error:  # noqa: BLE001
                self._lost(error)

    def catch_up(self, *, wait: bool) -> None:
        """Record the losses and gradient norms that have reached the host; with ``wait``, wait for all of them."""
        if self.reader is None or self.reader.reads_at_once:
            return
        arrived: list[tuple[int, Values]] = []
        try:
            arrived.extend(self.reader.later(wait=wait))
        except Exception as error:  # noqa: BLE001 - a device that failed takes its last losses along
            self._unreadable("loss", error)
        for step, values in arrived:
            if self.held is not None and step == self.held.step:
                self.held.metrics.update(values)
            else:
                self.run.log(values, step)
            if "loss" in values:
                self._window_sum += values["loss"]
                self._window_count += 1

    def log(self, logs: Any, step: int) -> Doubt | None:
        """Record what the Trainer logs; the mean loss since its last log becomes ``loss_window``.

        A loss that somebody else logs becomes ``logged_loss``: the row's ``loss`` is the one that was measured.

        Returns:
            If the recorded losses do not match the window's mean: a message that says so. Otherwise None.
        """
        if self.reader is not None and not self.reader.reads_at_once:
            self.catch_up(wait=True)  # costs nothing: the Trainer has just waited for the device
        if step < self.last_step:
            step = self.last_step  # the best model was loaded, and with it the number of its step
        if type(logs) is not dict and not isinstance(logs, Mapping):  # of another library: kept as an event
            self.release()
            self.run.log(logs, step)
            return None
        if not logs:
            return None
        metrics = dict(logs)
        if self._protocol.logged_as and self._protocol.own_log in logs:
            metrics = {self._protocol.logged_as.get(name, name): value for name, value in logs.items()}
        epoch = metrics.pop("epoch", None)
        details = doubt = None
        if "loss" in metrics:
            # Another library's trainer, whose losses are not measured, may log them alone.
            own = name_of_loss(logs, self._protocol) == "loss_window"
            name = "loss_window" if own or self.reader is None else "logged_loss"
            logged = metrics[name] = metrics.pop("loss")
            if name == "loss_window":
                details = {"loss_window": {"first_step": self._window_first, "last_step": step}}
            if own:
                doubt = self._end_window(logged, step)
        held, both = self.held, self._with_held(metrics, step, epoch)
        if held is not None and both is not None:
            self.run.log_measured(both, held.step, held.epoch, held.step_time, held.at, details)
            self.held = None
        else:
            self.release()
            self.run.log(metrics, step, epoch, details)
        self._logged = (step, metrics)
        self.idle_since = perf_counter()
        return doubt

    def _with_held(self, metrics: dict[str, Any], step: int, epoch: Any) -> dict[str, Any] | None:
        """The metrics of the step that is held, and these: for one record, unless they contradict each other."""
        held = self.held
        if held is None or held.step != step or epoch != held.epoch or not self.run._metrics.are_plain(metrics):
            return None
        both = held.metrics | metrics
        return both if both == metrics | held.metrics else None

    def log_results(self, metrics: Any, step: int) -> None:
        """Record the results of an evaluation that were not logged already."""
        self.release()
        if not isinstance(metrics, Mapping):
            self.run.log(metrics, step)
            return
        logged_at, logged = self._logged
        left = without_logged(metrics, logged if step == logged_at else {})
        epoch = left.pop("epoch", None)
        if left:
            self.run.log(left, step, epoch)
        self.idle_since = perf_counter()

    def leave_out(self, seconds: float) -> None:
        """So many seconds until now belong neither to the step under way nor to the wait for data."""
        if self.step_began is None:
            self.idle_since += seconds
        else:
            self.step_began += seconds

    def pause(self) -> None:
        """Something other than training took place until now."""
        self.release()
        self.idle_since = perf_counter()

    def _end_window(self, logged: Any, step: int) -> Doubt | None:
        first, total, count = self._window_first, self._window_sum, self._window_count
        self._window_first, self._window_sum, self._window_count = step + 1, 0.0, 0
        if self.reader is None or step < first:  # the same step logged twice
            return None
        if count != step - first + 1:
            return "the Trainer logs the mean loss of the steps %d to %d; %d losses were seen", first, step, count
        if not isinstance(logged, (int, float)):
            return None
        mean = total / count
        # A mean that is not finite cannot be compared: the Trainer filters NaNs out, or carries them into later means.
        if isfinite(mean) and abs(mean - logged) > SELF_CHECK_TOLERANCE * max(abs(mean), abs(logged)) + 1e-6:
            return "the mean of the recorded losses does not match the logged one (%g and %g)", mean, float(logged)
        return None
