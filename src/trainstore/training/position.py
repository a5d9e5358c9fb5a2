"""Where in its data a training is, so that it can go on from there as if it had never stopped.

What an epoch's batches are is decided when its iterator is made: the order, and the seeds of the workers. So a
checkpoint holds the random states of that moment. A training that goes on goes back to it, makes the iterator, takes
the batches that it has had and discards them; then it goes on with the random states of the checkpoint.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch

from trainstore.errors import CheckpointError, InvalidArgumentError
from trainstore.training.random_states import random_states, restore_random_states

logger = logging.getLogger("trainstore")

WAYS = ("batches", "sampler", "loader")


class Position:
    """The epoch under way, and how many of its batches were taken.

    Args:
        device: Whose random states are kept beside the processor's.
        skip_data: How to come back to the middle of an epoch. "batches": load them once more and discard them, which is
            exact. "sampler": draw their indices and load nothing, which is exact if nothing in the data is random.
            "loader": by the loader's ``state_dict()``.

    Attributes:
        epoch: From 0.
        taken: Batches of it.
        eval_loader: What is evaluated on; its generators belong to the position, too.

    Raises:
        InvalidArgumentError: Another ``skip_data``.
    """

    def __init__(self, device: torch.device, skip_data: str = "batches") -> None:
        if skip_data not in WAYS:
            raise InvalidArgumentError(f"skip_data {skip_data!r} is not one of {', '.join(map(repr, WAYS))}")
        self.epoch = self.taken = 0
        self.eval_loader: Any = None
        self._device, self._way = device, skip_data
        self._loader: Any = None  # of the epoch under way
        self._start: dict[str, Any] | None = None  # the states when its iterator was made
        self._is_over = False  # whether the iterator has said that it has no more: some draw a last number then
        self._resumed: dict[str, Any] | None = None  # loaded, and its batches not gone back to yet
        self._is_restored = False  # whether its random states are

    def taken_in(self, epoch: int) -> int:
        """How many batches of this epoch were taken."""
        return self.taken if epoch == self.epoch else 0

    def batches(self, loader: Any, epoch: int) -> Iterator[Any]:
        """The batches of an epoch that have not been taken."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None and epoch == self.epoch:
            rest = self._go_back(loader, epoch, resumed)
        else:
            self.taken = 0
            _set_epoch(loader, epoch)
            self._start = self._states(loader)
            rest = iter(loader)
        self.epoch, self._loader, self._is_over = epoch, loader, False
        for batch in rest:
            self.taken += 1
            yield batch
        self._is_over = True

    def end_epoch(self) -> None:
        """All that is to be taken was taken."""
        self.epoch, self.taken = self.epoch + 1, 0
        self._start = None
        if self._resumed is not None:  # it had taken the last one before
            over = {"epoch": self.epoch, "taken": 0, "is_over": False, "start": None, "loader": None}
            self._resumed = {**self._resumed, **over}

    def _states(self, loader: Any) -> dict[str, Any]:
        """What decides the order of an epoch's batches, and what is in them."""
        generators = states_of_generators(loader)
        return {"random": random_states(self._device), "generators": generators}

    # --- Checkpoints ------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The position, between two steps."""
        if self._resumed is not None:  # nothing was taken since
            drawn = {
                "now": random_states(self._device),
                "eval_generators": states_of_generators(self.eval_loader),
            }
            return {**self._resumed, **(drawn if self._is_restored else {})}
        keeps_loader = self._way == "loader" and self.taken and hasattr(self._loader, "state_dict")
        return {
            "epoch": self.epoch,
            "taken": self.taken,
            "is_over": self._is_over,
            "start": self._start,
            "now": random_states(self._device),
            "generators": states_of_generators(self._loader),
            "eval_generators": states_of_generators(self.eval_loader),
            "workers": getattr(self._loader, "num_workers", None),
            "loader": self._loader.state_dict() if keeps_loader else None,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from here: `batches` goes back to it."""
        self.epoch, self.taken = saved["epoch"], saved["taken"]
        self._resumed, self._is_restored = saved, False

    def restore(self) -> None:
        """Go back to the random states; `batches` goes back to the rest."""
        if self._resumed is not None:
            restore_random_states(self._resumed["now"], self._device)
            restore_generators(self.eval_loader, self._resumed["eval_generators"])
            self._is_restored = True

    def _go_back(self, loader: Any, epoch: int, saved: dict[str, Any]) -> Iterator[Any]:
        """The iterator of an epoch that was under way, behind the batches that were taken."""
        start = saved["start"]
        _set_epoch(loader, epoch)
        if start is None:  # it has not begun
            restore_generators(loader, saved["generators"])
            self._start = self._states(loader)
            return iter(loader)
        self._warn(loader, saved)
        restore_generators(loader, start["generators"])
        restore_random_states(start["random"], self._device)
        self._start = start
        rest = self._skipped(loader, saved)
        if saved["is_over"]:
            next(rest, None)
        restore_generators(loader, saved["generators"])
        restore_generators(self.eval_loader, saved["eval_generators"])
        restore_random_states(saved["now"], self._device)
        return rest

    def _skipped(self, loader: Any, saved: dict[str, Any]) -> Iterator[Any]:
        taken = saved["taken"]
        if saved["loader"] is not None:
            loader.load_state_dict(saved["loader"])
            going_on: Iterator[Any] = iter(loader)
            return going_on
        if self._way == "sampler" and _has_indices(loader):
            return _without_first(loader, taken)
        rest: Iterator[Any] = iter(loader)
        _take(rest, taken)
        return rest

    def _warn(self, loader: Any, saved: dict[str, Any]) -> None:
        """Say once what cannot be exact."""
        workers = getattr(loader, "num_workers", None)
        reason = None
        if isinstance(loader, Iterator):
            reason = "the data loader is an iterator, which does not begin again"
        elif workers != saved["workers"]:
            reason = f"the data loader has {workers} workers, and had {saved['workers']}"
        elif getattr(loader, "persistent_workers", False):
            reason = "persistent_workers keep the random states of earlier epochs, which a new process does not have"
        if reason is not None:
            logger.warning("the training goes on, but its data may differ from those of the unbroken one: %s", reason)


def _generators(loader: Any) -> list[torch.Generator]:
    """The random generators of a data loader, each once."""
    if loader is None:
        return []
    if isinstance(loader, Mapping):  # several data sets to evaluate on
        return [one for part in loader.values() for one in _generators(part)]
    sampler, batch_sampler = getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)
    owners = (loader, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found = {id(one): one for one in (getattr(owner, "generator", None) for owner in owners)}
    return [one for one in found.values() if isinstance(one, torch.Generator)]


def states_of_generators(loader: Any) -> list[Any]:
    """The states of a data loader's random generators."""
    return [one.get_state() for one in _generators(loader)]


def restore_generators(loader: Any, states: list[Any]) -> None:
    """Go back to what `states_of_generators` has returned."""
    for generator, state in zip(_generators(loader), states, strict=False):
        generator.set_state(state)


def _set_epoch(loader: Any, epoch: int) -> None:
    """Tell everything that orders the data by the epoch's number."""
    for one in (
        getattr(loader, "sampler", None),
        getattr(loader, "batch_sampler", None),
        getattr(loader, "dataset", None),
    ):
        set_epoch = getattr(one, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)


def _has_indices(loader: Any) -> bool:
    """Whether a loader's batches can be passed over by their indices."""
    data = torch.utils.data
    return (
        isinstance(loader, data.DataLoader)
        and loader.batch_sampler is not None
        and not isinstance(loader.dataset, data.IterableDataset)
    )


class _Rest:
    """The batches of indices behind the first ones.

    The first are drawn when a loader would draw them, not before: its samplers take their seeds at the first batch.
    """

    def __init__(self, batch_sampler: Any, count: int) -> None:
        self._batch_sampler, self._count = batch_sampler, count

    def __len__(self) -> int:
        return max(0, len(self._batch_sampler) - self._count)

    def __iter__(self) -> Iterator[Any]:
        self._indices = iter(self._batch_sampler)
        self._left = self._count
        return self

    def __next__(self) -> Any:
        self.skip()
        return next(self._indices)

    def skip(self) -> None:
        """Draw the first indices, unless that was done."""
        count, self._left = self._left, 0
        _take(self._indices, count)


def _without_first(loader: Any, count: int) -> Iterator[Any]:
    """A loader's iterator whose first batches are not loaded: their indices are drawn, and dropped."""
    rest = _Rest(loader.batch_sampler, count)
    other = copy.copy(loader)
    vars(other).update(batch_sampler=rest, _iterator=None)  # a loader forbids setting its sampler
    batches: Iterator[Any] = iter(other)
    rest.skip()
    return batches


def _take(batches: Iterator[Any], count: int) -> None:
    found = sum(1 for _ in islice(batches, count))
    if found < count:
        raise CheckpointError(
            f"the checkpoint was made after {count} batches of the epoch, and the data loader gives {found}: go on "
            "with the same data and batch size"
        )
