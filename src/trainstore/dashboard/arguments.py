"""What a request asks for: names and values of its address, or of a JSON object in its body, checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from trainstore.dashboard.responses import ApiError


class Arguments:
    """The arguments of a request: those of its address, or of its body, which may hold longer lists.

    Args:
        values: Each name's values, in order.
        body: The object of the body, as it came.
    """

    def __init__(self, values: Mapping[str, Sequence[Any]], body: Mapping[str, Any] | None = None) -> None:
        self._values, self.body = values, body or {}

    @classmethod
    def of_query(cls, pairs: Sequence[tuple[str, str]]) -> Arguments:
        """Those of an address; a name may be repeated."""
        values: dict[str, list[Any]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        return cls(values)

    @classmethod
    def of_body(cls, body: bytes) -> Arguments:
        """Those of a JSON object; what is null is not there."""
        found = json_object(body)
        given = {name: value for name, value in found.items() if value is not None}
        return cls({name: value if isinstance(value, list) else [value] for name, value in given.items()}, found)

    def known(self, *names: str) -> Arguments:
        """These arguments, if they have no others: a mistyped name would be ignored otherwise."""
        for name in self._values:
            if name not in names:
                raise ApiError(
                    400, "argument", f"there is no argument {name!r} here", f"there are: {', '.join(sorted(names))}"
                )
        return self

    def all(self, name: str) -> list[Any]:
        """Every value of a name."""
        return list(self._values.get(name, ()))

    def texts(self, name: str, most: int | None = None) -> list[str]:
        """Every value of a name, each a text; at most so many."""
        found = self.all(name)
        for value in found:
            if not isinstance(value, str) or "\0" in value:  # no database takes a NUL
                raise ApiError(400, "argument", f"{name}: {value!r} is not a text")
        if most is not None and len(found) > most:
            raise ApiError(413, "limit", f"{len(found):,} values of {name}; the limit is {most:,}", "ask for fewer")
        return found

    def some(self, name: str, most: int | None = None) -> list[str] | None:
        """As `texts`; None if the name is not given. An empty list is an error: it must not be taken for all."""
        if name not in self._values:
            return None
        found = self.texts(name, most)
        if not found:
            raise ApiError(400, "argument", f"{name} is an empty list", f"name at least one, or leave {name} out")
        return found

    def lists(self, name: str) -> list[list[str]]:
        """Several lists of texts; in an address the texts of each are joined by commas."""
        found = [one.split(",") if isinstance(one, str) else one for one in self.all(name)]
        for one in found:
            if not isinstance(one, list) or not all(isinstance(item, str) and "\0" not in item for item in one):
                raise ApiError(400, "argument", f"{name}: {one!r} is not a list of texts")
        return found

    def text(self, name: str, usual: str | None = None) -> str | None:
        """The one value of a name; ``usual`` if there is none or it is empty."""
        found = self.texts(name)
        if len(found) > 1:
            raise ApiError(400, "argument", f"{name} is given {len(found)} times", "give it once")
        return found[0] if found and found[0] else usual

    def choice(self, name: str, choices: Collection[str], usual: str) -> str:
        """One of several words."""
        found = self.text(name, usual)
        assert found is not None
        if found not in choices:
            raise ApiError(400, "argument", f"{name}={found!r} is not one of {', '.join(choices)}")
        return found

    def flag(self, name: str, usual: bool = False) -> bool:
        """1 or 0."""
        value = self._one(name)
        if value is None:
            return usual
        if value not in ("0", "1", 0, 1):
            raise ApiError(400, "argument", f"{name}={value!r} is neither 0 nor 1")
        return bool(int(value))

    def count(self, name: str, usual: int, least: int = 0, most: int | None = None) -> int:
        """A whole number."""
        value = self._one(name)
        if value is None:
            return usual
        try:
            number = int(value)
            if number != value and not isinstance(value, str):
                raise ValueError
        except (TypeError, ValueError):
            raise ApiError(400, "argument", f"{name}={value!r} is not a whole number") from None
        if number < least:
            raise ApiError(400, "argument", f"{name}={number} is below {least}")
        if most is not None and number > most:
            raise ApiError(413, "limit", f"{name}={number:,} is above the limit of {most:,}", "ask for fewer")
        return number

    def number(self, name: str) -> float | None:
        """A number, or None if it is not given."""
        value = self._one(name)
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not abs(number) < float("inf"):
            raise ApiError(400, "argument", f"{name}={value!r} is not a finite number")
        return number

    def _one(self, name: str) -> Any:
        found = self.all(name)
        if len(found) > 1:
            raise ApiError(400, "argument", f"{name} is given {len(found)} times", "give it once")
        return None if not found or found[0] == "" else found[0]


def json_object(body: bytes) -> dict[str, Any]:
    """A body as the JSON object that it must be."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "body", f"the body is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ApiError(400, "body", f"the body is a JSON {type(found).__name__}, not an object")
    return found
