"""A line plot in the terminal, drawn with braille characters of 2 by 4 dots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

HEIGHT = 10  # rows of characters
MARK = "×"
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, from the top


@dataclass(slots=True)
class _Column:
    """The values in one column of dots."""

    first: float
    last: float
    low: float
    high: float
    joined: bool  # to the previous column: no NaN or infinity in between


def plot(points: Sequence[tuple[int, float]], *, width: int, height: int = HEIGHT) -> list[str]:
    """The lines of a plot with axes.

    Every value is drawn: a column of dots spans all its values, so no spike is lost. A NaN or an infinity breaks the
    line and is marked on the axis.

    Args:
        points: (step, value), sorted by step.
        width: Width of the whole plot in characters, at least 30.
        height: Rows of the plot, without the axis.

    Returns:
        ``height`` lines, the axis and its labels; only "(no values)" if there are no points.
    """
    if not points:
        return ["(no values)"]
    finite = [value for _, value in points if isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    labels = [_number(high), _number(low / 2 + high / 2), _number(low)] if low < high else ["", _number(low), ""]
    if not finite:
        labels = ["", "", ""]
    left = max(map(len, labels))
    columns = max(10, max(30, width) - left - 2)
    first, last = points[0][0], points[-1][0]
    canvas = [[0] * columns for _ in range(height)]

    def across(step: int) -> int:
        return round((step - first) / (last - first) * (2 * columns - 1)) if last > first else columns

    def down(value: float) -> int:
        # Halved before the subtraction: the difference of two doubles may overflow.
        part = (value / 2 - low / 2) / (high / 2 - low / 2) if high / 2 > low / 2 else 0.5
        return round((1 - part) * (4 * height - 1))

    found, marked = _columns(points, across)
    previous: tuple[int, _Column] | None = None
    for x, column in found.items():
        _draw(canvas, (x, down(column.high)), (x, down(column.low)))
        if previous is not None and column.joined:
            _draw(canvas, (previous[0], down(previous[1].last)), (x, down(column.first)))
        previous = (x, column)
    at = {0: labels[0], height // 2: labels[1], height - 1: labels[2]}
    lines = [f"{at.get(row, ''):>{left}} │" + "".join(map(_character, cells)) for row, cells in enumerate(canvas)]
    axis = ["─"] * columns
    for x in marked:
        axis[x // 2] = MARK
    lines.append(f"{'':>{left}} └{''.join(axis)}")
    lines.append(f"{'':>{left}}  {_ends(str(first), str(last), columns)}".rstrip())
    return [line.rstrip() for line in lines]


def _columns(points: Sequence[tuple[int, float]], across: Callable[[int], int]) -> tuple[dict[int, _Column], set[int]]:
    """The columns of dots with finite values, from the left, and the positions of NaN and infinities."""
    found: dict[int, _Column] = {}
    marked: set[int] = set()
    joined = False
    for step, value in points:
        x = across(step)
        if not isfinite(value):
            marked.add(x)
            joined = False
            continue
        column = found.get(x)
        if column is None:
            found[x] = _Column(value, value, value, value, joined)
        else:
            column.last = value
            column.low, column.high = min(column.low, value), max(column.high, value)
        joined = True
    return found, marked


def _draw(canvas: list[list[int]], start: tuple[int, int], end: tuple[int, int]) -> None:
    for x, y in _line(start, end):
        canvas[y // 4][x // 2] |= _DOTS[x % 2][y % 4]


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    (x, y), (to_x, to_y) = start, end
    steps = max(abs(to_x - x), abs(to_y - y))
    for i in range(steps + 1):
        part = i / steps if steps else 0.0
        yield round(x + part * (to_x - x)), round(y + part * (to_y - y))


def _character(dots: int) -> str:
    return chr(0x2800 + dots) if dots else " "


def _number(value: float) -> str:
    return f"{value:.4g}"


def _ends(first: str, last: str, width: int) -> str:
    return first if first == last else f"{first}{last:>{max(1, width - len(first))}}"
