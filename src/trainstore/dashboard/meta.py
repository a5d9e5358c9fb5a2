"""What a page needs to know of the store before it asks for anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from trainstore import __version__
from trainstore.commands import code_of, command_on, options_of
from trainstore.dashboard.limits import LIMITS
from trainstore.doctor import waiting
from trainstore.queries.reader import Reader
from trainstore.queries.run_source import liveness, run_source


def meta(reader: Reader, *, can_edit: bool = False) -> dict[str, Any]:
    """The answer ``meta``."""
    uid = reader.connection.execute(select(reader.models.store.c.uid)).scalar_one()
    prefix = reader.models.prefix
    options = options_of(reader.backend, prefix, anywhere=True)
    projects = _projects(reader)
    return {
        "version": __version__,
        "store": {
            "uid": uid,
            "url": reader.backend.safe_url,
            "prefix": prefix,
            "options": options,
            "code": code_of(reader.backend, prefix),
        },
        "title": _title(reader),
        "projects": projects,
        "runs": sum(project["runs"] for project in projects),
        "can_edit": can_edit,
        "limits": LIMITS,
        "now": reader.now().timestamp(),
        "waiting": _waiting(reader, options),
    }


def _waiting(reader: Reader, options: str | None) -> dict[str, Any] | None:
    """What ended processes of this machine have left in their journals, and the command that delivers it."""
    found = waiting(reader)
    if not found.journals:
        return None
    command = command_on(reader.backend, reader.models.prefix, "recover")
    return {**found._asdict(), "command": command if options is None else f"trainstore recover{options}"}


def _projects(reader: Reader) -> list[dict[str, Any]]:
    """The projects by name, with the number of their runs, and of those that are running."""
    run, source = reader.models.run.c, run_source(reader.models)
    counts = reader.rows(select(run.project, func.count()).group_by(run.project))
    columns = source.statement.with_only_columns(run.project, source.status, maintain_column_froms=True)
    shown = reader.rows(columns.where(run.status == "running"), liveness(reader))
    running = [project for project, status in shown if status == "running"]
    return [{"name": name, "runs": count, "running": running.count(name)} for name, count in sorted(map(tuple, counts))]


def _title(reader: Reader) -> str:
    """The file's name, or the database's."""
    path = getattr(reader.backend, "path", None)
    return Path(path).name if path is not None else make_url(reader.backend.safe_url).database or reader.backend.name
