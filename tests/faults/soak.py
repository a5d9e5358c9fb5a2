"""The long form of the fault suite, and its table: ``make soak``, or ``python tests/faults/soak.py --help``.

Runs the tests of this folder with many injections (SOAK_KILLS: how often each database's producer is killed, by
default 200), each file and database in a pytest of its own, and the suite's short form through PgBouncer where that is
installed. Prints what became of each fault as a Markdown table. A fault that was not injected is in the table, with
the reason. Ends with exit status 1 where a record was lost or doubled, or a test failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
BACKENDS = ("sqlite", "postgresql")
TIMEOUT = 1_500.0  # seconds for the tests of a file; it only ends what hangs

#: Faults of docs/guarantees.md that no test injects.
NOT_TESTED = {
    2: ("Power cut", "a file system image cannot be cut off from its disk on every machine"),
    10: ("Network partition between two kernels", "needs network namespaces; number 9 swallows the bytes instead"),
}
#: It keeps all cores busy itself: nothing runs beside it.
ALONE = {16}
#: They take longest, and are begun first.
LONGEST = (1, 9, 22)
#: Faults that are of interest through PgBouncer, too.
THROUGH_BOUNCER = (1, 3, 4, 17, 18, 23, 24)
BOUNCER = 26


@dataclass
class Group:
    """Tests of one file on one database, for a pytest of their own."""

    file: str
    backend: str
    tests: list[str]
    bouncer: bool = False

    @property
    def number(self) -> int:
        """The fault's number."""
        return BOUNCER if self.bouncer else int(self.file[5:7])

    def __str__(self) -> str:
        return f"{self.file} {self.backend or 'no database'}{' through PgBouncer' if self.bouncer else ''}"


def collect(arguments: list[str], *, long: bool) -> list[Group]:
    """The tests that pytest finds, by file and database."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments],
        cwd=ROOT,
        env={**os.environ, "SOAK_LONG": "1" if long else ""},
        capture_output=True,
        text=True,
        check=False,
    )
    groups: dict[tuple[str, str], Group] = {}
    for line in done.stdout.splitlines():
        if match := re.match(r"(\S*/(test_\d\d_\w+\.py))::([^\[]+)(\[.*\])?$", line):
            words = re.split(r"[\[\]-]", match[4] or "")
            backend = next((name for name in BACKENDS if name in words), "")
            groups.setdefault((match[2], backend), Group(match[2], backend, [])).tests.append(line)
    if not groups:
        sys.exit(f"no tests:\n{done.stdout}{done.stderr}")
    return list(groups.values())


class Soak:
    """The run of all groups."""

    def __init__(self, folder: Path, jobs: int, *, long: bool, minutes: float) -> None:
        self.folder = folder
        self.jobs = jobs
        self.long = long
        self.minutes = minutes
        self.results: list[dict[str, Any]] = []
        self.failed: list[str] = []
        self.begun = time.monotonic()
        self._guard = threading.Lock()

    def run(self, groups: list[Group]) -> None:
        """Run them, long ones first, some at the same time."""
        alone = [group for group in groups if group.number in ALONE]
        others = [group for group in groups if group.number not in ALONE]
        with ThreadPoolExecutor(self.jobs) as pool:
            order = sorted(others, key=lambda group: (group.bouncer, group.number not in LONGEST, -len(group.tests)))
            list(pool.map(self._run, order))
        for group in alone:
            self._run(group)

    def _run(self, group: Group) -> None:
        name = f"{group.file}-{group.backend}-{group.bouncer}"
        result, log = self.folder / f"{name}.jsonl", self.folder / f"{name}.log"
        begun = time.monotonic()
        environment = {
            "SOAK_RESULT": str(result),
            "SOAK_LONG": "1" if self.long and not group.bouncer else "",
            "SOAK_BOUNCER": "1" if group.bouncer else "",
        }
        if begun > self.begun + 60 * self.minutes * 0.6:
            environment["SOAK_SECONDS"] = "0.001"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *group.tests],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                status: int | str = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                status = f"no end in {TIMEOUT:.0f} s"
        lines = [json.loads(line) for line in result.read_text().splitlines()] if result.exists() else []
        if group.bouncer:
            for line in lines:
                line |= {"number": BOUNCER, "title": f"{line['title']}: the short form through PgBouncer"}
        failed = [f"{line['file']}::{line['test']}" for line in lines if line["outcome"] == "failed"]
        with self._guard:
            self.results += lines
            self.failed += failed
            if status != 0:
                if not failed:
                    self.failed.append(f"{group}: pytest ended with {status}")
                print(log.read_text(errors="replace")[-20_000:], file=sys.stderr)
            print(
                f"{time.monotonic() - self.begun:5.0f} s  {group}: {len(lines)} tests, {len(failed)} failed, "
                f"in {time.monotonic() - begun:.0f} s",
                file=sys.stderr,
                flush=True,
            )


SUMS = ("injected", "acknowledged", "lost", "told", "doubled")
TIMES = ("p99_ms", "worst_ms")


def rows(results: Iterable[dict[str, Any]], *, whole: bool = True) -> list[dict[str, Any]]:
    """One for each fault and database: sums, and the longest times; what was not injected, if all files ran."""
    found: dict[Any, dict[str, Any]] = {}
    skipped: dict[Any, dict[str, Any]] = {}
    for result in results:
        if result["outcome"] == "skipped":
            key = (result["number"], result["title"], result["backend"], result["reason"])
            row = skipped.setdefault(key, {**dict(zip(("number", "title", "backend", "reason"), key, strict=True))})
        else:
            key = (result["number"], result["title"], result["backend"])
            row = found.setdefault(
                key, {**dict(zip(("number", "title", "backend"), key, strict=True)), **dict.fromkeys(SUMS + TIMES, 0)}
            )
            for name in SUMS:
                row[name] += result[name]
            for name in TIMES:
                row[name] = max(row[name], result[name])
        tests = row.setdefault("tests", {})
        test = f"{result['file']}::{result['test'].partition('[')[0]}"
        tests[test] = tests.get(test, 0) + 1
    for number, (title, reason) in NOT_TESTED.items() if whole else ():
        skipped[number] = {"number": number, "title": title, "backend": "", "reason": reason, "tests": {}}
    order = {name: place for place, name in enumerate((*BACKENDS, ""))}
    return sorted(
        [*found.values(), *skipped.values()],
        key=lambda row: (row["number"], "reason" in row, order[row["backend"]], row["title"]),
    )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    names = ("fault", "", "database", "injected", "acknowledged", "lost", "in gaps", "doubled", "p99 log()",
             "worst log()", "test")  # fmt: skip
    cells: list[tuple[str, ...]] = [names, tuple("---:" if 3 <= place < 10 else "---" for place in range(len(names)))]
    for row in rows:
        files: dict[str, int] = {}
        for test, count in row["tests"].items():
            file = test.partition(".py::")[0]
            files[file] = files.get(file, 0) + count
        tests = ", ".join(f"`{file}` ({count})" for file, count in files.items())
        head = (str(row["number"]), row["title"], row["backend"])
        if "reason" in row:
            reason = row["reason"].removeprefix("not tested: ")
            cells.append((*head, f"not tested: {reason}", *[""] * 6, tests))
            continue
        counts = (f"{row[name]:,}" for name in SUMS)
        times = (f"{row[name]:.1f} ms" if row["acknowledged"] else "" for name in TIMES)
        cells.append((*head, *counts, *times, tests))
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in cells)


def facts(soak: Soak, found: list[dict[str, Any]]) -> dict[str, Any]:
    """What ran, where and when."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit or None,
        "form": "long" if soak.long else "short",
        "kills": int(os.environ.get("SOAK_KILLS") or 200) if soak.long else None,
        "minutes": round((time.monotonic() - soak.begun) / 60, 1),
        "tests": len(soak.results),
        "injected": sum(row.get("injected", 0) for row in found),
        "acknowledged": sum(row.get("acknowledged", 0) for row in found),
        "lost": sum(row.get("lost", 0) for row in found),
        "told": sum(row.get("told", 0) for row in found),
        "doubled": sum(row.get("doubled", 0) for row in found),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "trainstore": version("trainstore"),
        "cores": os.cpu_count(),
    }


def in_words(facts: dict[str, Any], failed: list[str]) -> str:
    """The sentence above the table."""
    outcome = "Every test passed." if not failed else f"Failed: {', '.join(failed)}."
    return (
        f"{facts['at']}, commit {facts['commit']}, the {facts['form']} form: {facts['tests']} tests in "
        f"{facts['minutes']} minutes on {facts['cores']} cores, Python {facts['python']}, SQLite {facts['sqlite']}. "
        f"{facts['injected']:,} faults, {facts['acknowledged']:,} acknowledged records, {facts['lost']} lost, "
        f"{facts['doubled']} doubled, {facts['told']:,} dropped on full disks and named in gaps. {outcome}"
    )


def write_into(page: Path, content: str) -> None:
    """Put ``content`` between the two marker comments of a page."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{page} has no {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n\n{content}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--short", action="store_true", help="the short form of every fault, for trying")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 2) + 2, help="how many pytests at once")
    parser.add_argument(
        "--minutes", type=float, default=25, help="after three fifths of them tests are no more repeated than they must"
    )
    parser.add_argument("--markdown", type=Path, help="write the table into this file too")
    parser.add_argument("--json", type=Path, help="write the figures of every test into this file")
    parser.add_argument("--page", type=Path, help=f"put the table into a page, between {BEGIN} and {END}")
    parser.add_argument("--no-bouncer", action="store_true", help="leave out the short form through PgBouncer")
    options, pytest_arguments = parser.parse_known_args()
    groups = collect(pytest_arguments or [str(HERE)], long=not options.short)
    if not options.no_bouncer:
        sys.path.insert(0, str(HERE.parent))
        from faults.bouncer import PROGRAM

        if PROGRAM:  # where it is not, test_26_pgbouncer.py says so
            groups += [
                Group(group.file, group.backend, group.tests, bouncer=True)
                for group in groups
                if group.backend == "postgresql" and group.number in THROUGH_BOUNCER
            ]
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), options.jobs, long=not options.short, minutes=options.minutes)
        soak.run(groups)
    found = rows(soak.results, whole=not pytest_arguments)
    known = facts(soak, found)
    page = f"{in_words(known, soak.failed)}\n\n{table(found)}"
    print(page)
    if options.markdown:
        options.markdown.write_text(f"{page}\n", encoding="utf-8")
    if options.json:
        figures = {**known, "faults": found, "failed": soak.failed, "tests": soak.results}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.page:
        write_into(options.page, page)
    return 1 if soak.failed or known["lost"] + known["doubled"] else 0


if __name__ == "__main__":
    sys.exit(main())
