"""Columns and dtypes: the same for both databases, also if there are no rows.

===========  ======================  ==============
kind         dtype                   missing
===========  ======================  ==============
TEXT         object                  None
COUNT        int64                   never
INTEGER      Int64                   <NA>
NUMBER       float64                 NaN
BOOLEAN      boolean                 <NA>
TIME         datetime64[us, UTC]     NaT
===========  ======================  ==============

For an exact reader (`Reader.exact`), NUMBER columns are NULLABLE, which distinguish missing from NaN:

===========  ======================  ==============
NULLABLE     Float64                 <NA>
===========  ======================  ==============

A column of hyperparameters has the dtype that its values allow (`dtype_of`); TEXT holds any Python object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from trainstore.values import INT64_MAX, INT64_MIN, number_of, restore

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TEXT = "object"
COUNT = "int64"
INTEGER = "Int64"
NUMBER = "float64"
NULLABLE = "Float64"
BOOLEAN = "boolean"
TIME = "datetime64[us, UTC]"

Columns = Sequence[tuple[str, str]]

EXACT = 2**53  # float64 holds every int up to here


def frame(columns: Columns, rows: Sequence[Sequence[Any]], *, exact: bool = False) -> DataFrame:
    """A DataFrame of rows, with the names and dtypes given."""
    return assemble(fixed_columns(columns, rows, exact=exact), len(rows))


def fixed_columns(columns: Columns, rows: Sequence[Sequence[Any]], *, exact: bool = False) -> dict[str, Series[Any]]:
    """The columns of such a DataFrame."""
    return {
        name: series([row[place] for row in rows], dtype, exact=exact) for place, (name, dtype) in enumerate(columns)
    }


def assemble(columns: Mapping[str, Series[Any]], length: int) -> DataFrame:
    """A DataFrame of columns, each ``length`` long."""
    import pandas as pd

    table = pd.DataFrame(dict(enumerate(columns.values())), index=pd.RangeIndex(length))
    table.columns = pd.Index(list(columns), dtype=object)
    return table


def series(values: Sequence[Any], dtype: str, *, exact: bool = False) -> Series[Any]:
    """One column; None stands for missing."""
    import numpy as np
    import pandas as pd

    array: Any
    dtype = NULLABLE if exact and dtype == NUMBER else dtype
    if dtype == TEXT:
        array = np.fromiter(values, dtype=object, count=len(values))
    elif dtype == TIME:
        return pd.Series(times(values))
    elif dtype in (INTEGER, BOOLEAN, NULLABLE):
        kind, of = {
            INTEGER: (np.int64, pd.arrays.IntegerArray),
            BOOLEAN: (np.bool_, pd.arrays.BooleanArray),
            NULLABLE: (np.float64, pd.arrays.FloatingArray),
        }[dtype]
        missing = np.array([value is None for value in values], dtype=np.bool_)
        present = [0 if value is None else value for value in values] if missing.any() else values
        array = of(np.array(present, dtype=kind), missing)
    else:
        array = np.asarray(values, dtype=dtype)
    return pd.Series(array, dtype=dtype, copy=False)


def part(values: Sequence[Any], dtype: str) -> Any:
    """Some values of a long column, for `joined`: numbers become an array at once, while they are in the caches."""
    import numpy as np

    if dtype in (COUNT, NUMBER):
        try:
            return np.fromiter(values, dtype=dtype, count=len(values))
        except TypeError:  # it does not take None, which is NaN
            return np.array(values, dtype=dtype)
    if dtype == TIME and type(values[0]) is str:
        return np.array(values, dtype="datetime64[us]")
    return values


def joined(parts: Sequence[Any]) -> Any:
    """The column that these parts form."""
    import numpy as np

    if parts and isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [value for values in parts for value in values]


def times(values: Any) -> Any:
    """Times, as a driver gives them, as a column: text in UTC, or datetimes (naive ones are UTC)."""
    import numpy as np
    import pandas as pd

    if isinstance(values, np.ndarray):
        return pd.DatetimeIndex(values, tz="UTC")
    if str in set(map(type, values)):
        return pd.DatetimeIndex(np.array(values, dtype="datetime64[us]"), tz="UTC")
    return pd.DatetimeIndex(pd.to_datetime(list(values), utc=True)).as_unit("us")


def number_series(values: Sequence[Any], *, exact: bool = False) -> Series[Any]:
    """Values of a metric: float64 with NaN for None; object if they are not all numbers."""
    dtype = NUMBER if is_numeric(values) else TEXT
    return series(values, dtype, exact=exact)


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether float64 holds them: floats, None, and ints within 64 bits that it does not round. A bool is not one."""
    kinds = set(map(type, values))
    if int not in kinds:
        return kinds <= {float, type(None)}
    if not kinds <= {float, int, type(None)}:
        return False
    ints = [value for value in values if type(value) is int]
    if min(ints) >= -EXACT and max(ints) <= EXACT:
        return True
    return all(INT64_MIN <= value <= INT64_MAX and int(float(value)) == value for value in ints)


def dtype_of(values: Sequence[Any]) -> str:
    """The dtype of a column of hyperparameters.

    All bools: boolean; all ints within 64 bits: Int64; all numbers, of which float64 rounds no int: float64; anything
    else, or nothing: object.
    """
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return BOOLEAN
    if kinds == {int}:
        ints = [value for value in values if value is not None]
        if min(ints) >= INT64_MIN and max(ints) <= INT64_MAX:
            return INTEGER
    return NUMBER if kinds and is_numeric(values) else TEXT


def parse(text: str | None) -> Any:
    """The Python value of stored JSON text."""
    return None if text is None else restore(same_number(orjson.loads(text)))


def restored(values: list[Any]) -> list[Any]:
    """The Python values of a column of parsed JSON."""
    kinds = set(map(type, values)) - {type(None)}
    # Most columns need no change, and checking all of their values at once is fast.
    if kinds <= {bool} or (kinds == {str} and all(number_of(text) is None for text in set(values))):
        return values
    if kinds <= {int, float}:
        numbers = [value for value in values if value is not None]
        if min(numbers) > -1e16 and max(numbers) < 1e16:
            return values
    return [restore(same_number(value)) for value in values]


def same_number(value: Any) -> Any:
    """Numbers of one type on both databases: jsonb writes 1e16 and greater whole numbers without a point."""
    if type(value) is float and 1e16 <= abs(value) < 2**63 and value.is_integer():
        return int(value)
    return float(value) if type(value) is int and value > INT64_MAX else value


def comparable(value: Any) -> Any:
    """Something hashable that is equal for equal values: 1 and 1.0 are, 1 and True are not, NaN equals NaN."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value), value)
    if isinstance(value, (int, float)):
        return (float, value if value == value else None)  # Python compares ints and floats exactly
    if isinstance(value, Mapping):
        return (dict, frozenset((key, comparable(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return (list, tuple(comparable(item) for item in value))
    return (type(value), id(value))  # `names.NOTHING`
