"""Arrays and tensors of any library, read without importing one: NumPy, PyTorch, JAX, pandas.

They are recognised by their attributes, not by their types. All become NumPy arrays first, so that numbers are read and
contents digested in one way, whatever the device and format.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from trainstore.reprs import stable_repr
from trainstore.times import is_numpy_time, numpy_texts

MAX_ELEMENTS = 1_000  # of an array that is kept as a list
MAX_DIGESTED_BYTES = 64 * 2**20
MAX_DIGESTED_OBJECTS = 100_000


def is_array(value: object) -> bool:
    """Whether ``value`` is an array, a tensor, or a column of a table."""
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "dtype")


def is_table(value: object) -> bool:
    """Whether ``value`` is a pandas DataFrame: its ``items()`` are its columns."""
    return all(hasattr(value, name) for name in ("columns", "dtypes", "items"))


def size_of(array: Any) -> int:
    """The number of its elements."""
    return math.prod(array.shape)


def elements(array: Any) -> Any:
    """Its elements: a list (of lists), or the bare element if it has no dimensions. Raises what the library raises."""
    array = _as_numpy(array)
    if is_numpy_time(array):
        return numpy_texts(array)
    return array.astype(str).tolist() if array.dtype.kind == "m" else array.tolist()


def describe(array: Any) -> str:
    """What it is, in place of its elements: shape, dtype and, up to 64 MiB, the first 16 digits of their SHA-256."""
    facts = [f"shape {tuple(array.shape)}", f"dtype {array.dtype}".replace("torch.", "")]
    try:
        digest = _digest(array)
    except Exception:  # noqa: BLE001 - a tensor without contents, on a device that is gone, sparse
        digest = None
    return f"<{type(array).__name__} of {', '.join(facts)}{f', sha256 {digest[:16]}' if digest else ''}>"


def _digest(array: Any) -> str | None:
    size = size_of(array)
    if size * getattr(array.dtype, "itemsize", 8) > MAX_DIGESTED_BYTES:
        return None
    array = _as_numpy(array)
    if not array.dtype.hasobject:
        return hashlib.sha256(array.tobytes()).hexdigest()
    if size > MAX_DIGESTED_OBJECTS:
        return None
    return hashlib.sha256("\n".join(map(stable_repr, array.ravel().tolist())).encode(errors="replace")).hexdigest()


def _as_numpy(array: Any) -> Any:
    if hasattr(array, "tobytes"):  # NumPy's, or equivalent; a masked array would lose its mask below
        return array
    if hasattr(array, "detach"):
        array = array.detach().to_dense().cpu()
    try:
        return array.__array__()
    except Exception:  # noqa: BLE001 - a format that NumPy lacks: bfloat16, float8; float32 holds all values
        return array.float().__array__()
