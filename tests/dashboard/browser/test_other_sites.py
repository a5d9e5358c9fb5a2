"""What pages of other sites can do with a dashboard, in a real browser: nothing. And where its token goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from dashboard.serving import fill
from fixtures.browsers import Dashboard, settle
from trainstore.store import TrainStore

#: What a page of another site may try: each tells what it got of the dashboard.
ATTEMPTS = {
    "a request": "fetch(API + 'meta').then((answer) => answer.text())",
    "a request without an answer": "fetch(API + 'meta', {mode: 'no-cors'}).then((answer) => answer.text())",
    "a request that sends": "fetch(API + 'live', {method: 'POST', mode: 'no-cors', body: '{}'}).then((a) => a.text())",
    "a change": (
        "fetch(API + 'runs/run 1', {method: 'PATCH', body: '{\"name\": \"harmed\"}', headers: "
        "{'Content-Type': 'application/json', 'If-Match': '*'}}).then((answer) => answer.text())"
    ),
    "a script": (
        "new Promise((done, fail) => { const script = document.createElement('script'); script.src = API + 'meta';"
        " script.onload = () => done('loaded'); script.onerror = fail; document.body.append(script); })"
    ),
    "a module": "import(ORIGIN + MODULE).then((module) => Object.keys(module).join())",
    "a frame": (
        "new Promise((done, fail) => { const frame = document.createElement('iframe'); frame.src = ORIGIN + '/';"
        " frame.onload = () => { try { done(frame.contentWindow.document.title) } catch (error) { fail(error) } };"
        " document.body.append(frame); })"
    ),
    "a window": (
        "new Promise((done, fail) => { const other = window.open(ORIGIN + '/');"
        " setTimeout(() => { try { done(other.closed ? '' : other.document.title) } catch (error) { fail(error) } },"
        " 500); })"
    ),
}
FORM = """<form method="post" action="{url}" enctype="text/plain"><input name='{{"x": "' value='"}}'></form>"""


class Elsewhere(BaseHTTPRequestHandler):
    """A page of another site: another port of this machine, which browsers take for the same site."""

    def __init__(self, page: str, *rest: Any) -> None:
        self._page = page
        super().__init__(*rest)

    def do_GET(self) -> None:
        """Send the page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self._page.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[Callable[[str], str]]:
    """Serve a page at another origin; its address."""
    servers: list[ThreadingHTTPServer] = []

    def serve(page: str) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Elsewhere, page))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def shown(dashboard_of: Callable[..., Dashboard]) -> Dashboard:
    """A dashboard without a token, as most are."""
    return dashboard_of(fill)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_page_of_another_site_learns_nothing(
    browser: Any, shown: Dashboard, elsewhere: Callable[[str], str], attempt: str
):
    """Neither the data nor what the page looks like; nor is anything changed."""
    page = browser.new_page()
    page.goto(elsewhere("<!doctype html><title>elsewhere</title><body></body>"))
    (module,) = [part.split('"')[0] for part in page_of(shown).split('src="')[1:]]
    script = ATTEMPTS[attempt].replace("API", f"'{shown.origin}/api/v1/'").replace("ORIGIN", f"'{shown.origin}'")
    script = script.replace("MODULE", f"'/{module}'")
    got = page.evaluate(f"async () => {{ try {{ return String(await {script}) }} catch (error) {{ return '' }} }}")
    assert got == ""
    assert names_in(shown) == {"run 0", "run 1", "run 2"}
    page.close()


def test_a_form_of_another_site_changes_nothing(browser: Any, shown: Dashboard, elsewhere: Callable[[str], str]):
    """A browser sends it without asking us first, and is refused."""
    page = browser.new_page()
    page.goto(elsewhere(FORM.format(url=f"{shown.origin}/api/v1/runs")))
    with page.expect_response(lambda answer: answer.url.endswith("/runs")) as answered:
        page.evaluate("document.forms[0].submit()")
    assert answered.value.status == 403
    page.close()


def test_a_name_that_points_here_is_refused(browser: Any, shown: Dashboard):
    """As an attacker's name server would make it: the page's origin is then the attacker's."""
    port = urlsplit(shown.origin).port
    context = browser.new_context()
    page = context.new_page()
    # What a browser does when evil.example has this machine's address: our server sees that name.
    page.route(
        "http://evil.example/**",
        lambda route: route.fulfill(
            response=context.request.get(
                f"http://127.0.0.1:{port}{urlsplit(route.request.url).path}", headers={"Host": f"evil.example:{port}"}
            )
        ),
    )
    answer = page.goto("http://evil.example/api/v1/meta")
    assert answer.status == 400
    assert "runs" not in answer.json()
    context.close()


def test_what_gets_into_the_page_does_not_run(open_page: Callable[..., Any], shown: Dashboard):
    """If a mistake of ours ever made markup of a name, the page's policy would still keep it from doing anything."""
    page = open_page(shown)
    settle(page)
    page.watch.allowed += ["policy", "Policy", "404"]
    page.evaluate(
        """() => {
          document.body.insertAdjacentHTML("beforeend", "<img src='x' onerror='window.harmed=1'>"
            + "<a id='harm' href='javascript:window.harmed=2'>x</a><p id='styled' style='color: red'>x</p>");
          document.getElementById("harm").click();
          const script = document.createElement("script");
          script.textContent = "window.harmed = 3";
          document.body.append(script);
          // Later: what the driver itself evaluates may evaluate.
          setTimeout(() => { try { window.harmed ??= eval("4"); } catch {} });
          fetch("http://127.0.0.2:1/").then(() => { window.harmed = 5 }, () => {});
        }"""
    )
    page.wait_for_timeout(300)  # time for it to do harm
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("getComputedStyle(document.getElementById('styled')).color") != "rgb(255, 0, 0)"
    page.watch.problems.clear()  # the picture and the address that were asked for and refused


def test_the_token_leaves_the_address(open_page: Callable[..., Any], dashboard_of: Callable[..., Dashboard]):
    """It is in no address that the browser asks for, nor in the one that a user would copy; the tab keeps it."""
    guarded = dashboard_of(fill, "sqlite", "--token")
    token = urlsplit(guarded.url).fragment.partition("token=")[2]
    plain = SimpleNamespace(url=guarded.origin, origin=guarded.origin)
    page = open_page(plain, f"#/runs?sort=name&token={token}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    settle(page)
    page.get_by_text("run 2").first.wait_for()
    assert page.evaluate("location.href") == f"{guarded.origin}/#/runs?sort=name"
    page.reload()
    settle(page)
    page.get_by_text("run 2").first.wait_for()
    assert asked
    assert not [url for url in asked if token in url]


def test_without_the_token_a_page_asks_for_it(open_page: Callable[..., Any], dashboard_of: Callable[..., Dashboard]):
    """A wrong one is told, the right one opens the store."""
    guarded = dashboard_of(fill, "sqlite", "--token")
    token = urlsplit(guarded.url).fragment.partition("token=")[2]
    page = open_page(SimpleNamespace(url=guarded.origin, origin=guarded.origin))
    page.watch.allowed.append("401")
    for given in ("wrong", token):
        field = page.locator(".token-form input")
        field.fill(given)
        field.press("Enter")
    page.get_by_text("run 2").first.wait_for()


def page_of(dashboard: Dashboard) -> str:
    """The page as the server sends it."""
    with urlopen(dashboard.origin) as answer:
        return str(answer.read().decode())


def names_in(dashboard: Dashboard) -> set[str]:
    """What its runs are called."""
    with TrainStore(dashboard.store_url, read_only=True) as store:
        return set(store.list_runs()["name"])
