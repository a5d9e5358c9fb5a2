"""Files with a column of steps and columns of metrics: CSV, TSV and Parquet, of whatever tool.

A file is a run, or several that a column tells apart. W&B's exports work: a run's history, and a chart's file with a
column for each run. Which columns hold steps, runs and times is guessed by their names, unless it is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from trainstore.errors import InvalidArgumentError, SourceError
from trainstore.importing import dvclive, lightning
from trainstore.importing.delimited import Delimited
from trainstore.importing.foreign import Entry, ForeignRun, Options, Unread
from trainstore.importing.parquet import Parquet
from trainstore.importing.places import File, Place
from trainstore.importing.rows import Layout, RowSession, Table, first_row, moment, scan

TOOL = "csv"
LABEL = "CSV or Parquet"

STEPS = ("step", "global_step", "_step", "trainer/global_step", "iteration", "iter", "epoch")
RUNS = ("run", "run_id", "run_name", "run_uuid")
TIMES = ("timestamp", "_timestamp", "wall_time", "logged_at", "datetime", "time", "date")
_DELIMITED, _PARQUET = (".csv", ".tsv"), (".parquet", ".pq")
_SHOWN = 20  # columns in a message
_CHART = " - "  # between run and metric, in the columns of a chart's file
_BOUNDS = ("__MIN", "__MAX")  # of the values that such a file has a mean of


def is_at(place: Place) -> bool:
    """Whether it is such a file, or a folder of nothing else, and not Lightning's or DVCLive's."""
    names = [file.name for file in place.files if not file.name.startswith(".")]
    if not names or not all(name.lower().endswith(_DELIMITED + _PARQUET) for name in names):
        return False
    return not lightning.is_at(place) and not dvclive.is_at(place)


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """Its runs, file by file."""
    files = place.files
    if place.path is not None and place.path.is_dir():
        files = [file for file in files if file.name.lower().endswith(_DELIMITED + _PARQUET)]
    if not files:
        raise SourceError(f"{place.name} holds no file whose name ends in {', '.join(_DELIMITED + _PARQUET)}")
    zone = zone_of(options.timezone)
    taken: set[str] = set()
    for file in files:
        try:
            yield from _runs(file, options, zone, taken)
        except (SourceError, OSError) as error:
            if len(files) == 1:
                raise
            yield Unread.of(file, error)


def _runs(file: File, options: Options, zone: tzinfo | None, taken: set[str]) -> Iterator[ForeignRun]:
    table: Table = Parquet(file) if file.name.lower().endswith(_PARQUET) else Delimited(file)
    stem = str(PurePosixPath(file.relative).with_suffix(""))
    charts = _charts(table.columns) if options.run is None else {}
    layouts = charts or {"": _layout(table, file, options, zone)}
    found = False
    for chart, layout in layouts.items():
        damage: list[str] = []
        for value, part in scan(table, layout, damage).items():
            run = chart or value
            identity = f"{file.name}:{run}:{table.columns[layout.step]}:{first_row(part)}"
            if identity in taken:
                identity += f":{file.folder}"
            taken.add(identity)
            # What is damaged is of no run that could be told; it stands with the first.
            session = _Session(table, file, layout, part, value, identity, [] if found else damage)
            session.unnamed = 0 if found else sum(not name.strip() for name in table.columns)
            session.bounds = sum(name.endswith(_BOUNDS) for name in table.columns) if charts and not found else 0
            found = True
            where = f"{file.relative}: {run}" if run else file.relative
            project = stem if run else None
            yield ForeignRun(identity, run or stem, session.started_at, where, [session], project=project)
        if damage and not found:
            raise SourceError(f"{file.relative} has no row that can be read: {damage[0]}")
    if not found:
        raise SourceError(f"{file.relative} has no rows with values")


def _layout(table: Table, file: File, options: Options, zone: tzinfo | None) -> Layout:
    names = [name.strip().lower() for name in table.columns]
    step = _named(table, file, options.step, "--step")
    if step is None:
        step = next((names.index(name) for name in STEPS if name in names), None)
    if step is None:
        raise SourceError(
            f"{file.relative} has no column of steps ({', '.join(STEPS)}); name it with --step: {_listed(table)}"
        )
    run = _named(table, file, options.run, "--run")
    if run is None and options.run is None:
        run = next((names.index(name) for name in RUNS if name in names and names.index(name) != step), None)
    first = next(table.rows(), None)
    time = _named(table, file, options.time, "--time")
    if time is not None and first is not None and moment(table.value(first[1][time]), zone) is None:
        raise SourceError(
            f"{file.relative} has no times in column {options.time!r}, but {str(first[1][time])[:60]!r}; name a "
            "column of dates, or of seconds since 1970"
        )
    if time is None and first is not None:
        times = [names.index(name) for name in TIMES if name in names]
        found = [number for number in times if moment(table.value(first[1][number]), zone) is not None]
        time = found[0] if found and found[0] not in (step, run) else None
    epoch = names.index("epoch") if "epoch" in names and names.index("epoch") not in (step, run) else None
    others = [number for number in range(len(names)) if number not in (step, run, time, epoch) and names[number]]
    return Layout(step, dict(zip(others, _distinct(table, others), strict=True)), run, time, epoch, zone)


def _named(table: Table, file: File, wanted: str | None, option: str) -> int | None:
    """The column that the user named."""
    if wanted is None:
        return None
    for name in (wanted, wanted.strip().lower()):
        columns = table.columns if name == wanted else [column.strip().lower() for column in table.columns]
        if name in columns:
            return columns.index(name)
    raise SourceError(f"{file.relative} has no column {wanted!r}, which {option} names: {_listed(table)}")


def _listed(table: Table) -> str:
    if not table.columns:
        return "it has no columns"
    more = f" and {len(table.columns) - _SHOWN:,} more" if len(table.columns) > _SHOWN else ""
    return f"its columns are {', '.join(name[:60] for name in table.columns[:_SHOWN])}{more}"


def _distinct(table: Table, numbers: Sequence[int]) -> list[str]:
    """The names of columns; a name that comes again gets a number, as pandas gives it."""
    seen: dict[str, int] = {}
    found = []
    for number in numbers:
        name = table.columns[number].strip()
        count = seen[name] = seen.get(name, -1) + 1
        found.append(f"{name}.{count}" if count else name)
    return found


def _charts(columns: Sequence[str]) -> dict[str, Layout]:
    """The runs of a file that W&B exported from a chart: "name - loss", "name - loss__MIN", "name - loss__MAX"."""
    there = set(columns)
    others = columns[1:]
    bounded = [name for name in others if all(f"{name}{bound}" in there for bound in _BOUNDS) and _CHART in name]
    if not bounded or len(bounded) * 3 != len(others):
        return {}
    found: dict[str, Layout] = {}
    for number, column in enumerate(columns):
        if column in bounded:
            run, _, metric = column.rpartition(_CHART)
            known = found.get(run, Layout(0, {}))
            if metric != "_step":
                found[run] = replace(known, metrics={**known.metrics, number: metric})
    return found


def zone_of(name: str | None) -> tzinfo | None:
    """The time zone of an IANA name; None, this machine's, without one. Raises `InvalidArgumentError`."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidArgumentError(f"there is no time zone {name!r}; an example of one is 'Europe/Berlin'") from None


class _Session(RowSession):
    unnamed = 0  # columns
    bounds = 0

    def before(self) -> Iterator[Entry]:
        """Nothing; columns that are no metrics are counted."""
        if self.unnamed:
            self.left_out["column without a name"] += self.unnamed
        if self.bounds:
            self.left_out["column of W&B's bounds (__MIN, __MAX)"] += self.bounds
        yield from ()
