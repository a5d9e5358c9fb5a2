"""Trackio's databases: a file a project, in it a row for each call of ``log``.

Resuming a run appends its steps again, and its configuration may be overwritten: so a run is read as a table. Trackio
does not say how a run ended. What it sampled of the machine goes to the step that was logged last before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import column, func, select, table, text

from trainstore.errors import SourceError
from trainstore.importing.databases import (
    Database,
    Digests,
    Query,
    Schema,
    databases,
    has,
    int_of,
    query,
    text_of,
)
from trainstore.importing.foreign import Entry, Event, ForeignRun, Hyperparams, Options, Session, Step, Unread
from trainstore.importing.places import Place
from trainstore.importing.texts import parse_json
from trainstore.values import microseconds_of

TOOL = "trackio"
LABEL = "Trackio"

SYSTEM = "system/"  # before the names of what was sampled of the machine
_NEEDED = ("metrics.run_name", "metrics.step", "metrics.metrics", "metrics.timestamp")
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LEVELS = {"info": "info", "error": "error"}  # else "warn"

_LOGGED = """
SELECT step, id, timestamp, metrics, 0 AS is_system FROM metrics WHERE {key} = :run"""
#: The same with system metrics, which get the step of the last row of metrics that is not younger.
_SAMPLED = """
WITH rows AS (
    SELECT 0 AS is_system, id, timestamp, step FROM metrics WHERE {key} = :run
    UNION ALL SELECT 1, id, timestamp, NULL FROM system_metrics WHERE {key} = :run),
counted AS (SELECT *, count(step) OVER (ORDER BY timestamp, is_system, id) AS place FROM rows),
placed AS (SELECT is_system, id, max(step) OVER (PARTITION BY place) AS step FROM counted)
SELECT placed.step AS step, s.id AS id, s.timestamp AS timestamp, s.metrics AS metrics, 1 AS is_system
FROM placed JOIN system_metrics AS s ON s.id = placed.id WHERE placed.is_system = 1
UNION ALL"""
_ARTIFACTS = """
SELECT l.created_at, a.name, a.type, v.version, v.size_bytes, v.manifest_digest, l.direction
FROM run_artifact_links AS l JOIN artifact_versions AS v ON v.id = l.artifact_version_id
JOIN artifacts AS a ON a.id = v.artifact_id WHERE l.{key} = :run ORDER BY l.id"""


def is_at(place: Place) -> bool:
    """Whether there is a database with Trackio's tables."""
    return any(_is_project(found) for found in databases(place))


def _is_project(found: tuple[Database, Schema] | Unread) -> bool:
    return not isinstance(found, Unread) and found[0].file is not None and has(found[1], *_NEEDED)


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """The runs of all projects."""
    found = False
    for database in databases(place):
        if isinstance(database, Unread):
            yield database
        elif _is_project(database):
            found = True
            yield from _Project(*database).runs()
    if not found:
        raise SourceError(f"{place.shown} holds no database of Trackio")


@dataclass(frozen=True, slots=True)
class _Row:
    """A run of a project."""

    key: Any  # its id, in older files its name
    name: str
    rows: int
    begun_at: int
    written_at: int


class _Project:
    """A database of Trackio's."""

    def __init__(self, database: Database, schema: Schema) -> None:
        assert database.file is not None
        self.database = database
        self.schema = schema
        self.key = "run_id" if has(schema, "metrics.run_id") else "run_name"
        self.name = database.file.path.stem

    def runs(self) -> Iterator[ForeignRun | Unread]:
        """Its runs, oldest first."""
        with self.database.reading():
            digests = self._digests()
            for row in sorted(self._rows(), key=lambda row: (row.begun_at, str(row.key))):
                key = text_of(row.key) or ""
                own = key if self.key == "run_id" else None
                identity = own or f"{self.name}:{key}"
                stamp = f"{row.rows}:{row.written_at}:{digests.of(row.key)}"
                yield ForeignRun(
                    identity=identity,
                    name=row.name or key,
                    started_at=row.begun_at,
                    where=self.database.where(row.name or key),
                    sessions=[_Session(self, row, identity, stamp)],
                    uid=own,
                    project=self.name,
                )
            yield from self._unread()

    def _unread(self) -> Iterator[Unread]:
        if has(self.schema, f"configs.{self.key}"):
            key: Any = column(self.key)
            logged = select(key).select_from(table("metrics"))
            statement = select(func.count()).select_from(table("configs")).where(key.not_in(logged))
            for (count,) in self.database.rows(statement):
                if count:
                    runs = f"{count:,} run{'s' if count > 1 else ''}"
                    yield Unread(self.database.where(runs), "logged nothing")

    def _rows(self) -> Iterator[_Row]:
        key: Any = column(self.key)
        time: Any = column("timestamp")
        columns: Any = (key, func.max(column("run_name")), func.count(), func.min(time), func.max(time))
        statement: Query = select(*columns).select_from(table("metrics")).where(key.is_not(None)).group_by(key)
        for found, name, rows, first, last in list(self.database.rows(statement)):
            begun_at = _moment(first) or 0
            yield _Row(found, text_of(name) or "", int(rows), begun_at, _moment(last) or begun_at)

    def _digests(self) -> Digests:
        """What else is there of each run: all of its configuration, counts of the rest."""
        found = Digests()
        for name in ("configs", "alerts", "system_metrics", "traces", "run_artifact_links"):
            if not has(self.schema, f"{name}.{self.key}"):
                continue
            key: Any = column(self.key)
            if name == "configs":
                rows = self.database.rows(query(self.schema, name, (self.key, "config", "created_at"))[0])
            else:
                counted: Query = select(key, func.count()).select_from(table(name)).group_by(key)
                if has(self.schema, f"{name}.id"):
                    counted = counted.add_columns(func.max(column("id")))
                rows = self.database.rows(counted)
            for row in rows:
                found.add(row[0], name, *row[1:])
        return found

    def count(self, name: str, row: _Row) -> int:
        """How many rows of a table are a run's."""
        if not has(self.schema, f"{name}.{self.key}"):
            return 0
        statement = select(func.count()).select_from(table(name)).where(column(self.key) == row.key)
        return sum(int(count) for (count,) in self.database.rows(statement))

    def config(self, row: _Row) -> Iterator[str]:
        """A run's configuration as JSON; none, or one."""
        if not has(self.schema, f"configs.{self.key}", "configs.config"):
            return
        statement, _ = query(self.schema, "configs", ("config",))
        for one in self.database.rows(statement.where(column(self.key) == row.key)):
            yield text_of(one.config) or ""

    def logged(self, row: _Row) -> Iterator[Any]:
        """What was logged, and what was sampled of the machine, by steps and the order of the rows."""
        body = _LOGGED.format(key=self.key)
        if not has(self.schema, "metrics.id"):
            body = body.replace(" id,", " rowid AS id,")
        elif has(self.schema, "system_metrics.id", "system_metrics.timestamp", "system_metrics.metrics"):
            body = (_SAMPLED.format(key=self.key) if self.count("system_metrics", row) else "") + body
        statement: Any = text(f"{body}\nORDER BY step, is_system, id").bindparams(run=row.key)
        return self.database.rows(statement)

    def alerts(self, row: _Row) -> Iterator[Any]:
        """A run's alerts."""
        if not has(self.schema, f"alerts.{self.key}", "alerts.id"):
            return iter(())
        statement, there = query(self.schema, "alerts", ("id", "timestamp", "title", "text", "level", "step"))
        return self.database.rows(statement.where(column(self.key) == row.key).order_by(there["id"]))

    def artifacts(self, row: _Row) -> Iterator[Any]:
        """The artifacts that a run made or used."""
        if not has(
            self.schema, f"run_artifact_links.{self.key}", "artifact_versions.manifest_digest", "artifacts.name"
        ):
            return iter(())
        statement: Any = text(_ARTIFACTS.format(key=self.key)).bindparams(run=row.key)
        return self.database.rows(statement)


class _Session(Session):
    """A run of Trackio."""

    def __init__(self, project: _Project, row: _Row, identity: str, stamp: str) -> None:
        super().__init__()
        self.identity = identity
        self.started_at = row.begun_at
        self.written_at = row.written_at
        self.stamp = stamp
        self._project = project
        self._row = row

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """All of it."""
        yield from self._config()
        for one in self._project.alerts(self._row):
            level = _LEVELS.get(text_of(one.level) or "", "warn")
            details = {"title": text_of(one.title) or "", "text": text_of(one.text) or "", "level": level}
            yield Event(_moment(one.timestamp) or self.started_at, "alert", int_of(one.step), details)
        for one in self._project.artifacts(self._row):
            found = {"name": one.name, "type": one.type, "version": one.version, "size": one.size_bytes}
            found["digest"] = one.manifest_digest
            used = {"used": True} if one.direction == "input" else {}
            yield Event(_moment(one.created_at) or self.started_at, "artifact", None, found | used)
        traces = self._project.count("traces", self._row)
        if traces:
            self.left_out["trace"] += traces
        yield from self._steps()

    def _config(self) -> Iterator[Entry]:
        for body in self._project.config(self._row):
            try:
                config = parse_json(body, "the configuration")
            except SourceError as error:
                self.damage.append(str(error))
                continue
            if not isinstance(config, dict):
                continue
            group = config.get("_Group")
            config = {name: _numbers(value) for name, value in config.items() if not name.startswith("_")}
            if config:
                yield Hyperparams(config)
            if group:
                yield Hyperparams({"group": group}, "tag")

    def _steps(self) -> Iterator[Entry]:
        odd, first_odd = 0, ""
        for one in self._project.logged(self._row):
            try:
                values = parse_json(text_of(one.metrics) or "", f"row {one.id}")
            except SourceError as error:
                odd, first_odd = odd + 1, first_odd or str(error)
                continue
            if one.is_system and one.step is None:
                self.left_out["system metric"] += len(values) if isinstance(values, dict) else 1
            elif not isinstance(values, dict) or type(one.step) is not int:
                odd, first_odd = odd + 1, first_odd or f"row {one.id} has no step, or no metrics"
            else:
                metrics = self._metrics(values, SYSTEM if one.is_system else "")
                if metrics:
                    yield Step(_moment(one.timestamp) or self.started_at, one.step, metrics)
        if odd:
            self.damage.append(first_odd + (f" ({odd:,} rows are not read)" if odd > 1 else ""))

    def _metrics(self, values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Values by their names, of nested ones joined by dots; images and the like are counted."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            if not isinstance(value, dict):
                found[prefix + name] = _numbers(value)
            elif isinstance(kind := value.get("_type"), str):
                self.left_out[kind.rpartition(".")[2] or kind] += 1
            else:
                found |= self._metrics(value, f"{prefix}{name}.")
        return found


def _numbers(value: Any) -> Any:
    """A value with the numbers that Trackio writes as texts."""
    if isinstance(value, str):
        return _WORDS.get(value, value)
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, list) else value


def _moment(value: Any) -> int | None:
    """A time as Trackio writes it, in microseconds since 1970; without an offset it is in UTC."""
    try:
        time = datetime.fromisoformat(text_of(value) or "")
        return microseconds_of(time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC))
    except (ValueError, OverflowError):
        return None
