"""Whether a store kept its promise after a fault: producers, what they reported, and the check of it.

A fault test needs the fixture ``fault`` (tests/faults/conftest.py), which runs it on each database::

    def test_the_table_is_locked(fault: Fault) -> None:
        for _ in fault.times(short=3, long=100):          # counts them; `make soak` does it 100 times
            producer = fault.start(count=None)            # a real process; options: faults.producer.Plan
            producer.wait_for(200)                        # until log() has returned for record 200
            producer.signal(signal.SIGKILL)
            producer.end(code=-signal.SIGKILL)            # wait for its end; fails on another exit status
            fault.verify(producer, status="lost")         # opens the store twice, checks everything, asserts

``fault.verify`` takes any number of producers (and those of their children that wrote reports of their own) and
checks, twice over, that every acknowledged record is stored with its values, none twice; that summaries are those of a
recomputation; that the database is sound and no journal is left; that log() stayed below a bound; and the runs'
status. It notes the figures, which `make soak` prints. ``verify`` by itself (module level) is the same without notes.

``fault.url`` may be set, e.g. to a server of the test's own. A test for one database only is marked
``@pytest.mark.parametrize("backend_name", ["postgresql"])``. The number of the fault is that in the file's name,
test_NN_….py, its title the first line of the file's docstring.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import random
import signal as signals
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, func, literal, select, text, union_all

from faults.producer import Plan, details_of, is_marked, metrics_of
from fixtures import forkserver
from recording.support import current_rows, summaries
from trainstore.errors import RunNotFoundError
from trainstore.models import models_for
from trainstore.recording.summary import summarize
from trainstore.store import TrainStore

DEADLINE = 300.0  # seconds; it only ends a test that is broken

#: The bound on log() while a fault lasts: far below what any wait for a database would take (the shortest time limit
#: of the store is 1 s, and most are longer), far above what a busy machine does to a short call: with 14 processes that
#: want its two cores, 65 ms were seen.
P99_MS = 200.0
WORST_MS = 2_000.0


@dataclass
class Reported:
    """What one process acknowledged."""

    run: str
    attempt: str
    pid: int
    plan: Plan
    numbers: list[int]
    micros: list[int]
    ended: bool = False
    """Whether it told of everything that it logged; otherwise one record more may be stored."""
    stored: bool = False
    """What its finish() answered."""

    @property
    def step_of(self) -> Callable[[int], int]:
        """The step of a sequence number."""
        return eval(f"lambda seq: {self.plan.steps}")

    @property
    def next_number(self) -> int:
        """The record that may be stored though nobody was told."""
        return self.numbers[-1] + 1 if self.numbers else self.plan.first


def read_reports(path: Path) -> list[Reported]:
    """The reports in ``path`` and of the children beside it; a process that did not come to its run has none."""
    result = []
    for file in [path, *sorted(path.parent.glob(f"{path.name}-*"))]:
        reported: Reported | None = None
        text = file.read_text() if file.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # of a line that is being written, a reader may see a part
        for line in whole.splitlines():
            if line.startswith("{"):
                head = json.loads(line)
                reported = Reported(head["run"], head["attempt"], head["pid"], Plan(**head["plan"]), [], [])
                result.append(reported)
            elif reported is not None and line[0].isdigit():
                number, micros = line.split()
                reported.numbers.append(int(number))
                reported.micros.append(int(micros))
            elif reported is not None and line.startswith("end "):
                reported.ended, reported.stored = True, line.endswith("1")
    return result


class Producer:
    """A producer's process. What it writes to stderr is kept in a file."""

    def __init__(
        self,
        plan: Plan,
        *,
        env: dict[str, str] | None = None,
        command: Sequence[str] = (),
        libraries: str = "trainstore",
    ) -> None:
        """``command`` comes before the interpreter: ``("strace", "-f")``. Without one the producer is forked where
        ``libraries`` are loaded already (fixtures/forkserver.py)."""
        self.plan = plan
        self.report = Path(plan.report)
        self._lines: list[str] = []
        self._read = 0
        self._stderr = self.report.with_suffix(".stderr")
        script = Path(__file__).with_name("producer.py")
        arguments = [str(script), json.dumps(vars(plan))]
        with self._stderr.open("wb") as stderr:
            self.process = forkserver.start(
                arguments, None if command else libraries, command, stdin=subprocess.PIPE, stderr=stderr, env=env
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self.process.pid)

    @property
    def stderr(self) -> str:
        """What it wrote to stderr until now."""
        return self._stderr.read_text(errors="replace")

    @property
    def lines(self) -> list[str]:
        """The lines of its report until now."""
        try:
            if self.report.stat().st_size == self._read:
                return self._lines
        except FileNotFoundError:
            return self._lines
        with self.report.open() as file:
            file.seek(self._read)
            while (line := file.readline()).endswith("\n"):
                self._read += len(line)
                self._lines.append(line[:-1])
        return self._lines

    @property
    def reports(self) -> list[Reported]:
        """What it and its children acknowledged."""
        return read_reports(self.report)

    @property
    def reported(self) -> Reported:
        """What it acknowledged itself."""
        return self.reports[0]

    @property
    def run(self) -> str:
        """The uid of its run."""
        self.wait_for("{")
        return self.reported.run

    def wait_for(self, what: int | str, timeout: float = DEADLINE) -> str:
        """Wait until its report has record ``what``, or a line that begins with ``what``; that line."""
        deadline = time.monotonic() + timeout
        passed = 0
        while True:
            ended = self.process.poll() is not None
            lines = self.lines
            for line in lines[passed:]:
                is_number = isinstance(what, int) and line[0].isdigit()
                if int(line.split()[0]) >= what if is_number else line.startswith(str(what)):
                    return line
            passed = len(lines)
            if ended:
                pytest.fail(f"it ended with {self.process.returncode} before {what!r}; stderr:\n{self.stderr}")
            if time.monotonic() > deadline:
                self.close()
                pytest.fail(f"{what!r} did not come in {timeout} s; last: {self.lines[-3:]}; stderr:\n{self.stderr}")
            time.sleep(0.005)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def go_on(self) -> None:
        """End the ``hold`` of its plan."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def end(self, code: int = 0, timeout: float = DEADLINE) -> Reported | None:
        """Wait for its end, which must come within ``timeout`` seconds and with this exit status; what it reported."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.close()
            pytest.fail(f"it did not end in {timeout} s; last: {self.lines[-3:]}; stderr:\n{self.stderr}")
        assert status == code, f"exit status {status}, expected {code}; stderr:\n{self.stderr}"
        reports = self.reports
        return reports[0] if reports else None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signals.SIGKILL)
        self.end(code=-signals.SIGKILL)

    def close(self) -> None:
        """Kill it if it lives."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)
        if self.process.stdin is not None:
            self.process.stdin.close()


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@dataclass
class Findings:
    """What a check counted."""

    acknowledged: int = 0
    lost: int = 0
    """Acknowledged records that are not there, or without one of their values, and no gap tells of them."""
    told: int = 0
    """Such records of which a gap tells."""
    doubled: int = 0
    """Records stored more than once, and rows that nobody logged."""
    p99_ms: float = 0.0
    worst_ms: float = 0.0
    problems: list[str] = field(default_factory=list)

    def problem(self, what: str) -> None:
        """Note something that must not be."""
        if what not in self.problems:
            self.problems.append(what)

    def add_times(self, micros: list[int], p99_ms: float, worst_ms: float) -> None:
        """Note how long log() took, and whether that is within bounds."""
        if not micros:
            return
        ordered = sorted(micros)
        self.p99_ms = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / 1_000
        self.worst_ms = ordered[-1] / 1_000
        if len(ordered) >= 100 and self.p99_ms > p99_ms:
            self.problem(f"log(): p99 {self.p99_ms:.1f} ms is above {p99_ms} ms")
        if self.worst_ms > worst_ms:
            self.problem(f"log(): worst {self.worst_ms:.0f} ms is above {worst_ms} ms")


def examine(
    url: str,
    reports: Sequence[Reported],
    *,
    status: str | None = "lost",
    gaps: bool = False,
    journals_left: int = 0,
    p99_ms: float = P99_MS,
    worst_ms: float = WORST_MS,
) -> Findings:
    """Open the store twice, and check after each time everything that ``reports`` tell of.

    Args:
        url: The store.
        reports: Of all processes that recorded into the runs that they name.
        status: What every run is shown as; None: not checked.
        gaps: Whether records may be missing that a ``gap`` event of the run accounts for (a full disk, damage).
        journals_left: How many journals of this store may be left over (of processes that live).
        p99_ms: Bound on log().
        worst_ms: Bound on log().
    """
    findings = Findings(acknowledged=sum(len(reported.numbers) for reported in reports))
    findings.add_times([micros for reported in reports for micros in reported.micros], p99_ms, worst_ms)
    prefix = reports[0].plan.prefix if reports else ""
    runs = list(dict.fromkeys(reported.run for reported in reports))
    examined = None
    for opening in (1, 2):
        with TrainStore(url, table_name_prefix=prefix) as store:
            if store.recovered.failed:
                findings.problem(f"recovery failed: {store.recovered.failed}")
            if opening == 2 and store.recovered.records:
                findings.problem(f"the second recovery stored {store.recovered.records} records")
            stored = _contents(store)
            if stored != examined:  # the same rows would give the same findings
                _examine_rows(store, runs, reports, findings, gaps=gaps)
                examined = stored
            for run_uid in runs:
                with suppress(RunNotFoundError):  # noted already
                    shown = store.get_run(run_uid).status
                    if status not in (None, shown):
                        findings.problem(f"run {run_uid} is shown as {shown}, not {status}")
            left = [str(folder) for folder, _ in store._service.journals()]
            if len(left) > journals_left:
                findings.problem(f"journals are left: {left}")
            _examine_database(store, findings)
    return findings


def _contents(store: TrainStore) -> str:
    """A digest of every row of every table."""
    digest = hashlib.sha256()
    with store.engine.connect() as connection:
        for table in store._models.metadata.sorted_tables:
            name = connection.dialect.identifier_preparer.format_table(table)
            statement = f"SELECT * FROM {name}"
            if connection.dialect.name == "postgresql":  # whose driver reads JSON
                rows = f"SELECT md5(t::text) AS row FROM {name} t"
                statement = f"SELECT string_agg(row, '' ORDER BY row) FROM ({rows}) rows"
            for row in connection.exec_driver_sql(statement):
                digest.update(repr(tuple(row)).encode(errors="surrogatepass"))
    return digest.hexdigest()


def _examine_rows(
    store: TrainStore, runs: Sequence[str], reports: Sequence[Reported], findings: Findings, *, gaps: bool
) -> None:
    """What is stored of these runs, and what readers make of it."""
    lost = told = doubled = 0
    for run_uid in runs:
        own = [reported for reported in reports if reported.run == run_uid]
        run_lost, run_told, run_doubled = _examine_run(store, run_uid, own, findings, gaps=gaps)
        lost, told, doubled = lost + run_lost, told + run_told, doubled + run_doubled
    findings.lost, findings.doubled = max(findings.lost, lost), max(findings.doubled, doubled)
    findings.told = max(findings.told, told)


def _examine_run(
    store: TrainStore, run_uid: str, reports: list[Reported], findings: Findings, *, gaps: bool
) -> tuple[int, int, int]:
    """Lost records of a run, those that a gap tells of, and doubled ones."""
    models = store._models
    with store.engine.connect() as connection:
        run = connection.execute(select(models.run).where(models.run.c.uid == run_uid)).one_or_none()
        if run is None:
            findings.problem(f"run {run_uid} is not there")
            return sum(len(reported.numbers) for reported in reports), 0, 0
        log, attempt, event = models.step_log.c, models.attempt.c, models.event.c
        rows = connection.execute(
            select(attempt.uid, log.step, log.metrics, log.details)
            .join(models.attempt, (attempt.run_id == log.run_id) & (attempt.attempt == log.attempt))
            .where(log.run_id == run.id)
        ).all()
        marks = connection.execute(select(event.details).where(event.run_id == run.id, event.kind == "mark")).scalars()
        told = Counter((mark["seed"], mark["seq"]) for mark in marks)
        gap_events = connection.execute(
            select(func.count()).select_from(models.event).where(event.run_id == run.id, event.kind == "gap")
        ).scalar_one()
        attempts = connection.execute(select(attempt.uid).where(attempt.run_id == run.id)).scalars().all()
        writers = (
            connection.execute(select(models.writer.c.uid).where(models.writer.c.run_id == run.id)).scalars().all()
        )

    found: dict[tuple[str, int], tuple[Any, Any]] = {}
    doubled = 0
    for uid, step, metrics, details in rows:
        doubled += (uid, step) in found
        found[uid, step] = (metrics, details or {})
    if len(set(attempts)) != len(attempts) or set(attempts) != {reported.attempt for reported in reports}:
        findings.problem(f"run {run_uid} has attempts {attempts}")
    if len(set(writers)) != len(writers):
        findings.problem(f"run {run_uid} has a writer twice")

    expected: defaultdict[tuple[str, int], tuple[dict[str, Any], dict[str, Any]]] = defaultdict(lambda: ({}, {}))
    possible: dict[tuple[str, int], tuple[dict[str, Any], dict[str, Any]]] = {}
    lost: set[tuple[int, int]] = set()
    records: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    explained: set[tuple[int, int]] = set()
    for reported in reports:
        plan, step_of = reported.plan, reported.step_of
        for seq in reported.numbers:
            place = (reported.attempt, step_of(seq))
            _record(expected[place], plan, seq)
            records[place].append((plan.seed, seq))
            if is_marked(plan, seq):
                explained.add((plan.seed, seq))
                if not told[plan.seed, seq]:
                    lost.add((plan.seed, seq))
    for reported in reports:
        if not reported.ended:
            plan, seq = reported.plan, reported.next_number
            place = (reported.attempt, reported.step_of(seq))
            possible[place] = copy.deepcopy(expected.get(place, ({}, {})))
            _record(possible[place], plan, seq)
            explained.add((plan.seed, seq))
    for place, content in expected.items():
        if place not in found or found[place] not in (content, possible.get(place)):
            lost.update(records[place])
            if place in found:
                findings.problem(f"run {run_uid}: step {place[1]} has {_difference(found[place], content)}")
    for place, stored in found.items():
        if place not in expected and stored != possible.get(place):
            doubled += 1
            findings.problem(f"run {run_uid}: nobody logged step {place[1]} of attempt {place[0]}")
    doubled += sum(count - 1 for count in told.values() if count > 1)
    strangers = told.keys() - explained
    if strangers:
        doubled += len(strangers)
        findings.problem(f"run {run_uid}: nobody logged the events {sorted(strangers)[:5]}")
    is_told = gaps and gap_events
    if lost and not is_told:
        findings.problem(f"run {run_uid}: {len(lost)} acknowledged records are lost, e.g. {sorted(lost)[:5]}")
    if doubled:
        findings.problem(f"run {run_uid}: {doubled} records are doubled")
    _examine_reading(store, run_uid, findings)
    return 0 if is_told else len(lost), len(lost) if is_told else 0, doubled


def _record(row: tuple[dict[str, Any], dict[str, Any]], plan: Plan, seq: int) -> None:
    """Take a record into its row of metrics and details, where a value that another one replaces is kept."""
    metrics, details = row
    for name, value in metrics_of(plan.seed, seq, plan.metrics, plan.label).items():
        if name in metrics and metrics[name] != value:
            earlier = details.setdefault("earlier", {})
            earlier[name] = [*earlier.get(name, []), metrics[name]][-1_000:]
        metrics[name] = value
    details.update(details_of(plan.seed, seq, plan.label))


def _difference(found: tuple[Any, Any], expected: tuple[Any, Any]) -> str:
    """What stands there and what should, in few words."""
    one, other = found[0] | found[1], expected[0] | expected[1]
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    shown = (f"{name} {one.get(name, 'missing')} instead of {other.get(name, 'nothing')}" for name in names[:3])
    return f"{len(names)} other values: {', '.join(shown)}"


def _examine_reading(store: TrainStore, run_uid: str, findings: Findings) -> None:
    """What readers see is what a recomputation from the rows gives."""
    with store.engine.connect() as connection:
        current = current_rows(connection, store._models, run_uid)
        if summaries(connection, store._models, run_uid) != summarize(current):
            findings.problem(f"run {run_uid}: its summaries are not those of its rows")
        run = store._models.run.c
        last_step = connection.execute(select(run.last_step).where(run.uid == run_uid)).scalar_one()
        if last_step != (current[-1][0] if current else None):
            findings.problem(f"run {run_uid}: its last step is not that of its rows")
    frame = store.list_step_logs(run_uid)
    if frame["step"].tolist() != [step for step, _ in current]:
        findings.problem(f"run {run_uid}: list_step_logs() does not have the current steps")
    for name in [name for name in frame.columns if name.startswith("whole")]:
        values = [metrics.get(name) for _, metrics in current]
        if frame[name].astype(object).where(frame[name].notna(), None).tolist() != values:
            findings.problem(f"run {run_uid}: list_step_logs() has other values of {name}")


def _examine_database(store: TrainStore, findings: Findings) -> None:
    """The database's own checks, and every foreign key."""
    models = store._models
    with store.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            for pragma, sound in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
                answer = [tuple(row) for row in connection.execute(text(f"PRAGMA {pragma}"))]
                if answer != sound:
                    findings.problem(f"PRAGMA {pragma}: {answer[:5]}")
        else:
            invalid = connection.execute(
                text(
                    "SELECT conname FROM pg_constraint WHERE NOT convalidated AND connamespace = 'public'::regnamespace"
                )
            ).all()
            broken = connection.execute(text("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid")).all()
            if invalid or broken:
                findings.problem(f"constraints {invalid} and indexes {broken} are not valid")
        for table, target, count in connection.exec_driver_sql(_orphans(models.prefix, connection.dialect.name)):
            if count:
                findings.problem(f"{table}: {count} rows without their {target}")


@functools.cache
def _orphans(prefix: str, dialect: str) -> str:
    """A query of (table, the one it refers to, rows without their counterpart) for every foreign key."""
    counts = []
    for table in models_for(prefix).metadata.sorted_tables:
        for constraint in table.foreign_key_constraints:
            target = constraint.referred_table.alias()
            pairs = [(element.parent, target.c[element.column.name]) for element in constraint.elements]
            linked = [column == other for column, other in pairs]
            given = [column.is_not(None) for column, _ in pairs]
            names = literal(str(table.name)), literal(str(constraint.referred_table.name))
            missing = ~select(1).where(*linked).exists()
            counts.append(select(*names, func.count()).select_from(table).where(*given, missing))
    compiled = union_all(*counts).compile(
        dialect=URL.create(dialect).get_dialect()(), compile_kwargs={"literal_binds": True}
    )
    return str(compiled)


def verify(url: str, *producers: Producer | Reported, **options: Any) -> Findings:
    """`examine` what these producers and their children reported, and fail the test for any problem."""
    findings = examine(url, reports_of(producers), **options)
    assert not findings.problems, "\n".join(findings.problems[:20])
    return findings


def reports_of(producers: Sequence[Producer | Reported]) -> list[Reported]:
    """The reports of producers and their children; reports stay what they are."""
    return [
        reported
        for producer in producers
        for reported in (producer.reports if isinstance(producer, Producer) else [producer])
    ]


@dataclass
class Tally:
    """The figures of one test, a row of the table that `make soak` prints."""

    number: int
    title: str
    test: str
    backend: str
    injected: int = 0
    acknowledged: int = 0
    lost: int = 0
    told: int = 0
    doubled: int = 0
    p99_ms: float = 0.0
    worst_ms: float = 0.0


class Fault:
    """One test's producers, its database and its figures. The fixture ``fault`` makes it."""

    def __init__(
        self,
        tally: Tally,
        folder: Path,
        new_url: Callable[[], str],
        *,
        long: bool,
        kills: int,
        seconds: float,
        seed: int,
    ) -> None:
        self.tally = tally
        self.folder = folder
        self.long = long
        """Whether this is `make soak`."""
        self.kills = kills
        """SOAK_KILLS: how often the long form kills on each database."""
        self.seconds = seconds
        """SOAK_SECONDS: after so long the long form repeats a test no more."""
        self.chance = random.Random(seed)
        self.started: list[Producer] = []
        self._new_url = new_url
        self._url: str | None = None
        self._seed = seed % 1_000_000
        print(f"seed {seed}")

    @property
    def backend(self) -> str:
        """sqlite or postgresql."""
        return self.tally.backend

    @property
    def url(self) -> str:
        """The store's connection string: a fresh database at head, unless the test set another one."""
        if self._url is None:
            self._url = self._new_url()
        return self._url

    @url.setter
    def url(self, url: str) -> None:
        self._url = url

    def times(self, short: int, long: int | None = None) -> Iterator[int]:
        """Count injections: ``short`` times in the suite; in `make soak` SOAK_KILLS times where ``long`` is None, else
        ``long`` times, or fewer where that takes longer than SOAK_SECONDS, but as often as in the suite."""
        begun = time.monotonic()
        for index in range((self.kills if long is None else long) if self.long else short):
            if self.long and long is not None and index >= short and time.monotonic() > begun + self.seconds:
                return
            self.injected()
            yield index

    def injected(self, times: int = 1) -> None:
        """Count injections that `times` does not."""
        self.tally.injected += times

    def start(
        self,
        *,
        env: dict[str, str] | None = None,
        command: Sequence[str] = (),
        libraries: str = "trainstore",
        **plan: Any,
    ) -> Producer:
        """Start a producer on ``url``, with a seed of its own; ``plan`` are fields of `Plan`."""
        number = len(self.started)
        plan = {"url": self.url, "seed": self._seed + number, "report": str(self.folder / f"report{number}"), **plan}
        self.started.append(Producer(Plan(**plan), env=env, command=command, libraries=libraries))
        return self.started[-1]

    def verify(self, *producers: Producer | Reported, **options: Any) -> Findings:
        """`examine` these producers' reports (those of all that were started, where none is named), note the figures
        and fail the test for any problem. Options: those of `examine`."""
        findings = examine(self.url, reports_of(producers or self.started), **options)
        self.note(findings)
        assert not findings.problems, "\n".join(findings.problems[:20])
        return findings

    def note(self, findings: Findings) -> None:
        """Add figures to the test's row of the table."""
        tally = self.tally
        tally.acknowledged += findings.acknowledged
        tally.lost += findings.lost
        tally.told += findings.told
        tally.doubled += findings.doubled
        tally.p99_ms = max(tally.p99_ms, findings.p99_ms)
        tally.worst_ms = max(tally.worst_ms, findings.worst_ms)

    def close(self) -> None:
        """Kill what still runs."""
        for producer in self.started:
            producer.close()
