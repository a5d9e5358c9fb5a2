"""What a store holds of its runs, so that two stores can be compared."""

from __future__ import annotations

from sqlalchemy import select

from trainstore import TrainStore
from trainstore.transfer import lines

LOCAL = {"id", "run_id", "parent_run_id"}


def rows(store: TrainStore) -> dict[str, list[str]]:
    """All rows of all runs, without local ids."""
    found: dict[str, list[str]] = {}
    with store.engine.connect() as connection:
        uids = dict(connection.execute(select(store.table.run.c.id, store.table.run.c.uid)).all())
        for name in ("run", *lines.TABLES):
            found[name] = []
            for row in connection.execute(select(getattr(store.table, name))):
                values = dict(row._mapping)
                of = uids[values["id"] if name == "run" else values["run_id"]]
                found[name].append(repr((of, sorted((k, equal(v)) for k, v in values.items() if k not in LOCAL))))
            found[name].sort()
    return found


def equal(value: object) -> object:
    """Numbers as float64."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dict):
        return sorted((k, equal(v)) for k, v in value.items())
    return [equal(item) for item in value] if isinstance(value, list) else value
