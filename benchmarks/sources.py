"""Stores of other trackers, as large as a benchmark wants them: written as the tools write them, without the tools."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import METRICS, metrics_of

START = 1_767_225_600  # seconds since 1970: 2026-01-01
CHUNK = 10_000  # steps that are made at once


def event_file(path: Path, steps: int) -> None:
    """One TensorBoard event file: a scalar event for each metric of each step, with true checksums."""
    with path.open("wb") as file:
        file.write(_framed(b"\x09" + struct.pack("<d", START) + _bytes_field(3, b"brain.Event:2")))
        for first, last in _stretches(steps):
            file.write(_events(np.arange(first, last)))


def _stretches(steps: int) -> Iterator[tuple[int, int]]:
    """Ranges of steps, each so short as to be made at once, in which all steps take as many bytes."""
    limits = [128**power for power in range(1, 6)]
    first = 0
    while first < steps:
        last = min(steps, first + CHUNK, next(limit for limit in limits if limit > first))
        yield first, last
        first = last


def _events(steps: Any) -> bytes:
    """The frames of some steps: a row of a matrix is one step, a column one byte of all of them."""
    size = len(_varint(int(steps[0])))
    times = (START + steps * 0.1).astype("<f8")
    columns = []
    for index, name in enumerate(METRICS):
        values = ((steps + 1) / (index + 3)).astype("<f4")
        start = b"\x09" + bytes(8) + b"\x10" + bytes(size)
        scalar = _bytes_field(1, name.encode()) + b"\x15" + bytes(4)
        payload = start + _bytes_field(5, _bytes_field(1, scalar))
        frames = np.tile(np.frombuffer(_framed(payload), np.uint8), (len(steps), 1))
        at = 12  # behind the length and its checksum
        frames[:, at + 1 : at + 9] = _bytes_of(times)
        for place in range(size):
            more = 0x80 if place < size - 1 else 0
            frames[:, at + 10 + place] = steps >> (7 * place) & 0x7F | more
        end = at + len(payload)
        frames[:, end - 4 : end] = _bytes_of(values)
        frames[:, end:] = _bytes_of(_masked(_crc32c(frames[:, at:end])))
        columns.append(frames)
    return np.hstack(columns).tobytes()


def _bytes_of(numbers: Any) -> Any:
    return np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), -1)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _bytes_field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _framed(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    parts = (length, payload)
    checks = [_masked(_crc32c(np.frombuffer(part, np.uint8)[None, :])).astype("<u4").tobytes() for part in parts]
    return length + checks[0] + payload + checks[1]


def _crc_table() -> Any:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> 1 ^ np.where(table & 1, np.uint32(0x82F63B78), np.uint32(0))
    return table


_TABLE = _crc_table()


def _crc32c(rows: Any) -> Any:
    """The checksum of each row."""
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T:
        crc = _TABLE[(crc ^ column) & 0xFF] ^ crc >> 8
    return crc ^ np.uint32(0xFFFFFFFF)


def _masked(crc: Any) -> Any:
    """As TensorFlow stores checksums."""
    return (crc >> 15 | crc << 17) + np.uint32(0xA282EAD8)


# The tables that hold runs, as MLflow 3.18 makes them.
MLFLOW_TABLES = """
    CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('dc11669786a5');
    CREATE TABLE experiments (
        experiment_id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(256) NOT NULL, artifact_location VARCHAR(256),
        lifecycle_stage VARCHAR(32), creation_time BIGINT, last_update_time BIGINT,
        workspace VARCHAR(63) DEFAULT 'default' NOT NULL, UNIQUE (workspace, name));
    INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'large', 'active');
    CREATE TABLE runs (
        run_uuid VARCHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(250), source_type VARCHAR(20),
        source_name VARCHAR(500), entry_point_name VARCHAR(50), user_id VARCHAR(256), status VARCHAR(9),
        start_time BIGINT, end_time BIGINT, source_version VARCHAR(50), lifecycle_stage VARCHAR(20),
        artifact_uri VARCHAR(200), experiment_id INTEGER REFERENCES experiments, deleted_time BIGINT);
    CREATE TABLE params (
        key VARCHAR(250) NOT NULL, value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32) NOT NULL REFERENCES runs,
        PRIMARY KEY (key, run_uuid));
    CREATE TABLE tags (
        key VARCHAR(250) NOT NULL, value VARCHAR(8000), run_uuid VARCHAR(32) NOT NULL REFERENCES runs,
        PRIMARY KEY (key, run_uuid));
    CREATE TABLE metrics (
        key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,
        run_uuid VARCHAR(32) NOT NULL REFERENCES runs, step BIGINT DEFAULT '0' NOT NULL,
        is_nan BOOLEAN DEFAULT '0' NOT NULL, PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
    CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
    CREATE INDEX index_metrics_run_uuid_key_step ON metrics (run_uuid, key, step);
"""


def run_uuid_of(run: int) -> str:
    """MLflow's name of the run with this number, from 0."""
    return f"{run + 1:032x}"


def millisecond_of(step: int) -> int:
    """When a step was logged, in milliseconds since 1970."""
    return START * 1_000 + 100 * step


def mlflow_database(path: Path, runs: int, steps: int) -> None:
    """An MLflow database in SQLite: runs with so many steps of all metrics, logged side by side."""
    rows = (
        (name, value, millisecond_of(step), run_uuid_of(run), step)
        for step in range(steps)
        for run in range(runs)
        for name, value in metrics_of(step).items()
    )
    first, last = millisecond_of(0), millisecond_of(steps)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA synchronous = OFF; {MLFLOW_TABLES}")
        connection.executemany(
            "INSERT INTO runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, experiment_id) "
            "VALUES (?, ?, 'FINISHED', ?, ?, 'active', 1)",
            ((run_uuid_of(run), f"run-{run}", first, last) for run in range(runs)),
        )
        connection.executemany(
            "INSERT INTO params VALUES (?, ?, ?)",
            ((name, str(run / 7), run_uuid_of(run)) for run in range(runs) for name in ("lr", "weight_decay")),
        )
        connection.executemany(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step) VALUES (?, ?, ?, ?, ?)", rows
        )
        connection.commit()
