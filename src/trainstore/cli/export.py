"""``trainstore export``: runs as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from trainstore.cli.files import check_free, new_file, path_of
from trainstore.cli.filters import filter_options, uids_of
from trainstore.cli.options import prefix_option, store_option
from trainstore.cli.stores import open_snapshot
from trainstore.cli.streams import binary_output, visible
from trainstore.cli.types import METRIC, RUN
from trainstore.errors import TrainStoreError
from trainstore.exporting.formats import FORMATS, check_format, format_of
from trainstore.exporting.tables import TABLES, ExportTables, Table, table_of

if TYPE_CHECKING:
    from pandas import DataFrame

    from trainstore.queries import Reader

IN_A_FOLDER = {"steps": "step_logs"}  # files that are not named after their table


@click.command()
@click.argument("runs", metavar="[RUN]...", type=RUN, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Export every run of the store.")
@filter_options
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Default: the suffix of --output, else csv.")
@click.option("--output", "-o", metavar="FILE|FOLDER|-", help="Where to write; - is standard output.")
@click.option("--table", type=click.Choice(TABLES), help="Export only this table, as one file.")
@click.option("--metric", "metrics", multiple=True, type=METRIC, help="Export only this metric; may be repeated.")
@click.option(
    "--attempts",
    type=click.Choice(("current", "all")),
    default="current",
    show_default=True,
    help="Export only current steps, or all, including those of superseded attempts.",
)
@click.option(
    "--for-import", is_flag=True, help="jsonl: everything of the runs, in one file that trainstore import reads back."
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option(
    "--escape-formulas", is_flag=True, help="csv: put ' before text that a spreadsheet would read as a formula."
)
@store_option
@prefix_option
def export(
    runs: Sequence[str],
    everything: bool,
    conditions: dict[str, Any],
    file_format: str | None,
    output: str | None,
    table: str | None,
    metrics: Sequence[str],
    attempts: str,
    for_import: bool,
    force: bool,
    escape_formulas: bool,
    url: str,
    prefix: str,
) -> None:
    """Export RUNs, the runs that match filters, or all runs, as csv, parquet or jsonl.

    One RUN: its step logs, to standard output or a file. Several RUNs, filters or --all: a folder with a file for each
    table (runs, hyperparams, metrics, step_logs, events, attempts), or their step logs as one file if --output ends in
    .csv, .jsonl or .parquet. --table writes another of these tables as one file, for any number of runs.

    Step logs have one row per step and one column per metric. They may be larger than memory. NaN and infinities are
    NaN, inf and -inf in csv, and "NaN", "Infinity" and "-Infinity" in jsonl. Parquet keeps them as numbers: there the
    column NAME has the numbers of a metric or hyperparameter, and NAME__json everything else. Text is written as it
    is, even if it starts with = + - @; for spreadsheets, add --escape-formulas. An existing file is never overwritten
    without --force, and a file appears under its name only when it is complete.

    --for-import writes the rows of all tables as they are stored, attempts and writers too, so that trainstore import
    brings them into another store as trainstore copy does.
    """
    ways = bool(runs) + bool(conditions) + everything
    if ways != 1:
        raise click.UsageError("Name RUNs, filters or --all, not several of them." if ways else "Name a RUN, or --all.")
    if for_import:
        _check_for_import(file_format or format_of(output, "jsonl"), table, metrics, escape_formulas)
    file_format = file_format or format_of(output)
    if file_format is None:
        raise click.UsageError(f"Name a format with --format: {', '.join(FORMATS)}.")
    several = everything or bool(conditions) or len(runs) > 1
    to_folder = not for_import and _is_folder(output, table, several=several)
    target = None if output is None or output == "-" else path_of(output)
    if target is None and file_format == "parquet" and binary_output().isatty():
        raise click.UsageError("parquet is binary: name a file with --output.")
    check_format(file_format)
    if target is not None and not to_folder:
        check_free(target, force=force)
    from trainstore.queries.suggestions import closest_metrics

    with open_snapshot(url, prefix) as (store, reader):
        chosen = uids_of(reader, conditions) if conditions else None if everything else list(runs)
        if chosen == []:
            raise TrainStoreError("no run matches; nothing was exported")
        if for_import:
            _write_whole(reader, chosen, target, force=force)
            return
        tables = ExportTables(
            store, reader, chosen, list(dict.fromkeys(metrics)) or None, attempts, several=len(runs) != 1
        )
        missing = sorted(set(metrics) - set(store.list_metrics()["metric"])) if metrics else []
        if missing:
            closest = closest_metrics(reader, *missing)
            raise TrainStoreError(f"no run has {', '.join(map(repr, missing))}{closest}")
        if target is None:
            _write(binary_output(), file_format, tables.of(table or "steps"), escape_formulas)
        elif to_folder:
            _write_folder(target, file_format, tables, escape_formulas, force)
        else:
            with new_file(target, force=force) as file:
                count = _write(file, file_format, tables.of(table or "steps"), escape_formulas)
            click.echo(f"{visible(target)}: {count} rows")


def _check_for_import(file_format: str | None, table: str | None, metrics: Sequence[str], escape: bool) -> None:
    """Refuse what would leave something out of a file that is to be read back."""
    if file_format != "jsonl":
        raise click.UsageError("--for-import writes jsonl: leave out --format, or name a FILE that ends in .jsonl.")
    if table is not None or metrics or escape:
        raise click.UsageError("--for-import writes everything: leave out --table, --metric and --escape-formulas.")


def _write_whole(reader: Reader, chosen: list[str] | None, target: Path | None, *, force: bool) -> None:
    from trainstore.queries import resolve_runs
    from trainstore.queries.names import all_runs
    from trainstore.transfer.lines import write_runs

    runs = all_runs(reader) if chosen is None else resolve_runs(reader, chosen)
    given = reader.connection, reader.models, reader.backend, runs
    if target is None:
        write_runs(binary_output(), *given)
        return
    with new_file(target, force=force) as file:
        count = write_runs(file, *given)
    click.echo(f"{visible(target)}: {len(runs)} run{'' if len(runs) == 1 else 's'}, {count} lines")


def _is_folder(output: str | None, table: str | None, *, several: bool) -> bool:
    """Whether --output is a folder, with a file for each table, and not one file."""
    if table is not None:
        return False
    if several and output in (None, "-"):
        raise click.UsageError(
            "Several runs are written to a folder or a file: name it with --output, or choose one table with --table."
        )
    if output is None:
        return False
    if output.endswith(os.sep) or path_of(output).is_dir():
        return True
    return several and Path(output).suffix.lstrip(".").lower() not in FORMATS


def write_frame(frame: DataFrame, file_format: str, output: str | None, *, force: bool) -> None:
    """Write an exact frame to a file, or to standard output (None or "-")."""
    check_format(file_format)
    if output in (None, "-"):
        _write(binary_output(), file_format, table_of(frame), escape_formulas=False)
        return
    path = path_of(str(output))
    with new_file(path, force=force) as file:
        count = _write(file, file_format, table_of(frame), escape_formulas=False)
    click.echo(f"{visible(path)}: {count} rows")


def _write(file: IO[bytes], file_format: str, table: Table, escape_formulas: bool) -> int:
    from trainstore.exporting.writers import open_writer

    columns, pieces = table
    writer = open_writer(file_format, file, columns, escape_formulas=escape_formulas)
    count = 0
    for rows in pieces():
        writer.write(rows)
        count += len(rows)
    writer.close()
    file.flush()
    return count


def _write_folder(folder: Path, file_format: str, tables: ExportTables, escape_formulas: bool, force: bool) -> None:
    """Write every table or none: the files get their names when the last one is complete."""
    if folder.exists() and not folder.is_dir():
        raise TrainStoreError(f"{folder} exists and is not a folder")
    new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise TrainStoreError(f"cannot create the folder {folder}: {error.strerror or error}") from error
    paths = {name: folder / f"{IN_A_FOLDER.get(name, name)}.{file_format}" for name in TABLES}
    counts: dict[str, int] = {}
    try:
        for path in paths.values():
            check_free(path, force=force)
        with ExitStack() as files:
            for name, path in paths.items():
                file = files.enter_context(new_file(path, force=force))
                counts[name] = _write(file, file_format, tables.of(name), escape_formulas)
    except BaseException:
        if new and not any(folder.iterdir()):
            folder.rmdir()
        raise
    for name, path in paths.items():
        click.echo(f"{visible(path)}: {counts[name]} rows")
