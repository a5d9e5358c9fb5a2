"""The table of runs, column by column: which columns there are, and their cells.

The id of a column is a field of the filter language, so that a page can filter and sort by what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainstore.dashboard.cells import distinct, encoded, kind_of
from trainstore.dashboard.ids import Key, Metric, hyperparam_ids, keys_of, metric_ids
from trainstore.queries.columns import (
    Sparse,
    differ,
    hyperparam_cells,
    metric_cells,
    none_if_absent,
    present,
    with_nested,
)
from trainstore.queries.field_names import SUMMARIES
from trainstore.queries.frames import restored, times
from trainstore.queries.main_columns import asked_for, interest, main_metrics
from trainstore.queries.names import NOTHING, Name, inside
from trainstore.queries.reader import Reader
from trainstore.queries.runs import RUN_COLUMNS, run_rows

EVERY = "*"
ALWAYS = ("uid", "name", "status", "started")
SHORT = ("name", "project", "status", "started", "duration", "last_step", "attempts")
# Facts of a run: their kind, and where the query of runs has them.
FACTS = {
    "name": ("text", "name"),
    "project": ("text", "project"),
    "status": ("text", "status"),
    "started": ("time", "started_at"),
    "ended": ("time", "ended_at"),
    "duration": ("duration", ""),
    "last_step": ("number", "last_step"),
    "attempts": ("number", "attempts"),
    "source": ("text", "source"),
    "error": ("text", "error"),
    "notes": ("text", "notes"),
    "host": ("text", "host"),
    "command": ("text", "command"),
    "commit": ("text", "git_commit"),
    "uid": ("text", "uid"),
    "id": ("number", "run_id"),
}
_PLACES = {name: place for place, (name, _) in enumerate(RUN_COLUMNS)}
_LABELS = {"last_step": "last step"}
_NO_TIME = -(2**63)


@dataclass(frozen=True)
class TableColumn:
    """A column.

    Attributes:
        id: A field of the filter language.
        group: "run", "metric", or the namespace of a hyperparameter.
        label: A short name for a heading.
        values: Of all rows, None where there is none.
        kind: If it does not depend on the values: a column of texts that are all missing is one of texts, too.
        raw: The values before they were restored, which also tell a missing one from a recorded None.
    """

    id: str
    group: str
    label: str
    values: Sequence[Any]
    kind: str | None = None
    raw: list[Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """As the answer ``runs`` has it."""
        kind, cells = encoded(self.values)
        return {"id": self.id, "kind": self.kind or kind, "values": cells}

    def described(self) -> dict[str, Any]:
        """As the answer ``columns`` has it."""
        values = [value for value in self.values if value is not None]
        number = distinct(values)
        return {
            "id": self.id,
            "group": self.group,
            "label": self.label,
            "kind": self.kind or kind_of(values),
            "filled": len(values),
            "distinct": number,
            "varies": number > 1 if self.raw is None else self.varies,
        }

    @property
    def varies(self) -> bool:
        """Whether it tells the runs apart: those that have it, and of a tag also those that have not."""
        if self.raw is None:
            return distinct(self.values) > 1
        return differ(self.raw if self.group == "tag" else present(self.raw))


def runs(
    reader: Reader,
    *,
    project: str | None = None,
    q: str | None = None,
    columns: Sequence[str] = (),
    sort: Sequence[str] = (),
    offset: int = 0,
    limit: int | None = None,
    only: Sequence[str] | None = None,
    keys: Mapping[str, Key] | None = None,
) -> dict[str, Any]:
    """The answer ``runs``, without its version.

    Args:
        reader: Of one snapshot.
        project: Only runs of this project.
        q: A filter as text.
        columns: Ids of columns; "*" for all; none for those that ``trainstore runs`` shows.
        sort: Fields, with "-" in front for the largest first.
        offset: So many runs are passed over.
        limit: At most so many runs.
        only: Only runs with these uids.
        keys: What ``columns`` name, if it is known.

    Raises:
        FilterError: ``q``, ``sort`` or ``columns`` cannot be read, or names what the store does not have.
    """
    where = [text for text in [q] if text]
    asked: list[Any] = [*where, reader.models.run.c.uid.in_(list(only))] if only is not None else [*where]
    count, rows = run_rows(
        reader, sort=list(sort) or None, offset=offset, limit=limit, project=project or None, where=asked or None
    )
    table = _Table(reader, rows)
    shown = table.every() if EVERY in columns else table.named(columns, keys) if columns else table.short(where, sort)
    by_id = {column.id: column for column in (*table.facts(ALWAYS), *shown)}
    return {"count": count, "columns": [column.as_json() for column in by_id.values()]}


def columns(reader: Reader, *, project: str | None = None, q: str | None = None) -> dict[str, Any]:
    """The answer ``columns``: every column that the runs of a filter have, and whether it tells them apart."""
    count, rows = run_rows(reader, project=project or None, where=q or None)
    return {"count": count, "columns": [column.described() for column in _Table(reader, rows).every()]}


def every_column(reader: Reader, only: Sequence[str]) -> list[TableColumn]:
    """Every column of the runs with these uids, newest first: what ``columns`` and ``runs`` would say of them alone."""
    _, rows = run_rows(reader, where=[reader.models.run.c.uid.in_(list(only))])
    return _Table(reader, rows).every()


class _Table:
    """The columns of some runs."""

    def __init__(self, reader: Reader, rows: Sequence[Any]) -> None:
        self._reader, self._rows = reader, rows
        self._places = {row[0]: place for place, row in enumerate(rows)}

    def every(self) -> list[TableColumn]:
        """All of them."""
        return [*self.facts(tuple(FACTS)), *self._hyperparams(None), *self._metrics(None)]

    def short(self, where: Sequence[str], sort: Sequence[str]) -> list[TableColumn]:
        """What ``trainstore runs`` shows: facts, the metrics by which runs are judged, hyperparameters that differ."""
        asked = asked_for(self._reader, list(where), list(sort) or None)
        metrics = dict.fromkeys((*asked.metrics, *main_metrics(self._reader, self._places)))
        named = {column.id: column for column in self._hyperparams(asked.hyperparams)} if asked.hyperparams else {}
        varying = [column for column in self._hyperparams(None) if column.varies and column.group != "env"]
        varying.sort(key=_interest)
        return [
            *self.facts(SHORT),
            *(self._metrics([Metric(name, SUMMARIES[0]) for name in metrics]) if metrics else ()),
            *({**named, **{column.id: column for column in varying}}.values()),
        ]

    def named(self, ids: Sequence[str], keys: Mapping[str, Key] | None = None) -> list[TableColumn]:
        """Those with these ids, in this order."""
        if keys is None:
            keys = keys_of(self._reader, (one for one in ids if one not in FACTS))
        names = list(dict.fromkeys(key for key in keys.values() if isinstance(key, Name)))
        metrics = list(dict.fromkeys(key for key in keys.values() if isinstance(key, Metric)))
        of_key: dict[Key, TableColumn] = {}
        if names:
            of_key.update(zip(names, self._hyperparams(names), strict=True))
        if metrics:
            of_key.update(zip(metrics, self._metrics(metrics), strict=True))
        # Under the id that was asked for: there may be several ways to write it.
        return [self._fact(one) if one in FACTS else replace(of_key[keys[one]], id=one) for one in ids]

    def facts(self, ids: Sequence[str]) -> list[TableColumn]:
        """Facts of the runs."""
        return [self._fact(one) for one in ids]

    def _fact(self, one: str) -> TableColumn:
        kind, source = FACTS[one]
        if kind == "duration":
            values: list[Any] = self._durations()
        elif kind == "time":
            values = self._times(source)
        else:
            values = self._raw(source)
        return TableColumn(one, "run", _LABELS.get(one, one), values, kind)

    def _raw(self, source: str) -> list[Any]:
        place = _PLACES[source]
        return [row[place] for row in self._rows]

    def _times(self, source: str) -> list[float | None]:
        return seconds(self._raw(source))

    def _durations(self) -> list[float | None]:
        started, ended, status = self._times("started_at"), self._times("ended_at"), self._raw("status")
        now = self._reader.now().timestamp() if "running" in status else None
        ends = [now if state == "running" else end for end, state in zip(ended, status, strict=True)]
        return [
            None if end is None or start is None else max(end - start, 0.0)
            for start, end in zip(started, ends, strict=True)
        ]

    def _hyperparams(self, names: Sequence[Name] | None) -> list[TableColumn]:
        """All, those inside others too; or these."""
        asked = None if names is None else list(dict.fromkeys(f"{name.namespace}.{name.key}" for name in names))
        cells = hyperparam_cells(self._reader, self._places, asked)
        found = with_nested(cells, "all") if names is None else {name: _inside(cells, name) for name in names}
        columns = []
        for (name, raw), one in zip(found.items(), hyperparam_ids(self._reader, list(found)), strict=True):
            label = ".".join((name.key, *name.path))
            columns.append(TableColumn(one, name.namespace, label, restored(none_if_absent(raw)), raw=raw))
        return columns

    def _metrics(self, metrics: Sequence[Metric] | None) -> list[TableColumn]:
        """All summaries of all metrics; or these."""
        names = None if metrics is None else list(dict.fromkeys(name for name, _ in metrics))
        of_each = [of for of in SUMMARIES if metrics is None or any(of == metric.summary for metric in metrics)]
        cells = metric_cells(self._reader, self._places, names, of_each)
        found = metrics if metrics is not None else [Metric(name, of) for name in sorted(cells) for of in SUMMARIES]
        columns = []
        for (name, of), one in zip(found, metric_ids(self._reader, found), strict=True):
            values = cells[name][of_each.index(of)]
            label = name if of == SUMMARIES[0] else f"{name} {of}"
            columns.append(TableColumn(one, "metric", label, values, "number"))
        return columns


def seconds(values: Sequence[Any]) -> list[float | None]:
    """Times, as a driver gives them, as seconds since 1970."""
    if any(isinstance(value, str) for value in values):
        return [None if us == _NO_TIME else us / 1e6 for us in times(values).as_unit("us").asi8.tolist()]
    return [None if value is None else value.timestamp() for value in values]


def _inside(cells: Mapping[str, list[Any]], name: Name) -> list[Any]:
    values = cells[f"{name.namespace}.{name.key}"]
    return Sparse([inside(value, name.path) if value is not NOTHING else NOTHING for value in values])


def _interest(column: TableColumn) -> tuple[Any, ...]:
    return interest(column.group, column.label, [value for value in column.values if value is not None])
