"""``wandb.Artifact``: names of files and what is said about them. The files stay where they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from trainstore.integrations.wandb.errors import UsageError
from trainstore.integrations.wandb.names import ARTIFACT_NAMES, missing, warn_once

MAX_PATHS = 100  # that an event names


class Artifact:
    """What a script puts into an artifact, by name.

    Args:
        name, type: As W&B shows them.
        description, metadata: About it.
        **others: What W&B takes besides: not needed here.
    """

    def __init__(
        self,
        name: str,
        type: str = "unspecified",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        self.name, self.type, self.description = name, type, description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.aliases: list[str] = []
        self.tags: list[str] = []
        self.ttl: Any = None
        self._paths: list[str] = []
        self._files = 0
        self._size = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __repr__(self) -> str:
        return f"<wandb.Artifact {self.name!r} of type {self.type!r}, {self._files} files>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return missing(name, known=ARTIFACT_NAMES, is_recording=True, owner="wandb.Artifact")

    # --- What is in it -----------------------------------------------------------------------------------------------

    def add_file(self, local_path: str | os.PathLike[str], name: str | None = None, **others: Any) -> Artifact:
        """Name a file.

        Args:
            local_path: Where it is.
            name: What W&B would call it: not needed here.
            **others: Likewise.
        """
        self._add(os.fspath(local_path))
        return self

    def add_dir(self, local_path: str | os.PathLike[str], name: str | None = None, **others: Any) -> Artifact:
        """Name all files of a folder.

        Args:
            local_path: Where it is.
            name: What W&B would call it: not needed here.
            **others: Likewise.
        """
        for folder, _, files in os.walk(os.fspath(local_path)):
            for file in sorted(files):
                self._add(os.path.join(folder, file))
        return self

    def add_reference(self, uri: Any, name: str | None = None, **others: Any) -> Artifact:
        """Name something that lies elsewhere.

        Args:
            uri: Its address.
            name: What W&B would call it: not needed here.
            **others: Likewise.
        """
        self._add(str(uri))
        return self

    def add(self, obj: Any, name: str, **others: Any) -> Artifact:
        """Name a table or media.

        Args:
            obj: It.
            name: What it is called in the artifact.
            **others: Not needed here.
        """
        self._add(name)
        return self

    def __setitem__(self, name: str, obj: Any) -> None:
        self.add(obj, name)

    @contextmanager
    def new_file(self, name: str, mode: str = "x", encoding: str | None = None) -> Iterator[IO[Any]]:
        """Write a file. It is deleted with the artifact, as no files are kept here.

        Args:
            name: Its name in the artifact.
            mode, encoding: As for ``open``.
        """
        warn_once("what is written into an artifact's new_file is not kept: trainstore keeps no files")
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="trainstore-artifact-")
        path = os.path.join(self._folder.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, mode, encoding=encoding if "b" in mode else encoding or "utf-8") as file:
            yield file
        self._add(path, shown=name)

    def remove(self, item: Any) -> None:
        """Take a name out again."""
        if item in self._paths:
            self._paths.remove(item)
            self._files -= 1

    def _add(self, path: str, shown: str | None = None) -> None:
        self._files += 1
        try:
            self._size += os.path.getsize(path)
        except OSError:
            pass  # an address, or a file that is not there yet
        if len(self._paths) < MAX_PATHS:
            self._paths.append(path if shown is None else shown)

    def details(self, **more: Any) -> dict[str, Any]:
        """What its event says."""
        found = {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "metadata": self.metadata,
            "files": self._files,
            "size": self._size,
            "paths": self._paths,
            **more,
        }
        return {key: value for key, value in found.items() if value not in (None, "", [], {}, 0)}

    # --- What W&B's server would do ----------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """The bytes of the files that are there."""
        return self._size

    @property
    def file_count(self) -> int:
        """How many files were named."""
        return self._files

    @property
    def version(self) -> str:
        """Always the first: there is no server that counts them."""
        return "v0"

    @property
    def id(self) -> None:
        """None: only a server gives one."""
        return None

    def wait(self, timeout: float | None = None) -> Artifact:
        """Nothing is uploaded, so there is nothing to wait for."""
        return self

    def save(self, *args: Any, **others: Any) -> None:
        """Only a run records it: ``run.log_artifact(artifact)``."""

    def finalize(self) -> None:
        """Not needed here."""

    def is_draft(self) -> bool:
        """False: it needs no server to be final."""
        return False

    def link(self, *args: Any, **others: Any) -> None:
        """There is no registry to link it to."""

    def download(self, *args: Any, **others: Any) -> str:
        """No files are kept here.

        Raises:
            UsageError: Always; it says from where to load.
        """
        raise UsageError(
            f"artifact {self.name!r} cannot be downloaded: trainstore keeps no files. Load it from where it was saved; "
            'store.list_events(run, kind="artifact") names the paths'
        )

    checkout = download
    file = download
    files = download
    get = download
    get_path = download
    get_entry = download


def named(artifact_or_name: Any, type: str | None) -> Artifact:
    """An artifact that is used or linked: it, or one that has only the name."""
    return artifact_or_name if isinstance(artifact_or_name, Artifact) else Artifact(str(artifact_or_name), type or "")


def logged(artifact_or_path: Any, name: str | None, type: str | None, aliases: Sequence[str] | None) -> Artifact:
    """An artifact that is logged: it, or one of a file or folder."""
    if isinstance(artifact_or_path, Artifact):
        artifact = artifact_or_path
    else:
        path = os.fspath(artifact_or_path)
        artifact = Artifact(name or os.path.basename(os.path.normpath(path)), type or "unspecified")
        if os.path.isdir(path):
            artifact.add_dir(path)
        else:
            artifact.add_file(path)
    aliases = [aliases] if isinstance(aliases, str) else list(aliases or ())
    artifact.aliases += [alias for alias in aliases if alias not in artifact.aliases]
    return artifact
