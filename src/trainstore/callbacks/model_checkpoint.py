"""`ModelCheckpointCallback`: keeps the model of the best evaluation."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.utils import logging

from trainstore.callbacks.arguments import positive_int
from trainstore.callbacks.base import Callback
from trainstore.callbacks.best_metric import BestMetric
from trainstore.callbacks.models import is_sharded, unwrapped
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.transformers.checkpoint import folder_of_checkpoints, output_dir_of, trial_of
from trainstore.integrations.transformers.wrappers import calling_trainer
from trainstore.run import ActiveRun
from trainstore.values import canonical

METRICS_FILE = "metrics.json"
_NAME = "best_model_step_{step}"
_NAMED = re.compile(r"best_model_step_(\d+)\Z")
_UNFINISHED = re.compile(r"\.best_model_step_\d+\.\d+(\.old)?\Z")


class ModelCheckpointCallback(Callback):
    """Saves the model whenever a metric is better than at all evaluations before.

    Into ``best_model_step_{step}`` in the folder: the model with its configuration (``save_pretrained``; a model
    without that as ``model.safetensors``), the tokenizer, and ``metrics.json`` with ``{step, epoch, <metric>,
    all_metrics}``. The folder is written beside itself and renamed: one that has its name is whole. An event
    ``best_model`` in the run says where it is: ``{path, step, name, metric}``, metric being the value.

    A training that is resumed goes on with the best one in the folder up to its step. Each trial of a hyperparameter
    search has a folder of its own in it, named like that of its checkpoints: ``run-0``, ``run-1``, … Only rank 0
    writes. If a training shards its model (FSDP, DeepSpeed), only the trainer's own checkpoint is written.

    Args:
        output_dir: The folder.
        metric: The metric's name; ``eval_`` in front of it may be left out.
        mode: "min" or "max", which values are better. None: as the name says, "min" if it does not.
        save_total_limit: How many are kept; the worst are removed. None: all.
        save_checkpoint: Let the trainer write a checkpoint of its own as well.
        run: The run to write into. None: the one that the `TrainStoreCallback` of the same trainer records.

    Attributes:
        best_metric: The best value; infinite before the first one.
        best_model_path: The folder of the best model. None: there is none yet.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    every_rank = True  # all of them must save the trainer's checkpoint

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        metric: str = "eval_loss",
        mode: str | None = None,
        save_total_limit: int | None = None,
        *,
        save_checkpoint: bool = True,
        run: ActiveRun | None = None,
    ) -> None:
        super().__init__(run=run)
        if not isinstance(output_dir, (str, os.PathLike)):
            raise InvalidArgumentError(f"output_dir {output_dir!r} is not the path of a folder")
        if Path(output_dir).is_file():
            raise InvalidArgumentError(f"output_dir {os.fspath(output_dir)!r} is a file; give the path of a folder")
        limit = save_total_limit
        self._limit = None if limit is None else positive_int("save_total_limit", limit, "models")
        self.output_dir = Path(output_dir).absolute()
        self._folder = self.output_dir  # of this training
        self._best = BestMetric(metric, mode)
        self._saves_checkpoint = save_checkpoint
        self.best_model_path: Path | None = None
        self._saved: list[int] = []  # steps, the best one last

    @property
    def best_metric(self) -> float:
        """The best value; infinite before the first one."""
        return self._best.value

    def target(self) -> object | None:
        """Two write into two folders."""
        return self.output_dir

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Look for the best model so far, if the training is resumed."""
        self._best.reset()
        self._saved, self.best_model_path = [], None
        self._folder = self.output_dir / _name_of_trial(self, args)
        if model is not None and is_sharded(model):
            self.warn_once("the model is sharded over processes; only the trainer's own checkpoint is written")
        elif getattr(state, "is_world_process_zero", True):
            self.warn_without_evaluations(args, "no model is saved")
            self._folder.mkdir(parents=True, exist_ok=True)  # that it cannot be made is told at the beginning
            self._remove_unfinished()
        if state.global_step:
            self._resume(state.global_step)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, model: Any = None, **kwargs: Any
    ) -> None:
        """Save the model, if this evaluation is the best one."""
        step = state.global_step
        value = self._best.find(metrics, step)
        if value is None:
            self._tell_missing(step)
            return
        before = self._best.value, self._best.step
        if not self._best.improve(value, step):
            return
        if self._saves_checkpoint:
            control.should_save = True
        if model is None or is_sharded(model) or not getattr(state, "is_world_process_zero", True):
            return
        folder = self._folder / _NAME.format(step=step)
        content = {"step": step, "epoch": state.epoch, self._best.metric: value, "all_metrics": dict(metrics)}
        try:
            _write(folder, unwrapped(model), kwargs.get("processing_class"), content)
        except Exception:
            self._best.value, self._best.step = before  # the next one that is better than what was saved
            raise
        self.best_model_path = folder
        run = self.run
        if run is not None:
            details = {"path": str(folder), "step": step, "name": self._best.metric, "metric": value}
            run.log_event("best_model", step, details)
        self._saved = [saved for saved in self._saved if saved != step] + [step]
        self._remove_surplus()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Whether there was something to keep."""
        self._tell_missing(None)

    def _resume(self, step: int) -> None:
        found = []
        for folder in self._folder.glob("best_model_step_*"):
            named = _NAMED.match(folder.name)
            if named is not None and int(named[1]) <= step:
                value = _value_in(folder, self._best.metric)
                if value is not None:
                    found.append((int(named[1]), value))
        for at, value in sorted(found):
            if self._best.improve(value, at):
                self._saved.append(at)
                self.best_model_path = self._folder / _NAME.format(step=at)

    def _remove_unfinished(self) -> None:
        """What a process that was killed while it wrote a model has left. It may have had our process id."""
        for folder in self._folder.iterdir():
            if _UNFINISHED.match(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    def _remove_surplus(self) -> None:
        """Each one saved is better than those before it, so the first are the worst."""
        while self._limit is not None and len(self._saved) > self._limit:
            shutil.rmtree(self._folder / _NAME.format(step=self._saved.pop(0)), ignore_errors=True)

    def _tell_missing(self, step: int | None) -> None:
        if self._best.is_missing(step):
            self.warn_once(f"no evaluation has {self._best.metric}; no model is saved")


def _name_of_trial(callback: ModelCheckpointCallback, args: Any) -> Path:
    """What the trainer calls the folder of the trial that is under way; "." outside a search."""
    trainer = calling_trainer(callback)
    folder = None if trainer is None else folder_of_checkpoints(trainer)
    if folder is None or trial_of(trainer, None) is None:
        return Path()
    within = Path(output_dir_of(args))
    return folder.relative_to(within) if folder.is_relative_to(within) else Path(folder.name)


@contextmanager
def _without_bars() -> Iterator[None]:
    """The bar of ``save_pretrained`` would break the one of the training."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _write(folder: Path, model: Any, processing_class: Any, content: dict[str, Any]) -> None:
    """Write a model and its metrics beside the folder, then give it its name."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        if hasattr(model, "save_pretrained"):
            with _without_bars():
                model.save_pretrained(beside)
        else:
            from safetensors.torch import save_model

            save_model(model, str(beside / "model.safetensors"))
        if hasattr(processing_class, "save_pretrained"):
            processing_class.save_pretrained(beside)
        text = json.dumps(canonical(content), indent=2, allow_nan=False)
        (beside / METRICS_FILE).write_text(text + "\n", encoding="utf-8")
        _sync(beside)
        if folder.exists():  # of an attempt that was resumed from before this step
            old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
            folder.rename(old)
            beside.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Wait until its files are on the disk: after a power cut, a name may have come there before what it names."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def _value_in(folder: Path, metric: str) -> float | None:
    """The metric of a saved model; None if it has none."""
    try:
        return float(json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))[metric])
    except (OSError, ValueError, KeyError, TypeError):
        return None
