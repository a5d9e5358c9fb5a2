"""The command ``trainstore``.

Exit codes: 0 done; 1 an error, one line on standard error that says what to do; 2 a wrong command line; 130 Ctrl-C;
143 SIGTERM. No traceback is ever printed, unless TRAINSTORE_TRACEBACK=1 asks for that of an error in trainstore.

A command's module is imported when the command is asked for, and what is heavy (pandas, SQLAlchemy) inside its
function: ``--help`` and the shell's completion must be quick.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import Any, NoReturn

import click

from trainstore import __version__
from trainstore.cli import streams
from trainstore.cli.common import visible
from trainstore.errors import TrainStoreError

TRACEBACK_VARIABLE = "TRAINSTORE_TRACEBACK"
COMMANDS = {
    "demo": "demo:demo",
    "runs": "runs:runs",
    "best": "runs:best",
    "show": "show:show",
    "compare": "compare:compare",
    "tag": "edit:tag",
    "note": "edit:note",
    "rename": "edit:rename",
    "rm": "edit:rm",
    "export": "export:export",
    "backup": "backup:backup",
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
    streams.settle()
    try:
        sys.exit(_run(None if arguments is None else list(arguments)))
    finally:
        streams.give_up()


def _run(arguments: list[str] | None) -> int:
    """The exit code; what went wrong has been said, in a line."""
    try:
        result = cli.main(args=arguments, prog_name="trainstore", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        _tell(error.show)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _tell(partial(click.echo, "interrupted", err=True))
        return 130
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE) == "1" and not isinstance(error, TrainStoreError | OSError):
            raise
        _tell(partial(click.echo, f"Error: {visible(_reason(error))}", err=True))
        return 1


def _tell(say: Callable[[], None]) -> None:
    with suppress(OSError):  # nobody listens on standard error
        say()


def _reason(error: Exception) -> str:
    if isinstance(error, TrainStoreError | OSError):
        return str(error)
    # Not its text: that of a database's error may show a URL or a row, and so may any other.
    kind = type(error).__name__
    if type(error).__module__.partition(".")[0] != "sqlalchemy":
        places = extract_tb(error.__traceback__)
        ours = [place for place in places if __package__.partition(".")[0] in Path(place.filename).parts]
        place = (ours or places)[-1]
        return (
            f"trainstore failed ({kind} in {Path(place.filename).name}, line {place.lineno}); please report it, "
            f"with what {TRACEBACK_VARIABLE}=1 prints"
        )
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if state == "42501":
        return "permission denied for this database user; grant the right, or use a role that may change the tables"
    return f"the database refused ({f'SQLSTATE {state}' if state else kind}); see: trainstore doctor"
