"""Columns and dtypes: the same for both databases, and where there are no rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TEXT = "object"  # None where missing
NUMBER = "float64"  # NaN where missing
INTEGER = "Int64"  # NA where missing
BOOLEAN = "boolean"
TIME = "datetime64[us, UTC]"


def frame(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> DataFrame:
    """A DataFrame of rows, with the names and dtypes given."""
    import pandas as pd

    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pd.DataFrame(
        {name: series(column, dtype) for (name, dtype), column in zip(columns, values, strict=True)},
        columns=pd.Index([name for name, _ in columns], dtype=object),
    )


def series(values: Sequence[Any], dtype: str) -> Series[Any]:
    """One column."""
    import numpy as np
    import pandas as pd

    if dtype == TEXT:
        array = np.empty(len(values), dtype=object)
        array[:] = values if values else []
        return pd.Series(array, dtype=object)
    if dtype == NUMBER:
        return pd.Series(np.array(values, dtype=np.float64), dtype=NUMBER)
    return pd.Series(list(values), dtype=dtype)


def dtype_of(values: Sequence[Any]) -> str:
    """The dtype of a column of hyperparameters, None standing for missing.

    All bools: boolean; all ints of 64 bit: Int64; all numbers: float64; anything else: object.
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return BOOLEAN
    if kinds == {int}:
        return INTEGER if all(-(2**63) <= v < 2**63 for v in values if v is not None) else TEXT
    return NUMBER if kinds and kinds <= {int, float} else TEXT


def sparse(length: int, positions: Sequence[int], values: Sequence[Any]) -> Series[Any]:
    """A metric's column: float64 with NaN where there is no value; object with None where it is not all numbers."""
    import numpy as np
    import pandas as pd

    if {type(value) for value in values} <= {int, float}:
        numbers = np.full(length, np.nan)
        numbers[list(positions)] = np.array(values, dtype=np.float64)
        return pd.Series(numbers, dtype=NUMBER)
    objects = np.full(length, None, dtype=object)
    for position, value in zip(positions, values, strict=True):
        objects[position] = value
    return pd.Series(objects, dtype=object)
