"""``wandb.Table``: rows and columns, which become samples of the step at which the table is logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from trainstore.arrays import is_table
from trainstore.integrations.wandb.errors import UsageError
from trainstore.integrations.wandb.media import Media, media_of
from trainstore.integrations.wandb.names import warn_once
from trainstore.queries.samples import sample_key

MAX_ROWS = 10_000  # of one table, as in W&B


class Table:
    """A table as scripts for W&B make one.

    Args:
        columns: Their names; without them, and without a DataFrame, Input, Output and Expected.
        data: Rows: lists, tuples or mappings, an array of two dimensions, or a DataFrame.
        rows: The same, by an older name.
        dataframe: A DataFrame.
        **others: What W&B takes besides (``dtype``, ``optional``, ``log_mode``, …): not needed here.

    Raises:
        UsageError: ``data`` is not rows, or a row has another number of cells than there are columns.
    """

    MAX_ROWS = MAX_ROWS

    def __init__(
        self,
        columns: Iterable[Any] | None = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        *args: Any,
        **others: Any,
    ) -> None:
        frame = dataframe if dataframe is not None else data if is_table(data) else None
        given = rows if data is None else data
        self.data: list[list[Any]] = []
        if frame is not None:
            self.columns: list[Any] = list(frame.columns)
            self.data = [list(row) for row in frame.itertuples(index=False, name=None)]
            return
        self.columns = ["Input", "Output", "Expected"] if columns is None else list(columns)
        given = given.tolist() if hasattr(given, "tolist") else given
        if not isinstance(given, Iterable) and given is not None:
            raise UsageError(f"data {given!r} is not rows: pass a list of rows, an array or a DataFrame")
        for row in given or ():
            self.add_data(*(map(row.get, self.columns) if isinstance(row, Mapping) else row))

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"<wandb.Table {self.columns}, {len(self.data)} rows>"

    def add_data(self, *data: Any) -> None:
        """Add a row.

        Args:
            *data: A cell for each column.

        Raises:
            UsageError: As many cells as there are columns are needed.
        """
        if len(data) != len(self.columns):
            raise UsageError(f"a row of {len(data)} cells does not fit the {len(self.columns)} columns {self.columns}")
        self.data.append(list(data))

    add_row = add_data

    def add_column(self, name: str, data: Iterable[Any], optional: bool = False) -> None:
        """Add a column.

        Args:
            name: Its name.
            data: A cell for each row.
            optional: Not needed here.

        Raises:
            UsageError: Not as many cells as there are rows, or the column is there already.
        """
        cells = data.tolist() if hasattr(data, "tolist") else list(data)
        if name in self.columns:
            raise UsageError(f"there is a column {name!r} already: {self.columns}")
        if self.columns and len(cells) != len(self.data):
            raise UsageError(f"column {name!r} has {len(cells)} cells, the table {len(self.data)} rows")
        if not self.columns:
            self.data = [[] for _ in cells]
        self.columns.append(name)
        for row, cell in zip(self.data, cells, strict=True):
            row.append(cell)

    def add_computed_columns(self, function: Callable[[int, dict[Any, Any]], Mapping[Any, Any]]) -> None:
        """Add columns whose cells a function computes.

        Args:
            function: Of a row's number and the row as a mapping; it returns a mapping of new columns.
        """
        found = [function(number, dict(zip(self.columns, row, strict=True))) for number, row in enumerate(self.data)]
        for name in found[0] if found else ():
            self.add_column(name, [cells[name] for cells in found])

    def get_column(self, name: Any, convert_to: str | None = None) -> Any:
        """A column's cells.

        Args:
            name: Of the column.
            convert_to: ``numpy`` for an array.
        """
        place = self.columns.index(name)
        cells = [row[place] for row in self.data]
        if convert_to != "numpy":
            return cells
        import numpy as np

        return np.array(cells)

    def get_dataframe(self) -> Any:
        """The table as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame.from_records(self.data, columns=self.columns)

    def get_index(self) -> list[int]:
        """The numbers of the rows."""
        return list(range(len(self.data)))

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Number and cells of each row."""
        return enumerate(self.data)

    def cast(self, col_name: Any, dtype: Any = None, optional: bool = False) -> None:
        """A column needs no type here."""

    def set_pk(self, column: Any) -> None:
        """A primary key is not needed here."""

    def set_fk(self, column: Any, table: Any, table_column: Any) -> None:
        """A foreign key is not needed here."""


class EvalTable(Table):
    """``wandb.EvalTable``."""


class JoinedTable(Table):
    """``wandb.JoinedTable``: only its first table is kept."""

    def __init__(self, table_1: Any, table_2: Any = None, join_key: Any = None, **others: Any) -> None:
        rows = getattr(table_1, "data", None)
        super().__init__(columns=getattr(table_1, "columns", []) if rows else [], data=rows)


def samples_of(name: str, table: Table) -> dict[str, Any]:
    """The rows as samples of the set of this name, for the details of a step."""
    if len(table.data) > MAX_ROWS:
        warn_once(f"the table {name!r} has {len(table.data):,} rows; the first {MAX_ROWS:,} are kept")
    columns = _distinct(table.columns)
    return {
        sample_key(name, number): dict(zip(columns, map(_cell, row), strict=False))
        for number, row in enumerate(table.data[:MAX_ROWS])
    }


def _distinct(columns: Iterable[Any]) -> list[str]:
    """The columns as texts; of two with one name, the second gets "~2"."""
    found: list[str] = []
    for column in columns:
        name, number = str(column), 1
        while name in found:
            number += 1
            name = f"{column}~{number}"
        found.append(name)
    return found


def _cell(value: Any) -> Any:
    """A cell as it is kept: of media, what they are."""
    media = value if isinstance(value, Media) else media_of(value)
    return value if media is None else {"kind": media.kind, **media.facts}
