"""``trainstore runs`` and ``best``: tables of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.export import write_frame
from trainstore.cli.filters import filter_options, sort_options, warn_of_unknown
from trainstore.cli.options import store_argument, store_options
from trainstore.cli.printing import print_json, print_table, records
from trainstore.cli.stores import open_snapshot
from trainstore.cli.streams import visible
from trainstore.cli.types import METRIC
from trainstore.display import by_importance, overview
from trainstore.errors import TrainStoreError
from trainstore.exporting.formats import FORMATS, format_of

if TYPE_CHECKING:
    from pandas import DataFrame

NEWEST = 50


@click.command()
@store_argument
@store_options
@filter_options
@sort_options
@click.option("--metric", "metrics", multiple=True, type=METRIC, help="Show the last value of this metric.")
@click.option(
    "--limit",
    default=NEWEST,
    show_default=True,
    type=click.IntRange(min=1),
    help="Show only this many runs: the newest, or the first by --sort.",
)
@click.option("--all", "everything", is_flag=True, help="Show all runs.")
@click.option("--csv", "as_csv", is_flag=True, help="Write the table as CSV, with everything that differs.")
@click.option("--output", "-o", metavar="FILE", help="Write it to a file: csv, jsonl or parquet, by its ending.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def runs(
    url: str,
    prefix: str,
    as_json: bool,
    conditions: dict[str, Any],
    sort: list[str] | None,
    metrics: Sequence[str],
    limit: int,
    everything: bool,
    as_csv: bool,
    output: str | None,
    force: bool,
) -> None:
    """List runs, the newest first, or by --sort.

    The table has the metrics by which runs are judged, and the hyperparameters that differ. Its times are local.
    In a file they are in UTC, and durations are in seconds.
    """
    from trainstore import queries

    to_file = as_csv or output is not None
    if as_json and to_file:
        raise click.UsageError("Choose one of --json, --csv and --output.")
    file_format = "csv" if as_csv else format_of(output)
    if file_format is None:
        raise click.UsageError(f"--output {output}: its ending is not one of .{', .'.join(FORMATS)}")
    with open_snapshot(url, prefix) as (_, reader):
        frame = queries.list_runs(
            reader,
            **conditions,
            sort=sort,
            limit=None if everything else limit,
            hyperparams="differing" if as_json else "varying",
            metrics=list(metrics) or "main",
            columns="all" if as_json else "short",
        )
        warn_of_unknown(reader, frame, **conditions, metrics=metrics)
        if as_json:
            print_json(records(frame))
        elif to_file:
            write_frame(_in_seconds(frame.reset_index()), file_format, output, force=force)
        elif frame.empty:
            click.echo("no run matches" if conditions else "no runs")
        else:
            print_table(None, overview(frame), by_importance(frame))
        if not (as_json or everything) and len(frame) == limit:
            click.echo(
                f"showing the {'first' if sort else 'newest'} {limit}; for all: trainstore runs --all", err=to_file
            )


def _in_seconds(frame: DataFrame) -> DataFrame:
    return frame.assign(duration=frame["duration"].dt.total_seconds())


@click.command()
@click.argument("metric", type=METRIC)
@store_options
@click.option("--max", "direction", flag_value="max", help="Rank the largest value first.")
@click.option("--min", "direction", flag_value="min", help="Rank the smallest value first.")
@click.option("--by-last", is_flag=True, help="Rank by each run's last value instead of its best one.")
@filter_options
@click.option("--limit", default=10, show_default=True, type=click.IntRange(min=1), help="Show at most this many runs.")
def best(
    metric: str,
    url: str,
    prefix: str,
    as_json: bool,
    direction: str | None,
    by_last: bool,
    conditions: dict[str, Any],
    limit: int,
) -> None:
    """Rank runs by METRIC, the best first.

    Without --min or --max the largest is the best if the metric's name ends in accuracy, f1, reward or the like, or if
    it is the objective of a study that maximizes it, which is then said; else the smallest.
    """
    from trainstore import queries
    from trainstore.queries.directions import study_direction
    from trainstore.queries.filters import RunFilter
    from trainstore.queries.metric_names import better_direction
    from trainstore.queries.suggestions import closest_metrics

    with open_snapshot(url, prefix) as (_, reader):
        of_study = None if direction else study_direction(reader, metric, RunFilter(**conditions))
        frame = queries.list_runs_grouped_by_metric(
            reader,
            metric_name=metric,
            metric_direction=direction or of_study or better_direction(metric) or "min",
            by="last" if by_last else "best",
            **conditions,
            hyperparams="differing" if as_json else "varying",
            metrics=[metric],
            limit=limit,
            columns="all" if as_json else "short",
        )
        warn_of_unknown(reader, frame, **conditions)
        if frame.empty:
            runs = "run that matches" if conditions else "run"
            raise TrainStoreError(f"no {runs} has a finite value of {metric!r}{closest_metrics(reader, metric)}")
        if as_json:
            print_json(records(frame))
        else:
            print_table(None, overview(frame), by_importance(frame))
        if direction is None and (of_study or better_direction(metric)) == "max":
            source = "its study" if of_study else "its name"
            click.echo(f"the largest {visible(metric)} is the best, as {source} says; --min is the other way", err=True)
