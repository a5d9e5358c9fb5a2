"""The API, route by route: the arguments that it takes, and the answer that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from trainstore.dashboard import wire
from trainstore.dashboard.answers import ATTEMPTS, Answers
from trainstore.dashboard.arguments import Arguments
from trainstore.dashboard.export import FORMATS, TABLES
from trainstore.dashboard.groups import BANDS
from trainstore.dashboard.limits import LIMITS
from trainstore.dashboard.reading import Reading
from trainstore.dashboard.responses import ApiError, bytes_answer, json_answer
from trainstore.dashboard.series import POINTS
from trainstore.dashboard.wire import Curve

MOST_COLUMNS = 10_000
MOST_OFFSET = 1_000_000_000
JSON = "application/json"
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
PART = ("x", "lo", "hi", "points")


@dataclass(frozen=True)
class Asked:
    """One request."""

    reading: Reading
    request: Request
    arguments: Arguments

    @property
    def answers(self) -> Answers:
        """What the store answers."""
        return self.reading.answers

    @cached_property
    def uid(self) -> str:
        """The run in the address."""
        return str(self.request.path_params["uid"])

    def json(self, value: Any, **headers: str) -> Response:
        """A value as the answer."""
        return json_answer(value, self.request, headers)

    def curves(self, curves: Sequence[Curve], form: str) -> Response:
        """Curves as the answer, as a frame or as JSON."""
        if form == "json":
            return bytes_answer(wire.to_json(curves), JSON, self.request)
        return Response(
            wire.to_frame(curves), headers={"Cache-Control": "private, no-cache"}, media_type=wire.MEDIA_TYPE
        )

    def is_known(self, etag: str) -> bool:
        """Whether the client has this version already."""
        known = self.request.headers.get("if-none-match", "").split(",")
        return etag in [one.strip().removeprefix("W/") for one in known]


def meta(asked: Asked) -> Response:
    """What there is to be seen."""
    asked.arguments.known()
    return asked.json(asked.answers.meta())


def columns(asked: Asked) -> Response:
    """The columns that a table of runs may have."""
    given = asked.arguments.known("project", "q")
    etag = f'"{asked.answers.version()}"'
    if asked.is_known(etag) and not given.text("q"):  # what a filter finds may depend on the time
        return Response(status_code=304, headers={"ETag": etag})
    return asked.json(asked.answers.columns(project=given.text("project"), q=given.text("q")), ETag=etag)


def runs(asked: Asked) -> Response:
    """The table of runs, column by column."""
    given = asked.arguments.known("project", "q", "columns", "sort", "offset", "limit")
    etag = f'"{asked.answers.version()}"'
    if asked.is_known(etag) and not given.text("q"):  # as above
        return Response(status_code=304, headers={"ETag": etag})
    table = asked.answers.runs(
        project=given.text("project"),
        q=given.text("q"),
        columns=given.texts("columns", MOST_COLUMNS),
        sort=given.texts("sort"),
        offset=given.count("offset", 0, 0, MOST_OFFSET),
        limit=given.count("limit", LIMITS["runs"], 0, LIMITS["runs"]),
    )
    return asked.json(table, ETag=f'"{table["version"]}"')


def run(asked: Asked) -> Response:
    """One run in full."""
    asked.arguments.known()
    return asked.json(asked.answers.run(asked.uid))


def edit(asked: Asked) -> Response:
    """Change a run's tags, notes or name, if nobody else has since it was read."""
    editing = asked.reading.editing
    if editing is None:
        raise ApiError(403, "read-only", "this dashboard only shows", "start it with: trainstore ui --edit")
    etag = asked.request.headers.get("if-match")
    if etag is None:
        raise ApiError(428, "etag", "If-Match is missing", "send the etag of the run as it was read, or *")
    uid = editing.edit_run(asked.uid, asked.arguments.body, etag.strip().strip('"'))
    return asked.json(asked.answers.run(uid))


def series(asked: Asked) -> Response:
    """Curves of runs."""
    given = asked.arguments.known("runs", "metrics", "attempts", "exact", *PART, "format")
    form = _form(given)
    found = asked.answers.series(
        _some(given, "runs", LIMITS["curves_runs"]),
        _some(given, "metrics", LIMITS["curves_metrics"]),
        attempts=given.choice("attempts", ATTEMPTS, ATTEMPTS[0]),
        exact=given.flag("exact"),
        **_part(given),
    )
    return asked.curves(found, form)


def group(asked: Asked) -> Response:
    """Means of groups of runs, and bands around them."""
    given = asked.arguments.known(
        "metric", "metrics", "by", "runs", "groups", "project", "q", "band", "exact", *PART, "format"
    )
    form = _form(given)
    metrics = given.texts("metric") or _some(given, "metrics", LIMITS["curves_metrics"])
    found = asked.answers.group(
        metrics,
        by=given.texts("by"),
        runs=given.some("runs", LIMITS["curves_runs"]),
        groups=given.lists("groups") or None,
        project=given.text("project"),
        q=given.text("q"),
        band=given.choice("band", BANDS, BANDS[0]),
        exact=given.flag("exact"),
        **_part(given),
    )
    return asked.curves(found, form)


def compare(asked: Asked) -> Response:
    """What differs between runs."""
    given = asked.arguments.known("runs", "all")
    runs = _some(given, "runs", LIMITS["curves_runs"])
    return asked.json(asked.answers.compare(runs, everything=given.flag("all")))


def samples(asked: Asked) -> Response:
    """What models wrote."""
    given = asked.arguments.known("runs", "name")
    return asked.json(asked.answers.samples(_some(given, "runs", LIMITS["curves_runs"]), name=given.text("name")))


def export(asked: Asked) -> Response:
    """Runs as a file."""
    given = asked.arguments.known("runs", "project", "q", "format", "table")
    form = given.choice("format", FORMATS, FORMATS[0])
    table = given.choice("table", TABLES, TABLES[0])
    pieces = asked.answers.export(
        given.some("runs", LIMITS["runs"]),
        project=given.text("project"),
        q=given.text("q"),
        form=form,
        table=table,
    )
    return asked.reading.downloads.begin(pieces, f"trainstore-{table}.{form}", MEDIA_TYPES[form])


def live(asked: Asked) -> Response:
    """What is new since the page last asked."""
    asked.arguments.known("version", "project", "q", "columns", "runs", "metrics", "x")
    given = asked.arguments
    runs = given.body.get("runs") or {}
    if not isinstance(runs, dict):
        raise ApiError(400, "argument", f"runs is a JSON {type(runs).__name__}, not an object", "send {uid: {…}}")
    found = asked.answers.live(
        version=given.body.get("version"),
        project=given.text("project"),
        q=given.text("q"),
        columns=None if given.body.get("columns") is None else given.texts("columns", MOST_COLUMNS),
        runs=runs,
        metrics=given.texts("metrics", LIMITS["curves_metrics"]),
        x=given.text("x") or "step",
    )
    return asked.json(found)


def health(asked: Asked) -> Response:
    """Whether the store is well."""
    asked.arguments.known()
    return asked.json(asked.answers.health())


def _some(given: Arguments, name: str, most: int) -> list[str]:
    found = given.texts(name, most)
    if not found:
        raise ApiError(400, "argument", f"{name} is missing", f"name at least one: {name}=…")
    return found


def _part(given: Arguments) -> dict[str, Any]:
    """The arguments `PART`: which part of which x axis, in how many points."""
    low, high = given.number("lo"), given.number("hi")
    if low is not None and high is not None and low > high:
        raise ApiError(400, "argument", f"lo={low:g} is above hi={high:g}")
    points = given.count("points", POINTS, 1, LIMITS["points"])
    return {"x": given.text("x") or "step", "lo": low, "hi": high, "points": points}


def _form(given: Arguments) -> str:
    return given.choice("format", ("frame", "json"), "frame")


class ApiRoute(NamedTuple):
    """A route: reads that take arguments may also be sent as a body, which holds longer lists."""

    path: str
    make: Callable[[Asked], Response]
    heavy: bool
    methods: Sequence[str] = ("GET", "POST")


ROUTES = [
    ApiRoute("meta", meta, heavy=False, methods=("GET",)),
    ApiRoute("columns", columns, heavy=True),
    ApiRoute("runs", runs, heavy=True),
    ApiRoute("runs/{uid}", run, heavy=False, methods=("GET",)),
    ApiRoute("runs/{uid}", edit, heavy=False, methods=("PATCH",)),
    ApiRoute("series", series, heavy=True),
    ApiRoute("group", group, heavy=True),
    ApiRoute("compare", compare, heavy=True),
    ApiRoute("samples", samples, heavy=True),
    ApiRoute("export", export, heavy=True),
    ApiRoute("live", live, heavy=False, methods=("POST",)),
    ApiRoute("health", health, heavy=True, methods=("GET",)),
]
