"""Every benchmark in a tiny form: it checks its own answers. And the driver, which writes the table."""

import json
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks.cases import TINY, Place, WrongAnswerError, check
from benchmarks.one import all_cases
from benchmarks.report import PEERS_HEADING, page, table, write_page, write_peers, write_rows
from benchmarks.stored import STORES
from benchmarks.targets import ROWS, Row

from benchmarks import __main__ as driver
from benchmarks import processes, profiles, rounds
from fixtures import forkserver

ROOT = Path(__file__).parents[2]
CASES = [(case, backend) for case in all_cases().values() for backend in case.backends]


def figures_in_table(case, backend):
    """The names of a case's figures that rows of the table show, or compare with."""
    names = {name for row in ROWS if row.backend == backend for name in (row.figure, row.floor) if name}
    return {name.rpartition(".")[2] for name in names if name.rpartition(".")[0] == case.name}


@pytest.fixture(autouse=True)
def loaded_processes(monkeypatch):
    """Processes that a case starts have trainstore loaded; outside the tests they are new interpreters."""
    multiprocessing.set_forkserver_preload(list(forkserver.LIBRARIES["trainstore"]))
    contexts = SimpleNamespace(get_context=lambda _: multiprocessing.get_context("forkserver"))
    monkeypatch.setattr(processes, "multiprocessing", contexts)


def address_of(server):
    """What makes a benchmark use the session's PostgreSQL server."""
    return server.url.render_as_string(hide_password=False)


def run_module(module, *arguments, env=None):
    """`python -m MODULE`, in a process that has trainstore loaded."""
    code = "import runpy, sys; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    return forkserver.run(["-c", code, module, *map(str, arguments)], cwd=ROOT, env=env, timeout=300)


@pytest.fixture(scope="module")
def store_with(postgres_server, tmp_path_factory):
    """Make a store that holds what a case reads: filled once, then copied."""
    filled, copies = {}, []

    def make(backend, stored):
        if (backend, stored) not in filled:
            if backend == "sqlite":
                filled[backend, stored] = tmp_path_factory.mktemp("stored") / "store.db"
                STORES[stored](f"sqlite:///{filled[backend, stored]}", TINY)
            else:
                filled[backend, stored] = postgres_server.create()
                STORES[stored](postgres_server.url_of(filled[backend, stored]), TINY)
        if backend == "sqlite":
            path = tmp_path_factory.mktemp("copy") / "store.db"
            shutil.copyfile(filled[backend, stored], path)
            return f"sqlite:///{path}"
        copies.append(postgres_server.create(filled[backend, stored]))
        return postgres_server.url_of(copies[-1])

    yield make
    for name in copies + [filled[key] for key in filled if key[0] != "sqlite"]:
        postgres_server.drop(name)


@pytest.mark.parametrize(("case", "backend"), CASES, ids=[f"{case.name}-{backend}" for case, backend in CASES])
def test_a_case_finds_what_it_recorded(case, backend, new_database, store_with, tmp_path):
    """Each case runs at the smallest size, checks its answers, and gives every figure that the table shows."""
    url = store_with(backend, case.stored) if case.stored else new_database(backend, migrated=False)
    figures = case.run(Place(tmp_path, url, TINY))
    wanted = figures_in_table(case, backend)
    assert wanted, f"no row shows {case.name} on {backend}"
    assert wanted <= figures.keys()
    differences = (
        "mib",
        "percent",
        "more_us",
        "more_low_us",
        "more_high_us",
    )  # of something so small they may be below zero
    assert all(value > 0 for name, value in figures.items() if not name.endswith(differences))


def test_every_row_has_its_cases():
    """No row of the table names a figure that no case measures."""
    known = {(case.name, backend) for case, backend in CASES}
    for row in ROWS:
        for figure in filter(None, (row.figure, row.floor)):
            assert (figure.rpartition(".")[0], row.backend) in known, f"{row.what}: {figure}"


def test_a_wrong_answer_is_an_error():
    """A benchmark that measures the wrong thing fails."""
    check("the sum", 0.1 + 0.2, 0.3)
    with pytest.raises(WrongAnswerError, match="steps: 9 instead of 10"):
        check("steps", 9, 10)


@pytest.mark.parametrize(
    ("bounds", "measured", "ratio", "met"),
    [
        ({"limit": 5}, 5.0, None, True),
        ({"limit": 5}, 5.1, 0.5, False),
        ({"at_most": 3}, 99.0, 3.0, True),
        ({"at_most": 3}, 99.0, 3.1, False),
        ({"at_least": 0.4}, 1.0, 0.4, True),
        ({"at_least": 0.4}, 1.0, 0.3, False),
        ({"at_least": 0.8, "at_most": 1.2, "limit": 5}, 4.0, 0.7, False),
    ],
)
def test_bounds(bounds, measured, ratio, met):
    """A target is met if the figure and its ratio to the floor are within their bounds."""
    assert Row("row", "group.case.ms", "ms", "group.floor.ms", **bounds).is_met(measured, ratio) is met


def test_the_driver_writes_table_json_and_page(postgres_server, tmp_path, monkeypatch, capsys):
    """`python -m benchmarks` prints the table, writes both files, and deletes its stores."""
    started = []

    def run(command, *, env, **options):
        """The first case starts in an interpreter of its own, as all do outside this test."""
        started.append(command)
        if len(started) == 1:
            return subprocess.run(command, env=env, **options)
        del env["PYTHONPATH"]
        return run_module(*command[2:], env=env)

    arguments = [
        "--size", "tiny", "--rounds", "2", "--only", "reading.best.",
        "--folder", tmp_path, "--json", tmp_path / "found.json", "--markdown", tmp_path / "page.md",
    ]  # fmt: skip
    monkeypatch.setattr(rounds, "subprocess", SimpleNamespace(run=run))
    monkeypatch.setattr("tests.fixtures.databases.SERVER_URL", address_of(postgres_server))
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
    driver.main()
    assert len(started) == 8
    report = json.loads((tmp_path / "found.json").read_text())
    assert [one["backend"] for one in report["results"]] == ["sqlite", "postgresql"]
    for one in report["results"]:
        assert len(one["rounds"]) == len(one["floor_rounds"]) == 2
        assert one["ratio"] > 1
    assert capsys.readouterr().out.strip() == table(report["results"])
    assert table(report["results"]) in (tmp_path / "page.md").read_text()
    assert not list(tmp_path.glob("trainstore-bench-*")), "stores are left behind"


def test_page_and_peers_keep_each_other(tmp_path):
    """Writing one half of the page leaves the other half as it is."""
    page = tmp_path / "benchmarks.md"
    write_page(page, "# Benchmarks\n\nours\n")
    write_peers(page, f"{PEERS_HEADING}\ntheirs\n")
    write_page(page, "# Benchmarks\n\nours again\n")
    assert page.read_text() == f"# Benchmarks\n\nours again\n\n{PEERS_HEADING}\ntheirs\n"
    write_peers(page, f"{PEERS_HEADING}\ntheirs again\n")
    assert page.read_text() == f"# Benchmarks\n\nours again\n\n{PEERS_HEADING}\ntheirs again\n"


def test_some_rows_are_written_into_the_page_that_is_there(tmp_path):
    """They replace those of the same case, or come where they belong; the others stay, also one of the same title."""
    twice = [row for row in ROWS if row.what == "the same"][:2]
    chosen = [ROWS[0], *twice, ROWS[-1]]

    def report(rows, measured):
        found = [
            {"what": row.what, "backend": row.backend, "unit": "s", "figure": row.figure, "measured": measured,
             "target": row.target, "floor": None, "ratio": None, "met": True}
            for row in rows
        ]  # fmt: skip
        where = {"date": f"day {measured}", "commit": "commit abc", "machine": "a machine", "versions": {"Python": "3"}}
        return {"environment": where, "rounds": 5, "results": found}

    path = tmp_path / "benchmarks.md"
    write_page(path, page(report([ROWS[0], twice[1], ROWS[-1]], 1.0), TINY))
    write_peers(path, f"{PEERS_HEADING}\ntheirs\n")
    before = path.read_text()
    for _ in range(2):
        write_rows(path, report([twice[0], ROWS[-1]], 2.0), "some")
        text = path.read_text()
        lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
        assert [line.split(" | ")[1] for line in lines] == ["1 s", "2 s", "1 s", "2 s"]
        assert [line.split(" | ")[0] for line in lines] == [f"| {row.what}" for row in chosen]
        assert (
            "Measured on day 1.0 at commit abc, rows of 'some' on day 2.0 at commit abc: a machine; Python 3." in text
        )
    assert text.partition("## What the floors are")[2] == before.partition("## What the floors are")[2]


def test_the_workload_of_other_trackers(tmp_path):
    """The workload that other trackers run also runs here, and gives the four figures that are compared."""
    adapters = ROOT / "benchmarks" / "peers" / "adapters.py"
    done = forkserver.run([str(adapters), "trainstore", str(tmp_path), "50", "5"], timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]).keys() >= {"log_us", "stored_us", "table_ms", "best_ms"}


def test_profiles_name_the_parts_of_each_operation(postgres_server, monkeypatch, capsys):
    """Shares of each operation add up to 100%, and name the database driver."""
    monkeypatch.setattr("tests.fixtures.databases.SERVER_URL", address_of(postgres_server))
    monkeypatch.setattr(profiles, "SHOWN", 0.0)  # on a busy machine any share may be small
    monkeypatch.setattr(sys, "argv", ["profiles", "--size", "tiny"])
    profiles.main()
    tables = {part.split(":")[0]: part for part in capsys.readouterr().out.strip().split("\n\n\n")}
    assert len(tables) == 7
    for title, text in tables.items():
        shares = [int(line.rsplit(" ", 2)[1].removesuffix("%")) for line in text.splitlines() if line.endswith("% |")]
        assert abs(sum(shares) - 100) <= len(shares) / 2, title  # each is rounded
    assert "| sqlite3 |" in tables["A full queue of 300 records of 6 metrics, SQLite"]
    assert "| psycopg |" in tables["A full queue of 300 records of 6 metrics, PostgreSQL"]
