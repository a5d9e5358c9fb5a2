"""``trainstore demo``: the command; the trainings are in trainstore/demo.py."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainstore.cli.options import store_argument, store_options
from trainstore.cli.printing import new_console, print_json, print_table, progress_bar, record_fields, records
from trainstore.cli.stores import open_store, shown_url, snapshot_of
from trainstore.cli.streams import visible
from trainstore.display import SHOWN_METRICS, by_importance, overview
from trainstore.errors import TrainStoreError

if TYPE_CHECKING:
    from trainstore.backends import Backend
    from trainstore.store import TrainStore

REPORT = "demo-report.html"
UI_EXTRA = "   # needs: pip install 'trainstore[ui]'"


@click.command()
@store_argument
@store_options
@click.option(
    "--steps", default=200, show_default=True, type=click.IntRange(min=20), help="Optimizer steps of each run."
)
@click.option(
    "--trainer",
    default="transformers",
    show_default=True,
    type=click.Choice(["transformers", "torch"]),
    help="Whose trainer: GPT-2 by that of transformers, or a recurrent network of plain PyTorch by ours.",
)
def demo(url: str, prefix: str, as_json: bool, steps: int, trainer: str) -> None:
    """Train four small language models, record every step, show the best, and write demo-report.html."""
    from rich.markup import escape

    from trainstore import queries
    from trainstore.commands import command_on, options_of
    from trainstore.demo import PROJECT, check_libraries, run_demo
    from trainstore.notices import QUIET_VARIABLE

    os.environ.setdefault(QUIET_VARIABLE, "1")  # its own table tells it
    check_libraries()  # before a store is made
    with open_store(url, prefix, make=True) as store:
        with progress_bar(not as_json) as progress:
            results = run_demo(store, trainer=trainer, steps=steps, progress=progress)
        uids = [result.uid for result in results]
        table = store.models.run.c
        mine = table.uid.in_(uids)
        with snapshot_of(store) as reader:
            runs = queries.list_runs(
                reader,
                where=mine,
                hyperparams=["learning_rate", "width"],
                metrics=list(SHOWN_METRICS),
                columns="all" if as_json else "short",
            )
            backend = reader.backend
            best = queries.get_best_run(reader, metric_name="eval_loss", metric_direction="min", where=mine)
        if best is None:
            raise TrainStoreError("no run of the demo has an eval_loss")
        if as_json:
            print_json({"runs": records(runs), "best": record_fields(best)})
            return
        print_table("Runs of this demo", overview(runs), by_importance(runs))
        console = new_console()
        console.print(
            f"Best by eval_loss: [bold]{best.name}[/] with {best.sort_metric_value:.4f} at step {best.sort_metric_step}"
        )
        console.print("Training loss of each run (mean of its first and last ten steps):")
        for result in results:
            console.print(f"  {result.name}: {result.first_loss:.3f} → {result.last_loss:.3f}")
        console.print(escape(_report_line(store, backend, uids)), soft_wrap=True)
        target = repr(shown_url(store)) if options_of(backend, prefix) else ""
        extra = "" if find_spec("starlette") and find_spec("uvicorn") else escape(UI_EXTRA)
        console.print(
            f"\nWhat to try next:\n{_path_command()}"
            f"  {command_on(backend, prefix, 'ui')}{extra}\n"
            f"  {command_on(backend, prefix, 'runs')}\n"
            f"  {command_on(backend, prefix, f'show {best.uid}')}\n"
            f"  {command_on(backend, prefix, f'best eval_loss --project {PROJECT}')}\n"
            f'  python -c "import trainstore; print(trainstore.TrainStore({target}).list_runs())"',
            highlight=False,
            soft_wrap=True,
        )


def _report_line(store: TrainStore, backend: Backend, uids: Sequence[str]) -> str:
    """Write the runs as one file beside the store, and say where; or why not."""
    from trainstore.dashboard.report import is_report, write_report

    place = getattr(backend, "path", None)
    path = (Path.cwd() if place is None else Path(place).parent) / REPORT
    try:
        # An earlier demo's report is replaced, another file is not.
        write_report(store, path, uids, title="trainstore demo", overwrite=is_report(path))
    except (TrainStoreError, OSError) as error:
        return f"There is no report of these runs: {visible(error)}"
    return f"A report of these runs, to be opened in a browser: {visible(_from_here(path))}"


def _from_here(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def _path_command() -> str:
    """A line that makes the commands below it work, if the environment of this one is not activated; else nothing."""
    from rich.markup import escape

    folder = sysconfig.get_path("scripts")
    if shutil.which("trainstore") is not None or not os.path.exists(os.path.join(folder, "trainstore")):
        return ""
    return escape(f"  export PATH={shlex.quote(folder)}:$PATH\n")
