"""The SQL that makes owner, writer and reader of a store on PostgreSQL: ``postgresql_roles.sql``, with its names."""

from __future__ import annotations

import re
from pathlib import Path

from trainstore.errors import InvalidArgumentError
from trainstore.models import VERSION_TABLE, VIEW_NAME, models_for

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def postgresql_roles(
    prefix: str = "",
    *,
    schema: str = "public",
    owner: str | None = None,
    writer: str | None = None,
    reader: str | None = None,
) -> str:
    """The script; running it again is harmless.

    Args:
        prefix: The store's table_name_prefix.
        schema: The schema of its tables, created if it is missing.
        owner: The owning role's name. None: ``<prefix>trainstore_owner``.
        writer: The recording role's name, likewise.
        reader: The reading role's name, likewise.

    Raises:
        InvalidArgumentError: A name with characters other than a-z, 0-9 and _, longer than 63, or used twice.
    """
    models = models_for(prefix)
    names = {
        "owner": owner or f"{prefix}trainstore_owner",
        "writer": writer or f"{prefix}trainstore_writer",
        "reader": reader or f"{prefix}trainstore_reader",
    }
    for what, name in {**names, "schema": schema}.items():
        if not _NAME.fullmatch(name):
            raise InvalidArgumentError(f"{what} {name!r} cannot be used: take 1 to 63 characters of a-z, 0-9 and _")
    if len(set(names.values())) < len(names):
        raise InvalidArgumentError(
            f"owner, writer and reader must be three different roles, not {', '.join(names.values())}"
        )
    fixed = ("store", VERSION_TABLE, VIEW_NAME)
    template = Path(__file__).with_name("postgresql_roles.sql").read_text(encoding="utf-8")
    return template.format(
        **names,
        schema=schema,
        tables=", ".join(f"'{name}'" for name in sorted(models.table_names)),
        fixed=", ".join(f"'{prefix}{name}'" for name in fixed),
    )
