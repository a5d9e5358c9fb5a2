"""Small writers of the formats that the log readers read: to make files that are large, torn, damaged or hostile."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from trainstore.importing.blocks import BLOCK
from trainstore.importing.wire import masked_crc


class Single(float):
    """A float that is written as float32."""


Value = int | float | str | bytes
Field = tuple[int, Value]


def varint(value: int) -> bytes:
    """An unsigned or negative number of 64 bits."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def proto(*fields: Field) -> bytes:
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


# --- W&B: each function returns a record; `log(WANDB_HEADER, records)` is the file ---

WANDB_HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)


def wandb_items(values: Mapping[str, Any], *, own: bool = False, key: int = 1) -> bytes:
    """Items of a history, a summary or a configuration; ``own``: with the field that the user's keys have."""
    return proto(*((key, proto((1 if own else 2, name), (16, json.dumps(value)))) for name, value in values.items()))


def wandb_run(started_at: float, run: str = "abc", config: Mapping[str, Any] | None = None, *others: Field) -> bytes:
    """The record that a run begins with."""
    seconds, nanos = divmod(round(started_at * 1_000_000), 1_000_000)
    time = proto((1, seconds), (2, nanos * 1_000))
    return _wandb(17, proto((1, run), (3, "p"), (4, wandb_items(config or {}, own=True)), (17, time), *others))


def wandb_row(step: int, at: float, values: Mapping[str, Any]) -> bytes:
    """A row of the history."""
    return _wandb(
        2, wandb_items({**values, "_step": step, "_timestamp": at, "_runtime": 1.5}) + proto((2, proto((1, step))))
    )


def wandb_axis(metric: str, axis: str) -> bytes:
    """What ``define_metric(metric, step_metric=axis)`` writes."""
    return _wandb(12, proto((2 if metric.endswith("*") else 1, metric), (4, axis), (6, proto((1, 1)))))


def wandb_summary(values: Mapping[str, Any], *, own: bool = True) -> bytes:
    """A summary: what the user set, or what W&B made of a row."""
    return _wandb(3, wandb_items(values, own=own))


def wandb_config(values: Mapping[str, Any]) -> bytes:
    """A change of the configuration."""
    return _wandb(5, wandb_items(values, own=True))


def wandb_exit(code: int) -> bytes:
    """The end of a run."""
    return _wandb(18, proto((1, code)) if code else b"")


def wandb_record(kind: int, *fields: Field) -> bytes:
    """Any other record."""
    return _wandb(kind, proto(*fields))


def _wandb(kind: int, body: bytes) -> bytes:
    return proto((1, 1), (kind, body), (200, proto((1, "abc"))))


# --- SwanLab: each function returns a record; `log(SWANLAB_HEADER, records)` is the file ---

SWANLAB_HEADER = b":SWL" + struct.pack("<HB", 0xE1D6, 2)


def swanlab_time(at: float) -> bytes:
    """A time in seconds, as a message."""
    seconds, nanos = divmod(round(at * 1_000_000), 1_000_000)
    return proto((1, seconds), (2, nanos * 1_000))


def swanlab_start(at: float, run: str = "abc", *others: Field) -> bytes:
    """The record that a run begins with."""
    return swanlab_record(10, at, (1, "p"), *others, (10, run), (12, swanlab_time(at)))


def swanlab_scalar(name: str, step: int, at: float, value: float) -> bytes:
    """A number of one metric."""
    return swanlab_record(13, at, (1, name), (2, step), (3, 1), (4, swanlab_time(at)), (5, proto((1, float(value)))))


def swanlab_finish(at: float, state: int, error: str = "") -> bytes:
    """The end of a run."""
    return swanlab_record(11, at, (1, state), (2, error), (3, swanlab_time(at)))


def swanlab_record(kind: int, at: float, *fields: Field) -> bytes:
    """Any record."""
    return proto((1, 1), (2, swanlab_time(at)), (kind, proto(*fields)))


def changed_records(data: st.DataObject, records: Sequence[bytes]) -> list[bytes]:
    """Some of these records, in any order, each with up to three bytes changed and then cut anywhere."""
    changed = []
    for record in data.draw(st.lists(st.sampled_from(records), max_size=8)):
        mutable = bytearray(record)
        for _ in range(data.draw(st.integers(0, 3))):
            mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
        changed.append(bytes(mutable[: data.draw(st.integers(0, len(mutable)))]))
    return changed
