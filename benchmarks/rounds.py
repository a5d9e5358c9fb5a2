"""Runs cases in rounds: each case once a round, in a fresh process, with a fresh store.

A store that holds something already is made once, and each round gets a copy. The order turns round every time, so
that what is compared meets the same drift of the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from tests.fixtures.databases import PostgresServer, running_server

from benchmarks.cases import Case, Figures
from benchmarks.one import SIZES
from benchmarks.stored import STORES

ROOT = Path(__file__).parents[1]
DEADLINE = 600.0  # seconds of one case; it only ends what hangs

Measured = dict[tuple[str, str], list[Figures]]  # by case and backend, one a round


class FailedCaseError(Exception):
    """A case gave a wrong answer, or none."""


class Bench:
    """The databases of one benchmark, and the processes that use them. A context manager."""

    def __init__(self, size: str, parent: Path | None = None) -> None:
        self._size = size
        self._parent = parent
        self._templates: dict[tuple[str, str], str] = {}  # (name in STORES, backend) → a path or a database
        self._server: PostgresServer | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Bench:
        self._folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="trainstore-bench-", dir=self._parent))
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, cases: Iterable[tuple[Case, str]], rounds: int, tell: Callable[[str], None]) -> Measured:
        """Every case on its backend, ``rounds`` times."""
        cases, measured = list(cases), defaultdict(list)
        for number in range(rounds):
            for case, backend in reversed(cases) if number % 2 else cases:
                figures = self.run(case, backend)
                measured[case.name, backend].append(figures)
                shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
                tell(f"round {number + 1}/{rounds}  {case.name} on {backend}: {shown}")
        return measured

    def run(self, case: Case, backend: str) -> Figures:
        """One case in a process and a folder of its own."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        url = self._store(case, backend, folder)
        core = [str(max(os.sched_getaffinity(0)))] if case.pinned else []
        try:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.one", case.name, str(folder), url, self._size, *core],
                cwd=ROOT,
                env=_environment(folder),
                capture_output=True,
                text=True,
                timeout=DEADLINE,
            )
        finally:
            if backend == "postgresql":
                self._postgres.drop(url.rsplit("/", 1)[1].split("?")[0])
            shutil.rmtree(folder, ignore_errors=True)
        if done.returncode:
            raise FailedCaseError(f"{case.name} on {backend}:\n{done.stdout}{done.stderr}")
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        return figures

    def _store(self, case: Case, backend: str, folder: Path) -> str:
        """The connection string of a new store: empty, or a copy of what the case wants stored."""
        template = None if case.stored is None else self._template(case.stored, backend)
        if backend == "postgresql":
            return self._postgres.url_of(self._postgres.create(template))
        path = folder / "store.db"
        if template is not None:
            shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    def _template(self, name: str, backend: str) -> str:
        if (name, backend) not in self._templates:
            if backend == "postgresql":
                template = self._postgres.create()
                url = self._postgres.url_of(template)
            else:
                template = str(self._folder / f"{name}.db")
                url = f"sqlite:///{template}"
            STORES[name](url, SIZES[self._size])
            self._templates[name, backend] = template
        return self._templates[name, backend]

    @property
    def _postgres(self) -> PostgresServer:
        """Started when the first case wants it."""
        if self._server is None:
            self._server = self._stack.enter_context(running_server())
        return self._server


def _environment(folder: Path) -> dict[str, str]:
    """The caller's, without settings of trainstore; journals lie in the case's own folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAINSTORE_")}
    return kept | {"TRAINSTORE_JOURNAL_DIR": str(folder / "journals"), "PYTHONPATH": str(ROOT)}
