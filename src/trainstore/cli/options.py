"""The options that commands share, as decorators: which store, and JSON instead of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from trainstore.defaults import DEFAULT_STORE, PREFIX_VARIABLE, STORE_VARIABLE

_ARGUMENT = "store_itself"


class _StoreOption(click.Option):
    """An option of a command that may also stand before the command, among those of the groups above it."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """The value behind the command's name, else the one before it; only then the environment's and the default."""
        value, source = super().consume_value(ctx, opts)
        argument = opts.get(_ARGUMENT) if self.name == "url" else None
        if isinstance(argument, str):  # Click has a value of its own for one that is not given
            if source is ParameterSource.COMMANDLINE:
                raise click.UsageError("Name the store once: as the argument, or with --store.", ctx)
            return argument, ParameterSource.COMMANDLINE
        above = ctx.parent
        while source is not ParameterSource.COMMANDLINE and above is not None:
            if above.params.get(self.name or "") is not None:
                return above.params[self.name or ""], ParameterSource.COMMANDLINE
            above = above.parent
        return value, source


def _store_option(*names: str, what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        *names,
        "url",
        cls=_StoreOption,
        metavar="URL|PATH",
        envvar=STORE_VARIABLE,
        default=DEFAULT_STORE,
        show_default=True,
        show_envvar=True,
        help=what,
    )


store_option = _store_option("--store", what="The store: a path (SQLite) or a database URL.")
into_option = _store_option(
    "--into", "--store", what="The store to merge into: a path (SQLite) or a database URL; made if it does not exist."
)
prefix_option = click.option(
    "--prefix",
    cls=_StoreOption,
    metavar="TEXT",
    envvar=PREFIX_VARIABLE,
    default="",
    show_envvar=True,
    help="Prefix of the store's table names.",
)
store_argument = click.argument(_ARGUMENT, metavar="[URL|PATH]", required=False, expose_value=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def group_options(group: Callable[..., Any]) -> Callable[..., Any]:
    """Let --store and --prefix stand before a command too."""
    for option in (
        click.option("--prefix", metavar="TEXT", help="Prefix of the store's table names, for any command."),
        click.option("--store", "url", metavar="URL|PATH", help="The store, for any command."),
    ):
        group = option(group)
    return group


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --store, --prefix and --json. One that takes no other argument has `store_argument` too."""
    return store_option(prefix_option(json_option(command)))
