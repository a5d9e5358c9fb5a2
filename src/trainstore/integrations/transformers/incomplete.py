"""The fields that could not be read: only they are missing, one warning names them, and the run lists them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from trainstore.run import ActiveRun
from trainstore.values import stored_name

_PLAIN = (bool, int, float, str, type(None))
_ABSENT = object()

logger = logging.getLogger("trainstore")

KEY = "incomplete"  # in the namespace env: the names of the missing fields

Unreadable = Callable[[str, Exception], None]  # takes the name of a field, and why it cannot be read


def raise_it(name: str, error: Exception) -> None:
    """An `Unreadable` for a reader that is used by itself."""
    raise error


class Incomplete:
    """The fields of one run that could not be read: ``hp.<argument>``, ``dbh.<fact>``, ``loss``, ``args.<name>``, …"""

    def __init__(self, run: ActiveRun) -> None:
        self._run = run
        self._names: set[str] = set()
        self._untold: dict[str, str] = {}  # name → why

    def go_on(self, run: ActiveRun) -> Incomplete:
        """For another attempt of the run: fields already known to be missing are not reported again."""
        other = Incomplete(run)
        other._names |= self._names
        return other

    def attempt(self, name: str, get: Callable[[], Any], default: Any = None) -> Any:
        """What ``get`` returns. If it raises, note the field for `tell` and return the default."""
        try:
            return get()
        except Exception as error:  # noqa: BLE001 - whatever a user's object raises
            self.note(name, type(error).__name__)
            return default

    def read(self, namespace: str, getters: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """The fields that can be read, by name. The others are noted for `tell`."""
        found = {}
        for name, get in getters.items():
            field = f"{namespace}.{stored_name(name)}"  # a user's name may be anything
            value = self.attempt(field, get, _ABSENT)
            if value is not _ABSENT:
                found[name] = value
                if type(value) not in _PLAIN and not _has_repr(value):
                    self.note(field, "a value whose repr() fails")
        return found

    def note(self, name: str, reason: str) -> None:
        """Note that a field is missing; `tell` reports it."""
        if name not in self._names:
            self._names.add(name)
            self._untold[name] = reason

    def tell(self) -> None:
        """Log one warning that names the fields noted since the last call, and record all missing fields in the run."""
        if self._untold:
            # Only the error's type: its text may contain a value.
            fields = ", ".join(f"{name} ({reason})" for name, reason in self._untold.items())
            self._untold.clear()
            logger.warning(
                "some fields cannot be read and will be missing from the run: %s; the training goes on", fields
            )
            self._run.log_hyperparams({KEY: sorted(self._names)}, "env")

    def lose(self, name: str, error: Exception) -> None:
        """A field of a step cannot be read: `note` and `tell` (an `Unreadable`)."""
        if name not in self._names:
            self.note(name, type(error).__name__)
            self.tell()


def _has_repr(value: object) -> bool:
    """Whether it can be kept as its ``repr``; of a container, whether what it holds can."""
    try:
        repr(value)
    except Exception:  # noqa: BLE001 - whatever a user's object raises
        return False
    return True
