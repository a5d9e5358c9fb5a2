"""What ``trainstore show --samples`` prints: each prompt once, and under it what the model wrote, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainstore.cli.printing import MAX_CELL, cell, new_console, records
from trainstore.cli.streams import visible, visible_lines

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console
    from rich.text import Text

_OWN = ("run", "step", "set", "nr", "prompt", "completion")


def print_samples(samples: DataFrame, *, last: int, everything: bool) -> None:
    """Print samples, a line each: of each prompt the last ones. With ``everything``: all of them, whole."""
    console = new_console()
    by_prompt: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in records(samples):
        by_prompt.setdefault((row["set"], row["nr"], _text(row["prompt"])), []).append(row)
    if not by_prompt:
        console.print("no samples")
        return
    shortened = False
    for (of_set, nr, prompt), rows in sorted(by_prompt.items(), key=lambda item: item[0][:2]):
        shortened |= _print_heading(console, f"{of_set} {nr}", prompt, whole=everything)
        shortened |= _print_rows(console, rows if everything else rows[-last:], whole=everything)
    hidden = 0 if everything else sum(max(0, len(rows) - last) for rows in by_prompt.values())
    if hidden:
        note = f"({hidden} earlier samples are not shown; --all prints them all, and whole)"
        console.print(note, style="dim", markup=False)
    elif shortened:
        console.print("(--all prints the texts whole)", style="dim", markup=False)


def _print_heading(console: Console, label: str, prompt: str, *, whole: bool) -> bool:
    """Print a prompt; returns whether it was shortened."""
    from rich.text import Text

    heading = Text(visible(label), style="bold").append(f"  {_shown(prompt, whole)}", style="not bold cyan")
    if whole:
        console.print(heading)
        return False
    return _print_cut(console, heading) or _is_folded(prompt)


def _print_cut(console: Console, line: Text) -> bool:
    """Print a line as far as the output is wide; returns whether it was cut."""
    cut = line.cell_len > console.width
    line.truncate(console.width, overflow="ellipsis")
    console.print(line)
    return cut


def _print_rows(console: Console, rows: list[dict[str, Any]], *, whole: bool) -> bool:
    """Print the samples of one prompt: a line each, or a line about each and below it the text.

    Returns whether one was shortened.
    """
    from rich.padding import Padding
    from rich.text import Text

    labels = [f"  step {row['step']}" for row in rows]
    others = [_others(row, whole) for row in rows]
    steps, more = max(map(len, labels)), max(map(len, others))
    shortened = any(text.endswith("…") for text in others)
    for row, label, other in zip(rows, labels, others, strict=True):
        line = Text(f"{label:>{steps}}  ", style="dim").append(f"{other:<{more}}  " if more else "")
        completion = _shown(_text(row["completion"]), whole)
        if whole:
            line.rstrip()
            console.print(line)
            console.print(Padding(Text(completion), (0, 0, 0, 4)))
        else:
            line.append(completion, style="not dim")
            shortened |= _print_cut(console, line) or _is_folded(_text(row["completion"]))
    console.print()
    return shortened and not whole


def _others(row: dict[str, Any], whole: bool) -> str:
    """What else was logged with a sample, as text."""
    from trainstore.values import is_missing

    values = {
        name: cell(value)
        for name, value in row.items()
        if name not in _OWN and value is not None and not is_missing(value)
    }
    text = " ".join(f"{visible(name)}={value}" for name, value in values.items())
    return text if whole or len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _is_folded(text: str) -> bool:
    """Whether the text's own lines and spaces are missing in its one line."""
    return " ".join(text.split()) != text.strip()


def _shown(text: str, whole: bool) -> str:
    """A text as it is printed: whole, with its lines, or all in one line."""
    return visible_lines(text) if whole else visible(" ".join(text.split()))
