"""Protobuf messages, TFRecord frames and block logs: what is whole is read, whatever surrounds it."""

from __future__ import annotations

import io
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importing.writers import frame, log, proto, varint
from trainstore.importing import blocks, wire

PAYLOADS = st.lists(st.binary(max_size=300) | st.binary(min_size=200, max_size=4_500), max_size=8)
HEADER = b":W&B\xe1\xbe\0"


def frames(data: bytes, start: int = 0, chunk: int = wire.CHUNK) -> tuple[list[bytes], list[str]]:
    damage: list[str] = []
    found = list(wire.Frames(io.BytesIO(data), len(data), damage, chunk).read(start))
    assert all(begin < end for begin, end, _ in found)
    return [payload for _, _, payload in found], damage


def records(data: bytes, start: int = 7) -> tuple[list[bytes], list[str]]:
    damage: list[str] = []
    return [body for _, _, body in blocks.log_records(io.BytesIO(data), len(data), damage, start)], damage


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary())))
def test_a_message_s_fields_come_back(given: list[tuple[int, int | float | bytes]]) -> None:
    """Numbers of 64 bits, doubles and bytes are read as they were written, in their order."""
    read = list(wire.fields(proto(*given)))
    assert [number for number, _, _ in read] == [number for number, _ in given]
    for (_, _, found), (_, value) in zip(read, given, strict=True):
        if isinstance(value, float):
            assert struct.pack("<d", wire.double(found)) == struct.pack("<d", value)
        else:
            assert (wire.number(found) if isinstance(value, int) else wire.message(found)) == value


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_told(data: bytes) -> None:
    """Any bytes are read as fields or refused, and no field is longer than the message."""
    try:
        for _, _, value in wire.fields(data):
            assert isinstance(value, int) or len(value) <= len(data)
    except wire.MalformedError:
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a" + varint(2**62),  # longer than what is left
        b"\x80" * 11,  # a number without end
        b"\x0b\x0c",  # a group
        b"\x02\x00",  # field 0
        b"\x09\x00",  # half a double
    ],
)
def test_a_malformed_message_is_refused(data: bytes) -> None:
    """Lengths are compared with what is left; groups and endless numbers are refused."""
    with pytest.raises(wire.MalformedError):
        list(wire.fields(data))


def test_the_checksum_is_that_of_tfrecord() -> None:
    """CRC-32C has a known value for "123456789"; TFRecord turns it by 15 bits and adds a constant."""
    crc = 0xE3069283
    assert wire.masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@given(PAYLOADS, st.sampled_from([64, 1_000, wire.CHUNK]))
def test_frames_come_back_from_any_of_them_on(payloads: list[bytes], chunk: int) -> None:
    """Every payload is read, from the beginning and from the end of any frame, whatever the size of a read."""
    data = b"".join(map(frame, payloads))
    assert frames(data, chunk=chunk) == (payloads, [])
    start = 0
    for count, payload in enumerate(payloads):
        assert frames(data, start, chunk) == (payloads[count:], [])
        start += len(payload) + 16


@given(PAYLOADS, st.data())
def test_a_torn_file_gives_the_frames_before(payloads: list[bytes], data: st.DataObject) -> None:
    """A file that is cut anywhere gives the frames that are whole; a part of one is told."""
    whole = b"".join(map(frame, payloads))
    cut = data.draw(st.integers(0, len(whole)))
    read, damage = frames(whole[:cut])
    assert read == payloads[: len(read)]
    used = sum(len(payload) + 16 for payload in read)
    assert used <= cut
    assert len(read) == len(payloads) or cut < used + len(payloads[len(read)]) + 16
    assert bool(damage) == (used < cut)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=12), st.data())
def test_a_flipped_bit_costs_one_frame(payloads: list[bytes], data: st.DataObject) -> None:
    """Reading goes on behind a damaged frame, whether its length, its payload or a checksum is damaged."""
    whole = bytearray(b"".join(map(frame, payloads)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    hit, end = 0, len(payloads[0]) + 16
    while end <= place:
        hit += 1
        end += len(payloads[hit]) + 16
    read, damage = frames(bytes(whole))
    assert read == payloads[:hit] + payloads[hit + 1 :]
    assert len(damage) == 1


@given(st.binary(max_size=2_000))
def test_any_bytes_are_read_as_frames(data: bytes) -> None:
    """Bytes that hold no frame give none, and say so."""
    read, damage = frames(data)
    assert read or damage or not data


def test_a_frame_s_length_is_compared_with_the_file_before_it_is_read() -> None:
    """A frame that claims 2^62 bytes, with the right checksum, takes no memory."""
    head = struct.pack("<Q", 2**62)
    data = head + struct.pack("<I", wire.masked_crc(head)) + bytes(100)
    tracemalloc.start()
    read, damage = frames(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == []
    assert damage == ["its last record is torn (byte 0 of 112)"]
    assert peak < 100_000


@pytest.mark.parametrize("filling", [b"\0", b"\0\0\0\0\1"])
def test_a_file_full_of_zeros_takes_no_more_memory_than_a_few_chunks(filling: bytes) -> None:
    """Looking for the next frame goes through the file chunk by chunk."""
    size = 5 << 20
    data = io.BytesIO(filling * (size // len(filling)))
    damage: list[str] = []
    tracemalloc.start()
    assert list(wire.Frames(data, size, damage).read()) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert damage == ["cannot be read from byte 0 of 5,242,880"]
    assert peak < 40 * wire.CHUNK


def test_damage_at_every_other_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place of damage costs a search of what is near it, not of a whole megabyte, and there are only so many."""
    monkeypatch.setattr(wire, "MAX_GAPS", 50)
    data = (frame(b"x") + b"\1") * 200 + bytes(4_000_000)
    file, damage = _Counted(data), list[str]()
    assert len(list(wire.Frames(file, len(data), damage).read())) == 51
    assert damage[0] == "cannot be read from byte 17 to 18"
    assert file.given < wire.CHUNK + 51 * 4 * 4_096


class _Counted(io.BytesIO):
    given = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.given += len(found)
        return found


def test_a_large_frame_is_read_and_one_that_is_too_large_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame may be longer than a chunk; above the limit it is named, and the next one is read."""
    monkeypatch.setattr(wire, "MAX_RECORD", 3 << 20)
    payloads = [b"a", bytes(2 << 20), b"b", bytes(4 << 20), b"c"]
    read, damage = frames(b"".join(map(_quick_frame, payloads)))
    assert read == [b"a", bytes(2 << 20), b"b", b"c"]
    assert damage == ["the record at byte 2,097,202 is too long (4,194,304 bytes)"]


def _quick_frame(payload: bytes) -> bytes:
    return frame(payload) if len(payload) < 100 else frame(bytes(8))[:0] + _head(len(payload)) + payload + bytes(4)


def _head(length: int) -> bytes:
    head = struct.pack("<Q", length)
    return head + struct.pack("<I", wire.masked_crc(head))


def test_what_is_told_about_a_file_has_an_end() -> None:
    """A file with ten thousand damaged records is told in a few lines."""
    bad = bytearray(frame(b"payload"))
    bad[14] ^= 1
    read, damage = frames(bytes(bad) * 10_000 + frame(b"last"))
    assert read == [b"last"]
    assert len(damage) == wire.MAX_DAMAGE
    assert damage[-1] == "more of it is damaged"


LONG = st.lists(st.integers(0, 3 * blocks.BLOCK), max_size=6) | st.lists(st.integers(0, 60), max_size=60)


@given(LONG, st.integers(0, 20))
def test_a_log_s_records_come_back_from_any_of_them_on(sizes: list[int], at_end: int) -> None:
    """Records within a block, over several, and at a block's very end are read, from any record on."""
    sizes = [blocks.BLOCK - 7 - 7 - at_end, *sizes]  # the second record begins within the last bytes of a block
    bodies = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    data = log(HEADER, bodies)
    assert records(data) == (bodies, [])
    ends = [end for _, end, _ in blocks.log_records(io.BytesIO(data), len(data), [])]
    for count, end in enumerate(ends):
        assert records(data, end) == (bodies[count + 1 :], [])


@given(LONG, st.data())
def test_a_torn_log_gives_the_records_before(sizes: list[int], data: st.DataObject) -> None:
    """A log that is cut anywhere gives the records that are whole."""
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    whole = log(HEADER, bodies)
    ends = [end for _, end, _ in blocks.log_records(io.BytesIO(whole), len(whole), [])]
    cut = data.draw(st.integers(7, len(whole)))
    read, _ = records(whole[:cut])
    assert read == bodies[: sum(end <= cut for end in ends)]


@given(LONG, st.data())
def test_a_flipped_bit_costs_the_rest_of_a_block(sizes: list[int], data: st.DataObject) -> None:
    """Records that lie in other blocks are read, and those of the block before the damage."""
    bodies = [struct.pack("<I", number) + bytes(size) for number, size in enumerate([*sizes, 10])]
    whole = bytearray(log(HEADER, bodies))
    spans = [(begin, end) for begin, end, _ in blocks.log_records(io.BytesIO(whole), len(whole), [])]
    place = data.draw(st.integers(7, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    read, _ = records(bytes(whole))
    block_end = (place // blocks.BLOCK + 1) * blocks.BLOCK
    for (begin, end), body in zip(spans, bodies, strict=True):
        if end <= place or begin >= block_end:
            assert body in read
    assert set(read) <= set(bodies)


@given(st.binary(max_size=3_000), st.integers(0, 4_000))
def test_any_bytes_are_read_as_a_log(data: bytes, start: int) -> None:
    """Nothing is raised, wherever reading begins."""
    records(data, start)


def test_a_record_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of many blocks is put together up to a limit; above it, it is named and the next one is read."""
    monkeypatch.setattr(blocks, "MAX_RECORD", 100_000)
    bodies = [b"a", bytes(90_000), bytes(200_000), b"b"]
    read, damage = records(log(HEADER, bodies))
    assert read == [b"a", bytes(90_000), b"b"]
    assert len(damage) == 1
    assert "is too long" in damage[0]
