"""Logs as leveldb writes them: blocks of 32 KiB of {u32 CRC-32 of type and data, u16 length, u8 type, data}.

W&B and SwanLab write them, with a header of their own that counts as part of the first block.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from trainstore.importing.places import File
from trainstore.importing.wire import MAX_RECORD, tell

BLOCK = 32_768
_RECORD = 7  # bytes before a record's data
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


_HEADER = struct.Struct("<4sHB")


def header(file: File) -> tuple[bytes, int, int] | None:
    """What a log begins with: letters, a number that says the same, a version. None if it is shorter."""
    with file.open() as opened:
        head = opened.read(_HEADER.size)
    return None if len(head) < _HEADER.size else _HEADER.unpack(head)


def log_records(
    file: BinaryIO, size: int, damage: list[str], start: int = 7, header: int = 7
) -> Iterator[tuple[int, int, bytes]]:
    """The records of a log: where each begins and ends, and its data. Stops where the file is torn.

    Args:
        file: The log. The checksum is zlib's CRC-32 of type and data.
        size: Its length in bytes.
        damage: Takes a line for what cannot be read and is passed over.
        start: Where to begin: the end of a record.
        header: How many bytes the file begins with that are not a record's; they count as part of the first block.
    """
    at = max(start, header)
    if at > size:
        tell(damage, f"ends at byte {size:,}, before what was read earlier (byte {at:,})")
    parts = _Parts(damage)
    while at < size:
        block = at // BLOCK * BLOCK
        file.seek(at)
        data = file.read(min(block + BLOCK, size) - at)
        place = 0
        while len(data) - place >= _RECORD:
            crc, length, kind = struct.unpack_from("<IHB", data, place)
            end = place + _RECORD + length
            if end > len(data) or not _FULL <= kind <= _LAST or zlib.crc32(data[place + 6 : end]) != crc:
                break
            whole = parts.add(kind, data[place + _RECORD : end], at + place)
            if whole is not None:
                yield parts.begin, at + end, whole
            place = end
        at += place
        rest = data[place:]
        if block + BLOCK > size:  # the last block, which may still be written
            if rest:
                tell(damage, f"its last record is torn (byte {at:,} of {size:,})")
                return
        elif len(rest) >= _RECORD or rest.strip(b"\0"):
            tell(damage, f"cannot be read from byte {at:,} to {block + BLOCK:,}")
            parts.drop()
        at = block + BLOCK
    if parts.open:
        tell(damage, f"its last record is torn (byte {parts.begin:,} of {size:,})")


class _Parts:
    """A record is put together from its parts; those that lack their beginning are passed over."""

    def __init__(self, damage: list[str]) -> None:
        self.begin = 0
        self.open = False
        self._parts: list[bytes] = []
        self._size = 0
        self._damage = damage

    def add(self, kind: int, data: bytes, at: int) -> bytes | None:
        """The whole record, if this was its last part."""
        if kind in (_FULL, _FIRST):
            if self.open:
                tell(self._damage, f"the record at byte {self.begin:,} is not complete")
            self.drop()
            self.begin, self.open = at, True
        if not self.open:
            return None
        self._size += len(data)
        if self._size > MAX_RECORD:
            tell(self._damage, f"the record at byte {self.begin:,} is too long")
            self.drop()
            return None
        self._parts.append(data)
        if kind in (_FIRST, _MIDDLE):
            return None
        whole = b"".join(self._parts)
        self.drop()
        return whole

    def drop(self) -> None:
        """Forget the parts so far."""
        self._parts, self._size, self.open = [], 0, False
