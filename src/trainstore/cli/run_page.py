"""What ``trainstore show`` prints of a run: a page that fits a screen, or whole sections of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trainstore.cli.printing import MAX_CELL, cell, new_console, print_table, records
from trainstore.cli.streams import visible, visible_lines

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

    from trainstore.queries import Reader, RunRecord

MAX_ALERTS = 5  # on the page, the last ones
MAX_ITEMS = 16  # of a list in an event; more are counted
MAX_ROWS = 15  # of metrics and hyperparameters on the page; more make several columns, or are counted
_COLOURS = {"warn": "yellow", "error": "red"}  # of alerts, by level
_NAMESPACES = {"hyperparams": "hp", "model": "mth", "data": "dbh", "environment": "env"}
_METRIC_COLUMNS = {
    "metric": "metric", "count": "count", "last": "last", "last_step": "at", "min": "min", "min_step": "min at",
    "max": "max", "max_step": "max at", "nonfinite_count": "not finite",
}  # fmt: skip
SECTIONS = ("metrics", "hyperparams", "model", "data", "environment", "attempts", "events")


def print_page(reader: Reader, record: RunRecord, *, everything: bool = False) -> None:
    """Print the page: facts, the metrics that matter, what was chosen, attempts if there are several; or everything."""
    from trainstore import queries
    from trainstore.queries.record_display import at_step, facts
    from trainstore.queries.samples import has_samples

    children = queries.list_children(reader, record)
    events = queries.list_events(reader, record)
    lines = facts(record, queries.steps_per_second(reader, record))
    lines.pop("attempts", None)
    if record.parent_uid is not None:
        lines["parent"] = at_step(_parent(reader, record.parent_uid), record.parent_step)
    if len(children):
        names = [f"{child['name']} (id {child['run_id']})" for child in records(children)]
        lines["children"] = ", ".join(names[:5]) + (f", … {len(names)} in all" if len(names) > 5 else "")
    if len(events):
        lines["events"] = ", ".join(f"{kind} ({count})" for kind, count in events["kind"].value_counts().items())
    console = new_console()
    _title(console, record.name)
    _print_pairs(console, lines)
    _print_alerts(console, events)
    if everything:
        print_sections(reader, record, SECTIONS)
        return
    _print_metrics(console, record)
    _print_hyperparams(console, record)
    if record.attempts > 1:
        print_attempts(queries.list_attempts(reader, record))
    there = [name for name in SECTIONS if _has(record, events, name)]
    samples = "--samples, " if has_samples(reader, record, record.last_step) else ""
    console.print(f"More: {samples}--all, or --section {', '.join(there)}", style="dim", markup=False)


def _parent(reader: Reader, uid: str) -> str:
    """Its name, if it is here: it may be in another store, or deleted."""
    from trainstore import queries
    from trainstore.errors import RunNotFoundError

    try:
        parent = queries.get_run(reader, uid)
    except RunNotFoundError:
        return f"{uid} (not in this store)"
    return f"{parent.name} (id {parent.run_id})"


def _has(record: RunRecord, events: DataFrame, section: str) -> bool:
    fields = {"model": record.model_hyperparams, "data": record.data_hyperparams, "environment": record.environment}
    fields |= {"metrics": record.metrics, "hyperparams": record.hyperparams}
    counts = {"attempts": record.attempts - 1, "events": len(events)}
    return bool(counts[section] if section in counts else fields[section])


def print_sections(reader: Reader, record: RunRecord, sections: Collection[str]) -> None:
    """Print everything that is known in these sections, whole values included."""
    from trainstore import queries
    from trainstore.queries.record_display import without_namespace

    fields = {
        "hyperparams": record.hyperparams,
        "model": record.model_hyperparams,
        "data": record.data_hyperparams,
        "environment": record.environment,
    }
    tables: dict[str, Callable[[], None]] = {
        "metrics": lambda: _print_all_metrics(queries.list_metrics(reader, record)),
        "attempts": lambda: print_attempts(queries.list_attempts(reader, record)),
        "events": lambda: _print_events(queries.list_events(reader, record)),
    }
    for section in SECTIONS:
        if section not in sections:
            continue
        if section in tables:
            tables[section]()
            continue
        console = new_console()
        values = without_namespace(_NAMESPACES[section], fields[section])
        _title(console, section.capitalize() if section != "hyperparams" else "Hyperparameters")
        _print_pairs(console, {name: cell(value) for name, value in values.items() if value is not None})


def print_attempts(attempts: DataFrame) -> None:
    """Print the attempts, a line each: which one it resumed, which of its steps are shown, how it ended."""
    import pandas as pd

    from trainstore.queries.record_display import time_text

    rows = [("", "steps shown", "started", "host", "ended")]
    for row in records(attempts):
        start, last, kept = row["start_step"], row["last_step"], row["kept_step"]
        label = str(row["attempt"]) if row["resumed_from"] is pd.NA else f"{row['attempt']} from {row['resumed_from']}"
        shown = "none" if kept is pd.NA else f"to {kept}" if start < 0 else f"{start + 1} to {kept}"
        replaced = last is not pd.NA and (kept is pd.NA or last > kept)
        ended = row["status"] if row["error"] is None else f"{row['status']}: {row['error']}"
        started = time_text(row["started_at"].to_pydatetime())
        rows.append((label, f"{shown} (of {last})" if replaced else shown, started, cell(row["host"]), ended))
    console = new_console()
    _title(console, "Attempts")
    _print_lines(console, rows)


def _print_alerts(console: Console, events: DataFrame) -> None:
    """Print the last alerts, a line each, in the colour of their level."""
    from rich.table import Table
    from rich.text import Text

    from trainstore.queries.record_display import time_text

    alerts = records(events[events["kind"] == "alert"])
    if not alerts:
        return
    hidden = len(alerts) - MAX_ALERTS
    _title(console, "Alerts", f"{hidden} more, see --section events" if hidden > 0 else "")
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for row in alerts[-MAX_ALERTS:]:
        step = cell(row["step"])
        text = Text(visible_lines(_event_text(row["kind"], row["details"])))
        text.stylize(_COLOURS.get(text.plain.partition(":")[0], ""))
        table.add_row(time_text(row["at"].to_pydatetime()), f"step {step}" if step else "", text)
    console.print(table)
    console.print()


def _event_text(kind: str, details: Any) -> str:
    """What an event is about."""
    if kind == "alert" and isinstance(details, dict):
        return ": ".join(str(details[part]) for part in ("level", "title", "text") if details.get(part))
    if kind == "import" and isinstance(details, dict) and isinstance(details.get("points"), int):
        return "; ".join(_import_parts(details))
    if isinstance(details, dict):
        whole = {name: text for name, text in details.items() if isinstance(text, str) and "\n" in text}  # a traceback
        rest = {name: value for name, value in details.items() if name not in whole}
        lines = [str(_without_long_lists(rest))] if rest or not whole else []
        return "\n".join([*lines, *(f"{name}: {text.rstrip()}" for name, text in whole.items())])
    return "" if details is None else str(_without_long_lists(details))


def _without_long_lists(value: Any) -> Any:
    """The same, but of a list such as a histogram's bins the first items and how many there are."""
    if isinstance(value, dict):
        return {name: _without_long_lists(part) for name, part in value.items()}
    if isinstance(value, list):
        more = [f"… {len(value)} in all"] if len(value) > MAX_ITEMS else []
        return [_without_long_lists(part) for part in value[: MAX_ITEMS if not more else 3]] + more
    return value


def _import_parts(details: dict[str, Any]) -> Iterator[str]:
    """What an import says; somebody's own event may have the same name, so anything may be in it."""
    points, left_out, damage = details["points"], details.get("left_out"), details.get("damage")
    yield f"{points:,} point{'' if points == 1 else 's'} from {details.get('tool')}: {details.get('source')}"
    if isinstance(left_out, dict) and left_out:
        yield f"not kept: {', '.join(f'{count} × {what}' for what, count in left_out.items())}"
    if isinstance(damage, list):
        yield from map(str, damage)
    if details.get("status") == "assumed":
        yield "its end is assumed"


def _print_events(events: DataFrame) -> None:
    from trainstore.queries.record_display import time_text

    rows = [("", "step", "kind", "details")]
    for row in records(events):
        at = time_text(row["at"].to_pydatetime())
        rows.append((at, cell(row["step"]), row["kind"], _event_text(row["kind"], row["details"])))
    console = new_console()
    _title(console, "Events", "" if len(rows) > 1 else "none")
    _print_lines(console, rows if len(rows) > 1 else [])


def _print_all_metrics(metrics: DataFrame) -> None:
    shown = metrics[list(_METRIC_COLUMNS)].rename(columns=_METRIC_COLUMNS)
    print_table("Metrics", shown if shown["not finite"].any() else shown.drop(columns="not finite"), whole=True)


def _print_metrics(console: Console, record: RunRecord) -> None:
    from trainstore.queries.record_display import main_metrics

    metrics = main_metrics(record)
    if not metrics.values:
        return
    rows = []
    for name, last in list(metrics.values.items())[:MAX_ROWS]:
        best, step = record.best_metrics.get(name, (None, None))
        rows.append((name, cell(last), "" if best is None else cell(best), "" if step is None else str(step)))
    hidden = len(metrics.values) - len(rows)
    _title(console, "Metrics", f"{hidden} more" if hidden else "")
    _print_grid(console, [("", "last", "best", "at step"), *rows])


def _print_hyperparams(console: Console, record: RunRecord) -> None:
    from trainstore.queries.record_display import chosen_hyperparams

    chosen = chosen_hyperparams(record)
    if not chosen.values and not chosen.hidden:
        return
    pairs = [(visible(name), _cropped(cell(value))) for name, value in chosen.values.items()]
    shown = pairs[: 3 * MAX_ROWS]
    notes = [f"{len(pairs) - len(shown)} more"] if len(pairs) > len(shown) else []
    notes += [f"{chosen.hidden} defaults of TrainingArguments are not shown"] if chosen.hidden else []
    _title(console, "Hyperparameters", ", ".join(notes))
    widest = max((len(name) + len(value) for name, value in shown), default=0) + 4
    columns = max(1, min(3, -(-len(shown) // MAX_ROWS), console.width // widest)) if shown else 1
    height = -(-len(shown) // columns)
    parts = [shown[start : start + height] for start in range(0, len(shown), height)] if shown else []
    rows = [[item for part in parts for item in (part[row] if row < len(part) else ("", ""))] for row in range(height)]
    _print_grid(console, [tuple(row) for row in rows], numbers=False)


def _cropped(text: str) -> str:
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _title(console: Console, title: str, note: str = "") -> None:
    from rich.text import Text

    text = Text(visible(title), style="bold")
    console.print(text.append(f"  ({note})", style="not bold dim") if note else text)


def _print_pairs(console: Console, pairs: dict[str, str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(Text(visible(name)), Text(visible_lines(value)))
    console.print(table)
    console.print()


def _print_lines(console: Console, rows: Sequence[tuple[str, ...]]) -> None:
    """Rows under their headings; the last column takes what room there is, and as many lines as it needs."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    *first, _ = rows[0] if rows else ("",)
    for _ in first:
        table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(overflow="fold", ratio=1)
    for place, row in enumerate(rows):
        table.add_row(*(Text(visible_lines(value), style="" if place else "dim") for value in row))
    console.print(table)
    console.print()


def _print_grid(console: Console, rows: list[tuple[Any, ...]], *, numbers: bool = True) -> None:
    """Lines of which each is on one line; the columns after the first are numbers, or names and values alternate."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for place in range(len(rows[0]) if rows else 0):
        style = "dim" if place % 2 == 0 and (place == 0 or not numbers) else ""
        table.add_column(
            justify="right" if numbers and place else "left", style=style, no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        table.add_row(*(Text(visible(value)) for value in row))
    console.print(table)
    console.print()
