"""The tokens of a filter, and what a value that is written there means: a number, a text, a span of time, a moment."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from trainstore.errors import InvalidArgumentError
from trainstore.times import utc
from trainstore.values import plain_text


class Token(NamedTuple):
    """A word, a text in quotes, an operator or a mark; ``raw`` is how it is written."""

    kind: str
    text: str
    position: int
    raw: str

    @property
    def keyword(self) -> str:
        """Its text if it is not in quotes, in small letters: keywords have no case."""
        return "" if self.kind == "text" else self.text.lower()


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\Z", re.ASCII | re.IGNORECASE)
_SPECIAL = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
_SPAN = re.compile(r"(?:(?:\d{1,9}(?:\.\d{1,9})?)[smhdw])+\Z", re.ASCII | re.IGNORECASE)
_SPAN_PART = re.compile(r"([\d.]+)([smhdw])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def number(token: Token) -> int | float | None:
    """The number that a word is, ``nan`` and ``inf`` among them; None if it is none."""
    if token.kind == "text":
        return None
    name = token.keyword.lstrip("+-")
    if name in _SPECIAL and len(token.text) - len(name) <= 1:
        return -_SPECIAL[name] if token.text.startswith("-") else _SPECIAL[name]
    if not _NUMBER.match(token.text):
        return None
    return int(token.text) if name.isdigit() and len(name) <= 300 else float(token.text)


def seconds(token: Token) -> int | float | None:
    """The seconds that ``90``, ``2h`` or ``1h30m`` mean; None if the text is not a span of time."""
    found = None if token.kind == "text" else span(token.text)
    return number(token) if found is None else found


def span(text: str) -> float | None:
    """The seconds that ``2h``, ``1h30m`` or ``7d`` mean; None if the text is not a span of time with a unit."""
    if not _SPAN.match(text):
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in _SPAN_PART.findall(text.lower()))


def moment(token: Token, now: Callable[[], datetime]) -> datetime | None:
    """The time that an ISO date means, in UTC if it has no offset, or ``-7d``, so long before now; None if none."""
    ago = token._replace(text=token.text[1:])
    try:
        if token.text.startswith("-") and _SPAN.match(ago.text):
            return now() - timedelta(seconds=seconds(ago) or 0)
        return utc(token.text) if token.text[4:5] == "-" else None  # 20260131 is rather a number
    except (OverflowError, InvalidArgumentError):
        return None


def value(token: Token) -> bool | int | float | str:
    """What a value is that may be of any type."""
    if token.keyword in ("true", "false"):
        return token.keyword == "true"
    found = number(token)
    return token.text if found is None else found


def containing(token: Token) -> Callable[[Any], bool]:
    """A test whether a value is a text that contains this one, letters without case, or a list with such a text."""
    wanted = _folded(plain_text(token.text))

    def holds(value: Any) -> bool:
        if isinstance(value, list):
            return any(isinstance(item, str) and wanted in _folded(item) for item in value)
        return isinstance(value, str) and wanted in _folded(value)

    return holds


def _folded(text: str) -> str:
    """In one form for all ways to write it: databases know the capitals of some alphabets only, and not the same."""
    return unicodedata.normalize("NFC", text.casefold())
