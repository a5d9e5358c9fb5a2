"""``trainstore merge``: what another store has and this one lacks."""

from __future__ import annotations

from typing import Any

import click

from trainstore.cli.options import into_option, json_option, prefix_option
from trainstore.cli.transfers import transfer


@click.command()
@click.argument("source", type=click.Path())
@click.option("--project", metavar="TEXT", help="Only runs of this project.")
@click.option("--with-parents", is_flag=True, help="With --project: also the runs that they began from.")
@click.option("--source-prefix", metavar="TEXT", default="", help="Prefix of the table names of SOURCE.")
@click.option("--revive", is_flag=True, help="Also bring runs that were deleted here.")
@click.option("--delete", is_flag=True, help="Delete runs that were deleted in SOURCE.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@into_option
@prefix_option
@json_option
def merge(source: str, url: str, prefix: str, source_prefix: str, as_json: bool, **options: Any) -> None:
    """Bring what SOURCE has and this store lacks: runs, steps, events, tags, notes.

    SOURCE is another store: a path (SQLite) or a database URL. Nothing is written there, and nothing that is stored
    here is lost. Merged again, only what is new is brought; a merge that was interrupted goes on. Both stores may be
    recorded into meanwhile.
    """
    transfer(source, source_prefix, url, prefix, as_json=as_json, **options)
