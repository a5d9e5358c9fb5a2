"""Charts of lines in the terminal: braille dots, 2 by 4 of them in a character, or a mark for each line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, log10

HEIGHT = 10  # rows of characters
MARK = "×"
LINE_MARKS = "ox+*#@%&=~"
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, from the top
_NO_LINE = -1

Points = Sequence[tuple[float, float]]


@dataclass(slots=True)
class Chart:
    """The parts of a chart, row by row: the axis on the left, what the lines drew, and the axis below."""

    left: list[str]
    cells: list[list[tuple[str, int]]]  # a character, and the number of the line that drew it; or a space and -1
    below: list[str]


@dataclass(slots=True)
class _Column:
    """What falls into one column of dots."""

    first: float
    last: float
    low: float
    high: float
    joined: bool  # to the column before: there is no NaN or infinity between


def plot(points: Sequence[tuple[int, float]], *, width: int, height: int = HEIGHT) -> list[str]:
    """One line as text; "(no values)" if there is nothing to draw. Arguments are those of `chart`."""
    if not points:
        return ["(no values)"]
    drawn = chart([points], width=width, height=height)
    rows = [left + "".join(text for text, _ in cells) for left, cells in zip(drawn.left, drawn.cells, strict=True)]
    return [row.rstrip() for row in (*rows, *drawn.below)]


def chart(
    lines: Sequence[Points],
    *,
    width: int,
    height: int = HEIGHT,
    marks: bool = False,
    log: bool = False,
    x_text: Callable[[float], str] = str,
) -> Chart:
    """Draw lines over each other, on the same axes.

    Every value is in the chart: a column of dots spans all that falls into it, so no spike is lost. A NaN or an
    infinity breaks the line and is marked on the axis below.

    Args:
        lines: (x, value) of each, by x; at least one has a point.
        width: Of the whole, in characters; at least 30.
        height: Rows of the chart itself, without the axis.
        marks: Draw each line with its own one of `LINE_MARKS`, not with dots: to tell them apart without colours.
        log: A logarithmic axis; values up to 0 are left out.
        x_text: How the ends of the x axis are written.
    """
    if log:
        lines = [[(x, log10(y) if isfinite(y) else y) for x, y in line if y > 0 or not isfinite(y)] for line in lines]
    values = [y for line in lines for _, y in line if isfinite(y)]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    shown = [high, low / 2 + high / 2, low] if low < high else [None, low, None] if values else [None] * 3
    labels = ["" if y is None else f"{10**y if log else y:.4g}" for y in shown]
    left = max(map(len, labels))
    several = len(lines) > 1  # then a mark stands beside the end of each
    columns = max(10, max(30, width) - left - 2 - 2 * several)
    all_x = [x for line in lines for x, _ in line]
    first, last = min(all_x), max(all_x)

    def across(x: float) -> int:
        return round((x - first) / (last - first) * (2 * columns - 1)) if last > first else columns

    def down(value: float) -> int:
        # Halved before they are subtracted: the distance of two doubles may be infinite.
        part = (value / 2 - low / 2) / (high / 2 - low / 2) if high / 2 > low / 2 else 0.5
        return round((1 - part) * (4 * height - 1))

    canvas = _Canvas(columns, height)
    marked: set[int] = set()
    for number, line in enumerate(lines):
        found, odd = _columns(line, across)
        marked |= odd
        previous: tuple[int, _Column] | None = None
        for x, column in found.items():
            canvas.draw(number, (x, down(column.high)), (x, down(column.low)))
            if previous is not None and column.joined:
                canvas.draw(number, (previous[0], down(previous[1].last)), (x, down(column.first)))
            previous = (x, column)
        if previous is not None and several:
            canvas.name_end(number, down(previous[1].last) // 4)
    at = {0: labels[0], height // 2: labels[1], height - 1: labels[2]}
    axis = ["─"] * columns
    for x in marked:
        axis[x // 2] = MARK
    return Chart(
        [f"{at.get(row, ''):>{left}} │" for row in range(height)],
        canvas.cells(marks=marks),
        [f"{'':>{left}} └{''.join(axis)}", f"{'':>{left}}  {_ends(x_text(first), x_text(last), columns)}".rstrip()],
    )


class _Canvas:
    """Dots, and which line drew the last one in each character."""

    def __init__(self, columns: int, height: int) -> None:
        self._dots = [[0] * columns for _ in range(height)]
        self._lines = [[_NO_LINE] * columns for _ in range(height)]
        self._ends: dict[int, int] = {}  # row → the line that ends there, on its right

    def draw(self, number: int, start: tuple[int, int], end: tuple[int, int]) -> None:
        """A straight line between two dots."""
        for x, y in _line(start, end):
            self._dots[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
            self._lines[y // 4][x // 2] = number

    def name_end(self, number: int, row: int) -> None:
        """Write a line's mark beside its end, or in the nearest row that is free."""
        free = [other for other in range(len(self._dots)) if other not in self._ends]
        if free:
            self._ends[min(free, key=lambda other: abs(other - row))] = number

    def cells(self, *, marks: bool) -> list[list[tuple[str, int]]]:
        """The characters of each row."""
        rows = []
        for row, (dots, lines) in enumerate(zip(self._dots, self._lines, strict=True)):
            cells = [
                (" " if number == _NO_LINE else line_mark(number) if marks else chr(0x2800 + dot), number)
                for dot, number in zip(dots, lines, strict=True)
            ]
            if row in self._ends:
                cells += [(" ", _NO_LINE), (line_mark(self._ends[row]), self._ends[row])]
            rows.append(cells)
        return rows


def line_mark(number: int) -> str:
    """The mark of a line in charts of several; they repeat after ten."""
    return LINE_MARKS[number % len(LINE_MARKS)]


def _columns(points: Points, across: Callable[[float], int]) -> tuple[dict[int, _Column], set[int]]:
    """The columns of dots that have finite values, from the left, and those that have others."""
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


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    (x, y), (to_x, to_y) = start, end
    steps = max(abs(to_x - x), abs(to_y - y))
    for i in range(steps + 1):
        part = i / steps if steps else 0.0
        yield round(x + part * (to_x - x)), round(y + part * (to_y - y))


def _ends(first: str, last: str, width: int) -> str:
    return first if first == last else f"{first}{last:>{max(1, width - len(first))}}"
