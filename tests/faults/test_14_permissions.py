"""The database or the journal may not be written, or not even looked at

Fault 14 of docs/guarantees.md: permissions of files and folders, rights on a server, the immutable attribute, a disk
that is mounted read-only, a journal that is deleted; and what others may do with what we write.
tests/backends/test_roles.py has the matrix of PostgreSQL's roles.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from faults.databases import connect, terminate
from faults.disks import remount, small_disk
from faults.locks import locked
from faults.network import SHORT_LIMITS
from faults.oracle import Fault
from faults.rights import blind, bound, mode, read
from fixtures.databases import PostgresServer, opened
from recording.support import eventually
from trainstore.errors import JournalError, PermissionDeniedError
from trainstore.store import TrainStore


@pytest.mark.parametrize("backend_name", ["sqlite"])
@pytest.mark.parametrize(
    ("file", "folder", "offline_ok"),
    [(0o400, 0o700, False), (0o600, 0o500, True), (0o000, 0o700, True), (0o600, 0o000, True)],
    ids=["file 0400", "folder 0500", "file 000", "folder 000"],
)
def test_a_file_that_may_not_be_written(fault: Fault, file: int, folder: int, offline_ok: bool) -> None:
    """Training goes on and ends with 0, after one warning; as soon as the file may be written all is stored.

    In a folder that may only be read SQLite cannot even read a file in WAL mode.
    """
    empty = str(make_url(fault.url).database)
    for index in fault.times(short=1, long=10):
        place = fault.folder / f"place{index}"
        place.mkdir(mode=0o700)
        path = place / "store.db"
        shutil.copyfile(empty, path)
        fault.url = f"sqlite:///{path}"
        with ExitStack() as stack:
            stack.enter_context(mode(path, file))
            stack.enter_context(mode(place, folder))
            said = read(fault.url, blind())
            if offline_ok:
                assert said.startswith("StoreUnavailableError"), said
                assert str(path) in said
                assert folder != 0o500 or "copy the file" in said
            else:
                assert "runs" in said
            producer = fault.start(
                count=1_000, before=blind() + SHORT_LIMITS, offline_ok=offline_ok, finish_timeout=0.5, close=False
            )
            reported = producer.end()
            assert reported is not None
            assert not reported.stored
            if not offline_ok:
                assert "no right to write" in read(fault.url, blind())
        assert producer.stderr.count("cannot be written") == 1
        assert "trainstore recover" in producer.stderr
        assert "Traceback" not in producer.stderr
        fault.verify(producer, status="finished")


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk: in memory, a file that becomes immutable may still be written by whoever has it open."""
    with tempfile.TemporaryDirectory(prefix="ts-disk-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("backend_name", ["sqlite"])
def test_a_file_that_becomes_immutable(fault: Fault, disk: Path) -> None:
    """Under the hands of a writer, who has it open: it waits until that is over."""
    path = shutil.copyfile(str(make_url(fault.url).database), str(disk / "store.db"))
    fault.url = f"sqlite:///{path}"
    for _ in fault.times(short=1, long=10):
        producer = fault.start(count=None, rate=500, before=SHORT_LIMITS, then_at=10**9)
        producer.wait_for(100)
        eventually(lambda: os.path.exists(f"{path}-wal"), "the first commit")
        files = [path, f"{path}-wal"]
        if os.geteuid() != 0 or subprocess.run(["chattr", "+i", *files], capture_output=True, check=False).returncode:
            pytest.skip("not tested: chattr +i, which only root may do, and not on every file system")
        try:
            eventually(lambda producer=producer: "cannot be written" in producer.stderr, "the warning")
            producer.wait_for(producer.reported.numbers[-1] + 200)
        finally:
            subprocess.run(["chattr", "-i", *files], check=True)
        eventually(lambda producer=producer: "is reached again" in producer.stderr, "the end of it")
        producer.kill()
        fault.verify(producer, status="lost")


@contextmanager
def read_only(url: str, server: PostgresServer) -> Iterator[None]:
    """The database takes no more changes, as a standby does."""
    database = make_url(url).database
    server.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    terminate(url)
    try:
        yield
    finally:
        server.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        terminate(url)


@contextmanager
def revoked(url: str, server: PostgresServer) -> Iterator[None]:
    """The user of the connection string may not insert any more."""
    database, role = make_url(url).database, make_url(url).username
    server.execute(f"REVOKE INSERT ON ALL TABLES IN SCHEMA public FROM {role}", database)
    try:
        yield
    finally:
        server.execute(f"GRANT INSERT ON ALL TABLES IN SCHEMA public TO {role}", database)


@pytest.fixture
def role(postgres_server: PostgresServer, fault: Fault) -> Iterator[str]:
    """A user who may record into the test's database."""
    name, database = f"trainer_{uuid.uuid4().hex[:8]}", make_url(fault.url).database
    postgres_server.execute(f"CREATE ROLE {name} LOGIN")
    postgres_server.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {name}", database)
    postgres_server.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}", database)
    yield name
    postgres_server.execute(f"DROP OWNED BY {name}", database)
    postgres_server.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("backend_name", ["postgresql"])
@pytest.mark.parametrize("fail", [read_only, revoked])
def test_a_server_that_refuses(
    fault: Fault, role: str, fail: Callable[[str, PostgresServer], Iterator[None]], postgres_server: PostgresServer
) -> None:
    """Training goes on, after one warning that names what is missing; when it is given back all is stored."""
    owner = fault.url
    url = make_url(owner).set(username=role).render_as_string(hide_password=False)
    for _ in fault.times(short=1, long=10):
        producer = fault.start(url=url, count=None, rate=500, before=SHORT_LIMITS, then_at=10**9)
        producer.wait_for(100)
        eventually(lambda run=producer.run: _stored(owner, run), "the first commit")
        with fail(url, postgres_server):
            eventually(lambda producer=producer: "cannot be written" in producer.stderr, "the warning")
            producer.wait_for(producer.reported.numbers[-1] + 200)
            if fail is read_only:
                # What ended the connection was told; what is the matter now says this opening.
                with TrainStore(url) as store, pytest.raises(PermissionDeniedError, match="is read-only"):
                    store.set_notes(producer.run, "text")
            else:
                assert "the right to INSERT" in producer.stderr
        eventually(lambda producer=producer: "is reached again" in producer.stderr, "the end of it")
        producer.kill()
        fault.verify(producer, status="lost")


def _stored(url: str, run: str) -> int:
    with connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM step_log JOIN run ON run.id = run_id WHERE run.uid = %s", (run,)
        ).fetchone()
    return int(str(row[0])) if row else 0


@pytest.mark.parametrize("bits", [0o500, 0o000], ids=["read-only", "closed"])
def test_no_journal_can_be_kept(fault: Fault, bits: int) -> None:
    """A run does not begin: the error names folder and variable. Reading goes on."""
    journals = fault.folder / "journals"
    journals.mkdir(mode=0o700)
    for _ in fault.times(short=1, long=5):
        give_up = blind() if fault.backend == "sqlite" else bound()
        with mode(journals, bits):
            producer = fault.start(before=give_up, count=10)
            producer.end(code=1)
            assert JournalError.__name__ in producer.stderr
            assert str(journals) in producer.stderr
            assert "TRAINSTORE_JOURNAL_DIR" in producer.stderr
            said = read(fault.url, give_up)
            assert "runs 0" in said
            if bits == 0 and give_up == blind():
                assert "cannot be searched for journals" in said


def test_a_journal_on_a_disk_that_is_mounted_read_only(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run does not begin there; what was left there is named, and delivered once it may be deleted."""
    with small_disk(fault.folder / "disk", "4m") as disk:
        journals = {"TRAINSTORE_JOURNAL_DIR": str(disk / "journals")}
        left = fault.start(env=journals, count=None, interval=1_000)
        left.wait_for(300)
        left.kill()
        remount(disk, "ro")
        for _ in fault.times(short=1, long=5):
            producer = fault.start(env=journals, count=10)
            producer.end(code=1)
            assert "Read-only file system" in producer.stderr
            assert JournalError.__name__ in producer.stderr
        monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(disk / "journals"))
        with TrainStore(fault.url) as store:
            assert list(store.recovered.failed.values()) == ["Read-only file system"]
        remount(disk, "rw")
        fault.verify(left, status="lost")


def test_the_journals_folder_is_closed(fault: Fault) -> None:
    """For a while, under the hands of a writer: log() does not notice; afterwards everything is stored."""
    journals = fault.folder / "journals"
    for _ in fault.times(short=1, long=20):
        producer = fault.start(
            before=(blind() if fault.backend == "sqlite" else bound()) + SHORT_LIMITS,
            count=None,
            rate=1_000,
            then_at=10**9,
        )
        producer.wait_for(200)
        with locked(fault.url):
            producer.wait_for(producer.reported.numbers[-1] + 500)
            journals.chmod(0o000)
        try:
            producer.wait_for(producer.reported.numbers[-1] + 1_000)
        finally:
            journals.chmod(0o700)
        producer.wait_for(producer.reported.numbers[-1] + 100)
        producer.kill()
        assert "Traceback" not in producer.stderr
        fault.verify(producer, status="lost")


@pytest.mark.parametrize("whole", [True, False], ids=["one segment", "many segments"])
def test_the_journals_folder_is_deleted(fault: Fault, whole: bool) -> None:
    """By a user who makes room: what this process has open is stored nevertheless, of the rest a gap tells."""
    journals = fault.folder / "journals"
    for _ in fault.times(short=1, long=20):
        producer = fault.start(
            count=1_200, rate=1_000, before=SHORT_LIMITS, segment_bytes=10**9 if whole else 20_000, hold=True
        )
        producer.wait_for(200)
        with locked(fault.url):
            producer.wait_for(producer.reported.numbers[-1] + 300)
            shutil.rmtree(journals)
            eventually(lambda producer=producer: "was deleted" in producer.stderr, "the warning")
            producer.wait_for("produced")
        producer.go_on()
        reported = producer.end()
        assert reported is not None
        assert reported.stored
        assert producer.stderr.count("was deleted") == 1
        fault.verify(producer, status="finished", gaps=not whole)


def test_nobody_else_may_read_a_journal(fault: Fault) -> None:
    """Folders are 0700 and files 0600, under umask 000 too, those that had to be made above as well."""
    above = fault.folder / "state" / "deep"
    for _ in fault.times(short=1, long=5):
        producer = fault.start(
            env={"TRAINSTORE_JOURNAL_DIR": str(above / "journals")}, before="import os; os.umask(0)", count=None
        )
        producer.wait_for(500)
        producer.signal(19)  # SIGSTOP, while they are looked at
        time.sleep(0.1)
        found = [fault.folder / "state", *(fault.folder / "state").rglob("*")]
        assert any(path.suffix == ".seg" for path in found)
        for path in found:
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path
        producer.kill()
        shutil.rmtree(fault.folder / "state")


@pytest.mark.parametrize("backend_name", ["sqlite"])
def test_a_copy_is_as_private_as_the_file(fault: Fault) -> None:
    """The one that is made before an upgrade, whatever the umask is."""
    fault.injected()
    path = Path(str(make_url(fault.url).database))
    path.chmod(0o600)
    before = os.umask(0)
    try:
        with opened(fault.url) as (engine, backend, _), backend.migration_transaction(engine, "") as connection:
            copy = backend.copy_before_upgrade(connection, "head")
    finally:
        os.umask(before)
    assert copy is not None
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("backend_name", ["sqlite"])
@pytest.mark.skipif(os.geteuid() != 0, reason="not tested: only root may give files to another user")
def test_the_journals_of_another_user(fault: Fault) -> None:
    """In one folder for all: what may not be read is left alone, and does not hide one's own."""
    for _ in fault.times(short=1, long=20):
        other = fault.start(count=None, interval=1_000)
        own = fault.start(count=None, interval=1_000, before=blind())
        for producer in (other, own):  # before any of them ends: the other would deliver its records
            producer.wait_for(200)
        for producer in (other, own):
            producer.kill()
        folders = {meta.parent for meta in (fault.folder / "journals").glob("*/*/meta.json")}
        (theirs,) = (folder for folder in folders if other.run in (folder / "meta.json").read_text())
        for path in (theirs, *theirs.iterdir()):
            os.chown(path, 65534, 65534)
        assert "recovered 1" in read(fault.url, blind())
        assert theirs.is_dir()
        # By a user who may, root: theirs too.
        fault.verify(own, other, status="lost")
