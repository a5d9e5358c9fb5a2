"""Small writers of the formats that the log readers read: to make files that are large, torn, damaged or hostile."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from trainstore.importing.wire import BLOCK, masked_crc


class Single(float):
    """A float that is written as float32."""


Value = int | float | str | bytes


def varint(value: int) -> bytes:
    """An unsigned or negative number of 64 bits."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def proto(*fields: tuple[int, Value]) -> bytes:
    """A protobuf message: ints are varints, floats doubles, text and bytes have their length before them."""
    out = []
    for number, value in fields:
        if isinstance(value, Single):
            out.append(varint(number << 3 | 5) + struct.pack("<f", value))
        elif isinstance(value, float):
            out.append(varint(number << 3 | 1) + struct.pack("<d", value))
        elif isinstance(value, int):
            out.append(varint(number << 3) + varint(value))
        else:
            data = value.encode() if isinstance(value, str) else value
            out.append(varint(number << 3 | 2) + varint(len(data)) + data)
    return b"".join(out)


def frame(payload: bytes) -> bytes:
    """A TFRecord frame."""
    head = struct.pack("<Q", len(payload))
    return head + struct.pack("<I", masked_crc(head)) + payload + struct.pack("<I", masked_crc(payload))


def log(header: bytes, records: Iterable[bytes]) -> bytes:
    """A log of 32 KiB blocks: records that do not fit are split."""
    out = bytearray(header)
    for record in records:
        first = True
        while True:
            room = BLOCK - len(out) % BLOCK
            if room < 7:
                out += bytes(room)
                room = BLOCK
            part, record = record[: room - 7], record[room - 7 :]
            kind = (1 if first else 4) if not record else (2 if first else 3)
            out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
            first = False
            if not record:
                break
    return bytes(out)


# --- TensorBoard ---


def scalar(tag: str, value: float) -> bytes:
    """A scalar as torch and tensorboardX write it."""
    return proto((1, tag), (2, Single(value)))


def tensor(tag: str, tensor: bytes, plugin: str = "scalars", content: bytes = b"") -> bytes:
    """A value that is a tensor."""
    return proto((1, tag), (8, tensor), (9, proto((1, proto((1, plugin), (2, content))))))


def text(tag: str, *lines: str) -> bytes:
    """A text, as torch writes it."""
    shape = (2, proto((2, proto((1, len(lines))))))
    return tensor(tag, proto((1, 7), shape, *((8, line) for line in lines)), "text")


def event(wall_time: float, step: int, *values: bytes) -> bytes:
    """An event with values, in its frame."""
    steps = [(2, step)] if step else []
    return frame(proto((1, wall_time), *steps, (5, proto(*((1, value) for value in values)))))


def version(wall_time: float) -> bytes:
    """The event that an event file begins with, in its frame."""
    return frame(proto((1, wall_time), (3, "brain.Event:2")))


def start(wall_time: float, step: int) -> bytes:
    """The START that ``purge_step`` writes, in its frame."""
    return frame(proto((1, wall_time), (2, step), (7, proto((1, 1)))))


# --- W&B ---

WANDB_HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)


def wandb_item(name: str, value: Any, *nested: str) -> bytes:
    """An item of a history, a summary or a configuration."""
    names = [(2, part) for part in (name, *nested)] if nested else [(1, name)]
    return proto(*names, (16, value if isinstance(value, str) else json.dumps(value)))


def wandb_history(step: int, at: float, values: Mapping[str, Any]) -> bytes:
    """A row of a history."""
    rows = {**values, "_step": step, "_timestamp": at}
    items = [(1, proto((2, name), (16, json.dumps(value)))) for name, value in rows.items()]
    return proto((1, step), (2, proto(*items, (2, proto((1, step))))))
