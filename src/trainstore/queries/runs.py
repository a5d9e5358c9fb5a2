"""The run table, one run, the best run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, distinct, false, func, or_, select

from trainstore.errors import InvalidArgumentError, RunNotFoundError
from trainstore.models import NAMESPACES
from trainstore.queries.filters import RunFilter, RunSource, qualified, run_source
from trainstore.queries.frames import BOOLEAN, INTEGER, NUMBER, TEXT, TIME, dtype_of, frame, series
from trainstore.queries.reader import Reader, among, resolve_run
from trainstore.queries.records import RunRecord

if TYPE_CHECKING:
    from pandas import DataFrame, Series

RUN_COLUMNS = (
    ("run_id", "int64"),
    ("uid", TEXT),
    ("project", TEXT),
    ("name", TEXT),
    ("status", TEXT),
    ("started_at", TIME),
    ("ended_at", TIME),
    ("last_step", INTEGER),
    ("attempts", "int64"),
    ("source", TEXT),
    ("error", TEXT),
    ("notes", TEXT),
    ("model_name", TEXT),
    ("parent_uid", TEXT),
    ("parent_step", INTEGER),
    ("host", TEXT),
    ("command", TEXT),
    ("git_commit", TEXT),
    ("git_dirty", BOOLEAN),
)
SORT_COLUMNS = (("sort_metric_value", NUMBER), ("sort_metric_step", INTEGER))
SUMMARIES = ("last", "min", "max")

Columns = dict[str, "Series[Any]"]


def list_runs(
    reader: Reader,
    *,
    hyperparams: str | Iterable[str] | Mapping[str, Any] = "all",
    metrics: Iterable[str] | None = None,
    summary: str = "last",
    limit: int | None = None,
    **conditions: Any,
) -> DataFrame:
    """One row a run, newest first."""
    shown, chosen = _split(hyperparams, conditions)
    _check_choice("summary", summary, SUMMARIES)
    run = reader.models.run.c
    source = _source(reader, chosen)
    statement = source.statement.order_by(run.started_at.desc(), run.id.desc()).limit(_limit(limit))
    return _table(reader, reader.rows(statement), RUN_COLUMNS, shown, metrics, summary)


def list_runs_grouped_by_metric(
    reader: Reader,
    *,
    metric_name: str,
    metric_direction: str,
    by: str = "best",
    hyperparams: str | Iterable[str] | Mapping[str, Any] = "all",
    metrics: Iterable[str] | None = None,
    summary: str = "last",
    limit: int | None = None,
    **conditions: Any,
) -> DataFrame:
    """One row a run that has a finite value of the metric, the best first."""
    shown, chosen = _split(hyperparams, conditions)
    _check_choice("summary", summary, SUMMARIES)
    rows = _ranked(reader, metric_name, metric_direction, by, chosen, limit)
    return _table(reader, rows, (*RUN_COLUMNS, *SORT_COLUMNS), shown, metrics, summary)


def get_best_run(
    reader: Reader, *, metric_name: str, metric_direction: str, by: str = "best", **conditions: Any
) -> RunRecord | None:
    """The best run, or None where no run has a finite value."""
    rows = _ranked(reader, metric_name, metric_direction, by, RunFilter(**conditions), 1)
    if not rows:
        return None
    *_, value, step = rows[0]
    return _record(reader, rows[0], sort_metric_name=metric_name, sort_metric_value=value, sort_metric_step=step)


def get_run(reader: Reader, run: object) -> RunRecord:
    """One run."""
    key = resolve_run(reader, run)
    chosen = RunFilter(where=reader.models.run.c.id == key.id)
    rows = reader.rows(_source(reader, chosen).statement)
    if not rows:
        raise RunNotFoundError(f"run {key.uid} has just been deleted")
    return _record(reader, rows[0])


# --- Which runs ------------------------------------------------------------------------------------------------------


def _split(shown: Any, conditions: dict[str, Any]) -> tuple[Any, RunFilter]:
    """``hyperparams`` says which columns are shown; a mapping is a filter, and all are shown."""
    if isinstance(shown, Mapping):
        return "all", RunFilter(hyperparams=shown, **conditions)
    return shown, RunFilter(**conditions)


def _source(reader: Reader, chosen: RunFilter, *more: ColumnElement[Any]) -> RunSource:
    run, attempt = reader.models.run, reader.models.attempt
    parent = run.alias("parent")
    source = run_source(reader, chosen)
    r, h = run.c, source.head.c
    attempts = select(func.count()).where(attempt.c.run_id == r.id).correlate(run).scalar_subquery()
    parent_uid = select(parent.c.uid).where(parent.c.id == r.parent_run_id).correlate(run).scalar_subquery()
    columns = (
        r.id, r.uid, r.project, r.name, source.status, r.started_at, r.ended_at, r.last_step, attempts, r.source,
        r.error, r.notes, r.model_name, parent_uid, r.parent_step, h.host, h.command, h.git_commit, h.git_dirty,
    )  # fmt: skip
    return RunSource(
        source.statement.with_only_columns(*columns, *more, maintain_column_froms=True), source.status, source.head
    )


def _ranked(
    reader: Reader, metric: str, direction: str, by: str, chosen: RunFilter, limit: int | None
) -> Sequence[Any]:
    if not isinstance(metric, str) or not metric:
        raise InvalidArgumentError(f"metric_name {metric!r} is no metric's name")
    _check_choice("metric_direction", direction, ("min", "max"))
    _check_choice("by", by, ("best", "last"))
    run, found = reader.models.run.c, reader.models.metric_summary
    s = found.c
    value, step = (s[direction], s[f"{direction}_step"]) if by == "best" else (s.last, s.last_step)
    # No infinity either: min and max are finite by their rule, last may be anything.
    finite = (value.is_not(None), value < float("inf"), value > float("-inf"))
    statement = (
        _source(reader, chosen, value, step)
        .statement.join(found, (s.run_id == run.id) & (s.metric == metric))
        .where(*finite)
        .order_by(value.asc() if direction == "min" else value.desc(), run.started_at, run.id)
        .limit(_limit(limit))
    )
    return reader.rows(statement)


def _limit(limit: int | None) -> int | None:
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise InvalidArgumentError(f"limit {limit!r} is no number of rows: pass an int from 0, or None for all")
    return limit


def _check_choice(argument: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InvalidArgumentError(f"{argument} {value!r} is not one of {', '.join(map(repr, allowed))}")


# --- What is shown of them -------------------------------------------------------------------------------------------


def _table(
    reader: Reader,
    rows: Sequence[Any],
    fixed: Sequence[tuple[str, str]],
    shown: Any,
    metrics: Iterable[str] | None,
    summary: str,
) -> DataFrame:
    import pandas as pd

    position = {row[0]: index for index, row in enumerate(rows)}
    columns = _hyperparam_columns(reader, position, shown) | _metric_columns(reader, position, metrics, summary)
    table = frame(fixed, rows)
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1) if columns else table


def _hyperparam_columns(reader: Reader, position: Mapping[int, int], shown: Any) -> Columns:
    table = reader.models.hyperparam.c
    wanted: list[tuple[str, str]] | None = None
    if shown == "varying":
        wanted = _varying(reader, list(position))
    elif shown != "all":
        if isinstance(shown, str) or not isinstance(shown, Iterable):
            raise InvalidArgumentError(
                f"hyperparams {shown!r} is not 'all', 'varying', a list of names, or a mapping to filter by"
            )
        wanted = [qualified(name) for name in shown]
    statement = select(table.run_id, table.namespace, table.key, reader.backend.json_text(table.value))
    if wanted is not None:
        statement = statement.where(or_(false(), *((table.namespace == n) & (table.key == k) for n, k in wanted)))
    values: defaultdict[tuple[str, str], list[Any]] = defaultdict(lambda: [None] * len(position))
    if position and wanted != []:
        for run_id, namespace, key, text in _rows_of(reader, statement, table.run_id, list(position)):
            values[namespace, key][position[run_id]] = reader.parse(text)
    order = {namespace: index for index, namespace in enumerate(NAMESPACES)}
    names = sorted(values, key=lambda name: (order.get(name[0], len(order)), name[1])) if wanted is None else wanted
    if shown == "varying":
        names = sorted(names, key=lambda name: (order.get(name[0], len(order)), name[1]))
    return {f"{n}__{k}": series(values[n, k], dtype_of(values[n, k])) for n, k in names}


def _varying(reader: Reader, ids: list[int]) -> list[tuple[str, str]]:
    """The hyperparameters that are not the same in all of these runs."""
    if not ids:
        return []
    table = reader.models.hyperparam.c
    condition, more = among(table.run_id, ids)
    if more(-1):
        everything, present = func.count(), func.count(table.value)
        differs = or_(
            func.count(distinct(table.value)) > 1, everything < len(ids), (present > 0) & (present < everything)
        )
        statement = select(table.namespace, table.key).where(condition)
        return [(n, k) for n, k in reader.rows(statement.group_by(table.namespace, table.key).having(differs))]
    seen: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    statement = select(table.run_id, table.namespace, table.key, reader.backend.json_text(table.value))
    for _, namespace, key, text in _rows_of(reader, statement, table.run_id, ids):
        seen[namespace, key].append(text)
    return [name for name, texts in seen.items() if len(texts) < len(ids) or len(set(texts)) > 1]


def _metric_columns(
    reader: Reader, position: Mapping[int, int], metrics: Iterable[str] | None, summary: str
) -> Columns:
    table = reader.models.metric_summary.c
    statement = select(table.run_id, table.metric, table[summary]).where(table.count > 0)
    names: list[str] | None = None
    if metrics is not None:
        if isinstance(metrics, str):
            raise InvalidArgumentError(f"metrics {metrics!r} is one text; pass a list of names")
        names = list(metrics)
        statement = statement.where(table.metric.in_(names))
    values: defaultdict[str, list[float]] = defaultdict(lambda: [float("nan")] * len(position))
    if position and names != []:
        for run_id, metric, value in _rows_of(reader, statement, table.run_id, list(position)):
            if value is not None:
                values[metric][position[run_id]] = value
            else:
                values[metric]  # it is there, and NaN
    return {f"metric__{name}": series(values[name], NUMBER) for name in (sorted(values) if names is None else names)}


def _rows_of(reader: Reader, statement: Any, column: ColumnElement[int], ids: list[int]) -> Iterable[Any]:
    condition, more = among(column, ids)
    rows = reader.rows(statement.where(condition))
    return rows if len(ids) <= 1 else (row for row in rows if more(row[0]))


def _record(reader: Reader, row: Any, **ranking: Any) -> RunRecord:
    values = dict(zip((name for name, _ in RUN_COLUMNS), row, strict=False))
    run_id: int = values["run_id"]
    table, summary = reader.models.hyperparam.c, reader.models.metric_summary.c
    facts: dict[str, dict[str, Any]] = {namespace: {} for namespace in NAMESPACES}
    statement = select(table.namespace, table.key, reader.backend.json_text(table.value))
    for namespace, key, text in reader.rows(statement.where(table.run_id == run_id).order_by(table.key)):
        facts.setdefault(namespace, {})[key] = reader.parse(text)
    last = select(summary.metric, summary.last).where(summary.run_id == run_id, summary.count > 0)
    metrics = {
        name: float("nan") if value is None else value for name, value in reader.rows(last.order_by(summary.metric))
    }
    kept = {name: values[name] for name in RunRecord.__dataclass_fields__ if name in values}
    return RunRecord(
        **kept,
        **ranking,
        metrics=metrics,
        hyperparams=facts["hp"],
        model_hyperparams=facts["mth"],
        data_hyperparams=facts["dbh"],
        environment=facts["env"],
        tags=facts["tag"],
    )
