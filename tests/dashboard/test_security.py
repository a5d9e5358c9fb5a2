"""Who is answered, what every answer carries, and what a page of another site can do: nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.serving import API, client_of, columns_of, uid_of
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.security import HEADERS, Access, host_name, is_host_name
from trainstore.dashboard.server import Options
from trainstore.store import TrainStore

TOKEN = "a-token-that-is-long-enough"


@pytest.fixture(scope="module")
def reading(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """An empty store, for all tests of this file: who may ask does not depend on what is asked."""
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("security") / "store.db")
    opened = Reading(str(path))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost:8520",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8520",
        "my.host",
        "My.Host:8520",
    ],
)
def test_hosts_of_ours_are_answered(reading: Reading, host: str):
    """This machine's names, on any port, as a tunnel may have another one; and those that were allowed."""
    api = client_of(reading, Access(frozenset({"my.host"})), Host=host)
    assert api.get(f"{API}/meta").status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "evil.localhost",
        "",
        "localhost, evil.example",
        "localhost@evil.example",
        "evil.example@localhost",
        "evil.example/localhost",
        "localhost:x",
        "localhost:99999",
        "[::1",
        "::1",
        "10.0.0.1",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "localhost.",
    ],
)
@pytest.mark.parametrize("path", ["/", f"{API}/meta", "/nothing"])
def test_other_hosts_are_refused(reading: Reading, host: str, path: str):
    """Before anything else: such a request comes from a page whose name was made to point here."""
    api = client_of(reading, Host=host)
    answer = api.get(path)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "host"


def test_two_hosts_and_none_are_refused(reading: Reading):
    """A proxy and we could each believe another one."""
    api = client_of(reading)
    assert api.get("/", headers=[("Host", "localhost"), ("Host", "localhost")]).status_code == 400
    assert host_name("") is None


def test_a_server_for_all_addresses_is_called_by_any_of_them(reading: Reading):
    """But by no other name: a page cannot be made to come from an address that is not its own."""
    access = Access(any_address=True)
    for host, status in (("10.1.2.3:8520", 200), ("[fe80::1]", 200), ("evil.example", 400), ("10.1.2.3.evil", 400)):
        assert client_of(reading, access, Host=host).get("/").status_code == status


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer é"],
)
def test_without_the_token_nothing_is_told(reading: Reading, given: str | None):
    """Neither data nor whether a route exists; the page and its files hold nothing."""
    headers = [] if given is None else [("Authorization", given.encode("latin-1"))]
    api = client_of(reading, Access(token=TOKEN))
    for path in ("meta", "runs", "nothing"):
        answer = api.get(f"{API}/{path}", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    assert api.get("/").status_code == 200


def test_the_token_is_taken_from_the_header_alone(reading: Reading):
    """Not from the address, which is written into histories and logs, nor from a cookie, which others can use."""
    api = client_of(reading, Access(token=TOKEN))
    assert api.get(f"{API}/meta", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert api.get(f"{API}/meta?token={TOKEN}").status_code == 401
    assert api.get(f"{API}/meta", headers={"Cookie": f"token={TOKEN}"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # a program
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),  # typed by the user
        ({"Sec-Fetch-Site": "same-site"}, 403),  # another port of this machine
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_other_sites_get_no_data(reading: Reading, headers: dict[str, str], status: int):
    """But they may have a link to the page."""
    api = client_of(reading)
    assert api.get(f"{API}/meta", headers=headers).status_code == status
    assert api.get("/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Content-Type": "text/plain"}, 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ({"Content-Type": ""}, 400),
    ],
)
def test_other_sites_send_nothing(reading: Reading, headers: dict[str, str], status: int):
    """Nor can a form of theirs, which is sent without asking us first."""
    api = client_of(reading)
    sent = {"Content-Type": "application/json"} | headers
    assert api.post(f"{API}/runs", content=b"{}", headers=sent).status_code == status


def test_every_answer_carries_the_headers(reading: Reading, monkeypatch: pytest.MonkeyPatch):
    """Also those that are errors, whatever made them."""

    def fail() -> None:
        raise RuntimeError("hidden")

    api = client_of(reading)
    etag = api.get(f"{API}/runs").headers["etag"]
    asset = re.search(r"assets/\w+/main.js", api.get("/").text)
    assert asset is not None
    answers = [
        (200, api.get("/")),
        (200, api.head("/")),
        (200, api.get(f"/{asset[0]}")),
        (200, api.get(f"{API}/meta")),
        (304, api.get(f"{API}/runs", headers={"If-None-Match": etag})),
        (400, api.get(f"{API}/runs?q=((")),
        (400, api.get("/", headers={"Host": "evil.example"})),
        (403, api.post(f"{API}/runs", json={}, headers={"Origin": "http://evil.example"})),
        (404, api.get("/nothing")),
        (404, api.get(f"{API}/nothing")),
        (405, api.delete(f"{API}/meta", headers={"Content-Type": "application/json"})),
        (413, api.post(f"{API}/runs", content=b" " * 70_000, headers={"Content-Type": "application/json"})),
    ]
    monkeypatch.setattr(reading.answers, "meta", fail)
    broken = api.get(f"{API}/meta")
    assert "hidden" not in broken.text
    for status, answer in [*answers, (500, broken)]:
        assert answer.status_code == status
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert not [name for name in answer.headers if name.startswith("access-control") or name == "set-cookie"]
        assert "server" not in answer.headers


def test_the_policy_allows_nothing_but_the_page_itself():
    """No script in the page's text, none from elsewhere, no style attribute, no frame around it."""
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}


def test_names_of_markup_are_data(reading: Reading, new_database):
    """What a run is called comes back as it is, in JSON that no browser takes for a page."""
    url = new_database("sqlite")
    name = "<img src=x onerror=alert(1)></script>\u2028"
    with TrainStore(url) as store, store.start_run(name=name, tags={name: name}) as run:
        run.log({name: 1.0})
    opened = Reading(url)
    api = client_of(opened)
    answer = api.get(f"{API}/runs", params={"columns": "*"})
    assert answer.headers["content-type"] == "application/json"
    assert columns_of(answer.json())["name"] == [name]
    assert api.get(f"{API}/runs/{uid_of(api, name)}").json()["run"]["tags"] == {name: name}
    opened.close()


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "::1"}, False),
        ({"host": "127.0.0.2"}, False),
        ({"token": True}, True),
        ({"edit": True}, True),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "10.0.0.1"}, True),
        ({"host": "some.name"}, True),
        ({"uds": "/x", "host": "127.0.0.1"}, False),
        ({"uds": "/x", "edit": True}, True),
    ],
)
def test_a_token_is_needed_where_others_can_connect_or_change(given: dict, needed: bool):
    """Nobody has to think of it."""
    usual = {"url": "x", "prefix": "", "host": "127.0.0.1", "port": None, "allow_hosts": (), "edit": False}
    more = {"token": False, "token_file": None, "uds": None, "open_browser": False, "project": None}
    options = Options(**usual | more | {"tell": print, "tell_request": None} | given)
    token = options.find_token()
    assert (token is not None) == needed
    if token is not None:
        assert len(token) >= 43  # 32 random bytes
        assert options.link(1, token).endswith(f"#/runs?token={token}")
        assert options.find_token() != token


@pytest.mark.parametrize("name", ["box", "box.example", "My-Box_2", "10.0.0.1", "fe80::1", "[fe80::1]"])
def test_names_of_servers_can_be_allowed(name: str):
    """Each is then answered."""
    assert is_host_name(name)


@pytest.mark.parametrize("name", ["", "box:8520", "http://box", "box/", "*", "b x", "bücher.example", "[::1]:8520"])
def test_what_no_browser_sends_as_a_host_cannot_be_allowed(name: str):
    """It would match nothing, and nobody would know why."""
    assert not is_host_name(name)
