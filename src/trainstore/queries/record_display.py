"""How one run looks: what is shown of it first, as text and as HTML; ``trainstore show`` prints the same.

First come the status, the metrics by which runs are judged, and the hyperparameters that somebody chose. Runtimes and
the defaults of transformers' TrainingArguments are shown when all is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from trainstore.display import duration_text
from trainstore.queries.metric_names import is_effort, results_first
from trainstore.queries.names import flat
from trainstore.queries.training_arguments import is_default

if TYPE_CHECKING:
    from trainstore.queries.records import RunRecord

LAST_KEYS = ("output_dir", "resume_from_checkpoint", "run_name", "logging_dir")  # differ in every run, and say little
MAX_TEXT = 200  # characters of a value in HTML
SHORT = 60  # characters of a value in a line of text
OWN_SOURCES = ("python", "transformers", "forgather", "trainstore")  # what records here itself: not worth a line
FEW = 6  # metrics and hyperparameters in ``print(record)``


class Shown(NamedTuple):
    """What is shown first, by name, and how many others there are."""

    values: dict[str, Any]
    hidden: int


def chosen_hyperparams(record: RunRecord) -> Shown:
    """The hyperparameters that were set: without None and, for a Trainer's run, the defaults of its arguments."""
    kept = {
        name: value
        for name, value in record.hyperparams.items()
        if value is not None and not (record.source == "transformers" and is_default(name, value))
    }
    ordered = dict(sorted(kept.items(), key=lambda item: item[0] in LAST_KEYS))
    set_ = sum(value is not None for value in record.hyperparams.values())
    return Shown(without_namespace("hp", ordered), set_ - len(kept))


def without_namespace(namespace: str, values: dict[str, Any]) -> dict[str, Any]:
    """Values by name, those inside others by dotted names."""
    return {name.removeprefix(f"{namespace}."): value for name, value in flat(namespace, values).items()}


def main_metrics(record: RunRecord) -> Shown:
    """The last values of metrics other than runtimes and counters; the one that it was chosen by comes first."""
    names = results_first(record.metrics)
    shown = [name for name in names if not is_effort(name)] or names
    if record.sort_metric_name in record.metrics:
        shown = list(dict.fromkeys([record.sort_metric_name, *shown]))
    return Shown({name: record.metrics[name] for name in shown}, len(names) - len(shown))


def facts(record: RunRecord, steps_per_second: float | None = None) -> dict[str, str]:
    """What else is worth a line, as text by its label."""
    commit = record.git_commit and record.git_commit[:12] + (" with uncommitted changes" if record.git_dirty else "")
    lines = {
        "status": status_text(record, steps_per_second),
        "error": record.error,
        "project": record.project,
        "source": None if record.source in OWN_SOURCES else record.source,
        "started": time_text(record.started_at),
        "model": _model_text(record.model_hyperparams) or record.model_name,
        "data": _data_text(record.data_hyperparams),
        "attempts": str(record.attempts) if record.attempts > 1 else None,
        "parent": record.parent_uid and at_step(record.parent_uid, record.parent_step),
        "tags": ", ".join(name if value is True else f"{name}={value}" for name, value in record.tags.items()),
        "notes": record.notes,
        "host": record.host,
        "command": record.command,
        "commit": commit,
        "id": f"{record.run_id}, uid {record.uid}",
    }
    return {label: text for label, text in lines.items() if text}


def status_text(record: RunRecord, steps_per_second: float | None = None) -> str:
    """Such as "finished at step 40 after 12 s (3.3 steps/s)"."""
    text = record.status + (f" at step {record.last_step}" if record.last_step is not None else "")
    if record.duration is not None:
        text += f" {'for' if record.status == 'running' else 'after'} {duration_text(record.duration)}"
    if steps_per_second is None:
        return text
    return f"{text} ({steps_per_second:{',.0f' if steps_per_second >= 100 else '.3g'}} steps/s)"


def time_text(time: datetime) -> str:
    """A time with its zone, the one of this machine."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def at_step(what: str, step: int | None) -> str:
    """Something with its step, if that is known."""
    return what if step is None else f"{what} at step {step}"


def _model_text(model: Mapping[str, Any]) -> str:
    count = model.get("num_parameters")
    size = f"{count:,} parameters" if isinstance(count, int) else ""
    return ", ".join(part for part in (str(model.get("model_class") or ""), size) if part)


def _data_text(data: Mapping[str, Any]) -> str:
    parts = {"train_size": "to train", "eval_size": "to evaluate"}
    return ", ".join(f"{data[key]:,} {what}" for key, what in parts.items() if isinstance(data.get(key), int))


def number_text(value: Any) -> str:
    """A value: of floats six digits, everything else as it is."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def metric_text(record: RunRecord, name: str) -> str:
    """Such as "3.70088 (best 3.6405 at step 30)"."""
    last = number_text(record.metrics[name])
    if name not in record.best_metrics:
        return last
    best, step = record.best_metrics[name]
    return f"{last} (best)" if best == record.metrics[name] else f"{last} (best {at_step(number_text(best), step)})"


# --- Text ------------------------------------------------------------------------------------------------------------


def one_line(record: RunRecord) -> str:
    """The record as ``repr`` shows it."""
    best = ""
    if record.sort_metric_name is not None:
        best = f", {record.sort_metric_name} {at_step(number_text(record.sort_metric_value), record.sort_metric_step)}"
    return f"<RunRecord {record.run_id} {record.name!r} of {record.project!r}: {status_text(record)}{best}>"


def few_lines(record: RunRecord) -> str:
    """The record as ``print`` shows it."""
    lines = [f"{record.name} (run {record.run_id} of project {record.project}): {status_text(record)}"]
    if record.error:
        lines.append(f"  error: {_short(record.error)}")
    metrics, hyperparams = main_metrics(record), chosen_hyperparams(record)
    lines += [f"  {name}: {metric_text(record, name)}" for name in list(metrics.values)[:FEW]]
    chosen = [f"{name}={_short(number_text(value))}" for name, value in list(hyperparams.values.items())[: 2 * FEW]]
    if chosen:
        lines.append(f"  hyperparameters: {', '.join(chosen)}{', …' if len(hyperparams.values) > len(chosen) else ''}")
    tags = facts(record).get("tags")
    return "\n".join([*lines, f"  tags: {tags}"] if tags else lines)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"


# --- HTML ------------------------------------------------------------------------------------------------------------

_LEFT = "style='text-align: left; vertical-align: top'"


def html(record: RunRecord) -> str:
    """The record as a notebook shows it: a short page, of which the rest unfolds."""
    metrics, hyperparams = main_metrics(record), chosen_hyperparams(record)
    parts = [
        f"<p><b>{escape(record.name)}</b></p>",
        _pairs(facts(record)),
        _metrics_table(record, metrics.values) if metrics.values else "",
        _section("Hyperparameters", hyperparams.values, unfolded=True),
    ]
    if hyperparams.hidden:
        parts.append(_section("All hyperparameters", without_namespace("hp", record.hyperparams)))
    if metrics.hidden:
        parts.append(_section("All metrics", {name: record.metrics[name] for name in results_first(record.metrics)}))
    parts += [
        _section("Model", without_namespace("mth", record.model_hyperparams)),
        _section("Data", without_namespace("dbh", record.data_hyperparams)),
        _section("Environment", without_namespace("env", record.environment)),
    ]
    return f"<div>{''.join(parts)}</div>"


def _metrics_table(record: RunRecord, names: Iterable[str]) -> str:
    rows = []
    for name in names:
        best, step = record.best_metrics.get(name, ("", ""))
        rows.append((name, number_text(record.metrics[name]), number_text(best), "" if step is None else step))
    return _table(("metric", "last", "best", "at step"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(
        f"<tr><th {_LEFT}>{_cell(row[0])}</th>{''.join(f'<td>{_cell(value)}</td>' for value in row[1:])}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th {_LEFT}>{escape(name)}</th><td {_LEFT}>{_cell(value)}</td></tr>" for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def _section(title: str, values: Mapping[str, Any], *, unfolded: bool = False) -> str:
    there = {name: value for name, value in values.items() if value is not None}
    if not there:
        return ""
    opened = " open" if unfolded else ""
    return f"<details{opened}><summary>{escape(title)} ({len(there)})</summary>{_pairs(there)}</details>"


def _cell(value: Any) -> str:
    text = number_text(value)
    return escape(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…")
