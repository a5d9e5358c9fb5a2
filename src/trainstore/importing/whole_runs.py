"""What ``trainstore export --for-import`` wrote: whole runs as JSON Lines, brought into a store as by ``copy``.

The lines are read into a store of their own in a temporary folder, and merged from there; so it does not matter how
much of them is here already, and what each side knows more of a run stays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from trainstore.errors import InvalidArgumentError, SourceError
from trainstore.importing.places import Place
from trainstore.importing.reports import Imported, ImportedRun
from trainstore.transfer.from_lines import Loaded, is_lines, load

if TYPE_CHECKING:
    from trainstore.store import TrainStore
    from trainstore.transfer import Merged

TOOL = "trainstore"
LABEL = "trainstore export"
_ENOUGH = 64  # bytes


def is_at(place: Place, tool: str | None = None) -> bool:
    """Whether the place is such a file, and nobody says that it is another's."""
    if place.path is None or not place.path.is_file() or tool not in (None, TOOL):
        return False
    with place.files[0].open() as opened:
        return is_lines(opened.read(_ENOUGH))


def bring(
    store: TrainStore,
    place: Place,
    *,
    dry_run: bool,
    revive: bool,
    on_progress: Callable[[str, int, int], None] | None,
) -> Imported:
    """Bring the runs of a file into a store.

    Raises:
        SourceError: Nothing of it can be read.
    """
    assert place.path is not None
    store._service.backend.refuse_if_read_only()
    result = Imported(TOOL, LABEL, place.shown, dry_run)
    with tempfile.TemporaryDirectory(prefix="trainstore-import-") as folder:
        path = Path(folder, "runs.db")
        loaded = _loaded(place, path)
        result.unread.update({what: f"cannot be read whole: {why}" for what, why in loaded.damaged.items()})
        if loaded.runs:
            merged = store.merge(path, runs=[run.uid for run in loaded.runs], dry_run=dry_run, revive=revive)
            _report(result, loaded, merged)
        elif loaded.damaged:
            what, why = next(iter(loaded.damaged.items()))
            raise SourceError(f"{place.shown} has no run that can be read; {what}: {why}")
    if on_progress is not None and result.runs:
        on_progress(result.runs[-1].name, len(result.runs), result.points)
    return result


def refuse_options(*, project: str | None, follow: bool) -> None:
    """Raise `InvalidArgumentError` for what cannot be done with such a file."""
    if project is not None:
        raise InvalidArgumentError(
            f"project {project!r} cannot be used: runs of trainstore keep their project; leave it out"
        )
    if follow:
        raise InvalidArgumentError("follow cannot be used: a file of whole runs does not grow; leave it out")


def _loaded(place: Place, path: Path) -> Loaded:
    from trainstore.store import TrainStore

    assert place.path is not None
    with TrainStore(path) as copy, copy.engine.connect() as connection:
        try:
            return load(place.path, connection, copy._service.statements)
        except SourceError as error:
            raise SourceError(f"{place.shown} cannot be imported: {error}") from None


def _report(result: Imported, loaded: Loaded, merged: Merged) -> None:
    states = {key.uid: "new" for key in (*merged.new, *merged.revived)}
    states |= {key.uid: "updated" for key in merged.updated}
    skipped = {
        key.uid: "it was deleted from the store; --revive (revive=True) brings it back" for key in merged.skipped
    }
    skipped |= merged.refused
    for run in loaded.runs:
        found = ImportedRun(run.uid, run.name, run.project, run.where)
        if run.uid in skipped:
            found.state, found.reason = "skipped", skipped[run.uid]
        else:
            found.state = states.get(run.uid, "unchanged")
        if found.state == "new":
            found.points = run.points
        result.runs.append(found)
