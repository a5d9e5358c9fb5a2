"""A notebook: its cells are run again, and an exception ends a cell, not the process."""

from __future__ import annotations

import sys


def in_notebook() -> bool:
    """Whether this is a notebook, where a cell may be run again."""
    if "google.colab" in sys.modules:
        return True
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get is not None and type(get()).__name__ == "ZMQInteractiveShell"


def last_error() -> BaseException | None:
    """The exception that ended a cell last, if one did."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) else None
