"""What is recorded about a data set: its class, size, columns and fingerprint. Never its contents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trainstore.integrations.transformers.incomplete import Incomplete

_MAX_COLUMNS = 10_000

# A type by its name: "int64", "timestamp[ns, tz=UTC]", "List(float32)", "list<item: string>".
_TYPE_NAME = re.compile(
    r"(?:(?:List|LargeList|Sequence|Value|list|large_list)[(<\[](?:item: |dtype=)?'?)*"
    r"(?:bool|u?int(?:8|16|32|64)?|bfloat16|float(?:16|32|64)?|half|double|str|bytes|(?:large_)?(?:string|binary)|"
    r"date(?:32|64)|time(?:32|64)|datetime64|timestamp|duration)(?:\[(?:s|ms|us|ns)(?:, tz=[\w/+:-]+)?\])?"
    r"'?[)>\]]*"
)
# The classes whose instances are types: (package, class).
_TYPE_CLASSES = {
    ("builtins", "type"),
    ("numpy", "dtype"),
    ("torch", "dtype"),
    ("pandas", "ExtensionDtype"),
    ("polars", "DataType"),
    ("pyarrow", "DataType"),
}


def dataset_facts(part: str, dataset: Any, incomplete: Incomplete) -> dict[str, Any]:
    """Class, size, columns, column types and fingerprint, as far as the data set has them.

    Args:
        part: What the names begin with: ``train``, ``eval``, ``eval_<name>``.
        dataset: Any data set.
        incomplete: Notes the facts that cannot be read.
    """
    getters = {
        f"{part}_class": lambda: type(dataset).__name__,
        f"{part}_size": lambda: len(dataset) if hasattr(dataset, "__len__") else None,
        f"{part}_columns": lambda: _names(getattr(dataset, "column_names", None)),
        f"{part}_features": lambda: _types(getattr(dataset, "features", None)),
        f"{part}_fingerprint": lambda: _text(getattr(dataset, "_fingerprint", None)),
    }
    return {name: value for name, value in incomplete.read("dbh", getters).items() if value is not None}


def _names(columns: Any) -> list[str] | None:
    if isinstance(columns, (list, tuple)) and len(columns) <= _MAX_COLUMNS:
        return list(columns) if all(type(name) is str for name in columns) else None
    return None


def _text(fingerprint: Any) -> str | None:
    return fingerprint if type(fingerprint) is str else None


def _types(features: Any) -> dict[str, str] | None:
    """The columns' types. None for anything else: many data sets keep their data in ``features``."""
    if not isinstance(features, Mapping) or not 0 < len(features) <= _MAX_COLUMNS:
        return None
    if not (_is_of_datasets(features) or all(type(name) is str and _is_type(kind) for name, kind in features.items())):
        return None
    return {str(name): kind.__name__ if isinstance(kind, type) else str(kind) for name, kind in features.items()}


def _is_type(kind: Any) -> bool:
    """Whether it is a type or a type's name, and not a value."""
    if isinstance(kind, str):
        return _TYPE_NAME.fullmatch(kind) is not None
    if isinstance(kind, (list, tuple)):
        return len(kind) == 1 and _is_type(kind[0])
    classes = {(base.__module__.partition(".")[0], base.__name__) for base in type(kind).__mro__}
    return not classes.isdisjoint(_TYPE_CLASSES) or _is_of_datasets(kind)


def _is_of_datasets(kind: Any) -> bool:
    """Whether it is a `datasets.Features`, or a type in one."""
    return any(base.__module__.startswith("datasets.features") for base in type(kind).__mro__)
