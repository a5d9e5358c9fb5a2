"""${message}

Revision: ${up_revision}, after ${down_revision | comma,n}; ${create_date}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade():
    p = op.get_context().opts["trainstore_prefix"]
    ${upgrades if upgrades else "pass"}


def downgrade():
    p = op.get_context().opts["trainstore_prefix"]
    ${downgrades if downgrades else "pass"}
