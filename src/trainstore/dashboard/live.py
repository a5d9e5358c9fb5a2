"""What is new since a page last asked: rows of its table, points of its curves.

A page asks every second, and says what it has: the version of its table, and for each run whose curves it draws the
generation of its columns (`columns`). Of what has not changed nothing is read and nothing is sent. A run that cannot be
brought up to date by a few points is answered with ``anew``: the page then fetches its curves as it did at first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainstore.dashboard import tables
from trainstore.dashboard.cells import numbers
from trainstore.dashboard.columns import Bring, Columns
from trainstore.dashboard.ids import Key, Metric, hyperparam_ids, keys_of, metric_ids
from trainstore.dashboard.limits import check_number
from trainstore.dashboard.told import Told
from trainstore.dashboard.versions import Changes, Versions
from trainstore.errors import InvalidArgumentError
from trainstore.queries.field_names import SUMMARIES
from trainstore.queries.names import Name
from trainstore.queries.reader import IN_LIMIT, Reader
from trainstore.queries.run_source import liveness, run_source
from trainstore.queries.runs import run_count
from trainstore.store import TrainStore

MOST_ROWS = 500  # of a table in one answer; the whole table is as quick then
MOST_POINTS = 2_000  # of one curve; buckets say it with fewer
MOST_COUNTS = 100  # filters whose number of runs is remembered


@dataclass(frozen=True)
class Has:
    """What a page has of a run: the generation that it has drawn and the status that it shows; None for nothing."""

    generation: int | None
    status: str | None


class Live:
    """The answers to a page that asks again and again.

    Args:
        store: Opened with ``read_only=True``; any thread may call.
        columns: Its runs in memory.
        versions: Those that tables are sent with.
    """

    def __init__(self, store: TrainStore, columns: Columns, versions: Versions) -> None:
        self._store, self._columns, self._versions = store, columns, versions
        self._lock = threading.Lock()
        self._up_to_date: dict[str, int] = {}  # by uid the number of the version whose steps are in memory
        self._counts: dict[tuple[str | None, str | None], tuple[object, int]] = {}
        self._told = Told(versions)
        self._ids: tuple[int, frozenset[str]] = (-1, frozenset())
        self._keys: tuple[int, tuple[str, ...], Mapping[str, Key]] = (-1, (), {})

    def answer(
        self,
        *,
        version: object = None,
        project: str | None = None,
        q: str | None = None,
        columns: Sequence[str] | None = None,
        runs: Mapping[str, Any] | None = None,
        metrics: Sequence[str] = (),
        x: str = "step",
    ) -> dict[str, Any]:
        """The answer ``live``: the version now, how many names and running runs there are, and what is new.

        Args:
            version: Of the page's table; of none, or of another server's, everything is new.
            project: The table has only runs of this project.
            q: And only those of this filter.
            columns: The ids of its columns; None: there is no table, and no count of its runs.
            runs: Uid → ``{"generation": …, "status": …}`` as answered last, or as the curves' heads say; what is
                missing is answered in any case.
            metrics: The curves that are drawn.
            x: Over what.

        Raises:
            FilterError: ``q`` or ``columns`` cannot be read.
            InvalidArgumentError: ``runs`` has another form, or there is too much of something.
        """
        asked = _checked(runs or {}, metrics)
        with self._columns.following(asked) as bring, self._store.snapshot() as snapshot:
            reader = snapshot.reader
            now = self._versions.of(reader)
            changes = self._versions.since(version)
            table = count = None
            shown: dict[str, str | None] = {}
            if columns is not None:
                table, shown = self._table(reader, changes, (version, now), project=project, q=q, columns=columns)
                count = self._count(reader, now, project, q)
            changed = asked.keys() if changes is None else asked.keys() & {*changes.runs, *changes.gone}
            wanted = {*changed, *(uid for uid, has in asked.items() if has.status is None)}
            statuses = {uid: shown.get(uid) for uid in wanted}
            statuses |= _statuses(reader, [uid for uid, status in statuses.items() if status is None])
            self._bring_up_to_date(bring, reader, asked, self._versions.number_in(now))
        found: dict[str, dict[str, Any]] = {}
        for uid, has in asked.items():
            if uid in statuses and statuses[uid] is None:
                found[uid] = {"gone": True}
                continue
            news = self._news(uid, has, metrics, x, changed=uid in changed)
            status = statuses.get(uid) or has.status
            if news or status != has.status:
                found[uid] = {"status": status, "anew": False, "curves": {}, **news}
        told = {"version": now, "names": self._versions.names_count, "running": self._versions.running}
        return {**told, "count": count, "table": table, "runs": found}

    def _table(
        self,
        reader: Reader,
        changes: Changes | None,
        versions: tuple[object, str],
        *,
        project: str | None,
        q: str | None,
        columns: Sequence[str],
    ) -> tuple[dict[str, Any] | None, dict[str, str | None]]:
        """The rows that are new or have changed between two versions, and their statuses.

        None if there are none, ``anew`` if there are too many to tell.
        """
        if changes is None or len(changes.runs) > MOST_ROWS:
            return {"anew": True}, {}
        if not changes.runs and not changes.gone:
            return None, {}
        shown: list[dict[str, Any]] = []
        if changes.runs:
            keys = self._keys_of(reader, columns)
            wanted = list(columns) or tables.ALWAYS
            shown = tables.runs(reader, project=project, q=q, columns=wanted, only=changes.runs, keys=keys)["columns"]
        by_id = {column["id"]: column["values"] for column in shown}
        if tables.EVERY in columns and shown:
            # A run may have had what none of these has any more: a tag, or a metric that a resume has cut away.
            lacking = sorted(self._every_id(reader) - by_id.keys())
            nothing = [None] * len(by_id["uid"])
            shown += [{"id": one, "kind": "text", "values": nothing} for one in lacking]
        there = by_id.get("uid", [])
        # A run that changed may have left the filter.
        gone = [*changes.gone, *(uid for uid in changes.runs if uid not in set(there))]
        numbers = [self._versions.number_in(version) for version in versions]
        news = self._told.news(tuple(columns), shown, *numbers) if there else []
        return {"columns": news, "gone": gone}, dict(zip(there, by_id.get("status", []), strict=True))

    def _keys_of(self, reader: Reader, columns: Sequence[str]) -> Mapping[str, Key]:
        """What the ids of columns name: the same as long as no names are new."""
        names, asked = self._versions.names_count, tuple(columns)
        with self._lock:
            known = self._keys
        if known[:2] == (names, asked):
            return known[2]
        keys = keys_of(reader, (one for one in asked if one not in tables.FACTS and one != tables.EVERY))
        with self._lock:
            self._keys = (names, asked, keys)
        return keys

    def _every_id(self, reader: Reader) -> frozenset[str]:
        """The ids of all columns of metrics and hyperparameters."""
        names = self._versions.all_names()
        with self._lock:
            number, ids = self._ids
        if number != len(names):
            metrics = [Metric(name[0], summary) for name in names if len(name) == 1 for summary in SUMMARIES]
            hyperparams = [Name(*name) for name in names if len(name) == 2]
            ids = frozenset([*metric_ids(reader, metrics), *hyperparam_ids(reader, hyperparams)])
            with self._lock:
                self._ids = (len(names), ids)
        return ids

    def _count(self, reader: Reader, version: str, project: str | None, q: str | None) -> int:
        """How many runs the table has: with a filter, that can change with every version."""
        if not project and not q:
            return self._versions.shape[0]
        state = version if q else self._versions.shape
        with self._lock:
            known = self._counts.get((project, q))
        if known is not None and known[0] == state:
            return known[1]
        count = run_count(reader, project=project or None, where=q or None)
        with self._lock:
            while len(self._counts) >= MOST_COUNTS:
                del self._counts[next(iter(self._counts))]
            self._counts[project, q] = (state, count)
        return count

    def _bring_up_to_date(self, bring: Bring, reader: Reader, asked: Iterable[str], number: int) -> None:
        """Bring the columns of these runs up to date where they have changed."""
        versions = self._versions
        ids = {uid: versions.id_of(uid) for uid in asked}
        with self._lock:
            stale = {uid: run for uid, run in ids.items() if versions.changed_in(uid) > self._up_to_date.get(uid, -1)}
        done = bring(reader, stale) if stale else set()
        with self._lock:
            for uid in done:
                if ids[uid] is not None:  # else it may be anything that somebody sends
                    self._up_to_date[uid] = max(number, self._up_to_date.get(uid, 0))

    def _news(self, uid: str, has: Has, metrics: Sequence[str], x: str, *, changed: bool) -> dict[str, Any]:
        """What is new in the curves of a run; nothing if nothing is."""
        known = self._columns.known(uid)
        if known is None:
            # Not in memory (any more), so it has to be read; if nothing is drawn yet, once there may be something.
            # Unless the page has drawn what it was when it made room for others.
            if changed:
                return {"anew": True}
            drawn = has.generation is None or self._columns.is_forgotten_in(uid, has.generation)
            return {} if drawn else {"anew": True}
        anew = {"anew": True, "generation": known.generation, "last_step": known.last_step}
        if has.generation is None:
            return anew if any(metric in known.metrics for metric in metrics) else {}
        if has.generation == known.generation:
            return {}
        tail = known.since(has.generation, metrics, x)
        if tail is None or any(len(across) > MOST_POINTS for across, _ in tail.curves.values()):
            return anew
        news: dict[str, Any] = {
            "generation": known.generation,
            "last_step": known.last_step,
            "curves": {
                name: {"x": across.tolist(), "y": numbers(values.tolist())}
                for name, (across, values) in tail.curves.items()
                if len(across)
            },
        }
        return news if np.isinf(tail.low) else {**news, "replaces_from": tail.low}


def _checked(runs: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, Has]:
    check_number("runs", "curves_runs", runs)
    check_number("metrics", "curves_metrics", metrics)
    return {uid: _has(uid, value) for uid, value in runs.items()}


def _has(uid: str, value: Any) -> Has:
    generation = value.get("generation") if isinstance(value, Mapping) else value
    status = value.get("status") if isinstance(value, Mapping) else None
    if (
        not isinstance(value, Mapping)
        or not (generation is None or type(generation) is int)
        or not (status is None or isinstance(status, str))
    ):
        raise InvalidArgumentError(
            f'runs: {value!r} is not what a page has of run {uid}; send {{"generation": 1, "status": "running"}}'
        )
    return Has(generation, status)


def _statuses(reader: Reader, uids: Sequence[str]) -> dict[str, str | None]:
    """The status of each run as it is shown; None if there is no such run."""
    found: dict[str, str | None] = dict.fromkeys(uids)
    if uids:
        run, source = reader.models.run.c, run_source(reader.models)
        statement = source.statement.with_only_columns(run.uid, source.status, maintain_column_froms=True)
        for start in range(0, len(uids), IN_LIMIT):
            some = statement.where(run.uid.in_(uids[start : start + IN_LIMIT]))
            found |= dict(map(tuple, reader.rows(some, liveness(reader))))
    return found
