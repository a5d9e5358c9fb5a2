"""The registry of databases: from a connection string or path to the backend that serves it.

A scheme is looked up in three steps: what `register_backend` was given in this process, the entry points of the group
``trainstore.backends`` (a third party's package needs no change here), our own two. An unknown scheme raises
`StoreURLError`, which names the known ones.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from importlib.metadata import entry_points

from sqlalchemy import URL

from trainstore.backends.base import Backend
from trainstore.backends.urls import safe_url
from trainstore.errors import StoreURLError

ENTRY_POINT_GROUP = "trainstore.backends"
_BUILT_IN = {
    "sqlite": "trainstore.backends.sqlite:SQLiteBackend",
    "postgresql": "trainstore.backends.postgresql:PostgreSQLBackend",
    "postgres": "trainstore.backends.postgresql:PostgreSQLBackend",
}
_registered: dict[str, type[Backend]] = {}


def register_backend(scheme: str, backend: type[Backend]) -> None:
    """Serve URLs of a scheme by a backend, in this process, before any installed one.

    Args:
        scheme: What stands before ``://``.
        backend: A subclass of `Backend`.
    """
    _registered[scheme] = backend


def known_schemes() -> list[str]:
    """The URL schemes that can be opened now, sorted."""
    installed = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return sorted(installed | set(_BUILT_IN) | set(_registered))


def backend_class(scheme: str) -> type[Backend]:
    """The backend for a URL scheme. Raises `StoreURLError` if there is none."""
    if scheme in _registered:
        return _registered[scheme]
    if scheme not in _BUILT_IN:
        for point in entry_points(group=ENTRY_POINT_GROUP, name=scheme):
            loaded: type[Backend] = point.load()
            return loaded
        raise StoreURLError(
            f"no backend for {scheme!r}; known: {', '.join(known_schemes())}. "
            f"Another package can add one by an entry point in the group {ENTRY_POINT_GROUP!r}"
        )
    module, _, name = _BUILT_IN[scheme].partition(":")
    found: type[Backend] = getattr(import_module(module), name)
    return found


def open_backend(target: str | os.PathLike[str] | URL, *, echo: bool = False, read_only: bool = False) -> Backend:
    """The backend of a database; nothing is connected yet.

    Args:
        target: A connection string, an SQLAlchemy URL, or a path (SQLite; ``:memory:`` for one in memory).
        echo: Log every SQL statement.
        read_only: Nothing is written, and no database is made.

    Raises:
        StoreURLError: No backend serves it; the message never shows a password.
    """
    backend = _backend_of(target, echo)
    backend.read_only = read_only
    return backend


def _backend_of(target: str | os.PathLike[str] | URL, echo: bool) -> Backend:
    if isinstance(target, URL):
        text = target.render_as_string(hide_password=False)
    elif isinstance(target, os.PathLike):
        return backend_class("sqlite").from_path(str(os.fspath(target)), echo=echo)
    elif isinstance(target, str) and target:
        text = target
    else:
        raise StoreURLError(
            f"{target!r} is not a connection string: pass a path such as 'trainstore.db' or a database URL"
        )
    scheme, separator, _ = text.partition("://")
    if not separator:
        scheme, colon, _ = text.partition(":")
        if colon and re.fullmatch(r"[a-z0-9+]{3,}", scheme) and scheme.split("+")[0] in known_schemes():
            raise StoreURLError(
                f"{safe_url(text.replace(':', '://', 1))!r} is missing the two slashes after '{scheme}:'"
            )
        return backend_class("sqlite").from_path(text, echo=echo)
    return backend_class(scheme.split("+")[0].lower()).from_url(text, echo=echo)


def current_folder() -> str:
    """The folder that relative paths start from; "" if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def absolute_target(target: str | os.PathLike[str] | URL, folder: str) -> str | os.PathLike[str] | URL:
    """A target of `open_backend` that means the same database whatever ``chdir`` follows.

    Args:
        target: A path, a connection string, a URL. Nothing is connected.
        folder: The folder that a relative path starts from.

    Raises:
        StoreURLError: What `open_backend` refuses.
    """
    return open_backend(target).absolute(folder) or target


__all__ = [
    "ENTRY_POINT_GROUP",
    "Backend",
    "absolute_target",
    "backend_class",
    "current_folder",
    "known_schemes",
    "open_backend",
    "register_backend",
]
