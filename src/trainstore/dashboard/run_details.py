"""One run in full: the answer ``runs/UID``."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from sqlalchemy import select

from trainstore.dashboard.cells import encoded, number, plain
from trainstore.dashboard.found import find_run
from trainstore.dashboard.ids import hyperparam_ids
from trainstore.models import OPEN_END
from trainstore.queries import RunRecord, get_run
from trainstore.queries.columns import sort_key
from trainstore.queries.frames import parse
from trainstore.queries.names import Name
from trainstore.queries.reader import Reader, RunKey
from trainstore.queries.run_source import alive, displayed_status, liveness, run_source
from trainstore.queries.steps import pace
from trainstore.queries.training_arguments import is_default

MOST_EVENTS = 10_000


def run_detail(reader: Reader, run: str) -> dict[str, Any]:
    """The answer ``runs/UID``; of its events the last `MOST_EVENTS`. Errors as for `found.find_run`."""
    key = find_run(reader, run)
    record = get_run(reader, key.uid)
    speed = pace(reader, key.uid)
    facts = _hyperparams(reader, key, has_defaults=record.source == "transformers")
    detail = {
        "uid": key.uid,
        "id": key.id,
        "name": record.name,
        "project": record.project,
        "status": record.status,
        "started": record.started_at.timestamp(),
        "ended": _time(record.ended_at),
        "duration": None if record.duration is None else record.duration.total_seconds(),
        "last_step": record.last_step,
        "notes": record.notes,
        "tags": plain(record.tags),
        "source": record.source,
        "error": record.error,
        "model_name": record.model_name,
        "steps_per_second": speed.steps_per_second,
        "step_interval": speed.interval,
        "last_step_at": _time(speed.last_at),
        "parent": _parent(reader, record.parent_uid, record.parent_step),
        "children": _children(reader, key),
    }
    return {
        "run": detail,
        "etag": etag_of(record),
        "attempts": _attempts(reader, key),
        "events": _events(reader, key),
        "hyperparams": facts,
        "summary": _summary(reader, key),
        "writers": _writers(reader, key),
    }


def etag_of(record: RunRecord) -> str:
    """A text that changes with every edit of a run."""
    editable = [record.uid, record.name, record.notes, record.tags]
    return hashlib.sha256(orjson.dumps(plain(editable), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _hyperparams(reader: Reader, key: RunKey, *, has_defaults: bool) -> list[dict[str, Any]]:
    """Every value with its id; ``usual``: nobody chose it, it is a default of transformers' TrainingArguments."""
    table = reader.models.hyperparam.c
    statement = select(table.namespace, table.key, reader.backend.json_text(table.value)).where(table.run_id == key.id)
    rows = sorted(reader.rows(statement), key=lambda row: sort_key(row[0], row[1]))
    ids = hyperparam_ids(reader, [Name(namespace, name) for namespace, name, _ in rows])
    facts = []
    for (namespace, name, text), one in zip(rows, ids, strict=True):
        value = parse(text)
        kind, _ = encoded([value])
        usual = has_defaults and namespace == "hp" and (value is None or is_default(name, value))
        fact = {"namespace": namespace, "key": name, "id": one, "value": plain(value), "kind": kind}
        facts.append(fact | {"usual": True} if usual else fact)
    return facts


def _attempts(reader: Reader, key: RunKey) -> list[dict[str, Any]]:
    """The attempts in the order in which they were opened; ``current`` are those of which something is shown."""
    models, json = reader.models, reader.backend.json_text
    a, writer = models.attempt.c, models.writer
    names = ("attempt", "resumed_from", "start_step", "end_step", "last_step", "opened_at", "closed_at", "error")
    where = ("git_commit", "git_dirty", "command", "host")
    shown = (displayed_status(a.status, a.opened_at, writer), json(a.versions), json(a.changed_hyperparams))
    statement = (
        select(*(a[name] for name in (*names, *where)), *shown)
        .join_from(models.attempt, writer, writer.c.uid == a.uid, isouter=True)
        .where(a.run_id == key.id)
        .order_by(a.opened_at, a.uid)
    )
    source = run_source(models)
    head = source.statement.with_only_columns(source.head.c.attempt, maintain_column_froms=True)
    current = reader.rows(head.where(models.run.c.id == key.id))[0][0]
    rows = reader.rows(statement, liveness(reader))
    parents = {row.attempt: row.resumed_from for row in rows}
    lineage: set[int] = set()
    while current is not None and current not in lineage:
        lineage.add(current)
        current = parents.get(current)
    found = []
    for row in rows:
        *plain_values, status, versions, changed = row
        values = dict(zip((*names, *where), plain_values, strict=True))
        opened, closed, end = values.pop("opened_at"), values.pop("closed_at"), values.pop("end_step")
        found.append(
            {
                **values,
                "end_step": None if end == OPEN_END else end,
                "opened": opened.timestamp(),
                "closed": _time(closed),
                "status": status,
                "versions": plain(parse(versions)),
                "changed": plain(parse(changed)),
                "current": values["attempt"] in lineage and end > values["start_step"],
            }
        )
    return found


def _events(reader: Reader, key: RunKey) -> list[dict[str, Any]]:
    e, writer = reader.models.event.c, reader.models.writer
    statement = (
        select(e.at, e.step, e.kind, writer.c.attempt, reader.backend.json_text(e.details))
        .join_from(reader.models.event, writer, writer.c.uid == e.writer_uid, isouter=True)
        .where(e.run_id == key.id)
        .order_by(e.at.desc(), e.writer_uid.desc(), e.seq.desc())
        .limit(MOST_EVENTS)
    )
    return [
        {"at": at.timestamp(), "step": step, "kind": kind, "attempt": attempt, "details": plain(parse(details))}
        for at, step, kind, attempt, details in reversed(reader.rows(statement))
    ]


def _summary(reader: Reader, key: RunKey) -> list[dict[str, Any]]:
    s = reader.models.metric_summary.c
    names = ("metric", "count", "nonfinite_count", "min", "min_step", "max", "max_step", "last", "last_step")
    rows = reader.rows(select(*(s[name] for name in names)).where(s.run_id == key.id, s.count > 0))
    found = []
    for row in sorted(rows, key=lambda row: row[0]):
        values = dict(zip(names, row, strict=True))
        last = float("nan") if values["last"] is None and values["last_step"] is not None else values["last"]
        values["nonfinite"] = values.pop("nonfinite_count")
        found.append(values | {"last": number(last)})
    return found


def _writers(reader: Reader, key: RunKey) -> list[dict[str, Any]]:
    models = reader.models
    w = models.writer.c
    statement = (
        select(w.rank, w.host, w.pid, w.attempt, w.started_at, w.closed_at, w.heartbeat_at, alive(models.writer))
        .where(w.run_id == key.id)
        .order_by(w.started_at, w.rank, w.uid)
    )
    return [
        {
            "rank": rank,
            "host": host,
            "pid": pid,
            "attempt": attempt,
            "started": started.timestamp(),
            "closed": _time(closed),
            "heartbeat": _time(beat),
            "alive": is_alive,
        }
        for rank, host, pid, attempt, started, closed, beat, is_alive in reader.rows(statement, liveness(reader))
    ]


def _parent(reader: Reader, uid: str | None, step: int | None) -> dict[str, Any] | None:
    if uid is None:
        return None
    run = reader.models.run.c
    name = reader.connection.execute(select(run.name).where(run.uid == uid)).scalar()
    return {"uid": uid, "name": name, "step": step}


def _children(reader: Reader, key: RunKey) -> list[dict[str, Any]]:
    """The runs that began from this run's checkpoints, in the order in which they started."""
    run = reader.models.run.c
    statement = select(run.uid, run.name, run.parent_step).where(run.parent_uid == key.uid)
    rows = reader.rows(statement.order_by(run.started_at, run.id))
    return [{"uid": uid, "name": name, "step": step} for uid, name, step in rows]


def _time(value: Any) -> float | None:
    return None if value is None else value.timestamp()
