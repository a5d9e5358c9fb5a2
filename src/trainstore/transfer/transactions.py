"""Transactions of the target, which others may be writing into at the same moment."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from trainstore.backends import Backend
from trainstore.errors import TrainStoreError
from trainstore.recording.delivery import describe
from trainstore.recording.patience import PATIENCE, patiently
from trainstore.transfer.sources import Source
from trainstore.transfer.vectors import DamagedRunError

STEPS_A_SECOND = 1_000  # even over a slow network


def why_refused(backend: Backend, error: Exception) -> str | None:
    """Why something of a source cannot be stored, or a right that it needs is missing; None: it is another error.

    Something else of the source may go well.
    """
    if not backend.is_refusal(error) and not (isinstance(error, SQLAlchemyError) and backend.is_privilege_error(error)):
        return None
    told = (backend.translate(error) if isinstance(error, SQLAlchemyError) else None) or error
    return str(told) if isinstance(told, DamagedRunError | TrainStoreError) else describe(error)


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
