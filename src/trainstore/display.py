"""How results look: the first columns of a run table, values as text, HTML for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

#: The metrics that the callbacks record: where the main ones are shown, these come first.
SHOWN_METRICS = ("eval_loss", "loss", "train_loss", "eval_accuracy")
MAX_TEXT = 200  # characters of one value in HTML
# These differ in every run and are of no interest in a table.
_UNINTERESTING = ("hp__output_dir", "hp__run_name", "hp__logging_dir")
_SHORT = {
    "run_id": "id",
    "started_at": "started",
    "last_step": "step",
    "sort_metric_value": "best",
    "sort_metric_step": "at",
}


def overview(runs: DataFrame) -> DataFrame:
    """The main columns of a run table: id, name, status, progress, then metrics and varying hyperparameters."""
    names = [str(column) for column in runs.columns]
    several = runs["project"].nunique() > 1
    resumed = bool((runs["attempts"] > 1).any())
    fixed = ["run_id", "name", *(["project"] if several else []), "status", "started_at", "last_step"]
    fixed += ["attempts"] if resumed else []
    ranked = [c for c in ("sort_metric_value", "sort_metric_step") if c in names]
    varying = [c for c in names if c.startswith("hp__") and c not in _UNINTERESTING][:4]
    metrics = [c for c in names if c.startswith("metric__") and not runs[c].isna().all()]
    shown = runs[[*fixed, *ranked, *metrics, *varying]]
    return shown.rename(columns=lambda c: _SHORT.get(c, c.split("__", 1)[-1]))


def value_text(value: Any) -> str:
    """A value as text for a table: numbers with six digits, times to the minute, nothing for a missing value."""
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, pd.Timestamp):
        return f"{value:%m-%d %H:%M}" if value.year == pd.Timestamp.now().year else f"{value:%Y-%m-%d %H:%M}"
    return str(value)


def table_html(caption: str, frame: DataFrame) -> str:
    """A table for a notebook."""
    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>"
        for row in frame.itertuples(index=False, name=None)
    )
    return f"<p>{escape(caption)}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def pairs_html(pairs: Mapping[str, Any]) -> str:
    """Names and values for a notebook, one per row; missing values are left out."""
    left = "style='text-align: left'"
    rows = (
        f"<tr><th {left}>{escape(name)}</th><td {left}>{_cell(value)}</td></tr>"
        for name, value in pairs.items()
        if value is not None and value != {}
    )
    return f"<table>{''.join(rows)}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return "<br>".join(f"{escape(str(key))}: {_cell(item)}" for key, item in value.items())
    text = value_text(value)
    return escape(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…")
