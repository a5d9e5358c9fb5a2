"""What a script writes for TensorBoard is recorded too: ``init(sync_tensorboard=True)``, ``wandb.tensorboard.patch()``.

The writers of ``tensorboard``, one of which is in PyTorch's ``SummaryWriter``, and of ``tensorboardX`` are told of each
event by their method ``add_event``. Scalars are logged at the step that the writer was given, so that what the script
logs beside them without a step is at the last of these. What else there is (histograms, images, texts) stays in the
files alone, as does what TensorFlow's own writer writes.
"""

from __future__ import annotations

import functools
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from trainstore.integrations.afterwards import after_import
from trainstore.integrations.wandb import sessions

if TYPE_CHECKING:
    from trainstore.integrations.wandb.runs import Run

__all__ = ["patch"]

_WRITERS = ("tensorboard.summary.writer.event_file_writer", "tensorboardX.event_file_writer")
_roots: WeakKeyDictionary[Run, str] = WeakKeyDictionary()  # of each run: the folder of its first writer


def patch(*args: Any, **others: Any) -> None:
    """From now on scalars that are written for TensorBoard are recorded into the current run.

    Args:
        *args: What W&B takes (``root_logdir``, …): not needed here.
        **others: Likewise.
    """
    for name in _WRITERS:
        after_import(name, _watch)


def _watch(module: ModuleType) -> None:
    """The module's writers tell us their events."""
    original = module.EventFileWriter.add_event
    if hasattr(original, "__trainstore__"):
        return

    @functools.wraps(original)
    def add_event(self: Any, event: Any, *args: Any, **others: Any) -> Any:
        _record(self, event)
        return original(self, event, *args, **others)

    add_event.__trainstore__ = True  # type: ignore[attr-defined]
    module.EventFileWriter.add_event = add_event


def _record(writer: Any, event: Any) -> None:
    run = sessions.current()
    if run is None:
        return
    try:
        scalars = {value.tag: number for value in event.summary.value if (number := _scalar(value)) is not None}
        if scalars:
            folder = os.path.abspath(str(writer.get_logdir()))
            beginning = _beginning(_roots.setdefault(run, folder), folder)
            run.log({beginning + tag: number for tag, number in scalars.items()}, int(event.step))
    except Exception as error:  # noqa: BLE001 - no error of ours may reach a training
        run._report("what is written for TensorBoard", error)


def _scalar(value: Any) -> float | None:
    """The number in a summary's value; PyTorch writes some as a tensor of one."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor") and value.metadata.plugin_data.plugin_name == "scalars":
        numbers = [*value.tensor.float_val, *value.tensor.double_val]
        return float(numbers[0]) if len(numbers) == 1 else None
    return None


def _beginning(root: str, folder: str) -> str:
    """What tells a writer's names from those of the run's first one: the folder below it (``add_scalars`` makes some),
    or the name of a folder elsewhere (``runs/val`` beside ``runs/train``).
    """
    below = os.path.relpath(folder, root)
    if below == os.curdir:
        return ""
    return (os.path.basename(folder) if below.startswith(os.pardir) else below.replace(os.sep, "/")) + "/"
