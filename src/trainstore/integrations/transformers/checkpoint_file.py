"""Where a checkpoint was written, and the file in it that names its run, for trainers whose checkpoints do not.

A checkpoint of ``transformers.Trainer`` keeps the trainer's state, and the run's name in it. Other trainers keep less:
into their checkpoints we put ``trainstore.json`` (``../bookmarks.py``).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainstore.integrations.bookmarks import read_bookmark, write_bookmark
from trainstore.integrations.transformers.checkpoint import SavedRun, folder_of_checkpoints, output_dir_of
from trainstore.integrations.transformers.training import Training
from trainstore.run import ActiveRun


def checkpoint_of(training: Training) -> Path | None:
    """The checkpoint that was just written; None if nobody tells where, and it is not in its usual place."""
    told, training.checkpoint = training.checkpoint, None
    if isinstance(told, (str, os.PathLike)):
        return Path(told).resolve()
    known = folder_of_checkpoints(training.known_trainer)
    folder = known or Path(output_dir_of(training.args))
    checkpoint = folder / training.protocol.checkpoint_name.format(step=training.state.global_step)
    return checkpoint if known or checkpoint.exists() else None


def write_run(checkpoint: Path, training: Training, run: ActiveRun) -> None:
    """Put the file that names the run into a checkpoint that is a folder. Raises OSError."""
    if not checkpoint.is_dir():
        return
    saved = SavedRun.of(run, training.known_trainer, training.args, training.state)
    write_bookmark(checkpoint, {"step": training.state.global_step, **asdict(saved)})


def run_of_checkpoint(training: Training) -> SavedRun | None:
    """The run of the checkpoint that a training starts from; None if it names none."""
    state = training.state
    if training.protocol.keeps_state or training.known_trainer is None:
        return SavedRun.read(state)
    content = read_bookmark(_loaded(training))
    return SavedRun.from_plain(content) if content.get("step") == state.global_step else None


def step_of_best_model(state: Any) -> int | None:
    """The step of the best model, as the state or its checkpoint tells; None if neither does."""
    step = getattr(state, "best_global_step", None)
    if step is None:
        step = read_bookmark(Path(os.fspath(state.best_model_checkpoint))).get("step")
    return step if type(step) is int else None


def _loaded(training: Training) -> Path:
    """The checkpoint that was loaded: the one that the arguments name, else the one of this step."""
    given = getattr(training.args, "resume_from_checkpoint", None)
    if isinstance(given, (str, os.PathLike)) and os.fspath(given):
        return Path(given)
    name = training.protocol.checkpoint_name.format(step=training.state.global_step)
    return Path(output_dir_of(training.args)) / name
