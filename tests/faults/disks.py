"""Small disks and read-only ones: file systems in memory, which only root may mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOT_TESTED = "not tested: only root may mount a file system"


def _mount(*arguments: str) -> bool:
    return subprocess.run(("mount", *arguments), capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A tmpfs of ``size`` ("256k") at ``place`` for the length of a block; skips the test where it cannot be."""
    place.mkdir(exist_ok=True)
    if os.name != "posix" or not _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place)):
        pytest.skip(NOT_TESTED)
    try:
        yield place
    finally:
        # Lazily: a process that the test left may hold a file there.
        subprocess.run(("umount", "--lazy", str(place)), check=True)


def remount(place: Path, options: str) -> None:
    """Change a mounted disk: "size=64m", "ro", "rw"."""
    assert _mount("-o", f"remount,{options}", str(place)), f"{place} cannot be remounted"


class Ballast:
    """What else lies on a disk: it takes all but ``left`` bytes, until it is thrown off."""

    def __init__(self, place: Path, left: int) -> None:
        self._path = place / "ballast"
        self._path.write_bytes(bytes(free(place) - left))

    def throw_off(self) -> None:
        """Make room."""
        self._path.unlink()


def free(place: Path) -> int:
    """Bytes that are free on the disk of a folder."""
    return shutil.disk_usage(place).free
