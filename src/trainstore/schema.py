"""Creates, upgrades and checks the schema in a database, with Alembic in this process.

At head, opening a store reads one row and never imports Alembic. DDL runs in one transaction under the backend's
migration lock, so two processes may open a new database at once, and one that dies halfway leaves nothing behind.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Inspector, inspect, select, true
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from trainstore.backends import Backend
from trainstore.commands import command_on
from trainstore.errors import (
    PermissionDeniedError,
    SchemaError,
    SchemaForeignError,
    SchemaMissingError,
    SchemaOutdatedError,
    SchemaTooNewError,
)
from trainstore.models import SCALARSTOP_TABLES, VERSION_TABLE, VIEW_NAME, Models

if TYPE_CHECKING:
    from alembic.config import Config

logger = logging.getLogger("trainstore")

#: The newest revision, known without importing Alembic; a test compares it with ``migrations/``.
HEAD = "0002"


def migrations_directory() -> Path:
    """Beside this file in an installed package, at the repository's root in a checkout."""
    packaged = Path(__file__).with_name("migrations")
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


def prepare(
    engine: Engine,
    backend: Backend,
    models: Models,
    *,
    auto_upgrade: bool | None = None,
    on_created: Callable[[], None] = lambda: None,
) -> str:
    """Create or upgrade the schema if needed, or raise why not; return the store's uid. Called at every opening.

    Args:
        engine: Of ``backend``.
        backend: The database.
        models: Of the store's prefix.
        auto_upgrade: Whether an older schema is upgraded. None: the backend's default.
        on_created: Called if there was no schema and one was created.

    Raises:
        SchemaOutdatedError, SchemaTooNewError, SchemaForeignError, SchemaMissingError: Nothing was changed.
        StoreUnavailableError, NotADatabaseError: The database cannot be used.
    """
    uid = _uid_at_head(engine, backend, models)
    if uid is not None:
        return uid
    version = current(engine, backend, models)
    if version is None and backend.read_only:
        prefixed = f" with the prefix {models.prefix}" if models.prefix else ""
        raise SchemaMissingError(
            f"{backend.safe_url} has no trainstore tables{prefixed}, and read_only=True creates none; name another "
            "database or table_name_prefix"
        )
    if version is None:
        upgrade(engine, backend, models)
        on_created()
    elif version != HEAD:
        check_known(version, backend)
        if backend.read_only or not (backend.upgrades_on_open if auto_upgrade is None else auto_upgrade):
            or_else = "" if backend.read_only else " (or pass auto_upgrade=True)"
            raise SchemaOutdatedError(
                f"the schema of {backend.safe_url} is at revision {version}, this trainstore needs {HEAD}; "
                f"upgrade it with: {_command(backend, models)}{or_else}"
            )
        upgrade(engine, backend, models)
    with backend.asking(engine) as connection:
        return _store_uid(connection, models)


def upgrade(engine: Engine, backend: Backend, models: Models, revision: str = "head") -> None:
    """Create the schema, or upgrade it to ``revision``; an SQLite file is copied beside itself before an upgrade.

    Raises the errors of `prepare`.
    """
    with _rights_explained(backend, models), backend.migration_transaction(engine, models.prefix) as connection:
        if before_upgrade(connection, backend, models):
            _upgrade(connection, models, revision)


def before_upgrade(connection: Connection, backend: Backend, models: Models) -> bool:
    """Refuse foreign tables and back up an SQLite file; return whether an upgrade is needed.

    Runs under the migration lock. Tables that ScalarStop made are taken over. ``migrations/env.py`` calls it too, so
    that ``alembic upgrade`` is as careful as the library.
    """
    version = revision_of(connection, models)  # again, now that nobody else can change it
    if version is None:
        if not of_scalarstop(connection, backend, models):
            return True
        found = "scalarstop"
    else:
        check_known(version, backend)
        if version == HEAD:
            return False
        found = version
    copy = backend.copy_before_upgrade(connection, found)
    if copy is not None:
        what = "ScalarStop's tables" if version is None else f"revision {version}"
        logger.warning("%s is upgraded from %s; a copy is %s", backend.safe_url, what, copy)
    return True


def current(engine: Engine, backend: Backend, models: Models) -> str | None:
    """The revision of the schema, or None if there is none."""
    with _rights_explained(backend, models), backend.asking(engine) as connection:
        return revision_of(connection, models)


def check(engine: Engine, backend: Backend, models: Models) -> list[str]:
    """The differences between the database and the models, one line each; [] if they agree.

    Raises `SchemaError` if the schema is missing or not at head.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with backend.reading(engine) as connection:
        version = revision_of(connection, models)
        if version != HEAD:
            raise SchemaError(
                f"the schema of {backend.safe_url} is at {version or 'no revision'}, not at {HEAD}; "
                f"bring it there with: {_command(backend, models)}"
            )
        context = MigrationContext.configure(connection, opts=comparison_options(models))
        return [_describe(difference) for difference in compare_metadata(context, models.metadata)]


def comparison_options(models: Models) -> dict[str, Any]:
    """Alembic's options for this prefix, here and in ``migrations/env.py``: exactly our tables, no others.

    Tables are matched by their whole names, since every table has the empty prefix. The version table and the view are
    not compared: the first is Alembic's, and it does not know views.
    """
    compared = models.table_names - {f"{models.prefix}{VERSION_TABLE}", f"{models.prefix}{VIEW_NAME}"}

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        return name in compared if kind == "table" else True

    def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
        return name in compared if kind == "table" else True

    return {
        "target_metadata": models.metadata,
        "version_table": f"{models.prefix}{VERSION_TABLE}",
        "include_name": include_name,
        "include_object": include_object,
        "compare_type": True,
        "transactional_ddl": True,
        "trainstore_prefix": models.prefix,
    }


@contextmanager
def view_dropped(operations: Any) -> Iterator[None]:
    """For a migration of ``step_log`` or ``attempt``: drop the view meanwhile, as databases require."""
    prefix = operations.get_context().opts["trainstore_prefix"]
    operations.execute(f"DROP VIEW {prefix}{VIEW_NAME}")
    yield
    create_view(operations)


def create_view(operations: Any) -> None:
    """For a migration: create ``current_step_log``."""
    prefix = operations.get_context().opts["trainstore_prefix"]
    step_log, attempt = f"{prefix}step_log", f"{prefix}attempt"
    # With *, the view fits whatever columns a revision has, so old revisions can go on calling this.
    operations.execute(
        f"CREATE VIEW {prefix}{VIEW_NAME} AS SELECT {step_log}.* "
        f"FROM {step_log} JOIN {attempt} ON {step_log}.run_id = {attempt}.run_id "
        f"AND {step_log}.attempt = {attempt}.attempt WHERE {step_log}.step <= {attempt}.end_step"
    )


def refuse_taken(operations: Any, *names: str) -> None:
    """For a migration that adds tables: raise `SchemaForeignError` if somebody else has one of these names."""
    context = operations.get_context()
    if context.as_sql:
        return
    prefix = context.opts["trainstore_prefix"]
    inspector = inspect(operations.get_bind())
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    taken = [f"{prefix}{name}" for name in names if f"{prefix}{name}" in there]
    if taken:
        raise SchemaForeignError(
            f"this revision adds {', '.join(map(repr, taken))} to the store, but the database already has that, which "
            "trainstore did not make; nothing was changed. Rename it, or move the store to a database of its own"
        )


# --- How -------------------------------------------------------------------------------------------------------------


def revision_of(connection: Connection, models: Models) -> str | None:
    """The revision in the version table; None if the table is missing or empty."""
    if not inspect(connection).has_table(models.trainstore_version.name):
        return None
    found = connection.execute(select(models.trainstore_version.c.version_num)).scalar()
    return None if found is None else str(found)


def _uid_at_head(engine: Engine, backend: Backend, models: Models) -> str | None:
    """The store's uid if the schema is at head; None if it is not, for whatever reason.

    The same statement asks whether this user may record, and tells the backend.
    """
    version = models.trainstore_version
    both = models.store.join(version, true())
    may_record = backend.may_record(models)
    columns = [models.store.c.uid, version.c.version_num, true() if may_record is None else may_record]
    statement = select(*columns).select_from(both)
    try:
        with backend.asking(engine) as connection:
            row = connection.execute(statement).first()
    except (OperationalError, ProgrammingError, PermissionDeniedError):
        return None  # most likely a table is missing: `prepare` then checks step by step
    if row is None or row.version_num != HEAD:
        return None
    backend.lacks_rights = not row[2]
    return str(row.uid)


def _store_uid(connection: Connection, models: Models) -> str:
    return str(connection.execute(select(models.store.c.uid)).scalar_one())


@contextmanager
def _rights_explained(backend: Backend, models: Models) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, PermissionDeniedError) as error:
        if isinstance(error, SQLAlchemyError) and not backend.is_privilege_error(error):
            raise
        raise SchemaMissingError(
            f"this user may not create, change or read trainstore's tables in {backend.safe_url}; as a role that may "
            f"create tables there, run: {_command(backend, models)}"
        ) from None


def of_scalarstop(connection: Connection, backend: Backend, models: Models) -> bool:
    """Whether existing tables with our names are ScalarStop's; False if there are none.

    Raises `SchemaForeignError` if they are somebody else's. ScalarStop's are recognised by names, keys and columns, of
    which its older versions have fewer.
    """
    inspector = inspect(connection)
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    taken = sorted(there & (models.table_names - {models.trainstore_version.name}))
    foreign = [name for name in taken if not _is_scalarstops(inspector, models, name)]
    if foreign:
        raise SchemaForeignError(
            f"{backend.safe_url} already has {', '.join(map(repr, foreign))}, which trainstore did not make; nothing "
            "was changed. Use another database, or keep them apart with table_name_prefix (--prefix, TRAINSTORE_PREFIX)"
        )
    return bool(taken)


def _is_scalarstops(inspector: Inspector, models: Models, name: str) -> bool:
    tables = {table.name: table for table in (getattr(models, ours) for ours in SCALARSTOP_TABLES)}
    if name not in tables or name in inspector.get_view_names():
        return False
    columns = {column["name"] for column in inspector.get_columns(name)}
    key = inspector.get_pk_constraint(name)["constrained_columns"]
    needed = {column.name for column in tables[name].c if not column.nullable}
    return key == [column.name for column in tables[name].primary_key] and needed <= columns <= set(
        tables[name].c.keys()
    )


def check_known(version: str, backend: Backend) -> None:
    """Raise `SchemaTooNewError` if there is no such revision."""
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory(str(migrations_directory())).walk_revisions()}
    if version not in known:
        raise SchemaTooNewError(
            f"the schema of {backend.safe_url} is at revision {version}, which this trainstore (at {HEAD}) does not "
            "know; it was not changed. Upgrade trainstore: pip install -U trainstore"
        )


def _command(backend: Backend, models: Models) -> str:
    return command_on(backend, models.prefix, "db upgrade")


def _config(connection: Connection, models: Models) -> Config:
    from alembic.config import Config

    config = Config(stdout=io.StringIO(), attributes={"connection": connection, "models": models})
    # ConfigParser reads % as interpolation; a path may contain one.
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    return config


def _upgrade(connection: Connection, models: Models, revision: str) -> None:
    from alembic import command

    command.upgrade(_config(connection, models), revision)


def _describe(difference: Any) -> str:
    if isinstance(difference, list):
        return "; ".join(map(_describe, difference))
    return " ".join(str(part) for part in difference)
