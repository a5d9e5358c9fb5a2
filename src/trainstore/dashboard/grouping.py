"""Which runs belong together: those that have the same in some columns of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from trainstore.dashboard.cells import Cell
from trainstore.dashboard.found import find_runs
from trainstore.dashboard.limits import check_number
from trainstore.dashboard.tables import runs as table_of
from trainstore.queries.reader import Reader


class Group(NamedTuple):
    """Some runs.

    Attributes:
        values: What they have in the columns that they are grouped by.
        label: The same for people: ``hp.lr=0.1, hp.optim=adam``.
        uids: The runs.
    """

    values: list[Cell]
    label: str
    uids: list[str]


def grouped(
    reader: Reader,
    by: Sequence[str],
    *,
    runs: Sequence[str] | None = None,
    groups: Sequence[Sequence[str]] | None = None,
    project: str | None = None,
    q: str | None = None,
) -> list[Group]:
    """Runs in groups, in the order of their values; numbers come first, and those without a value last.

    Args:
        reader: Of one snapshot.
        by: Ids of columns. Without one, all runs are one group.
        runs: Their uids; None: those of a filter.
        groups: These groups, which have no values.
        project: Only runs of this project.
        q: A filter as text.

    Raises:
        RunNotFoundError: None of the runs that were named is there.
        FilterError: As for the table of runs.
        LimitError: More runs than curves may have.
    """
    if groups is not None:
        check_number("runs", "curves_runs", {uid for group in groups for uid in group})
        found = find_runs(reader, [uid for group in groups for uid in group])
        named = [list(dict.fromkeys(found[uid].uid for uid in group if uid in found)) for group in groups]
        return [Group([], _several(uids), uids) for uids in named if uids]
    only = None if runs is None else list(dict.fromkeys(key.uid for key in find_runs(reader, runs).values()))
    table = table_of(reader, project=project, q=q, columns=["uid", *by], only=only)
    check_number("runs", "curves_runs", table["count"])
    cells = {column["id"]: column["values"] for column in table["columns"]}
    members: dict[tuple[Cell, ...], list[str]] = {}
    for row, uid in enumerate(cells["uid"]):
        # 1 and True, which are the same key, are in no column together: it would be one of texts.
        members.setdefault(tuple(cells[one][row] for one in by), []).append(uid)
    ordered = sorted(members.items(), key=lambda item: [_rank(value) for value in item[0]])
    return [Group(list(values), _label(by, values) or _several(uids), uids) for values, uids in ordered]


def _rank(value: Cell) -> tuple[Any, ...]:
    if value is None:
        return (2, 0)
    return (1, value) if isinstance(value, str) else (0, value)


def _label(by: Sequence[str], values: Sequence[Cell]) -> str:
    return ", ".join(f"{one}={_text(value)}" for one, value in zip(by, values, strict=True))


def _text(value: Cell) -> str:
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _several(uids: Sequence[str]) -> str:
    return f"{len(uids)} runs" if len(uids) != 1 else "1 run"
