"""How a run ends that nobody finished: with its process, with its store, by an exception."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from trainstore.store import TrainStore

IN_FULL = pytest.mark.usefixtures("ends_in_full")

Start = Callable[..., Any]

BEGIN = """
import multiprocessing, os, signal, sys, threading, time, warnings
from trainstore.store import TrainStore
warnings.simplefilter("ignore")  # Python warns of a fork beside threads
signal.signal(signal.SIGINT, signal.default_int_handler)
url = sys.argv[1]

def train(name="script", store=None, then=""):
    run = (store or TrainStore(url)).start_run(name=name)
    run.log({"loss": 1.0}, step=0)
    exec(then)
    return run

def look(*args):
    raise ValueError("no more data")
"""


def ended(url: str, name: str = "script") -> tuple[str, str | None, list[dict[str, Any]]]:
    """Status, error and the details of the events ``end`` of a run, whose step is there."""
    with TrainStore(url) as store:
        assert list(store.list_step_logs(name)["step"]) == [0]
        record = store.get_run(name)
        events = store.list_events(name, kind="end")
        return record.status, record.error, list(events["details"])


def by(status: str, what: str = "exit") -> list[dict[str, Any]]:
    return [{"status": status, "by": what}]


@IN_FULL
def test_a_process_that_ends_by_itself_finishes_its_run(database_url: str, start_script: Start) -> None:
    """An event says that nobody called finish(); nothing else is said, and nothing is left for a recovery."""
    script = start_script(BEGIN + "train()", database_url)
    script.finish()
    assert script.stderr == ""
    assert ended(database_url) == ("finished", None, by("finished"))


@IN_FULL
@pytest.mark.parametrize(
    ("code", "status", "error", "exit_status"),
    [
        ("raise ValueError('no more data')", "failed", "ValueError: no more data", 1),
        ("raise KeyboardInterrupt", "interrupted", "KeyboardInterrupt", -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", "interrupted", "KeyboardInterrupt", -signal.SIGINT),
        ("sys.exit(0)", "finished", None, 0),
        ("sys.exit()", "finished", None, 0),
        ("sys.exit(3)", "failed", "SystemExit: 3", 3),
        ("sys.exit('no data')", "failed", "SystemExit: no data", 1),
    ],
)
def test_the_exception_that_ends_a_process_ends_its_run(
    new_database: Callable[..., str], start_script: Start, code: str, status: str, error: str | None, exit_status: int
) -> None:
    """By the rule of a ``with`` block; the exit status stays the process's own, and records are not said to be left."""
    database_url = new_database("sqlite")
    script = start_script(BEGIN + f"train()\n{code}", database_url)
    script.finish(code=exit_status)
    assert "not stored" not in script.stderr
    assert ended(database_url) == (status, error, by(status))


@IN_FULL
@pytest.mark.parametrize(
    ("code", "status", "exit_status"),
    [
        (
            "def stop(*args): sys.exit(143)\nsignal.signal(signal.SIGTERM, stop)\n"
            "train()\nos.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
            "failed",
            143,
        ),
        ("train()\nos.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", "lost", -signal.SIGTERM),
        ("train()\nos._exit(0)", "lost", 0),
        ("train()\nraise SystemExit(3)", "lost", 3),
        ("train()\ntry: sys.exit(2)\nexcept SystemExit: pass", "finished", 0),
        ("try: sys.exit(2)\nexcept SystemExit: train()", "finished", 0),
        ("try: train(then='raise KeyError(1)')\nexcept KeyError: pass", "finished", 0),
    ],
    ids=["SIGTERM handled", "SIGTERM", "os._exit", "raise SystemExit", "exit caught", "exit before", "error caught"],
)
def test_what_a_process_does_not_tell_of_its_end(
    new_database: Callable[..., str], start_script: Start, code: str, status: str, exit_status: int
) -> None:
    """What no exit function sees is lost, also a SystemExit whose code is unknown. What was caught ended nothing."""
    database_url = new_database("sqlite")
    script = start_script(BEGIN + code, database_url)
    script.finish(code=exit_status)
    found, _, events = ended(database_url)
    assert (found, events) == (status, [] if status == "lost" else by(status))


def test_an_exception_of_an_earlier_cell_did_not_end_the_run(
    new_database: Callable[..., str], start_script: Start
) -> None:
    """In a notebook ``sys.last_value`` stays: only what came after a run began can have ended it."""
    database_url = new_database("sqlite")
    earlier = "sys.last_value = sys.last_exc = KeyError('a typo')\ntrain('after')\n"
    script = start_script(BEGIN + "train('before')\n" + earlier, database_url)
    script.finish()
    assert ended(database_url, "before")[:2] == ("failed", "KeyError: 'a typo'")
    assert ended(database_url, "after")[:2] == ("finished", None)


def test_a_notebook_whose_kernel_is_shut_down(database_url: str, tmp_path: Any) -> None:
    """Its run is finished, though a cell before it failed."""
    cells = [
        "1 / 0",
        f"from trainstore.store import TrainStore\nrun = TrainStore({database_url!r}).start_run(name='script')",
        "run.log({'loss': 1.0}, step=0)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    options = {"allow_errors": True, "resources": {"metadata": {"path": str(tmp_path)}}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", **options).execute()
    assert ended(database_url) == ("finished", None, by("finished"))


def test_a_new_interpreter_ends_as_a_forked_one(new_database: Callable[..., str], start_script: Start) -> None:
    """As a script and by ``sys.exit(main())``, which looks up sys.exit before main() begins."""
    database_url = new_database("sqlite")
    code = BEGIN + "def main():\n    train()\n    return int(sys.argv[2])\nsys.exit(main())"
    for argument, status in (("0", "finished"), ("5", "failed")):
        script = start_script(code.replace("script", f"script{argument}"), database_url, argument, libraries=None)
        script.finish(code=int(argument))
        assert ended(database_url, f"script{argument}")[0] == status


# --- Threads, processes ----------------------------------------------------------------------------------------------


@IN_FULL
@pytest.mark.parametrize(("then", "status"), [("look()", "failed"), ("pass", "finished"), ("sys.exit(1)", "failed")])
def test_a_thread_ends_the_run_that_it_opened(
    new_database: Callable[..., str], start_script: Start, then: str, status: str
) -> None:
    """The exception that ended it counts, though the process goes on; other threads' runs are not touched."""
    database_url = new_database("sqlite")
    code = f"train('main')\nthread = threading.Thread(target=train, args=('thread', None, {then!r}))\n"
    script = start_script(BEGIN + code + "thread.start(); thread.join()", database_url)
    script.finish()
    assert ("ValueError: no more data" in script.stderr) == (then == "look()")
    assert ended(database_url, "thread")[0] == status
    assert ended(database_url, "main") == ("finished", None, by("finished"))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("then", "status", "exit_status"), [("pass", "finished", 0), ("look()", "failed", 1), ("sys.exit(3)", "failed", 3)]
)
def test_a_child_of_multiprocessing_ends_its_own_run(
    new_database: Callable[..., str], start_script: Start, method: str, then: str, status: str, exit_status: int
) -> None:
    """Though it leaves out the exit functions; the parent's run goes on."""
    url = new_database("sqlite" if method == "spawn" else "postgresql")
    code = f"""
if __name__ == "__main__":
    mine = train("parent")
    assert mine.flush(60)
    context = multiprocessing.get_context({method!r})
    child = context.Process(target=train, args=("child", None, {then!r}))
    child.start(); child.join()
    assert child.exitcode == {exit_status}, child.exitcode
    with TrainStore(url) as store:
        assert store.get_run(mine).status == "running" and store.is_recorded_here(mine)
    mine.finish("pruned")
"""
    start_script(BEGIN + code, url).finish()
    assert ended(url, "child")[0] == status
    assert ended(url, "parent") == ("pruned", None, [])


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)", "look()"])
def test_a_forked_child_does_not_end_its_parents_run(database_url: str, start_script: Start, end: str) -> None:
    """However it ends, and whether it logs; the parent's end counts."""
    code = f"""
run = train()
for logs in (False, True):
    pid = os.fork()
    if pid == 0:
        if logs:
            run.log({{"child": 1.0}}, step=0)
        {end}
    os.waitpid(pid, 0)
assert run.flush(60)
print(TrainStore(url).get_run(run).status)
sys.exit("no data")
"""
    assert start_script(BEGIN + code, database_url).finish(code=1) == ["running"]
    assert ended(database_url) == ("failed", "SystemExit: no data", by("failed"))


def test_a_joining_writer_ends_nothing(database_url: str, start_script: Start) -> None:
    """Another rank that just ends leaves the run running; its opener says how it ended."""
    with TrainStore(database_url) as store:
        run = store.start_run(name="script")
        run.log({"loss": 1.0}, step=0)
        assert run.flush(60)
        start_script(
            BEGIN + "TrainStore(url).resume_run('script', rank=1).log({'b': 1.0}, step=0)", database_url
        ).finish()
        assert store.get_run(run).status == "running"
        assert run.finish(timeout=60)
    assert ended(database_url) == ("finished", None, [])


# --- Stores ----------------------------------------------------------------------------------------------------------


def test_closing_a_store_finishes_its_runs(database_url: str) -> None:
    """An event says so; runs of another store object on the same database go on."""
    other = TrainStore(database_url)
    kept = other.start_run(name="kept")
    with TrainStore(database_url) as store:
        run = store.start_run(name="script")
        run.log({"loss": 1.0}, step=0)
    assert run.status == "finished"
    assert ended(database_url) == ("finished", None, by("finished", "close"))
    assert kept.status == "running"
    assert kept.flush(60)
    assert other.get_run("kept").status == "running"
    other.close()


@pytest.mark.parametrize("how", ["with", "finally"])
def test_an_exception_that_closes_a_store_fails_its_runs(database_url: str, how: str) -> None:
    """Through its block, and through close() in a finally."""

    def train() -> None:
        store = TrainStore(database_url)
        if how == "with":
            with store:
                store.start_run(name="script").log({"loss": 1.0}, step=0)
                raise ValueError("no more data")
        try:
            store.start_run(name="script").log({"loss": 1.0}, step=0)
            raise ValueError("no more data")
        finally:
            store.close()

    with pytest.raises(ValueError, match="no more data"):
        train()
    assert ended(database_url) == ("failed", "ValueError: no more data", by("failed", "close"))


def test_a_run_in_an_except_block_is_not_ended_by_its_exception(database_url: str) -> None:
    """A second try after a failure: the failure is older than the run."""
    try:
        raise ValueError("out of memory")
    except ValueError:
        with TrainStore(database_url) as store:
            store.start_run(name="script").log({"loss": 1.0}, step=0)
    assert ended(database_url)[0] == "finished"


def test_an_exit_with_the_database_away_is_in_the_journal(
    new_database: Callable[..., str], start_script: Start, tmp_path: Any
) -> None:
    """The next opening delivers how the run ended."""
    url = new_database("sqlite")
    code = """
from trainstore.recording import service
from trainstore.backends.sqlite import SQLiteBackend
service.EXIT_TIMEOUT = 0.3
store = TrainStore(url)
os.rename(url.removeprefix("sqlite:///"), url.removeprefix("sqlite:///") + ".away")
train(store=store)
"""
    script = start_script(BEGIN + code, url)
    script.finish()
    assert "trainstore recover" in script.stderr
    path = tmp_path / url.rpartition("/")[2]
    path.with_suffix(".db.away").rename(path)
    assert ended(url) == ("finished", None, by("finished"))


# --- finish() that changes nothing ------------------------------------------------------------------------------------


def left_lost(url: str, start_script: Start) -> None:
    start_script(BEGIN + "train(then='run.flush(60)')\nos._exit(0)", url).finish()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("status", [None, "finished", "pruned"])
def test_a_handle_that_joined_a_lost_run_does_not_end_it(
    database_url: str, start_script: Start, caplog: pytest.LogCaptureFixture, status: str | None
) -> None:
    """A warning says so, and what does; the handle does not claim otherwise."""
    left_lost(database_url, start_script)
    with TrainStore(database_url) as store:
        run = store.resume_run("script")
        assert run.finish(status, timeout=60)
        assert run.status == "lost"
    (warning,) = told(caplog)
    assert "stays lost" in warning
    assert "trainstore close" in warning
    assert "resume_run(run, step=…)" in warning
    assert ended(database_url)[0] == "lost"


def test_a_handle_that_joined_a_lost_run_may_fail_it(
    database_url: str, start_script: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """That a joining writer may say of a run that never ended."""
    left_lost(database_url, start_script)
    with TrainStore(database_url) as store:
        assert store.resume_run("script").finish("failed", "out of memory", timeout=60)
    assert told(caplog) == []
    assert ended(database_url)[:2] == ("failed", "out of memory")


def test_a_handle_that_joined_a_finished_run_says_what_it_keeps(
    store: TrainStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Leaving it as it is says nothing; another status is told of once."""
    with store.start_run(name="script") as first:
        first.log({"loss": 1.0}, step=0)
    for status in (None, "finished"):
        assert store.resume_run("script").finish(status)
    assert told(caplog) == []
    run = store.resume_run("script")
    run.finish("failed")
    run.finish("failed")
    (warning,) = told(caplog)
    assert "is finished already and does not become failed" in warning
    assert "resume_run(run, step=…)" in warning
    assert (run.status, store.get_run("script").status) == ("finished", "finished")


def test_a_handle_that_joined_a_running_run_leaves_its_end_to_the_opener(
    store: TrainStore, caplog: pytest.LogCaptureFixture
) -> None:
    """It closes itself in silence; another status than failed is not its to say."""
    with store.start_run(name="script") as opener:
        assert opener.flush(60)
        assert store.resume_run(opener, rank=1).finish()
        assert told(caplog) == []
        other = store.resume_run(opener, rank=2)
        assert other.finish("interrupted")
        (warning,) = told(caplog)
        assert "its opener says how it ends" in warning
        assert store.get_run(opener).status == other.status == "running"
    assert store.get_run(opener).status == "finished"


def test_a_run_that_is_not_recorded_says_so(
    store: TrainStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At INFO, once, as whoever set the variable knows it."""
    monkeypatch.setenv("TRAINSTORE_DISABLED", "1")
    caplog.set_level("INFO", "trainstore")
    run = store.start_run()
    assert run.finish()
    assert run.finish("failed")
    assert [text for text in caplog.messages if "TRAINSTORE_DISABLED is set" in text] == [
        f"run {run.uid}: nothing of it is recorded, TRAINSTORE_DISABLED is set"
    ]


def test_a_run_finished_within_its_block_keeps_that(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """Leaving the block says nothing; another status later is told of, with what to do."""
    with store.start_run(name="script") as run:
        assert run.finish("pruned")
    assert told(caplog) == []
    assert run.finish("failed")
    (warning,) = told(caplog)
    assert "is pruned already and does not become failed" in warning
    assert "resume_run(run, step=…)" in warning
    assert store.get_run(run).status == "pruned"


@IN_FULL
def test_a_finished_run_stays_so_at_exit(database_url: str, start_script: Start) -> None:
    """What was finished stays so, whatever ends the process."""
    script = start_script(BEGIN + "train(then='run.finish()')\nlook()", database_url)
    script.finish(code=1)
    assert ended(database_url) == ("finished", None, [])
