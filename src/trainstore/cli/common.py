"""What the commands share: the options that name a store, the types of arguments, opening, failing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from trainstore.cli import streams
from trainstore.errors import SchemaMissingError, StoreUnavailableError, TrainStoreError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from trainstore.queries import Reader
    from trainstore.store import TrainStore

DEFAULT_STORE = "trainstore.db"
STORE_VARIABLE = "TRAINSTORE_URL"
PREFIX_VARIABLE = "TRAINSTORE_PREFIX"


class RunType(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A run: a uid, an id or a name. Completes from the store that the command line names."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text that may also be an id: which it is, only the store knows."""
        from trainstore.queries import TypedRun

        return TypedRun(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Names, uids and ids that begin so."""
        from trainstore.cli.completion import complete_runs

        return complete_runs(ctx, incomplete)


class MetricType(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A metric's name. Completes from the store that the command line names."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Any text, as a metric of that name is stored."""
        from trainstore.values import stored_name

        return stored_name(value) if value else value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Names that begin so."""
        from trainstore.cli.completion import complete_metrics

        return complete_metrics(ctx, incomplete)


RUN = RunType()
METRIC = MetricType()

PREFIX_OPTION = click.option(
    "--prefix",
    metavar="TEXT",
    envvar=PREFIX_VARIABLE,
    default="",
    show_envvar=True,
    help="Prefix of the store's table names.",
)
STORE_OPTIONS = (
    click.option(
        "--store",
        "url",
        metavar="URL|PATH",
        envvar=STORE_VARIABLE,
        default=DEFAULT_STORE,
        show_default=True,
        show_envvar=True,
        help="The store: a path (SQLite) or a database URL.",
    ),
    PREFIX_OPTION,
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --store, --prefix and --json."""
    for option in reversed((*STORE_OPTIONS, JSON_OPTION)):
        command = option(command)
    return command


def fail(message: str) -> NoReturn:
    """End the command with exit code 1 and this line."""
    raise TrainStoreError(message)


def visible(value: object) -> str:
    """Text whose control characters are shown and not obeyed, as standard output can write it."""
    return streams.as_written(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))
    )


def at_terminal() -> bool:
    """Whether a person can be asked something."""
    return sys.stdin.isatty()


# --- Opening ---------------------------------------------------------------------------------------------------------


@contextmanager
def open_store(url: str, prefix: str, *, make: bool = False, make_tables: bool = False) -> Iterator[TrainStore]:
    """The store; where there is none, an error that says how to begin, unless it, or its tables, may be made."""
    from trainstore import schema
    from trainstore.backends import open_backend
    from trainstore.store import TrainStore

    backend = open_backend(url)
    if not make and not backend.exists():
        raise StoreUnavailableError(
            f"there is no store at {visible(url)}; name one with --store or {STORE_VARIABLE}, or create one "
            "with: trainstore demo"
        )
    # Else a wrong prefix, or database, would leave tables there.
    if not make and not make_tables and with_schema(url, prefix, schema.current) is None:
        raise SchemaMissingError(
            f"{visible(backend.safe_url)} has no trainstore tables{f' with the prefix {prefix}' if prefix else ''}; "
            f"choose others with --store or {STORE_VARIABLE}, --prefix or {PREFIX_VARIABLE}, or create them with: "
            "trainstore db upgrade"
        )
    with TrainStore(url, table_name_prefix=prefix) as store:
        yield store


@contextmanager
def open_snapshot(url: str, prefix: str) -> Iterator[tuple[TrainStore, Reader]]:
    """The store, and an exact reader whose statements all see the same moment of it."""
    with open_store(url, prefix) as store, snapshot_of(store) as reader:
        yield store, reader


@contextmanager
def snapshot_of(store: TrainStore) -> Iterator[Reader]:
    """The reader of a store that is open."""
    from dataclasses import replace

    with store.snapshot() as view:
        yield replace(view.reader, exact=True)


def with_schema(url: str, prefix: str, function: Callable[..., Any]) -> Any:
    """Call ``function(engine, backend, models)``, whatever the schema is like."""
    from trainstore.backends import open_backend
    from trainstore.models import models_for

    models = models_for(prefix)
    backend = open_backend(url)
    engine = backend.create_engine()
    try:
        return function(engine, backend, models)
    finally:
        engine.dispose()
        backend.close()


def shown_url(store: TrainStore) -> str:
    """As --store takes it, without the password."""
    return store.url if "%" in store.url else store.url.removeprefix("sqlite:///")


def known_metrics(store: TrainStore) -> str:
    """The first metrics there are, for a message."""
    names = sorted(set(store.list_metrics()["metric"]))
    return ", ".join(map(visible, names[:30])) + (" …" if len(names) > 30 else "") if names else "none"
