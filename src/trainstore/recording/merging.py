"""What several records of one step come to: one row, in which the last value of a metric counts.

A value that another one replaces is kept in the row's ``details["earlier"]``, ``{metric: [values]}``, in the order in
which they were recorded: several evaluations at one step, an evaluation's ``train_loss`` that the closing summary
replaces. The same value again does not replace. Invariant, by property test: ``earlier`` and then the value that
counts are all values recorded, each different from the one before, however the records are batched.
"""

from __future__ import annotations

from typing import Any

from trainstore.values import Json

EARLIER = "earlier"
OTHER_EARLIER = "details__earlier"  # what a caller's own details of that name are called, if they have another form
MAX_EARLIER = 1_000  # values of one metric in one row, the last ones: some loops log everything at step 0

Row = dict[str, Any]


def merge(into: Row, later: Row) -> None:
    """Merge a later row of the same step into one, key by key. The time stays that of the first record."""
    details = own_details(into["details"]) | own_details(later["details"])
    earlier = _earlier(into, later)
    if earlier:
        details[EARLIER] = earlier
    into["details"] = details or None
    into["logged_at"] = min(into["logged_at"], later["logged_at"])
    into["metrics"] = {**into["metrics"], **later["metrics"]}
    for name in ("epoch", "step_time"):
        if later[name] is not None:
            into[name] = later[name]


def own_details(details: dict[str, Json] | None) -> dict[str, Json]:
    """A step's details, in which ``earlier`` has the form above; what a caller called so is renamed."""
    if not details or EARLIER not in details or _is_earlier(details[EARLIER]):
        return details or {}
    return {OTHER_EARLIER if name == EARLIER else name: value for name, value in details.items()}


def differ(one: Json, other: Json) -> bool:
    """Whether two stored values are different. A number never equals a bool, unlike in Python; NaN is a text here."""
    return bool(one != other) or isinstance(one, bool) is not isinstance(other, bool)


def _earlier(into: Row, later: Row) -> dict[str, list[Json]]:
    result, added = earlier_of(into["details"]), earlier_of(later["details"])
    old, new = into["metrics"], later["metrics"]
    for name in sorted(added.keys() | (old.keys() & new.keys())):
        values = added.get(name, [])
        if name in old and name in new and differ(old[name], [*values, new[name]][0]):
            values = [old[name], *values]
        if values:
            result[name] = [*result.get(name, []), *values][-MAX_EARLIER:]
    return result


def earlier_of(details: dict[str, Json] | None) -> dict[str, list[Json]]:
    """The replaced values of a row, by metric."""
    found = (details or {}).get(EARLIER, {})
    return dict(found) if _is_earlier(found) else {}


def _is_earlier(value: Json) -> bool:
    return isinstance(value, dict) and all(isinstance(item, list) for item in value.values())
