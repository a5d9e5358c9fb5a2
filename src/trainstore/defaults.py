"""Which store is meant if nobody names one: the same for Python, the callbacks and the command line."""

from __future__ import annotations

import os

STORE_VARIABLE = "TRAINSTORE_URL"
PREFIX_VARIABLE = "TRAINSTORE_PREFIX"
DEFAULT_STORE = "trainstore.db"


def default_store() -> str:
    """The path or URL in ``TRAINSTORE_URL``, else ``trainstore.db`` in the current folder."""
    return os.environ.get(STORE_VARIABLE) or DEFAULT_STORE


def default_prefix() -> str:
    """The prefix of table names in ``TRAINSTORE_PREFIX``, else none."""
    return os.environ.get(PREFIX_VARIABLE, "")
