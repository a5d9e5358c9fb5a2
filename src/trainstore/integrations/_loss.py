"""Where the loss of a step comes from: the tensors that the Trainer computed, read without holding it up.

On the CPU a value is read when its step ends. On an accelerator reading would wait for the device, so values go into a
ring there, by copies on the same stream, and are read when the ring's copy in pinned memory is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import torch

SLOTS = 32  # steps that a ring holds; so many losses, and no steps, a SIGKILL can cost on an accelerator

Values = dict[str, float]


class DirectLoss:
    """Reads each step's loss and gradient norm when the step ends. For the CPU."""

    is_behind = False

    def __init__(self) -> None:
        self._losses: list[Any] = []
        self._grad_norm: Any = None

    def add_loss(self, loss: Any) -> None:
        """What ``training_step`` returned for one micro-batch."""
        self._losses.append(loss)

    def add_grad_norm(self, norm: Any) -> None:
        """What clipping returned, before the optimizer's step."""
        self._grad_norm = norm

    def end_step(self, step: int) -> Values:
        """The values of the step that ends now, as far as they can be read at once."""
        values: Values = {}
        losses, norm = self._losses, self._grad_norm
        if losses:
            total = losses[0]
            if len(losses) > 1:
                # In the order and precision in which the Trainer adds them up.
                total = total.float()
                for loss in losses[1:]:
                    total = total + loss
            values["loss"] = total.item()
            losses.clear()
        if norm is not None:
            values["grad_norm"] = norm.item() if hasattr(norm, "item") else norm
            self._grad_norm = None
        return values

    def later(self, *, wait: bool) -> Iterator[tuple[int, Values]]:
        """Values of earlier steps that have become readable; here there are none."""
        return iter(())

    def discard(self) -> None:
        """Forget the step that has begun: it failed."""
        self._losses.clear()
        self._grad_norm = None


class RingLoss:
    """Keeps loss and gradient norm on the device, and reads them a ring at a time. For accelerators."""

    def __init__(self, device: Any, slots: int = SLOTS) -> None:
        self._slots = slots
        self._device = torch.device(device)
        self._asynchronous = self._device.type == "cuda"
        # Two, so that one can be copied away while the other is written.
        self._rings = [torch.zeros((slots, 2), dtype=torch.float32, device=device) for _ in range(2)]
        self._views = [[[ring[i, 0], ring[i, 1]] for i in range(slots)] for ring in self._rings]
        self._current = 0
        self._steps: list[tuple[int, bool, bool, float | None]] = []  # step, has loss, has norm on the device, norm
        self._has_loss = False
        self._has_norm = False
        self._host_norm: float | None = None
        self._on_their_way: deque[tuple[list[tuple[int, bool, bool, float | None]], Any, Any]] = deque()

    def add_loss(self, loss: Any) -> None:
        """What ``training_step`` returned for one micro-batch: copied, never referred to (CUDA graphs overwrite)."""
        view = self._views[self._current][len(self._steps)][0]
        if loss.requires_grad:
            loss = loss.detach()  # else the ring would become part of the graph, and keep it
        if self._has_loss:
            view.add_(loss)
        else:
            view.copy_(loss, non_blocking=True)
            self._has_loss = True

    def add_grad_norm(self, norm: Any) -> None:
        """What clipping returned. A DTensor is left to the Trainer's log: reading it is a collective."""
        if type(norm) is torch.Tensor:
            self._views[self._current][len(self._steps)][1].copy_(norm.detach(), non_blocking=True)
            self._has_norm = True
        elif isinstance(norm, (int, float)):
            self._host_norm = float(norm)

    def end_step(self, step: int) -> Values:
        """Nothing can be read yet."""
        self._steps.append((step, self._has_loss, self._has_norm, self._host_norm))
        self._has_loss = self._has_norm = False
        self._host_norm = None
        if len(self._steps) == self._slots:
            self._send()
        return {}

    @property
    def is_behind(self) -> bool:
        """Whether values of earlier steps are on their way."""
        return bool(self._on_their_way)

    def _send(self) -> None:
        """Copy the ring to the host, behind what the device still has to do, and write the other one meanwhile."""
        if not self._steps:
            return
        # The other ring may be written again: its copy was queued before, on the same stream.
        host, ready = self._copy_to_host(self._rings[self._current])
        self._on_their_way.append((self._steps, host, ready))
        begun = self._views[self._current][len(self._steps)] if self._has_loss or self._has_norm else None
        self._steps = []
        self._current = 1 - self._current
        if begun is not None:  # in the middle of a step: what it has so far comes along
            for here, there in zip(self._views[self._current][0], begun, strict=True):
                here.copy_(there, non_blocking=True)

    def _copy_to_host(self, ring: Any) -> tuple[Any, Any]:
        """A copy in pinned memory and the event that says when it is there; None: it is there."""
        if not self._asynchronous:
            return ring.to("cpu", copy=True), None
        # "cpu" by name: the user may have set another default device, whose memory cannot be pinned.
        host = torch.empty(ring.shape, dtype=ring.dtype, device="cpu", pin_memory=True)
        host.copy_(ring, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record(torch.cuda.current_stream(self._device))  # of the ring's device, whichever is the current one
        return host, ready

    def later(self, *, wait: bool) -> Iterator[tuple[int, Values]]:
        """Values of earlier steps that have become readable; with ``wait``, of all that ended."""
        if wait:
            self._send()
        while self._on_their_way:
            steps, host, ready = self._on_their_way[0]
            if ready is not None and not ready.query():
                if not wait:
                    return
                ready.synchronize()
            self._on_their_way.popleft()
            for (step, has_loss, has_norm, norm), (loss, device_norm) in zip(steps, host.tolist(), strict=False):
                values: Values = {}
                if has_loss:
                    values["loss"] = loss
                if has_norm or norm is not None:
                    values["grad_norm"] = device_norm if norm is None else norm
                if values:
                    yield step, values

    def discard(self) -> None:
        """Forget the step that has begun: it failed."""
        self._has_loss = self._has_norm = False
        self._host_norm = None
