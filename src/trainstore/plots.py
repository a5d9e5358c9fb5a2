"""Pictures of metrics, drawn with matplotlib (the extra ``plots``). `TrainStore.plot` is the short way to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from trainstore.errors import InvalidArgumentError, TrainStoreError
from trainstore.queries.curves import Curve, Curves, read_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from trainstore.querying import QueryMethods

#: Okabe and Ito's colours, which colour-blind people tell apart too; without the yellow, which is too pale for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (8, 1.5, 1, 1.5, 1, 1.5)))
LEGEND_LIMIT = 12  # lines that a legend names
OUTSIDE = 6  # lines; a legend of more stands beside the axes
SPARSE = 60  # points, each of which is shown
BUCKETS = 1_000  # of a line that has more points than a picture can show


def plot_metrics(
    store: QueryMethods,
    runs: Any,
    metrics: str | Iterable[str],
    *,
    x: str = "step",
    smoothing: float = 0.0,
    group_by: str | None = None,
    ax: Axes | None = None,
    logy: bool = False,
) -> Axes:
    """Draw metrics of runs, and return the axes; all is said at `TrainStore.plot`, which calls this."""
    require_matplotlib()
    if ax is not None and not (hasattr(ax, "fill_between") and hasattr(ax, "get_xaxis_transform")):
        raise InvalidArgumentError(f"ax {ax!r} is not a matplotlib Axes; pass e.g. plt.subplots()[1], or None")
    with store._reader() as reader:
        curves = read_curves(reader, metrics, runs, x=x, smoothing=smoothing, group_by=group_by)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(7, 4), layout="constrained")[1]
    return draw(curves, ax, x=x, smoothing=smoothing, logy=logy)


def new_figure(rows: int = 1) -> Figure:
    """A figure that no window shows and that need not be closed."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(8, 4.5 * rows), layout="constrained")


def require_matplotlib() -> None:
    """Raise `TrainStoreError` if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise TrainStoreError(
            "plots need matplotlib, which is not installed: pip install 'trainstore[plots]'"
        ) from None


def draw(curves: Curves, ax: Axes, *, x: str = "step", smoothing: float = 0.0, logy: bool = False) -> Axes:
    """Draw curves: a colour for each run or group, dashes for each metric, and further dashes if colours run out.

    Raises:
        InvalidArgumentError: ``logy``, and no value is above 0.
    """
    check_drawable(curves, logy=logy)
    drawn = len(ax.get_legend_handles_labels()[1])  # by an earlier call, on the same axes
    order = {label: place for place, label in enumerate(dict.fromkeys(curve.label for curve in curves.curves))}
    several = len(curves.metrics) > 1
    for curve in curves.curves:
        round_, place = divmod(order[curve.label] + drawn, len(COLOURS))
        dash = DASHES[(round_ * len(curves.metrics) + curves.metrics.index(curve.metric)) % len(DASHES)]
        label = f"{curve.label}: {curve.metric}" if several else curve.label
        _draw_curve(ax, curve, COLOURS[place], dash, plain(label), dates=x == "time", smoothing=smoothing)
    if logy:
        ax.set_yscale("log", nonpositive="mask")
    ax.set_xlabel(curves.x_label)
    name = plain(", ".join(curves.metrics[:3]) + (", …" if len(curves.metrics) > 3 else ""))
    ax.set_ylabel(f"{name} (smoothing {smoothing:g})" if smoothing else name)
    _draw_legend(ax, curves.note)
    return ax


def check_drawable(curves: Curves, *, logy: bool) -> None:
    """Raise `InvalidArgumentError` if a logarithmic axis would show nothing."""
    if logy and not any((curve.y > 0).any() for curve in curves.curves):
        names = ", ".join(map(repr, curves.metrics))
        raise InvalidArgumentError(f"a logarithmic axis shows values above 0, and {names} has none; leave it out")


def _draw_curve(ax: Axes, curve: Curve, colour: str, dash: Any, label: str, *, dates: bool, smoothing: float) -> None:
    kept = thinned(curve)
    across = curve.x[kept]
    if dates:
        across = (across * 1e6).astype("datetime64[us]")
    line, logged = curve.smooth[kept], curve.y[kept]
    if smoothing and curve.band is None:
        ax.plot(across, _finite(logged), color=colour, alpha=0.25, linewidth=1, zorder=1.5)
    if curve.band is not None:
        low, high = (edge[kept] for edge in curve.band)
        ax.fill_between(across, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)
    dots = list(range(len(line))) if len(line) <= SPARSE else _alone(line)
    ax.plot(
        across,
        _finite(line),
        color=colour,
        linestyle=dash,
        linewidth=1.5,
        label=label,
        marker="o" if dots else "",
        markersize=3.5,
        markevery=dots or None,
    )
    odd = across[curve.marked[kept]]
    if len(odd):
        axis = ax.get_xaxis_transform()
        ax.plot(
            odd, [0.0] * len(odd), color=colour, linestyle="", marker="x", markersize=5, transform=axis, clip_on=False
        )


def thinned(curve: Curve, buckets: int = BUCKETS) -> NDArray[Any]:
    """Which points to draw of a long curve: of each bucket the ends, the extremes, and one that is marked."""
    import numpy as np

    count = len(curve.y)
    if count <= 4 * buckets:
        return np.arange(count)
    lines = [curve.y, curve.smooth, *(curve.band or ())]
    kept: set[int] = set()
    edges = np.linspace(0, count, buckets + 1).astype(int)
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        kept.update((start, end - 1))
        if curve.marked[start:end].any():
            kept.add(start + int(curve.marked[start:end].argmax()))
        for line in lines:
            part = line[start:end]
            finite = np.isfinite(part)
            if finite.any():
                kept.add(start + int(np.where(finite, part, np.inf).argmin()))
                kept.add(start + int(np.where(finite, part, -np.inf).argmax()))
    return np.array(sorted(kept))


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.where(np.isfinite(values), values, np.nan)


def _alone(values: NDArray[Any]) -> list[int]:
    """The points that no line would show, as their neighbours are not finite."""
    import numpy as np

    there = np.concatenate([[False], np.isfinite(values), [False]])
    places: list[int] = np.flatnonzero(there[1:-1] & ~there[:-2] & ~there[2:]).tolist()
    return places


def _draw_legend(ax: Axes, note: str) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if len(handles) == 1 and not note:
        ax.set_title(labels[0], fontsize="medium", loc="left")
        return
    more = len(handles) - LEGEND_LIMIT
    if more > 0:
        note = "\n".join(filter(None, (note, f"{LEGEND_LIMIT} of {len(handles)} lines are named")))
    ax.set_title("", loc="left")
    outside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if len(handles) > OUTSIDE else {}
    named = handles[:LEGEND_LIMIT], labels[:LEGEND_LIMIT]
    ax.legend(*named, title=note or None, fontsize="small", title_fontsize="small", **outside)


def plain(text: str) -> str:
    """Text that matplotlib shows as it is: no formula between two $, and no label that it hides for its underscore."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown
