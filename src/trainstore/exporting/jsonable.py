"""Results as JSON, for ``--json`` and jsonl.

Missing values are null, NaN and infinities are "NaN", "Infinity" and "-Infinity", times are ISO 8601, and integers are
numbers of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

import orjson

from trainstore.values import INT64_MAX, INT64_MIN, canonical


def jsonable(value: Any) -> Any:
    """A value as orjson can write it."""
    kind = type(value)
    if kind is bool or value is None or kind is datetime:
        return value
    if (kind is float and isfinite(value)) or (kind is int and INT64_MIN <= value <= INT64_MAX):
        return value
    if isinstance(value, Mapping):
        return {_key(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return _unmarked(canonical(value))


def json_text(value: Any) -> str:
    """The JSON of a value on one line."""
    return orjson.dumps(jsonable(value)).decode()


def _key(key: Any) -> str:
    text = _unmarked(canonical(key)) if isinstance(key, str) else key
    return str(text)


def _unmarked(stored: Any) -> Any:
    """A stored value without the marks ``$int`` and ``$repr``."""
    if isinstance(stored, list):
        return [_unmarked(item) for item in stored]
    if not isinstance(stored, dict):
        return stored
    if len(stored) == 1 and "$int" in stored:
        return orjson.Fragment(stored["$int"])
    if len(stored) == 1 and "$repr" in stored:
        return stored["$repr"]
    return {key: _unmarked(item) for key, item in stored.items()}
