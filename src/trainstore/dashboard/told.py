"""Which cells of a table a page has already: a run that goes on changes a few of them, and has many."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from trainstore.dashboard.versions import Versions

MOST_TABLES = 8  # with other columns each
MOST_ROWS = 1_000  # of each of them

Cells = Mapping[str, Any]


class Told:
    """The rows sent last, for each choice of columns.

    Args:
        versions: Those of the rows.
    """

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._lock = threading.Lock()
        # Columns → uid → the number of the version and the cells, the last and those before: several pages may ask.
        self._tables: OrderedDict[tuple[str, ...], OrderedDict[str, list[tuple[int, Cells]]]] = OrderedDict()

    def news(
        self, asked: tuple[str, ...], columns: Sequence[dict[str, Any]], since: int, number: int
    ) -> list[dict[str, Any]]:
        """The columns in which at least one cell differs from what the page has.

        Args:
            asked: Which columns were asked for.
            columns: These, with "uid".
            since: The number of the version that the page has.
            number: That of these columns.
        """
        uids = next(column["values"] for column in columns if column["id"] == "uid")
        rows = {
            uid: {column["id"]: cell for column, cell in zip(columns, cells, strict=True)}
            for uid, cells in zip(uids, zip(*(column["values"] for column in columns), strict=True), strict=True)
        }
        with self._lock:
            known = [self._known(asked, uid, since) for uid in uids]
            self._keep(asked, number, rows)
        before = [dict(cells) for cells in known if cells is not None]
        if len(before) < len(uids):
            return list(columns)
        return [
            column
            for column in columns
            if column["id"] == "uid"
            or any(old.get(column["id"]) != new for old, new in zip(before, column["values"], strict=True))
        ]

    def _known(self, asked: tuple[str, ...], uid: str, since: int) -> Cells | None:
        """The cells that a page has of a run, if those told last are of that version."""
        before, last = self._versions.changed_before(uid), self._versions.changed_in(uid)
        if before > since or asked not in self._tables:
            return None
        told = self._tables[asked].get(uid, [])
        return next((cells for number, cells in told if before <= number < last), None)

    def _keep(self, asked: tuple[str, ...], number: int, rows: Mapping[str, Cells]) -> None:
        table = self._tables.setdefault(asked, OrderedDict())
        self._tables.move_to_end(asked)
        while len(self._tables) > MOST_TABLES:
            self._tables.popitem(last=False)
        for uid, cells in rows.items():
            kept = [one for one in table.get(uid, []) if one[0] != number]
            table[uid] = [(number, cells), *kept[:1]]
            table.move_to_end(uid)
        while len(table) > MOST_ROWS:
            table.popitem(last=False)
