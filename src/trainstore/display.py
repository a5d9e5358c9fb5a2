"""How results look: the first columns of a run table, values as text, HTML for notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

#: The metrics that the callbacks record: if only the main ones are shown, these come first.
SHOWN_METRICS = ("eval_loss", "loss", "train_loss", "eval_accuracy")
MAX_TEXT = 200  # characters of one value in HTML
MOST_HYPERPARAMS = 6  # in an overview
# These differ in every run, or follow from other arguments, and are of no interest in a table.
_UNINTERESTING = (
    *("hp__output_dir", "hp__run_name", "hp__logging_dir", "hp__resume_from_checkpoint"),
    *("hp__do_train", "hp__do_eval", "hp__do_predict"),
)
_SHORT = {
    "run_id": "id",
    "started_at": "started",
    "last_step": "step",
    "sort_metric_value": "best",
    "sort_metric_step": "at",
}


def overview(runs: DataFrame) -> DataFrame:
    """The short table of runs (``list_runs(columns="short")``) as it is printed: without columns that say nothing."""
    names = [str(name) for name in runs.columns]
    silent = {name for name in names if name.startswith("metric__") and runs[name].isna().all()}
    if runs["project"].nunique() <= 1:
        silent.add("project")
    if not (runs["attempts"] > 1).any():
        silent.add("attempts")
    hyperparams = [name for name in names if name.startswith(("hp__", "mth__", "dbh__", "tag__"))]
    interesting = [name for name in hyperparams if name not in _UNINTERESTING]
    silent |= set(hyperparams) - set(interesting[:MOST_HYPERPARAMS])
    shown = runs[[name for name in names if name not in silent]].reset_index()
    return shown.rename(columns=_titles(["run_id", *names]))


def by_importance(runs: DataFrame) -> list[str]:
    """The titles of an overview's columns, those first that a narrow table needs most: results beside what differs."""
    names = ["run_id", *map(str, runs.columns)]
    metrics = [name for name in names if name.startswith("metric__")]
    others = [name for name in names if "__" in name and name not in metrics and name not in _UNINTERESTING]
    first = ["run_id", "name", "sort_metric_value", "status", *metrics[:1], *others[:1], *metrics[1:2], "last_step"]
    first += ["sort_metric_step", "project", *others[1:2], "started_at", *metrics[2:], *others[2:]]
    titles = _titles(names)
    return [titles[name] for name in dict.fromkeys((*first, *names)) if name in names]


def _titles(names: Sequence[str]) -> dict[str, str]:
    """Short titles of columns; a hyperparameter or metric called like another column keeps its prefix."""
    titles = {name: _SHORT.get(name, name.removeprefix("metric__").removeprefix("hp__")) for name in names}
    count = Counter(titles.values())
    return {name: name if "__" in name and count[title] > 1 else title for name, title in titles.items()}


def value_text(value: Any) -> str:
    """A value as text for a table: numbers with six digits, local times, nothing for a missing value."""
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return _time_text(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    return str(value)


def duration_text(duration: timedelta) -> str:
    """A duration by its two largest units: "0.4 s", "1 min 12 s", "2 h 5 min"."""
    seconds = duration.total_seconds()
    if seconds < 10:
        return f"{seconds:.2g} s"
    days, rest = divmod(round(seconds), 86_400)
    parts = {"d": days, "h": rest // 3_600, "min": rest % 3_600 // 60, "s": rest % 60}
    units = list(parts)
    first = next(place for place, unit in enumerate(units) if parts[unit])
    return " ".join(f"{parts[unit]} {unit}" for unit in units[first : first + 2] if parts[unit])


def _time_text(value: datetime) -> str:
    """A time to the minute in this machine's zone, with the zone; the year if it is another one."""
    plain: datetime = getattr(value, "to_pydatetime", lambda: value)()  # of pandas' Timestamp
    local, now = plain.astimezone(), datetime.now().astimezone()
    return f"{local:{'%m-%d %H:%M' if local.year == now.year else '%Y-%m-%d %H:%M'} %Z}"


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


def commands_html(commands: Mapping[str, str]) -> str:
    """Commands for a notebook, each with what it is for."""
    lines = (f"{escape(what)}: <code>{escape(command)}</code>" for what, command in commands.items())
    return f"<p>{'<br>'.join(lines)}</p>" if commands else ""


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return "<br>".join(f"{escape(str(key))}: {_cell(item)}" for key, item in value.items())
    text = value_text(value)
    return escape(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…")
