"""``trainstore doctor``: what is well with a store, what is not, and what to do about it.

It looks without changing anything: no store is made, no schema upgraded, no journal delivered. So it does not open a
``TrainStore``, and what can be found out without the database is found out first.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainstore import __version__
from trainstore.cli.options import store_options
from trainstore.cli.streams import visible
from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trainstore.backends import Backend
    from trainstore.backends.health import Finding
    from trainstore.models import Models
    from trainstore.recording.service import RecordingService

LIBRARIES = ("sqlalchemy", "alembic", "pandas", "psycopg", "transformers", "torch")
SUMMARIES_BY_DEFAULT = 20_000  # steps read to recompute summaries, without --full
COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--full", is_flag=True, help="Recompute the summaries of all runs, not only of the newest.")
@store_options
def doctor(full: bool, url: str, prefix: str, as_json: bool) -> None:
    """Examine a store and what it runs on; exit code 1 if there is a problem.

    Versions, the database and its files, the schema, integrity, lost runs, stored summaries, journals that ended
    processes left. Nothing is changed, and no store is created.
    """
    from trainstore.cli.printing import print_json

    levels = {"ok": 0, "warning": 0, "problem": 0}
    found = []
    for finding in examine(url, prefix, full=full):
        levels[finding.level] += 1
        found.append(finding._asdict())
        if not as_json:
            _print(finding)
    if as_json:
        print_json({"findings": found, "problems": levels["problem"], "warnings": levels["warning"]})
    else:
        click.echo(
            ", ".join(f"{levels[level]} {level}{'s' * (levels[level] != 1)}" for level in ("problem", "warning"))
        )
    if levels["problem"]:
        sys.exit(1)


def _print(finding: Finding) -> None:
    level = click.style(f"{finding.level:<8}", fg=COLOURS[finding.level])
    click.echo(f"{level} {finding.check:<12} {visible(finding.text)}")
    if finding.fix:
        click.echo(f"{'':21} → {visible(finding.fix)}")


def examine(url: str, prefix: str, *, full: bool) -> Iterator[Finding]:
    """Every finding, in the order in which they are made."""
    from trainstore.backends import open_backend
    from trainstore.backends.health import Finding
    from trainstore.models import models_for
    from trainstore.recording.service import RecordingService

    yield from _versions()
    try:
        models = models_for(prefix)
        backend = open_backend(url)
    except TrainStoreError as error:
        yield Finding("problem", "store", str(error))
        return
    yield Finding("ok", "store", f"{backend.safe_url} ({backend.name}{f', prefix {prefix}' if prefix else ''})")
    service = RecordingService(backend, models, lambda: "")
    try:
        yield from _as_far_as_possible("place", backend.inspect_place())
        yield from _as_far_as_possible("database", _database(backend, models, service, full=full))
        yield from _as_far_as_possible("journals", _journals(service))
    finally:
        service.close(0)
        backend.close()


def _as_far_as_possible(check: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What was found until an error, and the error as a finding."""
    from sqlalchemy.exc import SQLAlchemyError

    from trainstore.backends.health import Finding

    try:
        yield from findings
    except (TrainStoreError, OSError) as error:
        yield Finding("problem", check, str(error))
    except SQLAlchemyError as error:
        # Not its text, which may show a URL or a row.
        yield Finding("problem", check, f"the database refused a query ({type(error).__name__})")


def _versions() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    from trainstore.backends.health import Finding

    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()}, {sys.executable}")
    yield Finding("ok", "trainstore", __version__)
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    yield Finding("ok", "libraries", ", ".join(found))


# --- The database ----------------------------------------------------------------------------------------------------


def _database(backend: Backend, models: Models, service: RecordingService, *, full: bool) -> Iterator[Finding]:
    from trainstore import schema
    from trainstore.backends.health import Finding
    from trainstore.errors import SchemaError

    if not backend.exists():
        yield Finding(
            "problem", "store", "there is no store", "name one with --store or TRAINSTORE_URL, or record a run"
        )
        return
    engine = backend.create_engine()
    try:
        version = schema.current(engine, backend, models)
        if version is None:
            yield Finding("problem", "schema", "the database has none", "make it with: trainstore db upgrade")
            return
        try:
            differences = schema.check(engine, backend, models)
        except SchemaError as error:
            yield Finding("problem", "schema", str(error))
            return
        for difference in differences:
            yield Finding("problem", "schema", difference, "another program changed it; restore a copy, or undo that")
        if not differences:
            yield Finding("ok", "schema", f"{version}, as this trainstore needs it")
        with backend.snapshot(engine) as connection:
            service.store_uid = service.statements.store_uid(connection)
            yield from backend.inspect_database(connection, models)
            yield from _runs(backend, models, connection)
            yield from _summaries(service, connection, full=full)
            yield from _forgotten(service, connection)
    finally:
        engine.dispose()


def _runs(backend: Backend, models: Models, connection: Connection) -> Iterator[Finding]:
    from trainstore import queries
    from trainstore.backends.health import Finding
    from trainstore.models import LOST_AFTER
    from trainstore.queries import Reader

    reader = Reader(connection, models, backend)
    frame = queries.list_runs(reader, hyperparams=[], metrics=[])
    counts = frame["status"].value_counts()
    text = ", ".join(f"{count} {status}" for status, count in counts.items())
    yield Finding("ok", "runs", f"{len(frame)}{f': {text}' if text else ''}")
    lost = frame[frame["status"] == "lost"]
    if len(lost):
        named = ", ".join(f"{name} ({uid})" for name, uid in zip(lost["name"][:5], lost["uid"][:5], strict=True))
        yield Finding(
            "warning",
            "runs",
            f"{len(lost)} lost, not heard of for {LOST_AFTER.seconds} s: {named}{' …' if len(lost) > 5 else ''}",
            "resume them, or delete them with: trainstore rm",
        )


def _summaries(service: RecordingService, connection: Connection, *, full: bool) -> Iterator[Finding]:
    """Whether ``metric_summary`` is what its steps come to; of the newest runs, or of all."""
    from sqlalchemy import select

    from trainstore.backends.health import Finding
    from trainstore.recording.summary import summarize

    run = service.models.run.c
    read, wrong = 0, []
    runs = connection.execute(select(run.id, run.uid, run.last_step).order_by(run.id.desc())).all()
    checked = 0
    for run_id, uid, _ in runs:
        if not full and read >= SUMMARIES_BY_DEFAULT:
            break
        steps = 0

        def counted(run_id: int = run_id) -> Iterator[tuple[int, dict[str, Any]]]:
            nonlocal steps
            for row in service.statements.current_steps(connection, run_id):
                steps += 1
                yield row

        stored = service.statements.load_summaries(connection, run_id)
        recomputed = summarize(counted())
        if {name: summary for name, summary in stored.items() if summary.count} != recomputed:
            wrong.append(uid)
        read += steps
        checked += 1
    if wrong:
        yield Finding(
            "problem",
            "summaries",
            f"those of {len(wrong)} of {checked} runs do not agree with their steps: {', '.join(wrong[:5])}",
            "another program changed steps or summaries; restore a copy",
        )
    else:
        of_all = "" if checked == len(runs) else f" of {len(runs)}; --full recomputes all"
        yield Finding("ok", "summaries", f"those of {checked} runs agree with their steps{of_all}")


def _forgotten(service: RecordingService, connection: Connection) -> Iterator[Finding]:
    """Journals of which the database has less than it once acknowledged: it is an older copy of what it was."""
    from trainstore.backends.health import Finding

    for folder, meta in service.journals():
        if meta.get("seen") and service.statements.writer_acked(connection, folder.name) is None:
            yield Finding(
                "warning", "journals", f"the store had run {meta.get('run_uid')}, which {folder} records, and has it "
                "no more: the run was deleted, or the file was copied or moved without its -wal",
                "if the file was copied or moved: copy the -wal of its old place too, or restore a backup",
            )  # fmt: skip


# --- Journals --------------------------------------------------------------------------------------------------------


def _journals(service: RecordingService) -> Iterator[Finding]:
    """The journals of this store on this machine: where, how many, whose process lives; who may read them."""
    from trainstore.backends.health import Finding, check_place, check_private
    from trainstore.recording.journal import ASIDE, hostname, is_live

    if service.backend.in_memory:
        return
    root = service.journal_root()
    existing = next(place for place in (root, *root.parents) if os.path.exists(place))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            "problem", "journals", f"this user may not write into {existing}, so no journal can be kept in {root}",
            "set TRAINSTORE_JOURNAL_DIR to a folder on a local disk that this user may write",
        )  # fmt: skip
    yield from check_place("journals", root, "set TRAINSTORE_JOURNAL_DIR to a folder on a local disk")
    by_state: dict[tuple[Path, str], list[Path]] = {}
    for folder, meta in service.journals():
        here = meta.get("host") == hostname()
        state = "live" if is_live(folder) else "ended" if here else f"of {meta.get('host')}"
        by_state.setdefault((folder.parent, state), []).append(folder)
        yield from check_private("journals", folder)
    for (parent, state), folders in sorted(by_state.items()):
        size = sum(path.stat().st_size for folder in folders for path in folder.glob("*.seg"))
        number = f"{len(folders)} in {parent}"
        if state == "live":
            yield Finding("ok", "journals", f"{number}, whose processes live")
        elif state == "ended":
            text = f"{number} left by processes that ended, {size:,} bytes"
            yield Finding("warning", "journals", text, "deliver them with: trainstore recover")
        else:
            text = f"{number} {state}, {size:,} bytes"
            yield Finding("warning", "journals", text, "where their processes ended: trainstore recover")
    aside = sorted(root.glob(f"*{ASIDE}"))
    if aside:
        yield Finding("ok", "journals", f"{len(aside)} in {root} set aside, of deleted runs; they may be deleted")
    if not by_state:
        yield Finding("ok", "journals", f"none left in {root}")
