"""What a journal does to a disk: write a file whole, sync, lock, look for free space."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

PARTIAL = ".partial"  # the ending of a file that is being written
# macOS has no fdatasync.
sync_file = getattr(os, "fdatasync", os.fsync)


def make_folder(folder: Path) -> None:
    """Make a new folder, and those above it, for this user only."""
    with suppress(OSError):
        folder.mkdir(mode=0o700)
        return
    for _ in range(20):
        try:
            # One by one: mkdir(parents=True) makes those above as the umask has it.
            for above in reversed([place for place in folder.parents if not place.exists()]):
                above.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
            return
        except (FileNotFoundError, FileExistsError):
            continue  # another journal's end has just removed the empty folder above
    folder.mkdir(mode=0o700)


def write_file(path: Path, data: bytes, target: Path, *, sync: bool = True) -> None:
    """Write a whole file, synced to the disk unless ``sync`` is False, and let it replace ``target``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        if sync:
            os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)
    path.replace(target)


def sync_path(path: Path) -> None:
    """Sync a file, or a folder's list of files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk of a folder; very many if that cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 2**63


def take_lock(descriptor: int) -> None:
    """Lock an open file, or raise `OSError` at once."""
    if sys.platform == "win32":  # pragma: no cover
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
