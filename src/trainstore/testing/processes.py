"""Threads, processes, forks and kills: several record at once, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import warnings
from functools import partial
from pathlib import Path

import pytest

from trainstore.backends import open_backend
from trainstore.errors import ReadOnlyStoreError
from trainstore.store import TrainStore
from trainstore.testing.base import DEADLINE, ContractBase


class Processes(ContractBase):
    """Threads, processes, forks and kills: several record at once, and nothing is lost."""

    def test_threads_share_a_store(self, contract_store: TrainStore) -> None:
        """Threads log into one run and query meanwhile; nothing is lost."""
        failures: list[BaseException] = []
        run = contract_store.start_run(name="shared")
        assert run.flush(60)

        def work(number: int) -> None:
            try:
                for step in range(100):
                    run.log({f"t{number}": step}, step=step)
                    if step % 40 == 0:
                        contract_store.list_runs()
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a query may say that records still wait
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE)
        assert failures == []
        assert run.finish(timeout=60)
        frame = contract_store.list_step_logs(run)
        assert [frame[f"t{number}"].tolist() for number in range(4)] == [list(range(100))] * 4

    def test_read_only(self, lasting_url: str) -> None:
        """With ``read_only=True`` queries answer, and what records or edits is refused."""
        with TrainStore(lasting_url) as store:
            store.start_run(name="there").finish()
        with TrainStore(lasting_url, read_only=True) as store:
            for change in (store.start_run, store.recover, partial(store.set_notes, "there", "new")):
                with pytest.raises(ReadOnlyStoreError):
                    change()
            assert store.get_run("there").notes is None

    def test_processes_write_at_once(self, lasting_url: str) -> None:
        """Three processes log into the same steps of one run, and a run of their own each: every value is there."""
        with TrainStore(lasting_url) as store:
            shared = store.start_run(name="shared")
            assert shared.flush(60)
            code = """
                from trainstore.store import TrainStore
                with TrainStore(url) as store:
                    shared, own = store.resume_run(sys.argv[2]), store.start_run(name=f"own {sys.argv[3]}")
                    for step in range(150):
                        shared.log({f"rank{sys.argv[3]}": step}, step=step)
                        own.log({"loss": float(step)}, step=step)
                        if step % 30 == 0:
                            assert store.flush(60)
                    assert shared.finish(timeout=60) and own.finish(timeout=60)
                """
            started = [self._start(code, lasting_url, shared.uid, rank) for rank in range(3)]
            for process in started:
                self._finish(process)
            shared.finish()
            frame = store.list_step_logs(shared)
            assert frame["step"].tolist() == list(range(150))
            assert [frame[f"rank{rank}"].tolist() for rank in range(3)] == [list(range(150))] * 3
            for rank in range(3):
                assert store.list_step_logs(f"own {rank}")["loss"].tolist() == [float(step) for step in range(150)]
            metrics = store.list_metrics(shared)
            assert metrics["count"].tolist() == [150] * 3

    def test_a_killed_process_loses_nothing(self, lasting_url: str, tmp_path: Path) -> None:
        """The next opening delivers the journal of a killed process; delivered again it changes nothing."""
        code = """
            import time
            from trainstore.recording import delivery_thread
            from trainstore.store import TrainStore
            delivery_thread.INTERVAL = 0.02
            run = TrainStore(url).start_run(name="killed", hyperparams={"lr": 0.1})
            for step in range(300):
                run.log({"loss": float(step)}, step=step)
                run.log_event("mark", step=step)
                if step == 100:
                    assert run.flush(60)
                    delivery_thread.INTERVAL = 600
            print("logged", flush=True)
            time.sleep(600)
            """
        process = self._start(code, lasting_url)
        assert self._line(process) == "logged"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE)
        self._close(process)
        roots = [tmp_path / "contract-journals"]
        beside = open_backend(lasting_url).journal_root()
        roots += [beside] if beside is not None else []
        copies = [(root, tmp_path / f"copy{place}") for place, root in enumerate(roots) if root.exists()]
        for root, copy in copies:
            shutil.copytree(root, copy)
        for place in range(2):
            with TrainStore(lasting_url) as store:
                assert store.recovered.failed == {}
                if place == 0:
                    assert store.get_run("killed").status == "lost"
                frame = store.list_step_logs("killed")
                assert frame["loss"].tolist() == [float(step) for step in range(300)]
                assert store.list_events("killed", kind="mark")["step"].tolist() == list(range(300))
                assert store.list_metrics("killed")["count"].tolist() == [300]
            for root, copy in copies:
                shutil.copytree(copy, root, dirs_exist_ok=True)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    def test_a_forked_child_records_too(self, lasting_url: str) -> None:
        """Parent and child of a fork log on, query, and lose nothing; the parent's connections stay its own."""
        code = """
            import os, warnings
            warnings.simplefilter("ignore")
            from trainstore.store import TrainStore
            store = TrainStore(url)
            run = store.start_run(name="forked")
            store.connection.execute(store.table.run.select()).all()
            store.connection.rollback()
            for step in range(50):
                run.log({"parent": step}, step=step)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    for step in range(100):
                        run.log({"child": step}, step=step)
                    store.list_runs()
                    status = 0 if run.finish(timeout=60) else 2
                finally:
                    os._exit(status)
            for step in range(50, 100):
                run.log({"parent": step}, step=step)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            store.connection.execute(store.table.run.select()).all()
            store.connection.rollback()
            assert run.finish(timeout=60)
            frame = store.list_step_logs("forked")
            assert frame["parent"].tolist() == frame["child"].tolist() == list(range(100))
            store.close()
            print("done")
            """
        assert self._finish(self._start(code, lasting_url)) == "done"
