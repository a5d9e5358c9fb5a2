"""``trainstore tag``, ``note``, ``rename`` and ``rm``: changing or deleting stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from trainstore.cli.changes import Change, change_options, chosen_runs, counted
from trainstore.cli.filters import filter_options
from trainstore.cli.options import store_options
from trainstore.cli.printing import print_json
from trainstore.cli.stores import open_store
from trainstore.cli.streams import read_input, visible
from trainstore.cli.types import RUN, RUN_AND_TAGS, RUN_AND_TEXT
from trainstore.errors import TrainStoreError

SHOWN_BEFORE_REMOVAL = ("name", "run_id", "project", "status", "started_at", "last_step", "attempts", "events")


@click.command()
@click.argument("words", metavar="[RUN] [NAME[=VALUE]]...", type=RUN_AND_TAGS, nargs=-1)
@click.option("--remove", "removed", metavar="NAME", multiple=True, help="Remove this tag; may be repeated.")
@filter_options
@change_options
@store_options
def tag(
    words: Sequence[str],
    removed: Sequence[str],
    conditions: dict[str, Any],
    change: Change,
    url: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Set or remove tags of RUN, and show all its tags; or those of all runs that match filters, without a RUN.

    NAME sets a tag without a value (True), NAME=VALUE one with a text, NAME:=VALUE one with a number, true, false or
    other JSON. With filters, the runs are shown first and you are asked.
    """
    runs, tags = ([], words) if conditions else (words[:1], words[1:])
    wanted = dict(map(_tag, tags))
    both = sorted(wanted.keys() & set(removed))
    if both:
        raise click.UsageError(f"{both[0]!r} cannot be both set and removed.")
    if conditions and not (wanted or removed):
        raise click.UsageError("Name the tags to set, or --remove some.")
    from trainstore.values import stored_label

    with open_store(url, prefix) as store:
        frame = chosen_runs(store, runs, conditions)
        if conditions and not change.agreed(frame, "To be tagged", "Change the tags of {}?", as_json=as_json):
            return
        missing = {stored_label(name): name for name in removed}
        for uid in frame["uid"] if wanted or removed else ():
            for name in store.set_tags(uid, wanted, remove=removed):
                missing.pop(name, None)
        if missing:
            whose = f"run {frame['uid'][0]} has" if len(frame) == 1 else "these runs have"
            names = ", ".join(map(repr, sorted(missing.values())))
            raise TrainStoreError(f"{whose} no tag {names}; the other changes were made")
        found = [(record.uid, record.name, record.tags) for record in map(store.get_run, frame["uid"])]
    if as_json:
        shown = [{"uid": uid, "tags": tags} for uid, _, tags in found]
        print_json(shown if conditions else shown[0])
        return
    for _, name, of_run in found:
        lines = [visible(key if value is True else f"{key}={value}") for key, value in of_run.items()] or ["no tags"]
        click.echo(f"{visible(name)}: {', '.join(lines)}" if conditions else "\n".join(lines))


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
@click.argument("words", metavar="[RUN] [TEXT]", type=RUN_AND_TEXT, nargs=-1)
@click.option("--append", is_flag=True, help="Add a paragraph to the existing notes.")
@filter_options
@change_options
@store_options
def note(
    words: Sequence[str],
    append: bool,
    conditions: dict[str, Any],
    change: Change,
    url: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Set the notes of RUN to TEXT, or show them; or set those of all runs that match filters, without a RUN.

    If TEXT is -, it is read from standard input; an empty TEXT removes the notes. An event keeps the previous notes.
    With filters, the runs are shown first and you are asked.
    """
    runs, texts = ([], words) if conditions else (words[:1], words[1:])
    if len(texts) > 1:
        raise click.UsageError(f"{texts[1]!r} is one word too many; put the text in quotes.")
    text = str(texts[0]) if texts else None
    if text is None and (append or conditions):
        raise click.UsageError("A TEXT is missing; - reads standard input.")
    if text == "-":
        text = read_input().rstrip("\n")
    with open_store(url, prefix) as store:
        frame = chosen_runs(store, runs, conditions)
        if conditions and not change.agreed(frame, "To be changed", "Change the notes of {}?", as_json=as_json):
            return
        if text is None:
            found = {uid: store.get_run(uid).notes or "" for uid in frame["uid"]}
        else:
            found = {uid: store.set_notes(uid, text, append=append) for uid in frame["uid"]}
    if as_json:
        shown = [{"uid": uid, "notes": notes or None} for uid, notes in found.items()]
        print_json(shown if conditions else shown[0])
        return
    if conditions:
        click.echo(f"changed the notes of {counted(len(found))}")
        return
    for notes in found.values():
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
@click.argument("runs", metavar="[RUN]...", type=RUN, nargs=-1)
@filter_options
@change_options
@click.option("--force", is_flag=True, help="Also delete runs that a live process is recording.")
@store_options
def rm(
    runs: Sequence[str],
    conditions: dict[str, Any],
    change: Change,
    force: bool,
    url: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Delete RUNs, or all runs that match filters, with their steps, hyperparameters, metrics, attempts and events.

    Shows what will be deleted and asks for confirmation. Runs that started from their checkpoints are kept.
    Merging and importing do not bring a deleted run back, unless they are asked to.
    """
    from trainstore.errors import RunActiveError

    with open_store(url, prefix) as store:
        frame = chosen_runs(store, runs, conditions)
        if not change.yes and not as_json:
            events = store.list_events(frame["uid"].tolist())["uid"].value_counts()
            frame["events"] = [int(events.get(uid, 0)) for uid in frame["uid"]]
        question, columns = "Delete {} permanently?", SHOWN_BEFORE_REMOVAL
        if not change.agreed(frame, "To be deleted", question, done="deleted", columns=columns, as_json=as_json):
            return
        deleted, active = [], []
        for uid in frame["uid"]:
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
