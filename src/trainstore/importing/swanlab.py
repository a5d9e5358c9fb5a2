"""SwanLab's folders of a run, as they lie on the disk: ``run-…``, each with its log and ``files/config.yaml``.

A run is what has one id; each folder is a session of it. A later one supersedes what follows its first step, unless the
ones before were still written when it began. SwanLab logs each metric in a record of its own; those of one step that
follow each other come as one entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from trainstore.errors import SourceError
from trainstore.importing.block_logs import LogSession, by_run, sessions_of, unlike
from trainstore.importing.blocks import log_records
from trainstore.importing.foreign import End, Entry, ForeignRun, Hyperparams, Notes, Options, Step, Unread
from trainstore.importing.places import File, Place
from trainstore.importing.positions import offset_of, placed, position_of
from trainstore.importing.texts import read_yaml
from trainstore.importing.wire import MalformedError, double, fields, message, number, tally, tell, text, timestamp

TOOL = "swanlab"
LABEL = "SwanLab"

_IDENT = [b":SWL", 0xE1D6]
_VERSION = 2
_TIME, _START, _FINISH, _SCALAR, _SAVE = 2, 10, 11, 13, 20
_LEFT_OUT = {14: "media item", 15: "media item", 16: "console line"}
_ENVELOPE = (1, 2)
_CONFIG = 1  # the kind of file that the configuration is
_STATUSES = {1: "finished", 2: "failed", 3: "interrupted"}
_MAX_STEP = 2**63 - 2
_MAX_METRICS = 1_000  # in one entry
_UNSAID = "does not say yet which run it belongs to"


def is_at(place: Place) -> bool:
    """Whether there are logs of SwanLab."""
    return any(file.name.endswith(".swanlab") for file in place.files)


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """Its runs, the oldest first."""
    configs = {file.folder: file for file in place.files if file.name == "config.yaml"}
    found = (
        _opened(file, configs.get(str(PurePosixPath(file.folder, "files"))))
        for file in place.files
        if file.name.endswith(".swanlab")
    )
    logs, unread = by_run(found)
    if not logs and unread:
        raise SourceError(f"{unread[0].where} {unread[0].why}")
    if not logs:
        raise SourceError(f"{place.name} holds no SwanLab logs (run-….swanlab)")
    yield from unread
    for identity, parts in logs.items():
        yield from _run(identity, parts)


def _run(identity: str, logs: list[_Log]) -> Iterator[ForeignRun | Unread]:
    sessions, undecided = sessions_of(logs, _LogSession, "has no number yet that would tell where it resumes its run")
    yield from undecided
    start = logs[0].start
    yield ForeignRun(
        identity=identity,
        name=start.name or start.id,
        started_at=sessions[0].started_at,
        where=logs[0].file.relative,
        sessions=sessions,
        project=start.project or None,
    )


@dataclass(slots=True)
class _Start:
    """The record that a run begins with."""

    id: str = ""
    project: str = ""
    name: str = ""
    notes: str = ""
    tags: dict[str, Any] = field(default_factory=dict)
    at: int = 0  # microseconds since 1970


@dataclass(frozen=True)
class _Log:
    file: File
    config: File | None
    start: _Start

    @property
    def run_identity(self) -> str:
        return f"{self.start.project}/{self.start.id}"

    @property
    def identity(self) -> str:
        """Of the session: where it lies does not count."""
        return f"{self.run_identity}:{self.started_at}"

    @property
    def started_at(self) -> int:
        return self.start.at


@dataclass(slots=True)
class _Record:
    begin: int
    end: int
    at: int  # when it was written
    kind: int
    body: bytes


def _records(file: File, damage: list[str], after: int = 0) -> Iterator[_Record]:
    with file.open() as opened:
        for begin, end, payload in log_records(opened, file.size, damage, offset_of(after)):
            record = _Record(begin, end, 0, 0, b"")
            try:
                for key, _, value in fields(payload):
                    if key == _TIME:
                        record.at = timestamp(value)
                    elif key not in _ENVELOPE:
                        record.kind, record.body = key, message(value)
            except MalformedError:
                tell(damage, f"the record at byte {begin:,} is no record of SwanLab")
                continue
            yield record


def _opened(file: File, config: File | None) -> _Log | Unread:
    """A log whose run is known."""
    try:
        return _log_of(file, config)
    except (SourceError, OSError) as error:
        return Unread.of(file, error)


def _log_of(file: File, config: File | None) -> _Log | Unread:
    unread = unlike(file, _IDENT, _VERSION, LABEL)
    if unread is not None:
        return unread
    damage: list[str] = []
    for count, record in enumerate(_records(file, damage)):
        if record.kind == _START:
            with suppress(MalformedError):
                start = _start(record.body)
                if start.id:
                    return _Log(file, config, start)
        if count > 1_000:
            break
    return Unread(file.relative, f"does not say which run it belongs to: {damage[0]}" if damage else _UNSAID)


def _start(body: bytes) -> _Start:
    start = _Start()
    for key, _, value in fields(body):
        if key == 1:
            start.project = text(value)
        elif key == 4:
            start.name = text(value)
        elif key == 5:
            start.notes = text(value)
        elif key == 6:
            start.tags[text(value)] = True
        elif key in (7, 8) and value:
            start.tags["group" if key == 7 else "job_type"] = text(value)
        elif key == 10:
            start.id = text(value)
        elif key == 12:
            start.at = timestamp(value)
    return start


def _scalar(body: bytes) -> tuple[str, int, int, float | None]:
    """Metric, step, time, and the value if it is a number."""
    name, step, at = "", 0, 0
    result: float | None = None
    for key, _, value in fields(body):
        if key == 1:
            name = text(value)
        elif key == 2:
            step = number(value)
        elif key == 4:
            at = timestamp(value)
        elif key == 5:
            content = message(value)
            result = 0.0 if not content else None  # a zero may be left out
            for inner, _, one in fields(content):
                if inner == 1:
                    result = double(one)
    return name, step, at, result


class _LogSession(LogSession):
    def __init__(self, log: _Log, earlier: list[_LogSession]) -> None:
        super().__init__()
        self.identity = log.identity
        self.started_at = log.started_at or log.file.modified
        self.end_position = position_of(log.file.size)
        self.written_at, self.says_its_end = log.file.modified, True
        self._log = log
        self._earlier = earlier
        self._last_at: int | None = None  # asked by every later session

    def is_decided(self) -> bool:
        """Whether the log says enough for `opening`, whatever is added to it."""
        return any(record.kind == _FINISH or self._step_of(record) is not None for record in self._all())

    def opening(self) -> int | None:
        """See the module's docstring."""
        if not self._earlier:
            return -1
        first = next((step for record in self._all() if (step := self._step_of(record)) is not None), None)
        if first is None or any(earlier.last_at() > self.started_at for earlier in self._earlier):
            return None
        return first - 1

    def last_at(self) -> int:
        """When its last number was logged."""
        if self._last_at is None:
            self._last_at = max((record.at for record in self._all() if record.kind == _SCALAR), default=0)
        return self._last_at

    def _all(self) -> Iterator[_Record]:
        return _records(self._log.file, [])

    def _step_of(self, record: _Record) -> int | None:
        if record.kind == _SCALAR:
            with suppress(MalformedError):
                name, step, _, value = _scalar(record.body)
                if value is not None and 0 <= step <= _MAX_STEP and not _is_system(name):
                    return step
        return None

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """The log's entries after a position."""
        step = at = last = 0
        metrics: dict[str, Any] = {}
        for record in _records(self._log.file, self.damage, after):
            try:
                if record.kind != _SCALAR:
                    others = placed(self._others(record), record.begin, record.end)
                    if others and metrics:
                        yield Step(at, step, metrics, position=last)
                        metrics = {}
                    yield from (entry for entry in others if entry.position > after)
                    continue
                name, its_step, its_time, value = _scalar(record.body)
            except MalformedError:
                tell(self.damage, f"the record at byte {record.begin:,} is damaged")
                continue
            if value is None or not 0 <= its_step <= _MAX_STEP or _is_system(name):
                tally(self.left_out, _reason(name, value))
                continue
            if its_step != step or name in metrics or len(metrics) >= _MAX_METRICS:
                if metrics:
                    yield Step(at, step, metrics, position=last)
                metrics, step = {}, its_step
            if not metrics:
                at = its_time or record.at or self.started_at
            metrics[name] = value
            last = position_of(record.end)
        if metrics:
            yield Step(at, step, metrics, position=last)

    def _others(self, record: _Record) -> list[Any]:
        if record.kind == _START:
            start = _start(record.body)
            tags = [Hyperparams(start.tags, "tag")] if start.tags else []
            return [*self._config(), *tags, *([Notes(self.started_at, start.notes)] if start.notes else [])]
        if record.kind == _SAVE and any(key == 5 and value == _CONFIG for key, _, value in fields(record.body)):
            return self._config()
        if record.kind == _FINISH:
            return [self._end(record)]
        if record.kind in _LEFT_OUT:
            tally(self.left_out, _LEFT_OUT[record.kind])
        return []

    def _end(self, record: _Record) -> End:
        state, error, at = 0, "", 0
        for key, _, value in fields(record.body):
            if key == 1:
                state = number(value)
            elif key == 2:
                error = text(value)
            elif key == 3:
                at = timestamp(value)
        return End(at or record.at or self.started_at, _STATUSES.get(state, "interrupted"), error or None)

    def _config(self) -> list[Hyperparams]:
        """The configuration as it is now: ``{name: {value, sort, desc}}``, in which None is an empty mapping."""
        if self._log.config is None:
            return []
        try:
            found = read_yaml(self._log.config, self.left_out)
        except SourceError as error:
            tell(self.damage, str(error))
            return []
        if not isinstance(found, dict):
            return []
        items = {str(name): item["value"] for name, item in found.items() if isinstance(item, dict) and "value" in item}
        values = {name: None if value == {} else value for name, value in items.items()}
        return [Hyperparams(values)] if values else []


def _is_system(name: str) -> bool:
    return name.startswith("__swanlab__")


def _reason(name: str, value: float | None) -> str:
    if _is_system(name):
        return "system metric"
    return "unknown value" if value is None else "number at a negative step"
