"""``trainstore plot``."""

from __future__ import annotations

from collections.abc import Sequence
from time import sleep
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.filters import filter_options, uids_of
from trainstore.cli.options import store_options
from trainstore.cli.printing import new_console, print_json
from trainstore.cli.stores import open_store, snapshot_of
from trainstore.cli.streams import is_utf8, visible
from trainstore.cli.types import METRIC, RUN
from trainstore.display import SHOWN_METRICS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from trainstore.queries import Reader
    from trainstore.queries.curves import Curve, Curves

INTERVAL = 2.0  # seconds between two drawings
HEIGHT = 15  # rows of a chart, if the terminal has room for them
MAX_WIDTH = 120
COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red", "white")
FORMATS = ("png", "svg", "pdf")


@click.command()
@click.argument("runs", nargs=-1, type=RUN)
@click.option("--metric", "metrics", multiple=True, type=METRIC, help="Plot this metric; may be repeated.")
@click.option(
    "--x",
    type=click.Choice(["step", "epoch", "time", "relative"]),
    default="step",
    show_default=True,
    help="What the x axis is.",
)
@click.option(
    "--smoothing",
    default=0.0,
    type=click.FloatRange(0, 1, max_open=True),
    help="An exponential mean, as in TensorBoard: 0 is none, 0.9 much.",
)
@click.option(
    "--group-by", metavar="NAME", help="One line for the runs with the same hyperparameter or tag: their mean."
)
@click.option("--log", "log_scale", is_flag=True, help="A logarithmic axis.")
@click.option("--watch", is_flag=True, help="Draw again every 2 seconds, until Ctrl-C.")
@click.option("-o", "--output", metavar="FILE", help="Write a picture: .png, .svg or .pdf.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@filter_options
@store_options
def plot(
    runs: Sequence[str],
    conditions: dict[str, Any],
    metrics: Sequence[str],
    x: str,
    smoothing: float,
    group_by: str | None,
    log_scale: bool,
    watch: bool,
    output: str | None,
    force: bool,
    url: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Plot metrics of RUNs over each other, or of the runs that match filters, in the terminal or into a picture.

    Without RUN: the 10 newest runs that have the metric, of those that match. Without --metric: the loss, or what
    they have. Each line ends in its mark, which the legend names; without colours, the line is drawn with it. NaN and
    infinities break a line and are marked by × on the axis. --x relative is the time since the run's start. --watch
    needs a terminal; it ends with exit code 130. Pictures need matplotlib: pip install 'trainstore[plots]'. --json
    prints the points.
    """
    console = new_console()
    if watch and (output is not None or as_json):
        raise click.UsageError("--watch draws in the terminal; leave out --output and --json")
    if watch and not console.is_terminal:
        raise click.UsageError(
            "--watch draws again and again in a terminal, which standard output is not; leave it out"
        )
    picture = output.rpartition(".")[2].lower() if output is not None else ""
    if output is not None and picture not in FORMATS:
        raise click.UsageError(f"--output {output}: its ending is not one of .png, .svg and .pdf")
    if runs and conditions:
        raise click.UsageError("Name RUNs or filters, not both.")
    with open_store(url, prefix) as store:
        if conditions:
            with snapshot_of(store) as reader:
                uids_of(reader, conditions, warn=True)

        def read() -> list[Curves]:
            with snapshot_of(store) as reader:
                chosen = list(runs) or (_matching(reader, conditions) if conditions else None)
                shown = list(metrics) or [_main_metric(reader, chosen)]
                curves = {"x": x, "smoothing": smoothing, "group_by": group_by, "newest": not runs}
                return _read(reader, shown, chosen, log=log_scale, **curves)

        if output is not None:
            _write_picture(read(), output, picture, x=x, smoothing=smoothing, log=log_scale, force=force)
        elif as_json:
            print_json([_fields(curve, curves.x_label) for curves in read() for curve in curves.curves])
        elif watch:
            _watch(console, lambda: _drawn(console, read(), x=x, log=log_scale))
        else:
            for line in _drawn(console, read(), x=x, log=log_scale):
                console.print(line, no_wrap=True, overflow="crop")


def _matching(reader: Reader, conditions: dict[str, Any]) -> list[str]:
    from trainstore.errors import TrainStoreError

    found = uids_of(reader, conditions, warn=False)
    if not found:
        raise TrainStoreError("no run matches; see: trainstore runs")
    return found


def _main_metric(reader: Reader, runs: Any) -> str:
    """The best-known metric that the runs have, else the one that most of them have."""
    from trainstore import queries
    from trainstore.errors import TrainStoreError

    counts = queries.list_metrics(reader, runs)["metric"].value_counts()
    if counts.empty:
        raise TrainStoreError("there are no metrics to plot; see: trainstore runs")
    known = [name for name in SHOWN_METRICS[::-1] if name in counts.index]
    return next((name for name in ("loss", *known) if name in counts.index), min(counts[counts == counts.max()].index))


def _read(reader: Reader, metrics: Sequence[str], runs: Any, *, log: bool, **arguments: Any) -> list[Curves]:
    """A chart's curves for each metric: in the terminal, lines of several would not be told apart."""
    from trainstore.plots import check_drawable
    from trainstore.queries.curves import read_curves

    charts = [read_curves(reader, metric, runs, **arguments) for metric in metrics]
    for curves in charts:
        check_drawable(curves, logy=log)
    return charts


# --- In the terminal -------------------------------------------------------------------------------------------------


def _watch(console: Console, draw: Any) -> None:
    from rich.console import Group
    from rich.live import Live

    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(Group(*draw()), refresh=True)
            sleep(INTERVAL)


def _drawn(console: Console, charts: Sequence[Curves], *, x: str, log: bool) -> list[Text]:
    """The lines of text of all charts."""
    height = HEIGHT
    if console.is_terminal:
        names = sum(len(curves.curves) for curves in charts) + 5 * len(charts)
        height = max(5, min(HEIGHT, (console.height - names) // len(charts)))
    return [line for curves in charts for line in _chart(console, curves, height, x=x, log=log)]


def _chart(console: Console, curves: Curves, height: int, *, x: str, log: bool) -> list[Text]:
    from rich.text import Text

    from trainstore.cli.chart import chart

    several = len(curves.curves) > 1
    coloured = console.is_terminal and not console.no_color and console.color_system is not None and is_utf8()
    drawn = chart(
        [_points(curve) for curve in curves.curves],
        width=min(console.width, MAX_WIDTH),
        height=height,
        marks=several and not coloured,
        log=log,
        x_text=_x_text(x),
    )
    title = Text(visible(curves.metrics[0]), style="bold", no_wrap=True, overflow="crop")
    title.append(f" over {curves.x_label}" + ", logarithmic" * log, style="not bold dim")
    lines = [title]
    if curves.note:
        lines.append(Text(curves.note, style="dim"))
    for left, cells in zip(drawn.left, drawn.cells, strict=True):
        line = Text(left, style="dim", no_wrap=True, overflow="crop")
        for text, number in cells:
            line.append(text, style=f"not dim {COLOURS[number % len(COLOURS)]}" if number >= 0 else "")
        line.rstrip()
        lines.append(line)
    lines += [Text(text, style="dim", no_wrap=True, overflow="crop") for text in drawn.below]
    lines += [_legend(number, curve, several) for number, curve in enumerate(curves.curves)]
    return [*lines, Text("")]


def _points(curve: Curve) -> list[tuple[float, float]]:
    from math import nan

    values = [nan if odd else y for y, odd in zip(curve.smooth.tolist(), curve.marked.tolist(), strict=True)]
    return list(zip(curve.x.tolist(), values, strict=True))


def _legend(number: int, curve: Curve, several: bool) -> Text:
    from rich.text import Text

    from trainstore.cli.chart import MARK, line_mark

    colour = COLOURS[number % len(COLOURS)]
    line = Text(no_wrap=True, overflow="ellipsis")
    if several:
        line.append(f"  {line_mark(number)} ", style=colour)
    line.append(("" if several else "  ") + visible(curve.label))
    finite = [y for y, odd in zip(curve.y.tolist(), curve.marked.tolist(), strict=True) if not odd]
    line.append(f"  last {finite[-1]:.6g}" if finite else "  no finite value", style="dim")
    odd = int(curve.marked.sum())
    if odd:
        line.append(f"  ({MARK} {odd} of {len(curve.y)} values are NaN or infinite)", style="yellow")
    return line


def _x_text(x: str) -> Any:
    from datetime import UTC, datetime

    if x == "time":
        return lambda seconds: f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    return lambda value: f"{int(value)}" if x == "step" else f"{value:.4g}"


# --- Pictures and JSON -----------------------------------------------------------------------------------------------


def _write_picture(
    charts: Sequence[Curves], output: str, picture: str, *, x: str, smoothing: float, log: bool, force: bool
) -> None:
    from trainstore.cli.files import new_file, path_of
    from trainstore.plots import draw, new_figure

    figure = new_figure(len(charts))
    for curves, ax in zip(charts, figure.subplots(len(charts), squeeze=False)[:, 0], strict=True):
        draw(curves, ax, x=x, smoothing=smoothing, logy=log)
    with new_file(path_of(output), force=force) as file:
        figure.savefig(file, format=picture, dpi=150)
    click.echo(f"{visible(output)}: {sum(len(curves.curves) for curves in charts)} lines")


def _fields(curve: Curve, x_label: str) -> dict[str, Any]:
    return {
        "metric": curve.metric,
        "label": curve.label,
        "runs": curve.runs,
        "x_label": x_label,
        "steps": curve.step.tolist(),
        "x": curve.x.tolist(),
        "values": curve.y.tolist(),
        "smoothed": curve.smooth.tolist(),
    }
