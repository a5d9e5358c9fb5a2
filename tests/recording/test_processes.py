"""Fork, exit, and several processes at one store; every process here is a real one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from recording.support import desk_at, eventually
from trainstore.store import TrainStore

IN_FULL = pytest.mark.usefixtures("ends_in_full")


def steps(store: TrainStore, run: Any) -> list[int]:
    return list(store.list_step_logs(run)["step"])


# --- Exit ------------------------------------------------------------------------------------------------------------


@IN_FULL
def test_a_script_that_never_finishes_its_run_delivers_at_exit(
    database_url: str, start_script: Callable[..., Any]
) -> None:
    """Records of a process that just ends are stored before it is gone; the run is finished (test_endings.py)."""
    script = start_script(
        """
        import sys
        from trainstore.store import TrainStore
        run = TrainStore(sys.argv[1]).start_run(name="unfinished")
        for step in range(500):
            run.log({"loss": float(step)}, step=step)
        """,
        database_url,
    )
    script.finish()
    assert script.stderr == ""
    with TrainStore(database_url) as store:
        assert store.recovered.records == 0
        assert steps(store, "unfinished") == list(range(500))
        assert store.get_run("unfinished").status == "finished"


@IN_FULL
def test_an_exit_with_the_database_away_names_journal_and_remedy(
    start_script: Callable[..., Any], tmp_path: Path
) -> None:
    """The process ends, with a warning that names the journal's folder and `trainstore recover`."""
    script = start_script(
        """
        from trainstore.recording import service
        from trainstore.store import TrainStore
        service.EXIT_TIMEOUT = 0.5
        store = TrainStore("postgresql://someone:hidden-word@127.0.0.1:1/db", offline_ok=True)
        run = store.start_run()
        run.log({"loss": 1.0}, step=0)
        """,
    )
    script.finish()
    assert "trainstore recover (with the URL of the database in TRAINSTORE_URL)" in script.stderr
    assert str(tmp_path / "journals") in script.stderr
    assert "hidden-word" not in script.stderr
    assert len(list((tmp_path / "journals").glob("*/*/*.seg"))) == 1


# --- Fork ------------------------------------------------------------------------------------------------------------


@IN_FULL
def test_a_forked_child_records_by_a_writer_of_its_own(database_url: str, start_script: Callable[..., Any]) -> None:
    """Parent and child log into the same run at once: nothing is lost, and the child's end is not the run's."""
    script = start_script(
        """
        import os, sys
        from trainstore.store import TrainStore
        store = TrainStore(sys.argv[1])
        run = store.start_run(name="forked")
        for step in range(100):
            run.log({"parent": step}, step=step)
        pid = os.fork()
        if pid == 0:
            for step in range(50, 150):
                run.log({"child": step}, step=step)
            os._exit(0 if run.finish(timeout=60) else 1)
        for step in range(100, 200):
            run.log({"parent": step}, step=step)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert run.flush(60)
        print(store.get_run(run).status)
        assert run.finish(timeout=60)
        """,
        database_url,
    )
    assert script.finish() == ["running"]
    with TrainStore(database_url) as store:
        assert store.recovered.records == 0
        frame = store.list_step_logs("forked")
        assert frame["parent"].tolist() == list(range(200))
        assert frame["child"].dropna().tolist() == list(range(50, 150))
        assert store.get_run("forked").status == "finished"
        with store.engine.connect() as connection:
            writers = connection.execute(select(store.table.writer.c.pid, store.table.writer.c.uid)).all()
        assert len({pid for pid, _ in writers}) == 2
    with desk_at(database_url) as desk:
        for uid in {row.uid for row in desk.rows(select(desk.models.run.c.uid))}:
            desk.check(uid)


@IN_FULL
def test_a_fork_while_everything_is_busy_hangs_nobody(database_url: str, start_script: Callable[..., Any]) -> None:
    """Children forked while other threads log, flush and query can log and query; the parent goes on."""
    script = start_script(
        """
        import os, sys, threading, time, traceback, warnings
        from trainstore.recording import delivery_thread
        from trainstore.store import TrainStore
        warnings.simplefilter("ignore")  # Python warns of a fork beside threads
        delivery_thread.INTERVAL = 0.001
        store = TrainStore(sys.argv[1])
        run = store.start_run(name="busy")
        stop = threading.Event()
        counts = [0] * 3

        def work(index):
            while not stop.is_set():
                run.log({f"t{index}": counts[index]}, step=counts[index])
                counts[index] += 1
                if index == 2:
                    run.flush(60)
                time.sleep(0.0005)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
        for thread in threads: thread.start()
        for number in range(4):
            pid = os.fork()
            if pid == 0:
                try:
                    run.log({f"child{number}": 1.0}, step=number)
                    assert run.flush(60)
                    assert len(store.list_metrics(run))
                    assert run.finish(timeout=60)
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads: thread.join()
        assert run.finish(timeout=60)
        print(*counts)
        """,
        database_url,
    )
    counts = [int(count) for count in script.finish()[-1].split()]
    with TrainStore(database_url) as store:
        frame = store.list_step_logs("busy")
        for index, count in enumerate(counts):
            assert frame[f"t{index}"].dropna().tolist() == list(range(count))
        for number in range(4):
            assert frame[f"child{number}"].count() == 1


def test_multiprocessing_children_that_end_at_once_lose_nothing(
    database_url: str, start_script: Callable[..., Any]
) -> None:
    """A child of multiprocessing skips exit handlers: what it had no time to store is delivered by a recovery."""
    script = start_script(
        """
        import multiprocessing, sys, warnings
        from trainstore.store import TrainStore
        warnings.simplefilter("ignore")
        store = TrainStore(sys.argv[1])
        run = store.start_run(name="pool")
        run.log({"loss": 0.0}, step=0)

        def work(number):
            run.log({"loss": float(number)}, step=number)

        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(number,)) for number in range(1, 5)]
        for child in children: child.start()
        for child in children: child.join()
        assert [child.exitcode for child in children] == [0] * 4
        assert run.finish(timeout=60)
        """,
        database_url,
    )
    script.finish()
    with TrainStore(database_url) as store:
        assert steps(store, "pool") == [0, 1, 2, 3, 4]
        assert store.get_run("pool").status == "finished"


def test_an_orphaned_child_does_not_hold_its_parents_journal(
    new_database: Callable[..., str], start_script: Callable[..., Any]
) -> None:
    """When the parent is killed while a forked child lives on, its journal can be recovered at once."""
    url = new_database("sqlite")
    script = start_script(
        """
        import os, sys, time
        from trainstore.recording import delivery_thread
        from trainstore.store import TrainStore
        delivery_thread.INTERVAL = 10_000
        run = TrainStore(sys.argv[1]).start_run(name="orphan")
        run.log({"loss": 1.0}, step=0)
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        print("child", child)
        time.sleep(600)
        """,
        url,
    )
    child = int(script.wait_for("child").split()[1])
    try:
        script.kill()
        with TrainStore(url) as store:
            assert store.recovered.records == 3
            assert steps(store, "orphan") == [0]
    finally:
        os.kill(child, signal.SIGKILL)


def test_an_orphaned_child_does_not_hold_its_parents_lock(
    new_database: Callable[..., str], start_script: Callable[..., Any]
) -> None:
    """A parent that is killed in a transaction leaves no lock on its run, though a forked child lives on."""
    url = new_database("postgresql")
    script = start_script(
        """
        import os, sys, threading, time, warnings
        from trainstore.backends import postgresql
        from trainstore.recording.statements import Statements
        from trainstore.store import TrainStore
        warnings.simplefilter("ignore")
        postgresql.WRITER_TIMEOUT = postgresql.PATIENT_TIMEOUT = 3_000  # or the server itself ends the transaction
        run = TrainStore(sys.argv[1]).start_run(name="orphan")
        run.log({"loss": 1.0}, step=0)
        assert run.flush(60)
        lock_run, locked = Statements.lock_run, threading.Event()

        def stay(*arguments):
            lock_run(*arguments)
            locked.set()
            time.sleep(600)

        Statements.lock_run = stay
        run.log({"loss": 2.0}, step=1)
        locked.wait()
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        print("child", child)
        time.sleep(600)
        """,
        url,
    )
    child = int(script.wait_for("child").split()[1])
    try:
        script.kill()
        with TrainStore(url) as store:
            assert store.recovered.failed == {}
            assert steps(store, "orphan") == [0, 1]
    finally:
        os.kill(child, signal.SIGKILL)


@IN_FULL
def test_a_store_in_memory_survives_a_fork(start_script: Callable[..., Any]) -> None:
    """A child of a process with a store in memory neither hangs nor touches the parent's records."""
    script = start_script(
        """
        import os
        from trainstore.store import TrainStore
        store = TrainStore(":memory:")
        run = store.start_run()
        run.log({"loss": 1.0}, step=0)
        pid = os.fork()
        if pid == 0:
            run.log({"loss": 2.0}, step=1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        run.log({"loss": 3.0}, step=2)
        assert run.finish(timeout=60)
        print(*store.list_step_logs(run)["step"])
        """
    )
    assert script.finish() == ["0 2"]


# --- Several processes -----------------------------------------------------------------------------------------------

WORKER = """
    import sys
    from trainstore.store import TrainStore
    url, rank, run_uid = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    store = TrainStore(url)
    print("ready")
    sys.stdin.readline()
    run = store.resume_run(run_uid, rank=rank) if run_uid else store.start_run(name=f"rank {rank}", rank=rank)
    for step in range(300):
        run.log({f"loss{rank}": float(step), "shared": 1.0}, step=step)
    print("stored", run.finish(timeout=100))
    store.close()
    """


def run_workers(start_script: Callable[..., Any], url: str, run_uid: str) -> None:
    """Four processes that begin together."""
    workers = [start_script(WORKER, url, rank, run_uid) for rank in range(4)]
    for worker in workers:
        worker.wait_for("ready")
    for worker in workers:
        worker.send("go")
    for worker in workers:
        assert worker.finish()[-1] == "stored True"


def test_four_processes_write_runs_of_their_own(database_url: str, start_script: Callable[..., Any]) -> None:
    """Each stores its run as if it were alone."""
    run_workers(start_script, database_url, "")
    with TrainStore(database_url) as store:
        assert set(store.list_runs()["name"]) == {f"rank {rank}" for rank in range(4)}
        for rank in range(4):
            frame = store.list_step_logs(f"rank {rank}")
            assert frame[f"loss{rank}"].tolist() == [float(step) for step in range(300)]
            assert store.get_run(f"rank {rank}").status == "finished"


def test_four_processes_join_one_run(database_url: str, start_script: Callable[..., Any]) -> None:
    """Ranks that join write into the same rows; the run ends when its opener says so."""
    with TrainStore(database_url) as store:
        run = store.start_run()
        assert run.flush(60)
        run_workers(start_script, database_url, run.uid)
        frame = store.list_step_logs(run)
        for rank in range(4):
            assert frame[f"loss{rank}"].tolist() == [float(step) for step in range(300)]
        assert store.get_run(run).status == "running"
        assert run.finish(timeout=60)
        with store.engine.connect() as connection:
            ranks = connection.execute(select(store.table.writer.c.rank, store.table.writer.c.attempt)).all()
        assert sorted(ranks) == [(0, 1), (0, 1), (1, 1), (2, 1), (3, 1)]
        with desk_at(database_url) as desk:
            desk.check(run.uid)


def test_two_processes_resume_one_run_at_once(database_url: str, start_script: Callable[..., Any]) -> None:
    """Both are attempts of the run; the later opened is shown, the other's records are kept beside it."""
    code = """
        import sys
        from trainstore.store import TrainStore
        store = TrainStore(sys.argv[1])
        print("ready")
        sys.stdin.readline()
        run = store.resume_run(sys.argv[2], step=4)
        for step in range(5, 50):
            run.log({"who": sys.argv[3]}, step=step)
        print("stored", run.finish(timeout=100), run.attempt_uid)
        """
    with TrainStore(database_url) as store:
        run = store.start_run()
        for step in range(10):
            run.log({"who": "first"}, step=step)
        assert run.finish(timeout=60)
    scripts = [start_script(code, database_url, run.uid, name) for name in ("one", "two")]
    for script in scripts:
        script.wait_for("ready")
    for script in scripts:
        script.send("go")
    uids = {script.finish()[-1].split()[2]: name for script, name in zip(scripts, ("one", "two"), strict=True)}
    with TrainStore(database_url) as store:
        with desk_at(database_url) as desk:
            desk.check(run.uid)
            attempts = sorted(desk.attempts(run.uid).values(), key=lambda row: (row.opened_at, row.uid))
        assert len(attempts) == 3
        frame = store.list_step_logs(run.uid)
        assert frame["step"].tolist() == list(range(50))
        # Each resumed what was the head when it asked: the first attempt, or the other that had just begun there.
        assert set(frame["who"][5:]) == {uids[attempts[-1].uid]}
        everything = store.list_step_logs(run.uid, attempts="all")
        assert len(everything) == 10 + 45 + 45
        assert eventually(lambda: store.get_run(run.uid).status) == "finished"
