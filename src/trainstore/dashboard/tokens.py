"""The token that requests must carry where others can reach the server."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from trainstore.errors import InvalidArgumentError

TOKEN_VARIABLE = "TRAINSTORE_UI_TOKEN"
TOKEN_BYTES = 32
SHORTEST = 16  # characters


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_from_environment() -> str | None:
    """The token in ``TRAINSTORE_UI_TOKEN``.

    Raises:
        InvalidArgumentError: It cannot be one.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    return _checked(token, TOKEN_VARIABLE) if token else None


def token_of(path: Path) -> str:
    """The token in a file, which is made, for this user alone, if it does not exist.

    Raises:
        InvalidArgumentError: Others may read the file, it holds no token, or it can be neither read nor made.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return _token_in(path)
    except OSError as error:
        raise InvalidArgumentError(
            f"no token can be kept at {path}: {error.strerror}; name a file in a folder that exists and is yours"
        ) from None
    token = new_token()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{token}\n")
    return token


def _token_in(path: Path) -> str:
    try:
        if os.stat(path).st_mode & 0o077:
            raise InvalidArgumentError(f"others may read {path}: chmod 600 it, and change the token in it")
        found = path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"no token can be read from {path}: {error.strerror}; name another file") from None
    return _checked(found.decode("utf-8", "replace").strip(), str(path))


def _checked(token: str, place: str) -> str:
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidArgumentError(f"{place} holds no token: at least {SHORTEST} letters and digits, in one line")
    return token
