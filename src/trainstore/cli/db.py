"""``trainstore db``: the database's schema and roles."""

from __future__ import annotations

import sys
from typing import Any

import click

from trainstore.cli.options import group_options, prefix_option, store_argument, store_options
from trainstore.cli.printing import print_json
from trainstore.cli.stores import open_database
from trainstore.cli.streams import visible


@click.group()
@group_options
def db(**_options: Any) -> None:
    """Manage the database's schema."""


@db.command()
@store_argument
@store_options
def upgrade(url: str, prefix: str, as_json: bool) -> None:
    """Upgrade the schema to this trainstore's version; create it if there is none."""
    from trainstore import schema

    with open_database(url, prefix) as database:
        before = schema.current(*database)
        schema.upgrade(*database)
        after = schema.current(*database)
    if as_json:
        print_json({"before": before, "after": after})
    else:
        click.echo(f"schema {after}" if before == after else f"schema {before or 'none'} → {after}")


@db.command()
@store_argument
@store_options
def current(url: str, prefix: str, as_json: bool) -> None:
    """Show the schema's version, and the one that this trainstore needs."""
    from trainstore import schema

    with open_database(url, prefix) as database:
        found = schema.current(*database)
    if as_json:
        print_json({"current": found, "head": schema.HEAD})
    else:
        click.echo(
            f"{found or 'none'}{' (head)' if found == schema.HEAD else f'; this trainstore needs {schema.HEAD}'}"
        )


@db.command()
@store_argument
@store_options
def check(url: str, prefix: str, as_json: bool) -> None:
    """Compare the database with the models; exit code 1 if they differ."""
    from trainstore import schema

    with open_database(url, prefix) as database:
        differences = schema.check(*database)
    if as_json:
        print_json({"differences": differences})
    elif not differences:
        click.echo("the database and the models agree")
    else:
        for difference in differences:
            click.echo(visible(difference))
    if differences:
        sys.exit(1)


@db.command()
@prefix_option
@click.option("--schema", metavar="TEXT", default="public", show_default=True, help="The schema that holds the tables.")
@click.option("--owner", metavar="TEXT", help="The owner's name.  [default: trainstore_owner, after the prefix]")
@click.option("--writer", metavar="TEXT", help="The writer's name.  [default: trainstore_writer, after the prefix]")
@click.option("--reader", metavar="TEXT", help="The reader's name.  [default: trainstore_reader, after the prefix]")
def roles(prefix: str, schema: str, owner: str | None, writer: str | None, reader: str | None) -> None:
    """Print SQL that creates three PostgreSQL roles: owner, writer, reader.

    Each role gets only the rights that it needs. Nothing is executed: read the script, then pass it to psql.
    """
    from trainstore.backends.roles import postgresql_roles

    click.echo(postgresql_roles(prefix, schema=schema, owner=owner, writer=writer, reader=reader), nl=False)
