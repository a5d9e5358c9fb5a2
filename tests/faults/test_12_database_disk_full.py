"""The disk of the database is full

Fault 12 of docs/guarantees.md. SQLite: the file's disk; PostgreSQL: that of the database's tablespace (a server whose
WAL finds no room stops, which is number 6). The journals lie on another disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from faults.disks import Ballast, free, small_disk
from faults.network import SHORT_LIMITS
from faults.oracle import Fault, Producer
from faults.servers import PrivateServer, private_server
from fixtures.databases import migrate
from trainstore.store import TrainStore

#: Bytes for the records, until the disk is full. A transaction must find room in it, or there is not even the run.
LEFT = {"sqlite": 300_000, "postgresql": 1_000_000}


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateServer]:
    with private_server() as started:
        yield started


@contextmanager
def nearly_full(fault: Fault, request: pytest.FixtureRequest, empty: str, index: int) -> Iterator[tuple[str, Ballast]]:
    """A store on a small disk, a copy of ``empty``, and what fills that disk."""
    place = fault.folder / f"disk{index}"
    if fault.backend == "sqlite":
        with small_disk(place, "16m"):
            moved = place / "store.db"
            shutil.copyfile(str(make_url(empty).database), moved)
            yield f"sqlite:///{moved}", Ballast(place, LEFT[fault.backend])
        return
    server: PrivateServer = request.getfixturevalue("server")
    # Not below pytest's folder, into which the server's user may not go.
    place = server.folder.parent / f"disk{index}-{fault.tally.test}".replace("[", "-").replace("]", "")
    with small_disk(place, "48m"):
        shutil.chown(place, server.folder.owner())
        place.chmod(0o700)
        name = f"small_{index}_{os.urandom(4).hex()}"
        server.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE {name}")
        try:
            migrate(server.url_of(name))
            server.execute("CHECKPOINT")
            yield server.url_of(name), Ballast(place, LEFT[fault.backend])
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
            server.execute(f"DROP TABLESPACE {name}")


def until_full(producer: Producer) -> None:
    """Wait until the store said that it cannot write any more."""
    number = 0
    while "cannot be written" not in producer.stderr:
        producer.wait_for(number)
        number += 50


def test_room_comes_back(fault: Fault, request: pytest.FixtureRequest) -> None:
    """One warning; training goes on, reading too; when there is room everything is stored once."""
    empty = fault.url
    for index in fault.times(short=1, long=10):
        with nearly_full(fault, request, empty, index) as (fault.url, ballast):
            producer = fault.start(count=None, rate=1_500, before=SHORT_LIMITS, then_at=10**9)
            until_full(producer)
            producer.wait_for(producer.reported.numbers[-1] + 300)
            with TrainStore(fault.url) as store:
                assert producer.run in set(store.list_runs()["uid"])
                stored = len(store.list_step_logs(producer.run))
            assert 0 < stored < len(producer.reported.numbers)
            ballast.throw_off()
            while "is reached again" not in producer.stderr:
                producer.wait_for(producer.reported.numbers[-1] + 50)
            producer.kill()
            assert producer.stderr.count("cannot be written") == 1
            assert "disk is full" in producer.stderr or "no space left on its disk" in producer.stderr
            assert "Traceback" not in producer.stderr
            fault.verify(producer, status="lost")


def test_the_end_comes_first(fault: Fault, request: pytest.FixtureRequest) -> None:
    """finish() answers False, the process ends with 0 and names the journal, which stays until there is room."""
    empty = fault.url
    for index in fault.times(short=1, long=10):
        with nearly_full(fault, request, empty, index) as (fault.url, ballast):
            producer = fault.start(count=4_000, before=SHORT_LIMITS, finish_timeout=0.5, close=False)
            reported = producer.end()
            assert reported is not None
            assert not reported.stored
            assert "trainstore recover" in producer.stderr
            for _ in range(2):
                with TrainStore(fault.url) as store:
                    assert producer.run in set(store.list_runs()["uid"])
                    assert len(store.recovered.failed) == 1
            ballast.throw_off()
            fault.verify(producer, status="finished")


@pytest.mark.parametrize("backend_name", ["sqlite"])
def test_the_file_may_not_grow(fault: Fault) -> None:
    """A limit on the size of files, where no disk can be mounted: what SQLite calls an error of the disk."""
    for _ in fault.times(short=1, long=20):
        size = Path(str(make_url(fault.url).database)).stat().st_size
        before = f"""
{SHORT_LIMITS}
import resource
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size} + 50_000, most))
"""
        again = "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))"
        producer = fault.start(count=3_000, rate=1_500, before=before, then_at=2_000, then=again)
        producer.end()
        assert producer.stderr.count("cannot be written") == 1
        assert producer.stderr.count("is reached again") == 1
        fault.verify(producer, status="finished")


def test_the_disks_here_are_small(tmp_path: Path) -> None:
    """What the other tests rely on: a disk that refuses what is too much for it."""
    with small_disk(tmp_path / "disk", "1m") as place:
        Ballast(place, 4_096)
        assert free(place) <= 8_192
        with pytest.raises(OSError, match="No space"):
            (place / "more").write_bytes(bytes(100_000))
