"""Rows straight into the tables: what a query reads, without the recording that usually writes it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert

from trainstore.backends import Backend, open_backend
from trainstore.models import OPEN_END, Models, models_for
from trainstore.queries import Reader
from trainstore.values import canonical, number_of

START = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


class Builder:
    """Inserts runs with all that belongs to them. Uids count up, so that two databases hold the same."""

    def __init__(self, url: str, prefix: str = "") -> None:
        self.backend: Backend = open_backend(url)
        self.engine: Engine = self.backend.create_engine()
        self.models: Models = models_for(prefix)
        self._uids = (str(uuid.UUID(int=number)) for number in range(1, 10**9))

    def close(self) -> None:
        """Let the database go."""
        self.engine.dispose()
        self.backend.close()

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """What a query takes first."""
        with self.backend.reading(self.engine) as connection:
            yield Reader(connection, self.models, self.backend)

    def insert(self, table: str, *rows: Mapping[str, Any]) -> Any:
        """Insert rows as they are; the key of the last one."""
        key: Any = None
        with self.engine.begin() as connection:
            for row in rows:
                key = connection.execute(insert(getattr(self.models, table)).values(dict(row))).inserted_primary_key
        return key

    def run(
        self,
        name: str = "run",
        *,
        hyperparams: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        steps: Mapping[int, Mapping[str, Any]] | None = None,
        minutes: float = 0,
        heartbeat_age: float | None = None,
        opened_at: datetime | None = None,
        closed: bool = False,
        **columns: Any,
    ) -> str:
        """A run with one attempt and its writer; its uid.

        ``hyperparams`` by qualified name ("hp.lr"); ``metrics`` by name: the last value, or the columns of
        ``metric_summary``; ``minutes``: when it started, after START; ``heartbeat_age`` in seconds (None: no row of
        its writer).
        """
        uid, attempt_uid = next(self._uids), next(self._uids)
        started = START + timedelta(minutes=minutes)
        values = {"project": "default", "status": "finished", "started_at": started, "source": "python", **columns}
        (run_id,) = self.insert("run", {"uid": uid, "name": name, **values})
        self.attempt(run_id, 1, uid=attempt_uid, opened_at=opened_at or started, status=values["status"])
        if heartbeat_age is not None:
            self.writer(run_id, attempt_uid, heartbeat_age, closed=closed)
        for qualified, value in (hyperparams or {}).items():
            namespace, _, key = qualified.partition(".")
            self.hyperparam(run_id, namespace, key, value)
        for metric, value in (metrics or {}).items():
            self.insert("metric_summary", {"run_id": run_id, "metric": metric, **_summary(value)})
        for step, logged in (steps or {}).items():
            self.step(run_id, step, logged)
        return uid

    def attempt(self, run_id: int, number: int, **columns: Any) -> str:
        """An attempt; its uid."""
        values = {
            "uid": columns.get("uid") or next(self._uids),
            "start_step": -1,
            "end_step": OPEN_END,
            "opened_at": START,
            "status": "running",
            "host": "node1",
            "command": "train.py --lr 1",
            "git_commit": "c0ffee",
            "git_dirty": False,
            "versions": {"python": "3.11"},
            **columns,
        }
        self.insert("attempt", {"run_id": run_id, "attempt": number, **values})
        return str(values["uid"])

    def writer(self, run_id: int, uid: str, heartbeat_age: float, *, closed: bool = False) -> None:
        """The writer that opened an attempt, heard of so many seconds ago."""
        now = datetime.now(UTC)
        self.insert("writer", {
            "uid": uid, "run_id": run_id, "attempt": 1, "rank": 0, "host": "node1", "username": "ann", "pid": 7,
            "started_at": START, "closed_at": now if closed else None, "acked": 1,
            "heartbeat_at": now - timedelta(seconds=heartbeat_age),
        })  # fmt: skip

    def hyperparam(self, run_id: int, namespace: str, key: str, value: Any) -> None:
        """One hyperparameter, as a flush stores it."""
        kept = canonical(value)
        number = number_of(kept)
        finite = number if number is not None and math.isfinite(number) else None
        row = {"run_id": run_id, "namespace": namespace, "key": key, "value": kept, "number": finite, "attempt": 1}
        self.backend_insert("hyperparam", ("run_id", "namespace", "key"), row)

    def step(self, run_id: int, step: int, metrics: Mapping[str, Any], attempt: int = 1, **columns: Any) -> None:
        """One row of step_log; keys epoch and step_time go into the columns of that name."""
        kept = {name: canonical(value) for name, value in metrics.items()}
        row = {
            "run_id": run_id,
            "step": step,
            "attempt": attempt,
            "logged_at": START + timedelta(seconds=step % 10**6),
            "epoch": kept.pop("epoch", None),
            "step_time": kept.pop("step_time", None),
            "details": None,
            **columns,
            "metrics": kept,
        }
        self.backend_insert("step_log", ("run_id", "step", "attempt"), row)

    def backend_insert(self, table: str, keys: tuple[str, ...], row: Mapping[str, Any]) -> None:
        """Insert by the backend's own upsert, as the writer does."""
        with self.engine.begin() as connection:
            self.backend.upsert(connection, getattr(self.models, table), keys, [row])

    def run_id(self, uid: str) -> int:
        """The id of a run."""
        from trainstore.queries import resolve_run

        with self.reader() as reader:
            return resolve_run(reader, uid).id


def _summary(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        base = dict.fromkeys(("min", "min_step", "max", "max_step", "last", "last_step"))
        return {"count": 1, "nonfinite_count": 0, **base, **value}
    finite = math.isfinite(value)
    best = {"min": value, "min_step": 0, "max": value, "max_step": 0} if finite else {}
    last = None if math.isnan(value) else value
    return _summary({"nonfinite_count": int(not finite), **best, "last": last, "last_step": 0})
