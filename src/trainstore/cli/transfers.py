"""What ``merge`` and ``copy`` share: opening both stores, the progress, and what they print."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.files import ended_by_signals
from trainstore.cli.printing import new_console, print_json, print_table, progress_bar
from trainstore.cli.stores import exists, open_store, shown_url
from trainstore.cli.streams import visible
from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from trainstore.transfer.reports import Merged, RunKey

SHOWN_RUNS = 50
SHOWN_NAMES = 5  # of runs in one line
SHOWN_CONFLICTS = 10
IN_MEMORY = ":memory:"


def transfer(source: str, source_prefix: str, target: str, prefix: str, *, as_json: bool, **options: Any) -> None:
    """Merge a source into a target, which is made if it does not exist, and print what was done.

    Args:
        source: A path or a URL.
        source_prefix: Of its tables.
        target: A path or a URL.
        prefix: Of its tables.
        as_json: Print JSON.
        options: Of `TrainStore.merge`.
    """
    if not exists(target, prefix):
        from trainstore.transfer.sources import check_store

        # No store is made for a source that cannot be read.
        check_store(source, source_prefix, options.get("runs") or ())
        if options["dry_run"]:
            target, prefix = IN_MEMORY, ""
    with open_store(target, prefix, make=True) as store, _progress(shown=not as_json) as told:
        with ended_by_signals():
            result = store.merge(source, source_prefix=source_prefix, on_progress=told, **options)
        where = "a new store" if target == IN_MEMORY else visible(shown_url(store))
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result, where)
    if result.refusals:
        raise TrainStoreError("; ".join(result.refusals))


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A function that shows how many runs are done, on a terminal."""
    with progress_bar(shown and new_console().is_terminal, "comparing", "runs") as bar:
        yield lambda done, total: None if bar is None else bar("runs", done, total)


def _print(result: Merged, where: str) -> None:
    from pandas import DataFrame

    states = {"new": result.new, "revived": result.revived, "updated": result.updated, "deleted": result.deleted}
    rows = [
        {"name": run.name, "state": state, "project": run.project, "uid": run.uid}
        for state, runs in states.items()
        for run in sorted(runs, key=lambda run: (run.project, run.name))
    ]
    if rows:
        title = f"{'Would be merged' if result.dry_run else 'Merged'} into {where}:"
        print_table(title, DataFrame(rows[:SHOWN_RUNS]), ("name", "state", "project", "uid"))
        if len(rows) > SHOWN_RUNS:
            click.echo(f"and {len(rows) - SHOWN_RUNS:,} more runs; --json prints them all")
    for line in _lines(result, states):
        click.echo(visible(line))


def _lines(result: Merged, states: dict[str, list[RunKey]]) -> Iterator[str]:
    """The counts, and what the reader may want to do next."""
    counts = [f"{len(runs):,} {state}" for state, runs in {**states, "unchanged": result.unchanged}.items() if runs]
    suffix = "; nothing was written (--dry-run)" if result.dry_run else ""
    nothing = "no run was merged" if result.refused else "the source has no runs"
    yield f"{', '.join(counts) if counts else nothing}{suffix}"
    for name, (new, updated) in result.scalarstop.items():
        yield f"ScalarStop's table {name}: {new:,} rows new, {updated:,} updated"
    notes = {
        "the source lacks something of {}; merge the other way to bring it there": result.behind,
        "deleted here and not brought back; --revive brings {} back": result.skipped,
        "deleted in the source and kept here; --delete deletes {}, unless being recorded": result.kept,
        "began from a run that is not here; --with-parents brings that": result.missing_parents,
    }
    for text, runs in notes.items():
        if runs:
            yield f"{_named(runs)}: {text.format('it' if len(runs) == 1 else 'them')}"
    if result.conflicts:
        yield (
            f"{_counted(len(result.conflicts), 'value')} changed in both stores: the writer that started last counts, "
            "the other value stays in the step's details"
        )
        names = {run.uid: run.name for run in result.updated}
        for conflict in result.conflicts[:SHOWN_CONFLICTS]:
            at = "" if conflict.step is None else f" at step {conflict.step}"
            name = names.get(conflict.uid, conflict.uid)
            yield f"  {name}: {conflict.name}{at}: {conflict.counts}, not {conflict.other}"
        if len(result.conflicts) > SHOWN_CONFLICTS:
            yield f"  and {len(result.conflicts) - SHOWN_CONFLICTS:,} more; --json prints them all"
    waiting = result.waiting
    if waiting.records:
        journals = _counted(waiting.journals, "journal")
        yield f"{_counted(waiting.records, 'record')} in {journals} of the source are not in it yet"
        if waiting.command:
            yield f"to bring them too, deliver them and merge again: {waiting.command}"


def _named(runs: Sequence[RunKey]) -> str:
    names = ", ".join(run.name for run in runs[:SHOWN_NAMES])
    more = f" and {len(runs) - SHOWN_NAMES:,} more" if len(runs) > SHOWN_NAMES else ""
    return f"{_counted(len(runs), 'run')} ({names}{more})"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
