"""The libraries that adapters are for: only an adapter's own module imports one, and says what to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trainstore.errors import TrainStoreError


class MissingLibraryError(TrainStoreError, ImportError):
    """The library that an adapter is for is not installed; the message says how to install it."""


@contextmanager
def needs(*libraries: str, extra: str) -> Iterator[None]:
    """Import a library inside this block.

    Args:
        *libraries: The top-level modules that are imported. That another module is missing stays its own error.
        extra: The extra of trainstore that brings them; the adapter's module has the same name.

    Raises:
        MissingLibraryError: One of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in libraries:
            raise
        raise MissingLibraryError(
            f"trainstore.integrations.{extra} needs {missing}, which is not installed: "
            f"pip install 'trainstore[{extra}]'",
            name=error.name,
        ) from error
