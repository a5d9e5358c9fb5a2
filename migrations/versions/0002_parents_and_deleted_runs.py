"""What merging needs to know: a run's parent that is elsewhere, runs that were deleted; and alerts that were sent.

``run.parent_uid`` is filled from the parents that are there. Going back to 0001 loses what that has no room for: the
parents that are not in this database, the memory of deleted runs (a merge then brings them back), and which alerts were
sent. Parents that are there stay.
"""

import sqlalchemy as sa
from alembic import op

from trainstore.schema import refuse_taken

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade():
    p = op.get_context().opts["trainstore_prefix"]
    refuse_taken(op, "deleted_run", "notification")
    # Not by Alembic's batches: SQLite would copy the table, and take every row that refers to the old one with it.
    op.add_column(f"{p}run", sa.Column("parent_uid", sa.String(36)))
    op.execute(
        f"UPDATE {p}run SET parent_uid = (SELECT parent.uid FROM {p}run AS parent "
        f"WHERE parent.id = {p}run.parent_run_id) WHERE parent_run_id IS NOT NULL"
    )
    op.create_index(f"ix_{p}run_parent_uid", f"{p}run", ["parent_uid"])
    op.create_table(
        f"{p}deleted_run",
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("deleted_at", TIME, nullable=False),
        sa.Column("revived_at", TIME),
        sa.PrimaryKeyConstraint("uid", name=f"pk_{p}deleted_run"),
    )
    op.create_table(
        f"{p}notification",
        sa.Column("writer_uid", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("claimed_at", TIME, nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("run_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("writer_uid", "seq", "target", name=f"pk_{p}notification"),
        sa.ForeignKeyConstraint(["run_id"], [f"{p}run.id"], name=f"fk_{p}notification_run_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{p}notification_run_id", f"{p}notification", ["run_id"])


def downgrade():
    p = op.get_context().opts["trainstore_prefix"]
    op.drop_table(f"{p}notification")
    op.drop_table(f"{p}deleted_run")
    op.drop_index(f"ix_{p}run_parent_uid", f"{p}run")
    op.drop_column(f"{p}run", "parent_uid")
