"""All SQL that recording sends: what a flush and a recovery read and write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from trainstore.backends import Backend
from trainstore.backends.base import Columns
from trainstore.errors import SchemaError
from trainstore.models import LOST_AFTER, Models
from trainstore.recording.attempts import Attempt, AttemptTree
from trainstore.recording.summary import Summary, summarize

_SUMMARY_FIELDS = ("count", "nonfinite_count", "min", "min_step", "max", "max_step", "last", "last_step")
_ATTEMPT_CHANGES = ("end_step", "last_step", "closed_at", "status", "error", "changed_hyperparams")
_IN_LIMIT = 500  # steps in one IN list
_STEP_KEYS = ("run_id", "step", "attempt")
STEP_COLUMNS = (*_STEP_KEYS, "logged_at", "epoch", "step_time", "metrics", "details")


class Statements:
    """The statements of one store; each takes the connection whose transaction it is part of.

    Those of every flush are made once, because SQLAlchemy takes longer to make one than to run it. Parameters that
    select rows begin with an underscore, as an UPDATE's other parameters are named like its columns.
    """

    def __init__(self, models: Models, backend: Backend) -> None:
        self.models = models
        self.backend = backend
        run, writer, attempt, summary = models.run, models.writer, models.attempt, models.metric_summary
        names = ("id", "uid", "status", "started_at", "ended_at", "error", "last_step", "parent_uid", "parent_run_id")
        shown = [run.c[name] for name in names]
        revision = select(models.trainstore_version.c.version_num).limit(1).scalar_subquery().label("revision")
        number = select(writer.c.attempt).where(writer.c.uid == bindparam("_writer")).scalar_subquery().label("attempt")
        self._lock_run = backend.lock_rows(select(*shown, number, revision).where(run.c.uid == bindparam("_uid")))
        self._count_named = select(func.count()).where(run.c.name == bindparam("_name"))
        self._update_run = update(run).where(run.c.id == bindparam("_id"))
        orphans = (run.c.parent_uid == bindparam("_parent"), run.c.parent_run_id.is_(None))
        self._adopt_children = update(run).where(*orphans)
        self._update_writer = update(writer).where(writer.c.uid == bindparam("_uid"))
        self._advance = self._update_writer.where(writer.c.acked == bindparam("_low"))
        self._advance_and_beat = self._advance.values(heartbeat_at=backend.now())
        self._beat = self._update_writer.values(heartbeat_at=backend.now())
        self._close_writer = self._update_writer.where(writer.c.closed_at.is_(None)).values(closed_at=backend.now())
        self._load_attempts = select(*(attempt.c[name] for name in Attempt.__dataclass_fields__)).where(
            attempt.c.run_id == bindparam("_run")
        )
        self._insert_attempt = insert(attempt)
        self._update_attempt = update(attempt).where(
            attempt.c.run_id == bindparam("_run"), attempt.c.attempt == bindparam("_attempt")
        )
        hyperparam = models.hyperparam.c
        self._load_hyperparams = select(
            hyperparam.namespace, hyperparam.key, hyperparam.value, hyperparam.attempt
        ).where(hyperparam.run_id == bindparam("_run"))
        self._load_summaries = select(summary.c.metric, *(summary.c[name] for name in _SUMMARY_FIELDS)).where(
            summary.c.run_id == bindparam("_run")
        )

    # --- store, run -------------------------------------------------------------------------------------------------

    def store_uid(self, connection: Connection) -> str | None:
        """The uid in the one row of ``store``."""
        uid: str | None = connection.execute(select(self.models.store.c.uid)).scalar()
        return uid

    def lock_run(self, connection: Connection, uid: str, writer_uid: str | None = None) -> Row[Any] | None:
        """The run's row, locked until the transaction ends, with the attempt of a writer; None if there is no such run.

        Raises `SchemaError` if the schema revision changed since this connection was opened.
        """
        row = connection.execute(self._lock_run, {"_uid": uid, "_writer": writer_uid}).first()
        if row is not None and connection.info.setdefault("revision", row.revision) != row.revision:
            raise SchemaError(
                f"the schema of {self.backend.safe_url} was changed to revision {row.revision} meanwhile; start this "
                "process again with the trainstore that changed it"
            )
        return row

    def insert_run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Insert the run, unless another writer has just done so."""
        self.backend.insert_missing(connection, self.models.run, ("uid",), [values])

    def run_id(self, connection: Connection, uid: str) -> int | None:
        """The id of a run."""
        run = self.models.run.c
        found: int | None = connection.execute(select(run.id).where(run.uid == uid)).scalar()
        return found

    def link_parents(self, connection: Connection) -> None:
        """Give every run that waits for its parent the one that is here now."""
        run, parent = self.models.run, self.models.run.alias("parent_run")
        found = select(parent.c.id).where(parent.c.uid == run.c.parent_uid).scalar_subquery()
        waiting = (run.c.parent_run_id.is_(None), run.c.parent_uid.in_(select(parent.c.uid)))
        connection.execute(update(run).where(*waiting).values(parent_run_id=found))

    def count_named(self, connection: Connection, name: str) -> int:
        """How many runs have this name."""
        count: int = connection.execute(self._count_named, {"_name": name}).scalar_one()
        return count

    def adopt_children(self, connection: Connection, run_id: int, uid: str) -> None:
        """Give a run that has just arrived to those that were waiting for it as their parent."""
        connection.execute(self._adopt_children, {"_parent": uid, "parent_run_id": run_id})

    def run_record(self, connection: Connection, run_id: int) -> dict[str, Any]:
        """The columns of a run."""
        run = self.models.run
        return dict(connection.execute(select(run).where(run.c.id == run_id)).one()._mapping)

    def load_labels(self, connection: Connection, run_id: int) -> dict[str, Any]:
        """The name and the notes of a run."""
        run = self.models.run.c
        return dict(connection.execute(select(run.name, run.notes).where(run.id == run_id)).one()._mapping)

    def update_run(self, connection: Connection, run_id: int, values: Mapping[str, Any]) -> None:
        """Set columns of the run."""
        connection.execute(self._update_run, {"_id": run_id, **values})

    # --- writer -----------------------------------------------------------------------------------------------------

    def writer_acked(self, connection: Connection, uid: str) -> int | None:
        """The watermark: the number of the last record stored; None if the writer is unknown."""
        writer = self.models.writer.c
        acked: int | None = connection.execute(select(writer.acked).where(writer.uid == uid)).scalar()
        return acked

    def writer_heartbeat(self, connection: Connection, uid: str) -> datetime | None:
        """When the writer was last heard of, by the database's clock; None if it is closed or unknown."""
        writer = self.models.writer.c
        statement = select(writer.heartbeat_at).where(writer.uid == uid, writer.closed_at.is_(None))
        beat: datetime | None = connection.execute(statement).scalar()
        return beat

    def live_writers(self, connection: Connection, run_id: int) -> list[str]:
        """The processes that record a run now, as "process 7 on host"."""
        writer = self.models.writer.c
        open_ones = select(writer.host, writer.pid, writer.heartbeat_at).where(
            writer.run_id == run_id, writer.closed_at.is_(None), writer.heartbeat_at.is_not(None)
        )
        heard_after = self.now(connection) - LOST_AFTER
        rows = connection.execute(open_ones).all()
        return [f"process {pid} on {host}" for host, pid, heartbeat_at in rows if heartbeat_at > heard_after]

    def insert_writer(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Insert the writer, with nothing acknowledged yet, unless it is there."""
        self.backend.insert_missing(connection, self.models.writer, ("uid",), [{"acked": 0, **values}])

    def assign_writer(self, connection: Connection, uid: str, attempt: int) -> None:
        """Say which attempt the writer records."""
        connection.execute(self._update_writer, {"_uid": uid, "attempt": attempt})

    def beat_writer(self, connection: Connection, uid: str) -> None:
        """Renew the writer's heartbeat."""
        connection.execute(self._beat, {"_uid": uid})

    def close_writer(self, connection: Connection, uid: str) -> None:
        """Mark the writer as closed, unless it already is."""
        connection.execute(self._close_writer, {"_uid": uid})

    def reopen_writer(self, connection: Connection, uid: str) -> None:
        """Mark the writer as open."""
        connection.execute(self._update_writer, {"_uid": uid, "closed_at": None})

    def advance(self, connection: Connection, uid: str, low: int, high: int, *, heartbeat: bool) -> bool:
        """Move the watermark from ``low`` to ``high``; False if it stands elsewhere."""
        statement = self._advance_and_beat if heartbeat else self._advance
        moved = connection.execute(statement, {"_uid": uid, "_low": low, "acked": high}).rowcount
        return moved == 1

    # --- attempts ---------------------------------------------------------------------------------------------------

    def load_attempts(self, connection: Connection, run_id: int) -> AttemptTree:
        """The attempts of a run."""
        return AttemptTree(Attempt(*row) for row in connection.execute(self._load_attempts, {"_run": run_id}))

    def runs_of_attempts(self, connection: Connection, uids: Sequence[str]) -> set[str]:
        """The uids of the runs that these attempts belong to, of those attempts that are there."""
        run, attempt = self.models.run, self.models.attempt
        statement = select(run.c.uid).join_from(attempt, run).where(attempt.c.uid.in_(uids))
        return set(connection.execute(statement).scalars())

    def insert_attempt(self, connection: Connection, run_id: int, attempt: Attempt) -> None:
        """Insert an attempt with what its descendants know of it."""
        names = ("attempt", "uid", "resumed_from", "start_step", "end_step", "opened_at", "status")
        row = {"run_id": run_id, **{name: getattr(attempt, name) for name in names}}
        connection.execute(
            self._insert_attempt, row
        )  # a number that is taken is a fault, and must not pass for this one

    def describe_attempt(self, connection: Connection, run_id: int, number: int, facts: Mapping[str, Any]) -> None:
        """Set the columns that say where an attempt ran."""
        connection.execute(self._update_attempt, {"_run": run_id, "_attempt": number, **facts})

    def update_attempt(self, connection: Connection, run_id: int, attempt: Attempt) -> None:
        """Write what may change of an attempt. Always the same columns: each set of them is a statement to be made."""
        values = {name: getattr(attempt, name) for name in _ATTEMPT_CHANGES}
        connection.execute(self._update_attempt, {"_run": run_id, "_attempt": attempt.attempt, **values})

    # --- steps ------------------------------------------------------------------------------------------------------

    def load_steps(
        self, connection: Connection, run_id: int, attempt: int, steps: Sequence[int]
    ) -> dict[int, dict[str, Any]]:
        """The rows of an attempt that exist at these steps, by step."""
        table = self.models.step_log
        names = ("step", "logged_at", "epoch", "step_time", "metrics", "details")
        base = select(*(table.c[name] for name in names)).where(table.c.run_id == run_id, table.c.attempt == attempt)
        if max(steps) - min(steps) < 4 * len(steps):
            conditions = [table.c.step.between(min(steps), max(steps))]
        else:
            conditions = [table.c.step.in_(steps[i : i + _IN_LIMIT]) for i in range(0, len(steps), _IN_LIMIT)]
        return {
            row.step: dict(row._mapping)
            for condition in conditions
            for row in connection.execute(base.where(condition))
        }

    def upsert_steps(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write whole rows of ``step_log``."""
        self.backend.upsert(connection, self.models.step_log, _STEP_KEYS, rows)

    def append_steps(self, connection: Connection, batches: Iterable[Columns]) -> None:
        """Write whole rows of ``step_log`` that are not there."""
        self.backend.insert_new(connection, self.models.step_log, _STEP_KEYS, STEP_COLUMNS, batches)

    def current_steps(self, connection: Connection, run_id: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """(step, metrics) of every current row of a run, in order."""
        view = self.models.current_step_log.c
        statement = select(view.step, view.metrics).where(view.run_id == run_id).order_by(view.step)
        rows = connection.execute(statement.execution_options(yield_per=5_000))
        yield from ((step, metrics) for step, metrics in rows)

    def last_current_step(self, connection: Connection, run_id: int) -> int | None:
        """The highest current step of a run."""
        view = self.models.current_step_log.c
        step: int | None = connection.execute(select(func.max(view.step)).where(view.run_id == run_id)).scalar()
        return step

    # --- summaries --------------------------------------------------------------------------------------------------

    def load_summaries(self, connection: Connection, run_id: int) -> dict[str, Summary]:
        """The summaries of a run, by metric."""
        return {row[0]: Summary(*row[1:]) for row in connection.execute(self._load_summaries, {"_run": run_id})}

    def upsert_summaries(self, connection: Connection, run_id: int, summaries: Iterable[tuple[str, Summary]]) -> None:
        """Write summaries."""
        rows = [
            {"run_id": run_id, "metric": metric, **{name: getattr(summary, name) for name in _SUMMARY_FIELDS}}
            for metric, summary in sorted(summaries)
        ]
        self.backend.upsert(connection, self.models.metric_summary, ("run_id", "metric"), rows)

    def recompute_summaries(self, connection: Connection, run_id: int) -> None:
        """Make the summaries of a run those of its current steps, as the stored attempts say which these are."""
        before = self.load_summaries(connection, run_id)
        found = summarize(self.current_steps(connection, run_id))
        changed = {metric: found.get(metric, Summary()) for metric in before.keys() | found.keys()}
        self.upsert_summaries(
            connection,
            run_id,
            ((metric, summary) for metric, summary in changed.items() if before.get(metric) != summary),
        )

    # --- hyperparameters, events ------------------------------------------------------------------------------------

    def load_hyperparams(self, connection: Connection, run_id: int) -> dict[tuple[str, str], tuple[Any, int]]:
        """(value, attempt that set it) of every hyperparameter of a run, by (namespace, key)."""
        rows = connection.execute(self._load_hyperparams, {"_run": run_id})
        return {(namespace, key): (value, attempt) for namespace, key, value, attempt in rows}

    def load_tags(self, connection: Connection, run_id: int) -> dict[str, Any]:
        """The tags of a run, by name."""
        table = self.models.hyperparam.c
        rows = connection.execute(
            select(table.key, table.value).where(table.run_id == run_id, table.namespace == "tag")
        )
        return {row.key: row.value for row in rows}

    def upsert_hyperparams(
        self, connection: Connection, run_id: int, values: Mapping[tuple[str, str], tuple[Any, int]]
    ) -> None:
        """Write hyperparameters: (value, attempt that set it) by (namespace, key)."""
        rows = [
            {
                "run_id": run_id,
                "namespace": namespace,
                "key": key,
                "value": value,
                "number": float(value) if type(value) in (int, float) and isfinite(value) else None,
                "attempt": attempt,
            }
            for (namespace, key), (value, attempt) in values.items()
        ]
        self.backend.upsert(connection, self.models.hyperparam, ("run_id", "namespace", "key"), rows)

    def delete_tags(self, connection: Connection, run_id: int, names: Sequence[str]) -> None:
        """Delete tags of a run."""
        table = self.models.hyperparam
        for name in names:
            connection.execute(
                delete(table).where(table.c.run_id == run_id, table.c.namespace == "tag", table.c.key == name)
            )

    def load_events(
        self, connection: Connection, run_id: int, kinds: Sequence[str], since: datetime | None = None
    ) -> list[Row[Any]]:
        """(at, writer_uid, seq, kind, details) of a run's events of these kinds, from a time on."""
        table = self.models.event.c
        columns = (table.at, table.writer_uid, table.seq, table.kind, table.details)
        statement = select(*columns).where(table.run_id == run_id, table.kind.in_(kinds))
        return list(connection.execute(statement if since is None else statement.where(table.at >= since)))

    def insert_events(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert events that are not there yet."""
        self.backend.insert_missing(connection, self.models.event, ("run_id", "writer_uid", "seq"), rows)

    def now(self, connection: Connection) -> datetime:
        """The database's clock."""
        value: datetime = connection.execute(select(self.backend.now())).scalar_one()
        return value
