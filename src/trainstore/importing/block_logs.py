"""Tools that write a log in blocks for each session of a run (W&B, SwanLab): which files are logs, which make a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from trainstore.importing.blocks import header
from trainstore.importing.foreign import Session, Unread
from trainstore.importing.places import File


class BlockLog(Protocol):
    """A log whose run is known."""

    @property
    def file(self) -> File:
        """Where it lies."""

    @property
    def run_identity(self) -> str:
        """Of the run that it is part of."""

    @property
    def identity(self) -> str:
        """Of the session: where it lies does not count."""

    @property
    def started_at(self) -> int:
        """When it began, in microseconds since 1970; 0 if it does not say."""


class LogSession(Session):
    """A session read from such a log."""

    def is_decided(self) -> bool:
        """Whether the log says enough for `opening`, whatever is added to it."""
        raise NotImplementedError


L = TypeVar("L", bound=BlockLog)
S = TypeVar("S", bound=LogSession)


def unlike(file: File, ident: list[object], version: int, tool: str) -> Unread | None:
    """Why a file is no log of a tool that begins so; None if it is one. Raises `SourceError`."""
    head = header(file)
    if head is None:
        return Unread(file.relative, "has just begun, or is torn at its beginning" if file.size else "is empty")
    *found, its_version = head
    if found != ident:
        return Unread(file.relative, f"is not a log of {tool}")
    if its_version != version:
        why = f"is of version {its_version} of {tool}'s format; only version {version} can be read"
        return Unread(file.relative, why)
    return None


def by_run(found: Iterable[L | Unread]) -> tuple[dict[str, list[L]], list[Unread]]:
    """The logs of each run, oldest first, and what is none. Of copies of one session the longest counts."""
    logs: dict[str, L] = {}
    unread: list[Unread] = []
    for one in found:
        if isinstance(one, Unread):
            unread.append(one)
        elif one.identity not in logs or one.file.size > logs[one.identity].file.size:
            logs[one.identity] = one
    runs: dict[str, list[L]] = {}
    for log in sorted(logs.values(), key=lambda log: (log.started_at, log.file.relative)):
        runs.setdefault(log.run_identity, []).append(log)
    return runs, unread


def sessions_of(logs: Sequence[L], made: Callable[[L, list[S]], S], undecided: str) -> tuple[list[S], list[Unread]]:
    """A run's sessions, each made of its log and the sessions before, and the logs that are not decided yet."""
    sessions: list[S] = []
    unread: list[Unread] = []
    for log in logs:
        session = made(log, list(sessions))
        if not sessions or session.is_decided():
            sessions.append(session)
        else:
            unread.append(Unread(log.file.relative, undecided))
    return sessions, unread
