"""Import from other trackers: their runs become runs of a store.

An importer is a writer whose journal is the foreign source: a reader (one module a tool) says what the source holds,
in order and with numbers (`foreign`), and `bringing` gives it to the same delivery that journals go through. What is
imported already is known by the writer's watermark, so an import may be killed, repeated or continued at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trainstore.errors import InvalidArgumentError
from trainstore.importing import whole_runs
from trainstore.importing.foreign import Options
from trainstore.importing.importer import Importer
from trainstore.importing.places import Place
from trainstore.importing.readers import reader_of, tools
from trainstore.importing.reports import Imported, ImportedRun

if TYPE_CHECKING:
    from trainstore.store import TrainStore

__all__ = ["Imported", "ImportedRun", "check_source", "import_runs", "tools"]


def check_source(source: str | os.PathLike[str], tool: str | None = None, **options: Any) -> str:
    """What wrote a source, as people write its name. Raises as `import_runs`, before any store is opened.

    ``options`` are those of `import_runs` that say how a source is read.
    """
    place = Place.of(source)
    reader = whole_runs if whole_runs.is_at(place, tool) else reader_of(place, tool)
    Options(**options).refuse_unused(reader.TOOL, reader.LABEL)
    return reader.LABEL


def import_runs(
    store: TrainStore,
    source: str | os.PathLike[str],
    *,
    tool: str | None = None,
    project: str | None = None,
    dry_run: bool = False,
    follow: bool = False,
    until: Callable[[], bool] | None = None,
    revive: bool = False,
    deleted: bool = False,
    merge_subfolders: bool = False,
    timezone: str | None = None,
    step: str | None = None,
    run: str | None = None,
    time: str | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Imported:
    """Import the runs of another tracker's folder, file or database.

    Imported again, a source brings only what is new in it. An import may be interrupted at any time, and goes on when
    it is run again. Nothing is written to the source.

    Args:
        store: Where the runs go.
        source: A folder, a file, or a database's URL. A file of ``trainstore export --for-import`` is one, too: its
            runs keep their projects, and are merged as `TrainStore.merge` does.
        tool: Which tool wrote it (see `tools`). None: found out from what lies there.
        project: Of the runs that are new. None: what the source calls the project, or the source's own name.
        dry_run: Only read and report; nothing is written.
        follow: Go on while the source grows, until every run of it has ended or Ctrl-C is pressed.
        until: With ``follow``, it is asked after each look at the source; True ends it.
        revive: Also runs that were deleted from the store.
        deleted: MLflow: also runs in its trash.
        merge_subfolders: TensorBoard: what ``add_scalars`` and ``add_hparams`` put into subfolders belongs to the
            run of the folder above, and Keras's folder ``validation`` to that of ``train`` beside it.
        timezone: Optuna, CSV: the time zone of times that have none, as an IANA name. None: this machine's.
        step: CSV, Parquet: the column of steps.
        run: CSV, Parquet: the column that tells runs apart.
        time: CSV, Parquet: the column of times.
        on_progress: Called now and then with a run's name, how many runs are done and how many points were brought.

    Returns:
        What was imported, and what could not be.

    Raises:
        SourceError: The source cannot be read, is of no tool that is known, or of several.
        InvalidArgumentError: An argument that cannot be used.
        ReadOnlyStoreError, PermissionDeniedError, StoreUnavailableError: The store cannot be written.
    """
    if not isinstance(source, str | os.PathLike) or not str(source):
        raise InvalidArgumentError(f"source {source!r} is neither a path nor a URL")
    if project is not None and not (isinstance(project, str) and project):
        raise InvalidArgumentError(f"project {project!r} cannot be used: pass a str that is not empty")
    if dry_run and follow:
        raise InvalidArgumentError("dry_run writes nothing, so there is nothing to follow: leave out one of them")
    place = Place.of(source)
    options = Options(deleted, merge_subfolders, timezone, step, run, time)
    if whole_runs.is_at(place, tool):
        whole_runs.refuse_options(project=project, follow=follow)
        options.refuse_unused(whole_runs.TOOL, whole_runs.LABEL)
        return whole_runs.bring(store, place, dry_run=dry_run, revive=revive, on_progress=on_progress)
    importer = Importer(
        store,
        place,
        options,
        tool=tool,
        project=project,
        dry_run=dry_run,
        revive=revive,
        on_progress=on_progress,
    )
    with importer:
        return importer.follow(until) if follow else importer.bring_all()
