"""Where a foreign source lies: a file, a folder, or a database's URL; which files a folder holds."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from trainstore.backends.urls import safe_url
from trainstore.errors import SourceError

MAX_FILES = 1_000_000


@dataclass(frozen=True)
class File:
    """One regular file of a source."""

    path: Path
    relative: str  # to the source, with forward slashes; the file's own name if the source is the file
    size: int  # bytes
    modified: int  # microseconds since 1970

    @property
    def name(self) -> str:
        """Its name without folders."""
        return self.relative.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The folder that it is in, relative to the source; "" for the source itself."""
        return self.relative.rpartition("/")[0]

    def open(self) -> BinaryIO:
        """Open it for reading. Raises `SourceError`."""
        try:
            return self.path.open("rb")
        except OSError as error:
            raise SourceError(f"{self.relative} cannot be read: {error.strerror or error}") from None


@dataclass(frozen=True)
class Place:
    """A source that the user named: exactly one of ``path`` and ``url`` is set."""

    path: Path | None
    url: str | None = field(default=None, repr=False)  # it may hold a password

    @classmethod
    def of(cls, source: str | os.PathLike[str]) -> Place:
        """The place that a path or a database's URL names. Raises `SourceError` if there is nothing to read."""
        if not str(source):
            raise SourceError("the source has no name; name a folder, a file, or a database's URL")
        if isinstance(source, str) and "://" in source:
            if source.lower().startswith(("http://", "https://")):
                raise SourceError(
                    f"{safe_url(source)} is a web address, and nothing is fetched from the web; name a folder, a file, "
                    "or the URL of the tool's database"
                )
            return cls(None, source)
        path = Path(source).expanduser()
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise SourceError(f"{path} is neither a file nor a folder")
        return cls(path.absolute())

    @property
    def name(self) -> str:
        """What its runs' project is called if the tool has no projects: the last folder, or the file without suffix."""
        if self.path is None:
            return safe_url(self.url or "").partition("?")[0].rpartition("/")[2]
        resolved = self.path.resolve()
        return resolved.name if resolved.is_dir() else resolved.stem

    @property
    def shown(self) -> str:
        """The path, or the URL without its password, for a message."""
        return str(self.path) if self.path is not None else safe_url(self.url or "")

    @cached_property
    def files(self) -> list[File]:
        """Its regular files, sorted by their relative paths; links that lead out of the source are not followed.

        Links to folders are not followed at all, so that none leads in a circle.
        """
        if self.path is None:
            return []
        if self.path.is_file():
            found = self.path.stat()
            return [File(self.path, self.path.name, found.st_size, found.st_mtime_ns // 1_000)]
        return sorted(self._below(self.path), key=lambda file: file.relative)

    def again(self) -> Place:
        """The same place, to be looked at anew: files come and grow."""
        return Place(self.path, self.url)

    def _below(self, root: Path) -> list[File]:
        found: list[File] = []
        real_root = root.resolve()
        waiting = [root]  # not os.walk, which calls itself for each folder in a folder
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(Path(entry.path))
                        elif file := _file(entry, root, real_root):
                            found.append(file)
            except OSError as error:
                raise SourceError(f"{error.filename} cannot be read: {error.strerror or error}") from None
            if len(found) > MAX_FILES:
                raise SourceError(f"{root} holds more than {MAX_FILES:,} files; name a folder inside it")
        return found


def _file(entry: os.DirEntry[str], root: Path, real_root: Path) -> File | None:
    """A regular file, or a link to one that is in the source."""
    path = Path(entry.path)
    try:
        if entry.is_symlink() and not path.resolve().is_relative_to(real_root):
            return None
        status = entry.stat()
    except (OSError, RuntimeError):
        return None  # it went away, or is a broken link, or one in a circle
    if not stat.S_ISREG(status.st_mode):
        return None
    return File(path, path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns // 1_000)
