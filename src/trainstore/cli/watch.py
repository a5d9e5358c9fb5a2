"""``trainstore watch``: a line for each change, as it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.options import store_argument, store_options
from trainstore.cli.printing import print_json_line
from trainstore.cli.stores import check_exists, open_store, shown_url, snapshot_of
from trainstore.cli.streams import visible
from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from trainstore.notifying.relaying import Relay
    from trainstore.notifying.watching import Change, Watcher
    from trainstore.store import TrainStore

COLOURS = {"finished": "green", "failed": "red", "lost": "red", "error": "red", "warn": "yellow"}
MAX_TEXT = 160  # characters of an alert's title, or an error
TURNS = 2.0  # seconds between two turns of sending


class _Seconds(click.FloatRange):
    """A time that can be waited for: NaN is none, though it is not out of any range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A number."""
        seconds = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return seconds


@click.command()
@click.option("--project", metavar="TEXT", help="Only runs of this project.")
@click.option("--notify", is_flag=True, help="Also send messages that the training process has not sent.")
@click.option(
    "--interval",
    type=_Seconds(0.1, 86_400),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two readings of the store.",
)
@store_argument
@store_options
def watch(project: str | None, notify: bool, interval: float, url: str, prefix: str, as_json: bool) -> None:
    """Print a line when a run begins, goes on, ends or is lost, and for each alert; until Ctrl-C. Its times are local.

    With --notify, alerts, and the news that a run finished, failed or was lost, are sent to the addresses of
    `trainstore notify`, even if its process was killed. What a training sends by itself is not sent again. With --json,
    each line is an object, and times are in UTC.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from trainstore.notifying.watching import Watcher

    watcher = Watcher(project)
    with _opened(url, prefix, writing=notify) as store:
        relay = _relay(store) if notify else None
        _look(store, watcher, relay, as_json)
        click.echo(f"watching {visible(shown_url(store))}: {watcher.running} running; Ctrl-C ends it", err=True)
        told = ""
        while True:
            problem = ""
            try:
                _wait(interval, relay)
                _look(store, watcher, relay, as_json)
            except TrainStoreError as error:  # whatever is wrong with the database may be mended
                problem = str(error)
            except SQLAlchemyError as error:  # its text may show a row
                problem = f"the database reported an error ({type(error).__name__})"
            if problem not in ("", told):
                click.echo(f"{visible(problem)}; trying again", err=True)
            told = problem


@contextmanager
def _opened(url: str, prefix: str, *, writing: bool) -> Iterator[TrainStore]:
    from trainstore.store import TrainStore

    if writing:
        with open_store(url, prefix) as store:
            yield store
        return
    check_exists(url, prefix, tables=True, read_only=True)
    with TrainStore(url, table_name_prefix=prefix, read_only=True) as store:
        yield store


def _relay(store: TrainStore) -> Relay:
    from trainstore.notifying import targets
    from trainstore.notifying.relaying import Relay

    found = targets.find(asked=True)
    if not found:
        raise TrainStoreError(
            f"there is nowhere to send to: add an address with `trainstore notify add`, or set {targets.VARIABLE}"
        )
    return Relay(store._backend, store._models, found)


def _look(store: TrainStore, watcher: Watcher, relay: Relay | None, as_json: bool) -> None:
    with snapshot_of(store) as reader:
        changes = watcher.look(reader)
    for change in changes:
        if as_json:
            print_json_line(_fields(change))
        else:
            click.echo(_line(change))
    if relay is not None:
        dropped = relay.add(change.event for change in changes if change.is_sendable)
        if dropped:
            click.echo(f"{dropped} of these are not sent: too many are waiting", err=True)
        _send(relay)


def _wait(seconds: float, relay: Relay | None) -> None:
    """Until the store is read again; a service that wants time between messages gets in a long wait what is left."""
    end = time.monotonic() + seconds
    while relay is not None and relay.is_waiting and end - time.monotonic() > TURNS:
        time.sleep(TURNS)
        _send(relay)
    time.sleep(max(0.0, end - time.monotonic()))


def _send(relay: Relay) -> None:
    for problem in relay.send():
        click.echo(visible(problem), err=True)


def _line(change: Change) -> str:
    event = change.event
    at = "" if event.step is None else f" at step {event.step}"
    if event.kind == "alert":
        what, said = f"alert, {event.level}{at}", event.title
    elif event.kind == "begun":
        what, said = (f"goes on{at}" if change.is_resumed else "began"), ""
    elif event.kind == "heard":
        what, said = f"is heard of again{at}", ""
    else:
        what, said = f"{event.status}{at}", event.error or ""
    first = said.strip().partition("\n")[0][:MAX_TEXT]
    colour = COLOURS.get(event.level if event.kind == "alert" else event.status)
    run = visible(f"{event.name} ({event.project}, {event.run_uid[:8]})")
    said = f": {visible(first)}" if first else ""
    return f"{change.at.astimezone():%m-%d %H:%M:%S} {run} {click.style(visible(what), fg=colour)}{said}"


def _fields(change: Change) -> dict[str, Any]:
    event = change.event
    fields: dict[str, Any] = {"at": change.at.isoformat(), "kind": event.kind, "run": event.run_uid}
    fields |= {"name": event.name, "project": event.project, "step": event.step}
    if event.kind == "alert":
        fields |= {"level": event.level, "title": event.title, "text": event.text}
    else:
        fields |= {"status": event.status, "error": event.error if event.kind == "ended" else None}
    return fields
