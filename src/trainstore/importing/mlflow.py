"""MLflow: its databases (``mlflow.db``, PostgreSQL, MySQL, …) and its file store (``mlruns/``), without MLflow.

A run has its id from MLflow, so that it is the same run in whichever store it lies.
"""

from __future__ import annotations

from collections.abc import Iterator

from trainstore.errors import SourceError
from trainstore.importing import mlflow_files, mlflow_sql
from trainstore.importing.databases import databases, has, have
from trainstore.importing.foreign import ForeignRun, Options, Unread
from trainstore.importing.places import Place

TOOL = "mlflow"
LABEL = "MLflow"


def is_at(place: Place) -> bool:
    """Whether there is a database with MLflow's tables, or a file store."""
    return have(place, *mlflow_sql.NEEDED) or mlflow_files.is_at(place)


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """Its runs, of all databases and file stores."""
    found = False
    for database in databases(place):
        if isinstance(database, Unread):
            yield database
        elif has(database[1], *mlflow_sql.NEEDED):
            found = True
            yield from mlflow_sql.runs(*database, options)
        elif place.url is not None or (place.path is not None and place.path.is_file()):
            mlflow_sql.refuse_others(*database)
    if mlflow_files.is_at(place):
        found = True
        yield from mlflow_files.runs(place, options)
    if not found:
        raise SourceError(f"{place.shown} holds neither a database of MLflow nor a file store (mlruns)")
