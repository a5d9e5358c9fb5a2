"""Whether the store is well: what ``trainstore doctor`` finds without reading all of it."""

from __future__ import annotations

from typing import Any

from trainstore.doctor import SchemaState, examine_open
from trainstore.queries.reader import Reader

_LEVELS = {"ok": "ok", "warning": "warning", "problem": "error"}


def health(reader: Reader, schema: SchemaState) -> dict[str, Any]:
    """The answer ``health``."""
    return {
        "findings": [
            {"check": found.check, "level": _LEVELS[found.level], "text": found.text, "fix": found.fix}
            for found in examine_open(reader, schema)
        ]
    }
