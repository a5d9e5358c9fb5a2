"""Times that a user gives, in recorded values and in filters: the one rule for their time zone.

- A time with an offset is a moment, whatever its offset.
- A date, an ISO 8601 text or a NumPy ``datetime64`` without an offset is in UTC, like every time that a store shows.
- A naive `datetime`, or pandas' ``Timestamp``, is not a moment: most are local time (``datetime.now()``), and
  Python does not compare them with aware ones either.

A recorded time is kept as its ISO 8601 text (`iso_text`): in UTC if it has an offset, else as it is. A filter finds it
by the same time, in any type and with any offset, or by its text. The store's own times are compared with moments
(`utc`), so a naive datetime is refused there.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from trainstore.errors import InvalidArgumentError


def utc(value: Any) -> datetime:
    """The moment that a value means, in UTC. Raises `InvalidArgumentError` if it means none."""
    if type(value) is datetime and value.tzinfo is not None:
        return value.astimezone(UTC)
    time: object = value
    try:
        if isinstance(value, str):
            time = _or_utc(datetime.fromisoformat(value))
        elif isinstance(value, date) and not isinstance(value, datetime):
            time = datetime(value.year, value.month, value.day, tzinfo=UTC)
        elif is_numpy_time(value):
            time = _or_utc(value.astype("datetime64[us]").item())
    except ValueError:
        time = None
    if isinstance(time, datetime) and time != time:  # pandas' NaT
        raise InvalidArgumentError(f"{value!r} is a missing value; write column.is_(None)")
    if not isinstance(time, datetime):
        raise InvalidArgumentError(
            f"{value!r} is not a time; pass an aware datetime, a date or a text like '2026-01-31 12:00'"
        )
    if time.tzinfo is None:
        raise InvalidArgumentError(f"{value!r} has no time zone; pass an aware datetime, e.g. datetime.now(UTC)")
    plain: datetime = getattr(time, "to_pydatetime", lambda: time)()  # of pandas' Timestamp
    return plain.astimezone(UTC)


def iso_text(time: date) -> str:
    """A date or datetime as it is recorded: ISO 8601, in UTC if it has an offset."""
    if isinstance(time, datetime) and time.utcoffset() is not None:
        time = time.astimezone(UTC)
    return time.isoformat()


def as_iso_text(text: str) -> str | None:
    """The text that `iso_text` gives for the datetime that a text means; None if it means none."""
    try:
        return iso_text(datetime.fromisoformat(text)) if len(text) > len("2026-01-31") else None
    except (ValueError, OverflowError):
        return None


def is_numpy_time(value: object) -> bool:
    """Whether ``value`` is a NumPy ``datetime64``, or an array of them."""
    return getattr(getattr(value, "dtype", None), "kind", None) == "M"


def numpy_texts(array: Any) -> Any:
    """A NumPy array of times as (lists of) the texts that `iso_text` gives for the same datetimes or dates."""
    if array.dtype.str[3:].strip("[]") in ("h", "m"):  # "<M8[h]"
        array = array.astype("datetime64[s]")
    return _each(array.astype(str).tolist())


def _each(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_each(text) for text in texts]
    # NumPy shows as many digits as the unit has; Python none, or six.
    second, _, digits = texts.partition(".")
    digits = digits.rstrip("0")
    return f"{second}.{digits.ljust(6 if len(digits) <= 6 else 9, '0')}" if digits else second


def _or_utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time
