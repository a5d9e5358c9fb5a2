"""The command ``trainstore``.

Exit codes: 0 done; 1 an error, one line on standard error that says what to do; 2 an invalid command line; 130 Ctrl-C;
143 SIGTERM (``ui`` ends with 0 at both). There is never a traceback, except for an error in trainstore itself with
TRAINSTORE_TRACEBACK=1.

``COMMANDS`` names the file of each command. They share:

====================  ==============================================================================
``options.py``        the decorators for --store, --prefix and --json
``filters.py``        the decorators for --where, --since, --tag and the other filters, and for --sort
``changes.py``        changing several runs: which ones, --yes and --dry-run
``types.py``          the arguments RUN and METRIC
``completion.py``     what the shell offers for them
``stores.py``         opening the store, a snapshot of it, or only its database
``printing.py``       tables, JSON and progress bars
``run_page.py``       what ``show`` prints of a run
``transfers.py``      what ``merge`` and ``copy`` share, and what they print
``chart.py``          line charts of characters
``streams.py``        standard input and output, whatever their encoding
``files.py``          writing a file whole or not at all
``reference.py``      the page docs/cli.md
====================  ==============================================================================

A command's module is imported when that command is used, and heavy libraries (pandas, SQLAlchemy) only inside its
functions: ``--help`` and the shell's completion must be quick.
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
from trainstore.cli.options import group_options
from trainstore.cli.streams import visible
from trainstore.errors import FilterError, TrainStoreError

TRACEBACK_VARIABLE = "TRAINSTORE_TRACEBACK"
COMMANDS = {
    "demo": "demo:demo",
    "ui": "ui:ui",
    "runs": "runs:runs",
    "best": "runs:best",
    "show": "show:show",
    "plot": "plot:plot",
    "compare": "compare:compare",
    "tag": "edit:tag",
    "note": "edit:note",
    "rename": "edit:rename",
    "close": "close:close",
    "rm": "edit:rm",
    "report": "report:report",
    "export": "export:export",
    "import": "import_:import_",
    "merge": "merge:merge",
    "copy": "copy:copy",
    "watch": "watch:watch",
    "notify": "notify:notify",
    "backup": "backup:backup",
    "recover": "recover:recover",
    "doctor": "doctor:doctor",
    "db": "db:db",
    "completion": "completion:completion",
}
ALIASES = {"ls": "runs", "list": "runs", "delete": "rm"}


class _Commands(click.Group):
    """The commands, in the order of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return the command."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"trainstore.cli.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. It is not an error if the reader of its output (head, less) stops early."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            ctx.exit(0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@group_options
@click.version_option(__version__, prog_name="trainstore")
def cli(**_options: Any) -> None:
    """Every run, step and hyperparameter of your trainings, in your own SQL database."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit: the entry point of the command ``trainstore``."""
    if arguments is None:
        # In a short process of its own, the garbage collector would only slow the imports down.
        gc.set_threshold(100_000)
    streams.settle()
    try:
        sys.exit(_run(None if arguments is None else list(arguments)))
    finally:
        streams.give_up()


def _run(arguments: list[str] | None) -> int:
    """Run the command, print one line if it fails, and return the exit code."""
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
        place = _place(error) if isinstance(error, FilterError) else ""
        _tell(partial(click.echo, f"Error: {visible(_reason(error))}{place}", err=True))
        return 1


def _tell(say: Callable[[], None]) -> None:
    with suppress(OSError):  # standard error may be closed
        say()


def _place(error: FilterError) -> str:
    """Two more lines: the filter, or what is around the place that the error is about, and a caret under that."""
    from rich.cells import cell_len

    before, after = visible(error.text[: error.position]), visible(error.text[error.position :])
    before = f"…{before[-60:]}" if len(before) > 60 else before
    after = f"{after[:40]}…" if len(after) > 40 else after
    return f"\n  {before}{after}\n  {' ' * cell_len(before)}^"


def _reason(error: Exception) -> str:
    if isinstance(error, TrainStoreError | OSError):
        return str(error).replace("with list_runs() or: ", "with: ")  # here it is the command that helps
    # Not the error's text: it may contain a URL or a row.
    kind = type(error).__name__
    if type(error).__module__.partition(".")[0] != "sqlalchemy":
        places = extract_tb(error.__traceback__)
        own = [place for place in places if __package__.partition(".")[0] in Path(place.filename).parts]
        place = (own or places)[-1]
        return (
            f"trainstore failed ({kind} in {Path(place.filename).name}, line {place.lineno}); please report it, "
            f"with the output of {TRACEBACK_VARIABLE}=1"
        )
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if state == "42501":
        return "permission denied for this database user; grant the right, or use a role that may change the tables"
    return f"the database reported an error ({f'SQLSTATE {state}' if state else kind}); see: trainstore doctor"
