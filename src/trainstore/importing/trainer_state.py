"""Hugging Face's ``trainer_state.json``: the history that the Trainer leaves in its checkpoints.

A folder of checkpoints is a run. Its checkpoint of the greatest step has the whole history up to there; what a killed
process logged after its last checkpoint is in no file. There are no times in it: the file's own time is taken. Of the
pickles beside it (``training_args.bin``, ``optimizer.pt``) none is opened.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainstore.errors import SourceError
from trainstore.importing.foreign import End, Entry, ForeignRun, Hyperparams, Options, Session, Step, Unread
from trainstore.importing.places import File, Place
from trainstore.importing.rows import epoch_of, step_of
from trainstore.importing.texts import parse_json, read, read_json

TOOL = "trainer_state"
LABEL = "Hugging Face Trainer"

NAME = "trainer_state.json"
MAX_SIZE = 1 << 30  # bytes
_MODEL = "config.json"
_MAX_MODEL = 4 << 20
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})\Z")
_QUIET = 3600 * 1_000_000  # microseconds without a new checkpoint, after which a training is not going on
_SETTINGS = ("num_train_epochs", "max_steps", "train_batch_size", "logging_steps", "eval_steps", "save_steps")
_PICKLE = "training_args.bin"


def is_at(place: Place) -> bool:
    """Whether there is a file of this name."""
    return any(file.name == NAME for file in place.files)


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """Its runs: folders of checkpoints, sorted by name."""
    folders: dict[str, _Folder] = {}
    others = {file.relative: file for file in place.files if file.name in (_MODEL, _PICKLE)}
    for file in place.files:
        if file.name == NAME:
            above, _, last = file.folder.rpartition("/")
            match = _CHECKPOINT.match(last or _last_part(place, file))
            path = above if match and last else file.folder
            folder = folders.setdefault(path, _Folder(path, _name(place, path, is_checkpoint=bool(match and not last))))
            folder.files.append((int(match[1]) if match else -1, file))
    if not folders:
        raise SourceError(f"{place.name} holds no {NAME}")
    unread: list[Unread] = []
    states = [state for folder in folders.values() if (state := folder.newest(others, unread)) is not None]
    yield from unread
    if not states and unread:
        raise SourceError(f"{unread[0].where} {unread[0].why}")
    yield from _runs(place, states)


def _last_part(place: Place, file: File) -> str:
    """The name of the folder that a file of the source's own folder lies in."""
    return file.path.parent.resolve().name


def _name(place: Place, path: str, *, is_checkpoint: bool) -> str:
    """What a folder of checkpoints is called."""
    if path or place.path is None:
        return path
    here = place.path.resolve()
    here = here.parent if here.is_file() else here
    return (here.parent if is_checkpoint else here).name


def _runs(place: Place, states: list[_State]) -> Iterator[ForeignRun | Unread]:
    taken: set[str] = set()
    furthest: dict[str, _State] = {}
    for state in states:
        if state.uid is not None:
            known = furthest.setdefault(state.uid, state)
            if state.reached > known.reached:
                furthest[state.uid] = state
    for state in states:
        if state.uid is not None and furthest[state.uid] is not state:
            further = furthest[state.uid].file.relative
            yield Unread(state.file.relative, f"is an earlier state of the run that {further} has, too")
            continue
        identity = state.identity if state.identity not in taken else f"{state.identity}:{state.folder.path}"
        taken.add(identity)
        yield ForeignRun(
            identity=identity,
            name=state.folder.name,
            started_at=state.started_at,
            where=state.file.relative,
            sessions=[_Table(state, identity)],
            uid=state.uid,
            project=None if state.folder.path else state.folder.name,
        )


@dataclass
class _Folder:
    """A folder of checkpoints: what the Trainer calls its output_dir."""

    path: str  # relative to the source
    name: str
    files: list[tuple[int, File]] = field(default_factory=list)  # by the checkpoint's step; -1: of the folder itself

    def newest(self, others: Mapping[str, File], unread: list[Unread]) -> _State | None:
        """The furthest state that can be read; what cannot is added to ``unread``."""
        found: list[_State] = []
        started_at = min(file.modified for _, file in self.files)
        for step, file in sorted(self.files, key=lambda pair: pair[0], reverse=True):
            if step >= 0 and any(state.step >= 0 for state in found):
                continue  # the last checkpoint that is whole has all that those before it have
            try:
                found.append(_State(self, step, file, started_at, others))
            except SourceError as error:
                unread.append(Unread.of(file, error))
        return max(found, key=lambda state: state.reached, default=None)


class _State:
    """What one file says of its run."""

    def __init__(self, folder: _Folder, step: int, file: File, started_at: int, others: Mapping[str, File]) -> None:
        content = read(file, MAX_SIZE)
        state = _checked(parse_json(content, file.relative), file)
        self.folder = folder
        self.step = step
        self.file = file
        history = state["log_history"]
        self.reached = (step_of(state.get("global_step")) or 0, len(history), -step)
        self.started_at = started_at
        self.uid = _own_run(state)
        first = json.dumps(history[0], sort_keys=True)
        self.identity = f"{folder.name.rpartition('/')[2]}:{hashlib.sha256(first.encode()).hexdigest()}"
        beside = [f"{place}/{_MODEL}".lstrip("/") for place in (file.folder, folder.path)]
        self.model = next((others[path] for path in beside if path in others), None)
        self.has_pickle = f"{file.folder}/{_PICKLE}".lstrip("/") in others
        digest = hashlib.sha256(content)
        if self.model is not None:
            digest.update(f"{self.model.size}:{self.model.modified}".encode())
        self.status = self._status(state)
        self.stamp = f"{digest.hexdigest()}:{self.status}"

    def _status(self, state: Mapping[str, Any]) -> str:
        step, last = step_of(state.get("global_step")) or 0, step_of(state.get("max_steps")) or 0
        if any(isinstance(entry, dict) and "train_runtime" in entry for entry in state["log_history"][-3:]):
            return "finished"
        if 0 < last <= step:
            return "finished"
        return "interrupted" if time.time_ns() // 1_000 - self.file.modified > _QUIET else "running"


def _checked(state: Any, file: File) -> dict[str, Any]:
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise SourceError(f"{file.relative} has no log_history, so it is not the Trainer's")
    if not state["log_history"]:
        raise SourceError(f"{file.relative} has an empty log_history: nothing was logged before its checkpoint")
    return state


def _own_run(state: Mapping[str, Any]) -> str | None:
    """The run of ours that the callback recorded this training in."""
    try:
        uid = state["stateful_callbacks"]["trainstore"]["attributes"]["run_uid"]
    except (KeyError, TypeError):
        return None
    return uid if isinstance(uid, str) else None


class _Table(Session):
    def __init__(self, state: _State, identity: str) -> None:
        super().__init__()
        self.identity = identity
        self.started_at = state.started_at
        self.stamp = state.stamp
        self._state = state

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """All that the file says; it is read again, so that not every run of a source is in memory."""
        file, at = self._state.file, self._state.file.modified
        state = _checked(read_json(file, MAX_SIZE), file)
        self.left_out.clear()
        self.damage.clear()
        yield Hyperparams(_settings(state))
        yield from self._model()
        if self._state.has_pickle:
            self.left_out[f"pickle ({_PICKLE})"] += 1
        yield from _steps(state["log_history"], at, step_of(state.get("logging_steps")) or 1, self.left_out)
        if self._state.status != "running":
            yield End(at, self._state.status)

    def _model(self) -> Iterator[Entry]:
        model = self._state.model
        if model is None:
            return
        try:
            config = read_json(model, _MAX_MODEL)
        except SourceError as error:
            self.damage.append(str(error))
            return
        if isinstance(config, dict):
            yield Hyperparams({"config": config}, "mth")


def _settings(state: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: state[name] for name in _SETTINGS if state.get(name) is not None}
    if state.get("trial_name") is not None:
        found["trial_name"] = state["trial_name"]
    trial = state.get("trial_params")
    return found | trial if isinstance(trial, dict) else found


def _steps(history: list[Any], at: int, logging_steps: int, left_out: Any) -> Iterator[Step]:
    """The entries of the history. Where not every step is logged, a loss is the mean since the one before."""
    rows: list[Step] = []
    before = 0  # the last step whose loss was logged
    for entry in history:
        step = step_of(entry.get("step")) if isinstance(entry, dict) else None
        if step is None:
            left_out["entry of log_history without a step"] += 1
            continue
        metrics = {name: value for name, value in entry.items() if name not in ("step", "epoch")}
        details = None
        if "loss" in metrics:
            if logging_steps > 1:
                metrics["loss_window"] = metrics.pop("loss")
                if step > before:
                    details = {"loss_window": {"first_step": before + 1, "last_step": step}}
            before = step
        rows.append(Step(at, step, metrics, epoch_of(entry.get("epoch")), details=details))
    yield from sorted(rows, key=lambda row: row.step)
