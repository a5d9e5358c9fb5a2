"""SQLite files of others are read as of one moment, and nothing in them or beside them changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from faults.disks import remount, small_disk
from trainstore.backends import sqlite_moment, sqlite_source
from trainstore.backends.sqlite_source import check_unchanged, open_source, tables
from trainstore.errors import SourceError

#: Writes transactions without a pause, each of them two rows that belong together, and says so after the first.
WRITER = """
import random, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
connection.execute("PRAGMA wal_autocheckpoint = 20")
connection.execute("PRAGMA synchronous = OFF")
while True:
    connection.execute("BEGIN IMMEDIATE")
    number = random.randrange(1 << 40)
    connection.execute("INSERT INTO pair VALUES (?, randomblob(3000))", (number,))
    connection.execute("UPDATE pair SET pad = randomblob(2000) WHERE rowid % 50 = 7")
    connection.execute("INSERT INTO pair VALUES (?, randomblob(3000))", (-number,))
    connection.execute("COMMIT")
    print("wrote", flush=True)
"""
#: Leaves its transaction, or its -wal, as a killed process does.
KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
connection.execute("PRAGMA cache_size = 2")  # pages of the transaction reach the file before its end
connection.execute("BEGIN")
connection.execute("INSERT INTO pair VALUES (1000, 'x')")
if sys.argv[2] == "wal":
    connection.execute("COMMIT")
    connection.execute("BEGIN")
connection.execute("UPDATE pair SET number = 0, pad = randomblob(3500)")
connection.execute("UPDATE pair SET number = 0, pad = randomblob(3500)")
os.kill(os.getpid(), signal.SIGKILL)
"""


def make(path: Path, rows: int = 200) -> Path:
    """A file whose table has numbers that add up to 0."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE pair (number REAL, pad BLOB)")
        for number in range(1, rows // 2 + 1):
            connection.executemany("INSERT INTO pair VALUES (?, randomblob(2000))", [(number,), (-number,)])
        connection.commit()
    return path


def age(folder: Path) -> None:
    """Let the files be two hours old."""
    for path in folder.iterdir():
        status = path.stat()
        os.utime(path, (status.st_atime, status.st_mtime - 7200))


def fingerprint(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Everything about a folder that must stay, the folder's own time included."""
    found: dict[str, tuple[Any, ...]] = {".": (folder.stat().st_mtime_ns, folder.stat().st_ctime_ns)}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[path.name] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, digest)
    return found


def numbers(connection: Connection) -> list[float]:
    return [row[0] for row in connection.exec_driver_sql("SELECT number FROM pair ORDER BY number")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "foreign"
    made.mkdir()
    return made


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, to see what is left in it."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


def killed(path: Path, mode: str) -> None:
    process = subprocess.run([sys.executable, "-c", KILLED, str(path), mode], check=False)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
def test_a_closed_file_is_read_and_stays_as_it_is(folder: Path, temporary: Path, mode: str, old: bool) -> None:
    """Rows are read; bytes, times and the folder's listing are what they were, and no copy is left."""
    path = make(folder / "foreign.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("INSERT INTO pair VALUES (0, NULL)")
        connection.commit()
    if old:
        age(folder)
    before = fingerprint(folder)
    with open_source(path) as connection:
        assert len(numbers(connection)) == 201
        assert tables(connection) == ["pair"]
        assert ("unchanged" in connection.info) == old
        with pytest.raises(SourceError, match="cannot be read"):
            connection.exec_driver_sql("INSERT INTO pair VALUES (1, 2)")
    assert fingerprint(folder) == before
    assert not list(temporary.iterdir())


def test_an_open_wal_is_read_with_the_file(folder: Path) -> None:
    """What a live process has only in its -wal is read, and its -wal and -shm stay as they are."""
    path = make(folder / "foreign.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO pair VALUES (7000, NULL)")
        writer.commit()
        before = fingerprint(folder)
        with open_source(path) as connection:
            assert numbers(connection)[-1] == 7000
            assert fingerprint(folder) == before
            writer.execute("INSERT INTO pair VALUES (8000, NULL)")
            writer.commit()
            assert numbers(connection)[-1] == 7000, "the moment of the opening"
    assert len(list(folder.iterdir())) == 1, "the writer could tidy up: nobody else held the file"


def test_a_writer_in_this_process_keeps_its_locks(folder: Path) -> None:
    """Reading a file closes no descriptor whose closing would free the locks of another connection here."""
    path = make(folder / "foreign.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with open_source(path) as connection:
            assert len(numbers(connection)) == 200
        check = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        other = subprocess.run([sys.executable, "-c", check, str(path)], capture_output=True, text=True, check=False)
        assert "database is locked" in other.stderr


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_what_a_killed_process_left_is_read_and_not_repaired(folder: Path, mode: str) -> None:
    """A hot -journal is rolled back and a -wal is applied, but in a copy: the files stay for their own program."""
    path = make(folder / "foreign.db")
    killed(path, mode)
    age(folder)
    left = fingerprint(folder)
    assert set(left) == {
        ".",
        "foreign.db",
        *(["foreign.db-wal", "foreign.db-shm"] if mode == "wal" else ["foreign.db-journal"]),
    }
    with open_source(path) as connection:
        found = numbers(connection)
    assert sum(found) == (1000 if mode == "wal" else 0)
    assert len(set(found)) == (201 if mode == "wal" else 200)
    assert fingerprint(folder) == left


def test_a_transaction_over_several_files_is_refused(folder: Path) -> None:
    """Rolling back the copy would delete a file beside the original, so the source is refused, with a way out."""
    path = make(folder / "foreign.db")
    killed(path, "delete")
    with (folder / "foreign.db-journal").open("ab") as journal:
        journal.write(b"/x/y-mj12345" + bytes(8) + sqlite_moment._HOT)
    with pytest.raises(SourceError, match="several files; open it with the program"), open_source(path):
        pass


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
def test_a_file_is_read_whole_while_it_is_written(folder: Path, mode: str, fast_writer: Callable[..., Any]) -> None:
    """Beside a writer without a pause every opening sees whole transactions, in a file that is whole."""
    path = make(folder / "foreign.db")
    writer = fast_writer(path, mode)
    seen = []
    for _ in range(4):
        with open_source(path) as connection:
            found = numbers(connection)
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert sum(found) == 0
            assert len(found) % 2 == 0
            seen.append(len(found))
        assert writer.poll() is None
        writer.stdout.readline()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


@pytest.mark.parametrize("moment", ["checkpoint", "commit", "new wal"])
def test_a_copy_that_saw_half_of_something_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A checkpoint that ends, or a commit, between the copy of the file and that of its -wal is noticed."""
    path = make(folder / "foreign.db")
    writer = sqlite3.connect(path, isolation_level=None)
    if moment != "commit":
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE pair SET pad = randomblob(2000)")
    copies = []
    copy = sqlite_moment._copy

    def copy_then_write(source: int, target: Path) -> None:
        copy(source, target)
        copies.append(target.name)
        if len(copies) == 1:
            if moment == "checkpoint":
                writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if moment == "new wal":
                writer.execute("PRAGMA wal_checkpoint(RESTART)")
            writer.execute("UPDATE pair SET number = number * 2")

    monkeypatch.setattr(sqlite_moment, "_copy", copy_then_write)
    with closing(writer), open_source(path) as connection:
        assert numbers(connection)[-1] == 200
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert copies.count("source.db") == 2


def test_a_file_that_always_changes_is_copied_under_a_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no two looks at it are alike, its writers wait for the time of one copy; a large file is given up."""
    path = make(folder / "foreign.db")
    monkeypatch.setattr(sqlite_moment.State, "allows", lambda _self, _after: False)
    with open_source(path) as connection:
        assert len(numbers(connection)) == 200
    monkeypatch.setattr(sqlite_moment, "LOCKABLE", 1000)
    with pytest.raises(SourceError, match=r"written without a pause.*try again"), open_source(path):
        pass


def test_a_file_read_where_it_is_must_not_change(folder: Path) -> None:
    """A write after the opening is noticed before something is committed, and at the end."""
    path = make(folder / "foreign.db")
    age(folder)
    reading = ExitStack()
    source = reading.enter_context(open_source(path))
    check_unchanged(source)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("INSERT INTO pair VALUES (1, NULL)")
        writer.commit()
    with pytest.raises(SourceError, match="was written while it was read; run it again"):
        check_unchanged(source)
    with pytest.raises(SourceError, match="was written while it was read; run it again"):
        reading.close()
    age(folder)
    source = reading.enter_context(open_source(path))
    shutil.copyfile(path, folder / "other")
    (folder / "other").rename(path)
    with pytest.raises(SourceError, match="was replaced while"):
        check_unchanged(source)
    with pytest.raises(SourceError, match="was replaced while"):
        reading.close()


def test_no_right_to_write_the_folder_is_needed(folder: Path, start_script: Callable[..., Any]) -> None:
    """A folder where nothing may be made, and files that may only be read, even with a -wal."""
    path = make(folder / "foreign.db")
    killed(path, "wal")
    for name in folder.iterdir():
        name.chmod(0o444)
    folder.chmod(0o555)
    before = fingerprint(folder)
    reader = """
        import os, sys
        from pathlib import Path
        from trainstore.backends.sqlite_source import open_source
        if os.geteuid() == 0:
            sys.path.insert(0, sys.argv[2])
            import powers
            powers.give_up()
        print(os.access(sys.argv[1], os.W_OK), os.access(os.path.dirname(sys.argv[1]), os.W_OK))
        with open_source(Path(sys.argv[1])) as source:
            print(source.exec_driver_sql("SELECT count(*) FROM pair").scalar())
    """
    try:
        script = start_script(reader, path, Path(__file__).parents[1] / "faults")
        assert script.finish() == ["False False", "201"]
        assert fingerprint(folder) == before
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_disk_that_is_mounted_read_only(tmp_path: Path, mode: str) -> None:
    """What a killed process left there is read, too."""
    with small_disk(tmp_path / "disk", "4m") as disk:
        path = make(disk / "foreign.db", rows=100)
        killed(path, mode)
        remount(disk, "ro")
        try:
            with open_source(path) as source:
                assert len(numbers(source)) == (101 if mode == "wal" else 100)
        finally:
            remount(disk, "rw")


def test_a_large_file_is_not_copied(folder: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 GB with a hole are read where they are, although they were just written."""
    path = make(folder / "foreign.db")
    with path.open("r+b") as file:
        file.truncate(10 << 30)
    monkeypatch.setattr(sqlite_moment, "_copy", lambda *_: pytest.fail("it was copied"))
    with open_source(path) as connection:
        assert len(numbers(connection)) == 200


def test_holes_are_not_copied(folder: Path, temporary: Path) -> None:
    """A copy takes the room of its data, not of its holes."""
    path = make(folder / "foreign.db")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(900 << 20)
    with open_source(path) as connection:
        assert len(numbers(connection)) == 200
        (copy,) = temporary.rglob("source.db")
        assert copy.stat().st_size == 900 << 20
        assert copy.stat().st_blocks * 512 < size + (1 << 20)


def test_too_little_room_is_said_before_copying(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder and how to name another one."""
    path = make(folder / "foreign.db")
    monkeypatch.setattr(sqlite_moment, "SPARE", 1 << 60)
    with pytest.raises(SourceError, match=r"too little room in .*TMPDIR"), open_source(path):
        pass


def test_what_is_no_readable_database_is_said(folder: Path) -> None:
    """Each kind of wrong file has an error that says what it is; none is made or changed."""
    (folder / "empty.db").touch()
    (folder / "text.db").write_text("not a database " * 100)
    (folder / "encrypted.db").write_bytes(os.urandom(8192))
    (folder / "folder.db").mkdir()
    (folder / "dangling.db").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.db")
    expected = {
        "missing.db": "No such file",
        "empty.db": "is an empty file",
        "text.db": "is not an SQLite database, or it is encrypted",
        "encrypted.db": "is not an SQLite database, or it is encrypted",
        "folder.db": "is not a file",
        "dangling.db": "No such file",
        "pipe.db": "is not a file",
    }
    for name, message in expected.items():
        with pytest.raises(SourceError, match=message) as error, open_source(folder / name):
            pass
        assert name in str(error.value)
    assert not (folder / "missing.db").exists()


@pytest.mark.parametrize("old", [True, False], ids=["in place", "copied"])
def test_a_damaged_file_is_an_error_of_ours(folder: Path, old: bool) -> None:
    """Overwritten pages, a file cut in the middle: each query fails with an error that names the file."""
    path = make(folder / "foreign.db")
    whole = path.read_bytes()
    damages = [
        whole[:100] + b"\xff" * 4000 + whole[4100:],
        whole[: len(whole) // 2],
        whole[:4096] + b"\xff" * len(whole),
    ]
    for damage in damages:
        path.write_bytes(damage)
        if old:
            age(folder)
        with pytest.raises(SourceError, match=r"foreign\.db (is damaged|is not|cannot)"), open_source(path) as source:
            numbers(source)
        assert path.read_bytes() == damage


def test_a_schema_that_is_no_text_is_an_error_of_ours(folder: Path) -> None:
    """SQLite cites the schema in its message, whatever bytes are in it."""
    path = make(folder / "foreign.db")
    whole = path.read_bytes().replace(b"tablepairpair", b"tablep\xc1irpair")
    path.write_bytes(whole.replace(b"CREATE TABLE pair", b"CREATE TABLE (((("))
    with pytest.raises(SourceError, match=r"foreign\.db is damaged"), open_source(path):
        pass


def test_a_query_without_an_end_is_given_up(folder: Path) -> None:
    """The deadline ends a query that would run for ever; the time that its reader takes does not count."""
    path = make(folder / "foreign.db")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with open_source(path, deadline=0.2) as connection:
        with pytest.raises(SourceError, match=r"given up after 0\.2 s"):
            connection.exec_driver_sql(endless)
        rows = connection.exec_driver_sql("SELECT number FROM pair")
        for _ in range(3):
            rows.fetchmany(10)
            threading.Event().wait(0.1)
        assert len(rows.fetchall()) == 170


def test_a_schema_runs_nothing(folder: Path) -> None:
    """Views and virtual tables are no tables, and a generated column cannot call what has effects."""
    path = make(folder / "foreign.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE VIEW runs AS SELECT * FROM pair")
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(word)")
        connection.execute("CREATE TABLE large AS SELECT zeroblob(70000000) AS value")
        connection.commit()
    with open_source(path) as source:
        assert not {"runs", "words"} & set(tables(source))
        assert source.exec_driver_sql("PRAGMA trusted_schema").scalar() == 0
        with pytest.raises(SourceError, match="a value of more than 64 MiB"):
            source.exec_driver_sql("SELECT value FROM large").fetchall()


def test_text_that_is_not_utf8(folder: Path) -> None:
    """It is read with a mark in it, or refused with an error of ours."""
    path = make(folder / "foreign.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT CAST(x'61ff62' AS TEXT) AS word")
        connection.commit()
    with open_source(path) as source:
        assert source.exec_driver_sql("SELECT word FROM t").scalar() == "a�b"
    with open_source(path, lenient=False) as source, pytest.raises(SourceError, match="Could not decode"):
        source.exec_driver_sql("SELECT word FROM t").fetchall()


def test_a_link_leads_to_what_lies_beside_the_file(folder: Path, tmp_path: Path) -> None:
    """A symbolic link to a file is read with the -wal of the file."""
    path = make(folder / "foreign.db")
    killed(path, "wal")
    (tmp_path / "link.db").symlink_to(path)
    with open_source(tmp_path / "link.db") as source:
        assert len(numbers(source)) == 201


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_what_lies_beside_the_file_and_is_no_file_is_refused(folder: Path, tmp_path: Path, ending: str) -> None:
    """A pipe would keep the reader waiting for ever; a link may lead anywhere."""
    path = make(folder / "foreign.db")
    beside = folder / f"{path.name}{ending}"
    os.mkfifo(beside)
    with pytest.raises(SourceError, match="is not a file"), open_source(path):
        pass
    beside.unlink()
    (tmp_path / "elsewhere").write_bytes(b"x" * 100)
    beside.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="symbolic link"), open_source(path):
        pass


def test_a_file_on_a_network_mount_is_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However old it is: another machine may be writing it."""
    path = make(folder / "foreign.db")
    age(folder)
    monkeypatch.setattr(sqlite_source, "network_file_system", lambda _folder: "nfs4")
    with open_source(path) as source:
        assert "unchanged" not in source.info
        assert len(numbers(source)) == 200


@pytest.fixture
def fast_writer() -> Iterator[Callable[[Path, str], Any]]:
    """Start a process that writes without a pause, and stop it at the end."""
    started = []

    def start(path: Path, mode: str) -> Any:
        command = [sys.executable, "-c", WRITER, str(path), mode]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "wrote\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
