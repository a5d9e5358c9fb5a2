"""The application: the page, its files, and the API's routes. Reads run in threads, and end when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from trainstore.dashboard import assets as page_files
from trainstore.dashboard.arguments import Arguments
from trainstore.dashboard.deadlines import BODY_LIMIT, BODY_SECONDS, Deadline
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.responses import ApiError, error_of
from trainstore.dashboard.routes import ROUTES, ApiRoute, Asked
from trainstore.dashboard.security import Access, Guard
from trainstore.errors import TrainStoreError

API = "/api/v1"


def make_app(reading: Reading, access: Access, tell: Callable[[str], None] | None = None) -> ASGIApp:
    """The application.

    Args:
        reading: The store.
        access: Who may ask.
        tell: Called with a line for each request; None: nobody is told.
    """
    assets = page_files.loaded()

    async def page(_request: Request) -> Response:
        return assets.page()

    async def file(request: Request) -> Response:
        found = assets.file(**request.path_params, request=request)
        if found is None:
            found = ApiError(404, "file", f"there is no file {request.url.path}", "load the page again").answer()
        return found

    async def answer(route: ApiRoute, request: Request) -> Response:
        lane = reading.heavy if route.heavy else reading.light
        try:
            asked = Asked(reading, request, await _arguments(request))
            return await lane.run(partial(_made, route, asked), partial(_gone, request))
        except Exception as error:  # noqa: BLE001  # the page is told of all of them
            return error_of(error).answer()

    routes = [Route(f"/{route.path}", partial(answer, route), methods=route.methods) for route in ROUTES]
    app = Starlette(
        routes=[Route("/", page), Route("/assets/{version}/{name}", file), Mount(API, routes=routes)],
        exception_handlers={HTTPException: _no_route},
    )
    app.router.redirect_slashes = False
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


def _made(route: ApiRoute, asked: Asked) -> Response:
    """The answer, or the error; in a thread."""
    try:
        return route.make(asked)
    except SQLAlchemyError as error:
        try:
            asked.reading.check_schema()
        except TrainStoreError as reason:
            raise reason from None
        raise error


async def _gone(request: Request) -> None:
    """Return when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: ("path", "there is no such page"), 405: ("method", "this cannot be asked for in that way")}
    code, message = words.get(error.status_code, ("http", error.detail))
    hint = f"the routes of the API begin with {API}/" if error.status_code == 404 else ""
    return ApiError(error.status_code, code, message, hint, headers=error.headers).answer()
