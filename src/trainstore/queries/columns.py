"""The columns of the run table that are rows in the database: hyperparameters and metrics.

One narrow SELECT for each kind, and the pivot here: joined, they would come as hyperparameters × metrics rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import func, literal, select, tuple_

from trainstore.errors import InvalidArgumentError
from trainstore.models import NAMESPACES
from trainstore.queries.frames import NUMBER, comparable, dtype_of, restored, series
from trainstore.queries.names import NOTHING, Name, inside, resolve_name, spelled
from trainstore.queries.reader import IN_LIMIT, Reader, among
from trainstore.values import stored_name

if TYPE_CHECKING:
    from pandas import Series

MOST_INSIDE = 100  # columns of the values inside one hyperparameter
_ORDER = {namespace: index for index, namespace in enumerate(NAMESPACES)}


class Sparse(list[Any]):
    """The values of a column that some runs may lack: there it is `NOTHING`, while None is a value that was recorded.

    A type of its own, because to look for `NOTHING` in the columns that all runs have takes time.
    """


def hyperparam_columns(reader: Reader, places: Mapping[int, int], shown: Any) -> dict[str, Series[Any]]:
    """Columns ``hp__*`` … ``tag__*``. ``places`` maps a run's id to its row; ``shown`` says which names to show:

    "all"; "varying", those that have different values among the runs that have them, and the tags that only some have;
    "differing", those that are not the same in all these runs, or that some lack; or names, which all get a column.
    """
    chosen = _chosen(reader, shown)
    names = None if chosen is None else list(dict.fromkeys(f"{name.namespace}.{name.key}" for name in chosen))
    cells = hyperparam_cells(reader, places, names)
    if chosen is not None:
        asked = {name: restored(none_if_absent(values)) for name, values in cells.items()}
        return _by_name(chosen, asked, exact=reader.exact)
    columns = with_nested(cells, shown)
    if shown != "all":
        columns = {
            name: values
            for name, values in columns.items()
            if differ(values if shown == "differing" or name.namespace == "tag" else present(values))
        }
    ready = [restored(none_if_absent(values)) for values in columns.values()]
    return {
        label: series(values, dtype_of(values), exact=reader.exact)
        for label, values in zip(_labels(list(columns)), ready, strict=True)
    }


def hyperparam_cells(reader: Reader, places: Mapping[int, int], names: Sequence[str] | None) -> dict[str, list[Any]]:
    """The values of hyperparameters as parsed JSON, by their qualified names ("hp.lr"): of these names, or of all.

    A column that some of the runs lack is `Sparse`.
    """
    cells: dict[str, list[Any]] = {name: Sparse([NOTHING] * len(places)) for name in names or ()}
    for found, group in _hyperparams(reader, places, names):
        rows = sorted(group)  # the newest run comes first in a table, and last in the database
        for name, column in zip(found, zip(*map(group.__getitem__, rows), strict=True), strict=True):
            if len(rows) == len(places):
                cells[name] = list(column)
                continue
            cell = cells.setdefault(name, Sparse([NOTHING] * len(places)))
            for row, value in zip(rows, column, strict=True):
                cell[row] = value
    return cells


def with_nested(cells: Mapping[str, list[Any]], shown: str) -> dict[Name, list[Any]]:
    """The columns in their order: of a mapping itself, for "all", then of each value inside it.

    To vary is a matter of the values inside; "differing" compares whole values.
    """
    columns: dict[Name, list[Any]] = {}
    for qualified in sorted(cells, key=_sort_key):
        namespace, key = qualified.split(".", 1)
        values = cells[qualified]
        parts = values_inside(values) if shown != "differing" and dict in set(map(type, values)) else {}
        if shown == "all" or not parts:
            columns[Name(namespace, key)] = values
            parts.pop((), None)
        columns.update((Name(namespace, key, path), parts[path]) for path in sorted(parts))
    return columns


def values_inside(values: Sequence[Any]) -> dict[tuple[str, ...], list[Any]]:
    """The values inside a column of mappings by their paths, `NOTHING` in the rows without one.

    () is the path of anything but a mapping. The result is empty if there are more than `MOST_INSIDE` paths: that is
    data, such as the names of a classifier's thousand labels.
    """
    parts: dict[tuple[str, ...], list[Any]] = {}
    for row, value in enumerate(values):
        waiting: list[tuple[tuple[str, ...], Any]] = [((), value)] if value is not NOTHING else []
        while waiting:
            path, found = waiting.pop()
            if isinstance(found, dict) and found:
                waiting += [((*path, key), item) for key, item in found.items()]
                continue
            parts.setdefault(path, Sparse([NOTHING] * len(values)))[row] = found
            if len(parts) > MOST_INSIDE:
                return {}
    return parts


def _labels(names: Sequence[Name]) -> list[str]:
    """The names of columns: ``hp__optim.lr``; with quotes for the key "a.b" beside "b" inside "a"."""
    labels = [f"{name.namespace}__{'.'.join((name.key, *name.path))}" for name in names]
    counts = Counter(labels)
    return [
        label if counts[label] == 1 else spelled(name.namespace, name.key, *name.path).replace(".", "__", 1)
        for name, label in zip(names, labels, strict=True)
    ]


def _by_name(chosen: Sequence[Name], cells: Mapping[str, list[Any]], *, exact: bool) -> dict[str, Series[Any]]:
    """The columns asked for: hyperparameters, and values inside them."""
    result = {}
    for name, label in zip(chosen, _labels(chosen), strict=True):
        found = (inside(value, name.path) for value in cells[f"{name.namespace}.{name.key}"])
        values = [None if value is NOTHING else value for value in found]
        result[label] = series(values, dtype_of(values), exact=exact)
    return result


# Hardly any name holds it; a run with a name that does is read row by row.
_SEPARATOR = "\x1f"


def _hyperparams(
    reader: Reader, places: Mapping[int, int], names: Sequence[str] | None
) -> Iterable[tuple[Sequence[str], dict[int, list[Any]]]]:
    """The hyperparameters of the runs: for each set of qualified names, row → values of the runs that have it.

    The database joins those of a run and namespace into two texts: one such row is read several times faster than a
    row per value, and most runs have the same names.
    """
    table = reader.models.hyperparam.c
    value = func.coalesce(reader.backend.json_text(table.value), literal("null"))
    admitted = []
    if names is not None and len(names) <= IN_LIMIT:
        admitted = [tuple_(table.namespace, table.key).in_([tuple(name.split(".", 1)) for name in names])]
    together = (table.run_id, table.namespace)
    joined = select(
        *together, func.aggregate_strings(table.key, _SEPARATOR), func.aggregate_strings(value, ",")
    ).group_by(*together)
    groups: dict[tuple[str, str], dict[int, list[Any]]] = {}
    odd: list[int] = []
    for condition in among(table.run_id, list(places), exact=False) if names != [] else ():
        for rows in reader.chunks(joined.where(condition, *admitted)):
            for run_id, namespace, keys, values in rows:
                if run_id in places:
                    loaded = orjson.loads(f"[{values}]")
                    if keys.count(_SEPARATOR) == len(loaded) - 1:
                        groups.setdefault((namespace, keys), {})[places[run_id]] = loaded
                    else:
                        odd.append(run_id)
    for (namespace, keys), group in groups.items():
        yield from _only([f"{namespace}.{key}" for key in keys.split(_SEPARATOR)], group, names)
    single = select(table.run_id, table.namespace, table.key, value)
    for condition in among(table.run_id, odd):
        for run_id, namespace, key, text in reader.rows(single.where(condition, *admitted)):
            yield from _only([f"{namespace}.{key}"], {places[run_id]: [orjson.loads(text)]}, names)


def _only(
    found: list[str], group: dict[int, list[Any]], names: Sequence[str] | None
) -> Iterable[tuple[Sequence[str], dict[int, list[Any]]]]:
    """Leave out what was not asked for, if there were too many names to filter by in SQL."""
    if names is None or len(names) <= IN_LIMIT:
        yield found, group
        return
    wanted = set(names)
    kept = [place for place, name in enumerate(found) if name in wanted]
    yield [found[place] for place in kept], {row: [values[place] for place in kept] for row, values in group.items()}


def none_if_absent(values: list[Any]) -> list[Any]:
    """The values of a column, None where a run lacks it."""
    return [None if value is NOTHING else value for value in values] if isinstance(values, Sparse) else values


def present(values: list[Any]) -> list[Any]:
    """The values of a column without the runs that lack it."""
    return [value for value in values if value is not NOTHING] if isinstance(values, Sparse) else values


def differ(values: list[Any]) -> bool:
    """Whether they differ: 1 and 1.0 are the same, 1 and True are not, an absent value and None are."""
    values = none_if_absent(values)
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {int, float} or kinds in ({str}, {bool}):
        return len(set(values)) > 1
    return len(set(map(comparable, values))) > 1


def metric_columns(
    reader: Reader, places: Mapping[int, int], metrics: Iterable[str] | None, summary: str
) -> dict[str, Series[Any]]:
    """Columns ``metric__*``, float64: one of the summaries of these metrics (None: of all)."""
    names = metric_names(metrics)
    cells = metric_cells(reader, places, names, [summary])
    ordered = sorted(cells) if names is None else names
    return {f"metric__{name}": series(cells[name][0], NUMBER, exact=reader.exact) for name in ordered}


def metric_cells(
    reader: Reader, places: Mapping[int, int], names: Sequence[str] | None, summaries: Sequence[str]
) -> dict[str, list[list[Any]]]:
    """For each metric, of these or of all, its summaries, each a column with None where a run does not have it."""
    table = reader.models.metric_summary.c
    statement = select(table.run_id, table.metric, *(table[name] for name in summaries)).where(table.count > 0)
    few = len(places) <= IN_LIMIT
    if names is not None and len(names) <= IN_LIMIT and (few or _have_many_more(reader, places, names)):
        statement = statement.where(table.metric.in_(names))

    def empty() -> list[list[Any]]:
        return [[None] * len(places) for _ in summaries]

    # A last value that is NaN is stored as NULL; of min and max that means that none was finite.
    instead = [nan if summary == "last" else None for summary in summaries]
    cells: dict[str, list[list[Any]]] = {name: empty() for name in names or ()}
    # Few runs are found by the key; with a range, SQLite would take the index of the metric, and read all runs.
    for condition in among(table.run_id, list(places), exact=few and names is not None) if names != [] else ():
        for rows in reader.chunks(statement.where(condition)):
            for run_id, metric, *values in rows:
                place = places.get(run_id)
                if place is None or (names is not None and metric not in cells):
                    continue
                columns = cells.get(metric)
                if columns is None:
                    columns = cells[metric] = empty()
                for column, value, other in zip(columns, values, instead, strict=True):
                    column[place] = other if value is None else value
    return cells


def _have_many_more(reader: Reader, places: Mapping[int, int], names: Sequence[str]) -> bool:
    """Whether runs have so many metrics that these are found faster by their index than by reading all: a guess."""
    ids, table = list(places), reader.models.metric_summary.c
    some = (ids[0], ids[len(ids) // 2], ids[-1])
    counts = select(func.count()).where(table.run_id.in_(some)).group_by(table.run_id)
    return max((row[0] for row in reader.rows(counts)), default=0) > 8 * len(names)


def metric_names(metrics: object) -> list[str] | None:
    """The names of metrics as they are stored, each once; None means all. Raises `InvalidArgumentError`."""
    if metrics is None:
        return None
    if isinstance(metrics, (str, bytes)) or not isinstance(metrics, Iterable):
        raise InvalidArgumentError(f"metrics {metrics!r} is not a list of names; pass e.g. ['loss']")
    names = list(metrics)
    for name in names:
        if not isinstance(name, str):
            raise InvalidArgumentError(f"metrics holds {name!r}, which is not a str")
    return list(dict.fromkeys(map(stored_name, names)))


def sort_key(namespace: str, key: str) -> tuple[int, str]:
    """Namespaces in their own order, keys by code point: collations differ between databases."""
    return (_ORDER.get(namespace, len(_ORDER)), key)


def _sort_key(name: str) -> tuple[int, str]:
    return sort_key(*name.split(".", 1))


def _chosen(reader: Reader, shown: Any) -> list[Name] | None:
    """The names to show, each once; None: all, or those that differ."""
    if isinstance(shown, str) and shown in ("all", "varying", "differing"):
        return None
    if isinstance(shown, (str, bytes)) or not isinstance(shown, Iterable):
        raise InvalidArgumentError(
            f"hyperparams {shown!r} is not 'all', 'varying', 'differing', a list of names, or a mapping to filter by"
        )
    return list(dict.fromkeys(name if isinstance(name, Name) else resolve_name(reader, name) for name in shown))
