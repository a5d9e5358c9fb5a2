"""``trainstore tag``, ``note``, ``rename`` and ``rm``: changing or deleting stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from trainstore.cli.options import store_options
from trainstore.cli.printing import print_json, print_table
from trainstore.cli.stores import open_store
from trainstore.cli.streams import at_terminal, read_input, visible
from trainstore.cli.types import RUN
from trainstore.errors import TrainStoreError

SHOWN_BEFORE_REMOVAL = ("run_id", "name", "project", "status", "started_at", "last_step", "attempts", "events")


@click.command()
@click.argument("run", type=RUN)
@click.argument("tags", metavar="[NAME[=VALUE]]...", nargs=-1)
@click.option("--remove", "removed", metavar="NAME", multiple=True, help="Remove this tag; may be repeated.")
@store_options
def tag(run: str, tags: Sequence[str], removed: Sequence[str], url: str, prefix: str, as_json: bool) -> None:
    """Set or remove tags of RUN, and show all its tags.

    NAME sets a tag without a value (True), NAME=VALUE one with a text, NAME:=VALUE one with a number, true, false or
    other JSON.
    """
    wanted = dict(map(_tag, tags))
    both = sorted(wanted.keys() & set(removed))
    if both:
        raise click.UsageError(f"{both[0]!r} cannot be both set and removed.")
    from trainstore.values import stored_label

    with open_store(url, prefix) as store:
        uid = store.get_run(run).uid
        if wanted or removed:
            gone = store.set_tags(uid, wanted, remove=removed)
            missing = sorted(name for name in set(removed) if stored_label(name) not in gone)
            if missing:
                raise TrainStoreError(
                    f"run {uid} has no tag {', '.join(map(repr, missing))}; the other changes were made"
                )
        found = store.get_run(uid).tags
    if as_json:
        print_json({"uid": uid, "tags": found})
    elif not found:
        click.echo("no tags")
    for name, value in () if as_json else found.items():
        click.echo(visible(name if value is True else f"{name}={value}"))


def _tag(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name.rstrip(":"):
        raise click.UsageError(f"{text!r} has no name before the '='.")
    if not equals:
        return name, True
    if not name.endswith(":"):
        return name, value
    import orjson

    try:
        return name[:-1], orjson.loads(value)
    except orjson.JSONDecodeError:
        raise click.UsageError(f"{value!r} after ':=' is not JSON; for a text write {name[:-1]}={value}.") from None


@click.command()
@click.argument("run", type=RUN)
@click.argument("text", required=False)
@click.option("--append", is_flag=True, help="Add a paragraph to the existing notes.")
@store_options
def note(run: str, text: str | None, append: bool, url: str, prefix: str, as_json: bool) -> None:
    """Set the notes of RUN to TEXT, or show them.

    If TEXT is -, it is read from standard input; an empty TEXT removes the notes. An event keeps the previous notes.
    """
    if append and text is None:
        raise click.UsageError("--append needs a TEXT; - reads standard input.")
    if text == "-":
        text = read_input().rstrip("\n")
    with open_store(url, prefix) as store:
        record = store.get_run(run)
        notes = (record.notes or "") if text is None else store.set_notes(record.uid, text, append=append)
    if as_json:
        print_json({"uid": record.uid, "notes": notes or None})
    else:
        for line in notes.splitlines() or ["no notes"]:
            click.echo(visible(line))


@click.command()
@click.argument("run", type=RUN)
@click.argument("name")
@store_options
def rename(run: str, name: str, url: str, prefix: str, as_json: bool) -> None:
    """Rename RUN to NAME.

    A name need not be unique; the uid stays the same. An event keeps the previous name.
    """
    if not name:
        raise click.UsageError("NAME is empty.")
    with open_store(url, prefix) as store:
        uid = store.get_run(run).uid
        kept = store.rename_run(uid, name)
    if as_json:
        print_json({"uid": uid, "name": kept})
    else:
        click.echo(visible(kept))


@click.command()
@click.argument("runs", metavar="RUN...", type=RUN, nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--force", is_flag=True, help="Also delete runs that a live process is recording.")
@store_options
def rm(runs: Sequence[str], yes: bool, force: bool, url: str, prefix: str, as_json: bool) -> None:
    """Delete RUNs with their steps, hyperparameters, metrics, attempts and events.

    Shows what will be deleted and asks for confirmation. Runs that started from their checkpoints are kept.
    """
    from trainstore.errors import RunActiveError

    with open_store(url, prefix) as store:
        uids = list(dict.fromkeys(store.get_run(run).uid for run in runs))
        if not yes:
            if as_json or not at_terminal():
                raise TrainStoreError(
                    "cannot ask for confirmation without a terminal; add --yes to delete without being asked"
                )
            frame = store.list_runs(where=store.table.run.c.uid.in_(uids), hyperparams=[], metrics=[])
            events = store.list_events(uids)["uid"].value_counts()
            frame["events"] = [int(events.get(uid, 0)) for uid in frame["uid"]]
            print_table("To be deleted", frame[list(SHOWN_BEFORE_REMOVAL)])
            if not click.confirm(f"Delete {len(uids)} run{'s' if len(uids) > 1 else ''} permanently?"):
                click.echo("nothing was deleted")
                return
        deleted, active = [], []
        for uid in uids:
            try:
                store.delete_run(uid, force=force)
                deleted.append(uid)
            except RunActiveError as error:
                active.append(str(error).replace("pass force=True", "add --force"))
    if as_json:
        print_json({"deleted": deleted})
    for uid in () if as_json else deleted:
        click.echo(f"deleted {uid}")
    if active:
        raise TrainStoreError("; ".join(active))
