"""What a backend finds out about its own health, for ``trainstore doctor``: findings, and checks of files."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

LOW_SPACE = 256 * 1024 * 1024  # bytes
# fmt: off
NETWORK = frozenset((
    "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2",
    "smb3", "smbfs", "wekafs",
))
# fmt: on


class Finding(NamedTuple):
    """One line of the doctor: what was looked at, what it is, and what to do about it."""

    level: Literal["ok", "warning", "problem"]
    check: str
    text: str
    fix: str | None = None


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """The type of the file system that a path lies on ("ext4", "nfs4"), or None if the system does not say.

    Args:
        path: Need not exist.
        mounts: What ``/proc/self/mountinfo`` holds; None: read it.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return None
    wanted = Path(os.path.realpath(path))
    best: tuple[int, str] | None = None
    for line in mounts.splitlines():
        left, dash, right = line.partition(" - ")
        fields = left.split()
        if not dash or len(fields) < 5 or not right:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
        # Of several mounts on one folder the last covers the others.
        if wanted.is_relative_to(mount) and (best is None or len(mount.parts) >= best[0]):
            best = (len(mount.parts), right.split()[0])
    return None if best is None else best[1]


def network_file_system(folder: Path) -> str | None:
    """The type of the network file system that a folder lies on, or None if it is not one."""
    try:
        device = _device_of(folder)
    except OSError:
        kind = file_system_of(folder)
    else:
        kind = _file_system_on(folder, device)
    return kind if kind in NETWORK else None


def _device_of(folder: Path) -> int:
    """The device of a folder, or of the nearest one above it that exists: the first run makes the journal's folder."""
    while True:
        try:
            return folder.stat().st_dev
        except FileNotFoundError:
            if folder == folder.parent:
                raise
            folder = folder.parent


@lru_cache(maxsize=64)
def _file_system_on(folder: Path, _device: int) -> str | None:
    """Asked before each run, and a mount table is long. What is mounted on the folder later is another device."""
    return file_system_of(folder)


def check_place(check: str, folder: Path, remedy: str) -> Iterator[Finding]:
    """What can be said of the folder that something is written into: its file system, the space that is left."""
    kind = file_system_of(folder)
    if kind in NETWORK:
        yield Finding("warning", check, f"{folder} is on a network file system ({kind}), where locks fail", remedy)
    elif kind is not None:
        yield Finding("ok", check, f"file system: {kind}")
    existing = next((place for place in (folder, *folder.parents) if os.path.isdir(place)), None)
    if existing is not None:
        free = shutil.disk_usage(existing).free
        if free < LOW_SPACE:
            yield Finding("warning", check, f"only {free // 2**20} MiB are free in {existing}", "make room on the disk")


def size_text(size: int) -> str:
    """A number of bytes, for people: 293.3 MB."""
    for unit, number in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= number:
            return f"{size / number:,.1f} {unit}"
    return f"{size} bytes"


def check_file_rights(check: str, path: Path) -> Iterator[Finding]:
    """Whether this user may read and write a file and its folder, and whether others may write it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    who = f"file mode {mode:04o}"
    if not os.access(path, os.R_OK):
        yield Finding("problem", check, f"this user may not read {path} ({who})", f"chmod u+rw {path}, as its owner")
    elif not os.access(path, os.W_OK):
        yield Finding("warning", check, f"this user may only read {path} ({who})", "to record, get the right to write")
    elif not os.access(path.parent, os.W_OK):
        yield Finding(
            "problem", check, f"this user may not write into {path.parent}", "SQLite keeps files beside the database"
        )
    elif mode & 0o022:
        yield Finding("warning", check, f"others may write {path} ({who})", f"chmod go-w {path}")
    else:
        yield Finding("ok", check, f"{who}{', others may read it' if mode & 0o044 else ''}")


def check_private(check: str, folder: Path) -> Iterator[Finding]:
    """A warning if others may enter a folder that should be 0700, or read its files, which should be 0600."""
    open_paths = [path for path in (folder, *folder.glob("*")) if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    if open_paths:
        yield Finding(
            "warning", check, f"others may get at {open_paths[0]}, which should be private", f"chmod -R go= {folder}"
        )
