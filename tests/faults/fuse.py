"""A mounted file system of any FUSE type ("fuse.sshfs"), for the kernel's own mount table: an empty folder.

Spoken straight to /dev/fuse, because no program that serves a real network file system can be relied on here. It
answers what a look at the folder asks, and that there is nothing else. Only root may mount it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOT_TESTED = "not tested: no FUSE file system can be mounted here"

_IN = struct.Struct("<IIQQIIII")  # length, operation, unique, node, user, group, process, padding
_OUT = struct.Struct("<IiQ")  # length, error, unique
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_LOOKUP, _FORGET, _GETATTR, _STATFS, _INIT, _ACCESS, _BATCH_FORGET = 1, 2, 3, 17, 26, 34, 42
_ENOENT, _ENOSYS = 2, 38
_DETACH = 2


def _answer(operation: int, body: bytes) -> tuple[int, bytes]:
    """Error and content of the answer to a request."""
    if operation == _INIT:
        major, minor = struct.unpack_from("<II", body)
        return 0, struct.pack("<IIIIHHIIHHI7I", major, min(minor, 31), 4096, 0, 1, 1, 4096, 1, 1, 0, 0, *[0] * 7)
    if operation == _GETATTR:
        folder = _ATTRIBUTES.pack(1, 0, 0, 0, 0, 0, 0, 0, 0, 0o040755, 2, 0, 0, 0, 4096, 0)
        return 0, struct.pack("<QII", 1, 0, 0) + folder
    if operation == _STATFS:
        return 0, struct.pack("<5Q4I6I", 2**20, 2**20, 2**20, 1, 1, 4096, 255, 4096, 0, *[0] * 6)
    return (-_ENOENT if operation == _LOOKUP else -_ENOSYS), b""


def _serve(device: int) -> None:
    while True:
        try:
            request = os.read(device, 2**17)
        except OSError:
            return  # unmounted
        _, operation, unique, *_ = _IN.unpack_from(request)
        if operation in (_FORGET, _BATCH_FORGET):
            continue
        error, content = _answer(operation, request[_IN.size :])
        try:
            os.write(device, _OUT.pack(_OUT.size + len(content), error, unique) + content)
        except OSError:
            continue  # who asked has gone


@contextmanager
def mounted(place: Path, kind: str) -> Iterator[Path]:
    """An empty folder on a file system of ``kind`` ("fuse.sshfs") at ``place``; skips the test where it cannot be."""
    place.mkdir()
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        pytest.skip(NOT_TESTED)
    options = f"fd={device},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()},allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", bytes(place), kind.encode(), 0, options.encode()) != 0:
        os.close(device)
        pytest.skip(NOT_TESTED)
    thread = threading.Thread(target=_serve, args=(device,), daemon=True)
    thread.start()
    try:
        yield place
    finally:
        subprocess.run(("umount", "--lazy", str(place)), check=True)
        os.close(device)
