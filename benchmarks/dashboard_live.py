"""What it takes to watch a training: how soon a step is seen, what the server computes, what the training pays.

A script plays the page: once a second it asks ``live`` as `assets/live.js` does, with a table of many runs and curves
of some of them, one of which goes on. The server is ``trainstore ui`` in a process of its own.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cases import BOTH, Cases, Figures, Place, check
from benchmarks.dashboard import Client, Server, curves_of, serving
from benchmarks.workload import METRICS, metrics_of
from trainstore import TrainStore

case = Cases("dashboard_live")

EVERY = 1.0  # seconds between a page's questions
PAUSE = 0.1  # seconds between the steps of the training that is watched
COLUMNS = ["name", "status", "started", "duration", "last_step", *(f"metric.{name}" for name in METRICS)]
MOST_CURVES = 49  # beside the one that goes on


class Page:
    """What a page has, and its next question."""

    def __init__(self, server: Client, runs: list[str]) -> None:
        self.server = server
        self.version = server.json("runs", limit=20_000)["version"]
        self.generations: dict[str, int | None] = dict.fromkeys(runs)
        self.statuses: dict[str, str] = {}
        self.bytes: list[int] = []
        self._fetch(runs)

    def ask(self) -> dict[str, Any]:
        """What is new, put into what the page has; by run the steps that came."""
        runs = {
            uid: {"generation": generation, "status": self.statuses.get(uid)}
            for uid, generation in self.generations.items()
        }
        asked = {"version": self.version, "columns": COLUMNS, "runs": runs, "metrics": list(METRICS), "x": "step"}
        sent = self.server.ask("live", asked)
        self.bytes.append(len(sent))
        answer: dict[str, Any] = json.loads(sent)
        self.version = answer["version"]
        for uid, news in answer["runs"].items():
            self.statuses[uid] = news["status"]
            if news["anew"]:
                self._fetch([uid])
            elif "generation" in news:
                self.generations[uid] = news["generation"]
        return {uid: news["curves"] for uid, news in answer["runs"].items()}

    def _fetch(self, runs: list[str]) -> None:
        asked = {"runs": runs, "metrics": list(METRICS), "points": 400, "format": "json", "exact": 1}
        for curve in self.server.json("series", asked):
            self.generations[curve["run"]] = curve["generation"]


def processor_seconds(pid: int) -> float:
    """The processor time of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def training(url: str, logged: dict[int, float]) -> Iterator[str]:
    """A run that goes on, several steps a second, until the block ends; notes the time after each `log()`."""
    ended = threading.Event()
    with TrainStore(url) as store, store.start_run(project="benchmark", name="watched") as run:

        def go_on() -> None:
            step = 0
            while not ended.wait(PAUSE * random.uniform(0.5, 1.5)):
                step += 1
                run.log(metrics_of(step), step)
                logged[step] = time.monotonic()

        run.log(metrics_of(0), 0)
        store.flush()
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield run.uid
        finally:
            ended.set()
            thread.join()


@case(stored="dashboard", backends=BOTH, pinned=False)
def watched(place: Place) -> Figures:
    """A training of ten steps a second, watched among many runs."""
    logged: dict[int, float] = {}
    seen: dict[int, float] = {}
    with serving(place.url) as server, training(place.url, logged) as uid:
        page = Page(server, [*curves_of(place.size)[:MOST_CURVES], uid])
        page.ask()
        first = max(logged, default=0) + 1
        page.bytes.clear()
        spent, began = processor_seconds(server.pid), time.monotonic()
        polls = 0
        while time.monotonic() - began < place.size.watched_seconds:
            polls += 1
            time.sleep(max(0.0, began + polls * EVERY - time.monotonic()))
            found = page.ask().get(uid, {})
            now = time.monotonic()
            seen |= {int(step): now for step in found.get(METRICS[0], {"x": []})["x"] if step not in seen}
        minutes = (time.monotonic() - began) / 60
        spent = processor_seconds(server.pid) - spent
    last = max(seen)
    check("the steps that were seen", sorted(step for step in seen if step >= first), list(range(first, last + 1)))
    waited = [seen[step] - logged[step] for step in range(first, last + 1)]
    return {
        "seen_s": statistics.median(waited),
        "seen_at_most_s": max(waited),
        "server_s": spent / minutes,
        "bytes": statistics.median(page.bytes),
    }


@case(backends=BOTH, pinned=False)
def trained(place: Place) -> Figures:
    """Pairs of trainings of the same work, one of them watched: by how much their processor time differs, in percent.

    Server and page are processes of their own.
    """
    found = []
    with TrainStore(place.url) as store, serving(place.url) as server, asking(server) as turn:
        for number in range(place.size.watched_pairs + 1):
            order = ("on", "off") if number % 2 else ("off", "on")
            spent = {}
            for state in order:
                turn(state)
                spent[state] = _train(store, place.size.watched_steps)
            found.append((spent["on"] / spent["off"] - 1) * 100)
    found = found[1:]  # the first one warms up
    low, middle, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    return {"more_percent": middle, "more_low_percent": low, "more_high_percent": high}


def _train(store: TrainStore, steps: int) -> float:
    """Seconds of processor time of a training that logs every step: recording included, to the last record stored."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        began = time.process_time()
        with store.start_run(project="benchmark") as run:
            for step in range(steps):
                number = 1.0
                for _ in range(20_000):  # about a millisecond
                    number = number * 1.000001 + 1e-9
                run.log({**metrics_of(step), "number": number}, step)
        return time.process_time() - began
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def asking(server: Server) -> Iterator[Callable[[str], None]]:
    """A page in a process of its own, that is told "on" and "off"."""
    command = [sys.executable, "-m", "benchmarks.dashboard_live", server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        told, answers = process.stdin, process.stdout
        assert told is not None
        assert answers is not None

        def turn(state: str) -> None:
            told.write(f"{state}\n")
            told.flush()
            check("what the page does", answers.readline().strip(), state)

        try:
            yield turn
        finally:
            process.terminate()


def main() -> None:
    """A page that shows the newest runs, as long as it is "on"."""
    server = Client(sys.argv[1])
    states: list[str] = ["off"]

    def listen() -> None:
        for line in sys.stdin:
            states.append(line.strip())
            print(states[-1], flush=True)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        if states[-1] == "on":
            table = server.json("runs", limit=MOST_CURVES)
            uids = next(column["values"] for column in table["columns"] if column["id"] == "uid")
            page = Page(server, uids)
            while states[-1] == "on":
                page.ask()
                time.sleep(EVERY)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
