"""Sources that are not to be imported: our own stores and journals, and what cannot be read."""

from __future__ import annotations

from trainstore.backends.sqlite_source import open_source, tables
from trainstore.backends.url_source import open_url_source
from trainstore.errors import SourceError
from trainstore.importing.places import Place
from trainstore.models import VERSION_TABLE
from trainstore.recording.service import RecordingService

_SQLITE = b"SQLite format 3\0"
_MAX_LOOKED_AT = 100  # files of a folder


def refuse_own(place: Place, service: RecordingService) -> None:
    """Raise `SourceError` for a journal, and for what lies where the store keeps its journals."""
    if place.path is None:
        return
    if service.holds(place.path):
        raise SourceError(f"{place.shown} is a journal of trainstore; deliver journals with: trainstore recover")


def explain_unknown(place: Place) -> None:
    """Raise `SourceError` if a place that no reader knows is a store of ours, or Aim's."""
    store = _own_store(place)
    if store is not None:
        raise SourceError(
            f"{store} is a store of trainstore; to bring its runs into another: trainstore merge {store} --into STORE"
        )
    folders = {part for file in place.files for part in file.folder.split("/")}
    if ".aim" in folders or (place.path is not None and place.path.name == ".aim"):
        raise SourceError(
            f"{place.shown} is a repository of Aim, which cannot be imported: only Aim itself reads its files. Write "
            "its runs to CSV with Aim's SDK (run.dataframe(), or a query's metrics), and import that with --step, "
            "--run and --time"
        )


def _own_store(place: Place) -> str | None:
    if place.url is not None:
        with open_url_source(place.url) as connection:
            names = connection.dialect.get_table_names(connection)
        return place.shown if any(name.endswith(VERSION_TABLE) for name in names) else None
    for file in place.files[:_MAX_LOOKED_AT]:
        try:
            with file.open() as opened:
                if opened.read(len(_SQLITE)) != _SQLITE:
                    continue
            with open_source(file.path) as connection:
                if any(name.endswith(VERSION_TABLE) for name in tables(connection)):
                    return str(file.path)
        except SourceError:
            continue
    return None
