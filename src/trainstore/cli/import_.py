"""``trainstore import``: the runs of other trackers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.files import ended_by_signals
from trainstore.cli.options import store_options
from trainstore.cli.printing import new_console, print_json, print_table
from trainstore.cli.stores import exists, open_store
from trainstore.cli.streams import visible

if TYPE_CHECKING:
    from trainstore.importing import Imported

SHOWN_RUNS = 50
SHOWN_LINES = 20  # about what is damaged, skipped or not read
IN_MEMORY = ":memory:"


@click.command("import")
@click.argument("source")
@click.option("--from", "tool", metavar="TOOL", help="Which tool wrote SOURCE; default: known by what lies there.")
@click.option("--project", metavar="TEXT", help="The project of new runs; default: as the source has it.")
@click.option("--dry-run", is_flag=True, help="Only read SOURCE and show what would be imported.")
@click.option("--follow", is_flag=True, help="Go on while SOURCE grows; Ctrl-C ends it.")
@click.option("--revive", is_flag=True, help="Also import runs that were deleted from the store.")
@click.option("--deleted", is_flag=True, help="MLflow: also runs in its trash.")
@click.option(
    "--merge-subfolders", is_flag=True, help="TensorBoard: subfolders of add_scalars and add_hparams are no runs."
)
@click.option("--timezone", metavar="NAME", help="Optuna, CSV: of times that have none, as Europe/Berlin.")
@click.option("--step", metavar="COLUMN", help="CSV, Parquet: the column of steps.")
@click.option("--run", metavar="COLUMN", help="CSV, Parquet: the column that tells runs apart.")
@click.option("--time", metavar="COLUMN", help="CSV, Parquet: the column of times.")
@store_options
def import_(source: str, url: str, prefix: str, as_json: bool, dry_run: bool, follow: bool, **options: Any) -> None:
    """Import the runs of another tracker from SOURCE: a folder, a file, or a database's URL.

    Imported again, SOURCE brings only what is new in it; an import that was interrupted goes on. With --follow, runs
    of a training under way appear while it writes. SOURCE is never written. What cannot be kept is counted, what is
    damaged is named. Which tools can be imported, and what becomes of what: docs/importing.md. A file of trainstore
    export --for-import is brought as trainstore copy brings runs.
    """
    from trainstore.commands import command_on
    from trainstore.importing import check_source, import_runs
    from trainstore.importing.foreign import OPTIONS_OF

    if dry_run and follow:
        raise click.UsageError("--dry-run writes nothing, so there is nothing to --follow.")
    how = {name: options[name] for name in OPTIONS_OF}
    label = check_source(source, options["tool"], **how)
    if dry_run and not exists(url, prefix):
        url, prefix = IN_MEMORY, ""
    with open_store(url, prefix, make=True) as store, _counts(label, shown=not as_json) as told:
        if follow and not as_json:
            click.echo(f"following {visible(source)}; Ctrl-C ends it", err=True)
        with ended_by_signals():
            result = import_runs(store, source, dry_run=dry_run, follow=follow, on_progress=told, **options)
        look = command_on(store._service.backend, prefix, "runs")
    if as_json:
        print_json(result.to_json())
        return
    _print(result)
    if result.points and not dry_run and new_console().is_terminal:
        click.echo(f"look: {look}")


@contextmanager
def _counts(label: str, *, shown: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A function that shows what is being imported, on a terminal."""
    console = new_console()
    if not shown or not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from trainstore.importing.reports import plural

    def counts(runs: int, points: int) -> str:
        return f"{plural(runs, 'run')}  {plural(points, 'point')}"

    counted = TextColumn("{task.fields[counted]}")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), counted, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"reading {label}", total=None, counted=counts(0, 0))
        yield lambda name, runs, points: bar.update(task, description=_short(name), counted=counts(runs, points))


def _short(name: str) -> str:
    text = visible(name)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _print(result: Imported) -> None:
    """The table of runs, then the counts, and what was not kept or could not be read."""
    from pandas import DataFrame

    runs = result.runs if len(result.runs) <= SHOWN_RUNS else [run for run in result.runs if run.state != "unchanged"]
    rows = [
        {"name": run.name, "state": run.state, "points": run.points, "project": run.project, "uid": run.uid}
        for run in runs[:SHOWN_RUNS]
    ]
    if rows:
        done = "Would import" if result.dry_run else "Imported"
        print_table(f"{done} from {result.label}:", DataFrame(rows), ("name", "state", "points", "project", "uid"))
    hidden = len(result.runs) - len(rows)
    if hidden:
        click.echo(f"and {hidden:,} more runs; --json prints them all")
    for place, line in enumerate(lines := list(result.lines())):
        if place >= SHOWN_LINES:
            click.echo(f"and {len(lines) - place:,} more lines like these; --json prints them all")
            break
        click.echo(visible(line))
