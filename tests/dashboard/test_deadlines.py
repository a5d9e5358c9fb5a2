"""Reads end: when their time is over, when nobody waits any more, when the server stops; and not too many wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dashboard.serving import API, client_of
from trainstore.dashboard.app import make_app
from trainstore.dashboard.deadlines import WAITING, Deadline, Lane
from trainstore.dashboard.downloads import DOWNLOADS, Downloads
from trainstore.dashboard.reading import Reading, WatchedStore
from trainstore.dashboard.responses import ApiError
from trainstore.dashboard.security import Access
from trainstore.errors import PermissionDeniedError, StoreClosedError

#: Statements that would take an hour.
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000) "
    "SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(3600)",
}


@pytest.fixture
def endless(backend_name: str) -> Callable[[Reading], Any]:
    """A read that never ends by itself."""

    def read(reading: Reading) -> Any:
        with reading.store.snapshot() as now:
            return now.reader.rows(text(ENDLESS[backend_name]))  # type: ignore[arg-type]

    return read


@pytest.fixture
def brief(recorded_url: str) -> Iterator[Reading]:
    """A store whose light reads have half a second each; the heavy ones have their usual time."""
    reading = Reading(recorded_url)
    reading.light = Lane("brief", at_once=1, seconds=0.5)
    yield reading
    reading.close()


async def stays() -> None:
    """A client that waits as long as it takes."""
    await asyncio.Event().wait()


def test_a_read_ends_with_its_time(brief: Reading, endless: Callable[[Reading], Any]):
    """The answer says so, and the next read works."""
    brief.answers.meta = lambda: endless(brief)  # type: ignore[method-assign]
    api = client_of(brief)
    answer = api.get(f"{API}/meta")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "deadline"
    assert api.get(f"{API}/runs").status_code == 200


def test_a_read_between_statements_ends_with_its_time(brief: Reading):
    """Where the time goes into Python, not into the database."""

    def busy() -> Any:
        with brief.store.snapshot() as now:
            while True:
                now.reader.now()
                now.reader.rows(text("SELECT 1"))  # type: ignore[arg-type]

    brief.answers.meta = busy  # type: ignore[method-assign]
    assert client_of(brief).get(f"{API}/meta").json()["error"]["code"] == "deadline"


def test_a_client_that_goes_away_stops_its_read(reading: Reading, endless: Callable[[Reading], Any]):
    """The statement is cancelled long before its time is over."""
    begun = threading.Event()

    async def leaves() -> None:
        await asyncio.to_thread(begun.wait, 60)
        await asyncio.sleep(0.1)  # the statement has most likely begun; if not, it does not begin

    def read() -> Any:
        begun.set()
        return endless(reading)

    with pytest.raises(ApiError) as caught:
        asyncio.run(reading.light.run(read, leaves))
    assert caught.value.code == "gone"


def test_a_read_that_is_being_stopped_keeps_its_connection_until_then():
    """Otherwise the order to stop could reach the next read on that connection."""
    deadline = Deadline()
    stopping, ended = threading.Event(), threading.Event()
    met_another_read: list[bool] = []

    def stop() -> None:
        stopping.set()
        met_another_read.append(ended.wait(0.3))

    with deadline.stopping(stop):
        thread = threading.Thread(target=deadline.stop)
        thread.start()
        assert stopping.wait(60)
    ended.set()
    thread.join(60)
    assert met_another_read == [False]


def test_stopping_a_read_holds_up_nobody_else(reading: Reading, monkeypatch: pytest.MonkeyPatch):
    """The database may take seconds to hear of it; meanwhile other requests are answered."""
    held_up: list[bool] = []
    stop = Deadline.stop

    def watched(deadline: Deadline) -> None:
        try:
            asyncio.get_running_loop()
            held_up.append(True)
        except RuntimeError:  # a thread without one
            held_up.append(False)
        stop(deadline)

    monkeypatch.setattr(Deadline, "stop", watched)
    release = threading.Event()

    async def main() -> None:
        read = asyncio.ensure_future(reading.light.run(lambda: release.wait(60), stays))
        await asyncio.sleep(0.01)
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        release.set()

    asyncio.run(main())
    assert client_of(reading).get(f"{API}/export").status_code == 200
    assert held_up == [False, False]


def test_reads_end_with_the_server(recorded_url: str, endless: Callable[[Reading], Any]):
    """Closing does not wait for them."""
    reading = Reading(recorded_url)
    begun = threading.Event()
    ended: list[BaseException] = []

    def read() -> Any:
        begun.set()
        return endless(reading)

    def client() -> None:
        try:
            asyncio.run(reading.heavy.run(read, stays))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=client)
    thread.start()
    assert begun.wait(60)
    reading.close()
    thread.join(60)
    assert not thread.is_alive()
    assert isinstance(ended[0], ApiError)


def test_a_shorter_limit_of_the_server_stays(new_database: Callable[..., str]):
    """Who runs PostgreSQL may allow less than we do; we never allow more."""
    url = new_database("postgresql")
    for given, kept in (("10ms", "10ms"), ("0", "30s"), ("1h", "30s"), ("2s", "2s")):
        separator = "&" if "?" in url else "?"
        reading = Reading(f"{url}{separator}options=-cstatement_timeout%3D{given}")
        with reading.store.snapshot() as now:
            found = now.reader.rows(text("SELECT current_setting('statement_timeout')"))[0][0]  # type: ignore[arg-type]
        seconds = {"ms": 0.001, "s": 1}
        unit = "ms" if found.endswith("ms") else "s"
        expected = float(kept.removesuffix("ms").removesuffix("s")) * seconds["ms" if kept.endswith("ms") else "s"]
        assert expected - 1 < float(found.removesuffix(unit)) * seconds[unit] <= expected
        reading.close()


def test_not_too_many_reads_wait():
    """The next one is told to come back; the others are answered."""
    lane = Lane("test", at_once=1)
    release = threading.Event()

    async def main() -> list[Any]:
        reads = [asyncio.ensure_future(lane.run(lambda: release.wait(60), stays)) for _ in range(1 + WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as caught:
            await lane.run(lambda: True, stays)
        assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "1"})
        release.set()
        found = await asyncio.gather(*reads)
        return [*found, await lane.run(lambda: True, stays)]

    assert asyncio.run(main()) == [True] * (2 + WAITING)
    lane.close()


def test_a_client_that_goes_away_leaves_the_queue():
    """Its read never begins, and another one gets its place."""
    lane = Lane("test", at_once=1)
    release, begun = threading.Event(), []

    async def leaves() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        first = asyncio.ensure_future(lane.run(lambda: release.wait(60), stays))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(lane.run(lambda: begun.append(True), leaves))
        with pytest.raises(ApiError):
            await second
        waiting = [asyncio.ensure_future(lane.run(lambda: True, stays)) for _ in range(WAITING)]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, *waiting)

    asyncio.run(main())
    assert begun == []
    lane.close()


def test_light_reads_do_not_wait_behind_heavy_ones(reading: Reading):
    """Live curves go on while long runs are read."""
    release = threading.Event()
    reading.answers.columns = lambda **_: release.wait(60)  # type: ignore[method-assign,assignment]
    api = client_of(reading)
    threads = [threading.Thread(target=api.get, args=(f"{API}/columns",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        assert api.get(f"{API}/meta").status_code == 200
    finally:
        release.set()
        for thread in threads:
            thread.join(60)


@pytest.mark.parametrize("limit", ["DOWNLOAD_SECONDS", "SEND_SECONDS"])
def test_a_download_that_nobody_takes_ends(reading: Reading, monkeypatch: pytest.MonkeyPatch, limit: str):
    """It would hold old rows in the database, and a place; the next ones find both free."""
    monkeypatch.setattr(f"trainstore.dashboard.downloads.{limit}", 0.3)
    app = make_app(reading, Access())
    path = f"{API}/export"
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [(b"host", b"localhost")], "http_version": "1.1", "scheme": "http", "root_path": ""}
    scope["asgi"] = {"version": "3.0", "spec_version": "2.3"}

    async def client() -> None:
        async def takes_nothing(message: Any) -> None:
            if message["type"] == "http.response.body":
                await stays()

        await app(dict(scope), stays, takes_nothing)

    for _ in range(DOWNLOADS + 1):
        with pytest.raises(TimeoutError):
            asyncio.run(client())
    assert reading.store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_no_more_downloads_than_there_are_places(reading: Reading):
    """The next one is told to come back."""
    downloads = Downloads()

    def pieces() -> Any:
        yield b"first"
        yield b"second"

    for _ in range(DOWNLOADS):
        downloads.begin(pieces(), "a.csv", "text/csv")
    with pytest.raises(ApiError) as caught:
        downloads.begin(pieces(), "a.csv", "text/csv")
    assert caught.value.status == 429


def test_a_dashboard_that_may_not_edit_leaves_nothing_open(recorded_url: str, monkeypatch: pytest.MonkeyPatch):
    """If the store that would write is refused, the one that reads is closed, too."""
    opened: list[WatchedStore] = []
    begin = WatchedStore.__init__

    def watched(store: WatchedStore, *arguments: Any, **options: Any) -> None:
        begin(store, *arguments, **options)
        opened.append(store)

    def refuse(*_: object) -> None:
        raise PermissionDeniedError("this user may only read")

    monkeypatch.setattr(WatchedStore, "__init__", watched)
    monkeypatch.setattr("trainstore.dashboard.reading.EditingStore", refuse)
    with pytest.raises(PermissionDeniedError):
        Reading(recorded_url, can_edit=True)
    with pytest.raises(StoreClosedError):
        opened[0].list_runs()


def test_connections_only_read(reading: Reading, backend_name: str):
    """The database itself refuses to write, on every connection that the dashboard has."""
    with reading.store.snapshot() as now, pytest.raises(DBAPIError):
        now.reader.connection.execute(text("UPDATE run SET name = 'x'"))
    with reading.store.engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("INSERT INTO store (uid) VALUES ('x')"))
