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
GRADIENTS = "grad_norm/"  # begins the names of the metrics that GradLogger records of layers
MOST_LAYERS = 40  # that are named on the axis
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
    _check_axes(ax)
    with store._reader() as reader:
        curves = read_curves(reader, metrics, runs, x=x, smoothing=smoothing, group_by=group_by)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(7, 4), layout="constrained")[1]
    return draw(curves, ax, x=x, smoothing=smoothing, logy=logy)


def _check_axes(ax: Any) -> None:
    if ax is not None and not (hasattr(ax, "fill_between") and hasattr(ax, "get_xaxis_transform")):
        raise InvalidArgumentError(f"ax {ax!r} is not a matplotlib Axes; pass e.g. plt.subplots()[1], or None")


def plot_gradient_flow(store: QueryMethods, run: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how gradients flow through a model: its layers over the steps, in the colours of their gradients' norms.

    It draws the metrics ``grad_norm/<layer>``, which `trainstore.callbacks.GradLogger` records, on a logarithmic scale;
    the first layer is at the bottom. A norm of zero, or one that was not measured, is grey. NaN and infinities are
    marked by ×.

    Args:
        store: A store, or a snapshot of one.
        run: A run.
        ax: The axes to draw on; None: new ones in a new figure.

    Returns:
        The matplotlib axes: ``ax.figure.savefig("gradients.png")`` saves it.

    Raises:
        InvalidArgumentError: The run has no such metrics, or ``ax`` is not a matplotlib Axes.
        RunNotFoundError, RunNotUniqueError: As for `TrainStore.get_run`.
        TrainStoreError: matplotlib is not installed.
    """
    require_matplotlib()
    _check_axes(ax)
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    layers, steps, norms = _gradient_norms(store, run)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(7, min(12, 2 + 0.25 * len(layers))), layout="constrained")[1]
    positive = np.isfinite(norms) & (norms > 0)
    low, high = (norms[positive].min(), norms[positive].max()) if positive.any() else (1.0, 1.0)
    edges = _edges(steps)
    mesh = ax.pcolormesh(
        edges,
        np.arange(len(layers) + 1) - 0.5,
        np.ma.masked_array(norms, ~positive),
        norm=LogNorm(low, high if high > low else 10 * low),
        cmap=colormaps["viridis"].with_extremes(bad="0.85"),
        rasterized=True,  # in a file of vectors, too: there may be a hundred thousand cells
    )
    ax.figure.colorbar(mesh, ax=ax, label="norm of the gradients")
    rows, columns = np.nonzero(~np.isfinite(norms) & (norms != _MISSING))
    ax.plot(steps[columns], rows, linestyle="", marker="x", color=COLOURS[1], markersize=4)
    every = -(-len(layers) // MOST_LAYERS)
    ax.set_yticks(range(0, len(layers), every), [plain(layer) for layer in layers[::every]], fontsize="small")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel("step")
    return ax


_MISSING = float("-inf")  # which no norm is


def _gradient_norms(store: QueryMethods, run: Any) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
    """The layers in the order of the model, the steps at which they were measured, and layers × steps of norms."""
    import numpy as np

    names = [name for name in store.list_metrics(run)["metric"] if name.startswith(GRADIENTS)]
    if not names:
        raise InvalidArgumentError(
            f"this run has no metrics {GRADIENTS}<layer>: trainstore.callbacks.GradLogger records them"
        )
    orders = store.list_events(run, kind="gradient_layers")["details"]
    order = {GRADIENTS + layer: place for details in orders for place, layer in enumerate(details["layers"])}
    names.sort(key=lambda name: (order.get(name, len(order)), name))
    logged = store.list_step_logs([run], metrics=names, tidy=True)
    steps = np.unique(logged["step"].to_numpy())
    norms = np.full((len(names), len(steps)), _MISSING)
    rows = {name: row for row, name in enumerate(names)}
    norms[[rows[name] for name in logged["metric"]], np.searchsorted(steps, logged["step"])] = logged["value"]
    return [name.removeprefix(GRADIENTS) for name in names], steps, norms


def _edges(steps: NDArray[Any]) -> NDArray[Any]:
    """Where the cells of these steps begin and end: half-way to their neighbours."""
    import numpy as np

    between = (steps[:-1] + steps[1:]) / 2
    first, last = (between[0], between[-1]) if len(steps) > 1 else (steps[0] + 0.5, steps[0] - 0.5)
    return np.concatenate([[2 * steps[0] - first], between, [2 * steps[-1] - last]])


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
