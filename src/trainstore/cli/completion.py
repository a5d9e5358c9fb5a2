"""Shell completion: ``trainstore completion``, and the values offered for RUN and METRIC.

The store is only read: nothing is created, upgraded or recovered. If something goes wrong, nothing is offered and no
error is shown, because the user is in the middle of typing a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from trainstore.cli.stores import open_database
from trainstore.cli.streams import visible
from trainstore.defaults import default_prefix, default_store
from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from trainstore.queries import Reader

SHELLS = ("bash", "zsh", "fish")
# The shell would split any other name; such a run is offered by its uid.
_PLAIN = re.compile(r"[\w.+=@%/-]+\Z")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands, options, RUNs and metrics in SHELL.

    \b
    bash:  trainstore completion bash > ~/.local/share/bash-completion/completions/trainstore
    zsh:   trainstore completion zsh > FOLDER/_trainstore   (FOLDER is in $fpath)
    fish:  trainstore completion fish > ~/.config/fish/completions/trainstore.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise TrainStoreError(f"this version of Click cannot complete in {shell}")
    root = click.get_current_context().find_root().command
    # Not source(): for bash, it would run bash to check its version.
    complete = kind(root, {}, "trainstore", "_TRAINSTORE_COMPLETE")
    click.echo(complete.source_template % complete.source_vars())


def complete_runs(ctx: click.Context, start: str) -> list[CompletionItem[Any]]:
    """The runs whose name, uid or id starts with the text, newest first."""
    from trainstore.queries.names import runs_beginning

    found = _query(ctx, lambda reader: runs_beginning(reader, start), [])
    names = [run.name for run in found]
    items = []
    for run in found:
        by_name = run.name.startswith(start) and names.count(run.name) == 1 and not run.name.isdecimal()
        value = run.name if by_name and _PLAIN.match(run.name) else run.uid
        if value.startswith(start):
            text = " ".join(visible(f"{run.name} ({run.project}), {run.status}, id {run.id}").split())
            items.append(CompletionItem(value, help=text))
    return items


def complete_tags(ctx: click.Context, start: str) -> list[CompletionItem[Any]]:
    """The tags whose name starts with the text."""
    from trainstore.queries.names import tags_beginning

    found = _query(ctx, lambda reader: tags_beginning(reader, start), [])
    return [CompletionItem(name) for name in found if _PLAIN.match(name)]


def complete_metrics(ctx: click.Context, start: str) -> list[CompletionItem[Any]]:
    """The metrics whose name starts with the text."""
    from trainstore.queries.names import metrics_beginning

    found = _query(ctx, lambda reader: metrics_beginning(reader, start), [])
    return [CompletionItem(name) for name in found if _PLAIN.match(name)]


def _query(ctx: click.Context, query: Callable[[Reader], Any], default: Any) -> Any:
    """The answer of the store that the command line names so far, or the default if anything goes wrong."""
    try:
        from trainstore.queries import Reader

        url = ctx.params.get("url") or default_store()
        prefix = ctx.params.get("prefix") or default_prefix()
        with open_database(url, prefix) as (engine, backend, models):
            if not backend.exists():
                return default
            with backend.snapshot(engine) as connection:
                return query(Reader(connection, models, backend))
    except Exception:  # noqa: BLE001 - the user is typing
        return default
