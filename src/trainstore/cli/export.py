"""``trainstore export``: the command; the work is in exporting.py."""

from __future__ import annotations

from collections.abc import Sequence

import click

from trainstore.cli.common import METRIC, RUN, STORE_OPTIONS

FORMATS = ("csv", "parquet", "jsonl")
TABLES = ("runs", "hyperparams", "metrics", "steps", "events", "attempts")


@click.command()
@click.argument("runs", metavar="[RUN]...", type=RUN, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every run of the store.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Default: by the ending of --output, else csv.")
@click.option("--output", "-o", metavar="FILE|FOLDER|-", help="Where to write; - is standard output.")
@click.option("--table", type=click.Choice(TABLES), help="Only this table, as one file.")
@click.option("--metric", "metrics", multiple=True, type=METRIC, help="Only this metric; may be repeated.")
@click.option(
    "--attempts",
    type=click.Choice(("current", "all")),
    default="current",
    show_default=True,
    help="The steps that are shown, or those of superseded attempts too.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option(
    "--escape-formulas", is_flag=True, help="csv: put ' before text that a spreadsheet would take for a formula."
)
@STORE_OPTIONS[0]
@STORE_OPTIONS[1]
def export(
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
    """Write RUNs, or all, as csv, parquet or jsonl.

    One RUN: its step logs, to standard output or a file. Several, or --all: a folder with a file for each table
    (runs, hyperparams, metrics, step_logs, events, attempts). --table writes one of these tables as one file, of
    however many runs.

    Step logs have a row a step and a column a metric. csv and jsonl are written as they are read: they may be larger
    than memory. NaN and infinities are NaN, inf and -inf in csv, "NaN", "Infinity" and "-Infinity" in jsonl, and
    themselves in parquet, where the column NAME has a metric's or hyperparameter's numbers and NAME__json the rest.
    Text is written as it is, also if it begins with = + - @; --escape-formulas is for spreadsheets. An existing file is
    never overwritten without --force, and a file gets its name only when it is complete.
    """
    from trainstore.cli.exporting import export_runs

    export_runs(runs, everything, kind, output, table, metrics, attempts, force, escape_formulas, url, prefix)
