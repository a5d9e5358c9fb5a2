"""`JsonLogger`: what happens in a training, as a file of JSON Lines."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from trainstore.callbacks.base import Callback, guarded
from trainstore.callbacks.snapshot import arguments_of, model_config_of, plain_metrics
from trainstore.errors import InvalidArgumentError, TrainStoreError
from trainstore.redaction import redact_text
from trainstore.values import Json, canonical_hyperparams

FILE_NAME = "training_log.jsonl"  # in the training's output_dir
EVENTS = ("on_epoch_begin", "on_save", "on_epoch_end", "on_predict")  # beside those with methods of their own
STEP_EVENTS = ("on_step_begin", "on_pre_optimizer_step", "on_optimizer_step", "on_substep_end", "on_step_end")


class NotALogError(TrainStoreError):
    """The file of a `JsonLogger` exists and is something else; it is left as it is."""


class JsonLogger(Callback):
    """Writes a line of JSON for each event: ``{event, timestamp, global_step, epoch, metrics, meta}``.

    ``event`` is the method's name, such as "on_log"; ``timestamp`` is in UTC; ``metrics`` has what was logged or
    evaluated. Numbers that are not finite are the texts "NaN", "Infinity" and "-Infinity": the file is strict JSON.
    ``meta`` has the name and the description; in the record of ``on_train_begin`` also the arguments, the model's
    configuration and `config`, without secrets.

    A line is written at once and as a whole, so a process that is killed leaves whole lines. The file is appended to:
    a training that is resumed goes on in it.

    Args:
        path: The file. None: ``training_log.jsonl`` in the training's ``output_dir``.
        name: The experiment's name.
        description: What it is about.
        config: The configuration behind the training: a mapping, a dataclass or the like, or text.
        every_step: Write the events of every step, too. The others come now and then.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        name: str | None = None,
        description: str | None = None,
        config: Any = None,
        every_step: bool = False,
    ) -> None:
        super().__init__()
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise InvalidArgumentError(f"path {path!r} is not the path of a file")
        if path is not None and Path(path).is_dir():
            raise InvalidArgumentError(f"path {os.fspath(path)!r} is a folder; give the path of a file in it")
        self._path = None if path is None else Path(path).absolute()
        try:
            self._config: Json = None if config is None else _config(config)
        except Exception as error:
            raise InvalidArgumentError(f"config: {error}") from error
        given = {"name": name, "description": description}
        self._meta = {key: redact_text(str(value)) for key, value in given.items() if value is not None}
        self._every_step = every_step

    def _reset(self) -> None:
        super()._reset()
        self._file: int | None = None
        self._opened: Path | None = None

    def target(self) -> object | None:
        """Two write to two files."""
        return str(self._path)

    @property
    def path(self) -> Path | None:
        """The file of the last training. None: there was none yet."""
        return self._opened

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Open the file; the first record has the configuration."""
        self._close()
        path = self._path or Path(getattr(args, "output_dir", None) or ".").absolute() / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        if _prepare(path) and state.global_step == 0:
            self.warn_once(f"{path} holds another training; this one is appended, from its on_train_begin on")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._opened = path
        config = {"arguments": arguments_of(args), "model": model_config_of(model)}
        meta = config if self._config is None else {**config, "config": self._config}
        self._write("on_train_begin", state, None, {**self._meta, **meta})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """What was logged."""
        self._write("on_log", state, logs)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """The results of an evaluation."""
        self._write("on_evaluate", state, metrics)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last record."""
        self._write("on_train_end", state)
        self._close()

    def _write(self, event: str, state: Any, metrics: Any = None, meta: Mapping[str, Any] | None = None) -> None:
        if self._file is None:  # outside a training, or the file could not be opened
            return
        record = {
            "event": event,
            "timestamp": datetime.now(UTC).isoformat(),
            "global_step": state.global_step,
            "epoch": state.epoch,
            "metrics": {} if metrics is None else plain_metrics(metrics),
            "meta": self._meta if meta is None else meta,
        }
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        written = os.write(self._file, line)
        if written < len(line):  # the disk is full: no half of a line stays
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, "no space left for the log", str(self._opened))

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _event(name: str, *, of_a_step: bool = False) -> Any:
    def write(self: JsonLogger, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        if self._every_step or not of_a_step:
            self._write(name, state, metrics)

    write.__name__, write.__qualname__, write.__doc__ = name, f"JsonLogger.{name}", f"Write that ``{name}`` came."
    return guarded(write)


for _name in EVENTS:
    setattr(JsonLogger, _name, _event(_name))
for _name in STEP_EVENTS:
    setattr(JsonLogger, _name, _event(_name, of_a_step=True))


def _config(config: Any) -> Json:
    return redact_text(config) if isinstance(config, str) else canonical_hyperparams(config)


def _prepare(path: Path) -> bool:
    """Whether the file holds records; the rest of a line that a crash cut off is removed.

    Raises:
        NotALogError: It holds something else.
    """
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return False
    with file:
        first = file.readline()
        if not first:
            return False
        if first.endswith(b"\n"):
            try:
                known = "event" in orjson.loads(first)
            except (orjson.JSONDecodeError, TypeError):
                known = False
            if not known:
                raise NotALogError(f"{path} is not a log of training events; give another path")
        file.truncate(_end_of_last_line(file))
        return file.seek(0, os.SEEK_END) > 0


def _end_of_last_line(file: Any) -> int:
    """The position behind the last line end; 0 if there is none."""
    position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - 65_536)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return int(start + found + 1)
        position = start
    return 0
