"""A command to paste: the options with which ``trainstore`` finds a store, never with a password."""

from __future__ import annotations

import json
import os
import re
import shlex

from trainstore.backends import Backend, open_backend
from trainstore.defaults import STORE_VARIABLE, default_prefix, default_store
from trainstore.errors import TrainStoreError

MAX_FILE_NAME = 60  # characters


def command_on(backend: Backend, prefix: str, words: str) -> str:
    """``trainstore WORDS``, with the options that name the store.

    If they would have to hold a password, they are left out and the text says where the URL belongs.
    """
    options = options_of(backend, prefix)
    if options is None:
        return f"trainstore {words} (with the URL of the database in {STORE_VARIABLE})"
    return f"trainstore {words}{options}"


def commands_to_look(backend: Backend, prefix: str, uid: str | None = None, name: str = "runs") -> dict[str, str]:
    """What shows a store, or one run of it, in a browser, now or elsewhere; nothing for a store in memory."""
    if backend.in_memory:
        return {}
    file = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:MAX_FILE_NAME] or "run"
    return {
        "in a browser": command_on(backend, prefix, "ui"),
        "as one file": command_on(backend, prefix, f"report {uid or '--all'} -o {shlex.quote(f'{file}.html')}"),
    }


def options_of(backend: Backend, prefix: str, *, anywhere: bool = False) -> str | None:
    """The options with which a command finds the store, "" if it does so without; None if they need a password.

    Args:
        backend: The store's database.
        prefix: Of its tables.
        anywhere: They are pasted in another process, whose folder and variables are not known.
    """
    options = ""
    if anywhere:
        options = f" --store {shlex.quote(_place_anywhere(backend))}"
    elif not _is_at(default_store(), backend):
        options = f" --store {shlex.quote(place_of(backend))}"
    if options and "***" in backend.safe_url:
        return None
    if prefix != ("" if anywhere else default_prefix()):
        options += f" --prefix {shlex.quote(prefix)}"
    return options


def code_of(backend: Backend, prefix: str) -> str:
    """The Python expression that opens the store in another process; where its URL has a password, it is left out."""
    arguments = [] if "***" in backend.safe_url else [json.dumps(_place_anywhere(backend), ensure_ascii=False)]
    if prefix:
        arguments.append(f"table_name_prefix={json.dumps(prefix)}")
    return f"TrainStore({', '.join(arguments)})"


def _place_anywhere(backend: Backend) -> str:
    return str(getattr(backend, "path", None) or place_of(backend))


def place_of(backend: Backend) -> str:
    """A store's path, seen from the current folder, or its URL without the password."""
    path = getattr(backend, "path", None)
    if backend.in_memory:
        return "memory"
    if path is None or "%" in backend.safe_url:
        return backend.safe_url.replace(":***@", "@")
    try:
        return str(path.relative_to(os.getcwd()))
    except (ValueError, OSError):
        return str(path)


def _is_at(target: str, backend: Backend) -> bool:
    try:
        return open_backend(target).safe_url == backend.safe_url
    except TrainStoreError:
        return False
