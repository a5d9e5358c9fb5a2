"""Frames: how records are laid out in a segment, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

MAGIC = b"TSj1"
_FRAME = struct.Struct("<4sIQI")
_CHECKED = struct.Struct("<IQ")
_pack, _pack_checked = _FRAME.pack, _CHECKED.pack


def frame(sequence: int, payload: bytes) -> bytes:
    """One record as it stands in a segment."""
    length = len(payload)
    return _pack(MAGIC, length, sequence, crc32(payload, crc32(_pack_checked(length, sequence)))) + payload


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
