"""What was measured, as JSON and as a page of the documentation."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import statistics
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.cases import Size
from benchmarks.rounds import ROOT, Measured
from benchmarks.targets import ROWS, Row

PEERS_HEADING = "## Other trackers\n"
TABLE_HEAD = "| what | measured | target | floor | ratio | met? |\n| --- | --: | --- | --: | --: | --- |"
PACKAGES = ("trainstore", "SQLAlchemy", "psycopg", "orjson", "pandas", "torch", "transformers")

INTRODUCTION = """\
# Benchmarks

`make bench` measures and writes this page. Each figure is the median of {rounds} rounds. In each round every case
runs once, in its own process and store, and so does its floor; the ratio is the median of the rounds' ratios.
All guarantees are on: the journal, `synchronous = FULL`, one transaction per flush. Unless a row names several
processes, all of trainstore, including the delivery thread, shares one processor core; PostgreSQL's server has the
other cores. What is read back is compared with what was recorded: a wrong answer ends the benchmark.

"""

FLOORS = """
## What the floors are

- `run.log`: the same metrics turned into JSON by orjson, and one `write` to a file.
- Logged and durable: the same points into the narrowest table there is (run, number of the metric, step, value),
  without names, times, summaries or a key, 1,000 rows per transaction: raw `sqlite3` by `executemany` in WAL mode with
  `synchronous = FULL`, raw psycopg by COPY. Both clocks start when the table, or the run, exists, and stop when
  everything is on the disk. The same for several processes, from a barrier at which all connections are open.
- A full queue: 10,000 records wait in the journal when delivery begins. The floor is the same rows of `step_log`,
  ready in memory, by an upsert of raw `sqlite3` or by one COPY; it reads no journal, and keeps no summaries and no
  watermark.
- The callback: the sum of all its hooks and wrapped methods of one optimizer step, each timed where it runs, in a
  training of a small GPT-2 on the CPU with `logging_steps=50`; it includes the time that Python needs to call and
  measure a hook. The floor is an empty callback, timed in the same training. `tests/integrations/test_host_reads.py`
  checks that an accelerator is read no more often than without the callback.
- Callbacks of the boosting libraries and of Keras: each call timed where the library makes it, in a training of a tiny
  model, with 2 evaluations. The floors are what XGBoost and LightGBM bring themselves, `EvaluationMonitor` without its
  output and `record_evaluation`; both keep nothing beyond the process. For Keras it is that of `run.log`.
- Ignite's handler: Ignite's own logger for TensorBoard, in the same training. An Optuna trial with 10 reported values:
  the same trial in Optuna's own SQLite storage, from its beginning; the callback's time is until its run is durable.
- The callbacks beside it: a loop that sends the Trainer's events and does nothing else. `GradLogger`'s floor is one
  `clip_grad_norm_` of the same model, which computes the same total; `TBLogger`'s is the `TensorBoardCallback` of
  transformers, given the same logs.
- `Accelerator.log`: the same call with Accelerate's own tracker for TensorBoard.
- `Trainer`: a loop of plain PyTorch that computes the same (zero_grad, forward, backward, clipping, AdamW) on the same
  batches from memory; a step is the time between two batches asked for, so the beginning and the end of a training are
  not in it. Of {trainer_runs} trainings of each kind in a round, in turns, the median of the median steps. The small
  model has 114 parameters, so the figures are what a step costs beside its arithmetic. The loop beside a
  `TrainerModule` adds up losses and norms, too, and reads them every 50 steps. `transformers.Trainer` and the
  loop from accelerate's documentation do the same work.
- The run table: the same rows fetched by raw `sqlite3`, JSON parsed, and one DataFrame made of the columns.
- The best run: its uid alone, from the same tables on an open connection.
- One series: step and value of the narrow table, with a primary key, into a DataFrame. All 6 metrics: the rows of
  `step_log` fetched by raw `sqlite3` and their JSON parsed by orjson, without a DataFrame.
- Bytes on disk: the file after a checkpoint, on PostgreSQL the table with its index. The floor is the narrow table
  without any index, which trainstore's has; and then with a primary key (run, metric, step), to find a series.
- The dashboard: `trainstore ui` on a store of {shown_runs:,} runs of 20 hyperparameters and 6 metrics, 50 of which have
  curves and one a million steps. Its pages are timed in Chromium without a screen or a graphics processor, on the same
  cores, from the moment a page is asked for; its answers by a script. The scripts are those of the page, comments and
  types included, compressed by gzip.
- Watching a training: `trainstore ui` on a store of {shown_runs:,} runs, and a script that asks once a second as the
  page does, with a table and 50 runs × 6 curves, one of which logs ten steps a second. The time that a step takes to be
  on a page counts from the moment when `log()` returned to the answer that has it. For what an open page adds to a
  training, {watched_pairs} pairs of trainings of the same work, one of each pair with a page open.
- Imported: everything from the source to the disk, into a new SQLite store; a TensorBoard event file with an event for
  each value, and an MLflow database with {imported_runs} runs × {imported_steps:,} steps × 6 metrics.
  `EventAccumulator` reads the same file and stores nothing. MLflow's floor is the sum of two things: raw `sqlite3`
  fetches the metrics run by run, in the order of their steps; and delivery stores the same points, which are records in
  memory before the clock starts.
- A merge: ATTACH and INSERT SELECT of the same rows inside SQLite, with all keys, indexes and foreign keys, in one
  durable transaction. With nothing new: the source opened as a store, and its table of writers read.
- Start-up: the time of a whole process; the floor is Python that prints one number.

A query's time is the median of {calls} calls, after a first one that is not counted.
"""


def _value(measured: Measured, figure: str, backend: str) -> list[float] | None:
    case, _, name = figure.rpartition(".")
    rounds = measured.get((case, backend))
    return None if rounds is None else [figures[name] for figures in rounds]


def results(measured: Measured) -> list[dict[str, Any]]:
    """One entry for each row that was measured."""
    found = []
    for row in ROWS:
        values = _value(measured, row.figure, row.backend)
        floors = None if row.floor is None else _value(measured, row.floor, row.backend)
        if values is None or (row.floor is not None and floors is None):
            continue
        ratios = None if floors is None else [one / least for one, least in zip(values, floors, strict=True)]
        ratio = None if ratios is None else statistics.median(ratios)
        found.append({
            "what": row.what, "backend": row.backend, "unit": row.unit, "figure": row.figure,
            "measured": statistics.median(values), "rounds": values, "target": row.target,
            "floor": None if floors is None else statistics.median(floors), "floor_rounds": floors, "ratio": ratio,
            "met": row.is_met(statistics.median(values), ratio),
        })  # fmt: skip
    return found


def environment() -> dict[str, Any]:
    """Where and of what it was measured."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib()} GiB of memory, {platform.system()}",
        "versions": {
            "Python": platform.python_version(),
            "SQLite": sqlite3.sqlite_version,
            **{name: version(name).split("+")[0] for name in PACKAGES},
        },
    }


def as_json(measured: Measured, size: str, rounds: int) -> dict[str, Any]:
    """Everything: where, the table, and every figure of every round."""
    return {
        "environment": environment(),
        "size": size,
        "rounds": rounds,
        "results": results(measured),
        "figures": {f"{case} on {backend}": figures for (case, backend), figures in measured.items()},
    }


def table(found: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    return "\n".join((TABLE_HEAD, *_lines(found)))


def _lines(found: list[dict[str, Any]]) -> list[str]:
    lines = []
    for one in found:
        floor = "" if one["floor"] is None else f"{_number(one['floor'])} {one['unit']}"
        ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
        cells = (one["what"], f"{_number(one['measured'])} {one['unit']}", one["target"], floor, ratio)
        lines.append(f"| {' | '.join(cells)} | {'yes' if one['met'] else '**no**'} |")
    return lines


def page(report: dict[str, Any], size: Size) -> str:
    """docs/benchmarks.md, without the chapter of other trackers."""
    where = report["environment"]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    return "".join(
        (
            INTRODUCTION.format(rounds=report["rounds"]),
            table(report["results"]),
            f"\n\nMeasured on {where['date']} at {where['commit']}: {where['machine']}; {versions}.\n",
            FLOORS.format(**asdict(size)),
        )
    )


def write_page(path: Path, text: str) -> None:
    """Write the page; the chapter of other trackers that is there stays."""
    path.write_text(text + _parts(path)[1], encoding="utf-8")


def write_rows(path: Path, report: dict[str, Any], pattern: str) -> None:
    """Replace or add the rows that were measured; the others stay as they are, with where they were measured."""
    before, head, rest = path.read_text(encoding="utf-8").partition(f"{TABLE_HEAD}\n")
    lines, _, after = rest.partition("\n\n")
    there = _rows_of(lines.splitlines())
    new = {_place(one): line for one, line in zip(report["results"], _lines(report["results"]), strict=True)}
    merged = [line for number in range(len(ROWS)) if (line := new.get(number) or there.get(number))]
    where = report["environment"]
    those = f"rows of {pattern!r} on "
    before_it = rf"(?<=^Measured on )(.*?)(?:, {re.escape(those)}[^:,]*)?(?=[:,] )"
    after = re.sub(before_it, rf"\1, {those}{where['date']} at {where['commit']}", after, count=1)
    path.write_text("\n".join((before + head.rstrip(), *merged, "", after)), encoding="utf-8")


def _rows_of(lines: list[str]) -> dict[int, str]:
    """The lines of a table by the places of their rows in `ROWS`. One whose target is another now is left out."""
    there: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        what, _, target, *_ = line.removeprefix("| ").split(" | ")
        there.setdefault((what, target), []).append(line)
    # Several rows may have one title, seldom one target too: then they are there in this order.
    found = {number: there.get((row.what, row.target)) for number, row in enumerate(ROWS)}
    return {number: same.pop(0) for number, same in found.items() if same}


def _place(one: dict[str, Any]) -> int:
    keys = (one["what"], one["figure"], one["backend"], one["target"])
    return [(row.what, row.figure, row.backend, row.target) for row in ROWS].index(keys)


def write_peers(path: Path, section: str) -> None:
    """Replace or add the chapter of other trackers; the rest of the page stays."""
    path.write_text(_parts(path)[0] + "\n" + section, encoding="utf-8")


def _parts(path: Path) -> tuple[str, str]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, heading, after = text.partition("\n" + PEERS_HEADING)
    return before, heading + after


def _number(value: float) -> str:
    """Three digits, and never an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.5f}"


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "an unknown commit"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def needed(pattern: str | None) -> set[tuple[str, str]]:
    """The cases, by name and backend, that the rows with ``pattern`` in their figure or title need."""
    rows: list[Row] = [row for row in ROWS if pattern is None or pattern in row.figure or pattern in row.what]
    return {(figure.rpartition(".")[0], row.backend) for row in rows for figure in (row.figure, row.floor) if figure}
