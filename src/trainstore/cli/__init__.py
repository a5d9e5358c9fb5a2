"""The command ``trainstore``.

Exit codes: 0 done; 1 an error, one line on standard error that says what to do; 2 a wrong command line; 130 Ctrl-C.
A command's module is imported when the command is asked for, and what is heavy (pandas, SQLAlchemy) inside its
function: ``--help`` and the shell's completion must be quick.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from trainstore import __version__
from trainstore.cli.common import visible
from trainstore.errors import TrainStoreError

COMMANDS = {
    "demo": "demo:demo",
    "runs": "runs:runs",
    "best": "runs:best",
    "show": "show:show",
    "compare": "compare:compare",
    "tag": "edit:tag",
    "note": "edit:note",
    "rm": "edit:rm",
    "export": "export:export",
    "recover": "recover:recover",
    "doctor": "doctor:doctor",
    "db": "db:db",
    "completion": "completion:completion",
}


class _Commands(click.Group):
    """The commands, in the order of the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them, its module imported."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"trainstore.cli.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; that the reader of its output (head, less) has had enough is no error."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # Keeps Python from complaining at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trainstore")
def cli() -> None:
    """Every run, step and hyperparameter of your trainings, in your own SQL database."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit: the entry point of the command ``trainstore``."""
    if arguments is None:
        # This process is ours, and short-lived: the collector would walk through every module while it is loaded.
        gc.set_threshold(100_000)
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments), prog_name="trainstore", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except TrainStoreError as error:
        click.echo(f"Error: {visible(error)}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"Error: {visible(error)}", err=True)
        sys.exit(1)
    except Exception as error:
        reason = _refusal(error)
        if reason is None:
            raise
        click.echo(f"Error: {visible(reason)}", err=True)
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)


def _refusal(error: Exception) -> str | None:
    """What a database said that none of our errors says. Never its text, which may show a URL or a row."""
    if type(error).__module__.partition(".")[0] != "sqlalchemy":
        return None
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if state == "42501":
        return "this user of the database may not do that; let one who may change its tables do it, or grant the right"
    return f"the database refused ({f'SQLSTATE {state}' if state else type(error).__name__}); see: trainstore doctor"
