"""What a stored value looks like: Python value ↔ JSON; names.

Both databases must return what was written, and neither does by itself: SQLite turns NaN into NULL, PostgreSQL's
jsonb knows neither NaN nor ``\\u0000``, and both refuse lone surrogates. So every value is made canonical when it is
logged, before it reaches the journal:

==========================================  ======================================  =====================
given                                       stored as JSON                          read back as
==========================================  ======================================  =====================
None, bool, str                             the same                                the same
int within 64 bit (signed)                  the same                                int
int beyond                                  ``{"$int": "<digits>"}``                int
finite float                                the same                                float (see below)
NaN, inf, -inf                              ``"NaN"``, ``"Infinity"``,              float
                                            ``"-Infinity"``
tensor or array of one element              its ``.item()``                         as that
Decimal, Fraction, other real number        float, if finite                        float
array of at most 1,000 elements             list (of lists)                         list
larger array                                ``{"$repr": "<ndarray of shape …,       str
                                            dtype …, sha256 …>"}``
list, tuple, dict, configuration            JSON, item by item                      list, dict
pandas DataFrame                            its columns, each an array              dict
Enum member, path                           its value, its text                     as that
datetime, date, ``datetime64``              ISO 8601 text (times.py)                str
text with NUL or lone surrogates            ``{"$repr": "<escaped text>"}``         str
anything else                               ``{"$repr": "<repr>"}``, without        str
                                            memory addresses (reprs.py)
==========================================  ======================================  =====================

Arrays are those of NumPy, PyTorch and JAX in any format and on any device, and pandas' Series and Index (arrays.py).
Configurations are dataclasses, models of pydantic, namespaces and others (configs.py).
Numbers are equal as float64. PostgreSQL keeps neither the sign of zero nor int against float of whole numbers from
1e16 on (queries give such floats below 2^63 as int on SQLite too). The three strings themselves read back as floats.
"""

from __future__ import annotations

import enum
import hashlib
import math
import numbers
import operator
import os
import re
from collections.abc import Iterator, Mapping, Set, Sized
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from trainstore.arrays import MAX_ELEMENTS, describe, elements, is_array, is_table, size_of
from trainstore.configs import plain_config
from trainstore.redaction import LONGEST_SECRET, redact, redact_text
from trainstore.reprs import stable_repr, stable_str
from trainstore.times import iso_text

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
MAX_STEP = INT64_MAX
MAX_NAME_LENGTH = 255
MAX_DEPTH = 64
MAX_PARTS = 1_000_000
MAX_REPR_LENGTH = 100_000
EMPTY_NAME = "~empty"

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_TAGS = ("$repr", "$int")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Json = Any


def canonical(value: object) -> Json:
    """Return ``value`` as it is stored (table above). Never raises."""
    try:
        return _item(value, _Path((), [MAX_PARTS]))
    except _TooManyPartsError:
        # Not its repr, which may be as large: nested lists that hold the same list twice double at every level.
        return {"$repr": f"<{type(value).__name__} of more than {MAX_PARTS:,} parts>"}


class _TooManyPartsError(Exception):
    pass


class _Path(NamedTuple):
    """The containers around a value, and how many more parts the whole may have."""

    parents: tuple[int, ...]
    left: list[int]

    def into(self, container: object) -> _Path:
        return _Path((*self.parents, id(container)), self.left)

    def spend(self, parts: Sized) -> None:
        self.left[0] -= len(parts)
        if self.left[0] < 0:
            raise _TooManyPartsError


def _item(value: object, path: _Path) -> Json:
    """A value, or its repr if it cannot be read, so that the values around it are kept."""
    try:
        return _canonical(value, path)
    except _TooManyPartsError:
        raise
    except Exception:  # noqa: BLE001 - a hostile object may raise anything from any method
        return _as_repr(value)


def _canonical(value: object, path: _Path) -> Json:
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else _nonfinite(value)  # type: ignore[arg-type]
    if value is None or kind is bool:
        return value
    if kind is int:
        return _integer(value)  # type: ignore[arg-type]
    if kind is str:
        return _text(value)  # type: ignore[arg-type]
    if isinstance(value, enum.Enum) and type(value.value) in (bool, int, float, str):
        return _canonical(value.value, path)
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return _canonical(float(value), path)
    if isinstance(value, str):
        return _text(str.__str__(value))
    if len(path.parents) >= MAX_DEPTH or id(value) in path.parents:
        return _as_repr(value)
    path = path.into(value)
    if isinstance(value, enum.Enum):
        return _canonical(value.value, path)
    if isinstance(value, os.PathLike):
        return _canonical(os.fspath(value), path)
    value = plain_config(value)
    if isinstance(value, Mapping):
        path.spend(value)
        result = {name: _item(item, path) for name, item in _by_name(value)}
        # A caller's own {"$repr": …} would be read back as its text: store its repr instead.
        return _as_repr(value) if len(result) == 1 and next(iter(result)) in _TAGS else result
    if isinstance(value, (list, tuple)):
        path.spend(value)
        return [_item(item, path) for item in value]
    if isinstance(value, (Set, bytes, bytearray, memoryview, type)) or is_missing(value):
        return _as_repr(value)
    if isinstance(value, date):
        return iso_text(value)
    scalar = scalar_of(value)
    if scalar is not None:
        return _canonical(scalar, path)
    if is_table(value):
        return _canonical(dict(value.items()), path)  # type: ignore[attr-defined]
    return _array(value, path) if is_array(value) else _as_repr(value)


def _array(array: Any, path: _Path) -> Json:
    if size_of(array) > MAX_ELEMENTS:
        return _marked(describe(array))
    try:
        found = elements(array)
    except Exception:  # noqa: BLE001 - a tensor without contents, on a device that is gone, sparse
        return _marked(describe(array))
    return _canonical(found, path)


def scalar_of(value: object) -> bool | int | float | str | None:
    """The Python scalar in a number of any type, or in an array of one element; None if ``value`` is neither."""
    if getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M"):  # a time; NumPy gives some as ints
        return None
    if isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "item") and size_of(value) == 1:
        try:
            value = value.item()
        except Exception:  # noqa: BLE001 - a tensor without contents, or on a device that is gone
            return None
    if type(value) in (bool, int, float, str):
        return value  # type: ignore[return-value]
    if isinstance(value, numbers.Integral):
        return int(value)
    if not isinstance(value, (numbers.Real, Decimal)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):  # beyond float64, a signalling NaN
        return None
    return None if math.isinf(number) and number != value else number


def is_missing(value: object) -> bool:
    """Whether ``value`` is pandas' mark of a missing value, NA or NaT. NaN is a number."""
    return type(value).__name__ in ("NAType", "NaTType")


def _nonfinite(value: float) -> str:
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")


def _integer(value: int) -> Json:
    if INT64_MIN <= value <= INT64_MAX:
        return value
    # Not str(): Python refuses to print more than sys.get_int_max_str_digits() digits.
    return {"$int": str(value)} if value.bit_length() < 12_000 else {"$repr": hex(value)[:MAX_REPR_LENGTH]}


def _text(value: str) -> Json:
    return _marked(value) if _UNSTORABLE.search(value) else value


def _escape(text: str) -> str:
    return _UNSTORABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _as_repr(value: object) -> Json:
    try:
        text = stable_repr(value)
    except Exception:  # noqa: BLE001 - a raising __repr__ must not cost the record
        text = f"<{type(value).__name__} whose repr() fails>"
    if len(text) > MAX_REPR_LENGTH:
        begin = _without_secrets(text, MAX_REPR_LENGTH)[:MAX_REPR_LENGTH]
        text = f"{begin}… ({len(text) - MAX_REPR_LENGTH} more characters)"
    return _marked(text)


def _marked(text: str) -> Json:
    return {"$repr": _escape(text)}


def restore(value: Json) -> Any:
    """Return the Python value of a stored one: the inverse of `canonical`, as far as the table above says."""
    if type(value) is str:
        return _NONFINITE.get(value, value)
    if type(value) is dict:
        if len(value) == 1:
            (tag, item), *_ = value.items()
            if tag == "$repr":
                return item
            if tag == "$int":
                return int(item)
        return {key: restore(item) for key, item in value.items()}
    if type(value) is list:
        return [restore(item) for item in value]
    return value


def number_of(value: Json) -> float | None:
    """The float64 of a stored value, or None if it is not a number (bool, text, null, list, object)."""
    kind = type(value)
    if kind is float or kind is int:
        return float(value)
    return _NONFINITE.get(value) if kind is str else None


def time_of(microseconds: int) -> datetime:
    """The time that a journal's record holds as microseconds since 1970."""
    return _EPOCH + timedelta(0, 0, microseconds)


def microseconds_of(time: datetime) -> int:
    """The exact inverse of `time_of`."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def stored_name(name: object) -> str:
    """Return ``name`` as the name of a metric or hyperparameter. Never raises.

    Text without NUL or lone surrogates, 1 to 255 characters, stays as it is. Those characters are escaped; a longer
    name becomes its first 240 characters, "~" and 8 hex digits of its SHA-256, after its secrets are redacted; the
    empty name becomes "~empty"; anything else becomes its ``str()``, without memory addresses.
    """
    if type(name) is not str:
        try:
            name = str.__str__(name) if isinstance(name, str) else stable_str(name)
        except Exception:  # noqa: BLE001
            name = f"<{type(name).__name__}>"
    if _UNSTORABLE.search(name):
        name = _escape(name)
    if len(name) > MAX_NAME_LENGTH:
        name = redact_text(name)  # now: of a secret that is cut in two, the first half could not be known later
    if len(name) > MAX_NAME_LENGTH:
        name = f"{name[:240]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name or EMPTY_NAME


def _by_name(values: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The items by their stored names. If keys become one name, as 1 and "1" do, later ones get "~2", "~3", …"""
    seen: set[str] = set()
    for key, item in values.items():
        name = free = stored_label(stored_name(key) if type(key) is not str else key)
        number = 1
        while free in seen:
            number += 1
            free = stored_name(f"{name}~{number}")
        seen.add(free)
        yield free, item


def stored_label(name: str) -> str:
    """Any other name as it is stored, of a run, project, hyperparameter, tag or kind of event: without secrets.

    They are redacted first, then the name is cut like a metric's.
    """
    return stored_name(redact_text(name))


def index_of(value: object) -> int | None:
    """An integer of any type (NumPy's, a tensor's of one element) as int; None for anything else, a bool or 1.0 too."""
    if type(value) is int:
        return value
    try:
        scalar = scalar_of(value)
        return None if isinstance(scalar, bool) else operator.index(value if scalar is None else scalar)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a hostile __index__
        return None


def plain_text(text: object, limit: int = MAX_REPR_LENGTH) -> str:
    """``text`` as both databases take it: NUL and lone surrogates escaped, cut at ``limit`` characters."""
    result = _escape(text if isinstance(text, str) else str(text))
    return result if len(result) <= limit else f"{result[:limit]}…"


def stored_text(text: object, limit: int = MAX_REPR_LENGTH) -> str:
    """Any text that is stored by itself, such as notes or an error: `plain_text` without secrets."""
    given = text if isinstance(text, str) else str(text)
    result = _escape(_without_secrets(given, limit))
    is_whole = len(given) <= limit + LONGEST_SECRET and len(result) <= limit
    return result if is_whole else f"{result[:limit]}…"


def _without_secrets(text: str, limit: int) -> str:
    """A text that will be cut at ``limit``, without secrets.

    It is cut before it is searched, or a text of some megabytes would hold up the training: so far behind the limit
    that a secret which the limit halves is known, and not inside a word. Where long secrets have become short, the
    last word may be shown.
    """
    if len(text) > limit + LONGEST_SECRET:
        text = text[: limit + LONGEST_SECRET]
        end = max(map(text.rfind, " \n\t,;&\"'"))
        text = text[:end] if end >= limit else text
    return redact_text(text)


def canonical_hyperparams(values: object) -> dict[str, Json]:
    """Hyperparameters as stored: names and values canonical, secrets redacted.

    They are a mapping, or an object that `plain_config` reads as one. Nested mappings stay nested (one row each). A
    value that JSON cannot hold is kept as its repr, marked ``{"$repr": …}``. Of keys whose names are the same text,
    such as 1 and "1", the second is kept as "1~2".
    """
    values = plain_config(values)
    if not isinstance(values, Mapping):
        raise TypeError(
            "pass a mapping, or a configuration such as a dataclass, an argparse.Namespace or a model of pydantic, "
            f"not {type(values).__name__}"
        )
    return redact({name: canonical(value) for name, value in _by_name(values)})  # type: ignore[no-any-return]


def copied_hyperparams(values: object) -> dict[str, Any]:
    """A copy of hyperparameters, to be recorded later: the same whatever changes meanwhile, and without secrets.

    Not in their stored form, which would be marked once more when they are recorded: as they are read back.
    """
    return restore(canonical_hyperparams(values))  # type: ignore[no-any-return]
