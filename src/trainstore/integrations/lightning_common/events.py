"""`TrainerEvents`: what a Lightning trainer calls, as a logger and as a callback, in one object.

A logger sees metrics, hyperparameters and the end; a callback sees the beginning, checkpoints and exceptions. Whichever
of the two lists of a trainer it was put into, it adds itself to the other one.
"""

from __future__ import annotations

import os
import re
import sys
import uuid
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from trainstore.errors import InvalidArgumentError
from trainstore.integrations.arguments import check_choice
from trainstore.integrations.lightning_common.experiment import NoExperiment
from trainstore.integrations.lightning_common.facts import hyperparams_of
from trainstore.integrations.lightning_common.runs import Runs
from trainstore.integrations.lightning_common.training import Training
from trainstore.integrations.recording import Recording
from trainstore.integrations.targets import Target
from trainstore.run import ActiveRun

RESUME = ("auto", "never")


class TrainerEvents:
    """The methods of ``Logger`` and ``Callback`` that record. The classes that users see have the documentation."""

    _source = "lightning"

    def __init__(
        self,
        store_or_run: Target = None,
        *,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | str | None = None,
        hyperparams: Mapping[str, Any] | Any | None = None,
        resume: str = "auto",
        save_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        check_choice("resume", resume, RESUME)
        if save_dir is not None and not isinstance(save_dir, (str, os.PathLike)):
            raise InvalidArgumentError(
                f"save_dir {save_dir!r} is not a path; leave it out for the trainer's own folder"
            )
        name = name or (None if isinstance(store_or_run, ActiveRun) else os.environ.get("TRAINSTORE_RUN_NAME"))
        recording = Recording(
            store_or_run, source=self._source, project=project, name=name, tags=tags, hyperparams=hyperparams
        )
        given = recording.run
        self._project = given.project if given else project or os.environ.get("TRAINSTORE_PROJECT") or "default"
        self._label = given.name if given else name or f"run-{uuid.uuid4().hex[:8]}"
        self._save_dir = None if save_dir is None else os.fspath(save_dir)
        runs = Runs(recording, self._label, resumes=resume == "auto")
        self._training = Training(recording, runs, self._source)
        self._trainer: weakref.ref[Any] | None = None

    __init__.__qualname__ = "TrainStoreLogger.__init__"  # what Python names if it is called with a wrong argument

    def __getstate__(self) -> dict[str, Any]:
        """Without the trainer: strategies that spawn processes pickle both."""
        return {**self.__dict__, "_trainer": None}

    # --- What users ask for ------------------------------------------------------------------------------------------

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or was last. None: none was begun yet, or not by this process."""
        return self._training.recording.run

    @property
    def experiment(self) -> Any:
        """The run, for ``self.logger.experiment`` in a module: ``log_event``, ``alert``, ``set_tags`` and the like.

        A run begins with the training, when the checkpoint is known. What is recorded through this before then, in
        ``setup`` for example, is kept until it begins. On ranks other than 0 it records nothing.
        """
        caller = sys._getframe(1)
        if caller.f_code.co_name == "_call_setup_hook":  # Lightning's own question, before anything is set up
            with self._training.recording.guard("the beginning of the training"):
                self._join_callbacks(caller.f_locals["trainer"])
        now = self._training.now
        return NoExperiment() if now is None else now

    @property
    def name(self) -> str:
        """The project, as the name of a folder: Lightning's ``ModelCheckpoint`` saves into it."""
        return _folder(self._project)

    @property
    def version(self) -> str:
        """The run's name, as the name of a folder inside that of the project."""
        return _folder(self._label)

    @property
    def save_dir(self) -> str | None:
        """Where checkpoints go: the argument, else the trainer's ``default_root_dir``."""
        trainer = self._known_trainer()
        return self._save_dir or (None if trainer is None else os.fspath(trainer.default_root_dir))

    @property
    def log_dir(self) -> str | None:
        """The run's folder in it, where its checkpoints are; for files of your own. None: not known yet."""
        return None if self.save_dir is None else os.path.join(self.save_dir, self.name, self.version)

    # --- The logger's methods ----------------------------------------------------------------------------------------

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record metrics, at the optimizer step that is under way or that is evaluated."""
        self._training.log(metrics, step)

    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Record hyperparameters: of the run under way, or of the one that is about to begin."""
        with self._training.recording.guard("the hyperparameters"):
            if args or kwargs:
                self._training.recording.warn_once(
                    "log_hyperparams records hyperparameters alone; log metrics by self.log or log_metrics"
                )
            self._training.log_hyperparams(hyperparams_of(params))

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Where a trainer shows its model, and with it itself and the checkpoint that it has loaded.

        For a logger that was not asked for its experiment it is the last chance to be a callback, too. For a test, a
        callback learns of the checkpoint in newer releases only.
        """
        with self._training.recording.guard("the beginning of the training"):
            trainer = getattr(model, "_trainer", None)
            if trainer is None:
                return
            if self._join_callbacks(trainer):
                self._watch(trainer)
                self._training.announce()
            loaded = trainer._checkpoint_connector._loaded_checkpoint
            if loaded:
                self._training.read_checkpoint(loaded)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """A checkpoint was written: an event."""
        with self._training.recording.guard("a checkpoint"):
            self._training.log_checkpoint(checkpoint_callback)

    def finalize(self, status: str) -> None:
        """A fit, a validation, a test or a prediction ended: ``success`` or ``failed``."""
        self._training.end(None if status == "success" else sys.exc_info()[1], is_success=status == "success")

    # --- The callback's methods --------------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """A fit, a validation, a test or a prediction begins."""
        self._watch(trainer)

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint was loaded: which run it belongs to."""
        self._training.read_checkpoint(checkpoint)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """The trainer is about to train."""
        self._listen(trainer)
        self._training.announce()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """A validation begins, of its own or in a fit."""
        self._listen(trainer)

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """A test begins."""
        self._listen(trainer)

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """The first event of a fit that knows what it goes on from."""
        self._training.begin_fit(trainer, pl_module)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The same, if nothing was checked before."""
        self._training.begin_fit(trainer, pl_module)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A batch begins."""
        self._training.progress.batch_begins(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last step was made."""
        with self._training.recording.guard("an early stop"):
            self._training.log_early_stop(trainer)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is made: it carries its run."""
        with self._training.recording.guard("the run's name in a checkpoint"):
            self._training.mark(trainer, checkpoint)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """An exception ends it; `finalize` comes when the other callbacks have seen it."""
        self._training.saw(exception)

    # --- The trainer -------------------------------------------------------------------------------------------------

    def _known_trainer(self) -> Any | None:
        return None if self._trainer is None else self._trainer()

    def _watch(self, trainer: Any) -> None:
        self._trainer = weakref.ref(trainer)
        self._training.watch(trainer)

    def _join_callbacks(self, trainer: Any) -> bool:
        """Be one of the trainer's callbacks; whether it was none before."""
        if self in trainer.callbacks or self not in trainer.loggers:
            return False
        trainer.callbacks.insert(0, self)
        return True

    def _listen(self, trainer: Any) -> None:
        """Be one of the trainer's loggers. Not sooner: `ModelCheckpoint` asks the first logger for its folder."""
        if self not in trainer.loggers and not trainer.fast_dev_run:
            trainer.loggers.append(self)


def _folder(text: str) -> str:
    """A text as the name of a folder."""
    return re.sub(r"[^\w.=+ -]+", "_", text).strip(". ") or "default"
