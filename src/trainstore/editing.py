"""The methods of a store that change stored runs: tags, notes and names, an end by hand, deletion.

Each resolves the run and checks its arguments here, then delegates: the SQL is in ``recording/editing.py``,
``closing.py`` and ``deletion.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection

from trainstore import queries
from trainstore.errors import InvalidArgumentError, RunActiveError
from trainstore.queries import Reader
from trainstore.recording import opening
from trainstore.recording.closing import close_run
from trainstore.recording.deletion import delete_run
from trainstore.recording.editing import edit_name, edit_notes, edit_tags
from trainstore.recording.recovery import Recovered
from trainstore.recording.service import RecordingService
from trainstore.run import FINAL_STATUSES, MAX_ERROR, canonical_tags
from trainstore.values import stored_label, stored_text


class EditMethods:
    """The methods that change stored runs: a base class of `TrainStore`, which provides what they work with."""

    recovered: Recovered
    _service: RecordingService

    def _reader(self) -> AbstractContextManager[Reader]:
        raise NotImplementedError

    def _transaction(self) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    def _recover(self) -> Recovered:
        raise NotImplementedError

    def delete_run(self, run: Any, *, force: bool = False) -> None:
        """Delete a run with its attempts, steps, summaries, hyperparameters, events and writers.

        Runs that started from its checkpoints stay, and keep its uid as their parent. The run is remembered as deleted
        (in the table ``deleted_run``), so that merging and importing do not bring it back.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has.
            force: Delete it even if a live process is recording it; what that process still logs is set aside.

        Raises:
            RunActiveError: It is being recorded, and ``force`` is not given.
            RunNotFoundError, RunNotUniqueError: ``run`` names none, or several.
        """
        with self._reader() as reader:
            key = queries.resolve_run(reader, run)
        with self._transaction() as connection:
            delete_run(connection, self._service.statements, key.id, key.uid, force=force)

    def set_tags(
        self, run: Any, tags: Mapping[str, Any] | Iterable[str] | str = (), *, remove: Iterable[str] | str = ()
    ) -> list[str]:
        """Set or remove tags of a stored run. Tags that its handle sets later are added to them.

        An event of kind ``tag`` says what changed: ``{"set": {name: value}, "removed": [names], "before": {…}}``.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has.
            tags: Names, or a mapping of names to values, as for `ActiveRun.set_tags`; a tag that is there already
                gets the new value.
            remove: Names of tags to remove; a tag that is also set here stays.

        Returns:
            The names of the tags that were removed, sorted.

        Raises:
            InvalidArgumentError: ``tags`` is neither names nor a mapping.
            RunNotFoundError, RunNotUniqueError: ``run`` names none, or several.
        """
        tags = list(tags) if isinstance(tags, Iterator) else tags
        opening.check("tags", canonical_tags, tags)
        values = canonical_tags(tags)
        names = {stored_label(name) for name in ([remove] if isinstance(remove, str) else remove)}
        with self._reader() as reader:
            key = queries.resolve_run(reader, run)
        with self._transaction() as connection:
            return edit_tags(connection, self._service.statements, key.uid, values, names)

    def set_notes(self, run: Any, notes: str, *, append: bool = False) -> str:
        """Set the notes of a stored run.

        An event of kind ``note`` says what changed: ``{"set": {"notes": …}, "removed": [], "before": {"notes": …}}``.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has.
            notes: The text; secrets are redacted. An empty text removes the notes.
            append: Add it to the existing notes, as a paragraph of its own.

        Returns:
            The resulting notes.

        Raises:
            InvalidArgumentError: ``notes`` is not a str.
            RunNotFoundError, RunNotUniqueError: ``run`` names none, or several.
        """
        if not isinstance(notes, str):
            raise InvalidArgumentError(f"notes {notes!r} is not a str")
        with self._reader() as reader:
            key = queries.resolve_run(reader, run)
        text = stored_text(notes)
        with self._transaction() as connection:
            return edit_notes(connection, self._service.statements, key.uid, text, append=append)

    def rename_run(self, run: Any, name: str) -> str:
        """Rename a stored run. Its uid stays, and so does the name that its handle shows.

        An event of kind ``rename`` says what changed: ``{"set": {"name": …}, "removed": [], "before": {"name": …}}``.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has.
            name: A label, not unique, not empty; secrets are redacted, and more than 255 characters are cut.

        Returns:
            The name as it is stored.

        Raises:
            InvalidArgumentError: ``name`` is not a str, or empty.
            RunNotFoundError, RunNotUniqueError: ``run`` names none, or several.
        """
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"name {name!r} cannot be used: pass a str that is not empty")
        with self._reader() as reader:
            key = queries.resolve_run(reader, run)
        kept = stored_label(name)
        with self._transaction() as connection:
            edit_name(connection, self._service.statements, key.uid, kept)
        return kept

    def close_run(self, run: Any, status: str, *, reason: str | None = None) -> None:
        """End a lost run, without a new attempt.

        It ended when it was last heard of (``ended_at``). An event of kind ``end`` has ``by`` (hand), ``status`` and
        ``reason``. If a journal of the run that arrives later has its real end, that replaces this one.

        Args:
            run: A handle, a record, a uid, an id, or a name that only one run has.
            status: finished, failed, interrupted or pruned.
            reason: Why; secrets are redacted. It becomes the run's ``error``, unless the run is finished.

        Raises:
            RunActiveError: A live process is recording it.
            RunEndedError: It has ended already.
            InvalidArgumentError: Another status; ``reason`` is not a str.
            RunNotFoundError, RunNotUniqueError: ``run`` names none, or several.
        """
        if status not in FINAL_STATUSES:
            raise InvalidArgumentError(f"status {status!r} is not one of {', '.join(FINAL_STATUSES)}")
        if reason is not None and not isinstance(reason, str):
            raise InvalidArgumentError(f"reason {reason!r} is not a str")
        text = stored_text(reason, MAX_ERROR) if reason else None
        with self._reader() as reader:
            key = queries.resolve_run(reader, run)
        self.recovered = self._recover()  # a process that was just killed here is not alive, and may have told its end
        if self._service.is_recorded_here(key.uid):
            raise RunActiveError(f"run {key.uid} is being recorded by a process on this machine; finish it there")
        with self._transaction() as connection:
            close_run(connection, self._service.statements, key.uid, status, text)
