"""MLflow's file store, ``mlruns/``: a folder for each run, in it a file for each metric, parameter and tag."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from trainstore.errors import SourceError
from trainstore.importing.foreign import ForeignRun, Options, Step, Unread
from trainstore.importing.mlflow_values import (
    NAME,
    PARENT,
    TRASH,
    MLflowSession,
    Row,
    foreign_run,
    parents_first,
    steps,
)
from trainstore.importing.places import File, Place
from trainstore.importing.texts import read, read_yaml
from trainstore.values import MAX_STEP

META = "meta.yaml"
MAX_TEXT = 16 << 20  # bytes of a parameter or tag
MAX_LINE = 4_096  # bytes of a line of a metric
MAX_IN_MEMORY = 4 << 20  # bytes of all metrics of a run that are sorted in memory
_HEAD = 64 << 10  # bytes of a meta.yaml by which it is known
_TRASH = ".trash"
_RUN_ID = re.compile(r"[0-9a-f]{32}\Z")
_PARTS = ("metrics", "params", "tags")

Point = tuple[int, int, str, float]  # step, µs, metric, value


def is_at(place: Place) -> bool:
    """Whether an experiment or a run of a file store is there."""
    return any(_looks_right(file) for file in place.files if file.name == META)


def _looks_right(file: File) -> bool:
    try:
        with file.open() as opened:
            head = opened.read(_HEAD)
    except (SourceError, OSError):
        return False
    return b"experiment_id:" in head and (b"artifact_location:" in head or b"artifact_uri:" in head)


@dataclass(slots=True)
class _Folder:
    """The files of a run, by their paths below ``metrics``, ``params`` and ``tags``."""

    path: str
    meta: File
    values: dict[str, Any] = field(default_factory=dict)  # of meta.yaml
    metrics: dict[str, File] = field(default_factory=dict)
    params: dict[str, File] = field(default_factory=dict)
    tags: dict[str, File] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)

    def add(self, file: File) -> None:
        """Take in a file that lies in the run's folder."""
        part, _, name = file.relative[len(self.path) + 1 if self.path else 0 :].partition("/")
        if part in _PARTS and name:
            getattr(self, part)[name] = file
        elif part in ("inputs", "outputs") and file.name == META:
            self.others["data set" if part == "inputs" else "logged model"] += 1

    def stamp(self) -> str:
        """Changes with every file."""
        files = [self.meta, *self.metrics.values(), *self.params.values(), *self.tags.values()]
        digest = hashlib.blake2b(digest_size=16)
        for file in files:
            name = file.relative[len(self.path) :]
            digest.update(f"{name!r}:{file.size}:{file.modified};".encode("utf-8", "backslashreplace"))
        digest.update(repr(sorted(self.others.items())).encode())
        return digest.hexdigest()


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """The runs of a file store."""
    experiments, folders, unread = _folders(place)
    yield from unread
    rows: dict[str, Row] = {}
    by_id: dict[str, _Folder] = {}
    trash = 0
    for folder in folders:
        row = _row(folder, experiments)
        if row.is_deleted and not options.deleted:
            trash += 1
        elif row.run_id in rows:
            yield Unread(folder.path, f"has the id of the run in {by_id[row.run_id].path}")
        else:
            rows[row.run_id], by_id[row.run_id] = row, folder
    for row in parents_first(dict(sorted(rows.items(), key=lambda item: (item[1].started_at, item[0])))):
        folder = by_id.pop(row.run_id)
        yield foreign_run(row, _Session(row, folder))
    if trash:
        runs = f"{trash:,} run{'s' if trash > 1 else ''}"
        yield Unread(runs, f"{'are' if trash > 1 else 'is'} {TRASH}")
    yield from _others(place)


def _others(place: Place) -> Iterator[Unread]:
    """What belongs to no run."""
    traces = sum(file.name == "trace_info.yaml" for file in place.files)
    if traces:
        yield Unread("traces", f"({traces:,}) are not imported")
    models = {
        file.folder
        for file in place.files
        if file.name == META and len(parts := file.folder.split("/")) > 1 and parts[-2] == "models"
    }
    if models:
        yield Unread("models", f"({len(models):,}) are not imported")


def _folders(place: Place) -> tuple[dict[str, dict[str, Any]], list[_Folder], list[Unread]]:
    """The experiments by their folders, the runs' folders, and what cannot be read."""
    experiments: dict[str, dict[str, Any]] = {}
    folders: dict[str, _Folder] = {}
    unread: list[Unread] = []
    metas = [file for file in place.files if file.name == META]
    for file in sorted(metas, key=lambda file: file.relative.count("/")):
        if any(above in folders for above in _above(file.folder)) or not _looks_right(file):
            continue
        damage: Counter[str] = Counter()
        try:
            values = read_yaml(file, damage)
        except SourceError as error:
            unread.append(Unread.of(file, error))
            continue
        if not isinstance(values, dict):
            unread.append(Unread(file.relative, "is not a mapping"))
        elif "run_id" in values or "run_uuid" in values:
            folders[file.folder] = _Folder(file.folder, file, values, damage=[f"{META}: {one}" for one in damage])
        elif "artifact_location" in values:
            experiments[file.folder] = values
    for file in place.files:
        if file.name != META or file.folder not in folders:
            found = next((folders[path] for path in _above(file.folder) if path in folders), None)
            if found is not None:
                found.add(file)
    known = {one.where for one in unread}
    unread += [
        Unread(path, f"has no {META} that can be read, so its run is not known")
        for path in _run_folders(place)
        if path not in folders and f"{path}/{META}" not in known
    ]
    return experiments, list(folders.values()), unread


def _run_folders(place: Place) -> list[str]:
    """Folders that are runs by their names."""
    found: dict[str, None] = {}
    for file in place.files:
        parts = file.relative.split("/")
        for place_, part in enumerate(parts[:-1]):
            if _RUN_ID.match(part) and parts[place_ + 1] in (*_PARTS, META):
                found["/".join(parts[: place_ + 1])] = None
                break
    return list(found)


def _above(folder: str) -> Iterator[str]:
    """A folder and all those it lies in, from the inside, "" last."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _row(folder: _Folder, experiments: Mapping[str, dict[str, Any]]) -> Row:
    values = folder.values
    above = folder.path.rpartition("/")[0]
    experiment = experiments.get(above, {})
    started_at, ended_at = _microseconds(values.get("start_time")), _microseconds(values.get("end_time"))
    created_at = _microseconds(experiment.get("creation_time"))
    name = _text(folder.tags.get(NAME)) or values.get("run_name") or values.get("name")
    status = values.get("status")
    run_id = values.get("run_id") or values.get("run_uuid")
    return Row(
        run_id=run_id if isinstance(run_id, str) else folder.path.rpartition("/")[2] or str(run_id),
        experiment=str(experiment.get("name") or values.get("experiment_id")),
        name=None if name is None else str(name),
        status=status if isinstance(status, int) else str(status),
        started_at=next((time for time in (started_at, ended_at, created_at) if time), folder.meta.modified),
        ended_at=ended_at,
        artifact_uri=str(values["artifact_uri"]) if values.get("artifact_uri") else None,
        where=folder.path or folder.meta.folder or ".",
        is_deleted="deleted" in (values.get("lifecycle_stage"), experiment.get("lifecycle_stage"))
        or _TRASH in folder.path.split("/"),
        parent=_text(folder.tags.get(PARENT)) or None,
        stamp=folder.stamp(),
        left_out=folder.others,
    )


def _microseconds(milliseconds: Any) -> int | None:
    whole = milliseconds if type(milliseconds) in (int, float) else None
    return None if whole is None or whole != whole or abs(whole) > MAX_STEP else int(whole) * 1_000


def _text(file: File | None) -> str | None:
    """What a parameter's or a tag's file holds."""
    if file is None:
        return None
    try:
        return read(file, MAX_TEXT).decode("utf-8", "replace")
    except SourceError:
        return None


class _Session(MLflowSession):
    """A run in files."""

    def __init__(self, row: Row, folder: _Folder) -> None:
        super().__init__(row)
        self._folder = folder

    def params(self) -> Mapping[str, str | None]:
        return self._texts(self._folder.params)

    def tags(self) -> Mapping[str, str | None]:
        return self._texts(self._folder.tags)

    def _texts(self, files: Mapping[str, File]) -> Mapping[str, str | None]:
        found: dict[str, str | None] = {}
        for name, file in files.items():
            try:
                found[name] = read(file, MAX_TEXT).decode("utf-8", "replace")
            except SourceError as error:
                line = str(error)
                if line not in self.damage:
                    self.damage.append(line)
        return found

    def steps(self) -> Iterator[Step]:
        self.damage += self._folder.damage
        return steps(self._sorted(), self.left_out)

    def _sorted(self) -> Iterator[Point]:
        if sum(file.size for file in self._folder.metrics.values()) <= MAX_IN_MEMORY:
            yield from sorted(self._points(), key=lambda point: point[:2])
        else:
            yield from _sorted_on_disk(self._points())

    def _points(self) -> Iterator[Point]:
        for name, file in self._folder.metrics.items():
            try:
                yield from self._of(name, file)
            except OSError as error:
                self.damage.append(f"{file.relative} cannot be read: {error.strerror or error}")
            except SourceError as error:
                self.damage.append(str(error))

    def _of(self, name: str, file: File) -> Iterator[Point]:
        odd = first_odd = number = 0
        with file.open() as opened:
            while line := opened.readline(MAX_LINE):
                number += 1
                if not line.endswith(b"\n") and len(line) < MAX_LINE:
                    self.damage.append(f"metrics/{name}: line {number:,} is torn at the end of the file")
                    break
                point = _point(name, line) if line.endswith(b"\n") else None
                if point is not None:
                    yield point
                else:
                    odd, first_odd = odd + 1, first_odd or number
                    while line and not line.endswith(b"\n"):
                        line = opened.readline(MAX_LINE)
        if odd:
            lines = f"{odd:,} lines, the first is line {first_odd:,}" if odd > 1 else f"line {first_odd:,}"
            self.damage.append(f"metrics/{name}: not “time value step”: {lines}")


def _point(name: str, line: bytes) -> Point | None:
    """A line: milliseconds, value, step; the oldest have no step, some have a data set's name and digest behind it."""
    parts = line.split()
    if len(parts) not in (2, 3, 5) or len(parts[0]) > 15:
        return None
    try:
        step = int(parts[2]) if len(parts) > 2 else 0
        return (step, int(parts[0]) * 1_000, name, float(parts[1])) if abs(step) <= MAX_STEP else None
    except ValueError:
        return None


def _sorted_on_disk(points: Iterable[Point]) -> Iterator[Point]:
    """Points by step and time, those of one time as they came. What does not fit into memory is in a temporary file."""
    with closing(sqlite3.connect("", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE point (step INTEGER, at INTEGER, name BLOB, value)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO point VALUES (?, ?, ?, ?)", map(_packed, points))
        for step, at, name, value in connection.execute("SELECT * FROM point ORDER BY step, at, rowid"):
            yield step, at, name.decode("utf-8", "surrogateescape"), value if type(value) is float else float("nan")


def _packed(point: Point) -> tuple[Any, ...]:
    step, at, name, value = point
    return step, at, name.encode("utf-8", "surrogateescape"), value  # NaN becomes NULL
