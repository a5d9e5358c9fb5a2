"""``trainstore show``: one run, its steps as plots and a table."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from trainstore.cli.options import store_options
from trainstore.cli.printing import new_console, print_json, print_table, record_fields, records
from trainstore.cli.run_page import SECTIONS, print_page, print_sections
from trainstore.cli.samples import print_samples
from trainstore.cli.stores import open_snapshot
from trainstore.cli.streams import visible
from trainstore.cli.types import METRIC, RUN
from trainstore.display import SHOWN_METRICS
from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from trainstore.queries import Reader, RunRecord
    from trainstore.queries.stream import Step
    from trainstore.store import TrainStore

PLOTS = 3  # metrics plotted without --metric
MAX_WIDTH = 100  # characters of a plot


@click.command()
@click.argument("run", type=RUN)
@click.option("--steps", is_flag=True, help="Plot metrics over the steps, and list the last steps.")
@click.option("--samples", is_flag=True, help="Print the text samples: what the model wrote, step by step.")
@click.option("--metric", "metrics", multiple=True, type=METRIC, help="Plot this metric; may be repeated.")
@click.option(
    "--last",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    help="With --steps: how many of the last steps to list. With --samples: how many of each prompt.",
)
@click.option("--all", "everything", is_flag=True, help="Show everything, in all sections, or all samples.")
@click.option(
    "--section",
    "sections",
    multiple=True,
    type=click.Choice(SECTIONS),
    help="Show everything in this section only; may be repeated.",
)
@store_options
def show(
    run: str,
    steps: bool,
    samples: bool,
    metrics: Sequence[str],
    last: int,
    everything: bool,
    sections: Sequence[str],
    url: str,
    prefix: str,
    as_json: bool,
) -> None:
    """Show one RUN (a uid, an id or a name): how it went, its main metrics, what was chosen for it.

    Of a Hugging Face training, hyperparameters that have the default of TrainingArguments are left out. So are
    runtimes, counters, the machine's state and the gradients of layers among the metrics; --all and --section show
    them. With --json everything is printed.

    --steps plots its metrics and lists the last steps. NaN and infinities break the line and are marked × on the axis.
    With --json it prints every step.

    --samples prints the text samples of each prompt, cut to a line each; with --all they are whole.
    """
    from trainstore import queries

    if samples and (steps or metrics):
        raise click.UsageError("Choose --samples, or --steps and --metric.")
    with open_snapshot(url, prefix) as (store, reader):
        if steps or metrics:
            _show_steps(store, reader, run, list(metrics), last, as_json)
            return
        record = queries.get_run(reader, run)
        if samples:
            _show_samples(reader, record, last, as_json, everything=everything)
            return
        if as_json:
            print_json(
                {
                    "run": record_fields(record),
                    "steps_per_second": queries.steps_per_second(reader, record),
                    "metrics": records(queries.list_metrics(reader, record)),
                    "hyperparams": records(queries.list_hyperparams(reader, record)),
                    "attempts": records(queries.list_attempts(reader, record)),
                    "children": records(queries.list_children(reader, record)),
                    "events": records(queries.list_events(reader, record)),
                }
            )
            return
        if sections and not everything:
            print_sections(reader, record, sections)
        else:
            print_page(reader, record, everything=everything)


def _show_samples(reader: Reader, record: RunRecord, last: int, as_json: bool, *, everything: bool) -> None:
    from trainstore.queries import list_samples

    found = list_samples(reader, record)
    if as_json:
        print_json({"uid": record.uid, "name": record.name, "samples": records(found.drop(columns="run"))})
    else:
        print_samples(found, last=last, everything=everything)


def _show_steps(store: TrainStore, reader: Reader, run: str, wanted: list[str], last: int, as_json: bool) -> None:
    from trainstore.queries.reader import resolve_run
    from trainstore.queries.stream import stream_steps
    from trainstore.values import number_of

    record = store.get_run(run)
    known = list(store.list_metrics(record)["metric"])
    key = resolve_run(reader, record)
    unknown = [name for name in wanted if name not in known]
    if as_json:
        kept = [_step_fields(step, wanted) for steps in stream_steps(reader, [key]) for step in steps]
        print_json({"uid": record.uid, "name": record.name, "steps": kept})
        return
    if unknown:
        names = ", ".join(map(visible, known)) or "none"
        raise TrainStoreError(
            f"run {record.uid} has no numbers for {', '.join(map(repr, unknown))}; its metrics are: {names}"
        )
    shown = wanted or sorted(known, key=lambda name: (name not in SHOWN_METRICS, name))[:PLOTS]
    points: dict[str, list[tuple[int, float]]] = {name: [] for name in shown}
    newest: deque[Step] = deque(maxlen=last)
    for steps in stream_steps(reader, [key]):
        for step in steps:
            for name, of_metric in points.items():
                number = number_of(step.metrics.get(name))
                if number is not None:
                    of_metric.append((step.step, number))
        newest.extend(steps)
    if not newest:
        click.echo("no steps")
        return
    for name, of_metric in points.items():
        _print_plot(name, of_metric)
    hidden = [name for name in known if name not in shown]
    if hidden and not wanted:
        click.echo(f"(also: {', '.join(map(visible, hidden))}; plot one with --metric)\n")
    _print_last(newest, wanted)


def _step_fields(step: Step, wanted: list[str]) -> dict[str, Any]:
    from trainstore.queries.stream import metric_value

    fields = step._asdict()
    del fields["run"]
    fields["metrics"] = {
        name: metric_value(value) for name, value in step.metrics.items() if not wanted or name in wanted
    }
    return fields


def _print_plot(name: str, points: list[tuple[int, float]]) -> None:
    from math import isfinite

    from rich.text import Text

    from trainstore.cli.chart import MARK, plot

    console = new_console()
    odd = sum(not isfinite(value) for _, value in points)
    title = Text(visible(name), style="bold")
    if odd:
        title.append(f"  ({MARK} {odd} of {len(points)} values are NaN or infinite)", style="not bold yellow")
    console.print(title)
    for line in plot(points, width=min(console.width, MAX_WIDTH)):
        head, bar, rest = line.partition("│")
        console.print(
            Text(head + bar, style="dim").append(rest, style="not dim cyan") if bar else Text(line, style="dim"),
            no_wrap=True,
            overflow="crop",
        )
    console.print()


def _print_last(steps: deque[Step], wanted: list[str]) -> None:
    import pandas as pd

    from trainstore.queries.frames import NUMBER, series
    from trainstore.queries.stream import metric_value

    names = wanted or list(dict.fromkeys(name for step in steps for name in step.metrics))
    frame = pd.DataFrame({"step": [step.step for step in steps]})
    epochs = [step.epoch for step in steps]
    if any(epoch is not None for epoch in epochs):
        frame["epoch"] = series(epochs, NUMBER, exact=True)
    frame["logged"] = [pd.Timestamp(step.logged_at) for step in steps]
    for name in names:
        values = [metric_value(step.metrics.get(name)) for step in steps]
        frame.insert(len(frame.columns), name, pd.Series(values, dtype=object), allow_duplicates=True)
    print_table(f"Last {len(steps)} steps", frame)
