"""The options that commands share, as decorators: which store, and JSON instead of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

DEFAULT_STORE = "trainstore.db"
STORE_VARIABLE = "TRAINSTORE_URL"
PREFIX_VARIABLE = "TRAINSTORE_PREFIX"

store_option = click.option(
    "--store",
    "url",
    metavar="URL|PATH",
    envvar=STORE_VARIABLE,
    default=DEFAULT_STORE,
    show_default=True,
    show_envvar=True,
    help="The store: a path (SQLite) or a database URL.",
)
prefix_option = click.option(
    "--prefix",
    metavar="TEXT",
    envvar=PREFIX_VARIABLE,
    default="",
    show_envvar=True,
    help="Prefix of the store's table names.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --store, --prefix and --json."""
    return store_option(prefix_option(json_option(command)))
