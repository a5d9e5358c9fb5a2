"""Two stored rows of one step of one attempt: which values count, and which are kept as earlier ones."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from trainstore.recording.merging import EARLIER, MAX_EARLIER, earlier_of, own_details
from trainstore.recording.merging import differ as differ_exactly
from trainstore.values import Json

Row = dict[str, Any]


class News(NamedTuple):
    """Who has heard more of the writers of a row."""

    there: bool  # the source
    here: bool  # the target
    theirs_last: bool  # the one that started last is heard further there


def join_rows(mine: Row, theirs: Row, news: News) -> tuple[Row, list[tuple[str, Json, Json]]]:
    """The row that holds both, and (name, value that counts, other value) of what differs though both have news.

    The result is the same from both sides.
    """
    if not news.here:
        # What is here is part of what is there; numbers may have passed through another database.
        return (mine if _same(mine, theirs) else theirs), []
    winner, loser = (theirs, mine) if news.theirs_last else (mine, theirs)
    kept_by_winner, kept_by_loser = earlier_of(winner["details"]), earlier_of(loser["details"])
    metrics = {**loser["metrics"], **winner["metrics"]}
    earlier: dict[str, list[Json]] = {}
    differing = []
    for name in sorted(metrics):
        winners = _values(winner, kept_by_winner, name)
        losers = _values(loser, kept_by_loser, name)
        if _begins(losers, winners):
            values = losers  # it went on there
        else:
            others = [value for value in losers if all(differ(value, other) for other in winners)]
            values = [*others, *winners]
            if others:
                differing.append((name, winners[-1], others[-1]))
        metrics[name] = values[-1]
        if len(values) > 1:
            earlier[name] = values[:-1][-MAX_EARLIER:]
    details = own_details(loser["details"]) | own_details(winner["details"])
    details.pop(EARLIER, None)
    if earlier:
        details[EARLIER] = earlier
    joined = {
        "step": mine["step"],
        "logged_at": min(mine["logged_at"], theirs["logged_at"]),
        "metrics": metrics,
        "details": details or None,
        **{name: loser[name] if winner[name] is None else winner[name] for name in ("epoch", "step_time")},
    }
    return (mine if _same(mine, joined) else joined), differing


def differ(one: Json, other: Json) -> bool:
    """Whether two stored values differ, numbers as float64: PostgreSQL's jsonb makes 1e16 a whole number."""
    return differ_exactly(one, other) and differ_exactly(_as_float64(one), _as_float64(other))


def _as_float64(value: Json) -> Json:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if abs(value) <= sys.float_info.max else value
    if isinstance(value, list):
        return [_as_float64(item) for item in value]
    return {key: _as_float64(item) for key, item in value.items()} if isinstance(value, dict) else value


def _values(row: Row, earlier: dict[str, list[Json]], name: str) -> list[Json]:
    return [*earlier.get(name, []), row["metrics"][name]] if name in row["metrics"] else []


def _begins(longer: list[Json], shorter: list[Json]) -> bool:
    """Whether values begin with others."""
    return len(shorter) <= len(longer) and not any(
        differ(one, other) for one, other in zip(longer, shorter, strict=False)
    )


def _same(one: Row, other: Row) -> bool:
    return all(one[name] == other[name] for name in ("logged_at", "epoch", "step_time")) and not (
        differ(one["metrics"], other["metrics"]) or differ(one["details"], other["details"])
    )
