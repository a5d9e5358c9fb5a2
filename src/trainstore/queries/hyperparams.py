"""Hyperparameters and events row by row, and what differs between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select

from trainstore.errors import InvalidArgumentError
from trainstore.queries.frames import INTEGER, NUMBER, TEXT, TIME, frame, series
from trainstore.queries.reader import Reader, resolve_runs
from trainstore.queries.runs import get_run
from trainstore.values import restore

if TYPE_CHECKING:
    from pandas import DataFrame

HYPERPARAM_COLUMNS = (
    ("uid", TEXT),
    ("namespace", TEXT),
    ("key", TEXT),
    ("value", TEXT),
    ("number", NUMBER),
    ("attempt", "int64"),
)
EVENT_COLUMNS = (
    ("uid", TEXT),
    ("at", TIME),
    ("step", INTEGER),
    ("kind", TEXT),
    ("details", TEXT),
    ("writer_uid", TEXT),
)


def list_hyperparams(
    reader: Reader, runs: object = None, *, namespace: str | None = None, key: str | None = None
) -> DataFrame:
    """Hyperparameters of a run, of several or of all."""
    run, table = reader.models.run.c, reader.models.hyperparam.c
    text = reader.backend.json_text(table.value)
    statement: Select[Any] = select(run.uid, table.namespace, table.key, text, table.number, table.attempt)
    statement = statement.join_from(reader.models.hyperparam, reader.models.run)
    if namespace is not None:
        statement = statement.where(table.namespace == namespace)
    if key is not None:
        statement = statement.where(table.key == key)
    statement = _of(reader, statement, table.run_id, runs).order_by(run.id, table.namespace, table.key)
    rows = [(*row[:3], reader.parse(row[3]), *row[4:]) for row in reader.rows(statement)]
    return frame(HYPERPARAM_COLUMNS, rows)


def list_events(reader: Reader, runs: object = None, *, kind: str | None = None) -> DataFrame:
    """Events of a run, of several or of all, in the order in which they happened."""
    run, table = reader.models.run.c, reader.models.event.c
    statement: Select[Any] = select(run.uid, table.at, table.step, table.kind, table.details, table.writer_uid)
    statement = statement.join_from(reader.models.event, reader.models.run)
    if kind is not None:
        statement = statement.where(table.kind == kind)
    statement = _of(reader, statement, table.run_id, runs).order_by(run.id, table.at, table.id)
    return frame(EVENT_COLUMNS, [(*row[:4], restore(row[4]), row[5]) for row in reader.rows(statement)])


def compare_runs(reader: Reader, runs: object) -> DataFrame:
    """What differs between runs."""
    import pandas as pd

    keys = resolve_runs(reader, runs)
    if len(keys) < 2:
        raise InvalidArgumentError("compare_runs needs two runs or more")
    facts = {key.uid: _facts(get_run(reader, key.uid)) for key in keys}
    names = sorted({name for of_run in facts.values() for name in of_run})
    differing = [name for name in names if len({_comparable(of_run, name) for of_run in facts.values()}) > 1]
    columns = {uid: series([of_run.get(name) for name in differing], TEXT) for uid, of_run in facts.items()}
    table = pd.DataFrame(columns)
    table.index = pd.Index(differing, dtype=object, name="key")
    return table


def _facts(record: Any) -> dict[str, Any]:
    namespaces = {
        "hp": record.hyperparams,
        "mth": record.model_hyperparams,
        "dbh": record.data_hyperparams,
        "env": record.environment,
        "tag": record.tags,
        "metric": record.metrics,
    }
    facts = {f"{n}.{key}": value for n, values in namespaces.items() for key, value in _flat(values).items()}
    return facts | {name: getattr(record, name) for name in ("project", "name", "status", "last_step")}


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Nested mappings as dotted keys, so that only what differs inside them is shown."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            result |= {f"{key}.{inner}": item for inner, item in _flat(value).items()}
        else:
            result[key] = value
    return result


def _comparable(facts: dict[str, Any], name: str) -> tuple[bool, str, str]:
    value = facts.get(name)
    # 1 and 1.0 are one number, 1 and True are not one value; NaN equals NaN.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (name in facts, "number", repr(float(value)))
    return (name in facts, type(value).__name__, repr(value))


def _of(reader: Reader, statement: Select[Any], column: Any, runs: object) -> Select[Any]:
    if runs is None:
        return statement
    return statement.where(column.in_([key.id for key in resolve_runs(reader, runs)]))
