"""Databases that grow between imports: what is there in the end is what one import brings."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from importing.harness import content, stored_points
from importing.reading import SAMPLES
from trainstore.importing import import_runs
from trainstore.store import TrainStore

#: Samples; the tables that grow, and what orders their rows; the state of a run before it has ended.
GROWING = {
    "mlflow/sqlite/mlflow.db": (
        {"metrics": "timestamp, rowid"},
        "UPDATE runs SET status = 'RUNNING', end_time = NULL",
    ),
    "optuna/optuna.db": (
        {"trial_intermediate_values": "rowid", "trial_values": "rowid"},
        "UPDATE trials SET state = 'RUNNING', datetime_complete = NULL",
    ),
    "trackio/store/portabilität.db": ({"metrics": "rowid"}, "SELECT 1"),
}


def grown(sample: Path, place: Path, tables: dict[str, str], begun: str, random_: random.Random) -> Iterator[None]:
    """Copies of a database with ever more of its rows, the last one whole."""
    with closing(sqlite3.connect(f"file:{sample}?immutable=1", uri=True)) as connection:
        rows = {
            table: [row[0] for row in connection.execute(f"SELECT rowid FROM {table} ORDER BY {order}")]
            for table, order in tables.items()
        }
    for part in sorted(random_.random() for _ in range(4)):
        shutil.copy(sample, place)
        with closing(sqlite3.connect(place, isolation_level=None)) as connection:
            for table, ids in rows.items():
                later = ids[int(part * len(ids)) :] if table != "trial_values" else ids
                connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", [(one,) for one in later])
            connection.execute(begun)
        yield
    shutil.copy(sample, place)
    yield


@pytest.mark.parametrize("seed", range(int(os.environ.get("IMPORT_GROWTHS", "2"))))
@pytest.mark.parametrize("sample", GROWING)
def test_a_database_that_grows_is_as_if_it_was_imported_once(
    sample: str, seed: int, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """Imported after each piece; earlier values of a step are in the same order, and nothing is there twice."""
    tables, begun = GROWING[sample]
    place = tmp_path / Path(sample).name
    with TrainStore(new_database("sqlite")) as once, TrainStore(new_database("sqlite")) as piecewise:
        import_runs(once, SAMPLES / sample)
        for _ in grown(SAMPLES / sample, place, tables, begun, random.Random(seed)):
            import_runs(piecewise, place)
        assert stored_points(piecewise) == stored_points(once)
        assert content(piecewise) == content(once)
        assert {run.state for run in import_runs(piecewise, place).runs} == {"unchanged"}
