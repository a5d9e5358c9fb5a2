"""``trainstore copy``: chosen runs into another store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from trainstore.cli.options import store_options
from trainstore.cli.stores import check_exists
from trainstore.cli.transfers import transfer
from trainstore.cli.types import RUN


@click.command()
@click.argument("runs", metavar="RUN...", type=RUN, nargs=-1, required=True)
@click.option("--to", "target", metavar="URL|PATH", required=True, help="The other store; made if it does not exist.")
@click.option("--to-prefix", metavar="TEXT", default="", help="Prefix of the table names of the other store.")
@click.option("--with-parents", is_flag=True, help="Also the runs that these began from.")
@click.option("--revive", is_flag=True, help="Also runs that were deleted in the other store.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@store_options
def copy(
    runs: Sequence[str], target: str, to_prefix: str, url: str, prefix: str, as_json: bool, **options: Any
) -> None:
    """Copy RUNs into another store, whole: all attempts, steps, events, tags, notes.

    Nothing is changed in this store. Copied again, only what is new is brought. The file that --to names can be sent
    to somebody, who opens it as a store, or brings it into another one with trainstore merge.
    """
    check_exists(url, prefix, tables=True, read_only=True)
    transfer(url, prefix, target, to_prefix, as_json=as_json, runs=list(runs), **options)
