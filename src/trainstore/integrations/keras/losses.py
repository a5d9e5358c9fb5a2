"""A batch's own loss. Keras tells the mean over the epoch so far, here the mean before is taken out of it.

After a batch, ``logs["loss"]`` is the mean over all samples of the epoch. With ``m`` the mean over ``n`` samples, the
batches since the mean ``k`` over ``j`` samples had ``(n * m - j * k) / (n - j)``. That needs the sizes of the batches,
which Keras knows of arrays and of a ``DataLoader``; of other data the model's own count is read, where it is at hand.
The means are single-precision numbers, so the result is off by up
to ``3e-7`` of the mean loss for each batch of the epoch so far (measured up to 5,000 batches).

No step waits for the device: ``logs`` are numbers already, made by Keras for its own history and progress bar, and the
count is read after them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import keras

OWN, SO_FAR = "batch_loss", "loss_mean_so_far"


@dataclass(frozen=True)
class Sizes:
    """How many samples the batches of an epoch have.

    Attributes:
        full: All but the last.
        last: The last one.
        batches: Their number; None: not known, and all are alike.
    """

    full: int
    last: int
    batches: int | None

    def until(self, batch: int) -> int:
        """Samples up to this batch, which counts from 0."""
        is_last = self.batches is not None and batch + 1 >= self.batches
        return batch * self.full + (self.last if is_last else self.full)


def sizes_of(frame: FrameType | None) -> Sizes | None:
    """The batches of the fit that is calling, from its iterator; None if nobody knows their sizes."""
    while frame is not None and "epoch_iterator" not in frame.f_code.co_varnames:
        frame = frame.f_back
    iterator = None if frame is None else frame.f_locals.get("epoch_iterator")
    adapter: Any = getattr(iterator, "data_adapter", None)
    full = getattr(adapter, "batch_size", None)
    if not isinstance(full, int):
        return None
    batches = adapter.num_batches
    loader = getattr(adapter, "_dataloader", None)
    if loader is None:
        partial = adapter.partial_batch_size or 0
    else:  # Keras counts the data set, not what the sampler takes of it
        partial = 0 if loader.drop_last else len(loader.sampler) % full
    if partial and getattr(iterator, "steps_per_epoch", None) is not None:
        return None  # the smaller batch comes anywhere, as the next epoch goes on where this one stopped
    return Sizes(full, partial or full, batches if partial else None)


class Losses:
    """Which values of a batch's logs are recorded, and under which names. One for each fit.

    Args:
        model: Its metrics are told as means over the epoch; what else a ``train_step`` of your own returns is not.
        sizes: Of its batches.
    """

    def __init__(self, model: Any, sizes: Sizes | None) -> None:
        self._model = model
        self._is_keras_step = type(model).train_step is keras.Model.train_step
        self._sizes = sizes if self._is_keras_step else None  # another one may weigh its batches differently
        self._metrics: set[str] | None = None
        self._thread = threading.get_ident()
        self._counter: Any = None

    def samples_until(self, batch: int) -> int | None:
        """How many samples of the epoch have been trained with, up to the batch that has just ended.

        None: nobody knows, or another thread may be training with the next ones by now.
        """
        if self._sizes is not None:
            return self._sizes.until(batch)
        in_training = threading.get_ident() == self._thread and keras.backend.backend() in ("torch", "tensorflow")
        if not self._is_keras_step or not in_training:
            return None
        if self._counter is None:
            self._counter = next((one for one in self._model.metrics if one.name == "loss"), None)
        count = getattr(self._counter, "count", None)
        return None if count is None else int(keras.ops.convert_to_numpy(count))

    def told_by_itself(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """Values that a ``train_step`` of your own returned, and that are this batch's alone."""
        if self._is_keras_step:
            return {}
        if self._metrics is None:  # they exist once a batch has been trained
            self._metrics = _names(self._model)
        return {f"batch_{name}": value for name, value in logs.items() if name not in self._metrics}

    def of_batches(self, mean: float, samples: int | None, before: tuple[float, int]) -> dict[str, float]:
        """The mean loss of the batches since the last record.

        Args:
            mean: Over the epoch so far.
            samples: In it.
            before: The same of the last record; 0 samples: there was none.
        """
        mean_before, samples_before = before
        if samples is None:
            return {SO_FAR: mean} if self._metrics is None or "loss" in self._metrics else {}
        if not samples_before:
            return {OWN: mean}
        if not math.isfinite(mean_before) or samples <= samples_before:
            return {}  # the mean stays what it is until the epoch ends, whatever comes
        return {OWN: (samples * mean - samples_before * mean_before) / (samples - samples_before)}


def _names(model: Any) -> set[str]:
    """The names of a model's metrics in its logs."""
    try:
        return set(model.get_metrics_result()) | {metric.name for metric in model.metrics}
    except Exception:  # noqa: BLE001 - one of your own that has no result yet
        return {metric.name for metric in model.metrics}


@dataclass
class Epoch:
    """The batches of one epoch, put into order: Keras may tell of them in threads of its own.

    Attributes:
        number: From 0.
        step: The optimizer's steps before it.
        batches: How many batches it has, if that is known.
        stride: Batches of an optimizer step, times the steps from one record to the next.
        accumulated: Batches of an optimizer step: more than one with gradient accumulation.
        skipped: Batches of the first optimizer step that were in the epoch before.
        told_at_once: Batches of which Keras tells together (``steps_per_execution``).
    """

    number: int
    step: int
    batches: int | None
    stride: int = 1
    accumulated: int = 1
    skipped: int = 0
    told_at_once: int = 1
    _last: int = -1  # batch that was put into order
    _recorded: tuple[float, int] = (0.0, 0)  # mean and samples
    _waiting: dict[int, tuple[Mapping[str, Any], int | None]] = field(default_factory=dict)

    def add(self, batch: int, logs: Mapping[str, Any], losses: Losses) -> Iterator[tuple[int, float, dict[str, Any]]]:
        """A batch has ended: step, epoch and values of what can be recorded now."""
        if self.batches is not None:
            batch = min(batch, self.batches - 1)  # told together with batches that are not there
        self._waiting[batch] = (logs, losses.samples_until(batch))
        while (due := self._due()) in self._waiting:
            yield from self._record(due, *self._waiting.pop(due), losses)

    def rest(self, losses: Losses) -> Iterator[tuple[int, float, dict[str, Any]]]:
        """The epoch is over: whatever still waits."""
        for batch in sorted(self._waiting):
            yield from self._record(batch, *self._waiting.pop(batch), losses)

    @property
    def ended_batches(self) -> int:
        """How many batches have ended."""
        return self._last + 1

    def _due(self) -> int:
        batch = self._last + self.told_at_once
        return batch if self.batches is None else min(batch, self.batches - 1)

    def _record(
        self, batch: int, logs: Mapping[str, Any], samples: int | None, losses: Losses
    ) -> Iterator[tuple[int, float, dict[str, Any]]]:
        before, self._last = self._last, batch
        trained = self.skipped + batch + 1
        if trained // self.stride == (self.skipped + before + 1) // self.stride:
            return
        values = losses.told_by_itself(logs)
        if "loss" in logs:
            values.update(losses.of_batches(logs["loss"], samples, self._recorded))
            self._recorded = (logs["loss"], samples or 0)
        share = (batch + 1) / self.batches if self.batches else 0.0
        yield self.step + trained // self.accumulated, self.number + share, values
