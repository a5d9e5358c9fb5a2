"""How curves travel: one binary frame of many, whose numbers arrive exactly, NaN and infinities too; or JSON.

A frame is the length of its head (``u32``, little endian), the head (JSON: for each curve ``{run, metric, n, odd}`` and
more), blanks up to a multiple of 8, and then for each curve its arrays as ``float64``, little endian: x, mean, low,
high and count of n numbers each, then x and value of the ``odd`` points that are not finite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from trainstore.dashboard.buckets import Buckets

MEDIA_TYPE = "application/vnd.trainstore.curves"
_ARRAYS = ("x", "mean", "low", "high", "count")


@dataclass(frozen=True)
class Curve:
    """One curve of a frame: its buckets, and what is said about it (``run``, ``metric``, …)."""

    buckets: Buckets
    head: Mapping[str, Any] = field(default_factory=dict)


def to_frame(curves: Sequence[Curve]) -> bytes:
    """The curves as one frame."""
    heads = [{**curve.head, "n": len(curve.buckets), "odd": len(curve.buckets.odd)} for curve in curves]
    head = orjson.dumps(heads)
    head += b" " * (-(len(head) + 4) % 8)
    parts = [len(head).to_bytes(4, "little"), head]
    for curve in curves:
        one = curve.buckets
        parts += [np.ascontiguousarray(array, dtype="<f8").tobytes() for array in _arrays_of(one)]
    return b"".join(parts)


def of_frame(frame: bytes) -> list[Curve]:
    """The curves of a frame."""
    length = int.from_bytes(frame[:4], "little")
    heads = orjson.loads(frame[4 : 4 + length])
    place = 4 + length
    curves = []
    for head in heads:
        arrays = []
        for count in [head["n"]] * len(_ARRAYS) + [head["odd"]] * 2:
            arrays.append(np.frombuffer(frame, dtype="<f8", count=count, offset=place))
            place += 8 * count
        curves.append(Curve(Buckets(*arrays), {name: head[name] for name in head if name not in ("n", "odd")}))
    return curves


def to_json(curves: Sequence[Curve]) -> bytes:
    """The same as JSON, for people and scripts; a number that JSON lacks is a text: "NaN", "Infinity", "-Infinity"."""
    return orjson.dumps(
        [
            {
                **curve.head,
                **{name: _plain(getattr(curve.buckets, name)) for name in _ARRAYS},
                "odd_x": _plain(curve.buckets.odd_x),
                "odd": _plain(curve.buckets.odd),
            }
            for curve in curves
        ]
    )


def _arrays_of(one: Buckets) -> tuple[Any, ...]:
    return (*(getattr(one, name) for name in _ARRAYS), one.odd_x, one.odd)


def _plain(numbers: Any) -> list[float | str]:
    return [number if np.isfinite(number) else _name(number) for number in numbers.tolist()]


def _name(number: float) -> str:
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
