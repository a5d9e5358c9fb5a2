"""``trainstore db``: the schema."""

from __future__ import annotations

import sys
from typing import Any

import click

from trainstore.cli.common import store_options, visible, with_schema
from trainstore.cli.printing import print_json


@click.group()
def db() -> None:
    """The database's schema."""


@db.command()
@store_options
def upgrade(url: str, prefix: str, as_json: bool) -> None:
    """Bring the schema to this trainstore's version; make it where there is none."""
    from trainstore import schema

    def run(*parts: Any) -> tuple[str | None, str | None]:
        before = schema.current(*parts)
        schema.upgrade(*parts)
        return before, schema.current(*parts)

    before, after = with_schema(url, prefix, run)
    if as_json:
        print_json({"before": before, "after": after})
    else:
        click.echo(f"schema {after}" if before == after else f"schema {before or 'none'} → {after}")


@db.command()
@store_options
def current(url: str, prefix: str, as_json: bool) -> None:
    """Show the schema's version, and this trainstore's."""
    from trainstore import schema

    found = with_schema(url, prefix, schema.current)
    if as_json:
        print_json({"current": found, "head": schema.HEAD})
    else:
        click.echo(f"{found or 'none'}{' (head)' if found == schema.HEAD else f'; this trainstore has {schema.HEAD}'}")


@db.command()
@store_options
def check(url: str, prefix: str, as_json: bool) -> None:
    """Compare the database with the models; exit code 1 where they differ."""
    from trainstore import schema

    differences = with_schema(url, prefix, schema.check)
    if as_json:
        print_json({"differences": differences})
    elif not differences:
        click.echo("the database and the models agree")
    else:
        for difference in differences:
            click.echo(visible(difference))
    if differences:
        sys.exit(1)
