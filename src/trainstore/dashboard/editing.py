"""Edits of runs from the page: all of one request in one transaction, and only of what the page has seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainstore import queries
from trainstore.dashboard.found import find_run
from trainstore.dashboard.responses import ApiError
from trainstore.dashboard.run_details import etag_of
from trainstore.errors import InvalidArgumentError
from trainstore.queries import Reader
from trainstore.recording.editing import edit_name, edit_notes, edit_tags
from trainstore.run import canonical_tags
from trainstore.store import TrainStore
from trainstore.values import stored_label, stored_text

FIELDS = ("tags", "notes", "name")


class EditingStore(TrainStore):
    """A store that writes, for nothing but edits.

    Args:
        url: As for `TrainStore`.
        prefix: Of its tables.

    Raises:
        PermissionDeniedError: The database's user may only read.
    """

    def __init__(self, url: str, prefix: str) -> None:
        super().__init__(url, table_name_prefix=prefix, auto_upgrade=False)
        try:
            self._backend.refuse_without_rights()
        except BaseException:
            self.close()
            raise

    def edit_run(self, run: str, change: Mapping[str, Any], etag: str) -> str:
        """Change a run's tags, notes and name; its uid, as it may have been named by what has changed.

        Args:
            run: As for `found.find_run`.
            change: ``tags``: values to set, by name; null removes a tag, and those that are not named stay. ``notes``:
                a text; null or an empty one removes them. ``name``: a text that is not empty.
            etag: Of the run as it was when the change was made up; ``"*"``: whatever it was.

        Raises:
            ApiError: 412 if the run has been edited meanwhile.
            InvalidArgumentError: Another field, or a value that cannot be stored.
            RunNotFoundError: There is no such run.
            RunNotUniqueError: There are several.
        """
        tags, removed, notes, name = _checked(change)
        with self._reader() as reader:
            uid = find_run(reader, run).uid
        statements = self._service.statements
        with self._transaction() as connection:
            statements.lock_run(connection, uid)
            record = queries.get_run(Reader(connection, self._models, self._backend), uid)
            if etag not in ("*", etag_of(record)):
                raise ApiError(412, "changed", "the run has been edited meanwhile", "load it again, then edit")
            if tags or removed:
                edit_tags(connection, statements, uid, tags, removed)
            if notes is not None:
                edit_notes(connection, statements, uid, notes, append=False)
            if name is not None:
                edit_name(connection, statements, uid, name)
        return uid


def _checked(change: Mapping[str, Any]) -> tuple[dict[str, Any], set[str], str | None, str | None]:
    """What is to be set, as it is stored: tags, those to be removed, notes, name."""
    unknown = sorted(change.keys() - set(FIELDS))
    if unknown or not change:
        what = f"{unknown[0]!r} cannot be changed" if unknown else "nothing is to be changed"
        raise InvalidArgumentError(f"{what}; name one of {', '.join(FIELDS)}")
    tags, notes, name = change.get("tags") or {}, change.get("notes", ""), change.get("name", "-")
    if not isinstance(tags, Mapping):
        raise InvalidArgumentError(f"tags are a {type(tags).__name__}; pass an object: {{name: value or null}}")
    if not isinstance(notes, str | None):
        raise InvalidArgumentError(f"notes {notes!r} are not a text")
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgumentError(f"name {name!r} cannot be used: pass a text that is not empty")
    return (
        canonical_tags({key: value for key, value in tags.items() if value is not None}),
        {stored_label(key) for key, value in tags.items() if value is None},
        stored_text(notes or "") if "notes" in change else None,
        stored_label(name) if "name" in change else None,
    )
