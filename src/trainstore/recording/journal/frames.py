"""Frames: how records are laid out in a segment, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

MAGIC = b"TSj1"
_FRAME = struct.Struct("<4sIQI")


def frame(sequence: int, payload: bytes) -> bytes:
    """One record as it stands in a segment."""
    # Without `struct`, whose code is in no cache after a training step: this takes two thirds of the time there.
    checked = len(payload).to_bytes(4, "little") + sequence.to_bytes(8, "little")
    return MAGIC + checked + crc32(checked + payload).to_bytes(4, "little") + payload


def frames(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The valid frames in ``data`` as (offset after it, sequence number, payload); damage is skipped."""
    position, last = 0, len(data) - _FRAME.size
    while position <= last:
        magic, length, sequence, crc = _FRAME.unpack_from(data, position)
        if magic == MAGIC:
            begin = position + _FRAME.size
            payload = data[begin : begin + length]
            if len(payload) == length and crc32(payload, crc32(data[position + 4 : position + 16])) == crc:
                position = begin + length
                yield position, sequence, payload
                continue
        position = data.find(MAGIC, position + 1)
        if position < 0:
            return
