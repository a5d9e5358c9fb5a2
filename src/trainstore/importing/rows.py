"""Rows of a table as steps: which column is what, which rows are of which run, and their order.

A first pass over the table finds its runs, where their rows are, and a digest of each run, so that one that has not
changed is not read again. A run whose steps do not ascend is read by the places of its rows, sorted by step.
"""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Protocol

import numpy as np

from trainstore.errors import SourceError
from trainstore.importing.foreign import Entry, Hyperparams, Session, Step
from trainstore.importing.places import File
from trainstore.importing.texts import read_yaml
from trainstore.values import MAX_STEP, microseconds_of

MAX_RUNS = 10_000
MAX_DAMAGE = 20  # lines about one table
_SPREAD = 4  # times the room of its own rows: up to there, a run's rows lie together
_TIMES = ((1e8, 0), (1e11, 1_000_000), (1e14, 1_000), (1e17, 1), (1e20, 1e-3))  # below: microseconds a unit


class Table(Protocol):
    """A file with columns; rows have places, which ascend."""

    columns: list[str]
    damage: list[str]
    gap: int  # how far apart two rows may be to be read in one go

    def rows(self, begin: int | None = None, end: int | None = None) -> Iterator[tuple[int, Sequence[Any]]]:
        """Rows with places from ``begin`` to before ``end``."""
        ...

    def at(self, places: Iterable[int]) -> Iterator[tuple[int, Sequence[Any]]]:
        """The rows at some places, in their order."""
        ...

    def value(self, field: Any) -> Any:
        """What a field says; None if it is empty."""
        ...


@dataclass(frozen=True)
class Layout:
    """Which column is what, by number."""

    step: int
    metrics: Mapping[int, str]
    run: int | None = None
    time: int | None = None
    epoch: int | None = None
    zone: tzinfo | None = None  # of times without one


@dataclass
class Part:
    """The rows of one run."""

    first: dict[str, str] = field(default_factory=dict)  # the fields of its first row that are not empty
    first_step: int = 0
    first_at: int | None = None
    ascending: bool = True
    last_step: int = -1
    rows: int = 0
    extents: list[list[int]] = field(default_factory=list)  # begin and end of places
    digest: Any = field(default_factory=hashlib.blake2b)
    places: array[int] | None = None  # of its rows, if many of other runs lie between them

    def take(self, place: int, step: int, fields: Sequence[Any], gap: int) -> None:
        """Count a row in."""
        self.ascending = self.ascending and step >= self.last_step
        self.last_step = step
        self.rows += 1
        if self.places is not None:
            self.places.append(place)
        self.digest.update(repr(fields).encode("utf-8", "backslashreplace"))
        if self.extents and place - self.extents[-1][1] <= gap:
            self.extents[-1][1] = place + 1
        else:
            self.extents.append([place, place + 1])


def scan(table: Table, layout: Layout, damage: list[str]) -> dict[str, Part]:
    """The runs of a table by what its run column says, "" without one. What is damaged is added to ``damage``.

    A row without a value in a column of the layout is none of its rows.
    """
    parts: dict[str, Part] = {}
    value = table.value
    given = [number for number in (*layout.metrics, layout.epoch) if number is not None]
    own = sorted({number for number in (layout.step, layout.run, layout.time, *given) if number is not None})
    damage.clear()
    odd = 0
    for place, fields in table.rows():
        if not any(value(fields[number]) is not None for number in given):
            continue
        step = step_of(value(fields[layout.step]))
        run = "" if layout.run is None else str(fields[layout.run] if fields[layout.run] is not None else "").strip()
        if step is None or (layout.run is not None and not run):
            if any(table.value(one) is not None for one in fields):
                odd += 1
                if odd <= MAX_DAMAGE:
                    what = (
                        "run" if step is not None else f"step that is a whole number: {str(fields[layout.step])[:60]!r}"
                    )
                    damage.append(f"the row at {place:,} has no {what}")
            continue
        part = parts.get(run)
        if part is None:
            if len(parts) == MAX_RUNS:
                raise SourceError(
                    f"column {table.columns[layout.run or 0]!r} has more than {MAX_RUNS:,} different values; "
                    "name the column that tells runs apart with --run"
                )
            part = parts[run] = Part(_named(table, fields, own), step, _time(table, layout, fields))
            part.places = None if layout.run is None else array("q")
        part.take(place, step, fields if len(own) == len(fields) else [fields[number] for number in own], table.gap)
    if odd > MAX_DAMAGE:
        damage.append(f"{odd - MAX_DAMAGE:,} more rows have no step or no run")
    damage.extend(table.damage)
    _forget_places(parts.values())
    return parts


def _forget_places(parts: Collection[Part]) -> None:
    """Of runs whose rows lie together: those are read in one go. Of others that would read the whole file for each."""
    ends = [end for part in parts for _, end in part.extents]
    if not ends:
        return
    begin = min(part.extents[0][0] for part in parts)
    row = (max(ends) - begin) / sum(part.rows for part in parts)
    for part in parts:
        if sum(end - begin for begin, end in part.extents) <= _SPREAD * row * part.rows:
            part.places = None


def steps(
    table: Table, layout: Layout, run: str, part: Part, modified: int, left_out: Counter[str] | None = None
) -> Iterator[Step]:
    """The steps of one run, ascending; rows of one step in their order."""
    if part.ascending:
        found = _in_order(table, layout, run, part)
    else:
        numbers, places = array("q"), array("q")
        for place, _, step in _in_order(table, layout, run, part):
            numbers.append(step)
            places.append(place)
        order = np.argsort(np.frombuffer(numbers, dtype=np.int64), kind="stable")
        sorted_places = np.frombuffer(places, dtype=np.int64)[order]
        found = (
            (place, fields, number)
            for place, fields in table.at(map(int, sorted_places))
            if (number := step_of(table.value(fields[layout.step]))) is not None
        )
    value, metrics = table.value, [*layout.metrics.items()]
    for _, fields, step in found:
        given = {name: cell for number, name in metrics if (cell := value(fields[number])) is not None}
        epoch = None if layout.epoch is None else epoch_of(value(fields[layout.epoch]))
        if given or epoch is not None:
            at = _time(table, layout, fields)
            if at is None and left_out is not None and layout.time is not None:
                left_out["time that cannot be read"] += 1
            yield Step(modified if at is None else at, step, given, epoch)


class RowSession(Session):
    """The rows of one run as a session; what else it has comes before them.

    Args:
        table: The table, of which ``file`` is the file.
        part: The run's rows.
        run: What the run column says of it.
        identity: As `Session.identity`.
        damage: What was found damaged in the whole table.
    """

    def __init__(
        self, table: Table, file: File, layout: Layout, part: Part, run: str, identity: str, damage: list[str]
    ) -> None:
        super().__init__()
        self.identity = identity
        self.started_at = file.modified if part.first_at is None else part.first_at
        self.stamp = part.digest.hexdigest()
        self.written_at = file.modified
        self._rows = (table, layout, run, part, file.modified)
        self._damage = damage

    def before(self) -> Iterator[Entry]:
        """Hyperparameters and the like."""
        yield from ()

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """All of the run's rows, ascending by step."""
        self.left_out.clear()
        self.damage[:] = self._damage
        yield from self.before()
        yield from steps(*self._rows, self.left_out)


def hyperparams_in(file: File, left_out: Counter[str], damage: list[str]) -> Iterator[Hyperparams]:
    """The hyperparameters of a YAML file beside a table; why there are none is added to ``damage``."""
    try:
        values = read_yaml(file, left_out)
    except SourceError as error:
        damage.append(str(error))
        return
    if isinstance(values, dict) and values:
        yield Hyperparams(values)
    elif values:
        damage.append(f"{file.relative} holds no names and values")


def first_row(part: Part) -> str:
    """What tells a run from others of its name, wherever its file lies and however it has grown."""
    first = json.dumps(part.first, sort_keys=True)
    return hashlib.sha256(first.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _in_order(table: Table, layout: Layout, run: str, part: Part) -> Iterator[tuple[int, Sequence[Any], int]]:
    stretches = (table.rows(begin, end) for begin, end in part.extents)
    for stretch in stretches if part.places is None else [table.at(part.places)]:
        for place, fields in stretch:
            if layout.run is not None and str(fields[layout.run]).strip() != run:
                continue
            step = step_of(table.value(fields[layout.step]))
            if step is not None:
                yield place, fields, step


def _named(table: Table, fields: Sequence[Any], numbers: Sequence[int]) -> dict[str, str]:
    """Some fields of a row by their columns' names, if they are not empty."""
    return {table.columns[number]: str(fields[number]) for number in numbers if table.value(fields[number]) is not None}


def step_of(value: object) -> int | None:
    """A step, if it is one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_STEP else None


def epoch_of(value: object) -> float | None:
    """An epoch, if it is one."""
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None  # type: ignore[arg-type]


def _time(table: Table, layout: Layout, fields: Sequence[Any]) -> int | None:
    return None if layout.time is None else moment(table.value(fields[layout.time]), layout.zone)


def moment(value: object, zone: tzinfo | None) -> int | None:
    """A time in microseconds since 1970: of a date, or a number of seconds, ms, µs or ns since then; else None."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("/", "-"))
        except ValueError:
            return None
    if isinstance(value, datetime):
        try:
            return microseconds_of((value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC))
        except (OverflowError, ValueError, OSError):
            return None
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        return None
    for below, unit in _TIMES:
        if 0 <= value < below:  # type: ignore[operator]
            return int(value * unit) if unit else None  # type: ignore[operator]
    return None
