"""What differs between runs, and what models wrote: the answers ``compare`` and ``samples``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainstore.dashboard.cells import encoded, plain
from trainstore.dashboard.found import each_once, find_runs
from trainstore.dashboard.limits import check_number
from trainstore.queries import compare_runs, list_samples
from trainstore.queries.reader import Reader

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_SAMPLES = 5_000


def compare(reader: Reader, runs: Sequence[str], *, everything: bool = False) -> dict[str, Any]:
    """The answer ``compare``: the column ``key``, and one for each run, whose id is the run's uid.

    Runs that were deleted are left out. Errors as for `found.find_runs`, and `LimitError`.
    """
    check_number("runs", "curves_runs", runs)
    uids = [key.uid for key in each_once(find_runs(reader, runs).values())]
    frame = compare_runs(reader, uids, everything=everything, columns="uid")
    columns = [{"id": "key", "kind": "text", "values": [str(key) for key in frame.index]}]
    columns += [
        {"id": str(uid), "kind": "json", "values": [plain(python(value)) for value in frame[uid].tolist()]}
        for uid in frame.columns
    ]
    return {"count": len(frame), "columns": columns}


def samples(reader: Reader, runs: Sequence[str], *, name: str | None = None) -> dict[str, Any]:
    """The answer ``samples``: the columns of ``TrainStore.list_samples``, with ``uid`` for the run.

    Of more than `MOST_SAMPLES` samples, those of the last steps; ``count`` is that of all. Errors as for `compare`.
    """
    check_number("runs", "curves_runs", runs)
    uids = [key.uid for key in each_once(find_runs(reader, runs).values())]
    frame = list_samples(reader, uids, name=name or None)
    shown = (
        frame.sort_values("step", kind="stable").tail(MOST_SAMPLES).sort_index() if len(frame) > MOST_SAMPLES else frame
    )
    return {"count": len(frame), "columns": frame_columns(shown.rename(columns={"run": "uid"}))}


def frame_columns(frame: DataFrame) -> list[dict[str, Any]]:
    """The columns of a frame with their kinds and cells."""
    columns = []
    for name in frame.columns:
        series = frame[name]
        if str(series.dtype).startswith("datetime64"):
            kind, cells = "time", [None if value is None else value.timestamp() for value in _objects(series)]
        else:
            kind, cells = encoded([python(value) for value in _objects(series)], None)
        columns.append({"id": str(name), "kind": kind, "values": cells})
    return columns


def _objects(series: Any) -> list[Any]:
    """The values, None where one is missing; NaN in a column of floats is missing, too."""
    there = series.notna().tolist()
    values: list[Any] = series.astype(object).tolist()
    if series.dtype == object:
        return values
    return [value if is_there else None for value, is_there in zip(values, there, strict=True)]


def python(value: Any) -> Any:
    """NumPy's scalars and pandas' NA as Python's."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
