"""``trainstore report``: runs as one HTML file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from trainstore.cli.files import check_free, new_file, path_of
from trainstore.cli.filters import filter_options, uids_of
from trainstore.cli.options import prefix_option, store_option
from trainstore.cli.printing import progress_bar
from trainstore.cli.stores import open_store, snapshot_of
from trainstore.cli.streams import binary_output, visible
from trainstore.cli.types import METRIC, RUN
from trainstore.errors import TrainStoreError

MANY = 20  # runs for which progress is shown in a log; at a terminal it is from 2 on


@click.command()
@click.argument("runs", metavar="[RUN]...", type=RUN, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every run of the store.")
@filter_options
@click.option("-o", "--output", metavar="FILE|-", required=True, help="Where to write; - is standard output.")
@click.option("--metric", "metrics", multiple=True, type=METRIC, help="Only this metric; may be repeated.")
@click.option(
    "--points",
    type=click.IntRange(2, 5_000),
    default=400,
    show_default=True,
    help="Points of each curve; of more, each is the mean of its neighbours, in a band of their extremes.",
)
@click.option("--exact", is_flag=True, help="Every digit of each value; otherwise about seven.")
@click.option("--with-env", is_flag=True, help="Also tell command lines, hosts, versions and the environment.")
@click.option(
    "--max-mb",
    type=click.FloatRange(0, min_open=True),
    default=20,
    show_default=True,
    help="Write no larger file, in millions of bytes.",
)
@click.option("--title", metavar="TEXT", help="Its title.  [default: the run's name, or the project]")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@store_option
@prefix_option
def report(
    runs: Sequence[str],
    everything: bool,
    conditions: dict[str, Any],
    output: str,
    metrics: Sequence[str],
    points: int,
    exact: bool,
    with_env: bool,
    max_mb: float,
    title: str | None,
    force: bool,
    url: str,
    prefix: str,
) -> None:
    """Write RUNs, the runs that match filters, or all runs as one HTML file, to be sent and opened anywhere.

    It has the pages of trainstore ui: the table, each run with its attempts, events and samples, comparison and curves.
    It needs no server, no network and no trainstore. Hyperparameters, tags, notes, samples and errors are in it as they
    were recorded; hosts, command lines and the environment only with --with-env. A file appears under its name only
    when it is complete, and none is overwritten without --force.
    """
    ways = bool(runs) + bool(conditions) + everything
    if ways != 1:
        raise click.UsageError("Name RUNs, filters or --all, not several of them." if ways else "Name a RUN, or --all.")
    target = None if output == "-" else path_of(output)
    if target is not None:
        check_free(target, force=force)
    with open_store(url, prefix) as store:
        chosen: list[str] = list(runs)
        if not runs:
            with snapshot_of(store) as reader:
                chosen = uids_of(reader, conditions)
        if not chosen:
            raise TrainStoreError("no run matches; nothing was written")
        from trainstore.backends.health import size_text
        from trainstore.dashboard.report import report_page

        many = len(chosen) >= (2 if sys.stdout.isatty() else MANY)
        with progress_bar(target is not None and many, "reading the runs", "runs") as progress:
            page = report_page(
                store,
                chosen,
                metrics=list(dict.fromkeys(metrics)) or None,
                points=points,
                exact=exact,
                with_env=with_env,
                title=title,
                max_mb=max_mb,
                progress=progress,
            )
    if target is None:
        binary_output().write(page)
        return
    with new_file(target, force=force) as file:
        file.write(page)
    click.echo(f"{visible(target)}: {size_text(len(page))}")
