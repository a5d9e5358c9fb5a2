"""What a reader tells of a foreign source: runs, the sessions in which they were recorded, and entries in order.

There are two kinds of sessions. A *log* only grows at its end: its entries have positions (byte offsets, row ids) that
stay the same while it grows, and an import reads on after the last position that is stored. A *table* may change
anywhere: it has a ``stamp`` (a digest of its content), and if that is another than at the last import it is read as a
whole; the import compares it with what is stored and adds what is missing.

Values are given as the source has them; names, values and secrets are cleaned by the import.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from trainstore.errors import InvalidArgumentError, SourceError
from trainstore.importing.places import File, Place


@dataclass(frozen=True, slots=True)
class Step:
    """Metrics of one step. Several of one step merge: the last value of each metric counts, the others are kept.

    In a table, entries of one step follow each other (ascending steps); in a log they may come in any order.
    """

    at: int  # microseconds since 1970
    step: int
    metrics: Mapping[str, Any]
    epoch: float | None = None
    step_time: float | None = None  # seconds
    details: Mapping[str, Any] | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class Hyperparams:
    """Hyperparameters, nested or flat, or other facts of a namespace of `models.NAMESPACES`; "tag" are tags."""

    values: Mapping[str, Any]
    namespace: str = "hp"
    position: int = 0


@dataclass(frozen=True, slots=True)
class Notes:
    """The run's notes, as of a time."""

    at: int
    text: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: an alert, an artifact (as a link)."""

    at: int
    kind: str
    step: int | None
    details: Mapping[str, Any]
    position: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """The session's end: one of "finished", "failed", "interrupted", "pruned"."""

    at: int
    status: str
    error: str | None = None
    position: int = 0


Entry = Step | Hyperparams | Notes | Event | End


class Session(ABC):
    """One stretch of a foreign run, by one process: it becomes a writer, and an attempt unless it joins one."""

    identity: str  # the same wherever the source lies and however much it has grown; unique within the tool
    started_at: int  # microseconds since 1970
    host: str = ""
    stamp: str | None = None  # of a table; None: a log
    end_position: int | None = None  # of a log: its last position now, if that is known without reading
    written_at: int | None = None  # when the source was last written (file's mtime, µs); None: that says nothing
    says_its_end: bool = False  # without a word of its end it was not finished: it runs, or was killed
    facts: Mapping[str, Any] = {}  # git_commit, git_dirty, command, versions (dict), as an attempt has them

    def __init__(self) -> None:
        #: What is there and is not kept, by what it is: {"histogram": 12}. Counted while reading.
        self.left_out: Counter[str] = Counter()
        #: What could not be read, each a line without the path: "torn at byte 812 of 1,040". Set while reading.
        self.damage: list[str] = []

    def opening(self) -> int | None:
        """-1: begins from nothing; n: resumes after step n, later steps of before are superseded; None: joins.

        Asked once, when the session is imported for the first time: only what can no longer change may decide it.
        """
        return -1

    @abstractmethod
    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Of a log: those with positions beyond ``after``, ascending. Of a table: all, ``after`` does not count."""


@dataclass(slots=True)
class ForeignRun:
    """One run of a foreign source."""

    identity: str  # as a session's
    name: str
    started_at: int  # microseconds since 1970
    where: str  # what it was read from, relative to the source: "runs/a/events.out.tfevents.17…"
    sessions: Sequence[Session]  # oldest first; at least one
    uid: str | None = None  # the run's own UUID, if the tool gives it one; else made from the identity
    project: str | None = None  # None: the name of the source's folder or file
    parent: str | None = None  # the identity of the run that it continues, or its uid
    parent_step: int | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """Something of the tool in the source that is not read: the report names it with the reason, as one sentence."""

    where: str  # relative to the source
    why: str  # "is compressed; unpack it first"

    @classmethod
    def of(cls, file: File, error: SourceError | OSError) -> Unread:
        """A file that an error was raised for."""
        if isinstance(error, OSError):
            return cls(file.relative, f"cannot be read: {error.strerror or error}")
        return cls(file.relative, str(error).removeprefix(f"{file.relative} "))


_COLUMNS = {"csv": "CSV or Parquet"}
#: The tools that each of the `Options` is for, as people write them.
OPTIONS_OF = {
    "deleted": {"mlflow": "MLflow"},
    "merge_subfolders": {"tensorboard": "TensorBoard"},
    "timezone": {"optuna": "Optuna", **_COLUMNS},
    "step": _COLUMNS,
    "run": _COLUMNS,
    "time": _COLUMNS,
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may say about how a source is read. One that says nothing to a reader is refused, not ignored."""

    deleted: bool = False  # also what is in the trash
    merge_subfolders: bool = False  # subfolders made by add_scalars, add_hparams, Keras are one run
    timezone: str | None = None  # of times without one (IANA name); None: this machine's
    step: str | None = None  # the column of steps
    run: str | None = None  # the column that tells runs apart
    time: str | None = None  # the column of times

    def refuse_unused(self, tool: str, label: str) -> None:
        """Raise `InvalidArgumentError` for an option that is for other tools."""
        for option in fields(self):
            value, of = getattr(self, option.name), OPTIONS_OF[option.name]
            if value != option.default and tool not in of:
                tools, flag = " or ".join(of.values()), option.name.replace("_", "-")
                raise InvalidArgumentError(
                    f"{option.name}={value!r} (--{flag}) says how {tools} is read, and this is {label}: leave it out"
                )


class Reader(Protocol):
    """A module of this package that reads one tool's files: ``tensorboard``, ``wandb``, …"""

    TOOL: str  # "tensorboard": what --from takes, and run.source
    LABEL: str  # "TensorBoard": as people write it

    @staticmethod
    def is_at(place: Place) -> bool:
        """Whether the place holds something of this tool. Cheap: names, first bytes, names of tables."""
        ...

    @staticmethod
    def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
        """Its runs, parents first, and what is not read. Raises `SourceError` if nothing of it can be read."""
        ...
