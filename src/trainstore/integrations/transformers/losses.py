"""Where the loss of a step comes from: the tensors that the Trainer computed, read without delaying it.

On the CPU a value is read when its step ends. On an accelerator reading would wait for the device. So values are copied
into a ring on the device, on the same stream, and read when the ring's copy in pinned memory is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from ctypes import c_float
from typing import Any

import torch
from torch import Tensor

from trainstore.integrations.transformers.incomplete import Unreadable, raise_it

SLOTS = 32  # steps that a ring holds: a SIGKILL can lose that many losses, but no steps, on an accelerator
COLUMNS = ("loss", "grad_norm", "learning_rate")  # of a ring

Values = dict[str, float]
_Slot = tuple[int, set[int], Values]  # a step, its columns on the device, its values that are on the host already


def _is_readable(norm: Any) -> bool:
    """Whether one rank may read it alone: reading a DTensor is a collective, which the other ranks would not join."""
    return type(norm) is torch.Tensor or isinstance(norm, (int, float))


def _sum(losses: list[Any]) -> float:
    """The sum of a step's micro-batch losses, in the order and precision in which the Trainer adds them up."""
    if not isinstance(losses[0], Tensor):
        return float(sum(losses))
    if losses[0].dtype is torch.float32:
        # Much faster in Python than with tensors, and exact: the sum of two float32 in float64, rounded to float32, is
        # their float32 sum.
        total = losses[0].item()
        for loss in losses[1:]:
            total = c_float(total + loss.item()).value
        return float(total)
    total = losses[0].float()
    for loss in losses[1:]:
        total = total + loss
    return float(total.item())


class DirectLoss:
    """Reads each step's loss and gradient norm when the step ends. For the CPU."""

    reads_at_once = True  # no value comes later
    is_behind = False

    def __init__(self) -> None:
        self._losses: list[Any] = []
        self._grad_norm: Any = None
        # Called with what was returned for one micro-batch: a tensor or a number. A method of ours would cost more.
        self.add_loss: Callable[[Any], None] = self._losses.append

    @property
    def has_loss(self) -> bool:
        """Whether the step under way has a loss."""
        return bool(self._losses)

    def add_grad_norm(self, norm: Any) -> None:
        """What clipping returned, before the optimizer's step. A DTensor is left to the Trainer's log."""
        if type(norm) is Tensor or _is_readable(norm):
            self._grad_norm = norm

    def end_step(self, step: int, unreadable: Unreadable = raise_it) -> Values:
        """The values of the step that is ending, as far as they can be read."""
        values: Values = {}
        losses, norm = self._losses, self._grad_norm
        if losses:
            try:
                values["loss"] = losses[0].item() if len(losses) == 1 and type(losses[0]) is Tensor else _sum(losses)
            except Exception as error:  # noqa: BLE001 - a user's trainer may return anything as its loss
                unreadable("loss", error)
            losses.clear()
        if norm is not None:
            self._grad_norm = None
            try:
                values["grad_norm"] = norm.item() if isinstance(norm, Tensor) else float(norm)
            except Exception as error:  # noqa: BLE001
                unreadable("grad_norm", error)
        return values

    def later(self, *, wait: bool) -> Iterator[tuple[int, Values]]:
        """Values of earlier steps that have become readable: here, none."""
        return iter(())

    def discard(self) -> None:
        """Forget the step that has begun: it failed."""
        self._losses.clear()
        self._grad_norm = None


class RingLoss:
    """Keeps loss and gradient norm on the device, and reads a whole ring of them at a time. For accelerators."""

    reads_at_once = False

    def __init__(self, device: Any, slots: int = SLOTS) -> None:
        self._slots = slots
        self._device = torch.device(device)
        self._asynchronous = self._device.type == "cuda"
        # Two, so that one can be written while the other is copied to the host.
        shape = (slots, len(COLUMNS))
        self._rings = [torch.zeros(shape, dtype=torch.float32, device=device) for _ in range(2)]
        self._views = [[list(row) for row in ring] for ring in self._rings]  # [ring][slot][column]
        self._current = 0
        self._steps: list[_Slot] = []  # the steps that ended, in the current ring
        self._held: set[int] = set()  # columns that the step under way has written
        self._host_values: Values = {}  # values of the step under way that were never on the device
        self._on_their_way: deque[tuple[list[_Slot], Any, Any]] = deque()

    @property
    def has_loss(self) -> bool:
        """Whether the step under way has a loss."""
        return 0 in self._held or "loss" in self._host_values

    def add_loss(self, loss: Any) -> None:
        """What ``training_step`` returned for one micro-batch. Copied, as CUDA graphs overwrite it."""
        if not isinstance(loss, Tensor):
            self._host_values["loss"] = self._host_values.get("loss", 0.0) + float(loss)
            return
        if 0 not in self._held:
            self._write(0, loss)
            return
        if loss.requires_grad:
            loss = loss.detach()
        self._views[self._current][len(self._steps)][0].add_(loss)

    def add_grad_norm(self, norm: Any) -> None:
        """What clipping returned. A DTensor is left to the Trainer's log."""
        if not _is_readable(norm):
            return
        if isinstance(norm, torch.Tensor):
            self._write(1, norm)
        else:
            self._host_values["grad_norm"] = float(norm)

    def add_learning_rate(self, rate: Any) -> None:
        """A learning rate that an optimizer keeps on the device."""
        self._write(2, rate)

    def _write(self, column: int, value: Any) -> None:
        if value.requires_grad:
            value = value.detach()  # otherwise the ring would join its graph and keep it alive
        self._views[self._current][len(self._steps)][column].copy_(value, non_blocking=True)
        self._held.add(column)

    def end_step(self, step: int, unreadable: Unreadable = raise_it) -> Values:
        """Nothing can be read yet."""
        self._steps.append((step, self._held, self._host_values))
        self._held, self._host_values = set(), {}
        if len(self._steps) == self._slots:
            self._send()
        return {}

    @property
    def is_behind(self) -> bool:
        """Whether values of earlier steps are on their way."""
        return bool(self._on_their_way)

    def _send(self) -> None:
        """Start copying the ring to the host, after the work that the device has queued; write to the other ring."""
        if not self._steps:
            return
        # The other ring may be written again: its copy was queued before, on the same stream.
        host, ready = self._copy_to_host(self._rings[self._current])
        self._on_their_way.append((self._steps, host, ready))
        slot, before = len(self._steps), self._current
        self._steps = []
        self._current = 1 - before
        for column in self._held:  # in the middle of a step: its values so far move to the other ring
            self._views[self._current][0][column].copy_(self._views[before][slot][column], non_blocking=True)

    def _copy_to_host(self, ring: Any) -> tuple[Any, Any]:
        """A copy in pinned memory, and the event that tells when it is complete; None: it already is."""
        if not self._asynchronous:
            return ring.to("cpu", copy=True), None
        # "cpu" explicitly: the user may have set another default device, whose memory cannot be pinned.
        host = torch.empty(ring.shape, dtype=ring.dtype, device="cpu", pin_memory=True)
        host.copy_(ring, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record(torch.cuda.current_stream(self._device))  # of the ring's device, which may not be the current one
        return host, ready

    def later(self, *, wait: bool) -> Iterator[tuple[int, Values]]:
        """Values of earlier steps that have become readable; with ``wait``, of all steps that ended."""
        if wait:
            self._send()
        while self._on_their_way:
            steps, host, ready = self._on_their_way[0]
            if ready is not None and not ready.query():
                if not wait:
                    return
                ready.synchronize()
            self._on_their_way.popleft()
            for (step, held, values), row in zip(steps, host.tolist(), strict=False):
                values |= {COLUMNS[column]: row[column] for column in held}
                if values:
                    yield step, values

    def discard(self) -> None:
        """Forget the step that has begun: it failed."""
        self._held, self._host_values = set(), {}


def reader_for(args: Any) -> DirectLoss | RingLoss:
    """The reader for the losses of a training with these arguments, by their device."""
    return DirectLoss() if args.device.type == "cpu" else RingLoss(args.device)
