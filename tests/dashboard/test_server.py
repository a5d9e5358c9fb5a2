"""``trainstore ui`` as a process: where it listens, what it shows others, how it ends, what it outlives."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import socket
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from sqlalchemy import text

import trainstore.backends
from dashboard.serving import API, fill
from fixtures.databases import migrate, opened
from fixtures.processes import Script
from migrations.test_scalarstop import PREFIX, written_by_scalarstop
from recording.proxy import Proxy
from recording.support import eventually
from trainstore.cli.ui import ui as ui_command
from trainstore.dashboard import serve
from trainstore.dashboard.protocol import HEAD_LIMIT
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.security import HEADERS
from trainstore.dashboard.sockets import PORT, bound_sockets, unix_socket
from trainstore.errors import InvalidArgumentError, SchemaOutdatedError, TrainStoreError
from trainstore.store import TrainStore

UI = "import sys; from trainstore.cli import main; main(['ui', *sys.argv[1:]])"
WAIT = 60  # seconds; generous, as it only ends a test that is broken


class Ui:
    """A running dashboard."""

    def __init__(self, script: Script, unix: Path | None = None) -> None:
        self.script, self._unix = script, unix
        self.link = script.wait_for("  http").strip()
        script.wait_for("  Ctrl-C")

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.link).port or 0

    @property
    def token(self) -> str:
        """The token in its link."""
        return urlsplit(self.link).fragment.partition("token=")[2]

    def connect(self) -> socket.socket:
        """A connection of its own."""
        if self._unix is None:
            return socket.create_connection(("127.0.0.1", self.port), WAIT)
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(WAIT)
        made.connect(str(self._unix))
        return made

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        with closing(HTTPConnection("localhost")) as connection:
            connection.sock = self.connect()
            given = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request("GET", path, headers=given | headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def json(self, route: str) -> Any:
        """What a route of the API answers."""
        return json.loads(self.get(f"{API}/{route}")[2])

    def end(self, number: int = signal.SIGTERM) -> str:
        """Tell it to end; what it wrote to standard error."""
        os.kill(self.script.pid, number)
        self.script.finish()
        return self.script.stderr


@pytest.fixture
def ui(start_script: Callable[..., Script]) -> Callable[..., Ui]:
    """Start ``trainstore ui`` with arguments."""

    def start(*arguments: object, **options: Any) -> Ui:
        unix = Path(str(arguments[arguments.index("--uds") + 1])) if "--uds" in arguments else None
        port = [] if "--port" in arguments or unix else ["--port", 0]
        return Ui(start_script(UI, *arguments, *(port if options.pop("any_port", True) else []), **options), unix)

    return start


@pytest.fixture
def failing(start_script: Callable[..., Script]) -> Callable[..., str]:
    """Start ``trainstore ui``, which fails: its one line on standard error."""

    def start(*arguments: object, code: int = 1, **options: Any) -> str:
        script = start_script(UI, *arguments, **options)
        script.finish(code=code)
        assert "Traceback" not in script.stderr
        return script.stderr.strip().splitlines()[-1]

    return start


def test_a_store_is_shown_until_the_process_is_told_to_end(ui: Callable[..., Ui], recorded_url: str):
    """It says where, and ends quietly; the port is free again."""
    shown = ui(recorded_url, "--no-open")
    assert shown.link == f"http://127.0.0.1:{shown.port}/"
    assert shown.get("/")[0] == 200
    assert shown.json("meta")["runs"] == 3
    assert shown.end() == ""
    with pytest.raises(ConnectionRefusedError):
        shown.connect()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_it_ends_quietly_at_any_signal(ui: Callable[..., Ui], recorded_url: str, number: int):
    """Also while a client has a connection open."""
    shown = ui(recorded_url)
    with shown.connect():
        assert shown.end(number) == ""


def test_both_kinds_of_loopback_lead_to_it(ui: Callable[..., Ui], new_database: Callable[..., str]):
    """A browser that takes localhost for IPv6 must not see another program's page."""
    shown = ui(new_database("sqlite"))
    with socket.create_connection(("127.0.0.1", shown.port), WAIT):
        pass
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return  # no IPv6 here
    with socket.create_connection(("::1", shown.port), WAIT):
        pass


def test_localhost_may_mean_ipv6_first(monkeypatch: pytest.MonkeyPatch):
    """It is still one socket of each kind, on one port."""
    look_up = socket.getaddrinfo

    def ipv6_first(host: Any, port: int, *given: Any, **named: Any) -> Any:
        return look_up("::1" if host == "localhost" else host, port, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", ipv6_first)
    with ExitStack() as opened:
        first, *others = map(opened.enter_context, bound_sockets("localhost", 0))
        assert first.family == socket.AF_INET
        assert all(other.getsockname()[1] == first.getsockname()[1] for other in others)


def test_a_port_that_is_taken_is_passed_over(ui: Callable[..., Ui], new_database: Callable[..., str]):
    """Unless the user has named it: then it is an error."""
    url = new_database("sqlite")
    first = ui(url, any_port=False)
    second = ui(url, any_port=False)
    assert second.port > first.port >= PORT
    assert any("taken" in line for line in second.script.lines)
    assert first.get("/")[0] == second.get("/")[0] == 200


def test_a_named_port_that_is_taken_is_an_error(failing: Callable[..., str], new_database: Callable[..., str]):
    """Nothing listens anywhere else then."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = failing(new_database("sqlite"), "--port", port)
    assert f"port {port} is taken" in said
    assert "--port" in said
    assert "shows" not in said


def test_two_dashboards_show_one_store(ui: Callable[..., Ui], recorded_url: str):
    """While something is recorded into it."""
    both = [ui(recorded_url), ui(recorded_url)]
    with TrainStore(recorded_url) as store, store.start_run(name="new") as run:
        run.log({"loss": 1.0})
        run.flush()
        for shown in both:
            assert shown.json("meta")["runs"] == 4


# --- Other users of the machine --------------------------------------------------------------------------------------


def test_a_socket_in_the_file_system_is_for_one_user(
    ui: Callable[..., Ui], new_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its mode is 0600 from the first moment on, whatever the umask; it is gone at the end."""
    path = tmp_path / "ui.sock"
    old = os.umask(0)
    try:
        shown = ui(new_database("sqlite"), "--uds", path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert shown.get("/")[0] == 200
    assert any(f"-L {PORT}:{path}" in line for line in shown.script.lines)
    assert list(tmp_path.glob(".trainstore-*")) == []
    shown.end()
    assert not path.exists()


def test_a_socket_that_was_left_behind_is_replaced(
    ui: Callable[..., Ui], failing: Callable[..., str], new_database: Callable[..., str], tmp_path: Path
):
    """But none that another dashboard listens on, and no file that is none."""
    url, path = new_database("sqlite"), tmp_path / "ui.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    shown = ui(url, "--uds", path)
    assert "another program listens" in failing(url, "--uds", path)
    assert shown.get("/")[0] == 200
    file = tmp_path / "notes.txt"
    file.write_text("keep")
    assert "is no socket" in failing(url, "--uds", file)
    assert file.read_text() == "keep"
    assert "no socket can be made" in failing(url, "--uds", tmp_path / "nowhere" / "ui.sock")


def test_an_error_while_serving_is_not_one_of_the_socket(tmp_path: Path):
    """It is told as it is, and the socket is gone."""
    path = tmp_path / "ui.sock"

    def serve_there() -> None:
        with unix_socket(path):
            assert path.exists()
            raise OSError("too many open files")

    with pytest.raises(OSError, match="too many open files"):
        serve_there()
    assert not path.exists()


def test_a_socket_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nobody can tell then whether a program listens there."""
    path = tmp_path / "ui.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    told = r"no socket can be made at .*ui\.sock: Permission denied"
    with pytest.raises(TrainStoreError, match=told), unix_socket(path):
        pass
    assert path.exists()


BROWSER = """#!{python}
import os, sys
from urllib.parse import unquote, urlsplit
path = unquote(urlsplit(sys.argv[1]).path)
with open({log!r}, "w") as log:
    print(sys.argv[1], *(oct(os.stat(p).st_mode & 0o777) for p in (path, os.path.dirname(path))), file=log)
    print(open(path).read(), file=log)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            print(open(f"/proc/{{pid}}/cmdline", "rb").read().replace(b"\\0", b" "), file=log)
        except OSError:
            pass
os.rename({log!r}, {log!r} + ".done")
"""


def test_a_token_stands_in_no_list_of_processes(
    ui: Callable[..., Ui], new_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The browser is given a file that only this user can read, which leads on and is gone at the end."""
    browser, log = tmp_path / "browser", tmp_path / "log"
    browser.write_text(BROWSER.format(python=sys.executable, log=str(log)))
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{shlex.quote(str(browser))} %s")
    shown = ui(new_database("sqlite"), "--edit", libraries=None)
    done = tmp_path / "log.done"
    eventually(done.exists, "the browser's log")
    first, *rest = done.read_text().splitlines()
    address, *modes = first.split()
    assert modes == ["0o600", "0o700"]
    assert address.startswith("file:///")
    page, processes = rest[0], rest[1:]
    assert shown.token in page
    assert any("browser" in line for line in processes)  # it has seen itself
    assert not [line for line in processes if shown.token in line]
    redirect = Path(urlsplit(address).path)
    assert redirect.exists()
    shown.end()
    assert not redirect.parent.exists()


def test_without_a_token_the_browser_gets_the_address(
    ui: Callable[..., Ui], new_database: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """There is nothing to hide; a project to begin with is part of it."""
    monkeypatch.setenv("BROWSER", f"sh -c 'echo %s > {tmp_path}/part && mv {tmp_path}/part {tmp_path}/address'")
    shown = ui(new_database("sqlite"), "--project", "a b&c")
    address = tmp_path / "address"
    eventually(address.exists, "the browser's log")
    assert address.read_text().strip() == shown.link
    assert shown.link.endswith("#/runs?project=a%20b%26c")


def test_without_a_browser_the_address_is_printed(
    ui: Callable[..., Ui], new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    """And nothing else happens."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    shown = ui(new_database("sqlite"))
    assert shown.get("/")[0] == 200
    assert shown.end() == ""


def test_a_token_file_is_made_for_one_user_and_kept(
    ui: Callable[..., Ui], failing: Callable[..., str], new_database: Callable[..., str], tmp_path: Path
):
    """So that a bookmark stays good. One that others can read is refused, and so is one without a token."""
    url, file = new_database("sqlite"), tmp_path / "token"
    first = ui(url, "--token-file", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() == first.token
    assert first.get(f"{API}/meta")[0] == 200
    assert first.get(f"{API}/meta", Authorization="Bearer wrong")[0] == 401
    first.end()
    assert ui(url, "--token-file", file).token == first.token
    file.chmod(0o640)
    assert "chmod 600" in failing(url, "--token-file", file)
    file.chmod(0o600)
    for content in (b"short\n", b"\xff\xfe no text but long enough"):
        file.write_bytes(content)
        assert "holds no token" in failing(url, "--token-file", file)


def test_a_token_of_the_environment_is_used(
    ui: Callable[..., Ui],
    failing: Callable[..., str],
    new_database: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
):
    """For services, which have no one to read a printed link."""
    monkeypatch.setenv("TRAINSTORE_UI_TOKEN", "from-the-environment")
    shown = ui(new_database("sqlite"))
    assert shown.token == "from-the-environment"
    assert shown.get(f"{API}/meta", Authorization="")[0] == 401
    monkeypatch.setenv("TRAINSTORE_UI_TOKEN", "short")
    assert "TRAINSTORE_UI_TOKEN holds no token" in failing(new_database("sqlite"))


def test_a_server_for_others_needs_a_token_and_says_what_it_lacks(
    ui: Callable[..., Ui], new_database: Callable[..., str]
):
    """Its link has this machine's name."""
    shown = ui(new_database("sqlite"), "--host", "0.0.0.0", "--allow-host", "box.example")
    assert shown.token
    assert urlsplit(shown.link).hostname == socket.gethostname().lower()
    assert any("not encrypted" in line for line in shown.script.lines)
    assert shown.get(f"{API}/meta", Authorization="")[0] == 401
    assert shown.get(f"{API}/meta", Host="box.example")[0] == 200
    assert shown.get(f"{API}/meta", Host="evil.example")[0] == 400


# --- Clients ---------------------------------------------------------------------------------------------------------


def test_a_client_that_hangs_keeps_nobody_else_waiting(ui: Callable[..., Ui], recorded_url: str):
    """Whether it says nothing, half of a request, half of a body, or takes no answer."""
    shown = ui(recorded_url)
    half = (
        f"POST {API}/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
    )
    asks = f"GET {API}/columns HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
    hanging = []
    for said in ("", "GET / HTTP/1.1\r\nHost: loc", half, half, half, half, half, asks, asks, asks):
        hanging.append(shown.connect())
        hanging[-1].sendall(said.encode())
    assert shown.get("/")[0] == 200
    assert shown.json("meta")["runs"] == 3
    assert len(shown.json("runs")["columns"][0]["values"]) == 3
    assert shown.end() == ""
    for connection in hanging:
        connection.close()


def test_a_client_that_hangs_up_stops_what_is_read_for_it(
    ui: Callable[..., Ui], recorded_once: Any, new_database: Callable[..., str]
):
    """The statement is cancelled on the server long before its time is over."""
    url = new_database("postgresql", template=recorded_once("postgresql", fill))
    shown = ui(url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with opened(url) as database, database.engine.connect() as locking, database.engine.connect() as watching:
        watching.execution_options(isolation_level="AUTOCOMMIT")
        locking.execute(text("LOCK TABLE run IN ACCESS EXCLUSIVE MODE"))
        with shown.connect() as client:
            client.sendall(f"GET {API}/runs HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            eventually(lambda: watching.scalar(text(waiting)) == 1, "the read that waits")
        eventually(lambda: watching.scalar(text(waiting)) == 0, "the end of the read")
        locking.rollback()
    assert shown.json("meta")["runs"] == 3


def test_an_address_that_is_too_long_is_told_what_to_do(ui: Callable[..., Ui], new_database: Callable[..., str]):
    """Five hundred runs fit; what does not is asked for with a body."""
    shown = ui(new_database("sqlite"))
    runs = "&".join(f"runs={number:036}" for number in range(500))
    assert shown.get(f"{API}/series?metrics=loss&{runs}")[0] == 404  # there is no such run
    with shown.connect() as connection:
        connection.sendall(f"GET {API}/runs?q={'x' * HEAD_LIMIT}".encode())
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 431")
    assert "POST" in answer
    assert all(f"{name.lower()}: {value}\r\n" in answer for name, value in HEADERS.items())
    with shown.connect() as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Content-Security-Policy".lower() in answer.lower()


def test_requests_are_told_without_what_they_ask_for(ui: Callable[..., Ui], recorded_url: str):
    """A log must not hold what stands in a filter."""
    shown = ui(recorded_url, "--log-requests")
    assert shown.get(f"{API}/runs?q=hidden")[0] == 200
    assert shown.get("/%1b%5B31mred")[0] == 404
    said = shown.end()
    assert f"GET {API}/runs 200 " in said
    assert "hidden" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
        (["--host", "192.0.2.1"], "192.0.2.1"),
        (["--host", ""], "0.0.0.0"),
        (["--token-file", "/nowhere/token"], "no token can be kept at /nowhere/token"),
        (["--allow-host", "box:8520"], "'box:8520' is no name of a server"),
    ],
)
def test_what_cannot_be_used_is_named(
    failing: Callable[..., str], new_database: Callable[..., str], arguments: list[str], words: str
):
    """In one line."""
    said = failing(new_database("sqlite"), *arguments)
    assert said.startswith("Error: ")
    assert words in said


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"allow_hosts": "box"}, r"allow_hosts 'box' is one text: pass a list"),
        ({"allow_hosts": ["http://box"]}, "'http://box' is no name of a server"),
        ({"allow_hosts": [""]}, "'' is no name of a server"),
        ({"port": 70_000}, "port 70000 is no whole number from 0 to 65,535"),
        ({"port": -1}, "port -1"),
        ({"port": True}, "port True"),
        ({"port": "8520"}, "port '8520'"),
        ({"host": ""}, "host '' is no address"),
    ],
)
def test_what_python_cannot_serve_is_named(new_database: Callable[..., str], given: dict[str, Any], told: str):
    """Before anything is opened, with what to pass instead."""
    with pytest.raises(InvalidArgumentError, match=told):
        serve(new_database("sqlite"), **given)


def test_the_store_is_never_opened_to_write(recorded_url: str, monkeypatch: pytest.MonkeyPatch):
    """Not even to see whether it is there."""
    opened: list[bool] = []
    open_backend = trainstore.backends.open_backend

    def watched(*given: Any, read_only: bool = False, **named: Any) -> Any:
        opened.append(read_only)
        return open_backend(*given, read_only=read_only, **named)

    monkeypatch.setattr("trainstore.backends.open_backend", watched)
    monkeypatch.setattr("trainstore.dashboard.serve", lambda *_, **__: None)
    answer = CliRunner().invoke(ui_command, [recorded_url])
    assert answer.exit_code == 0, answer.output
    assert opened == [True]


# --- Stores ----------------------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_an_error(failing: Callable[..., str], empty_database_url: str, tmp_path: Path):
    """Nothing is created."""
    said = failing(empty_database_url)
    assert "there is no store" in said or "has no trainstore tables" in said
    assert "--store" in said
    assert failing(tmp_path / "none.db").startswith("Error: there is no store")
    assert not (tmp_path / "none.db").exists()


def test_the_store_is_named_as_everywhere(
    ui: Callable[..., Ui], failing: Callable[..., str], recorded_url: str, monkeypatch: pytest.MonkeyPatch
):
    """By argument, option or variable, with its prefix; not twice."""
    assert ui("--store", recorded_url).json("meta")["runs"] == 3
    monkeypatch.setenv("TRAINSTORE_URL", recorded_url)
    assert ui().json("meta")["runs"] == 3
    assert "Name the store once" in failing(recorded_url, "--store", recorded_url, code=2)
    assert "the prefix other_" in failing("--prefix", "other_")
    with TrainStore(recorded_url, table_name_prefix="other_") as store:
        store.start_run().finish()
    assert ui("--prefix", "other_").json("meta")["runs"] == 1


def test_a_database_of_scalarstop_is_shown_once_it_is_a_store(
    ui: Callable[..., Ui], failing: Callable[..., str], empty_database_url: str
):
    """Before that, the error says how it becomes one; looking changes nothing."""
    written_by_scalarstop(empty_database_url, "4.0.0", PREFIX)
    assert "trainstore db upgrade" in failing(empty_database_url, "--prefix", PREFIX)
    migrate(empty_database_url, PREFIX)
    assert ui(empty_database_url, "--prefix", PREFIX).json("meta")["store"]["prefix"] == PREFIX


def test_a_newer_schema_is_an_error(failing: Callable[..., str], database_url: str):
    """It says what to upgrade; nothing is changed."""
    with opened(database_url) as database, database.engine.begin() as connection:
        connection.execute(text("UPDATE trainstore_version SET version_num = '9999'"))
    assert "pip install -U trainstore" in failing(database_url)


def test_an_older_schema_is_an_error(recorded_url: str, newer_trainstore: Any):
    """It says what to upgrade; nothing is changed."""
    with newer_trainstore(), pytest.raises(SchemaOutdatedError, match="trainstore db upgrade"):
        Reading(recorded_url)


def test_a_schema_that_changes_meanwhile_is_told(ui: Callable[..., Ui], recorded_url: str):
    """The page says that this version is too old, not that something is broken."""
    shown = ui(recorded_url)
    assert shown.json("meta")["runs"] == 3
    with opened(recorded_url) as database, database.engine.begin() as connection:
        connection.execute(text("UPDATE trainstore_version SET version_num = '9999'"))
        connection.execute(text("ALTER TABLE run RENAME COLUMN notes TO remarks"))
    status, _, body = shown.get(f"{API}/runs")
    assert (status, json.loads(body)["error"]["code"]) == (503, "schema")


def test_a_database_that_goes_away_comes_back(
    ui: Callable[..., Ui], recorded_once: Any, new_database: Callable[..., str]
):
    """Meanwhile the page is told when to ask again."""
    proxy = Proxy(new_database("postgresql", template=recorded_once("postgresql", fill)))
    proxy.up()
    shown = ui(proxy.url)
    assert "hidden-word" not in "".join(shown.script.lines)
    assert shown.json("meta")["runs"] == 3
    proxy.down()
    status, headers, body = shown.get(f"{API}/meta")
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (503, "away")
    assert int(headers["retry-after"]) > 0
    assert "hidden-word" not in error["message"]
    assert shown.get("/")[0] == 200
    proxy.up()
    assert shown.json("meta")["runs"] == 3
    assert shown.end() == ""
    proxy.down()


def test_a_file_that_is_locked_is_told(ui: Callable[..., Ui], recorded_once: Any, new_database: Callable[..., str]):
    """And read again once it is free."""
    url = new_database("sqlite", template=recorded_once("sqlite", fill))
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")  # with WAL, nobody can keep readers out
        shown = ui(url)
        other.execute("BEGIN EXCLUSIVE")
        status, _, body = shown.get(f"{API}/meta")
        assert (status, json.loads(body)["error"]["code"]) == (503, "away")
        assert "locked" in json.loads(body)["error"]["message"]
        other.execute("ROLLBACK")
        assert shown.json("meta")["runs"] == 3


def test_a_file_that_is_deleted_and_comes_back(
    ui: Callable[..., Ui], recorded_once: Any, new_database: Callable[..., str]
):
    """It is not created by looking."""
    url = new_database("sqlite", template=recorded_once("sqlite", fill))
    path = Path(url.removeprefix("sqlite:///"))
    shown = ui(url)
    assert shown.json("meta")["runs"] == 3
    away = path.rename(path.with_suffix(".away"))
    status, _, body = shown.get(f"{API}/meta")
    assert (status, json.loads(body)["error"]["code"]) == (503, "away")
    assert not path.exists()
    away.rename(path)
    assert shown.json("meta")["runs"] == 3


def test_the_extra_that_is_missing_is_named(
    failing: Callable[..., str], new_database: Callable[..., str], tmp_path: Path
):
    """Without Starlette there is one line, which says what to install."""
    without = tmp_path / "without"
    without.mkdir()
    (without / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('starlette', 'uvicorn'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    path = os.pathsep.join([str(without), os.environ.get("PYTHONPATH", "")])
    said = failing(new_database("sqlite"), env={**os.environ, "PYTHONPATH": path}, libraries=None)
    assert "pip install 'trainstore[ui]'" in said
