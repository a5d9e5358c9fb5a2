"""What every source is tested with: importing, what a store then holds, growing, killing and damaging."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from importing.reading import SAMPLES, WORDS
from trainstore.importing import Imported, import_runs
from trainstore.importing import sending as sending_module
from trainstore.models import TABLE_NAMES
from trainstore.store import TrainStore
from trainstore.values import restore

#: Kills of a source by SIGKILL; `make soak-import` sets more.
KILLS = int(os.environ.get("IMPORT_KILLS", "3"))

Point = tuple[str, int, str]
Truth = dict[str, Any]


def _points(truth: Truth) -> Iterable[Sequence[Any]]:
    return truth["points"]  # type: ignore[no-any-return]


def _name(truth: Truth) -> str:
    return str(truth.get("name") or truth["source_id"])


@dataclass(frozen=True)
class Source:
    """A sample, and how its truth is read. The names of the runs in the store must be unique."""

    tool: str  # the folder below samples/, and what --from takes unless ``reads_as`` says otherwise
    inside: str  # what is imported, below that folder
    truth: str = "truth.json"
    reads_as: str | None = None
    is_log: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    name: Callable[[Truth], str] = _name  # what a run of the truth is called in the store
    points: Callable[[Truth], Iterable[Sequence[Any]]] = _points  # [metric, step, value, …]
    apart: str | None = None  # the axis that the reader gives beside the metrics; the report does not count it
    skips: Callable[[Truth], bool] = lambda _: False  # runs of the truth that are not to be imported
    #: For growing logs: the files in the order in which they were written.
    written: Callable[[list[str]], list[str]] = sorted

    def __str__(self) -> str:
        return f"{self.tool}-{Path(self.inside).name}"

    @property
    def path(self) -> Path:
        """Where the sample lies."""
        return SAMPLES / self.tool / self.inside

    def runs(self) -> dict[str, Truth]:
        """The truth's runs by their names in the store."""
        found = orjson.loads((SAMPLES / self.tool / self.truth).read_bytes())["runs"]
        return {self.name(run): run for run in found if not self.skips(run)}

    def expected(self) -> dict[str, list[Point]]:
        """Every point of every run."""
        return {name: sorted(_point(*point[:3]) for point in self.points(run)) for name, run in self.runs().items()}

    def copy(self, folder: Path) -> Path:
        """A copy of the sample that may be changed, under the same name."""
        target = folder / self.path.name
        if self.path.is_dir():
            shutil.copytree(self.path, target)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.path, target)
        return target

    def bring(self, store: TrainStore, source: Path | None = None, **options: Any) -> Imported:
        """Import the sample, or a copy of it."""
        return import_runs(store, source or self.path, tool=self.reads_as or self.tool, **self.options, **options)


def _point(metric: str, step: int, value: object) -> Point:
    value = WORDS.get(value, value) if isinstance(value, str) else value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return metric, step, repr(float(value)) if number else repr(value)  # type: ignore[arg-type]


def stored_points(store: TrainStore) -> dict[str, list[Point]]:
    """Every point in a store by the runs' names: values that count, earlier ones, of superseded attempts too."""
    tables = store.table
    found: dict[str, list[Point]] = {}
    with store.engine.connect() as connection:
        names = dict(connection.execute(select(tables.run.c.id, tables.run.c.name)).all())
        for run in names.values():
            found[run] = []
        for row in connection.execute(select(tables.step_log)):
            points = found[names[row.run_id]]
            earlier = (row.details or {}).get("earlier", {})
            for metric, value in row.metrics.items():
                points += (_point(metric, row.step, restore(one)) for one in (*earlier.get(metric, ()), value))
            for axis in ("epoch", "step_time"):
                if getattr(row, axis) is not None:
                    points.append(_point(axis, row.step, getattr(row, axis)))
    return {name: sorted(points) for name, points in found.items()}


def everything(store: TrainStore) -> dict[str, list[str]]:
    """All rows of all tables."""
    found: dict[str, list[str]] = {}
    with store.engine.connect() as connection:
        for name in TABLE_NAMES:
            rows = connection.execute(select(getattr(store.table, name)))
            found[name] = sorted(repr(sorted(row._mapping.items(), key=lambda item: item[0])) for row in rows)
    return found


#: Columns that differ from one import to the next: local ids, clocks, how far.
_LOCAL = {
    "run": {"id", "parent_run_id"},
    "attempt": {"run_id"},
    "step_log": {"run_id"},
    "metric_summary": {"run_id"},
    "hyperparam": {"run_id"},
    "writer": {"run_id", "closed_at", "heartbeat_at", "acked"},
    "event": {"run_id", "id", "seq"},
}


def content(store: TrainStore) -> dict[str, list[str]]:
    """What a store holds, however it came there: without local ids, clocks, and the events of imports."""
    found: dict[str, list[str]] = {}
    with store.engine.connect() as connection:
        run = store.table.run.c
        uids = dict(connection.execute(select(run.id, run.uid)).all())
        parents = dict(connection.execute(select(run.id, run.parent_run_id)).all())
        for name, local in _LOCAL.items():
            lines = []
            for row in connection.execute(select(getattr(store.table, name))):
                values = dict(row._mapping)
                if name == "event" and values["kind"] == "import":
                    continue
                values["of"] = uids[values["id"] if name == "run" else values["run_id"]]
                if name == "run":
                    values["parent"] = uids.get(parents[values["id"]])
                lines.append(repr(sorted((k, _equal(v)) for k, v in values.items() if k not in local)))
            found[name] = sorted(lines)
    return found


def _equal(value: object) -> object:
    """Numbers as float64, keys in order."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dict):
        return sorted((k, _equal(v)) for k, v in value.items())
    return [_equal(item) for item in value] if isinstance(value, list) else value


def fingerprint(source: Path) -> dict[str, tuple[int, int, str]]:
    """Names, modes, times of modification and bytes of everything at a place, and of the folder around it."""
    found: dict[str, tuple[int, int, str]] = {}
    for path in (source.parent, source, *sorted(source.rglob("*"))):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ",".join(sorted(os.listdir(path)))
        found[str(path)] = (status.st_mode, status.st_mtime_ns, digest)
    return found


def grown(source: Path, into: Path, order: Callable[[list[str]], list[str]], random_: random.Random) -> Iterator[None]:
    """Copy a source into a folder piece by piece, file after file, each cut anywhere; stops after each piece."""
    files = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    into.mkdir(parents=True)
    for name in order(files):
        whole = (source / name).read_bytes()
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        cuts = sorted({random_.randrange(len(whole) + 1) for _ in range(random_.randrange(3))}) if whole else []
        for cut in (*cuts, len(whole)):
            (into / name).write_bytes(whole[:cut])
            shutil.copystat(source / name, into / name)
            if cut < len(whole) or random_.random() < 0.5:
                yield
    yield


def seconds_to_import(source: Source, place: Path, url: str) -> float:
    """How long a process takes to import a source to its end."""
    began = time.monotonic()
    assert _in_child(source, place, url) == 0
    return time.monotonic() - began


def killed_and_done(source: Source, place: Path, url: str, seconds: float, random_: random.Random, most: int) -> int:
    """Import in processes that are killed, at most so many or until one has ended, then to the end; how many were."""
    for killed in range(most):
        if _in_child(source, place, url, kill_after=random_.random() * seconds * 1.2) == 0:
            return killed
    assert _in_child(source, place, url) == 0
    return most


def _in_child(source: Source, place: Path, url: str, kill_after: float | None = None) -> int:
    """Import in a forked process, a few records a transaction; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:  # coverage: no lines of this process count
        try:
            sending_module.MAX_RECORDS = 7
            with TrainStore(url) as store:
                source.bring(store, place)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL)
    return code


def damaged(source: Path, random_: random.Random) -> str:
    """Cut one file of a place short, or flip some of its bytes; which, and how."""
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    path = random_.choice([file for file in files if file.stat().st_size])
    whole = bytearray(path.read_bytes())
    if random_.random() < 0.5:
        cut = random_.randrange(len(whole))
        path.write_bytes(whole[:cut])
        return f"{path.name} cut at byte {cut}"
    places = [random_.randrange(len(whole)) for _ in range(random_.choice((1, 1, 3, 30)))]
    for place in places:
        whole[place] ^= 1 << random_.randrange(8)
    path.write_bytes(whole)
    return f"{path.name} with other bits at {places}"


def lacking(found: list[Point], expected: list[Point]) -> list[Point]:
    """Points that are expected and were not found."""
    return sorted((Counter(expected) - Counter(found)).elements())
