"""``trainstore compare``: what differs between runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from trainstore.cli.options import store_options
from trainstore.cli.printing import print_json, print_table
from trainstore.cli.stores import open_store
from trainstore.cli.streams import visible
from trainstore.cli.types import RUN


@click.command()
@click.argument("runs", metavar="RUN RUN...", type=RUN, nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Also show what is the same in all of them.")
@click.option(
    "--summary",
    type=click.Choice(["last", "min", "max", "all"]),
    default="last",
    show_default=True,
    help="Compare the last, smallest or largest value of each metric, or all three.",
)
@store_options
def compare(runs: Sequence[str], everything: bool, summary: str, url: str, prefix: str, as_json: bool) -> None:
    """Show what differs between RUNs, or everything.

    Compares hyperparameters of every namespace (hp, mth, dbh, env, tag; nested ones by dotted name), metrics, how the
    runs ended, and where they ran, on which code and versions. Runtimes, speeds and counters come last.
    """
    with open_store(url, prefix) as store:
        records = list({record.uid: record for record in map(store.get_run, runs)}.values())
        if len(records) < 2:
            raise click.UsageError("Name at least two different runs.")
        table = store.compare_runs([record.uid for record in records], summary=summary, everything=everything)
    table = table.drop(index="name", errors="ignore")
    if as_json:
        rows = {name: dict(zip(table.columns, row, strict=True)) for name, *row in table.itertuples(name=None)}
        print_json({"runs": [{"uid": record.uid, "name": record.name} for record in records], "values": rows})
    elif table.empty:
        click.echo("nothing differs; --all shows what they have in common")
    else:
        import pandas as pd

        labels = [record.name for record in records]
        titles = [
            visible(record.name if labels.count(record.name) == 1 else f"{record.name} ({record.uid[:8]})")
            for record in records
        ]
        columns = [table.index, *([_text(value) for value in table[uid]] for uid in table.columns)]
        frame = pd.DataFrame(dict(enumerate(columns)), dtype=object)
        frame.columns = pd.Index(["", *titles])
        print_table(None, frame)


def _text(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return "NaN"  # an empty cell means that the run has no such key
    return str(value) if isinstance(value, (bool, list, dict)) else value
