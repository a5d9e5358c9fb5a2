"""How long dashboards take to their first usable screen: ``python -m benchmarks.peers.screens``.

The same runs are recorded in each. Then, in each round and in turn: the dashboard's command is started, and a browser
with an empty profile opens its page as soon as it answers. A screen is usable when the names of runs are there and the
first chart is drawn. "again" is a second visit, by a browser that knows nothing either, of the server that is warm now.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fixtures.browsers import FLAGS

from benchmarks.peers.__main__ import install, version_of
from benchmarks.report import environment
from benchmarks.rounds import ROOT

DATA = Path(__file__).with_name("screen_data.py")
DEADLINE = 300.0  # seconds
#: What is recorded: how many runs of how many steps.
SCENES = {"5,000 runs": (5_000, 1), "50 runs of 2,000 steps": (50, 2_000)}


@dataclass
class Dashboard:
    """A tracker's dashboard: how it is started, and how one sees that its screen is usable."""

    name: str
    title: str
    package: str | None  # None: this repository, in this environment
    command: list[str]  # after the environment's Python; {folder} and {port} are filled in
    usable: str  # JavaScript
    page: str = "/"
    loaded: str = ""  # an address that answers with all runs when they are read: a page does not ask again by itself
    version: str = ""
    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict)


DASHBOARDS = [
    Dashboard(
        "trainstore", "trainstore", None,
        ["-m", "trainstore", "ui", "{folder}/runs.db", "--port", "{port}", "--no-open"],
        "document.querySelectorAll('[role=gridcell]').length > 10 && document.querySelector('canvas[data-drawn]')",
    ),
    Dashboard(
        "trackio", "Trackio", "trackio",
        ["-c", "import trackio; trackio.show('bench', open_browser=False, server_port={port}, share=False)"],
        "document.querySelectorAll('.run-name').length > 10 && document.querySelector('.marks')",
        page="/?project=bench",
    ),
    Dashboard(
        "tensorboard", "TensorBoard", "tensorboard",
        ["-m", "tensorboard.main", "--logdir", "{folder}", "--port", "{port}", "--host", "127.0.0.1"],
        "document.querySelectorAll('runs-data-table [role=row], runs-data-table tb-data-table-content-row').length > 10"
        " && document.querySelector('line-chart canvas, line-chart svg')",
        loaded="/data/plugin/timeseries/tags",
    ),
]  # fmt: skip


def record(python: Path | str, name: str, folder: Path, runs: int, steps: int) -> None:
    """The runs of a scene, in this tracker."""
    environment = {**os.environ, "TRACKIO_DIR": str(folder), "TRAINSTORE_JOURNAL_DIR": str(folder / "journals")}
    command = [python, DATA, name, str(folder), str(runs), str(steps)]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=3_600)


@contextmanager
def started(dashboard: Dashboard, python: Path | str, folder: Path, runs: int) -> Iterator[str]:
    """The dashboard's process, from when it answers; the address of its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [part.replace("{folder}", str(folder)).replace("{port}", str(port)) for part in dashboard.command]
    process = subprocess.Popen(
        [python, *arguments],
        cwd=folder,
        env={**os.environ, "TRACKIO_DIR": str(folder), "HOME": str(folder), "PYTHONPATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        origin = f"http://127.0.0.1:{port}"
        wait_for(lambda: urllib.request.urlopen(origin + dashboard.page, timeout=60).status == 200)
        if dashboard.loaded:
            wait_for(lambda: urllib.request.urlopen(origin + dashboard.loaded).read().count(b'"run-') >= runs)
        yield origin + dashboard.page
    finally:
        process.terminate()
        process.wait(60)


def wait_for(true: Any) -> None:
    """Until it is so; an error counts as not yet."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            if true():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise TimeoutError("the dashboard does not answer")
        time.sleep(0.02)


def visit(driver: Any, address: str, usable: str) -> float:
    """A browser of its own opens the page; seconds until it is usable."""
    browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
    try:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_function(f"() => Boolean({usable})", timeout=DEADLINE * 1_000)
        return time.perf_counter() - began
    finally:
        browser.close()


def table(dashboards: list[Dashboard]) -> str:
    """The result as a Markdown table."""
    lines = ["| dashboard | runs | from the command | again |", "| --- | --- | --: | --: |"]
    for scene in SCENES:
        for one in dashboards:
            if found := one.rounds.get(scene):
                first, again = (statistics.median(part[name] for part in found) for name in ("first", "again"))
                lines.append(f"| {one.title} {one.version} | {scene} | {first:.2f} s | {again:.2f} s |")
    where = environment()
    lines.append(f"\nMedians of rounds; measured on {where['date']} at {where['commit']}: {where['machine']}.")
    return "\n".join(lines)


def main() -> None:
    """Record, measure in turn, and print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.screens", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[one.name for one in DASHBOARDS], help="these dashboards")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "peers", help="where each is installed")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every figure there")
    options = parser.parse_args()
    dashboards = [one for one in DASHBOARDS if options.only is None or one.name in options.only]
    pythons: dict[str, Path | str] = {}
    for one in dashboards:
        pythons[one.name] = install(one.package, options.environments) if one.package else sys.executable
        one.version = version_of(pythons[one.name], one.package or "trainstore")
    with sync_playwright() as driver, tempfile.TemporaryDirectory(prefix="trainstore-bench-") as name:
        for scene, (runs, steps) in SCENES.items():
            folders = {one.name: Path(name, scene.replace(" ", "-").replace(",", ""), one.name) for one in dashboards}
            for one in dashboards:
                folders[one.name].mkdir(parents=True)
                record(pythons[one.name], one.name, folders[one.name], runs, steps)
            for number in range(options.rounds):
                for one in dashboards[:: -1 if number % 2 else 1]:
                    began = time.perf_counter()
                    with started(one, pythons[one.name], folders[one.name], runs) as address:
                        visit(driver, address, one.usable)
                        first = time.perf_counter() - began
                        again = visit(driver, address, one.usable)
                    one.rounds.setdefault(scene, []).append({"first": first, "again": again})
                    print(f"{scene}, round {number + 1}: {one.title} {first:.2f} s, {again:.2f} s", file=sys.stderr)
    print(table(dashboards))
    if options.json:
        found = {one.title: {"version": one.version, "rounds": one.rounds} for one in dashboards}
        options.json.write_text(json.dumps({"environment": environment(), "screens": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
