"""Every table of the first release, and the view ``current_step_log``.

What each column holds stands in ``src/trainstore/models.py``. This file is frozen: it says what the first release
made, whatever the models say later.

Four of the tables may be there already, made by ScalarStop (any version): they are brought to the same shape and keep
their rows.
"""

import json
import sys
import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from trainstore.errors import SchemaForeignError
from trainstore.schema import create_view
from trainstore.values import canonical

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "store", "run", "attempt", "step_log", "metric_summary", "hyperparam", "writer", "event",
    "datablob", "model_template", "model", "model_epoch",
)  # fmt: skip

TIME = sa.DateTime(timezone=True)
BIG = sa.BigInteger()
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# TEXT on SQLite, where a column declared JSON would have numeric affinity and turn 5.0 into 5.
DOCUMENT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
# As ScalarStop declares its own.
OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade():
    p = op.get_context().opts["trainstore_prefix"]

    def key(table, *columns):
        return sa.PrimaryKeyConstraint(*columns, name=f"pk_{p}{table}")

    def unique(table, *columns):
        return sa.UniqueConstraint(*columns, name=f"uq_{p}{table}_{'_'.join(columns)}")

    def reference(table, columns, target, **actions):
        return sa.ForeignKeyConstraint(
            columns, [f"{p}{name}" for name in target], name=f"fk_{p}{table}_{'_'.join(columns)}", **actions
        )

    def index(table, *columns):
        op.create_index(f"ix_{p}{table}_{'_'.join(columns)}", f"{p}{table}", list(columns))

    found = scalarstops_tables(p)
    rebuilt = found if op.get_context().dialect.name == "sqlite" else {}
    others = indexes_and_triggers(p, rebuilt)
    if rebuilt:
        # Else the views and tables of others that speak of a renamed one would follow it, and break when it goes.
        op.execute("PRAGMA legacy_alter_table = ON")

    def make(table, *parts):
        if table not in found:
            op.create_table(f"{p}{table}", *parts)
        elif table in rebuilt:
            rebuild(f"{p}{table}", found[table], *parts)
        else:
            alter(f"{p}{table}", found[table], *parts)

    store = op.create_table(
        f"{p}store",
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        key("store", "uid"),
    )
    op.create_table(
        f"{p}run",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("error", sa.Text()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("last_step", BIG),
        sa.Column("notes", sa.Text()),
        sa.Column("model_name", sa.Text()),
        sa.Column("parent_step", BIG),
        sa.Column("parent_run_id", ID),
        key("run", "id"),
        unique("run", "uid"),
        reference("run", ["parent_run_id"], ["run.id"], ondelete="SET NULL"),
        sqlite_autoincrement=True,
    )
    for column in ("project", "started_at", "name", "parent_run_id"):
        index("run", column)
    op.create_table(
        f"{p}attempt",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("resumed_from", sa.Integer()),
        sa.Column("start_step", BIG, nullable=False),
        sa.Column("end_step", BIG, nullable=False),
        sa.Column("last_step", BIG),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("git_commit", sa.String(64)),
        sa.Column("git_dirty", sa.Boolean()),
        sa.Column("command", sa.Text()),
        sa.Column("host", sa.Text()),
        sa.Column("versions", DOCUMENT),
        sa.Column("changed_hyperparams", DOCUMENT),
        key("attempt", "run_id", "attempt"),
        unique("attempt", "uid"),
        reference("attempt", ["run_id"], ["run.id"], ondelete="CASCADE"),
    )
    op.create_table(
        f"{p}step_log",
        sa.Column("run_id", ID, autoincrement=False, nullable=False),
        sa.Column("step", BIG, autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("logged_at", TIME, nullable=False),
        sa.Column("epoch", sa.Double()),
        sa.Column("step_time", sa.Double()),
        sa.Column("metrics", DOCUMENT, nullable=False),
        sa.Column("details", DOCUMENT),
        key("step_log", "run_id", "step", "attempt"),
        reference("step_log", ["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"], ondelete="CASCADE"),
    )
    op.create_table(
        f"{p}metric_summary",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("nonfinite_count", BIG, nullable=False),
        sa.Column("min", sa.Double()),
        sa.Column("min_step", BIG),
        sa.Column("max", sa.Double()),
        sa.Column("max_step", BIG),
        sa.Column("last", sa.Double()),
        sa.Column("last_step", BIG),
        key("metric_summary", "run_id", "metric"),
        reference("metric_summary", ["run_id"], ["run.id"], ondelete="CASCADE"),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 70},
    )
    index("metric_summary", "metric", "min")
    index("metric_summary", "metric", "max")
    op.create_table(
        f"{p}hyperparam",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("namespace", sa.String(16), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", DOCUMENT),
        sa.Column("number", sa.Double()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        key("hyperparam", "run_id", "namespace", "key"),
        reference("hyperparam", ["run_id"], ["run.id"], ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    index("hyperparam", "namespace", "key", "number")
    op.create_table(
        f"{p}writer",
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("username", sa.Text()),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.Column("heartbeat_at", TIME),
        sa.Column("acked", BIG, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        key("writer", "uid"),
        reference("writer", ["run_id"], ["run.id"], ondelete="CASCADE"),
    )
    index("writer", "run_id")
    op.create_table(
        f"{p}event",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("writer_uid", sa.String(36), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("step", BIG),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("details", DOCUMENT),
        sa.Column("run_id", ID, nullable=False),
        key("event", "id"),
        unique("event", "run_id", "writer_uid", "seq"),
        reference("event", ["run_id"], ["run.id"], ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    make(
        "datablob",
        sa.Column("datablob_name", sa.Text(), nullable=False),
        sa.Column("datablob_group_name", sa.Text(), nullable=False),
        sa.Column("datablob_hyperparams", OBJECT, nullable=False),
        sa.Column("datablob_hyperparams_flat", OBJECT),
        sa.Column("datablob_last_modified", TIME, nullable=False),
        key("datablob", "datablob_name"),
    )
    make(
        "model_template",
        sa.Column("model_template_name", sa.Text(), nullable=False),
        sa.Column("model_template_group_name", sa.Text(), nullable=False),
        sa.Column("model_template_hyperparams", OBJECT, nullable=False),
        sa.Column("model_template_last_modified", TIME, nullable=False),
        key("model_template", "model_template_name"),
    )
    both = {"ondelete": "CASCADE", "onupdate": "CASCADE"}
    make(
        "model",
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_class_name", sa.Text(), nullable=False),
        sa.Column("model_last_modified", TIME, nullable=False),
        sa.Column("datablob_name", sa.Text(), nullable=False),
        sa.Column("model_template_name", sa.Text(), nullable=False),
        key("model", "model_name"),
        reference("model", ["datablob_name"], ["datablob.datablob_name"], **both),
        reference("model", ["model_template_name"], ["model_template.model_template_name"], **both),
    )
    make(
        "model_epoch",
        sa.Column("model_epoch_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model_epoch_num", sa.Integer(), nullable=False),
        sa.Column("model_epoch_metrics", OBJECT, nullable=False),
        sa.Column("model_epoch_last_modified", TIME, nullable=False),
        sa.Column("steps_per_epoch", sa.Integer()),
        sa.Column("validation_steps_per_epoch", sa.Integer()),
        sa.Column("model_name", sa.Text(), nullable=False),
        key("model_epoch", "model_epoch_id"),
        unique("model_epoch", "model_epoch_num", "model_name"),
        reference("model_epoch", ["model_name"], ["model.model_name"], **both),
    )
    for table in reversed(rebuilt):
        op.drop_table(f"{p}{table}{ASIDE}")
    if rebuilt:
        op.execute("PRAGMA legacy_alter_table = OFF")
    for statement in others:
        op.get_bind().exec_driver_sql(statement)
    create_view(op)
    op.execute(store.insert().values(uid=str(uuid.uuid4()), created_at=datetime.now(UTC)))


def downgrade():
    # By name, not by the metadata's drop_all, which would take the version table from under Alembic.
    p = op.get_context().opts["trainstore_prefix"]
    op.execute(f"DROP VIEW {p}current_step_log")
    for table in reversed(TABLES):
        op.drop_table(f"{p}{table}")


# --- Tables that ScalarStop made -------------------------------------------------------------------------------------

ASIDE = "__scalarstop"


def scalarstops_tables(p):
    """Their columns' names, by their names without prefix, in the order in which they refer to each other."""
    if op.get_context().as_sql:
        return {}
    inspector = sa.inspect(op.get_bind())
    there = set(inspector.get_table_names())
    return {
        table: {column["name"] for column in inspector.get_columns(f"{p}{table}")}
        for table in ("datablob", "model_template", "model", "model_epoch")
        if f"{p}{table}" in there
    }


def indexes_and_triggers(p, tables):
    """The statements that made those of others on these tables, which go with the old table."""
    made = "SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND tbl_name = ? AND sql IS NOT NULL"
    return [row[0] for table in tables for row in op.get_bind().exec_driver_sql(made, (f"{p}{table}",))]


def alter(name, columns, *parts):
    """In place: the missing columns, and our names for the constraints."""
    table = sa.Table(name, sa.MetaData(), *parts)
    for column in table.c:
        if column.name not in columns:
            op.add_column(name, sa.Column(column.name, column.type))
    inspector = sa.inspect(op.get_bind())
    key, foreign = inspector.get_pk_constraint(name), inspector.get_foreign_keys(name)
    names = {tuple(found["constrained_columns"]): found["name"] for found in (key, *foreign)}
    names |= {tuple(found["column_names"]): found["name"] for found in inspector.get_unique_constraints(name)}
    for constraint in table.constraints:
        there = names.get(tuple(constraint.columns.keys()))
        if there is None:
            raise SchemaForeignError(
                f"{name} has no constraint on {', '.join(constraint.columns.keys())}, though ScalarStop makes one; "
                "nothing was changed. Add it, and open the store again"
            )
        if there != constraint.name:
            op.execute(f'ALTER TABLE {name} RENAME CONSTRAINT "{there}" TO "{constraint.name}"')


def rebuild(name, columns, *parts):
    """By a copy, as SQLite alters little: the old table stays aside until all four are copied."""
    op.rename_table(name, f"{name}{ASIDE}")
    table = op.create_table(name, *parts)
    shared = ", ".join(column.name for column in table.c if column.name in columns)
    op.execute(f"INSERT INTO {name} ({shared}) SELECT {shared} FROM {name}{ASIDE}")
    for column in table.c:
        if isinstance(column.type, sa.JSON):
            make_valid(name, column.name)
        elif isinstance(column.type, sa.Integer):
            make_whole(name, column.name)


def make_valid(name, column):
    """ScalarStop wrote NaN bare, which is no JSON: SQLite's functions refuse the whole table for it."""
    connection = op.get_bind()
    broken = f"SELECT rowid, {column} FROM {name} WHERE {column} IS NOT NULL AND NOT json_valid({column})"
    for row, text in connection.exec_driver_sql(broken).all():
        valid = json.dumps(canonical(json.loads(text)))
        connection.exec_driver_sql(f"UPDATE {name} SET {column} = ? WHERE rowid = ?", (valid, row))


def make_whole(name, column):
    """SQLite kept NumPy's integers, which ScalarStop handed it, as their bytes."""
    connection = op.get_bind()
    broken = f"SELECT rowid, {column} FROM {name} WHERE typeof({column}) = 'blob'"
    for row, data in connection.exec_driver_sql(broken).all():
        number = int.from_bytes(data, sys.byteorder, signed=True)
        connection.exec_driver_sql(f"UPDATE {name} SET {column} = ? WHERE rowid = ?", (number, row))
