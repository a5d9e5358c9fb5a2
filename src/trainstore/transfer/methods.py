"""`TrainStore.merge`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine

from trainstore import queries
from trainstore.backends import Backend
from trainstore.models import Models
from trainstore.queries import Reader
from trainstore.recording.service import RecordingService
from trainstore.transfer.merging import Choice, merge_runs
from trainstore.transfer.reports import Merged
from trainstore.transfer.scalarstop import bring_scalarstop
from trainstore.transfer.sources import Source, Target, open_store, read_store


class MergeMethods:
    """A base class of `TrainStore`, which provides what it works with."""

    _backend: Backend
    _models: Models
    _engine: Engine
    _service: RecordingService
    _is_new: bool

    def _check_open(self) -> None:
        raise NotImplementedError

    def _attach(self) -> None:
        raise NotImplementedError

    def _settle_own(self, *, stacklevel: int) -> None:
        raise NotImplementedError

    def merge(
        self,
        other: MergeMethods | str | os.PathLike[str] | URL,
        *,
        runs: Sequence[Any] | None = None,
        project: str | None = None,
        with_parents: bool = False,
        revive: bool = False,
        delete: bool = False,
        dry_run: bool = False,
        source_prefix: str = "",
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Merged:
        """Bring into this store what another has and this one lacks: runs, attempts, steps, events, edits.

        Nothing is written into the other store, and nothing that is stored here is lost. It can be repeated at any
        time: what is here already is not read again, and an interrupted merge goes on where it was. Both stores may be
        recorded into meanwhile.

        Args:
            other: The store to read: a `TrainStore`, a path, or a URL. An SQLite file of an older trainstore is
                upgraded in a temporary copy.
            runs: Only these: handles, records, uids, ids, or names that only one run of the other store has.
            project: Only runs of this project.
            with_parents: Also the runs that those of ``runs`` and ``project`` began from.
            revive: Bring back runs that were deleted here.
            delete: Delete runs that were deleted in the other store, unless they went on since or are being recorded.
                Without it they are kept, and named in the report.
            dry_run: Write nothing; only say what would be done.
            source_prefix: ``table_name_prefix`` of the other store, if it is named by a path or a URL.
            on_progress: Called with the number of runs done, and of all to be brought.

        Returns:
            A `Merged`: the runs that are new, updated, unchanged, or behind; values that differ though both stores had
            news of them; what waits in the other store's journals. Printed, it is a summary.

        Raises:
            SourceError: ``other`` is this store, or cannot be read.
            RunNotFoundError, RunNotUniqueError: ``runs`` names a run that ``other`` does not have, or several.
            SchemaError, StoreURLError, StoreUnavailableError: ``other`` cannot be opened.
            ReadOnlyStoreError, PermissionDeniedError: This store may not be written.
        """
        self._check_open()
        self._backend.refuse_if_read_only()
        self._attach()
        self._backend.refuse_without_rights()
        self._is_new = False  # what follows tells what is in it
        self._settle_own(stacklevel=3)
        with self._backend.translated():
            connection = self._service.connect()
            try:
                target = Target(self._backend, self._models, connection)
                with _opened(other, source_prefix, target) as source:
                    uids = None if runs is None else [_uid_in(source, run) for run in runs]
                    choice = Choice(uids, project, with_parents, revive, delete, dry_run)
                    statements = self._service.statements
                    report = merge_runs(source, connection, statements, choice, on_progress)
                    if runs is None and project is None:
                        bring_scalarstop(source, connection, statements, report)
            finally:
                self._service.release(connection)
        return report


@contextmanager
def _opened(other: MergeMethods | str | os.PathLike[str] | URL, prefix: str, target: Target) -> Iterator[Source]:
    if not isinstance(other, MergeMethods):
        with open_store(other, prefix, target) as source:
            yield source
        return
    other._settle_own(stacklevel=5)
    with (
        other._backend.snapshot(other._engine) as connection,
        read_store(connection, other._models, other._backend, target) as source,
    ):
        yield source


def _uid_in(source: Source, run: Any) -> str:
    return queries.resolve_run(Reader(source.connection, source.models, source.backend), run).uid
