"""The application: the page, its files, and the API's routes. Reads run in threads, and end when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from trainstore.dashboard.arguments import Arguments
from trainstore.dashboard.assets import Assets
from trainstore.dashboard.deadlines import BODY_LIMIT, BODY_SECONDS, HEAVY_AT_ONCE, LIGHT_AT_ONCE, Deadline, Lane
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.responses import ApiError, error_of
from trainstore.dashboard.routes import ROUTES, Asked
from trainstore.dashboard.security import Access, Guard

API = "/api/v1"


def make_app(reading: Reading, access: Access, tell: Callable[[str], None] | None = None) -> ASGIApp:
    """The application.

    Args:
        reading: The store.
        access: Who may ask.
        tell: Called with a line for each request; None: nobody is told.
    """
    assets = Assets()
    lanes = {True: Lane("heavy", HEAVY_AT_ONCE), False: Lane("light", LIGHT_AT_ONCE)}

    async def page(_request: Request) -> Response:
        return assets.page()

    async def file(request: Request) -> Response:
        found = assets.file(**request.path_params)
        if found is None:
            raise ApiError(404, "file", f"there is no file {request.url.path}", "load the page again")
        return found

    async def answer(make: Callable[[Asked], Response], heavy: bool, request: Request) -> Response:
        asked = Asked(reading, request, await _arguments(request))
        try:
            return await lanes[heavy].run(partial(make, asked), partial(_gone, request))
        except Exception as error:  # noqa: BLE001  # whatever it is, the page is told
            return error_of(error).answer()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        for lane in lanes.values():
            lane.close()

    routes = [
        Route(f"/{route.path}", partial(answer, route.make, route.heavy), methods=route.methods) for route in ROUTES
    ]
    app = Starlette(
        routes=[
            Route("/", page),
            Route("/assets/{version}/{name}", file),
            Mount(API, routes=routes),
        ],
        exception_handlers={ApiError: _refusal, HTTPException: _refusal},
        lifespan=lifespan,
    )
    return Guard(app, access, tell)


async def _arguments(request: Request) -> Arguments:
    """Those of the address, or of the body, where there is one."""
    if request.method in ("GET", "HEAD"):
        return Arguments.of_query(request.query_params.multi_items())
    if request.url.query:
        raise ApiError(400, "argument", "a request with a body takes no arguments in its address")
    return Arguments.of_body(await _body(request))


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > BODY_LIMIT:
                    raise ApiError(413, "limit", f"the body is longer than {BODY_LIMIT:,} bytes", "ask for fewer runs")
    except ClientDisconnect:
        raise Deadline.gone() from None
    except TimeoutError:
        raise ApiError(408, "body", f"the body did not arrive within {BODY_SECONDS:g} s") from None
    return body


async def _gone(request: Request) -> None:
    """Return when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refusal(_request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        words = {404: ("path", "there is no such page"), 405: ("method", "this cannot be asked for in that way")}
        code, message = words.get(error.status_code, ("http", error.detail))
        hint = f"the routes of the API begin with {API}/" if error.status_code == 404 else ""
        return ApiError(error.status_code, code, message, hint, headers=error.headers).answer()
    return error_of(error).answer()
