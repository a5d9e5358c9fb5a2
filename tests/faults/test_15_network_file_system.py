"""The database or the journal lies on a network file system

Fault 15 of docs/guarantees.md: what the mount table says (a faked one for the types that cannot be mounted here, the
kernel's own for one that can), locks that fail, and the journals of another machine in a shared home. Not tested: a
real NFS or Lustre, where a write itself may hang.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from faults.fuse import mounted
from faults.network import SHORT_END
from faults.oracle import Fault
from recording.support import eventually
from trainstore.backends import health
from trainstore.errors import JournalError, NetworkFileSystemError
from trainstore.recording import journal as journals
from trainstore.store import TrainStore

KINDS = ("nfs", "nfs4", "lustre", "cifs", "smb3", "ceph", "9p", "fuse.sshfs", "fuse.s3fs", "glusterfs")


def table(place: Path, kind: str, at: Path) -> Path:
    """A mount table that has a file system of ``kind`` at ``place``, beside those that there are; written to ``at``."""
    escaped = str(place).replace(" ", "\\040")
    real = Path("/proc/self/mountinfo").read_text()
    at.write_text(f"{real}999 1 0:99 / {escaped} rw,relatime shared:9 - {kind} server:/export rw,vers=4.2\n")
    return at


def faked(mounts: Path) -> str:
    """Code for a producer's ``before``: this is the mount table."""
    return f"""
from pathlib import Path
from trainstore.backends import health
_real = health.file_system_of
health.file_system_of = lambda path, mounts=None: _real(path, Path({str(mounts)!r}).read_text())
"""


@pytest.fixture
def mount_table(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The mount table of this process: ``mount_table["text"]``, once it is set."""
    content: dict[str, str] = {}
    real = health.file_system_of
    monkeypatch.setattr(health, "file_system_of", lambda path, _mounts=None: real(path, content.get("text")))
    monkeypatch.setattr(health, "_file_system_on", lambda path, _device: health.file_system_of(path))
    return content


@pytest.mark.parametrize("kind", KINDS)
def test_what_counts_as_a_network(tmp_path: Path, mount_table: dict[str, str], kind: str) -> None:
    """The types by which such file systems are mounted on Linux; a folder beside the mount is none of it."""
    mount_table["text"] = table(tmp_path / "a b", kind, tmp_path / "mounts").read_text()
    assert health.network_file_system(tmp_path / "a b" / "c" / "not yet there") == kind
    assert health.network_file_system(tmp_path / "a b c") is None


@pytest.mark.parametrize("backend_name", ["sqlite"])
@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_a_file_on_a_network(
    fault: Fault, kind: str, mount_table: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Recording is refused, and says what to do; a recovery writes nothing there either; reading warns."""
    fault.injected()
    share = fault.folder / "shared home"
    share.mkdir()
    path = share / "store.db"
    shutil.copyfile(str(make_url(fault.url).database), path)
    fault.url = f"sqlite:///{path}"
    with TrainStore(fault.url) as store:
        stored_run = store.start_run()
        stored_run.finish()
    left = fault.start(count=None, interval=1_000)
    left.wait_for(200)
    left.kill()
    content = path.read_bytes()

    mounts = table(share, kind, fault.folder / "mounts")
    producer = fault.start(before=faked(mounts), count=10)
    producer.end(code=1)
    assert NetworkFileSystemError.__name__ in producer.stderr
    assert kind in producer.stderr
    assert "local disk, or record into PostgreSQL" in producer.stderr

    mount_table["text"] = mounts.read_text()
    with TrainStore(fault.url) as store:
        assert list(store.list_runs()["uid"]) == [stored_run.uid]
        assert store.recovered.runs == []
        (reason,) = store.recovered.failed.values()
        assert kind in reason
        for refused in (store.start_run, lambda: store.set_notes(stored_run.uid, "text")):
            with pytest.raises(NetworkFileSystemError, match=kind):
                refused()
    assert [text for text in caplog.messages if f"network file system ({kind})" in text and "copy the file" in text]
    assert path.read_bytes() == content

    mount_table.clear()
    fault.verify(left, status="lost")


def test_a_journal_on_a_network(fault: Fault) -> None:
    """One warning, which names the variable that chooses another place; it is kept as elsewhere."""
    kind = "lustre"
    journals_folder = fault.folder / "journals"
    mounts = table(journals_folder, kind, fault.folder / "mounts")
    for _ in fault.times(short=1, long=5):
        code = faked(mounts) + "again = None"
        producer = fault.start(before=code, count=None, then_at=50, then="again = store.start_run(); again.finish()")
        producer.wait_for(300)
        producer.kill()
        warnings = [line for line in producer.stderr.splitlines() if f"network file system ({kind})" in line]
        assert len(warnings) == 1
        assert "TRAINSTORE_JOURNAL_DIR" in warnings[0]
        assert str(journals_folder) in warnings[0]
        fault.verify(producer, status="lost")


def test_a_mounted_one(fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """By the kernel's own mount table: a new file is not made there, a journal is warned of."""
    with mounted(tmp_path / "share", "fuse.sshfs") as share:
        fault.injected()
        if fault.backend == "sqlite":
            with pytest.raises(NetworkFileSystemError, match=r"fuse\.sshfs"):
                TrainStore(share / "new.db")
        monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(share / "journals"))
        with TrainStore(fault.url) as store, pytest.raises(JournalError, match="TRAINSTORE_JOURNAL_DIR"):
            store.start_run()
        assert any("fuse.sshfs" in text and "TRAINSTORE_JOURNAL_DIR" in text for text in caplog.messages)


def test_locks_that_a_file_system_does_not_have(fault: Fault) -> None:
    """No journal can be kept where its lock cannot be: the error says so. Nothing is left behind that looks alive."""
    for _ in fault.times(short=1, long=5):
        no_locks = f"""
import fcntl
def lockf(*_):
    raise OSError({errno.ENOLCK}, "No locks available")
fcntl.lockf = lockf
"""
        producer = fault.start(before=no_locks, count=10)
        producer.end(code=1)
        assert "No locks available" in producer.stderr
        assert "TRAINSTORE_JOURNAL_DIR" in producer.stderr
        with TrainStore(fault.url) as store:
            assert store.list_runs().empty
            assert store.recovered.failed == {}


@pytest.mark.parametrize("backend_name", ["sqlite"])
def test_a_database_without_locks(fault: Fault) -> None:
    """Where every lock of the database fails it counts as locked: a run may begin in its journal, and comes later."""
    if shutil.which("strace") is None:
        pytest.skip("not tested: strace is not installed")
    trace = ("strace", "-f", "-qq", "-o", str(fault.folder / "trace"), "-P", str(make_url(fault.url).database))
    probe = subprocess.run([*trace, "-e", "trace=fcntl", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("not tested: strace may not trace here")
    for _ in fault.times(short=1, long=5):
        producer = fault.start(
            command=(*trace, "-e", "trace=fcntl", "-e", "inject=fcntl:error=ENOLCK"),
            count=100,
            offline_ok=True,
            before="from trainstore.backends import sqlite; sqlite.READER_TIMEOUT = sqlite.WRITER_TIMEOUT = 0.2\n"
            + SHORT_END,
            finish_timeout=0.5,
            close=False,
        )
        reported = producer.end()
        assert reported is not None
        assert not reported.stored
        assert "ENOLCK" in (fault.folder / "trace").read_text()
        assert "Traceback" not in producer.stderr
        fault.verify(producer, status="finished")


# --- A home that several machines share ------------------------------------------------------------------------------


def elsewhere() -> tuple[str, ...]:
    """What comes before a command that runs on a machine of another name."""
    command = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
    if sys.platform != "linux" or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("not tested: only root may give a process another host name")
    return command


@contextmanager
def local_locks() -> Iterator[None]:
    """This machine sees no lock of another one, as on Lustre with localflock."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journals.disk, "take_lock", lambda _descriptor: None)
        yield


def age(fault: Fault, lock: Path, *, heartbeat: bool) -> None:
    """Let two minutes pass since the lock file was touched; with ``heartbeat`` in the database as well."""
    long_ago = time.time() - 120
    os.utime(lock, (long_ago, long_ago))
    if heartbeat:
        with TrainStore(fault.url) as store, store._service.transaction() as connection:
            writer = store.table.writer
            connection.execute(writer.update().values(heartbeat_at=datetime.now(UTC) - timedelta(minutes=2)))


def test_the_journals_of_another_machine(fault: Fault) -> None:
    """Left alone while lock, lock file or heartbeat speaks for their process; then whoever finds them delivers them."""
    command = elsewhere()
    for _ in fault.times(short=1, long=20):
        producer = fault.start(command=command, count=None, interval=0.05)
        producer.wait_for(200)
        (lock,) = fault.folder.rglob("lock")
        eventually(lambda run=producer.run: stored(fault.url, run), "the first commit")
        with local_locks():
            for touched in (True, False):  # then only the heartbeat is left
                if not touched:
                    age(fault, lock, heartbeat=False)
                with TrainStore(fault.url) as store:
                    assert store.recovered.runs == []
                    assert [path.name for path in store.recovered.live] == [lock.parent.name]
        producer.wait_for(producer.reported.numbers[-1] + 100)
        producer.kill()
        with TrainStore(fault.url) as store:
            assert store.recovered.runs == [], "its heartbeat is some seconds old"
        age(fault, lock, heartbeat=True)
        fault.verify(producer, status="lost")


def stored(url: str, run: str) -> bool:
    with TrainStore(url) as store:
        return run in set(store.list_runs()["uid"])
