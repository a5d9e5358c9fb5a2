"""The curves of metrics: what plots draw, in a window as in a terminal.

Smoothing is an exponential mean that is debiased, so that it does not begin at zero::

    mean_i = sum(w_ij * y_j) / sum(w_ij),   w_ij = smoothing ** ((x_i - x_j) / gap)

over the finite values up to i, where ``gap`` is the usual (median) distance of two points. If all points are equally
far apart, this is the curve of TensorBoard, which divides its mean by ``1 - smoothing ** i`` (its line chart's
``resmoothDataset``); that distances count is W&B's "time weighted EMA".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, true

from trainstore.errors import InvalidArgumentError
from trainstore.queries.columns import hyperparam_columns
from trainstore.queries.frames import COUNT, NUMBER, TIME, comparable, times
from trainstore.queries.metric_columns import cells
from trainstore.queries.names import did_you_mean, resolve_name, run_labels
from trainstore.queries.reader import Reader, RunKey, among, resolve_runs
from trainstore.queries.runs import check_choice
from trainstore.queries.steps import read_steps, step_source
from trainstore.values import number_of, stored_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

X_AXES = ("step", "epoch", "time", "relative")
NEWEST = 10  # runs, if none are named
_UNITS = (("s", 1.0, 120.0), ("min", 60.0, 7_200.0), ("h", 3_600.0, 172_800.0), ("days", 86_400.0, float("inf")))
_COLUMNS = ("epoch", "step_time")  # stand beside a step's metrics


@dataclass(slots=True)
class Curve:
    """One metric of a run or, if runs were grouped, of a group: arrays of the same length, by step."""

    metric: str
    label: str
    runs: list[str]
    step: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]  # as logged; of a group the mean
    smooth: NDArray[Any]
    marked: NDArray[Any]  # whether a NaN or an infinity was logged there
    band: tuple[NDArray[Any], NDArray[Any]] | None = None  # of a group: minimum and maximum


@dataclass(slots=True)
class Curves:
    """What one plot shows."""

    metrics: list[str]
    x_label: str
    curves: list[Curve] = field(default_factory=list)
    note: str = ""  # what is not shown


def read_curves(
    reader: Reader,
    metrics: str | Iterable[str],
    runs: object = None,
    *,
    x: str = "step",
    smoothing: float = 0.0,
    group_by: str | None = None,
    newest: bool = False,
) -> Curves:
    """The curves of metrics over the current steps of runs; arguments and errors are those of `QueryMethods.plot`.

    ``newest``: of these runs, only the `NEWEST` newest that have one of the metrics; ``runs=None`` is that of all.
    """
    names = _metric_names(metrics)
    check_choice("x", x, X_AXES)
    if isinstance(smoothing, bool) or not isinstance(smoothing, int | float) or not 0 <= smoothing < 1:
        raise InvalidArgumentError(f"smoothing {smoothing!r} is not a number from 0 (none) to below 1; try 0.9")
    if group_by is not None and x == "time":
        raise InvalidArgumentError("runs of a group were trained at different times; pass x='relative' or 'step'")
    given = None if runs is None else resolve_runs(reader, runs)
    keys, note = _newest(reader, names, given) if given is None or newest else (given, "")
    if not keys:
        raise InvalidArgumentError(
            f"there are no runs to plot: runs is {'an empty list' if runs is not None else runs}"
        )
    facts = _facts(reader, keys)
    _check_known(reader, names, keys)
    labels = run_labels({run: name for run, name, _ in facts.values()})
    found = Curves(names, "", note=note)
    members: dict[tuple[str, int], Curve] = {}
    for key in keys:
        for curve in _of_run(reader, key, names, x, facts[key.id][2] if key.id in facts else None):
            curve.label = labels.get(key.id, key.uid)
            curve.smooth = smoothed(curve.x, curve.y, smoothing)
            members[curve.metric, key.id] = curve
    if not members:
        without = f"an {x}" if x == "epoch" else "such a value"
        raise InvalidArgumentError(f"there is nothing to plot: no step of these runs has {without}; pass x='step'")
    groups = _groups(reader, group_by, keys) if group_by is not None else {}
    for name in names:
        if group_by is None:
            found.curves += [members[name, key.id] for key in keys if (name, key.id) in members]
        for label, of_group in groups.items():
            curves = [members[name, key.id] for key in of_group if (name, key.id) in members]
            if curves:
                found.curves.append(_group(label, curves))
    found.x_label = _scale(found.curves, x)
    return found


# --- Which runs and metrics ------------------------------------------------------------------------------------------


def _metric_names(metrics: object) -> list[str]:
    wanted = [metrics] if isinstance(metrics, str) else list(metrics) if isinstance(metrics, Iterable) else []
    if not wanted or not all(isinstance(name, str) and name for name in wanted):
        raise InvalidArgumentError(f"metric {metrics!r} is neither a metric's name nor a list of names")
    return list(dict.fromkeys(map(stored_name, wanted)))


def _newest(reader: Reader, names: Sequence[str], given: Sequence[RunKey] | None) -> tuple[list[RunKey], str]:
    """The newest runs (of those given) that have one of these metrics, and what is left out."""
    run, summary = reader.models.run.c, reader.models.metric_summary.c
    statement = select(run.id, run.uid).order_by(run.started_at.desc(), run.id.desc())
    if not set(names) & set(_COLUMNS):
        having = select(summary.run_id).where(summary.metric.in_(names), summary.count > 0)
        statement = statement.where(run.id.in_(having))
    keys = [RunKey(*row) for row in reader.rows(statement)]
    if given is not None:
        wanted = set(given)
        keys = [key for key in keys if key in wanted]
    note = f"the {NEWEST} newest of {len(keys)} runs" if len(keys) > NEWEST else ""
    if not keys and (given is None or given):
        _check_known(reader, names, given)
    return keys[:NEWEST], note


def _check_known(reader: Reader, names: Sequence[str], keys: Sequence[RunKey] | None) -> None:
    """Raise `InvalidArgumentError` for a metric of which none of these runs (None: of all) has a number."""
    summary = reader.models.metric_summary.c
    statement = select(summary.metric).where(summary.count > 0).distinct()
    conditions = [true()] if keys is None else among(summary.run_id, [key.id for key in keys])
    known = sorted({name for where in conditions for (name,) in reader.rows(statement.where(where))})
    for name in names:
        if name not in known and name not in _COLUMNS:
            whose = "no run has" if keys is None else "none of these runs has"
            raise InvalidArgumentError(f"{whose} numbers of the metric {name!r}{did_you_mean(name, known)}")


def _facts(reader: Reader, keys: Sequence[RunKey]) -> dict[int, tuple[int, str, Any]]:
    """Id, name and start of each run."""
    run = reader.models.run.c
    statement = select(run.id, run.name, run.started_at)
    rows = (row for where in among(run.id, [key.id for key in keys]) for row in reader.rows(statement.where(where)))
    return {row[0]: (row[0], row[1], row[2]) for row in rows}


# --- Points ----------------------------------------------------------------------------------------------------------


def _of_run(reader: Reader, key: RunKey, names: Sequence[str], x: str, started: Any) -> Iterable[Curve]:
    """The metrics of a run that have numbers; a step without one is not a point of the curve."""
    import numpy as np

    fixed = [("step", COUNT), *((name, NUMBER) for name in _COLUMNS), ("logged_at", TIME)]
    steps = read_steps(reader, step_source(reader, [key], "current"), [key], fixed, list(names))
    if not steps.length:
        return
    step = np.asarray(steps.fixed["step"], dtype=np.int64)
    if x == "step":
        across = step.astype(np.float64)
    elif x == "epoch":
        across = _floats(steps.fixed["epoch"])
    else:
        across = times(steps.fixed["logged_at"]).as_unit("us").asi8 / 1e6
        across = across - started.timestamp() if x == "relative" else across
    for name in names:
        values = [number_of(cell) if isinstance(cell, int | float) else None for cell in cells(steps.metrics[name])]
        if name in _COLUMNS:
            beside = steps.fixed[name].tolist()
            values = [
                other if value is None and other == other else value
                for value, other in zip(values, beside, strict=True)
            ]
        there = np.array([value is not None for value in values], dtype=np.bool_) & ~np.isnan(across)
        if there.any():
            y = _floats(values)[there]
            yield Curve(name, "", [key.uid], step[there], across[there], y, y, ~np.isfinite(y))


def _floats(values: Iterable[Any]) -> NDArray[Any]:
    import numpy as np

    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def smoothed(x: NDArray[Any], y: NDArray[Any], smoothing: float) -> NDArray[Any]:
    """The exponential mean of the module's formula; NaN where the value is not finite."""
    import numpy as np

    finite = np.isfinite(y)
    result = np.where(finite, y, np.nan)
    if not smoothing or not finite.any():
        return result
    gaps = np.maximum(np.diff(x[finite]), 0.0)
    usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 1.0
    fading = smoothing ** (gaps / usual)
    mean, weight = 0.0, 0.0
    means = []
    for value, factor in zip(y[finite].tolist(), [0.0, *fading.tolist()], strict=True):
        weight = weight * factor + 1
        mean += value / weight - mean / weight
        means.append(mean)
    result[finite] = means
    return result


def _scale(curves: Sequence[Curve], x: str) -> str:
    """The label of the x axis; relative times are brought to a unit that suits the longest."""
    if x != "relative":
        return "time (UTC)" if x == "time" else x
    longest = max((float(curve.x.max()) for curve in curves), default=0.0)
    unit, seconds, _ = next(unit for unit in _UNITS if longest < unit[2])
    for curve in curves:
        curve.x = curve.x / seconds
    return f"time since the run's start ({unit})"


# --- Groups ----------------------------------------------------------------------------------------------------------


def _groups(reader: Reader, group_by: str, keys: Sequence[RunKey]) -> dict[str, list[RunKey]]:
    """The runs that have the same value, by what they have, in the order of the values."""
    name = resolve_name(reader, group_by)
    (column,) = hyperparam_columns(reader, {key.id: row for row, key in enumerate(keys)}, [group_by]).values()
    values = [None if value != value else value for value in column.astype(object).tolist()]
    if all(value is None for value in values):
        table = reader.models.hyperparam.c
        statement = select(table.namespace, table.key).where(table.namespace.in_(("hp", "tag"))).distinct()
        known = sorted(key if space == "hp" else f"{space}.{key}" for space, key in reader.rows(statement))
        raise InvalidArgumentError(
            f"none of these runs has the hyperparameter {group_by!r} ({name.namespace}){did_you_mean(group_by, known)}"
        )
    by_value: dict[Any, tuple[Any, list[RunKey]]] = {}
    for key, value in zip(keys, values, strict=True):
        by_value.setdefault(comparable(value), (value, []))[1].append(key)
    numbers = all(value is None or isinstance(value, int | float) for value in values)
    ordered = sorted(by_value.values(), key=lambda group: (group[0] is None, group[0] if numbers else str(group[0])))
    return {_group_label(group_by, value, len(of_group)): of_group for value, of_group in ordered}


def _group_label(name: str, value: Any, count: int) -> str:
    text = f"no {name}" if value is None else f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
    return f"{text} ({count} runs)" if count > 1 else text


def _group(label: str, curves: Sequence[Curve]) -> Curve:
    """Mean and extremes of runs, at the steps that every run has which comes so far.

    If they hardly meet (each run logs at other steps), values between two steps are interpolated. A mean is over the
    finite values; if one is not finite, the step is marked.
    """
    import numpy as np

    first = curves[0]
    if len(curves) == 1:
        return Curve(first.metric, label, first.runs, first.step, first.x, first.y, first.smooth, first.marked)
    steps = np.unique(np.concatenate([curve.step for curve in curves]))
    reached = np.array([(steps >= curve.step[0]) & (steps <= curve.step[-1]) for curve in curves])
    logged = np.array([np.isin(steps, curve.step) for curve in curves])
    common = (logged | ~reached).all(axis=0)
    shared = reached.sum(axis=0) > 1
    interpolated = (common & shared).sum() <= (logged & shared).sum(axis=1).min() / 2
    kept = np.ones_like(common) if interpolated else common
    steps, there = steps[kept], reached[:, kept]

    def table(name: str) -> NDArray[Any]:
        rows = [np.interp(steps, curve.step, getattr(curve, name)) for curve in curves]
        return np.where(there, rows, np.nan)

    y, smooth, marked = table("y"), table("smooth"), table("marked") > 0
    low = np.where(np.isfinite(smooth), smooth, np.inf).min(axis=0)
    high = np.where(np.isfinite(smooth), smooth, -np.inf).max(axis=0)
    band = tuple(np.where(np.isfinite(edge), edge, np.nan) for edge in (low, high))
    return Curve(
        metric=first.metric,
        label=label,
        runs=[uid for curve in curves for uid in curve.runs],
        step=steps,
        x=np.maximum.accumulate(_mean(table("x"))),
        y=_mean(y),
        smooth=_mean(smooth),
        marked=np.asarray(marked.any(axis=0)),
        band=(band[0], band[1]),
    )


def _mean(rows: NDArray[Any]) -> NDArray[Any]:
    """Of each column, over what is finite."""
    import numpy as np

    finite = np.isfinite(rows)
    count = finite.sum(axis=0)
    return np.where(count > 0, np.where(finite, rows, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
