"""The processes that train one model together: who is who, how the model and the data are divided, what they exchange.

``torch.distributed`` is used directly: accelerate keeps its settings in a state of the whole process, which another
trainer in the same process may reset.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from trainstore.errors import TrainStoreError
from trainstore.training.sharding import check_mesh, is_sharded

logger = logging.getLogger("trainstore")


class Ranks:
    """The process group, which torchrun's variables ask for or the user has made; or this process alone.

    Args:
        device: The model's.
        mesh: A ``DeviceMesh`` with the dimensions "dp", "fsdp" or both; None: copies of the model in all processes.

    Attributes:
        is_sharded: Whether the model's parameters are divided over processes.
        rank: This process's number among all.
        local_rank: Its number on this machine.
        size: How many there are.
    """

    def __init__(self, device: torch.device, mesh: Any = None) -> None:
        if distributed.is_available() and not distributed.is_initialized() and _variable("WORLD_SIZE", 1) > 1:
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        is_group = distributed.is_available() and distributed.is_initialized()
        self.rank: int = distributed.get_rank() if is_group else 0
        self.size: int = distributed.get_world_size() if is_group else 1
        self.local_rank = _variable("LOCAL_RANK", self.rank if is_group else 0)
        check_mesh(mesh, self.size)
        self.is_sharded, self._mesh = is_sharded(mesh), mesh

    @property
    def is_main(self) -> bool:
        """Whether this process writes, and is recorded."""
        return self.rank == 0

    def divide_model(self, model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
        """The model that computes: its gradients are averaged over the processes. Alone: the model itself."""
        if self.size == 1 or self.is_sharded or not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        group = None if self._mesh is None else self._mesh.get_group("dp")
        ids = [device.index] if device.type == "cuda" and device.index is not None else None
        return torch.nn.parallel.DistributedDataParallel(model, device_ids=ids, process_group=group)

    def divide_data(self, loader: Any, *, pads: bool) -> Any:
        """A loader of this process's part of the data.

        Args:
            loader: A loader of all of it. One with a sampler of its own, or of an iterable data set, is left as it is,
                with a warning: it has to divide the data itself.
            pads: Whether all processes get as many examples, as training needs it, by repeating some.
        """
        if self.size == 1 or not isinstance(loader, DataLoader) or isinstance(loader.sampler, DistributedSampler):
            return loader
        sampler = loader.sampler
        plain = type(sampler) in (RandomSampler, SequentialSampler) and not getattr(sampler, "replacement", False)
        if isinstance(loader.dataset, IterableDataset) or not plain or type(loader.batch_sampler) is not BatchSampler:
            logger.warning(
                "each of the %d processes reads all of %s: give it a DistributedSampler, or a data set that divides "
                "itself",
                self.size,
                type(loader).__name__,
            )
            return loader
        shuffle = type(sampler) is RandomSampler
        size: Any = len(loader.dataset)
        divided: Any = (
            DistributedSampler(
                loader.dataset, self.size, self.rank, shuffle=shuffle, seed=0, drop_last=loader.drop_last
            )
            if pads
            else range(self.rank, size, self.size)
        )
        return DataLoader(
            loader.dataset,
            batch_size=loader.batch_size,
            sampler=divided,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            drop_last=loader.drop_last,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=loader.generator,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=loader.persistent_workers,
        )

    def gather(self, value: Any) -> list[Any]:
        """The value of each process, in their order; on all of them."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def do_on_main(self, work: Callable[[], None]) -> None:
        """Do something in the main process; if that raises an error of ours, it is raised in all of them."""
        if self.size == 1:
            work()
            return
        box: list[TrainStoreError | None] = [None]
        if self.is_main:
            try:
                work()
            except TrainStoreError as error:
                box = [error]
        distributed.broadcast_object_list(box, src=0)
        if box[0] is not None:
            raise box[0]

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        total: float = sum(self.gather(value))
        return total / self.size

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()


def _variable(name: str, default: int) -> int:
    try:
        return int(os.environ.get(name) or default)
    except ValueError:
        return default
