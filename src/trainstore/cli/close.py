"""Ending a lost run: ``trainstore close``."""

from __future__ import annotations

import click

from trainstore.cli.options import store_options
from trainstore.cli.printing import print_json
from trainstore.cli.stores import open_store
from trainstore.cli.streams import visible
from trainstore.cli.types import RUN


@click.command()
@click.argument("run", type=RUN)
@click.option(
    "--status",
    type=click.Choice(["finished", "failed", "interrupted", "pruned"]),
    required=True,
    help="How the run ended.",
)
@click.option("--reason", metavar="TEXT", help="Why; shown as the run's error, unless it is finished.")
@store_options
def close(run: str, status: str, reason: str | None, url: str, prefix: str, as_json: bool) -> None:
    """End RUN, which is lost, without a new attempt.

    Its end is when it was last heard of. A run that is being recorded, or has ended, is refused. An event of kind "end"
    says that it was closed by hand.
    """
    with open_store(url, prefix) as store:
        uid = store.get_run(run).uid
        store.close_run(uid, status, reason=reason)
        record = store.get_run(uid)
    if as_json:
        print_json({"uid": uid, "status": record.status, "error": record.error, "ended_at": record.ended_at})
    else:
        click.echo(f"{visible(record.name)} {record.status}")
