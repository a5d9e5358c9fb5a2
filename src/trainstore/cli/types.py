"""The types of arguments that name something in the store: RUN and METRIC. The shell completes both."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from trainstore.cli.completion import complete_metrics, complete_runs


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
METRIC = MetricType()
