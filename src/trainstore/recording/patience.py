"""Waiting for others who write into the database, as merges and imports do; a delivery thread waits by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from trainstore.backends import Backend

PATIENCE = 600.0  # seconds: another merge may be storing a long run

logger = logging.getLogger("trainstore")

T = TypeVar("T")


def patiently(backend: Backend, transact: Callable[[], T]) -> T:
    """Do something in a transaction, and again while others are in its way, for `PATIENCE` seconds.

    Args:
        backend: Of the database.
        transact: May be called more than once; if it fails, nothing of it remains.
    """
    until = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            return transact()
        except SQLAlchemyError as error:
            if not backend.is_contention(error) or time.monotonic() > until:
                raise
        if not told:
            logger.warning("others are writing into %s; waiting for them", backend.safe_url)
            told = True
