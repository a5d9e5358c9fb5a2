"""Which columns a table of runs shows first: the metrics by which runs are judged, the hyperparameters that differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from trainstore.display import SHOWN_METRICS
from trainstore.queries import filters
from trainstore.queries.fields import HyperparamField, MetricField
from trainstore.queries.metric_names import better_direction, is_effort, is_result, results_first
from trainstore.queries.names import Name
from trainstore.queries.reader import Reader, among
from trainstore.queries.record_display import LAST_KEYS
from trainstore.queries.run_source import liveness, run_source
from trainstore.queries.sorting import sort_fields

if TYPE_CHECKING:
    from pandas import Series

SHORT_COLUMNS = ("name", "project", "status", "started_at", "duration", "last_step", "attempts")
SHORT_TEXT = 40  # characters
MOST = 4  # metrics
_CANDIDATES = 40


class Asked(NamedTuple):
    """What a filter or an order names: without it, a table would not show what its runs were chosen by."""

    hyperparams: tuple[Name, ...] = ()
    metrics: tuple[str, ...] = ()


def asked_for(reader: Reader, where: Any, sort: Any = None) -> Asked:
    """The hyperparameters and metrics in filters as text and in ``sort``; not tags."""
    fields = filters.fields_in(reader, where)
    if sort is not None and not isinstance(sort, Iterator):
        fields += [field for _, field in sort_fields(reader, sort, run_source(reader.models), liveness(reader))]
    return Asked(
        tuple(field.name for field in fields if isinstance(field, HyperparamField) and field.name.namespace != "tag"),
        tuple(field.metric for field in fields if isinstance(field, MetricField)),
    )


def main_metrics(reader: Reader, run_ids: Collection[int]) -> list[str]:
    """Up to `MOST` metrics of these runs, so that each run has one of them if possible; never a runtime or a counter.

    Those that the callbacks record come first, then by how many runs have them; if no metric is in all of these runs,
    first those that together are.
    """
    table = reader.models.metric_summary.c
    counts: dict[str, int] = {}
    statement = select(table.metric, func.count()).where(table.count > 0).group_by(table.metric)
    for condition in among(table.run_id, list(run_ids)):
        for name, count in reader.rows(statement.where(condition)):
            counts[name] = counts.get(name, 0) + count
    ranked = _ranked(counts)[:_CANDIDATES]
    shown = [name for name in ranked if is_result(name)][:MOST] or ranked[:1]
    if shown and max(counts[name] for name in shown) < len(run_ids):
        return _covering(_runs_of(reader, run_ids, ranked), ranked)
    return shown


def _ranked(counts: Mapping[str, int]) -> list[str]:
    """Results before averages such as ``loss_window`` and before everything else."""
    names = [name for name in results_first(counts) if not is_effort(name)]
    usual = {name: place for place, name in enumerate(SHOWN_METRICS)}

    def rank(name: str) -> tuple[Any, ...]:
        return (not is_result(name), better_direction(name) is None, usual.get(name, len(usual)), -counts[name])

    return sorted(names, key=rank)


def _runs_of(reader: Reader, run_ids: Collection[int], metrics: Sequence[str]) -> dict[str, set[int]]:
    """The runs that have each of these metrics."""
    table = reader.models.metric_summary.c
    statement = select(table.metric, table.run_id).where(table.count > 0, table.metric.in_(metrics))
    runs: dict[str, set[int]] = {name: set() for name in metrics}
    for condition in among(table.run_id, list(run_ids)):
        for name, run_id in reader.rows(statement.where(condition)):
            runs[name].add(run_id)
    return runs


def _covering(runs: Mapping[str, set[int]], ranked: Sequence[str]) -> list[str]:
    """The first metric, those that most runs without one have, and then the next in rank."""
    shown = list(ranked[:1])
    without = set().union(*runs.values()) - runs[shown[0]]
    while without and len(shown) < MOST:
        best = max(ranked, key=lambda name: (bool(runs[name] & without), is_result(name), len(runs[name] & without)))
        shown.append(best)
        without -= runs[best]
    more = [name for name in ranked if is_result(name) and name not in shown]
    return shown + more[: MOST - len(shown)]


def by_interest(columns: Mapping[str, Series[Any]]) -> dict[str, Series[Any]]:
    """Columns of hyperparameters without the environment, in the order of `interest`."""

    def rank(label: str) -> tuple[Any, ...]:
        namespace, _, key = label.partition("__")
        return interest(namespace, key, list(columns[label].dropna()))

    return {label: columns[label] for label in sorted(columns, key=rank) if not label.startswith("env__")}


def interest(namespace: str, key: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Where a hyperparameter stands in a table: those of most runs come first, with numbers and short texts.

    Seeds and lists come later, and last the names of folders, which differ in every run.
    """
    plain = all(len(value) <= SHORT_TEXT if isinstance(value, str) else _is_scalar(value) for value in values)
    return (key in LAST_KEYS, not plain, key.endswith("seed"), namespace != "hp", -len(values))


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)
