"""How soon the dashboards show something: ``python -m benchmarks.peers.screens --help``.

The same runs are written for each tracker, and its dashboard is looked at in the same browser. Measured is the time
from the command until its first screen can be used, and that of a page opened once more, with the server warm. A
screen can be used when runs are listed and the first chart has its curves. Of thousands of runs TensorBoard draws none
by itself: there the list and the frame of the chart are enough.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import TimeoutError as PageTimeoutError

from benchmarks.peers.__main__ import install, version_of
from benchmarks.report import environment
from benchmarks.rounds import ROOT

FILL = Path(__file__).with_name("fill.py")
DATA = {"50 runs × 2,000 steps": (50, 2_000), "5,000 runs": (5_000, 1)}
SIZE = {"width": 1440, "height": 900}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT = 120.0  # seconds
Found = dict[str, dict[str, list[dict[str, float]]]]
# Elements are looked for behind shadow roots, too.
FIND = """
const find = (root, test) => {
  for (const element of root.querySelectorAll("*")) {
    if (test(element)) return true;
    if (element.shadowRoot && find(element.shadowRoot, test)) return true;
  }
  return false;
};
const listed = () => document.body.innerText.includes("run-00") || document.body.innerText.includes("run-49");
"""


@dataclass(frozen=True)
class Screen:
    """A dashboard: how it is started, and how a page of it tells that it can be used."""

    name: str
    title: str
    package: str | None
    ready: str  # JavaScript
    ready_of_many: str = ""  # where thousands of runs are shown in another way

    def command(self, python: str, folder: Path, port: int) -> list[str]:
        scripts = Path(python).parent
        if self.name == "trainstore":
            return [python, "-m", "trainstore", "ui", str(folder / "runs.db"), "--port", str(port), "--no-open"]
        if self.name == "trackio":
            return [str(scripts / "trackio"), "show", "--project", "dashboard"]
        return [str(scripts / "tensorboard"), "--logdir", str(folder), "--port", str(port)]

    def address(self, port: int) -> str:
        return f"http://127.0.0.1:{port}/{'?project=dashboard' if self.name == 'trackio' else ''}"


_TENSORBOARD_LIST = 'find(document, (one) => one.localName === "scalar-card")'
SCREENS = [
    Screen("trainstore", "trainstore", None, 'document.querySelector("canvas[data-drawn]") !== null'),
    Screen("trackio", "Trackio", "trackio", 'document.querySelector(".vega-embed canvas, .vega-embed svg") !== null'),
    Screen(
        "tensorboard",
        "TensorBoard",
        "tensorboard",
        'find(document, (one) => one.localName === "scalar-card-data-table" && one.innerText.includes("run-"))',
        _TENSORBOARD_LIST,
    ),
]


@contextlib.contextmanager
def started(screen: Screen, python: str, folder: Path, port: int) -> Iterator[None]:
    """The dashboard's server."""
    environ = {
        **os.environ,
        "HOME": str(folder),
        "TRACKIO_DIR": str(folder),
        "GRADIO_SERVER_PORT": str(port),
        "BROWSER": "/bin/true",
        "HF_HUB_OFFLINE": "1",
    }
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            screen.command(python, folder, port), env=environ, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def answers(address: str) -> bool:
    """Whether the server gives its page."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def look(browser: Browser, screen: Screen, address: str, many: bool, picture: Path | None = None) -> float:
    """Seconds until a page, opened in a browser without a cache, can be used; infinity after `TIMEOUT`."""
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        ready = (many and screen.ready_of_many) or screen.ready
        began = time.monotonic()
        page.goto(address, wait_until="commit")
        try:
            script = f"() => {{ {FIND} return listed() && {ready}; }}"
            page.wait_for_function(script, timeout=TIMEOUT * 1000, polling=50)
            took = time.monotonic() - began
        except PageTimeoutError:
            took = math.inf
        if picture is not None:
            page.screenshot(path=picture)
        return took
    finally:
        context.close()


def measure(
    browser: Browser, screen: Screen, python: str, folder: Path, runs: int, picture: Path | None
) -> dict[str, float]:
    """From the command on, and once more with the server warm."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, many = screen.address(port), runs > 1_000
    began = time.monotonic()
    with started(screen, python, folder, port):
        while not answers(address):
            if time.monotonic() - began > TIMEOUT:
                raise RuntimeError(f"{screen.title} did not start")
            time.sleep(0.05)
        page = look(browser, screen, address, many)
        first = math.inf if page == math.inf else time.monotonic() - began
        return {"first_s": first, "again_s": look(browser, screen, address, many, picture)}


def fill(screen: Screen, python: str, folder: Path, runs: int, steps: int) -> None:
    """Write the runs, in the tracker's own environment."""
    folder.mkdir()
    command: list[Any] = [python, FILL, screen.name, folder, str(runs), str(steps)]
    subprocess.run(command, check=True, capture_output=True)


def rounds_of(browser: Browser, pythons: dict[Screen, str], rounds: int, folder: Path, pictures: Path | None) -> Found:
    """Every dashboard in turn, round by round."""
    found: Found = {}
    for title, (runs, steps) in DATA.items():
        places = {screen: folder / f"{screen.name}-{runs}" for screen in pythons}
        for screen, python in pythons.items():
            fill(screen, python, places[screen], runs, steps)
        for number in range(rounds):
            for screen, python in pythons.items():
                picture = pictures / f"{screen.name}-{runs}.png" if pictures else None
                one = measure(browser, screen, python, places[screen], runs, picture)
                found.setdefault(title, {}).setdefault(screen.name, []).append(one)
                print(f"round {number + 1}  {title}  {screen.title}: {one}", file=sys.stderr, flush=True)
    return found


def table(found: Found, versions: dict[Screen, str]) -> str:
    """The medians, as Markdown."""
    lines = [
        "| dashboard | " + " | ".join(f"{title}, from the command | opened again" for title in DATA) + " |",
        "| --- |" + " --: | --: |" * len(DATA),
    ]
    for screen, version in versions.items():
        rounds = [found[title][screen.name] for title in DATA]
        middle = [statistics.median(one[name] for one in some) for some in rounds for name in ("first_s", "again_s")]
        lines.append(f"| {screen.title} {version} | {' | '.join(map(_seconds, middle))} |")
    return "\n".join(lines)


def _seconds(value: float) -> str:
    return f"> {TIMEOUT:.0f} s" if value == math.inf else f"{value:.1f} s"


def main() -> None:
    """Fill, look, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.screens", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[screen.name for screen in SCREENS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--pictures", type=Path, help="a folder for what the screens looked like")
    parser.add_argument("--json", type=Path, metavar="PATH")
    options = parser.parse_args()

    pythons = {
        screen: str(install(screen.package, options.environments)) if screen.package else sys.executable
        for screen in SCREENS
        if options.only is None or screen.name in options.only
    }
    versions = {screen: version_of(python, screen.package or "trainstore") for screen, python in pythons.items()}
    with tempfile.TemporaryDirectory(prefix="trainstore-bench-", ignore_cleanup_errors=True) as folder:  # noqa: SIM117
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=options.chromium, args=FLAGS)
            found = rounds_of(browser, pythons, options.rounds, Path(folder), options.pictures)
            browser.close()
    print(table(found, versions))
    if options.json:
        report = {"environment": environment(), "rounds": found}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
