"""Tables, JSON and progress on standard output.

Control characters in names, notes and values are made visible, so that the terminal does not obey them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from json import dumps
from typing import TYPE_CHECKING, Any, Literal

import click

from trainstore.cli.streams import is_utf8, visible
from trainstore.display import value_text

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

MAX_CELL = 36  # characters
GAP = 2  # between two columns
PIPED_WIDTH = 160  # if the output is not a terminal


def new_console() -> Console:
    """A console as wide as the terminal."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            """Rich would exit with code 1, but it is not an error if the reader of the output stops early."""
            raise BrokenPipeError

    # In a pipe or a file, Rich would use 80 columns.
    return Quiet(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def cell(value: Any) -> str:
    """A value of an exact frame as text for a table; in such a frame, NaN is a value and not a missing one."""
    return "NaN" if isinstance(value, float) and value != value else visible(value_text(value))


def print_table(
    title: str | None, frame: DataFrame, importance: Sequence[str] | None = None, *, whole: bool = False
) -> None:
    """Print a table as wide as the terminal.

    As many columns as fit, from the left or by ``importance``, with the names of the others below; or the ``whole``
    table, in several parts that each begin with the first column, without rows that are empty there.
    """
    console = new_console()
    columns = {visible(name): [cell(value) for value in frame[name]] for name in frame.columns}
    numbers = {name for name, kind in zip(columns, frame.dtypes, strict=True) if kind.kind in "iuf"}
    room = console.width - 2
    if whole:
        parts = _parts(columns, room)
        for place, part in enumerate(parts):
            _print_part(console, None if place else title, part if len(parts) == 1 else _filled(part), numbers)
        return
    shown = _fitting(columns, room, importance)
    _print_part(console, title, {name: columns[name] for name in shown}, numbers)
    hidden = [name for name in columns if name not in shown]
    if hidden:
        console.print(f"(no room for: {', '.join(hidden)}; --json prints everything)", markup=False)


def _print_part(
    console: Console, title: str | None, columns: Mapping[str, Sequence[str]], numbers: Collection[str]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    table.padding = (0, 1, 0, 0)
    for name in columns:
        justify: Literal["right", "left"] = "right" if name in numbers else "left"
        table.add_column(Text(name), justify=justify, no_wrap=True, overflow="ellipsis", max_width=MAX_CELL)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    console.print(table)


def _width(name: str, cells: Sequence[str]) -> int:
    return min(MAX_CELL, max(map(len, (name, *cells)))) + GAP


def _fitting(columns: Mapping[str, Sequence[str]], room: int, importance: Sequence[str] | None) -> list[str]:
    """The columns that fit, in their order."""
    chosen = []
    for name in columns if importance is None else map(visible, importance):
        width = _width(name, columns[name]) if name in columns else room + 1
        if width <= room:
            chosen.append(name)
            room -= width
        elif importance is None:
            break
    return [name for name in columns if name in chosen]


def _parts(columns: Mapping[str, Sequence[str]], room: int) -> list[dict[str, Sequence[str]]]:
    """All columns, in parts that fit: each has the first column and at least one more."""
    first, *others = columns
    parts: list[dict[str, Sequence[str]]] = [{first: columns[first]}]
    left = room - _width(first, columns[first])
    for name in others:
        width = _width(name, columns[name])
        if width > left and len(parts[-1]) > 1:
            parts.append({first: columns[first]})
            left = room - _width(first, columns[first])
        parts[-1][name] = columns[name]
        left -= width
    return parts


def _filled(part: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The rows that have a value beside the first column's."""
    rows = [row for row in zip(*part.values(), strict=True) if any(row[1:])]
    return dict(zip(part, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(part, ())


def records(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as dictionaries."""
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def record_fields(record: Any) -> dict[str, Any]:
    """The fields of a record, a duration in seconds. `dataclasses.asdict` would copy every value."""
    import dataclasses
    from datetime import timedelta

    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return {name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in values.items()}


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    from orjson import OPT_INDENT_2

    _print_json(value, OPT_INDENT_2)


def print_json_line(value: Any) -> None:
    """Print one of several results as a line of JSON."""
    _print_json(value, None)


def _print_json(value: Any, option: int | None) -> None:
    import orjson

    from trainstore.exporting.jsonable import jsonable

    text = orjson.dumps(jsonable(value), option=option).decode()
    click.echo(text if is_utf8() else _in_ascii(text))


def _in_ascii(json: str) -> str:
    """The same JSON in ASCII, for an output that is not UTF-8. Only JSON strings contain other characters."""
    return re.sub(r"[^\x00-\x7f]+", lambda found: dumps(found.group())[1:-1], json)


@contextmanager
def progress_bar(
    shown: bool, begins_with: str = "reading the text", unit: str = "steps"
) -> Iterator[Callable[[str, int, int], None] | None]:
    """A function that shows progress, or None if none is to be shown: called with a name, how many are done, of all."""
    if not shown:
        yield None
        return
    console = new_console()
    if not console.is_terminal:
        yield partial(print_progress, {}, unit)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(begins_with, total=None)
        yield lambda name, done, total: bar.update(task, description=visible(name), completed=done, total=total)


def print_progress(last: dict[str, int], unit: str, name: str, done: int, total: int) -> None:
    """Print a line for every twentieth of the work, if there is no terminal to draw a bar on."""
    part = 20 * done // total
    if part != last.get("part"):
        last["part"] = part
        click.echo(f"{visible(name)}: {done} of {total} {unit}")
