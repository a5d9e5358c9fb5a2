"""What the runs of one import share: the store, how far each session is read, the uids that identities become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from sqlalchemy import Connection, Engine

from trainstore.importing.foreign import ForeignRun
from trainstore.importing.sending import Target

NAMESPACE = UUID("7a2f3d0e-5d0c-5b1e-9a53-6f1f3f0b9c11")  # of uids that are made from identities; never to be changed


@dataclass(slots=True)
class Reached:
    """How far a session is read, and what was counted on the way since its last import event."""

    after: int = 0  # a log's position
    points: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)
    mark: object = None  # a log's end_position or a table's stamp when it was read
    last_at: int | None = None  # the time of the latest entry
    stored: bool = False  # something, since the last import event
    broken: bool = False  # reading stopped, and may get further the next time
    uncounted: bool = False  # of a log read piece by piece: pieces had more that was left out or damaged


@dataclass(slots=True)
class Context:
    """What all runs of one import share."""

    target: Target
    engine: Engine
    tool: str
    place_name: str
    project: str | None
    revive: bool
    progress: Callable[[str, int], None]  # a run's name, points more
    final: bool = True  # whether import events are written; while a source is followed they wait for the end
    reached: dict[str, Reached] = field(default_factory=dict)  # by the writer's uid
    runs: dict[str, str] = field(default_factory=dict)  # uids by the runs' identities
    # Of a source that is followed:
    follows: bool = False
    is_first: bool = True  # it is looked at for the first time
    grew: bool = False  # something was new in it, this time
    open: dict[str, int] = field(default_factory=dict)  # writers that have not ended → when the source was last written
    grown_at: dict[str, int] = field(default_factory=dict)  # runs → when something was new

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """A connection to read by."""
        with self.target.service.backend.reading(self.engine) as connection:
            yield connection

    def run_uid(self, run: ForeignRun) -> str:
        """The uid of a run: its own, if it has one."""
        return as_uuid(run.uid) or made_uid(self.tool, "run", run.identity)

    def parent_uid(self, run: ForeignRun) -> str | None:
        """The uid of the run that it continues."""
        if run.parent is None:
            return None
        return self.runs.get(run.parent) or as_uuid(run.parent) or made_uid(self.tool, "run", run.parent)


def made_uid(tool: str, kind: str, identity: str) -> str:
    """The uid of a run or a session that has none of its own."""
    return str(uuid5(NAMESPACE, f"{tool}:{kind}:{identity}".encode("utf-8", "backslashreplace").decode()))


def as_uuid(text: str | None) -> str | None:
    """A uid as we write it, if a text is one, with hyphens or without; else None."""
    try:
        return str(UUID(text)) if text and len(text) in (32, 36) else None
    except ValueError:
        return None
