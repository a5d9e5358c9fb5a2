"""MLflow's tables. Read are ``experiments``, ``runs``, ``params``, ``metrics`` and ``tags``, by the columns that are
there: schemas from 2018 on have what is needed. What else MLflow keeps (models, data sets, traces) is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import column, func, select, table

from trainstore.errors import SourceError
from trainstore.importing.databases import Database, Digests, Query, Schema, counts, has, int_of, query, text_of
from trainstore.importing.foreign import ForeignRun, Options, Step, Unread
from trainstore.importing.mlflow_values import (
    NAME,
    PARENT,
    TRASH,
    MLflowSession,
    Row,
    foreign_run,
    metric_value,
    parents_first,
    steps,
)

NEEDED = ("experiments.experiment_id", "runs.run_uuid", "metrics.run_uuid", "metrics.key", "metrics.value", "params")
_RUN = (
    "run_uuid", "name", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri", "experiment_id",
    "source_name", "source_version",
)  # fmt: skip
#: What is counted for a run: the table, its column of run ids, a column and value that its rows must have.
_OF_RUNS = (
    ("data set", "inputs", "destination_id", None),
    ("logged model", "logged_models", "source_run_id", None),
    ("version of a registered model", "model_versions", "run_id", None),
    ("trace", "trace_request_metadata", "value", ("key", "mlflow.sourceRun")),
)
#: What belongs to no run.
_OF_ALL = {
    "registered_models": "registered models",
    "trace_info": "traces",
    "evaluation_datasets": "evaluation data sets",
    "assessments": "assessments",
}


def runs(database: Database, schema: Schema, options: Options) -> Iterator[ForeignRun | Unread]:
    """The runs of a database."""
    with database.reading():
        found = _Tables(database, schema)
        rows, trash = found.rows(deleted=options.deleted)
        for row in parents_first(rows):
            yield foreign_run(row, _Session(row, found))
        yield from found.unread
        if trash:
            runs = f"{trash:,} run{'s' if trash > 1 else ''}"
            yield Unread(database.where(runs), f"{'are' if trash > 1 else 'is'} {TRASH}")
        yield from _others(database, schema)


def _others(database: Database, schema: Schema) -> Iterator[Unread]:
    for name, what in _OF_ALL.items():
        if has(schema, name):
            (count,) = (int(row[0]) for row in database.rows(select(func.count()).select_from(table(name))))
            if count:
                yield Unread(database.where(name), f"holds {count:,} {what}, which are not imported")


class _Tables:
    """A database of MLflow's."""

    def __init__(self, database: Database, schema: Schema) -> None:
        self.database = database
        self.schema = schema
        self.unread: list[Unread] = []

    def rows(self, *, deleted: bool) -> tuple[dict[str, Row], int]:
        """The runs by their ids, oldest first; how many were left out because they are in the trash."""
        experiments = self._experiments()
        tags = Digests()
        names: dict[str, str] = {}
        parents: dict[str, str] = {}
        for run_id, key, value in self._of("tags"):
            tags.add(run_id, key, value)
            if key in (NAME, PARENT) and value:
                (names if key == NAME else parents)[run_id] = value
        params = Digests()
        for run_id, key, value in self._of("params"):
            params.add(run_id, key, value)
        latest = self._latest()
        points = counts(self.database, self.schema, "metrics", "run_uuid")
        left_out = self._left_out()
        found: list[Row] = []
        trash = 0
        statement, _ = query(self.schema, "runs", _RUN)
        for one in self.database.rows(statement):
            run_id = one.run_uuid
            if not isinstance(run_id, str) or not run_id:
                self.unread.append(Unread(self.database.where("a run"), f"has no id, but {str(run_id)[:50]!r}"))
                continue
            name, created_at, is_deleted = experiments.get(one.experiment_id, (str(one.experiment_id), 0, False))
            is_deleted = is_deleted or one.lifecycle_stage == "deleted"
            if is_deleted and not deleted:
                trash += 1
                continue
            started_at, ended_at = _microseconds(one.start_time), _microseconds(one.end_time)
            row = Row(
                run_id=run_id,
                experiment=name,
                name=names.get(run_id) or text_of(one.name),
                status=text_of(one.status),
                started_at=started_at or ended_at or created_at,
                ended_at=ended_at,
                artifact_uri=text_of(one.artifact_uri),
                where=self.database.where(run_id),
                is_deleted=is_deleted,
                parent=parents.get(run_id),
                left_out=left_out.get(run_id, Counter()),
            )
            tags.add(run_id, *one, name, sorted(row.left_out.items()))
            row.stamp = f"{points.get(run_id, 0)}:{latest.of(run_id)}:{params.of(run_id)}:{tags.of(run_id)}"
            found.append(row)
        found.sort(key=lambda row: (row.started_at, row.run_id))
        return {row.run_id: row for row in found}, trash

    def _experiments(self) -> dict[Any, tuple[str, int, bool]]:
        """Their names, when they were made, whether they were deleted; by their ids."""
        columns = ("experiment_id", "name", "lifecycle_stage", "creation_time", "workspace")
        found: dict[Any, tuple[str, int, bool]] = {}
        for row in self.database.rows(query(self.schema, "experiments", columns)[0]):
            name = text_of(row.name) or str(row.experiment_id)
            if row.workspace not in (None, "", "default"):
                name = f"{text_of(row.workspace)}/{name}"
            created_at = _microseconds(row.creation_time) or 0
            found[row.experiment_id] = (name, created_at, row.lifecycle_stage == "deleted")
        return found

    def _of(self, name: str) -> Iterator[tuple[Any, str, str | None]]:
        """Run ids, keys and values of the params or tags of all runs."""
        if not has(self.schema, f"{name}.run_uuid", f"{name}.key", f"{name}.value"):
            return
        for chunk in self.database.tuples(query(self.schema, name, ("run_uuid", "key", "value"))[0]):
            for run_id, key, value in chunk:
                yield run_id, text_of(key) or "", text_of(value)

    def _latest(self) -> Digests:
        """What MLflow itself keeps of each metric's last point: it changes with most that is logged."""
        found = Digests()
        columns = ("run_uuid", "key", "value", "timestamp", "step")
        if has(self.schema, "latest_metrics.run_uuid"):
            for row in self.database.rows(query(self.schema, "latest_metrics", columns)[0]):
                found.add(row.run_uuid, *row[1:])
        return found

    def _left_out(self) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {}
        for what, name, by, condition in _OF_RUNS:
            if not has(self.schema, f"{name}.{by}"):
                continue
            statement: Query = select(column(by), func.count()).select_from(table(name)).group_by(column(by))
            if condition is not None:
                statement = statement.where(column(condition[0]) == condition[1])
            for run_id, count in self.database.rows(statement):
                found.setdefault(run_id, Counter())[what] += int(count)
        return found

    def of_run(self, name: str, run_id: str) -> Mapping[str, str | None]:
        """The params or tags of a run."""
        if not has(self.schema, f"{name}.run_uuid", f"{name}.key", f"{name}.value"):
            return {}
        statement, there = query(self.schema, name, ("key", "value"))
        statement = statement.where(column("run_uuid") == run_id).order_by(there["key"])
        return {text_of(row.key) or "": text_of(row.value) for row in self.database.rows(statement)}

    def points(self, row: Row, damage: list[str]) -> Iterator[tuple[int, int, str, Any]]:
        """The metrics of a run: steps, times, names, values."""
        statement, there = query(self.schema, "metrics", ("step", "timestamp", "key", "value", "is_nan"))
        order = [there[name] for name in ("step", "timestamp", "key", "value") if name in there]
        statement = statement.where(column("run_uuid") == row.run_id).order_by(*order)
        odd = 0
        for chunk in self.database.tuples(statement, 5_000):
            for step, timestamp, key, value, is_nan in chunk:
                if type(value) is not float or type(key) is not str or type(step) is not int or is_nan:
                    value = metric_value(value, is_nan)
                    key = text_of(key) or ""
                    whole = 0 if step is None else None if isinstance(step, str | bytes) else int_of(step)
                    if whole is None or not isinstance(value, float):
                        odd += 1
                        continue
                    step = whole
                elif value in _INFINITE:
                    value = metric_value(value)
                at = timestamp * 1_000 if type(timestamp) is int else (_microseconds(timestamp) or row.started_at)
                yield step, at, key, value
        if odd:
            damage.append(f"{odd:,} metrics have no number as their value or step")


_INFINITE = frozenset((1.7976931348623157e308, -1.7976931348623157e308))


class _Session(MLflowSession):
    """A run in a database."""

    def __init__(self, row: Row, found: _Tables) -> None:
        super().__init__(row)
        self._found = found
        self._tags: Mapping[str, str | None] | None = None

    def params(self) -> Mapping[str, str | None]:
        return self._found.of_run("params", self.row.run_id)

    def tags(self) -> Mapping[str, str | None]:
        if self._tags is None:
            self._tags = self._found.of_run("tags", self.row.run_id)
        return self._tags

    def steps(self) -> Iterator[Step]:
        return steps(self._found.points(self.row, self.damage), self.left_out)


def _microseconds(milliseconds: Any) -> int | None:
    """A time as a column has it."""
    found = int_of(milliseconds)
    return None if found is None else found * 1_000


def refuse_others(database: Database, schema: Schema) -> None:
    """Raise `SourceError` if the tables that are needed are not there."""
    missing = [name for name in NEEDED if not has(schema, name)]
    if missing:
        raise SourceError(f"{database.shown} is no database of MLflow: it has no {', '.join(missing)}")
