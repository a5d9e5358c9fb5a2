"""``trainstore notify``: where alerts and ends of runs are sent."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from trainstore.cli.options import json_option
from trainstore.cli.printing import print_json
from trainstore.cli.streams import at_terminal, read_input, visible
from trainstore.errors import InvalidArgumentError, TrainStoreError


@click.group()
def notify() -> None:
    """Choose where alerts and ends of runs are sent: mail, Slack and others.

    The addresses are credentials. They are kept in a file that only you can read, and are never shown whole.
    TRAINSTORE_NOTIFY, if set, is used instead of the file.
    """


@notify.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
def add(arguments: tuple[str, ...]) -> None:
    """Add an address: typed without being shown, or from standard input, one per line."""
    from trainstore.notifying import targets
    from trainstore.notifying.channels import Channel

    if arguments:
        raise click.UsageError(
            "An address is a credential: it is asked for, or read from standard input. On the command line, the "
            "shell's history and other users could see it."
        )
    text = click.prompt("Address", hide_input=True, err=True) if at_terminal() else read_input()
    wanted = [targets.checked(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not wanted:
        raise TrainStoreError("there is no address to read: type one, or write it to standard input")
    for target in wanted:
        Channel(target)  # what cannot be used is refused now
    there = targets.read()
    new = [target for target in dict.fromkeys(wanted) if target.url not in there]
    if new:
        targets.write([*there, *(target.url for target in new)])
    for target in wanted:
        click.echo(f"{visible(target.shown)} {'added' if target in new else 'is there already'}")
    _remark_variable()


@notify.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the addresses, without what is secret in them."""
    from trainstore.notifying import targets

    found = targets.find(asked=True)
    source = _source()
    if as_json:
        print_json({"from": source, "targets": [target.shown for target in found]})
        return
    for number, target in enumerate(found, 1):
        click.echo(f"{number}  {visible(target.shown)}")
    if not found:
        click.echo("nothing is sent; add an address with: trainstore notify add")
    else:
        click.echo(f"from {visible(source)}", err=True)


@notify.command()
@click.argument("number", type=click.IntRange(min=1), required=False)
def test(number: int | None) -> None:
    """Send a test message to each address, or to the one with NUMBER in the list."""
    from trainstore.notifying import targets
    from trainstore.notifying.channels import Channel
    from trainstore.notifying.messages import trial_message

    failed = False
    for target in _chosen(targets.find(asked=True), number):
        reason = Channel(target).send(trial_message())
        click.echo(f"{visible(target.shown)} {'took the message' if reason is None else f'failed: {visible(reason)}'}")
        failed = failed or reason is not None
    if failed:
        sys.exit(1)


@notify.command()
@click.argument("number", type=click.IntRange(min=1))
def remove(number: int) -> None:
    """Remove the address with NUMBER in the list from the file."""
    from trainstore.notifying import targets

    there = targets.read()
    (gone,) = _chosen([targets.Target(url) for url in there], number)
    targets.write([url for url in there if url != gone.url])
    click.echo(f"{visible(gone.shown)} removed")
    _remark_variable()


def _chosen(found: list[Any], number: int | None) -> list[Any]:
    if not found:
        raise TrainStoreError("there is no address; add one with: trainstore notify add")
    if number is None:
        return found
    if number > len(found):
        raise InvalidArgumentError(f"there is no address {number}: trainstore notify list shows {len(found)}")
    return [found[number - 1]]


def _source() -> str:
    from trainstore.notifying import targets

    return targets.VARIABLE if os.environ.get(targets.VARIABLE, "").strip() else str(targets.file_path())


def _remark_variable() -> None:
    from trainstore.notifying import targets

    if _source() == targets.VARIABLE:
        click.echo(f"{targets.VARIABLE} is set here, and is used instead of the file", err=True)
