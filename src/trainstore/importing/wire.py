"""Two formats that several trackers write: protobuf messages, and TFRecord frames. (`blocks` has a third.)

Only what readers need, for files that may be torn, damaged or hostile: a length is compared with what is left before
anything is read by it, and nothing here raises anything but `SourceError`, or `MalformedError` for one message.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

MAX_DEPTH = 64  # of messages within messages
LAST_SECOND = 253_402_300_000  # since 1970: the year 9999
MAX_RECORD = 64 << 20  # bytes; a longer one is passed over and named
MAX_KINDS = 30  # of what is not kept of one file
MAX_DAMAGE = 20  # lines about one file
CHUNK = 1 << 20
MAX_GAPS = 10_000  # places of one file behind which reading goes on
_PIECE = 1 << 12  # bytes that are read first behind damage; more and more as long as there is no other
CHECKED = 4_096  # the CRC of frames up to this many bytes is checked; longer ones hold pictures, not numbers

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class MalformedError(ValueError):
    """Bytes that are no protobuf message. A reader counts the record as damaged and goes on."""


def fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of a message in its order: number, wire type, and an int for varints, else the field's bytes."""
    at, size = 0, len(message)
    while at < size:
        key, at = varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, at = varint(message, at)
        elif kind == FIXED64:
            length = 8
        elif kind == FIXED32:
            length = 4
        else:
            raise MalformedError(f"wire type {kind}")
        if number == 0 or length > size - at:
            raise MalformedError("a field is longer than its message")
        yield number, kind, message[at : at + length]
        at += length


def varint(message: bytes, at: int) -> tuple[int, int]:
    """The unsigned number of 64 bits that begins at a place, and the place after it."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise MalformedError("a number does not end")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def signed(value: int) -> int:
    """An int64 or int32 field, of which `fields` gives the unsigned form."""
    return value - (1 << 64) if value >> 63 else value


def text(value: int | bytes) -> str:
    """A string field; bytes that are not UTF-8 are replaced."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def double(value: int | bytes) -> float:
    """A double or float field."""
    if isinstance(value, bytes) and len(value) in (4, 8):
        number: float = struct.unpack("<d" if len(value) == 8 else "<f", value)[0]
        return number
    raise MalformedError("a number has another type")


def message(value: int | bytes) -> bytes:
    """A field that is a message."""
    if isinstance(value, bytes):
        return value
    raise MalformedError("a number in place of a message")


def number(value: int | bytes) -> int:
    """An integer field, signed."""
    if isinstance(value, int):
        return signed(value)
    raise MalformedError("a message in place of a number")


def timestamp(value: int | bytes) -> int:
    """A `google.protobuf.Timestamp` in microseconds since 1970; 0 if it is none after that."""
    seconds = nanos = 0
    for key, _, one in fields(message(value)):
        if key == 1:
            seconds = number(one)
        elif key == 2:
            nanos = number(one)
    known = 0 < seconds < LAST_SECOND and 0 <= nanos < 1_000_000_000
    return seconds * 1_000_000 + nanos // 1_000 if known else 0


def tell(damage: list[str], line: str) -> None:
    """Add what is wrong with a file, once, and not without end."""
    if len(damage) < MAX_DAMAGE and line not in damage:
        damage.append(line if len(damage) < MAX_DAMAGE - 1 else "more of it is damaged")


def tally(left_out: Counter[str], what: str, count: int = 1) -> None:
    """Count what is not kept. The source may have called it so: names without end are counted together."""
    if count and what not in left_out:
        what = "".join(letter if letter.isprintable() else "�" for letter in what[:60]) or "unknown value"
        if what not in left_out and len(left_out) >= MAX_KINDS:
            what = "other value"
    if count:
        left_out[what] += count


# --- TFRecord: {u64 length, u32 masked CRC-32C of it, payload, u32 masked CRC-32C of the payload} ---

_HEAD, _FOOT = 12, 4


def _crc_table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0x82F63B78) ^ (table >> np.uint32(1)), table >> np.uint32(1))
    return table.astype(np.uint32)


_TABLE = _crc_table()
_STEPS: list[int] = _TABLE.tolist()


def masked_crc(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C, turned and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _STEPS[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class Frames:
    """The frames of an event file, from the beginning of one of them on."""

    def __init__(self, file: BinaryIO, size: int, damage: list[str], chunk: int = CHUNK) -> None:
        self._file = file
        self._size = size
        self._chunk = chunk
        self._damage = damage
        self._lengths: dict[bytes, int] = {}  # frames' heads that are whole → length of the payload

    def read(self, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
        """Each whole frame: where it begins and ends, and its payload. Stops where the file is torn.

        What is damaged is passed over and told in ``damage``.
        """
        at, piece, gaps = start, self._chunk, 0
        if at > self._size:
            tell(self._damage, f"ends at byte {self._size:,}, before what was read earlier (byte {at:,})")
        while at < self._size:
            self._file.seek(at)
            chunk = self._file.read(min(piece, self._size - at))
            piece = min(2 * piece, self._chunk)
            found, used, whole = self._split(chunk)
            for begin, end in _intact(chunk, found, at, self._damage):
                yield at + begin, at + end, chunk[begin + _HEAD : end - _FOOT]
            at += used
            if not whole:
                gaps += 1
                resumed = self._find(at + 1) if gaps <= MAX_GAPS else None
                until = f" to {resumed:,}" if resumed else f" of {self._size:,}"
                tell(self._damage, f"cannot be read from byte {at:,}{until}")
                if not resumed:
                    return
                at, piece = resumed, min(_PIECE, self._chunk)
            elif not used:  # the frame is longer than a chunk, or torn
                length = self._lengths.get(chunk[:_HEAD], -1)
                end = at + _HEAD + length + _FOOT
                if length < 0 or end > self._size:
                    tell(self._damage, f"its last record is torn (byte {at:,} of {self._size:,})")
                    return
                if length > MAX_RECORD:
                    tell(self._damage, f"the record at byte {at:,} is too long ({length:,} bytes)")
                else:
                    self._file.seek(at + _HEAD)
                    yield at, end, self._file.read(length)
                at = end

    def _split(self, chunk: bytes) -> tuple[list[tuple[int, int]], int, bool]:
        """The frames of a chunk, where they end, and whether what follows may be one."""
        found: list[tuple[int, int]] = []
        lengths, at, size = self._lengths, 0, len(chunk)
        while size - at >= _HEAD:
            head = chunk[at : at + _HEAD]
            length = lengths.get(head)
            if length is None:
                length = _length(head)
                if length is None:
                    return found, at, False
                if len(lengths) >= 100_000:
                    lengths.clear()
                lengths[head] = length
            end = at + length + 16
            if end > size:
                break
            found.append((at, end))
            at = end
        return found, at, True

    def _find(self, start: int) -> int | None:
        """Where the next frame begins: a length below 4 GiB, its checksum, and room for it."""
        at, piece = start, _PIECE
        while self._size - at >= _HEAD + _FOOT:
            self._file.seek(at)
            chunk = self._file.read(piece)
            piece = min(2 * piece, CHUNK)
            for begin, length in _heads(chunk):
                if at + begin + length + 16 <= self._size:
                    return at + begin
            if len(chunk) <= _HEAD:
                return None
            at += len(chunk) - _HEAD
        return None


def _heads(chunk: bytes) -> Iterator[tuple[int, int]]:
    """Where frames may begin in damaged bytes, and how long they say they are. All places at once."""
    if len(chunk) <= _HEAD or not chunk.strip(b"\0"):
        return
    data = np.frombuffer(chunk, dtype=np.uint8)
    zero = data == 0
    count = len(data) - _HEAD
    places = np.flatnonzero(zero[4 : 4 + count] & zero[5 : 5 + count] & zero[6 : 6 + count] & zero[7 : 7 + count])
    crc = np.full(len(places), 0xFFFFFFFF, dtype=np.uint32)
    for byte in range(8):
        crc = _TABLE[(crc ^ data[places + byte]) & 255] ^ (crc >> np.uint32(8))
    for place in places[_mask(crc) == _numbers(data, places + 8)].tolist():
        yield place, struct.unpack_from("<Q", chunk, place)[0]


def _mask(crc: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    crc = crc ^ np.uint32(0xFFFFFFFF)
    return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)


def _numbers(data: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """The numbers of 32 bits that stand at some places."""
    parts = data[places[:, None] + np.arange(4)].astype(np.uint32)
    shifts = np.array([0, 8, 16, 24], dtype=np.uint32)
    numbers: npt.NDArray[np.uint32] = np.bitwise_or.reduce(parts << shifts, axis=1)
    return numbers


def _length(head: bytes) -> int | None:
    length, crc = struct.unpack("<QI", head)
    return length if masked_crc(head[:8]) == crc else None


def _intact(chunk: bytes, frames: list[tuple[int, int]], offset: int, damage: list[str]) -> list[tuple[int, int]]:
    """The frames whose payload has the checksum that follows it. All of a chunk at once: one by one costs ten times."""
    checked = [frame for frame in frames if frame[1] - frame[0] <= CHECKED + 16]
    if not checked:
        return frames
    data = np.frombuffer(chunk, dtype=np.uint8)
    ends = np.array(checked, dtype=np.int64)
    ends = ends[np.argsort(ends[:, 0] - ends[:, 1], kind="stable")]  # longest first
    starts, lengths = ends[:, 0] + _HEAD, ends[:, 1] - ends[:, 0] - 16
    crc = np.full(len(ends), 0xFFFFFFFF, dtype=np.uint32)
    longer = np.searchsorted(-lengths, -np.arange(int(lengths[0])))  # how many are longer than 0, 1, 2, …
    for place, count in enumerate(longer.tolist()):
        part = crc[:count]
        crc[:count] = _TABLE[(part ^ data[starts[:count] + place]) & 255] ^ (part >> np.uint32(8))
    crc = _mask(crc)
    told = _numbers(data, ends[:, 1] - _FOOT)
    if np.array_equal(crc, told):
        return frames
    bad = set(ends[crc != told, 0].tolist())
    for begin in sorted(bad):
        tell(damage, f"the record at byte {offset + begin:,} is damaged")
    return [frame for frame in frames if frame[0] not in bad]
