"""The types of arguments that name something in the store: RUN and METRIC. The shell completes both."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from trainstore.cli.completion import complete_metrics, complete_runs, complete_tags

_FILTERS = ("where", "since", "until", "project", "name", "status", "tag", "hp")  # of filters.py


class RunType(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A run: a uid, an id or a name."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Mark the text as typed: digits may be an id or a name, and only the store knows which."""
        from trainstore.queries import TypedRun

        return TypedRun(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """The names, uids and ids that start with what was typed."""
        return complete_runs(ctx, incomplete)


class WordType(RunType):
    """A run, and then words that name none: tags, or a text."""

    def __init__(self, *, tags: bool = False) -> None:
        self.tags = tags

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Runs for the first word, the names of tags for the others; after a filter, no run is named."""
        filtered = any(ctx.params.get(name) for name in _FILTERS)
        if not ctx.params.get(param.name or "") and not filtered:
            return complete_runs(ctx, incomplete)
        return complete_tags(ctx, incomplete) if self.tags else []


class MetricType(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A metric's name."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is stored."""
        from trainstore.values import stored_name

        return stored_name(value) if value else value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """The names that start with what was typed."""
        return complete_metrics(ctx, incomplete)


RUN = RunType()
RUN_AND_TAGS = WordType(tags=True)
RUN_AND_TEXT = WordType()
METRIC = MetricType()
