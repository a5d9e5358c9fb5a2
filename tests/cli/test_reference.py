"""docs/cli.md is what --help says."""

import subprocess
import sys
from pathlib import Path

import click

from trainstore.cli import cli

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date():
    """``python -m trainstore.cli.reference > docs/cli.md`` makes it anew."""
    done = subprocess.run(
        [sys.executable, "-m", "trainstore.cli.reference"], capture_output=True, text=True, check=True
    )
    assert done.stdout == PAGE.read_text(), "run: make docs/cli.md"


def test_every_command_and_option_says_what_it_is():
    """Each has a help text."""

    def commands(command, path):
        yield path, command
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                yield from commands(command.get_command(click.Context(command), name), f"{path} {name}")

    found = dict(commands(cli, "trainstore"))
    assert {"trainstore export", "trainstore db upgrade", "trainstore doctor"} <= found.keys()
    for path, command in found.items():
        assert command.help, path
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{path} {parameter.name}"
