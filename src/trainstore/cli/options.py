"""The options that commands share, as decorators: which store, which runs, and JSON instead of a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
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


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --where, --project, --status and --tag, as ``conditions``: the arguments of a query."""

    @wraps(command)
    def with_conditions(*args: Any, **options: Any) -> Any:
        given = {name: list(options.pop(name)) for name in ("where", "project", "status", "tag")}
        return command(*args, conditions={name: values for name, values in given.items() if values}, **options)

    for option in reversed(_FILTER_OPTIONS):
        with_conditions = option(with_conditions)
    return with_conditions


_FILTER_OPTIONS = (
    click.option(
        "--where",
        multiple=True,
        metavar="FILTER",
        help='Only runs for which this is true, e.g. "hp.lr < 1e-3 and not tag.bad and started > -7d"; may be '
        "repeated. The page on querying has all fields and operators.",
    ),
    click.option("--project", multiple=True, help="Only runs of this project; may be repeated."),
    click.option(
        "--status",
        multiple=True,
        help="Only runs with this status: running, finished, failed, interrupted, pruned or lost.",
    ),
    click.option("--tag", multiple=True, help="Only runs with this tag."),
)
