"""``trainstore compare``: what differs between runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.filters import filter_options, uids_of
from trainstore.cli.options import store_options
from trainstore.cli.printing import print_json, print_table
from trainstore.cli.stores import open_snapshot
from trainstore.cli.streams import visible
from trainstore.cli.types import RUN
from trainstore.display import value_text
from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from pandas import DataFrame

    from trainstore.queries import RunRecord


@click.command()
@click.argument("runs", metavar="[RUN RUN...]", type=RUN, nargs=-1)
@filter_options
@click.option("--all", "everything", is_flag=True, help="Also show what is the same in all of them.")
@click.option(
    "--summary",
    type=click.Choice(["last", "min", "max", "all"]),
    default="last",
    show_default=True,
    help="Compare the last, smallest or largest value of each metric, or all three.",
)
@store_options
def compare(
    runs: Sequence[str],
    conditions: dict[str, Any],
    everything: bool,
    summary: str,
    url: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Show what differs between RUNs, or between the runs that match filters.

    Compares hyperparameters of every namespace (hp, mth, dbh, env, tag; nested ones by dotted name), metrics, how the
    runs ended, and where they ran, on which code and versions. Of a metric it shows the last value and, if its name
    says what is better, the best one with its step. With --all it also shows what is the same, runtimes and counters.
    """
    from trainstore import queries

    if bool(runs) == bool(conditions):
        raise click.UsageError(
            "Name RUNs or filters, not both." if runs else "Name at least two runs, or choose some by a filter."
        )
    with open_snapshot(url, prefix) as (_, reader):
        named = uids_of(reader, conditions) if conditions else runs
        found = list({record.uid: record for record in (queries.get_run(reader, run) for run in named)}.values())
        if len(found) < 2:
            if conditions:
                raise TrainStoreError(f"{len(found) or 'no'} run matches; comparing takes two or more")
            raise click.UsageError("Name at least two different runs.")
        table = queries.compare_runs(
            reader, [record.uid for record in found], summary=summary, everything=everything, columns="uid"
        )
    table = table.drop(index="name", errors="ignore")
    if as_json:
        rows = {name: dict(zip(table.columns, row, strict=True)) for name, *row in table.itertuples(name=None)}
        print_json({"runs": [{"uid": record.uid, "name": record.name} for record in found], "values": rows})
    elif table.empty:
        click.echo("nothing differs; --all shows what they have in common")
    else:
        from trainstore.queries.names import spelled

        judged = {spelled("metric", name) for record in found for name in record.best_metrics}
        with_best = summary == "last" and not judged.isdisjoint(table.index)
        print_table(None, _texts(table, found, with_best=with_best), whole=True)
        if with_best:
            click.echo("metrics: the last value (the best one at its step)")


def _texts(table: DataFrame, found: Sequence[RunRecord], *, with_best: bool) -> DataFrame:
    """The table as it is printed: names as headings, metrics with their best values."""
    import pandas as pd

    from trainstore.queries.names import run_labels, spelled

    labels = run_labels({record.run_id: record.name for record in found})
    columns: dict[str, list[Any]] = {"": list(table.index)}
    for record in found:
        bests = {spelled("metric", name): value for name, value in record.best_metrics.items()} if with_best else {}
        columns[visible(labels[record.run_id])] = [
            f"{_text(value)} {_best_text(value, *bests[key])}" if key in bests else _text(value)
            for key, value in table[record.uid].items()
        ]
    return pd.DataFrame(columns, dtype=object)


def _best_text(last: Any, best: float, step: int | None) -> str:
    from trainstore.queries.record_display import at_step, number_text

    return "(best)" if last == best else f"({at_step(number_text(best), step).replace(' at step ', ' at ')})"


def _text(value: Any) -> str:
    if isinstance(value, float) and value != value:
        return "NaN"  # an empty cell means that the run has no such key
    return str(value) if isinstance(value, (bool, list, dict)) else value_text(value)
