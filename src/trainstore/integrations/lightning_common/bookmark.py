"""What a checkpoint says of its run, and how far a training has come."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from trainstore.errors import InvalidArgumentError
from trainstore.recording.opening import check_resume, step_of, uid_of

KEY = "trainstore"  # beside Lightning's own keys: among its callbacks' states it would ask for our callback


@dataclass(frozen=True)
class Bookmark:
    """The run that a checkpoint belongs to, and the last step that its weights have seen (-1: none)."""

    run_uid: str
    lineage: list[list[Any]]
    step: int

    def write(self, checkpoint: dict[str, Any]) -> None:
        """Put it into a checkpoint, beside those of loggers into other stores."""
        checkpoint[KEY] = [*checkpoint.get(KEY, []), asdict(self)]


def bookmarks_in(checkpoint: Any) -> list[Bookmark]:
    """What a checkpoint carries, without what makes no sense."""
    found = checkpoint.get(KEY) if isinstance(checkpoint, dict) else None
    marks = map(_bookmark, found if isinstance(found, list) else [])
    return [mark for mark in marks if mark is not None]


def _bookmark(content: Any) -> Bookmark | None:
    try:
        mark = Bookmark(**{field.name: content[field.name] for field in fields(Bookmark)})
        uid_of(mark.run_uid)
        check_resume(step_of("step", mark.step, lowest=-1), mark.lineage)
    except (InvalidArgumentError, KeyError, TypeError):
        return None
    return mark if mark.lineage else None


class Progress:
    """Counts optimizer steps as Lightning's logs do: the first is 0.

    Lightning raises its counter after the checkpoints of a batch are written, some before and some after the counter.
    So what a checkpoint has seen depends on where in the batch it is written.
    """

    def __init__(self) -> None:
        self._at_batch: int | None = None  # the counter when the last batch began

    def batch_begins(self, trainer: Any) -> None:
        """A training batch begins."""
        self._at_batch = trainer.fit_loop.epoch_loop._batches_that_stepped

    def forget(self) -> None:
        """Another training begins."""
        self._at_batch = None

    def step_under_way(self, trainer: Any) -> int:
        """The step that the batch at hand, or the last one, belongs to: what is logged now belongs to it."""
        return int(trainer.fit_loop.epoch_loop._batches_that_stepped if self._at_batch is None else self._at_batch)

    def last_step(self, trainer: Any) -> int:
        """The last step that has changed the weights; -1: none has."""
        loop = trainer.fit_loop.epoch_loop
        count = int(loop._batches_that_stepped)
        batches = loop.batch_progress.current
        is_done = batches.ready > 0 and batches.processed == batches.ready
        if count == self._at_batch and is_done and not loop._should_accumulate():
            return count  # the batch has made its step, and the counter is about to be raised
        return count - 1
