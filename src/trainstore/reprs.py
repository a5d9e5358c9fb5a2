"""The text of an object that is the same in every process: its ``repr`` without memory addresses.

``<function relu at 0x7f3c…>`` would make two runs of one script look different. Functions and methods are named by
module and qualified name; from other texts, addresses are removed.
"""

from __future__ import annotations

import functools
import re
from types import FunctionType, MethodType
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{4,16}\b| id='[0-9]{9,20}'")  # the second is that of unittest.mock
_FUNCTIONS = (FunctionType, functools._lru_cache_wrapper)


def stable_repr(value: object) -> str:
    """``repr(value)`` without memory addresses. Raises what the ``__repr__`` raises."""
    if isinstance(value, functools.partial):
        return _partial(value)
    if isinstance(value, (set, frozenset)) and value:
        # Sorted, because their own order depends on this process's hashes.
        return f"{{{', '.join(sorted(map(stable_repr, value)))}}}"
    text = repr(value)
    if isinstance(value, (str, bytes, bytearray)) or _ADDRESS.search(text) is None:
        return text
    if isinstance(value, _FUNCTIONS):
        return f"<function {_qualified_name(value)}>"
    if isinstance(value, MethodType):
        return f"<bound method {_qualified_name(value.__func__)} of {stable_repr(value.__self__)}>"
    return _ADDRESS.sub("", text)


def stable_str(value: object) -> str:
    """``str(value)`` without memory addresses. Raises what the ``__str__`` raises."""
    text = str(value)
    return text if _ADDRESS.search(text) is None else stable_repr(value)


def _partial(value: functools.partial[Any]) -> str:
    arguments = [value.func, *value.args]
    parts = [*map(stable_repr, arguments), *(f"{name}={stable_repr(item)}" for name, item in value.keywords.items())]
    return f"functools.partial({', '.join(parts)})"


def _qualified_name(function: object) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", type(function).__name__)
    return f"{module}.{name}" if module else str(name)
