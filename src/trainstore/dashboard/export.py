"""Runs as files to download, piece by piece: they may be larger than memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from io import BytesIO

from trainstore.dashboard.found import find_runs
from trainstore.dashboard.tables import runs as table_of
from trainstore.errors import InvalidArgumentError
from trainstore.exporting.tables import ExportTables
from trainstore.exporting.writers import open_writer
from trainstore.queries.names import all_runs
from trainstore.queries.reader import Reader
from trainstore.store import TrainStore

FORMATS = ("csv", "jsonl")
TABLES = ("steps", "runs", "events", "hyperparams", "metrics", "attempts")


def check_export(form: str, table: str) -> None:
    """Raise `InvalidArgumentError` for a format or a table that there is not."""
    for name, value, allowed in (("format", form, FORMATS), ("table", table, TABLES)):
        if value not in allowed:
            raise InvalidArgumentError(f"{name} {value!r} is not one of {', '.join(allowed)}")


def export(
    store: TrainStore,
    runs: Sequence[str] | None,
    *,
    project: str | None = None,
    q: str | None = None,
    form: str,
    table: str,
) -> Generator[bytes, None, None]:
    """The pieces of a file, as ``trainstore export --escape-formulas`` writes it, of one moment.

    Args:
        store: The store.
        runs: Their uids; None: all.
        project: Of these, only runs of this project.
        q: Of these, only those that this filter finds.
        form: One of `FORMATS`.
        table: One of `TABLES`.

    Raises:
        RunNotFoundError: None of these runs is there.
        InvalidArgumentError: As for `check_export`.
        FilterError: As for the table of runs.
    """
    check_export(form, table)
    with store.snapshot() as snapshot:
        reader = replace(snapshot.reader, exact=True)  # an empty cell is not NaN
        uids = _chosen(reader, runs, project, q)
        tables = ExportTables(store, reader, uids, None, "current", several=len(uids) != 1)
        columns, pieces = tables.of(table)
        written = BytesIO()
        writer = open_writer(form, written, columns, escape_formulas=True)
        for rows in pieces():
            writer.write(rows)
            yield written.getvalue()
            written.seek(0)
            written.truncate()
        writer.close()
        if written.tell():
            yield written.getvalue()


def _chosen(reader: Reader, runs: Sequence[str] | None, project: str | None, q: str | None) -> list[str]:
    """The uids of the runs in the file: in the order in which they were named, or the oldest first."""
    keys = all_runs(reader) if runs is None else list(dict.fromkeys(find_runs(reader, runs).values()))
    uids = [key.uid for key in keys]
    if not project and not q:
        return uids
    found = table_of(reader, project=project, q=q, columns=["uid"])
    admitted = set(next(column["values"] for column in found["columns"] if column["id"] == "uid"))
    return [uid for uid in uids if uid in admitted]
