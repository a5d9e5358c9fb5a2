"""``wandb.plot``: charts, as events of kind ``plot``; the rows of their tables become samples."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from trainstore.integrations.wandb.media import Chart
from trainstore.integrations.wandb.tables import Table

__all__ = [
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "plot_table",
    "pr_curve",
    "roc_curve",
    "scatter",
    "visualize",
]

Plot = Callable[..., Chart]


def _of_anything(plot: Plot) -> Plot:
    """A chart also of data that cannot be read: then an event without rows."""

    @functools.wraps(plot)
    def made(*args: Any, **kwargs: Any) -> Chart:
        try:
            return plot(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - no error of ours may reach a training
            return Chart(plot.__name__, unread=f"{type(error).__name__}: {error}"[:200])

    return made


def line(table: Table, x: str, y: str, stroke: str | None = None, title: str = "", **others: Any) -> Chart:
    """A line chart of two columns."""
    return Chart("line", table, x=x, y=y, title=title)


def scatter(table: Table, x: str, y: str, title: str = "", **others: Any) -> Chart:
    """A scatter chart of two columns."""
    return Chart("scatter", table, x=x, y=y, title=title)


def bar(table: Table, label: str, value: str, title: str = "", **others: Any) -> Chart:
    """A bar for each row."""
    return Chart("bar", table, label=label, value=value, title=title)


def histogram(table: Table, value: str, title: str = "", **others: Any) -> Chart:
    """A histogram of a column."""
    return Chart("histogram", table, value=value, title=title)


@_of_anything
def line_series(xs: Iterable[Any], ys: Iterable[Any], keys: Any = None, title: str = "", **others: Any) -> Chart:
    """Several lines; their points become a table."""
    lines = [list(one) for one in ys]
    xs = list(xs)
    names = list(keys) if keys is not None else [f"key_{number}" for number in range(len(lines))]
    axes = xs if xs and isinstance(xs[0], Iterable) else [xs] * len(lines)
    series = zip(axes, names, lines, strict=False)
    rows = [[x, name, y] for axis, name, points in series for x, y in zip(axis, points, strict=False)]
    return Chart("line_series", Table(columns=["step", "lineKey", "lineVal"], data=rows), title=title)


@_of_anything
def confusion_matrix(
    probs: Any = None, y_true: Any = None, preds: Any = None, class_names: Any = None, title: str = "", **others: Any
) -> Chart:
    """A confusion matrix: how often each class was predicted for each, as a table."""
    if preds is None and probs is not None:
        preds = [max(range(len(row)), key=row.__getitem__) for row in map(list, probs)]
    pairs = list(zip(_labels(y_true), _labels(preds), strict=False))
    names = list(class_names or ())
    counts: dict[tuple[Any, Any], int] = {}
    for pair in pairs:
        counts[pair] = counts.get(pair, 0) + 1
    rows = [[_name(names, true), _name(names, predicted), count] for (true, predicted), count in counts.items()]
    return Chart("confusion_matrix", Table(columns=["Actual", "Predicted", "nPredictions"], data=rows), title=title)


def roc_curve(y_true: Any = None, y_probas: Any = None, labels: Any = None, title: str = "", **others: Any) -> Chart:
    """A ROC curve; its points are not computed here."""
    return Chart("roc_curve", title=title or "ROC")


def pr_curve(y_true: Any = None, y_probas: Any = None, labels: Any = None, title: str = "", **others: Any) -> Chart:
    """A precision-recall curve; its points are not computed here."""
    return Chart("pr_curve", title=title or "Precision v. Recall")


def plot_table(vega_spec_name: str, data_table: Table, fields: Any, string_fields: Any = None, **others: Any) -> Chart:
    """A chart of the user's own kind."""
    return Chart(vega_spec_name, data_table)


def visualize(id: str, value: Table) -> Chart:
    """A chart of the user's own kind."""
    return Chart(id, value)


def _labels(values: Any) -> list[Any]:
    if values is None:
        return []
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _name(names: list[Any], label: Any) -> Any:
    return names[label] if isinstance(label, int) and 0 <= label < len(names) else label
