"""The command ``trainstore``.

Exit codes: 0 done; 1 an error, one line on standard error that says what to do; 2 a wrong command line; 130 Ctrl-C.
What people wrote (names, notes, values) is shown with its control characters made visible: a terminal obeys them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from trainstore import __version__
from trainstore.errors import StoreUnavailableError, TrainStoreError

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

    from trainstore.store import TrainStore

DEFAULT_STORE = "trainstore.db"
NEWEST = 50
MAX_CELL = 36  # characters
PIPED_WIDTH = 160  # where the output is no terminal
# Varying from run to run by their nature, and of no interest in a table.
UNINTERESTING = ("hp__output_dir", "hp__run_name", "hp__logging_dir")
SHOWN_METRICS = ("eval_loss", "loss", "train_loss", "eval_accuracy")

STORE_OPTIONS = (
    click.option(
        "--store",
        "url",
        metavar="URL|PATH",
        envvar="TRAINSTORE_URL",
        default=DEFAULT_STORE,
        show_default=True,
        show_envvar=True,
        help="The store: a path (SQLite) or a database URL.",
    ),
    click.option(
        "--prefix",
        metavar="TEXT",
        envvar="TRAINSTORE_PREFIX",
        default="",
        show_envvar=True,
        help="What the names of the store's tables begin with.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
)


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --store, --prefix and --json."""
    for option in reversed(STORE_OPTIONS):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trainstore")
def cli() -> None:
    """Every run, step and hyperparameter of your trainings, in your own SQL database."""


@cli.command()
@store_options
@click.option(
    "--steps", default=200, show_default=True, type=click.IntRange(min=20), help="Optimizer steps of each run."
)
def demo(url: str, prefix: str, as_json: bool, steps: int) -> None:
    """Train four small language models, record every step, and show the best."""
    from trainstore.demo import PROJECT, run_demo

    with _open(url, prefix, make=True) as store:
        with _progress(not as_json) as progress:
            results = run_demo(store, steps=steps, progress=progress)
        uids = [result.uid for result in results]
        table = store.models.run.c
        mine = table.uid.in_(uids)
        runs = store.list_runs(where=mine, hyperparams=["learning_rate", "width"], metrics=list(SHOWN_METRICS))
        best = store.get_best_run(metric_name="eval_loss", metric_direction="min", where=mine)
        if best is None:
            _fail("no run of the demo has an eval_loss")
        if as_json:
            _print_json({"runs": _records(runs), "best": _record(best)})
            return
        _print_table("Runs of this demo", _overview(runs))
        console = _console()
        console.print(
            f"Best by eval_loss: [bold]{best.name}[/] with {best.sort_metric_value:.4f} at step {best.sort_metric_step}"
        )
        console.print("Every run's own training loss (mean of its first and last ten steps):")
        for result in results:
            console.print(f"  {result.name}: {result.first_loss:.3f} → {result.last_loss:.3f}")
        # What the environment says need not be said again; and a URL that is shown lacks its password.
        known = url in (DEFAULT_STORE, os.environ.get("TRAINSTORE_URL"))
        option = "" if known else f" --store {_shown_url(store)}"
        target = f"'{_shown_url(store)}'" if "***" not in store.url else "os.environ['TRAINSTORE_URL']"
        console.print(
            f"\nLook further:\n"
            f"  trainstore runs{option}\n"
            f"  trainstore show {best.uid}{option}\n"
            f"  trainstore best eval_loss --project {PROJECT}{option}\n"
            f'  python -c "import os, trainstore; print(trainstore.TrainStore({target}).list_runs())"',
            highlight=False,
            soft_wrap=True,
        )


@cli.command()
@store_options
@click.option("--project", multiple=True, help="Only this project's; may be given several times.")
@click.option("--status", multiple=True, help="Only those: running, finished, failed, interrupted, pruned or lost.")
@click.option("--tag", multiple=True, help="Only those with this tag.")
@click.option("--metric", "metrics", multiple=True, help="Show the last value of this metric.")
@click.option("--limit", default=NEWEST, show_default=True, type=click.IntRange(min=1), help="Show the newest.")
@click.option("--all", "everything", is_flag=True, help="Show all.")
def runs(
    url: str,
    prefix: str,
    as_json: bool,
    project: Sequence[str],
    status: Sequence[str],
    tag: Sequence[str],
    metrics: Sequence[str],
    limit: int,
    everything: bool,
) -> None:
    """List runs, newest first."""
    with _open(url, prefix) as store:
        frame = store.list_runs(
            project=list(project) or None,
            status=list(status) or None,
            tag=list(tag) or None,
            limit=None if everything else limit,
            hyperparams="varying",
            metrics=list(metrics or SHOWN_METRICS),
        )
        if as_json:
            _print_json(_records(frame))
        elif frame.empty:
            click.echo("no runs")
        else:
            _print_table(None, _overview(frame))
            if not everything and len(frame) == limit:
                click.echo(f"the newest {limit}; all of them: trainstore runs --all")


@cli.command()
@click.argument("run")
@store_options
def show(run: str, url: str, prefix: str, as_json: bool) -> None:
    """Show one RUN (a uid, an id or a name): hyperparameters, metrics, attempts and events."""
    with _open(url, prefix) as store:
        record = store.get_run(_run_argument(run))
        metrics = store.list_metrics(record)
        hyperparams = store.list_hyperparams(record)
        events = store.list_events(record)
        if as_json:
            _print_json(
                {
                    "run": _record(record),
                    "metrics": _records(metrics),
                    "hyperparams": _records(hyperparams),
                    "events": _records(events),
                }
            )
            return
        _print_pairs(f"Run {record.name}", _facts(record))
        _print_table("Metrics", metrics.drop(columns=["uid"]))
        _print_table("Hyperparameters", hyperparams[["namespace", "key", "value"]].dropna())
        if not events.empty:
            _print_table("Events", events[["at", "step", "kind", "details"]])


@cli.command()
@click.argument("metric")
@store_options
@click.option("--max", "direction", flag_value="max", help="The greatest value is the best.")
@click.option("--min", "direction", flag_value="min", default="min", help="The smallest value is the best (default).")
@click.option("--by-last", is_flag=True, help="Rank by each run's last value instead of its best one.")
@click.option("--project", multiple=True, help="Only this project's; may be given several times.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(min=1), help="Show so many.")
def best(
    metric: str, url: str, prefix: str, as_json: bool, direction: str, by_last: bool, project: Sequence[str], limit: int
) -> None:
    """Rank runs by METRIC, the best first."""
    with _open(url, prefix) as store:
        frame = store.list_runs_grouped_by_metric(
            metric_name=metric,
            metric_direction=direction,
            by="last" if by_last else "best",
            project=list(project) or None,
            hyperparams="varying",
            metrics=[metric],
            limit=limit,
        )
        if frame.empty:
            _fail(f"no run has a finite value of {metric!r}; the metrics there are: {_known_metrics(store)}")
        if as_json:
            _print_json(_records(frame))
        else:
            _print_table(None, _overview(frame))


@cli.command()
@store_options
def recover(url: str, prefix: str, as_json: bool) -> None:
    """Bring the records that ended processes left in their journals into the store."""
    with _open(url, prefix) as store:
        done = store.recovered
        if as_json:
            _print_json(
                {
                    "records": done.records,
                    "runs": sorted(set(done.runs)),
                    "live": [str(path) for path in done.live],
                    "set_aside": [str(path) for path in done.set_aside],
                    "failed": {str(path): reason for path, reason in done.failed.items()},
                }
            )
        else:
            click.echo(f"{done.records} records of {len(set(done.runs))} runs delivered")
            for path in done.live:
                click.echo(f"left alone, its process lives: {_visible(path)}")
            for path in done.set_aside:
                click.echo(f"set aside, its run was deleted: {_visible(path)}")
        if done.failed:
            _fail("; ".join(f"{path} could not be delivered ({reason})" for path, reason in done.failed.items()))


@cli.group()
def db() -> None:
    """The database's schema."""


@db.command()
@store_options
def upgrade(url: str, prefix: str, as_json: bool) -> None:
    """Bring the schema to this trainstore's version; make it where there is none."""
    from trainstore import schema

    def run(*parts: Any) -> tuple[str | None, str | None]:
        before = schema.current(*parts)
        schema.upgrade(*parts)
        return before, schema.current(*parts)

    before, after = _with_schema(url, prefix, run)
    if as_json:
        _print_json({"before": before, "after": after})
    else:
        click.echo(f"schema {after}" if before == after else f"schema {before or 'none'} → {after}")


@db.command()
@store_options
def current(url: str, prefix: str, as_json: bool) -> None:
    """Show the schema's version, and this trainstore's."""
    from trainstore import schema

    found = _with_schema(url, prefix, schema.current)
    if as_json:
        _print_json({"current": found, "head": schema.HEAD})
    else:
        click.echo(f"{found or 'none'}{' (head)' if found == schema.HEAD else f'; this trainstore has {schema.HEAD}'}")


@db.command()
@store_options
def check(url: str, prefix: str, as_json: bool) -> None:
    """Compare the database with the models; exit code 1 where they differ."""
    from trainstore import schema

    differences = _with_schema(url, prefix, schema.check)
    if as_json:
        _print_json({"differences": differences})
    elif not differences:
        click.echo("the database and the models agree")
    else:
        for difference in differences:
            click.echo(_visible(difference))
    if differences:
        sys.exit(1)


# --- Opening ---------------------------------------------------------------------------------------------------------


@contextmanager
def _open(url: str, prefix: str, *, make: bool = False) -> Iterator[TrainStore]:
    from trainstore.backends import open_backend
    from trainstore.store import TrainStore

    if not make and not open_backend(url).exists():
        raise StoreUnavailableError(
            f"there is no store at {_visible(url)}; name another by --store or TRAINSTORE_URL, or begin one with: "
            "trainstore demo"
        )
    with TrainStore(url, table_name_prefix=prefix) as store:
        yield store


def _with_schema(url: str, prefix: str, function: Callable[..., Any]) -> Any:
    from trainstore.backends import open_backend
    from trainstore.models import models_for

    models = models_for(prefix)
    backend = open_backend(url)
    engine = backend.create_engine()
    try:
        return function(engine, backend, models)
    finally:
        engine.dispose()
        backend.close()


def _run_argument(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _known_metrics(store: TrainStore) -> str:
    names = sorted(set(store.list_metrics()["metric"]))
    return ", ".join(map(_visible, names[:30])) + (" …" if len(names) > 30 else "") if names else "none"


def _shown_url(store: TrainStore) -> str:
    return store.url.removeprefix("sqlite:///")


# --- Printing --------------------------------------------------------------------------------------------------------


def _console() -> Console:
    from rich.console import Console

    # Where the output goes into a pipe or a file, Rich would take 80 columns.
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def _visible(value: object) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def _cell(value: Any) -> str:
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, pd.Timestamp):
        return f"{value:%m-%d %H:%M}" if value.year == pd.Timestamp.now().year else f"{value:%Y-%m-%d %H:%M}"
    return _visible(value)


_SHORT = {
    "run_id": "id",
    "started_at": "started",
    "last_step": "step",
    "sort_metric_value": "best",
    "sort_metric_step": "at",
}


def _overview(frame: DataFrame) -> DataFrame:
    """The columns that a person looks at first: an id, a label, how it went; then what was asked for."""
    names = [str(column) for column in frame.columns]
    several = frame["project"].nunique() > 1
    fixed = ["run_id", "name", *(["project"] if several else []), "status", "started_at", "last_step"]
    ranked = [c for c in ("sort_metric_value", "sort_metric_step") if c in names]
    varying = [c for c in names if c.startswith("hp__") and c not in UNINTERESTING][:4]
    metrics = [c for c in names if c.startswith("metric__") and not frame[c].isna().all()]
    shown = frame[[*fixed, *ranked, *metrics, *varying]]
    return shown.rename(columns=lambda c: _SHORT.get(c, c.split("__", 1)[-1]))


def _print_table(title: str | None, frame: DataFrame) -> None:
    """As many columns as the terminal is wide for, from the left; the others are named below."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = _console()
    columns = {_visible(name): [_cell(value) for value in frame[name]] for name in frame.columns}
    room = console.width - 2
    shown: list[str] = []
    for name, cells in columns.items():
        room -= min(MAX_CELL, max(map(len, (name, *cells)))) + 3
        if room < 0:
            break
        shown.append(name)
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    for name, kind in zip(shown, frame.dtypes, strict=False):
        justify: Literal["right", "left"] = "right" if kind.kind in "iuf" else "left"
        table.add_column(Text(name), justify=justify, no_wrap=True, overflow="ellipsis", max_width=MAX_CELL)
    for row in zip(*(columns[name] for name in shown), strict=True):
        table.add_row(*map(Text, row))
    console.print(table)
    hidden = [name for name in columns if name not in shown]
    if hidden:
        console.print(f"(no room for: {', '.join(hidden)}; --json prints everything)", markup=False)


def _print_pairs(title: str, pairs: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(_visible(title)),
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=box.SIMPLE,
        pad_edge=False,
    )
    for name, value in pairs.items():
        table.add_row(name, Text(_cell(value)))
    _console().print(table)


def _facts(record: Any) -> dict[str, Any]:
    names = (
        "run_id",
        "uid",
        "project",
        "name",
        "status",
        "error",
        "started_at",
        "ended_at",
        "last_step",
        "source",
        "notes",
    )
    return {name: getattr(record, name) for name in names if getattr(record, name) is not None}


def _records(frame: DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def _record(record: Any) -> dict[str, Any]:
    import dataclasses

    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _print_json(value: Any) -> None:
    import orjson

    click.echo(orjson.dumps(_plain(value), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def _plain(value: Any) -> Any:
    """JSON of a result: missing values null, NaN and infinities as in the database, times in ISO 8601."""
    import pandas as pd

    from trainstore.values import canonical

    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is pd.NaT or value is pd.NA:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return canonical(value)


@contextmanager
def _progress(shown: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    if not shown:
        yield None
        return
    console = _console()
    if not console.is_terminal:
        yield partial(_print_progress, {})
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("reading the text", total=None)
        yield lambda name, done, total: bar.update(task, description=name, completed=done, total=total)


def _print_progress(last: dict[str, int], name: str, done: int, total: int) -> None:
    """A line for every twentieth of the work, where there is no terminal to draw a bar on."""
    part = 20 * done // total
    if part != last.get("part"):
        last["part"] = part
        click.echo(f"{name}: {done} of {total} steps")


# --- Errors ----------------------------------------------------------------------------------------------------------


def _fail(message: str) -> NoReturn:
    raise TrainStoreError(message)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit: the entry point of the command ``trainstore``."""
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments), prog_name="trainstore", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except TrainStoreError as error:
        click.echo(f"Error: {_visible(error)}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader (head, less) has had enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(result if isinstance(result, int) else 0)
