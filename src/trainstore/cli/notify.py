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
        targets.change(add=[target.url for target in new])
    for target in wanted:
        click.echo(f"{visible(target.shown)} {'added' if target in new else 'is there already'}")
    if _is_set():
        click.echo(f"{targets.VARIABLE} is set here, and is used instead of the file", err=True)


@notify.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the addresses, without what is secret in them."""
    from trainstore.notifying import targets

    found = targets.find(asked=True)
    source = targets.VARIABLE if _is_set() else str(targets.file_path())
    if as_json:
        print_json({"from": source, "targets": [target.shown for target in found]})
        return
    for number, target in enumerate(found, 1):
        click.echo(f"{number}  {visible(target.shown)}")
    if not found:
        click.echo(f"nothing is sent: {_nowhere()}")
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

    if _is_set():
        raise TrainStoreError(
            f"{targets.VARIABLE} is set, so that the list shows its addresses, not those in the file; unset it first"
        )
    (gone,) = _chosen([targets.Target(url) for url in targets.read()], number)
    targets.change(remove=[gone.url])
    click.echo(f"{visible(gone.shown)} removed")


def _chosen(found: list[Any], number: int | None) -> list[Any]:
    if not found:
        raise TrainStoreError(_nowhere())
    if number is None:
        return found
    if number > len(found):
        raise InvalidArgumentError(f"there is no address {number}: trainstore notify list shows {len(found)}")
    return [found[number - 1]]


def _is_set() -> bool:
    from trainstore.notifying import targets

    return bool(os.environ.get(targets.VARIABLE, "").strip())


def _nowhere() -> str:
    """Why there is no address."""
    from trainstore.notifying import targets

    if _is_set():
        return f"{targets.VARIABLE} is set to {visible(os.environ[targets.VARIABLE].strip())}"
    return "there is no address; add one with: trainstore notify add"
