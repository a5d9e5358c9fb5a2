"""Who may ask, and the headers that every answer carries.

Before anything else a request must name a host of ours: otherwise a page of another origin whose name is made to point
here (DNS rebinding) could read everything. No header ever lets another origin read an answer. What changes something
must come from our own page, or from a program that is no browser.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainstore.dashboard.responses import ApiError, error_of, logger

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
API = "/api/"
SAFE_METHODS = ("GET", "HEAD")


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        hosts: Names by which the server may be called, in lower case, beside those of this machine's loopback.
        any_address: It may also be called by any IP address: it is bound to all of them, and DNS rebinding needs a
            name; an address cannot be rebound.
        token: What requests of the API must carry; None: nothing.
    """

    hosts: Collection[str] = ()
    any_address: bool = False
    token: str | None = None

    def check(self, scope: Scope) -> None:
        """Raise `ApiError` if the request is refused."""
        headers = Headers(scope=scope)
        self._check_host(headers)
        api = scope["path"].startswith(API)
        if scope["method"] not in SAFE_METHODS:
            _check_origin(headers)
        elif api and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise ApiError(403, "origin", "another site asked for data of this store", "open the dashboard itself")
        if api:
            self._check_token(headers)

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        name = host_name(given[0]) if len(given) == 1 else None
        if name is None or not self._is_ours(name):
            raise ApiError(
                400,
                "host",
                f"this server is not called {', '.join(given)[:100]!r}",
                "use http://localhost, or start it with --allow-host NAME",
            )

    def _is_ours(self, name: str) -> bool:
        return name in LOOPBACK_NAMES or name in self.hosts or (self.any_address and _is_address(name))

    def _check_token(self, headers: Headers) -> None:
        if self.token is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            raise ApiError(
                401,
                "token",
                "the token is missing or wrong",
                "open the link that trainstore ui printed; programs send: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )


def host_name(host: str) -> str | None:
    """The name in a Host header, in lower case, without port and brackets; None if it is none."""
    if not host or any(character in host for character in "/@?# \\,"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError
    except ValueError:
        return None
    return parts.hostname


def is_host_name(name: str) -> bool:
    """Whether a Host header could have this name: one of letters, digits, dots and hyphens, or an address."""
    return re.fullmatch(r"[\w.-]+", name, re.ASCII) is not None or _is_address(name.strip("[]"))


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    return host in LOOPBACK_NAMES or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(headers: Headers) -> None:
    """Browsers say where a request comes from; a program that is none says nothing, and has no cookies to steal."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site not in (None, "same-origin") or (origin is not None and not _is_same(origin, headers["host"])):
        raise ApiError(403, "origin", "the request comes from another site", "use the dashboard itself, or a program")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(400, "body", "the body must be JSON", "send it with: Content-Type: application/json")


def _is_same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


class Guard:
    """Around the whole application: refuses what `Access` refuses, adds the headers, and tells what was asked.

    Args:
        app: The application.
        access: Who may ask.
        tell: Called with a line for each request, without its parameters; None: nobody is told.
    """

    def __init__(self, app: ASGIApp, access: Access, tell: Callable[[str], None] | None = None) -> None:
        self._app, self._access, self._tell = app, access, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            self._access.check(scope)
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if status:
                logger.error("an answer broke off: %s", type(error).__name__)
                raise
            await error_of(error).answer()(scope, receive, send_with_headers)
        finally:
            if self._tell is not None:
                self._tell(f"{scope['method']} {scope['path']} {status} {(time.monotonic() - begun) * 1000:.0f} ms")
