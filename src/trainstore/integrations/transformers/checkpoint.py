"""What we put into each checkpoint, so that a training that resumes from it also continues its run."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainstore.integrations.protocol import attribute_of, protocol_of
from trainstore.integrations.transformers.steps import name_of_loss
from trainstore.run import ActiveRun
from trainstore.values import canonical

STATE_KEY = "trainstore"


@dataclass(frozen=True)
class SavedRun:
    """The run that a training belongs to, and where that training keeps its checkpoints.

    It is stored in ``state.stateful_callbacks``, which every checkpoint of a ``transformers.Trainer`` saves. We write
    it there ourselves: if the callback were an ``ExportableState``, resuming from a checkpoint made without it would
    fail at the first save. Checkpoints that do not save it get a file of their own (``checkpoint_file.py``).
    """

    run_uid: str
    lineage: list[list[Any]]
    trial: str | None
    output_dir: str

    @classmethod
    def of(cls, run: ActiveRun, trainer: Any | None, args: Any, state: Any) -> SavedRun:
        """What the checkpoints of this training will carry."""
        return cls(run.uid, run.lineage, trial_of(trainer, state), output_dir_of(args))

    @classmethod
    def read(cls, state: Any) -> SavedRun | None:
        """What the loaded checkpoint carries; None if it carries nothing, or nothing that makes sense."""
        try:
            return cls.from_plain(state.stateful_callbacks[STATE_KEY]["attributes"])
        except (AttributeError, KeyError, TypeError):
            return None

    @classmethod
    def from_plain(cls, attributes: Any) -> SavedRun | None:
        """From what ``asdict`` gave; None if it makes no sense."""
        try:
            saved = cls(**{name: attributes[name] for name in cls.__dataclass_fields__})
            uuid.UUID(saved.run_uid)
            sound = bool(saved.lineage) and all(
                isinstance(uid, str) and type(start) is int and type(opened_at) is int
                for uid, start, opened_at in saved.lineage
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        return saved if sound else None

    def write(self, state: Any) -> None:
        """Put it into all later checkpoints of this training."""
        state.stateful_callbacks[STATE_KEY] = {"args": {}, "attributes": asdict(self)}

    def is_of(self, trainer: Any | None, args: Any, state: Any) -> bool:
        """Whether this training is the one that made the checkpoint: the same folder and trial."""
        return self.output_dir == output_dir_of(args) and self.trial == trial_of(trainer, state)


def output_dir_of(args: Any) -> str:
    """The folder of a training's checkpoints, as an absolute path."""
    folder = Path(args.output_dir or ".")
    try:
        return str(folder.resolve())
    except OSError:  # for example, the current folder was deleted
        return str(folder)


def folder_of_checkpoints(trainer: Any | None) -> Path | None:
    """Where a trainer writes its checkpoints, as it tells itself; None if it does not.

    Within ``args.output_dir``, each trial of a hyperparameter search has a folder of its own.
    """
    protocol = protocol_of(trainer)
    get = attribute_of(trainer, protocol.output_dir)
    return Path(get(attribute_of(trainer, protocol.trial))).resolve() if callable(get) else None


def trial_of(trainer: Any | None, state: Any) -> str | None:
    """What identifies a trial of a hyperparameter search; None outside a search.

    Optuna's trials have a study and a number. The state alone cannot tell: a trial's checkpoint carries its name and
    ``is_hyper_param_search`` into any training that loads it.
    """
    trial = attribute_of(trainer, protocol_of(trainer).trial)
    if trainer is not None and trial is None:
        return None
    number = getattr(trial, "number", None)
    if number is not None:
        return f"{getattr(getattr(trial, 'study', None), 'study_name', '')}/{number}"
    name, parameters = getattr(state, "trial_name", None), getattr(state, "trial_params", None)
    if name is not None:
        return str(name)
    return None if parameters is None else json.dumps(canonical(parameters), sort_keys=True)


def import_history(run: ActiveRun, state: Any) -> None:
    """Record the steps that a checkpoint remembers into a run that this database has never seen."""
    for entry in state.log_history:
        metrics = {key: value for key, value in entry.items() if key not in ("step", "epoch")}
        if "loss" in metrics:
            metrics[name_of_loss(metrics)] = metrics.pop("loss")
        run.log(metrics, step=entry.get("step"), epoch=entry.get("epoch"), details={"imported": "log_history"})
