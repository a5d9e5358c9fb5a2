"""What ``trainstore doctor`` checks, and the findings; some of them also for a store that is open.

Nothing is changed: no store is created, no schema upgraded, no journal delivered. So `examine` opens no ``TrainStore``,
and what needs no database is checked even if the database cannot be opened.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Generator, Iterator, Sequence
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from trainstore import __version__, queries, schema
from trainstore.backends import Backend, open_backend
from trainstore.backends.health import Finding, check_place, check_private
from trainstore.display import duration_text
from trainstore.errors import SchemaError, TrainStoreError
from trainstore.models import LOST_AFTER, Models, models_for
from trainstore.queries import Reader
from trainstore.queries.unsent import unsent
from trainstore.recording.deletion import deleted_runs
from trainstore.recording.journal import ASIDE, JournalPlaces, hostname, is_live, last_record
from trainstore.recording.statements import Statements
from trainstore.recording.summary import summarize
from trainstore.transfer.reading import damages_in

LIBRARIES = ("sqlalchemy", "alembic", "pandas", "psycopg", "transformers", "torch")
UNSENT_SINCE = timedelta(days=7)
STEPS_BY_DEFAULT = 20_000  # read to recompute summaries, without --full


def examine(url: str, prefix: str, *, full: bool) -> Iterator[Finding]:
    """Every finding, in the order in which they are made."""
    yield from _versions()
    try:
        models = models_for(prefix)
        backend = open_backend(url)
    except TrainStoreError as error:
        yield Finding("problem", "store", str(error))
        return
    yield _named(backend, models)
    checks = _Checks(backend, models, full=full)
    try:
        yield from _until_error("place", backend.inspect_place())
        yield from _until_error("database", checks.database())
        yield from _until_error("journals", checks.journals())
    finally:
        backend.close()


class SchemaState(NamedTuple):
    """What was found of a schema, and whether the store can be read with it."""

    findings: Sequence[Finding]
    is_readable: bool


def examine_schema(backend: Backend, models: Models, engine: Engine) -> SchemaState:
    """What `examine_open` has to know of the schema. It connects by itself, so it is asked before the snapshot."""
    readable = False

    def checked() -> Iterator[Finding]:
        nonlocal readable
        readable = yield from _Checks(backend, models, full=False).schema(engine)

    findings = list(_until_error("database", checked()))
    return SchemaState(findings, readable)


def examine_open(reader: Reader, state: SchemaState) -> Iterator[Finding]:
    """What can be said at once of a store that is open: without its steps, and without its file's integrity.

    Args:
        reader: Of one snapshot.
        state: Of the store's schema.
    """
    backend, models = reader.backend, reader.models
    yield Finding("ok", "trainstore", __version__)
    yield _named(backend, models)
    checks = _Checks(backend, models, full=False)
    yield from _until_error("place", backend.inspect_place())
    yield from state.findings
    if state.is_readable:
        yield from _until_error("database", checks.at_once(reader.connection))
    yield from _until_error("journals", checks.journals())


class Waiting(NamedTuple):
    """What ended processes of this machine have left in their journals."""

    journals: int
    records: int


def waiting(reader: Reader) -> Waiting:
    """The journals that ``trainstore recover`` would deliver, and how many records they hold."""
    backend, models = reader.backend, reader.models
    if backend.in_memory:
        return Waiting(0, 0)
    statements = Statements(models, backend)
    uid = statements.store_uid(reader.connection)
    records = []
    for folder, meta in JournalPlaces(backend, models.prefix).journals(uid):
        if meta.get("host") == hostname() and not is_live(folder):
            acked = statements.writer_acked(reader.connection, folder.name) or 0
            records.append(max(last_record(folder, meta) - acked, 0))
    return Waiting(len(records), sum(records))


def _named(backend: Backend, models: Models) -> Finding:
    prefix = f", prefix {models.prefix}" if models.prefix else ""
    return Finding("ok", "store", f"{backend.safe_url} ({backend.name}{prefix})")


def _until_error(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings before an error, and the error as one more."""
    try:
        yield from findings
    except (TrainStoreError, OSError) as error:
        yield Finding("problem", check, str(error))
    except SQLAlchemyError as error:
        # Not the error's text: it may contain a URL or a row.
        yield Finding("problem", check, f"the database reported an error ({type(error).__name__})")


def _versions() -> Iterator[Finding]:
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()}, {sys.executable}")
    yield Finding("ok", "trainstore", __version__)
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    yield Finding("ok", "libraries", ", ".join(found))


class _Checks:
    """The checks of one store."""

    def __init__(self, backend: Backend, models: Models, *, full: bool) -> None:
        self._backend = backend
        self._models = models
        self._full = full
        self._places = JournalPlaces(backend, models.prefix)
        self._statements = Statements(models, backend)
        self._store_uid: str | None = None  # until the database was read

    # --- The database ------------------------------------------------------------------------------------------------

    def database(self) -> Iterator[Finding]:
        """Schema, integrity, runs and summaries, all read at the same moment."""
        backend, models = self._backend, self._models
        if not backend.exists():
            fix = "name one with --store or TRAINSTORE_URL, or record a run"
            yield Finding("problem", "store", "there is no store", fix)
            return
        engine = backend.create_engine()
        try:
            if not (yield from self.schema(engine)):
                return
            with backend.snapshot(engine) as connection:
                self._store_uid = self._statements.store_uid(connection)
                yield from backend.inspect_size(connection, models)
                yield from backend.inspect_database(connection, models)
                if not (yield from self._values(connection)):
                    return  # queries fail at them
                yield from self._runs(connection)
                yield from self._summaries(connection)
                yield from self._missing_runs(connection)
                yield from self._unsent(connection)
        finally:
            engine.dispose()

    def at_once(self, connection: Connection) -> Iterator[Finding]:
        """What of this takes no reading of steps, nor of the whole file, if the schema can be read."""
        self._store_uid = self._statements.store_uid(connection)
        yield from self._backend.inspect_size(connection, self._models)
        yield from self._runs(connection)
        yield from self._missing_runs(connection)
        yield from self._unsent(connection)

    def schema(self, engine: Engine) -> Generator[Finding, None, bool]:
        """The schema's version and its tables; whether it can be read."""
        found = schema.current(engine, self._backend, self._models)
        if found is None:
            yield Finding("problem", "schema", "the database has none", "create it with: trainstore db upgrade")
            return False
        try:
            differences = schema.check(engine, self._backend, self._models)
        except SchemaError as error:
            yield Finding("problem", "schema", str(error))
            return False
        for difference in differences:
            fix = "another program changed it: undo the change, or restore a backup"
            yield Finding("problem", "schema", difference, fix)
        if not differences:
            yield Finding("ok", "schema", f"{found}, as this version of trainstore needs it")
        return True

    def _values(self, connection: Connection) -> Generator[Finding, None, bool]:
        """Whether values are what their columns are for, which PostgreSQL sees to; the steps of the newest runs."""
        if not self._backend.keeps_rows:
            return True
        damages, all_steps = damages_in(
            connection, self._models, self._backend, None if self._full else STEPS_BY_DEFAULT
        )
        if damages:
            some = "; ".join(f"run {uid}: {why}" for uid, why in list(damages.items())[:5])
            fix = "put the values right with SQL, restore a copy, or bring all other runs into a new store by a merge"
            yield Finding("problem", "values", f"{some}{' …' if len(damages) > 5 else ''}", fix)
        else:
            steps = "" if all_steps else ", the steps of the newest runs; --full checks all"
            yield Finding("ok", "values", f"can be read{steps}")
        return not damages

    def _runs(self, connection: Connection) -> Iterator[Finding]:
        """How many there are, by status; the lost ones by name."""
        frame = queries.list_runs(Reader(connection, self._models, self._backend), hyperparams=[], metrics=[])
        counts = ", ".join(f"{count} {status}" for status, count in frame["status"].value_counts().items())
        yield Finding("ok", "runs", f"{len(frame)}{f': {counts}' if counts else ''}")
        lost = frame[frame["status"] == "lost"]
        if len(lost):
            named = ", ".join(f"{name} ({uid})" for name, uid in zip(lost["name"][:5], lost["uid"][:5], strict=True))
            yield Finding(
                "warning",
                "runs",
                f"{len(lost)} lost (the process ended, or was not heard from for {LOST_AFTER.seconds} s): "
                f"{named}{' …' if len(lost) > 5 else ''}",
                "resume them, end them with: trainstore close, or delete them with: trainstore rm",
            )

    def _summaries(self, connection: Connection) -> Iterator[Finding]:
        """Whether ``metric_summary`` matches the steps: of all runs, or only of the newest."""
        run = self._models.run.c
        runs = connection.execute(select(run.id, run.uid).order_by(run.id.desc())).all()
        read = checked = 0
        wrong = []
        for run_id, uid in runs:
            if not self._full and read >= STEPS_BY_DEFAULT:
                break
            matches, steps = self._summary_matches(connection, run_id)
            if not matches:
                wrong.append(uid)
            read += steps
            checked += 1
        if wrong:
            text = f"do not match the steps of {len(wrong)} of {checked} runs: {', '.join(wrong[:5])}"
            fix = "another program changed steps or summaries: restore a backup"
            yield Finding("problem", "summaries", text, fix)
        elif checked == len(runs):
            yield Finding("ok", "summaries", "match the steps of all runs")
        else:
            text = f"match the steps of the newest {checked} of {len(runs)} runs; --full checks all"
            yield Finding("ok", "summaries", text)

    def _summary_matches(self, connection: Connection, run_id: int) -> tuple[bool, int]:
        """Whether a run's stored summaries equal recomputed ones, and the number of steps read for that."""
        read = 0

        def counted() -> Iterator[tuple[int, dict[str, Any]]]:
            nonlocal read
            for row in self._statements.current_steps(connection, run_id):
                read += 1
                yield row

        recomputed = summarize(counted())
        stored = self._statements.load_summaries(connection, run_id)
        return {name: summary for name, summary in stored.items() if summary.count} == recomputed, read

    def _missing_runs(self, connection: Connection) -> Iterator[Finding]:
        """Journals whose run was in the store once and was not deleted: the database may be an older copy."""
        missing = {
            folder: str(meta.get("run_uid"))
            for folder, meta in self._places.journals(self._store_uid)
            if meta.get("seen") and self._statements.writer_acked(connection, folder.name) is None
        }
        deleted = deleted_runs(connection, self._models, missing.values())
        for folder, uid in missing.items():
            if uid not in deleted:
                yield Finding(
                    "warning",
                    "journals",
                    f"run {uid} of {folder} was in the store and is missing now, but was not deleted: the file was "
                    "copied or moved without its -wal, or is an older one",
                    "copy the -wal of its old place too, or restore a newer backup",
                )

    def _unsent(self, connection: Connection) -> Iterator[Finding]:
        """Alerts and ends of runs that were to be sent and were not: of the last week, as nobody sends them again."""
        now = self._statements.now(connection)
        lost = unsent(connection, self._models, now, now - UNSENT_SINCE)
        if lost:
            newest = lost[0]
            text = (
                f"{len(lost)} not sent in the last {UNSENT_SINCE.days} days: the process that was to send was killed, "
                "the receiver did not take it, or the database did not hear that it did; the newest of "
                f"{newest.run_name} ({newest.run_uid}), {duration_text(now - newest.claimed_at)} ago"
            )
            yield Finding("warning", "alerts", text, "look: trainstore show; try the address: trainstore notify test")

    # --- Journals ----------------------------------------------------------------------------------------------------

    def journals(self) -> Iterator[Finding]:
        """This store's journals on this machine: where they are, whether their processes run, who may read them."""
        if self._backend.in_memory:
            return
        root = self._places.root()
        existing = next(place for place in (root, *root.parents) if os.path.exists(place))
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            yield Finding(
                "problem",
                "journals",
                f"this user may not write into {existing}, so no journal can be kept in {root}",
                "set TRAINSTORE_JOURNAL_DIR to a folder on a local disk that this user may write to",
            )
        yield from check_place("journals", root, "set TRAINSTORE_JOURNAL_DIR to a folder on a local disk")
        by_state: dict[tuple[Path, str], list[Path]] = {}
        for folder, meta in self._places.journals(self._store_uid):
            here = meta.get("host") == hostname()
            state = "live" if is_live(folder) else "ended" if here else f"of {meta.get('host')}"
            by_state.setdefault((folder.parent, state), []).append(folder)
            yield from check_private("journals", folder)
        for (parent, state), folders in sorted(by_state.items()):
            yield _in_state(parent, state, folders)
        aside = sorted(root.glob(f"*{ASIDE}"))
        if aside:
            text = f"{len(aside)} in {root} set aside because their runs were deleted; you may delete them"
            yield Finding("ok", "journals", text)
        if not by_state:
            yield Finding("ok", "journals", f"none left in {root}")


def _in_state(parent: Path, state: str, folders: list[Path]) -> Finding:
    """The journals in one folder that are in the same state."""
    number = f"{len(folders)} in {parent}"
    if state == "live":
        return Finding("ok", "journals", f"{number}, their processes are running")
    size = sum(path.stat().st_size for folder in folders for path in folder.glob("*.seg"))
    if state == "ended":
        text = f"{number} left by processes that have ended, {size:,} bytes"
        return Finding("warning", "journals", text, "deliver them with: trainstore recover")
    text = f"{number} {state}, {size:,} bytes"
    return Finding("warning", "journals", text, "if their processes have ended, run there: trainstore recover")
