"""What Alembic runs for every command: which database, and which tables are ours.

The library passes its connection and models in ``config.attributes``. From the command line the database is
``-x url=…``, else TRAINSTORE_URL, else ``sqlite:///trainstore.db``, and the prefix ``-x prefix=…``, else
TRAINSTORE_PREFIX.
"""

import os
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError

from trainstore.backends import open_backend
from trainstore.errors import TrainStoreError
from trainstore.models import models_for
from trainstore.schema import before_upgrade, comparison_options

config = context.config


class Prefixed(str):
    """A table's name in a draft of a migration, written as ``f"{p}attempt"``."""

    def __repr__(self):
        return f'f"{{p}}{self}"'


def prefix_tables(_context, _revision, directives):
    """Put ``p`` before the tables in a draft (``alembic revision --autogenerate``); script.py.mako does the rest."""

    def prefix(operation):
        for attribute in ("table_name", "source_table", "referent_table"):
            if isinstance(getattr(operation, attribute, None), str):
                setattr(operation, attribute, Prefixed(getattr(operation, attribute)))
        for inner in getattr(operation, "ops", ()):
            prefix(inner)

    for script in directives:
        prefix(script.upgrade_ops)
        prefix(script.downgrade_ops)


def run(connection, models):
    context.configure(
        connection=connection,
        render_as_batch=True,
        process_revision_directives=prefix_tables,
        **comparison_options(models),
    )
    with context.begin_transaction():
        context.run_migrations()


def is_upgrade():
    return config.cmd_opts is not None and config.cmd_opts.cmd[0].__name__ == "upgrade"


def run_from_command_line():
    # Only for the alembic command: a program that calls Alembic with this file keeps its own logging.
    if config.cmd_opts is not None and config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    arguments = context.get_x_argument(as_dictionary=True)
    url = arguments.get("url") or os.environ.get("TRAINSTORE_URL") or "sqlite:///trainstore.db"
    models = models_for(arguments.get("prefix") or os.environ.get("TRAINSTORE_PREFIX") or "")
    backend = open_backend(url)
    if context.is_offline_mode():
        context.configure(dialect_name=backend.name, literal_binds=True, **comparison_options(models))
        with context.begin_transaction():
            context.run_migrations()
        return
    engine = backend.create_engine()
    try:
        with backend.migration_transaction(engine, models.prefix) as connection:
            if is_upgrade():
                before_upgrade(connection, backend, models)
            run(connection, models)
    except TrainStoreError as error:
        raise CommandError(str(error)) from None  # which Alembic's command shows as one line
    finally:
        engine.dispose()


if "connection" in config.attributes:
    run(config.attributes["connection"], config.attributes["models"])
else:
    run_from_command_line()
