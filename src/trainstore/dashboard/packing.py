"""Curves and tables in as few bytes as a file to send should have: what `source-file.js` unpacks.

Packed data is a head of JSON and arrays of numbers, compressed as one. The head names an array by its number; the same
array is kept once, since most metrics of a run are logged at the same steps.

A number is a ``float32`` where no eye can tell the difference, so that it takes half the room; the edges of a band
have five digits. Places on an axis are kept exactly, as differences: they grow by nearly the same amount each time,
which compresses well. The bytes of an array are sorted by their place in a number, for the same reason: the first bytes
of neighbours are alike.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from trainstore.dashboard.buckets import Floats

SINGLE, DOUBLE, DIFFERENCES = "f4", "f8", "d8"  # the kinds of arrays
FAITHFUL = 2e-4  # of a curve's height: less than a pixel
LARGEST = 1e38  # beyond it, single precision has no room to round up
_ROUGH = np.uint32(0xFF)  # the last bits of a float32, which the edges of a band do without


class Arrays:
    """Arrays of numbers, each kept once.

    Args:
        exact: Keep every number as it is.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._exact = exact
        self._numbers: dict[tuple[str, bytes], int] = {}

    def add(self, values: Floats) -> int:
        """Keep values of a curve; the number of the array."""
        return self._add(DOUBLE if self._exact or not _is_faithful(values) else SINGLE, values)

    def add_edge(self, values: Floats, *, upper: bool) -> int:
        """Keep the lower or the upper edge of a band around a curve; the number of the array.

        It is rounded away from the curve, so that the curve stays in its band.
        """
        if self._exact or not _is_faithful(values):
            return self._add(DOUBLE, values)
        return self._add(SINGLE, _rounded(values, upper=upper))

    def add_exactly(self, values: Floats) -> int:
        """Keep places on an axis, or counts; the number of the array."""
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.diff(values, prepend=0.0) if len(values) else values
            added_up = np.cumsum(steps)
        if np.array_equal(added_up, values):
            return self._add(DIFFERENCES, steps)
        return self._add(DOUBLE, values)

    def _add(self, kind: str, values: Floats) -> int:
        stored = np.ascontiguousarray(values, dtype="<f4" if kind == SINGLE else "<f8")
        return self._numbers.setdefault((kind, stored.tobytes()), len(self._numbers))

    @property
    def size(self) -> int:
        """Bytes of all arrays, before they are compressed."""
        return sum(len(data) for _, data in self._numbers)

    def packed(self, head: Mapping[str, Any]) -> bytes:
        """The head and all arrays, compressed: the same bytes for the same data."""
        kinds = [[kind, len(data) // _size(kind)] for kind, data in self._numbers]
        text = orjson.dumps({**head, "arrays": kinds})
        parts = [len(text).to_bytes(4, "little"), text, *(_by_place(kind, data) for kind, data in self._numbers)]
        return gzip.compress(b"".join(parts), compresslevel=9, mtime=0)


def unpacked(packed: bytes) -> tuple[dict[str, Any], list[Floats]]:
    """The head and the arrays, as a page reads them."""
    data = gzip.decompress(packed)
    place = 4 + int.from_bytes(data[:4], "little")
    head: dict[str, Any] = orjson.loads(data[4:place])
    arrays = []
    for kind, count in head.pop("arrays"):
        size = _size(kind)
        sorted_bytes = np.frombuffer(data, dtype=np.uint8, count=size * count, offset=place)
        values = np.ascontiguousarray(sorted_bytes.reshape(size, count).T).view(f"<f{size}").ravel().astype(np.float64)
        arrays.append(np.cumsum(values) if kind == DIFFERENCES else values)
        place += size * count
    return head, arrays


def as_text(packed: bytes) -> str:
    """Packed data as text for a page, which holds nothing that a page could mistake for its own."""
    return base64.b64encode(packed).decode("ascii")


def _size(kind: str) -> int:
    return 4 if kind == SINGLE else 8


def _by_place(kind: str, data: bytes) -> bytes:
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, _size(kind)).T.tobytes()


def _rounded(values: Floats, *, upper: bool) -> Floats:
    """Values in single precision with 16 bits of their fraction, rounded up or down."""
    bits = values.astype("<f4").view(np.uint32)
    from_zero = (values > 0) == upper
    rough = np.where(from_zero & np.isfinite(values), bits + _ROUGH, bits) & ~_ROUGH
    return rough.astype(np.uint32).view("<f4").astype(np.float64)


def _is_faithful(values: Floats) -> bool:
    """Whether a curve of these values looks the same in single precision: not if they overflow, or hardly differ."""
    finite = np.isfinite(values)
    if not finite.any():
        return True
    sound = values[finite]
    if np.abs(sound).max() > LARGEST:
        return False
    error = np.abs(sound.astype(np.float32).astype(np.float64) - sound)
    height = float(np.ptp(sound))
    return bool((error <= FAITHFUL * height).all()) if height else bool((error <= 1e-7 * np.abs(sound)).all())
