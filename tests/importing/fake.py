"""A tool of our own making, whose runs a test writes down entry by entry."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from trainstore.importing import readers
from trainstore.importing.foreign import Entry, ForeignRun, Options, Session, Step, Unread
from trainstore.importing.places import Place

T = 1_780_000_000_000_000


class FakeSession(Session):
    """A log if it has no stamp."""

    def __init__(self, entries: Iterable[Entry] = (), identity: str = "session", **attributes: Any) -> None:
        super().__init__()
        self.made = list(entries)
        self.identity = identity
        self.started_at = T
        self.opens_at: int | None = -1
        self.during: Callable[[int], None] = lambda _: None  # called before the entry of this number
        self.reads = 0
        for name, value in attributes.items():
            setattr(self, name, value)

    def opening(self) -> int | None:
        """As the test says."""
        return self.opens_at

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """As the test says."""
        self.reads += 1
        for number, entry in enumerate(self.made):
            self.during(number)
            if self.stamp is not None or entry.position > after:
                yield entry


class FakeTool:
    """A reader: give it to the engine with the fixture ``fake``."""

    TOOL = "fake"
    LABEL = "Fake"

    def __init__(self) -> None:
        self.made: list[ForeignRun | Unread] = []
        self.looks = 0
        self.before: Callable[[int], None] = lambda _: None  # called at each look, with its number

    def is_at(self, place: Place) -> bool:
        """Whether a file is called so."""
        return any(file.name == "fake" for file in place.files)

    def runs(self, place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
        """As the test says."""
        self.looks += 1
        self.before(self.looks)
        yield from self.made

    def run(self, *sessions: Session, identity: str = "run", **fields: Any) -> ForeignRun:
        """Add a run of these sessions."""
        made = ForeignRun(**{
            "identity": identity, "name": identity, "started_at": T, "where": f"{identity}.fake",
            "sessions": list(sessions), "project": "p", **fields,
        })  # fmt: skip
        self.made.append(made)
        return made


def steps(begin: int, end: int, *, value: float = 1.0, position: int = 1) -> list[Entry]:
    """Steps with one metric, at ascending positions."""
    return [
        Step(T + 1_000_000 * step, step, {"loss": value / (step + 1)}, position=position + place)
        for place, step in enumerate(range(begin, end))
    ]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    """The only tool that the engine knows."""
    tool = FakeTool()
    monkeypatch.setitem(sys.modules, f"{readers.__package__}.fake", tool)
    monkeypatch.setattr(readers, "READERS", ("fake",))
    return tool
