"""Transactions of the target, which others may be writing into at the same moment."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from trainstore.backends import Backend
from trainstore.recording.patience import PATIENCE, patiently
from trainstore.transfer.sources import Source

STEPS_A_SECOND = 1_000  # even over a slow network


def in_transaction(
    source: Source, connection: Connection, backend: Backend, work: Callable[[], None], *, steps: int = 0
) -> None:
    """Do some work in one transaction of the target, and again while others are in its way.

    Args:
        source: Checked before the commit: what was read of it must fit together.
        connection: The target's, outside a transaction.
        backend: The target's.
        work: May be called more than once; what it did before was rolled back then.
        steps: About how many it may store: a long run takes its time.
    """

    def transact() -> None:
        with backend.writing(connection, patient=int(PATIENCE) + steps // STEPS_A_SECOND):
            work()
            source.check_unchanged()

    patiently(backend, transact)
