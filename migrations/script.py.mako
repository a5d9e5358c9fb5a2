<%!
    import re


    def draft(operations):
        """The operations, ``p`` in the names of constraints and indices, without the comments that Alembic adds."""
        text = re.sub(r"[ ]*# ### .* ###\n?", "", operations or "").strip()
        return re.sub(r"(?:(?:batch_)?op\.f\()?'((?:ck|fk|ix|pk|uq)_)(\w+)'\)?", r'f"\1{p}\2"', text) or "pass"
%>\
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
    ${draft(upgrades)}


def downgrade():
    p = op.get_context().opts["trainstore_prefix"]
    ${draft(downgrades)}
