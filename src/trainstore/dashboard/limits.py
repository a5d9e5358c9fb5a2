"""How much one question may ask for."""

from __future__ import annotations

from collections.abc import Collection

from trainstore.errors import InvalidArgumentError

LIMITS = {"runs": 20_000, "curves_runs": 500, "curves_metrics": 50, "points": 5_000}


class LimitError(InvalidArgumentError):
    """More was asked for than one answer may hold; the message names the limit."""


def check_number(name: str, limit: str, asked: Collection[object] | int) -> None:
    """Raise `LimitError` for more than ``LIMITS[limit]`` of something."""
    number = asked if isinstance(asked, int) else len(asked)
    if number > LIMITS[limit]:
        raise LimitError(f"{number:,} {name} were asked for, and {LIMITS[limit]:,} are the limit; ask for fewer")
