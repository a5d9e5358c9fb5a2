"""Where the journals of a store lie on this machine, and which of those found there belong to it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from trainstore.backends import Backend, current_folder
from trainstore.errors import JournalError
from trainstore.recording.journal.folder import journal_folders, read_meta

logger = logging.getLogger("trainstore")

VARIABLE = "TRAINSTORE_JOURNAL_DIR"


class JournalPlaces:
    """The folders that may hold journals of one store."""

    def __init__(self, backend: Backend, prefix: str) -> None:
        self._backend = backend
        self._prefix = prefix
        self._folder = current_folder()  # what a relative TRAINSTORE_JOURNAL_DIR starts from, whatever chdir follows

    def root(self) -> Path:
        """The folder for new journals. Raises `JournalError` if there is none."""
        beside = self._backend.journal_root()
        if beside is not None and not os.environ.get(VARIABLE):
            return beside
        return self._state_root() / self._backend.journal_key(self._prefix)

    def roots(self) -> list[Path]:
        """Every folder to search."""
        try:
            state = self._state_root()
            # Those of every database: the same one is reached by many spellings of its URL.
            others = sorted(path for path in state.iterdir() if path.is_dir())
        except (JournalError, FileNotFoundError, NotADirectoryError):
            others = []
        except OSError as error:
            others = []
            logger.warning("%s cannot be searched for journals (%s)", state, error.strerror or error)
        return [*self._backend.journal_roots(), *others]

    def journals(self, store_uid: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The journals of the store on this machine, each with its ``meta.json``.

        Before the store's uid is known, those that were written for this database's address.
        """
        for root in self.roots():
            for folder in journal_folders(root):
                meta = read_meta(folder)
                if meta is not None and self.belongs(folder, meta, store_uid):
                    yield folder, meta

    def belongs(self, folder: Path, meta: dict[str, Any], store_uid: str | None) -> bool:
        """Whether a journal, with this ``meta.json``, is of the store.

        Its uid decides, under whatever path or URL the journal was begun; before one of the two is known, the address.
        """
        if meta.get("prefix") != self._prefix:
            return False
        database = str(meta.get("database"))
        if meta.get("store_uid") is None or store_uid is None:
            return self._backend.is_same(database)
        if meta["store_uid"] != store_uid:
            return False
        # A copy of the file has the same uid. Its original's journals are not for it, unless they were copied with it.
        copied = folder.parent == self._backend.journal_root()
        return copied or not self._backend.is_copy_of(database, store_uid, self._prefix)

    def _state_root(self) -> Path:
        configured = os.environ.get(VARIABLE)
        try:
            if configured:
                return Path(self._folder, Path(configured).expanduser())
            return platformdirs.user_state_path("trainstore") / "journal"
        except RuntimeError:  # what both raise without HOME for a user id that has no name
            raise JournalError(
                f"no journal can be kept: this user has no home folder; set {VARIABLE} to a folder on a local disk"
            ) from None
