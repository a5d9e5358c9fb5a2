"""Runs and their tables as files: the work of ``trainstore export``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from trainstore.cli.common import fail, known_metrics, open_snapshot, visible
from trainstore.cli.export import FORMATS, TABLES
from trainstore.cli.files import check_free, new_file, path_of
from trainstore.cli.formats import (
    ABSENT,
    Column,
    Row,
    check_format,
    open_writer,
    value_kind,
)
from trainstore.cli.streams import binary_output

if TYPE_CHECKING:
    from pandas import DataFrame

    from trainstore.queries import Reader, RunKey
    from trainstore.store import TrainStore

JSON_COLUMNS = frozenset({"value", "details", "versions", "changed_hyperparams"})
IN_A_FOLDER = {"steps": "step_logs"}  # what the files are called, where not like the table


def export_runs(
    runs: Sequence[str],
    everything: bool,
    kind: str | None,
    output: str | None,
    table: str | None,
    metrics: Sequence[str],
    attempts: str,
    force: bool,
    escape_formulas: bool,
    url: str,
    prefix: str,
) -> None:
    """What the command does, with its options."""
    if bool(runs) == everything:
        raise click.UsageError("Name one or several RUNs, or --all." if everything else "Name a RUN, or --all.")
    kind = kind or _kind_of(output)
    if kind is None:
        raise click.UsageError(f"Name a format with --format: {', '.join(FORMATS)}.")
    folder = _folder(output, table, several=everything or len(runs) > 1)
    target = None if output is None or output == "-" else path_of(output)
    if target is None and kind == "parquet" and binary_output().isatty():
        raise click.UsageError("parquet is binary: name a file with --output.")
    check_format(kind)
    if target is not None and not folder:
        check_free(target, force=force)
    with open_snapshot(url, prefix) as (store, reader):
        tables = _Tables(
            store, reader, None if everything else list(runs), list(dict.fromkeys(metrics)) or None, attempts
        )
        missing = set(metrics) - set(store.list_metrics()["metric"]) if metrics else ()
        if missing:
            fail(f"no run has {', '.join(map(repr, sorted(missing)))}; known metrics: {known_metrics(store)}")
        if target is None:
            _write(binary_output(), kind, tables.of(table or "steps"), escape_formulas)
        elif folder:
            _write_folder(target, kind, tables, escape_formulas, force)
        else:
            with new_file(target, force=force) as file:
                count = _write(file, kind, tables.of(table or "steps"), escape_formulas)
            click.echo(f"{visible(target)}: {count} rows")


def _kind_of(output: str | None) -> str | None:
    suffix = Path(output or "-").suffix.lstrip(".").lower()
    return suffix if suffix in FORMATS else "csv" if not suffix else None


def _folder(output: str | None, table: str | None, *, several: bool) -> bool:
    """Whether it is a folder that is written."""
    if table is not None:
        return False
    if several and output in (None, "-"):
        raise click.UsageError(
            "Several runs are written to a folder: name it with --output, or choose one table with --table."
        )
    return several or (output is not None and (output.endswith(os.sep) or path_of(output).is_dir()))


def _write(file: IO[bytes], kind: str, table: _Table, escape_formulas: bool) -> int:
    columns, pieces = table
    writer = open_writer(kind, file, columns, escape_formulas=escape_formulas)
    count = 0
    for rows in pieces():
        writer.write(rows)
        count += len(rows)
    writer.close()
    file.flush()
    return count


def _write_folder(folder: Path, kind: str, tables: _Tables, escape_formulas: bool, force: bool) -> None:
    """All of them or none: each file gets its name when the last one is written."""
    if folder.exists() and not folder.is_dir():
        fail(f"{folder} exists and is not a folder")
    new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        fail(f"cannot create the folder {folder}: {error.strerror or error}")
    paths = {name: folder / f"{IN_A_FOLDER.get(name, name)}.{kind}" for name in TABLES}
    counts: dict[str, int] = {}
    try:
        for path in paths.values():
            check_free(path, force=force)
        with ExitStack() as files:
            for name, path in paths.items():
                file = files.enter_context(new_file(path, force=force))
                counts[name] = _write(file, kind, tables.of(name), escape_formulas)
    except BaseException:
        if new and not any(folder.iterdir()):
            folder.rmdir()
        raise
    for name, path in paths.items():
        click.echo(f"{visible(path)}: {counts[name]} rows")


# --- Tables ----------------------------------------------------------------------------------------------------------

_Table = tuple[Sequence[Column], Callable[[], Iterator[Sequence[Row]]]]


class _Tables:
    """What is exported of some runs, or of all (None)."""

    def __init__(
        self,
        store: TrainStore,
        reader: Reader,
        runs: list[str] | None,
        metrics: list[str] | None,
        attempts: str,
    ) -> None:
        from trainstore.queries import resolve_runs
        from trainstore.queries.names import all_runs

        self._store = store
        self._reader = reader
        self._keys: list[RunKey] = all_runs(reader) if runs is None else resolve_runs(reader, runs)
        self._uids = [key.uid for key in self._keys]
        self._all = runs is None
        self._several = runs is None or len(runs) > 1
        self._metrics = metrics
        self._attempts = attempts

    def of(self, name: str) -> _Table:
        """Columns and rows of a table."""
        table: _Table = getattr(self, f"_{name}_table")()
        return table

    def _runs_table(self) -> _Table:
        from trainstore import queries

        chosen = None if self._all else self._store.table.run.c.uid.in_(self._uids)
        return _of_frame(queries.list_runs(self._reader, metrics=self._metrics, where=chosen).iloc[::-1])

    def _hyperparams_table(self) -> _Table:
        from trainstore import queries

        return _of_frame(queries.list_hyperparams(self._reader, self._uids))

    def _metrics_table(self) -> _Table:
        from trainstore import queries

        frame = queries.list_metrics(self._reader, self._uids)
        return _of_frame(frame if self._metrics is None else frame[frame["metric"].isin(self._metrics)])

    def _events_table(self) -> _Table:
        from trainstore import queries

        return _of_frame(queries.list_events(self._reader, self._uids))

    def _attempts_table(self) -> _Table:
        from trainstore.queries.stream import list_attempts

        return _of_frame(list_attempts(self._reader, self._uids))

    def _steps_table(self) -> _Table:
        from trainstore.queries.steps import column_name
        from trainstore.queries.stream import metric_kinds, metric_value, stream_steps

        kinds: dict[str, set[str]] = {}
        with_details = False
        # Once to learn the columns, which stand at the head of a file, and once more to write the rows.
        for steps in stream_steps(self._reader, self._keys, attempts=self._attempts):
            for name, found in metric_kinds(steps).items():
                kinds.setdefault(name, set()).update(found)
            with_details = with_details or any(step.details is not None for step in steps)
        names = sorted(kinds) if self._metrics is None else self._metrics
        columns = [
            *([Column("run", "text")] if self._several else []),
            Column("step", "int"),
            *([Column("attempt", "int")] if self._attempts == "all" else []),
            Column("epoch", "float"),
            Column("step_time", "float"),
            Column("logged_at", "time"),
            *([Column("details", "json")] if with_details else []),
            *(Column(column_name(name), value_kind(kinds.get(name, ()))) for name in names),
        ]
        shown = [place for place, there in enumerate((self._several, True, self._attempts == "all")) if there]

        def pieces() -> Iterator[Sequence[Row]]:
            for steps in stream_steps(self._reader, self._keys, attempts=self._attempts):
                yield [
                    [
                        *(step[place] for place in shown),
                        step.epoch,
                        step.step_time,
                        step.logged_at,
                        *([step.details] if with_details else []),
                        *(metric_value(step.metrics[name]) if name in step.metrics else ABSENT for name in names),
                    ]
                    for step in steps
                ]

        return columns, pieces


def _of_frame(frame: DataFrame) -> _Table:
    """An exact frame as columns and rows of Python values."""
    columns = [Column(str(name), _kind(str(name), frame[name])) for name in frame.columns]

    def pieces() -> Iterator[Sequence[Row]]:
        for start in range(0, len(frame), 1_000):
            rows = frame.iloc[start : start + 1_000].itertuples(index=False, name=None)
            yield [list(map(_python, values)) for values in rows]

    return columns, pieces


def _kind(name: str, column: Any) -> str:
    """What a column is for; the values decide where a column of hyperparameters needs numbers, others, or both."""
    from trainstore.models import NAMESPACES
    from trainstore.queries.stream import kinds_of

    if name.partition("__")[0] in NAMESPACES:
        return value_kind(set().union(*(kinds_of(_python(value)) for value in column)))
    if column.dtype.kind == "O":
        return "json" if name in JSON_COLUMNS else "text"
    return {"i": "int", "f": "float", "b": "bool", "M": "time"}[column.dtype.kind]


def _python(value: Any) -> Any:
    import pandas as pd

    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value
