"""Configuration objects as what they hold, whatever library made them: none is imported here.

=============================================  ===========================================================
dataclass, attrs, pydantic model               its fields, by name
``argparse.Namespace``, ``SimpleNamespace``    its attributes
OmegaConf (Hydra)                              its dict or list, with interpolations resolved if they can be
=============================================  ===========================================================
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any


def plain_config(value: object) -> object:
    """A dict of the fields of a configuration object, nested ones left as they are; anything else as it is."""
    kind = type(value)
    if kind in (dict, list, tuple):
        return value
    if kind.__module__.partition(".")[0] == "omegaconf":
        return _of_omegaconf(value)
    names = _field_names(value)
    return value if names is None else {name: getattr(value, name, None) for name in names}


def _field_names(value: object) -> Iterable[str] | None:
    kind: Any = type(value)
    if kind is type or isinstance(value, type):
        return None
    if hasattr(kind, "__dataclass_fields__"):
        # Not by `dataclasses.fields`: that compares the kind of a field by identity, and finds no fields in an instance
        # of a class that was itself pickled (cloudpickle, which ScalarStop saves data sets with).
        declared = kind.__dataclass_fields__
        return [name for name, field in declared.items() if str(field._field_type) == "_FIELD"]
    if hasattr(kind, "__attrs_attrs__"):
        return [attribute.name for attribute in kind.__attrs_attrs__]
    if hasattr(kind, "__pydantic_fields__"):
        return [*kind.__pydantic_fields__, *(getattr(value, "__pydantic_extra__", None) or ())]
    if isinstance(value, (SimpleNamespace, getattr(sys.modules.get("argparse"), "Namespace", ()))):
        return list(vars(value))
    return None


def _of_omegaconf(value: object) -> object:
    to_container = sys.modules["omegaconf"].OmegaConf.to_container
    try:
        return to_container(value, resolve=True)
    except Exception:  # noqa: BLE001 - an interpolation of something that is not there
        return to_container(value, resolve=False)
