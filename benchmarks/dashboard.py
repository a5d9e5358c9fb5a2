"""What the dashboard takes: answers of its server as a script asks for them, and its pages in a browser.

The server is ``trainstore ui`` in a process of its own. The store has many runs, of which some have curves, and one
very many steps.
"""

from __future__ import annotations

import gzip
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchmarks.cases import BOTH, Cases, Figures, Place, check, seconds_of
from benchmarks.stored import uid_of
from benchmarks.workload import METRICS
from trainstore.dashboard.preview import LONG

case = Cases("dashboard")

POINTS = 1_000  # of a curve, about as many as a chart is wide
API = "/api/v1/"


class Client:
    """A connection to a dashboard that stays open."""

    def __init__(self, url: str) -> None:
        self.url = url
        where = urlsplit(url)
        self.connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=300)

    def ask(self, route: str, body: Any = None, **query: Any) -> bytes:
        """The answer to a GET, or to a POST where there is a body."""
        address = f"{API}{route}?{urlencode(query, doseq=True)}"
        headers = {} if body is None else {"Content-Type": "application/json", "Origin": self.url}
        sent = None if body is None else json.dumps(body)
        self.connection.request("GET" if body is None else "POST", address, sent, headers)
        answer = self.connection.getresponse()
        found = answer.read()
        check(f"status of {route}", answer.status, 200)
        return found

    def json(self, route: str, body: Any = None, **query: Any) -> Any:
        """The same, read."""
        return json.loads(self.ask(route, body, **query))


class Server(Client):
    """A client of a server whose process is known."""

    def __init__(self, url: str, pid: int) -> None:
        super().__init__(url)
        self.pid = pid

    @property
    def memory_mib(self) -> float:
        """What the process has in memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def serving(url: str) -> Iterator[Server]:
    """``trainstore ui`` on a free port, until the block ends."""
    command = [sys.executable, "-m", "trainstore", "ui", url, "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            link = next(line.strip() for line in process.stdout if line.strip().startswith("http"))
            server = Server(f"http://{urlsplit(link).netloc}", process.pid)
            yield server
            server.connection.close()
        finally:
            process.terminate()


def timed_ms(function: Callable[[], Any]) -> tuple[float, Any]:
    """The time of the first call, where a second one would find the answer in memory."""
    began = time.perf_counter()
    answer = function()
    return (time.perf_counter() - began) * 1e3, answer


def curves_of(size: Any) -> list[str]:
    """The runs that have curves, but for the long one."""
    return [uid_of(index) for index in range(size.shown_runs - size.curves - 1, size.shown_runs - 1)]


@case(stored="dashboard", backends=BOTH, pinned=False)
def answers(place: Place) -> Figures:
    """What a page asks for, one after another, by a script."""
    size = place.size
    long, runs = uid_of(size.shown_runs - 1), curves_of(size)
    figures: Figures = {}
    with serving(place.url) as server:
        server.json("meta")
        seconds, first = seconds_of(lambda: server.json("runs", limit=200, sort="-started"), size.calls)
        figures["first_rows_ms"] = seconds * 1e3
        check("first rows", len(first["columns"][0]["values"]), min(200, size.shown_runs))
        seconds, every = seconds_of(lambda: server.json("runs", columns="*", limit=20_000), size.calls)
        figures["whole_table_ms"] = seconds * 1e3
        check("rows", every["count"], size.shown_runs)
        figures |= _long_run(server, long, size)
        figures |= _poll(server, runs, size)
        server.ask("series", {"runs": runs, "metrics": list(METRICS), "points": POINTS})
        figures["memory_mib"] = server.memory_mib
    return figures


def _long_run(server: Server, uid: str, size: Any) -> Figures:
    """The run with the most steps: at once in part, then whole, then a part of it more closely."""
    asked: dict[str, Any] = {"runs": uid, "metrics": list(METRICS), "points": POINTS, "format": "json"}
    preview_ms, found = timed_ms(lambda: server.json("series", **asked))
    check("the first answer is a preview", found[0]["exact"], size.long_steps <= LONG)
    exact_ms, found = timed_ms(lambda: server.json("series", exact=1, **asked))
    check("points", sum(found[0]["count"]), size.long_steps)
    zoom: dict[str, Any] = {**asked, "lo": size.long_steps // 3, "hi": size.long_steps // 2, "format": "frame"}
    seconds, _ = seconds_of(lambda: server.ask("series", exact=1, **zoom), size.calls)
    return {"preview_ms": preview_ms, "exact_s": exact_ms / 1e3, "zoom_ms": seconds * 1e3}


def _poll(server: Server, runs: list[str], size: Any) -> Figures:
    """What an open page asks every second, when nothing has happened."""
    heads = server.json(
        "series", {"runs": runs, "metrics": list(METRICS), "points": POINTS, "exact": 1, "format": "json"}
    )
    has = {head["run"]: {"generation": head["generation"], "status": "finished"} for head in heads}
    table = {"version": server.json("runs", limit=20_000)["version"], "columns": ["name", "status", "metric.loss"]}
    asked = {**table, "metrics": list(METRICS), "x": "step", "runs": has}
    known = server.json("live", asked)
    check("what is new", (known["version"], known["table"], known["runs"]), (table["version"], None, {}))
    seconds, answer = seconds_of(lambda: server.ask("live", asked), size.calls * 10)
    check("the version", json.loads(answer)["version"], known["version"])
    return {"poll_ms": seconds * 1e3, "poll_bytes": float(len(answer))}


@case(pinned=False)
def scripts(place: Place) -> Figures:
    """The size of the page's scripts, as they are and compressed."""
    import trainstore.dashboard

    folder = Path(trainstore.dashboard.__file__).parent / "assets"
    files = [path.read_bytes() for path in sorted(folder.glob("*.js"))]
    whole = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "kib": sum(map(len, files)) / 1024,
        "gzip_kib": len(gzip.compress(b"".join(files), 9)) / 1024,
        "assets_kib": whole / 1024,
    }
