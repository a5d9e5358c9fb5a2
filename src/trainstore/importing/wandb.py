"""W&B's folders of a run, as they lie on the disk: ``offline-run-…`` and ``run-…``, each with its log.

A run is what has one id; each folder is a session of it. A later one supersedes what follows its first step, unless the
ones before were still written when it began.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from trainstore.errors import SourceError
from trainstore.importing.block_logs import LogSession, by_run, sessions_of, unlike
from trainstore.importing.blocks import log_records
from trainstore.importing.foreign import Entry, ForeignRun, Options, Step, Unread
from trainstore.importing.places import File, Place
from trainstore.importing.positions import placed, position_of
from trainstore.importing.wandb_log import Log
from trainstore.importing.wandb_records import EXIT, HISTORY, METRIC, RUN, RunRecord, record_of, run_record
from trainstore.importing.wire import MalformedError, tell

TOOL = "wandb"
LABEL = "Weights & Biases"

_IDENT = [b":W&B", 0xBEE1]
_VERSION = 0
# How far this process has read a log, and what it knew there: so that following a long one need not read it again.
_READ: dict[str, tuple[int, Log]] = {}
_REMEMBERED = 100
_UNSAID = "does not say yet which run it belongs to"
_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-[^/]+\Z")


def is_at(place: Place) -> bool:
    """Whether there are logs of W&B, or the folders in which it keeps them; SwanLab's have such names, too."""
    if any(file.name.endswith(".wandb") for file in place.files):
        return True
    others = {file.folder for file in place.files if file.name.endswith(".swanlab")}
    return any(folder not in others for file in place.files if (folder := _run_folder(file)))


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """Its runs, the oldest first."""
    logs, unread = by_run(_opened(file) for file in place.files if file.name.endswith(".wandb"))
    with_log = {file.folder for file in place.files if file.name.endswith(".wandb")}
    for folder in sorted({folder for file in place.files if (folder := _run_folder(file))} - with_log):
        unread.append(Unread(folder, "has no .wandb file: its history is only on W&B's server"))
    if not logs and unread:
        raise SourceError(f"{unread[0].where} {unread[0].why}")
    if not logs:
        raise SourceError(f"{place.name} holds no W&B logs (run-….wandb)")
    yield from unread
    for identity, parts in logs.items():
        yield from _run(identity, parts, logs)


def _run(identity: str, logs: list[_Log], runs: dict[str, list[_Log]]) -> Iterator[ForeignRun | Unread]:
    first = logs[0].run
    sessions, undecided = sessions_of(logs, _LogSession, "has no row yet that would tell where it resumes its run")
    yield from undecided
    branch = first.branch if first.branch and first.branch[0] != first.id else None
    parent = f"{first.project}/{branch[0]}" if branch else None
    yield ForeignRun(
        identity=identity,
        name=first.name or first.id,
        started_at=sessions[0].started_at,
        where=logs[0].file.relative,
        sessions=sessions,
        project=first.project or None,
        parent=parent,
        parent_step=_step_at(runs.get(parent or "", []), branch[1]) if branch else None,
    )


def _run_folder(file: File) -> str:
    """The folder of a run that a file lies in; "" if none."""
    for folder in PurePosixPath(file.relative).parents:
        if _FOLDER.match(folder.name):
            return str(folder)
    return ""


@dataclass(frozen=True)
class _Log:
    file: File
    run: RunRecord

    @property
    def run_identity(self) -> str:
        return f"{self.run.project}/{self.run.id}"

    @property
    def identity(self) -> str:
        """Of the session: where it lies does not count."""
        return f"{self.run_identity}:{self.started_at}"

    @property
    def started_at(self) -> int:
        return self.run.started_at

    def records(self, damage: list[str], start: int = 0) -> Iterator[tuple[int, int, int, bytes]]:
        """Where each record begins and ends, its kind and its content."""
        return _records(self.file, damage, start)


def _records(file: File, damage: list[str], start: int = 0) -> Iterator[tuple[int, int, int, bytes]]:
    with file.open() as opened:
        for begin, end, payload in log_records(opened, file.size, damage, start):
            try:
                kind, body = record_of(payload)
            except MalformedError:
                tell(damage, f"the record at byte {begin:,} is no record of W&B")
                continue
            yield begin, end, kind, body


def _opened(file: File) -> _Log | Unread:
    """A log whose run is known."""
    try:
        return _log_of(file)
    except (SourceError, OSError) as error:
        return Unread.of(file, error)


def _log_of(file: File) -> _Log | Unread:
    unread = unlike(file, _IDENT, _VERSION, "W&B")
    if unread is not None:
        return unread
    damage: list[str] = []
    for count, (_, _, kind, body) in enumerate(_records(file, damage)):
        if kind == RUN:
            try:
                run = run_record(body)
            except MalformedError:
                continue
            if run.id:
                return _Log(file, run)
        if count > 1_000:
            break
    return Unread(file.relative, f"does not say which run it belongs to: {damage[0]}" if damage else _UNSAID)


class _LogSession(LogSession):
    def __init__(self, log: _Log, earlier: list[_LogSession]) -> None:
        super().__init__()
        self.identity = log.identity
        self.started_at = log.started_at or log.file.modified
        self.host = log.run.host
        self.end_position = position_of(log.file.size)
        self.written_at, self.says_its_end = log.file.modified, True
        commit = {"git_commit": log.run.commit} if log.run.commit else {}
        self.facts = {"versions": log.run.versions, **commit}
        self._log = log
        self._earlier = earlier
        # Asked by every later session; a run that was resumed a hundred times has a hundred.
        self._defined: Log | None = None
        self._last_at: int | None = None

    def is_decided(self) -> bool:
        """Whether the log says enough for `opening`, whatever is added to it."""
        branch = self._log.run.branch
        return bool(branch and branch[0] == self._log.run.id) or any(self._beginning())

    def opening(self) -> int | None:
        """See the module's docstring. A rewound run (``resume_from``) says itself from which step it goes on."""
        run = self._log.run
        if not self._earlier:
            return -1
        if run.branch and run.branch[0] == run.id:
            return _step_at([earlier._log for earlier in self._earlier], run.branch[1])
        first, _ = self._beginning(self._before())
        if first is None or any(earlier.last_at() > self.started_at for earlier in self._earlier):
            return None
        return first - 1

    def last_at(self) -> int:
        """When its last row was logged."""
        if self._last_at is not None:
            return self._last_at
        log = Log(self._log.run, self.left_out.copy())
        last = None
        for _, _, kind, body in self._log.records([]):
            last = body if kind == HISTORY else last
        if last is not None:
            _try(log.see, last)
        self._last_at = log.at
        return log.at

    def _beginning(self, before: Log | None = None) -> tuple[int | None, bool]:
        """The first step, and whether the log has one, or an end without one."""
        log = Log(self._log.run, self.left_out.copy(), before=before)
        for _, _, kind, body in self._log.records([]):
            if kind in (METRIC, HISTORY):
                try:
                    entries = log.read(kind, body)
                except MalformedError:
                    continue
                steps = [entry.step for entry in entries if isinstance(entry, Step)]
                if steps:
                    return min(steps), True
            if kind == EXIT:
                return None, True
        return None, False

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """The log's entries after a position. What was defined before it is read, rows are passed over."""
        log, start = self._resumed(after)
        row: bytes | None = None  # the last one before the position
        for begin, end, kind, body in self._log.records(self.damage, start):
            start = end
            try:
                passed = position_of(end) <= after
                if row is not None and not (passed and kind != METRIC):
                    log.see(row)
                    row = None
                if passed:
                    row = body if kind == HISTORY else row
                    log.begun = log.begun or kind == RUN
                    if kind == METRIC:
                        log.define(body)
                    continue
                if kind == EXIT and not log.complete:
                    log = self._again(end)
                entries = placed(log.read(kind, body), begin, end)
            except MalformedError:
                tell(self.damage, f"the record at byte {begin:,} is damaged")
                continue
            yield from (entry for entry in entries if entry.position > after)
        if row is None:
            _remember(self._key, start, log)

    @property
    def _key(self) -> str:
        return f"{self._log.file.path}:{self.identity}"

    def _resumed(self, after: int) -> tuple[Log, int]:
        """What was known where this process read up to last time, and that place; else the beginning."""
        start, log = _READ.get(self._key, (0, None))
        if log is None or not start or position_of(start) > after:
            return Log(self._log.run, self.left_out, complete=not after, before=self._before()), 0
        return log.copy(self.left_out), start

    def _again(self, until: int) -> Log:
        """What a log knows that has read everything before an offset: the end needs the whole history's names."""
        log = Log(self._log.run, self.left_out.copy(), complete=True, before=self._before())
        for _, end, kind, body in self._log.records([]):
            if end >= until:
                break
            _try(log.read, kind, body)
        return log

    def _before(self) -> Log | None:
        """What the logs of earlier sessions define: W&B's server remembers it for those that resume the run."""
        log: Log | None = None
        for earlier in self._earlier:
            if earlier._defined is None:
                earlier._defined = Log(earlier._log.run, Counter(), before=log)
                for _, _, kind, body in earlier._log.records([]):
                    if kind == METRIC:
                        _try(earlier._defined.define, body)
            log = earlier._defined
        return log


def _step_at(logs: list[_Log], counted: int) -> int:
    """The step that rows have reached up to one that W&B counts so: it may lie on another axis."""
    log: Log | None = None
    reached = -1
    for earlier in logs:
        log = Log(earlier.run, Counter(), before=log)
        for _, _, kind, body in earlier.records([]):
            if kind in (METRIC, HISTORY):
                _try(log.read, kind, body)
            if kind == HISTORY and log.step is not None and log.counted <= counted:
                reached = max(reached, log.step)
    return reached if reached >= 0 else counted


def _try(read: Callable[..., object], *arguments: object) -> None:
    with suppress(MalformedError):
        read(*arguments)


def _remember(key: str, offset: int, log: Log) -> None:
    _READ.pop(key, None)
    _READ[key] = offset, log
    if len(_READ) > _REMEMBERED:
        del _READ[next(iter(_READ))]
