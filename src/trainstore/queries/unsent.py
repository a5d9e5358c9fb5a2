"""Messages that were claimed and not sent: the process was killed in between, or the receiver did not take them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, select

from trainstore.models import Models

#: A message leaves within seconds of its claim. What was not sent by then is not sent any more.
UNSENT_AFTER = timedelta(minutes=1)


class Unsent(NamedTuple):
    """A message that was lost."""

    run_uid: str
    run_name: str
    claimed_at: datetime  # the database's clock


def unsent(connection: Connection, models: Models, now: datetime, since: datetime) -> list[Unsent]:
    """Those claimed since a time, without the ones that may be on their way; the newest first.

    Args:
        connection: To the store.
        models: Its tables.
        now: The database's clock.
        since: From when on.
    """
    run, table = models.run, models.notification
    found = (
        select(run.c.uid, run.c.name, table.c.claimed_at)
        .join_from(table, run, run.c.id == table.c.run_id)
        .where(table.c.sent_at.is_(None), table.c.claimed_at.between(since, now - UNSENT_AFTER))
        .order_by(table.c.claimed_at.desc())
    )
    return [Unsent(*row) for row in connection.execute(found)]
