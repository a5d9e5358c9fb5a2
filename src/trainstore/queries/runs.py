"""The run table, one run, the best run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, func, select

from trainstore.errors import InvalidArgumentError, RunNotFoundError
from trainstore.models import NAMESPACES, Models
from trainstore.queries import filters
from trainstore.queries.columns import hyperparam_columns, metric_columns
from trainstore.queries.directions import direction_of
from trainstore.queries.filters import RunFilter
from trainstore.queries.frames import BOOLEAN, COUNT, INTEGER, NUMBER, TEXT, TIME, assemble, fixed_columns, parse
from trainstore.queries.main_columns import SHORT_COLUMNS, Asked, asked_for, by_interest, main_metrics
from trainstore.queries.metric_names import better_direction
from trainstore.queries.reader import Reader, RunKey, among, resolve_run
from trainstore.queries.records import RunRecord
from trainstore.queries.run_source import liveness, run_source
from trainstore.queries.sorting import in_order
from trainstore.values import INT64_MAX, index_of, stored_name

if TYPE_CHECKING:
    from pandas import DataFrame, Series

RUN_COLUMNS = (
    ("run_id", COUNT),
    ("project", TEXT),
    ("name", TEXT),
    ("status", TEXT),
    ("started_at", TIME),
    ("ended_at", TIME),
    ("last_step", INTEGER),
    ("attempts", COUNT),
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
    ("uid", TEXT),  # long, and of no interest to a reader: a notebook that has no room leaves it out
)
SORT_COLUMNS = (("sort_metric_value", NUMBER), ("sort_metric_step", INTEGER))
SUMMARIES = ("last", "min", "max")


def list_runs(
    reader: Reader,
    *,
    hyperparams: str | Iterable[str] | Mapping[str, Any] | None = None,
    metrics: str | Iterable[str] | None = None,
    summary: str = "last",
    sort: str | Iterable[str] | None = None,
    limit: int | None = None,
    columns: str = "all",
    **conditions: Any,
) -> DataFrame:
    """One row per run, newest first, or by ``sort``."""
    shown, chosen = _split(hyperparams, conditions)
    check_choice("summary", summary, SUMMARIES)
    check_choice("columns", columns, ("all", "short"))
    asked = asked_for(reader, chosen.where, sort) if columns == "short" else Asked()
    show = partial(_frame, reader, shown=shown, metrics=metrics, summary=summary, short=columns == "short", asked=asked)
    run = reader.models.run.c
    statement = _source(reader, chosen).order_by(run.started_at.desc(), run.id.desc())
    if sort is None:
        return show(_fetch(reader, statement.limit(_limit(limit)), chosen), RUN_COLUMNS)
    rows = {row[0]: row for row in _fetch(reader, statement, chosen)}
    order = in_order(reader, list(rows), sort, run_source(reader.models), liveness(reader))
    return show([rows[run_id] for run_id in order[: _limit(limit)]], RUN_COLUMNS)


def run_rows(
    reader: Reader,
    *,
    sort: str | Iterable[str] | None = None,
    offset: int = 0,
    limit: int | None = None,
    **conditions: Any,
) -> tuple[int, list[Any]]:
    """How many runs there are, and the rows of some of them: `RUN_COLUMNS` as the driver gives them."""
    chosen = RunFilter(**conditions)
    run = reader.models.run.c
    statement = _source(reader, chosen).order_by(run.started_at.desc(), run.id.desc())
    if sort is None and limit is not None:
        count = run_count(reader, **conditions)
        return count, _fetch(reader, statement.offset(offset).limit(_limit(limit)), chosen)
    rows = _fetch(reader, statement, chosen)
    if sort is not None:
        by_id = {row[0]: row for row in rows}
        rows = [
            by_id[run_id] for run_id in in_order(reader, list(by_id), sort, run_source(reader.models), liveness(reader))
        ]
    return len(rows), rows[offset:][: _limit(limit)]


def run_count(reader: Reader, **conditions: Any) -> int:
    """How many runs there are."""
    chosen = RunFilter(**conditions)
    counted = _source(reader, chosen).with_only_columns(func.count(reader.models.run.c.id))
    with filters.refusals_explained(reader, chosen):
        count: int = reader.rows(counted, liveness(reader))[0][0]
    return count


def list_runs_grouped_by_metric(
    reader: Reader,
    *,
    metric_name: str,
    metric_direction: str | None = None,
    by: str = "best",
    hyperparams: str | Iterable[str] | Mapping[str, Any] | None = None,
    metrics: str | Iterable[str] | None = None,
    summary: str = "last",
    limit: int | None = None,
    columns: str = "all",
    **conditions: Any,
) -> DataFrame:
    """One row per run that has a finite value of the metric, the best first."""
    shown, chosen = _split(hyperparams, conditions)
    check_choice("summary", summary, SUMMARIES)
    check_choice("columns", columns, ("all", "short"))
    asked = asked_for(reader, chosen.where) if columns == "short" else Asked()
    show = partial(_frame, reader, shown=shown, metrics=metrics, summary=summary, short=columns == "short", asked=asked)
    statement = _ranked(reader, metric_name, metric_direction, by, chosen, limit)
    return show(_fetch(reader, statement, chosen), (*RUN_COLUMNS, *SORT_COLUMNS))


def get_best_run(
    reader: Reader, *, metric_name: str, metric_direction: str | None = None, by: str = "best", **conditions: Any
) -> RunRecord | None:
    """The best run, or None if no run has a finite value."""
    chosen = RunFilter(**conditions)
    statement = _ranked(reader, metric_name, metric_direction, by, chosen, 1)
    with filters.refusals_explained(reader, chosen):
        rows = reader.rows(statement, liveness(reader))
    if not rows:
        return None
    *_, value, step = rows[0]
    ranking = {"sort_metric_name": metric_name, "sort_metric_value": value, "sort_metric_step": step}
    return _records(reader, rows[:1], **ranking)[rows[0][0]]


def get_run(reader: Reader, run: object) -> RunRecord:
    """One run."""
    key = resolve_run(reader, run)
    return get_runs(reader, [key])[key]


def get_runs(reader: Reader, keys: Sequence[RunKey]) -> dict[RunKey, RunRecord]:
    """Several runs, in this order."""
    statement, _ = _all_runs(reader.models)
    rows: dict[int, Any] = {}
    for condition in among(reader.models.run.c.id, [key.id for key in keys]):
        rows |= {row[0]: row for row in reader.rows(statement.where(condition), liveness(reader))}
    for key in keys:
        if key.id not in rows:
            raise RunNotFoundError(f"run {key.uid} has just been deleted")
    records = _records(reader, list(rows.values()))
    return {key: records[key.id] for key in keys}


def shown_status(reader: Reader, run_id: int) -> str:
    """The status of a stored run as it is shown, ``lost`` derived."""
    source = run_source(reader.models)
    statement = source.statement.with_only_columns(source.status, maintain_column_froms=True)
    ((status,),) = reader.rows(statement.where(reader.models.run.c.id == run_id), liveness(reader))
    return str(status)


# --- Which runs ------------------------------------------------------------------------------------------------------


def _split(shown: Any, conditions: dict[str, Any]) -> tuple[Any, RunFilter]:
    """``hyperparams`` says which columns to show; a mapping is a filter, and shows what None does."""
    if isinstance(shown, Mapping):
        return None, RunFilter(hyperparams=shown, **conditions)
    return shown, RunFilter(**conditions)


def _source(reader: Reader, chosen: RunFilter) -> Select[Any]:
    statement, status = _all_runs(reader.models)
    return statement.where(*filters.conditions(reader, chosen, status))


@lru_cache(maxsize=16)
def _all_runs(models: Models, *more: ColumnElement[Any]) -> tuple[Select[Any], ColumnElement[str]]:
    """All runs with their columns, and the status among these. Made once: it takes longer than a short query."""
    run, attempt = models.run, models.attempt
    source = run_source(models)
    r, h = run.c, source.head.c
    attempts = select(func.count()).where(attempt.c.run_id == r.id).correlate(run).scalar_subquery()
    columns = (
        r.id, r.project, r.name, source.status, r.started_at, r.ended_at, r.last_step, attempts, r.source,
        r.error, r.notes, r.model_name, r.parent_uid, r.parent_step, h.host, h.command, h.git_commit, h.git_dirty,
        r.uid,
    )  # fmt: skip
    return source.statement.with_only_columns(*columns, *more, maintain_column_froms=True), source.status


def _ranked(
    reader: Reader, metric: str, direction: str | None, by: str, chosen: RunFilter, limit: int | None
) -> Select[Any]:
    if not isinstance(metric, str) or not metric:
        raise InvalidArgumentError(f"metric_name {metric!r} is not the name of a metric; pass a str")
    direction = direction_of(reader, metric, direction, chosen)
    check_choice("by", by, ("best", "last"))
    statement, status = _all_ranked(reader.models, direction, by)
    of_metric = reader.models.metric_summary.c.metric == stored_name(metric)
    return statement.where(of_metric, *filters.conditions(reader, chosen, status)).limit(_limit(limit))


@lru_cache(maxsize=64)
def _all_ranked(models: Models, direction: str, by: str) -> tuple[Select[Any], ColumnElement[str]]:
    """All runs by their values of one metric, which the caller names."""
    run, found = models.run.c, models.metric_summary
    s = found.c
    value, step = (s[direction], s[f"{direction}_step"]) if by == "best" else (s.last, s.last_step)
    statement, status = _all_runs(models, value, step)
    # Without infinities too: min and max are always finite, last may be anything.
    finite = (value.is_not(None), value < float("inf"), value > float("-inf"))
    order = value.asc() if direction == "min" else value.desc()
    joined = statement.join(found, s.run_id == run.id).where(*finite)
    return joined.order_by(order, run.started_at, run.id), status


def _limit(limit: int | None) -> int | None:
    if limit is None:
        return None
    number = index_of(limit)
    if number is None or number < 0:
        raise InvalidArgumentError(f"limit {limit!r} is not a number of rows: pass an int from 0, or None for all")
    return min(number, INT64_MAX)


def check_choice(argument: str, value: object, allowed: Sequence[str]) -> None:
    """Raise `InvalidArgumentError` for a value that is not among these."""
    if not isinstance(value, str) or value not in allowed:
        raise InvalidArgumentError(f"{argument} {value!r} is not one of {', '.join(map(repr, allowed))}")


# --- What is shown of them -------------------------------------------------------------------------------------------


def _fetch(reader: Reader, statement: Select[Any], chosen: RunFilter) -> list[Any]:
    with filters.refusals_explained(reader, chosen):
        return [row for chunk in reader.chunks(statement, liveness(reader)) for row in chunk]


def _frame(
    reader: Reader,
    rows: Sequence[Any],
    fixed: Sequence[tuple[str, str]],
    *,
    shown: Any,
    metrics: str | Iterable[str] | None,
    summary: str,
    short: bool,
    asked: Asked,
) -> DataFrame:
    places = {row[0]: index for index, row in enumerate(rows)}
    if shown is None:
        shown = "varying" if short else "all"
    if (metrics is None and short) or (isinstance(metrics, str) and metrics == "main"):
        metrics = list(dict.fromkeys((*asked.metrics, *main_metrics(reader, places))))
    columns = fixed_columns(fixed, rows, exact=reader.exact)
    of_hyperparams = hyperparam_columns(reader, places, shown)
    of_metrics = metric_columns(reader, places, metrics, summary)
    if not short:
        return assemble({**columns, **of_hyperparams, **of_metrics}, len(rows))
    columns["duration"] = _durations(reader, columns)
    first = {name: columns[name] for name in (*SHORT_COLUMNS, *(name for name, _ in fixed if name.startswith("sort_")))}
    if isinstance(shown, str):
        of_hyperparams = by_interest(of_hyperparams)
    if shown == "varying":
        named = hyperparam_columns(reader, places, asked.hyperparams)
        of_hyperparams = {name: values for name, values in named.items() if values.notna().any()} | of_hyperparams
    table = assemble({**first, **of_metrics, **of_hyperparams}, len(rows))
    return table.set_index(columns["run_id"].rename("run_id"))


def _durations(reader: Reader, columns: Mapping[str, Series[Any]]) -> Series[Any]:
    """From a run's start to its end, or until now while it is running; NaT if it is lost."""
    ended, running = columns["ended_at"], columns["status"] == "running"
    if running.any():
        ended = ended.mask(running, reader.now())
    durations: Series[Any] = (ended - columns["started_at"]).astype("timedelta64[us]")
    return durations.mask(durations < timedelta(), timedelta())  # of two clocks


def _records(reader: Reader, rows: Sequence[Any], **ranking: Any) -> dict[int, RunRecord]:
    """The records of these rows, by the ids of the runs."""
    table, summary = reader.models.hyperparam.c, reader.models.metric_summary.c
    facts: dict[int, dict[str, dict[str, Any]]] = {row[0]: {space: {} for space in NAMESPACES} for row in rows}
    statement = select(table.run_id, table.namespace, table.key, reader.backend.json_text(table.value))
    for condition in among(table.run_id, list(facts)):
        for run_id, namespace, key, text in sorted(reader.rows(statement.where(condition)), key=lambda row: row[2]):
            facts[run_id].setdefault(namespace, {})[key] = parse(text)
    of_metrics = (summary.metric, summary.last, summary.min, summary.min_step, summary.max, summary.max_step)
    summaries = select(summary.run_id, *of_metrics).where(summary.count > 0)
    metrics: dict[int, dict[str, float]] = {run_id: {} for run_id in facts}
    best: dict[int, dict[str, tuple[float, int | None]]] = {run_id: {} for run_id in facts}
    for condition in among(summary.run_id, list(facts)):
        found = sorted(reader.rows(summaries.where(condition)), key=lambda row: row.metric)
        for run_id, name, last, low, low_step, high, high_step in found:
            metrics[run_id][name] = float("nan") if last is None else last
            direction = better_direction(name)
            if direction is not None and low is not None:
                best[run_id][name] = (low, low_step) if direction == "min" else (high, high_step)
    return {
        row[0]: _record(reader, row, facts[row[0]], metrics=metrics[row[0]], best_metrics=best[row[0]], **ranking)
        for row in rows
    }


def _record(reader: Reader, row: Any, facts: Mapping[str, dict[str, Any]], **more: Any) -> RunRecord:
    values = dict(zip((name for name, _ in RUN_COLUMNS), row, strict=False))
    return RunRecord(
        **{name: values[name] for name in RunRecord.__dataclass_fields__ if name in values},
        **more,
        duration=_duration(reader, values),
        hyperparams=facts["hp"],
        model_hyperparams=facts["mth"],
        data_hyperparams=facts["dbh"],
        environment=facts["env"],
        tags=facts["tag"],
    )


def _duration(reader: Reader, values: dict[str, Any]) -> timedelta | None:
    end = reader.now() if values["status"] == "running" else values["ended_at"]
    return None if end is None else max(end - values["started_at"], timedelta())
