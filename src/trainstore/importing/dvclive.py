"""DVCLive's folders: a TSV file a metric in ``plots/metrics``, ``metrics.json`` and ``params.yaml``."""

from __future__ import annotations

import hashlib
import heapq
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainstore.errors import SourceError
from trainstore.importing.delimited import SETTLED, Delimited
from trainstore.importing.foreign import Entry, ForeignRun, Options, Session, Step, Unread
from trainstore.importing.places import File, Place
from trainstore.importing.rows import Layout, Part, first_row, hyperparams_in, scan, step_of, steps
from trainstore.importing.texts import read, read_json, yaml_stamp

TOOL = "dvclive"
LABEL = "DVCLive"

_SERIES = re.compile(r"(?:(?P<folder>.*?)/)?plots/metrics/(?P<name>.+)\.tsv\Z")
_OTHER = re.compile(r"(?:(?P<folder>.*?)/)?plots/(?P<kind>images|custom|sklearn)/.")
_KINDS = {"images": "image", "custom": "plot", "sklearn": "plot"}
_SUMMARY, _PARAMS = "metrics.json", "params.yaml"
_MAX_FILE = 4 << 20
_AT_ONCE = 200  # files that are open at a time
_MAX_DEPTH = 64


def is_at(place: Place) -> bool:
    """Whether there are series: ``plots/metrics/….tsv``."""
    return any(_SERIES.match(file.relative) for file in place.files)


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """Its runs, sorted by their folders."""
    folders: dict[str, _Folder] = {}
    for file in place.files:
        match = _SERIES.match(file.relative)
        if match:
            path = match["folder"] or ""
            folders.setdefault(path, _Folder(path, place)).files[match["name"]] = file
    if not folders:
        raise SourceError(f"{place.name} holds no plots/metrics/*.tsv, as DVCLive writes them")
    for file in place.files:
        match = _OTHER.match(file.relative)
        if match and (match["folder"] or "") in folders:
            folders[match["folder"] or ""].others[_KINDS[match["kind"]]] += 1
        elif file.folder in folders and file.name in (_SUMMARY, _PARAMS):
            folders[file.folder].beside[file.name] = file
    taken: set[str] = set()
    for path in sorted(folders):
        yield from folders[path].run(taken)


@dataclass
class _Series:
    """One metric's file."""

    name: str
    file: File
    table: Delimited
    layout: Layout
    part: Part

    def steps(self) -> Iterator[Step]:
        """Its values, ascending by step."""
        return steps(self.table, self.layout, "", self.part, self.file.modified)


@dataclass
class _Folder:
    path: str  # relative to the source
    place: Place
    files: dict[str, File] = field(default_factory=dict)  # by metric
    beside: dict[str, File] = field(default_factory=dict)  # by name
    others: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_KINDS.values(), 0))

    def run(self, taken: set[str]) -> Iterator[ForeignRun | Unread]:
        """The folder's run, if anything of it can be read."""
        series, damage = self._series()
        where = (f"{self.path}/" if self.path else "") + "plots/metrics"
        if not series:
            why = damage[0] if damage else "no file of it has a row yet"
            yield Unread(where, f"cannot be read: {why}")
            return
        first = min(series, key=lambda one: (one.part.first_step, one.name))
        newest = max(file.modified for file in self.files.values())
        has_begun = any(one.part.last_step > first.part.first_step for one in series)
        if not has_begun and time.time_ns() // 1_000 - newest < SETTLED:  # more metrics of the first step may come
            yield Unread(where, "has one step so far; it is read when there is another, or after a minute")
            return
        assert self.place.path is not None
        folder = self.place.path.resolve() / self.path
        identity = f"{folder.name}:{first.name}:{first_row(first.part)}"
        if identity in taken:
            identity += f":{self.path}"
        taken.add(identity)
        session = _Session(identity, self, series, damage, newest)
        yield ForeignRun(identity, self.path or folder.name, session.started_at, where, [session])

    def _series(self) -> tuple[list[_Series], list[str]]:
        series: list[_Series] = []
        damage: list[str] = []
        for name, file in sorted(self.files.items()):
            try:
                table = Delimited(file, "\t", breaks=True)
                layout = _layout(table, name)
                found: list[str] = []
                part = scan(table, layout, found).get("")
            except (SourceError, OSError) as error:
                found_why = Unread.of(file, error)
                damage.append(f"{found_why.where} {found_why.why}")
                continue
            damage += [f"{file.relative}: {line}" for line in found]
            if part is not None:
                series.append(_Series(name, file, table, layout, part))
        return series, damage


def _layout(table: Delimited, name: str) -> Layout:
    columns = table.columns
    metrics = [number for number, column in enumerate(columns) if column not in ("step", "timestamp")]
    if "step" not in columns or len(metrics) > 1:
        raise SourceError(
            f"{table.file.relative} has the columns {', '.join(columns) or 'none'}, not step and a metric"
        )
    if not metrics and name in ("step", "timestamp"):  # a metric of this name has no column of its own
        metrics = [columns.index(name)] if name in columns else []
    time_column = columns.index("timestamp") if "timestamp" in columns else None
    return Layout(columns.index("step"), dict.fromkeys(metrics, name), time=time_column)


class _Session(Session):
    def __init__(self, identity: str, folder: _Folder, series: list[_Series], damage: list[str], newest: int) -> None:
        super().__init__()
        self.identity = identity
        times = [one.part.first_at or one.file.modified for one in series]
        self.started_at = min(times)
        self.written_at = newest
        self._folder = folder
        self._series = series
        self._damage = damage
        digest = hashlib.blake2b()
        for one in series:
            digest.update(f"{one.name}\0{one.part.digest.hexdigest()}\0".encode("utf-8", "backslashreplace"))
        for name, file in sorted(folder.beside.items()):
            try:
                digest.update(f"{name}\0".encode() + hashlib.sha256(read(file, _MAX_FILE)).digest())
            except SourceError:
                digest.update(b"?")
        self.stamp = f"{digest.hexdigest()}{yaml_stamp() if _PARAMS in folder.beside else ''}"

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Parameters, all series together, and what stands in the summary alone."""
        self.left_out.clear()
        self.left_out.update({kind: count for kind, count in self._folder.others.items() if count})
        self.damage[:] = self._damage
        yield from self._params()
        for begin in range(0, len(self._series), _AT_ONCE):
            batch = [one.steps() for one in self._series[begin : begin + _AT_ONCE]]
            yield from heapq.merge(*batch, key=lambda entry: entry.step)
        yield from self._summary()

    def _params(self) -> Iterator[Entry]:
        file = self._folder.beside.get(_PARAMS)
        if file is None:
            return
        yield from hyperparams_in(file, self.left_out, self.damage)

    def _summary(self) -> Iterator[Entry]:
        """Values that were put into the summary by hand: they have no series."""
        file = self._folder.beside.get(_SUMMARY)
        if file is None:
            return
        try:
            values = read_json(file, _MAX_FILE)
        except SourceError as error:
            self.damage.append(str(error))
            return
        if not isinstance(values, dict):
            self.damage.append(f"{file.relative} holds no names and values")
            return
        step = step_of(values.pop("step", None))
        known = set(self._folder.files)
        own = {name: value for name, value in _flat(values).items() if name not in known}
        if own:
            last = max(one.part.last_step for one in self._series)
            yield Step(file.modified, last if step is None else step, own)


def _flat(values: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            found |= _flat(value, f"{before}{name}/", depth + 1)
        else:
            found[f"{before}{name}"] = value
    return found
