"""What a report holds of its runs: the answers of the pages' questions, all of them at once, packed.

`source-file.js` answers from it. Where a run was started, by which command and in which environment is left out unless
it is asked for: a report is sent to other people.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from trainstore.backends.health import size_text
from trainstore.dashboard import tables
from trainstore.dashboard.cells import plain
from trainstore.dashboard.comparing import samples
from trainstore.dashboard.ids import Metric, metric_ids
from trainstore.dashboard.meta import meta
from trainstore.dashboard.report_curves import ReportCurves
from trainstore.dashboard.run_details import run_detail
from trainstore.dashboard.run_reading import read_run, summaries_of
from trainstore.dashboard.superseded import Superseded
from trainstore.errors import InvalidArgumentError, TrainStoreError
from trainstore.queries.compare import facts_of, known_of
from trainstore.queries.field_names import SUMMARIES
from trainstore.queries.names import spelled
from trainstore.queries.reader import Reader, RunKey, resolve_runs
from trainstore.queries.suggestions import closest_metrics

Progress = Callable[[str, int, int], None]

_PRIVATE_FACTS = ("command", "host")  # beside everything of the namespace env
_PRIVATE_GROUPS = ("env", "attempt")  # of a comparison: "attempt" has the versions of libraries
_COMPRESSED = 0.05  # of numbers, what is left of them at best


class ReportTooLargeError(TrainStoreError):
    """The file would be larger than it may be."""


class ReportData(NamedTuple):
    """The data of a report.

    Attributes:
        packed: What `packing.unpacked` reads.
        title: The one that was given, or one made of names.
        place: The store.
        longest: How many points the longest curve has in the store.
        now: When it was read, by the database's clock.
    """

    packed: bytes
    title: str
    place: str
    longest: int
    now: float


class Choice(NamedTuple):
    """What of the runs goes into a report."""

    metrics: Collection[str] | None = None
    points: int = 400
    exact: bool = False
    with_env: bool = False
    most_bytes: int = 20 << 20


def report_data(
    reader: Reader, runs: object, choice: Choice, title: str | None, progress: Progress | None = None
) -> ReportData:
    """Everything that the pages of a report show.

    Args:
        reader: Of one snapshot.
        runs: As for every query.
        choice: What of them.
        title: None: the run's name, or the project.
        progress: Called after each run with its name, and how many are done, of how many.

    Raises:
        ReportTooLargeError: It is larger than it may be.
        InvalidArgumentError: No run is named, or a metric that none of them has.
    """
    keys = resolve_runs(reader, runs)
    if not keys:
        raise InvalidArgumentError("a report needs at least one run")
    table = tables.every_column(reader, [key.uid for key in keys])
    by_id = {column.id: column for column in table}
    metrics = _metrics(reader, keys, choice.metrics)
    order = {key.uid: key for key in keys}
    rows = [order[uid] for uid in by_id["uid"].values]
    curves = ReportCurves(choice.points, metrics, exact=choice.exact)
    details = {}
    summaries = summaries_of(reader, [key.id for key in rows])
    for done, (key, name) in enumerate(zip(rows, by_id["name"].values, strict=True), 1):
        curves.add(key.uid, read_run(reader, key, summaries[key.id]))
        for attempt, columns in Superseded().of(reader, key, summaries[key.id]):
            curves.add_superseded(key.uid, attempt, columns)
        check_size(int(curves.arrays.size * _COMPRESSED), choice.most_bytes)
        details[key.uid] = _detail(run_detail(reader, key.uid), choice, metrics, order)
        if progress is not None:
            progress(str(name), done, len(rows))
    about = _meta(meta(reader), by_id, with_env=choice.with_env)
    about["title"] = title or _title(by_id["name"].values, about)
    of_metrics = None if metrics is None else _metric_ids(reader, metrics)
    kept = [column for column in table if _is_kept(column, choice, of_metrics)]
    ids = {column.id for column in kept}
    head = {
        "meta": about,
        "points": choice.points,
        "columns": [column.described() for column in kept],
        "table": [column.as_json() for column in kept],
        "short": [one["id"] for one in tables.runs(reader, only=list(order))["columns"] if one["id"] in ids],
        "runs": details,
        "compare": _facts(reader, rows, choice, metrics),
        "samples": {"version": "", **samples(reader, [key.uid for key in rows])},
        **curves.as_json(),
    }
    packed = curves.arrays.packed(head)
    check_size(len(packed) * 4 // 3, choice.most_bytes)
    return ReportData(packed, about["title"], about["store"]["url"], curves.longest, about["now"])


def check_size(size: int, most: int) -> None:
    """Raise `ReportTooLargeError` if that many bytes are too many."""
    if size > most:
        raise ReportTooLargeError(
            f"the report would have {size_text(size)}, more than the {size_text(most)} that it may have; take fewer "
            "runs, metrics or points, or allow more with max_mb (--max-mb)"
        )


# --- What is not for everybody ---------------------------------------------------------------------------------------


def _metrics(reader: Reader, keys: Sequence[RunKey], asked: Collection[str] | None) -> set[str] | None:
    if asked is None:
        return None
    from trainstore.queries import list_metrics

    known = set(list_metrics(reader, [key.uid for key in keys])["metric"]) | {"step_time"}
    missing = sorted(set(asked) - known)
    if missing:
        closest = closest_metrics(reader, *missing)
        raise InvalidArgumentError(f"none of these runs has {', '.join(map(repr, missing))}{closest}")
    return set(asked)


def _metric_ids(reader: Reader, metrics: Collection[str]) -> set[str]:
    """The columns of these metrics."""
    return set(metric_ids(reader, [Metric(name, of) for name in sorted(metrics) for of in SUMMARIES]))


def _meta(store: dict[str, Any], by_id: Mapping[str, tables.TableColumn], *, with_env: bool) -> dict[str, Any]:
    projects, statuses = by_id["project"].values, by_id["status"].values
    running = [project for project, status in zip(projects, statuses, strict=True) if status == "running"]
    counted = [
        {"name": name, "runs": list(projects).count(name), "running": running.count(name)}
        for name in sorted(set(projects))
    ]
    place = {name: store["store"][name] for name in ("uid", "prefix")}
    place["url"] = store["store"]["url"] if with_env else store["title"]
    return store | {"store": place, "projects": counted, "runs": len(projects), "waiting": None}


def _title(names: Sequence[Any], about: Mapping[str, Any]) -> str:
    """The only run's name, or how many runs of what."""
    if len(names) == 1:
        return str(names[0])
    projects = [project["name"] for project in about["projects"]]
    return f"{len(names):,} runs of {projects[0] if len(projects) == 1 else about['title']}"


def _is_kept(column: tables.TableColumn, choice: Choice, of_metrics: Collection[str] | None) -> bool:
    if column.group == "metric" and of_metrics is not None:
        return column.id in of_metrics
    return choice.with_env or not (column.group == "env" or column.id in _PRIVATE_FACTS)


def _detail(detail: dict[str, Any], choice: Choice, metrics: set[str] | None, there: Collection[str]) -> dict[str, Any]:
    detail["run"]["children"] = [child for child in detail["run"]["children"] if child["uid"] in there]
    if metrics is not None:
        detail["summary"] = [row for row in detail["summary"] if row["metric"] in metrics]
    if choice.with_env:
        return detail
    hidden: Mapping[str, Any] = {"command": None, "host": None, "versions": None}
    detail["attempts"] = [attempt | hidden | {"changed": _public(attempt["changed"])} for attempt in detail["attempts"]]
    detail["hyperparams"] = [fact for fact in detail["hyperparams"] if fact["namespace"] != "env"]
    detail["writers"] = []
    return detail


def _public(changed: dict[str, Any] | None) -> dict[str, Any] | None:
    return changed and {name: pair for name, pair in changed.items() if not name.startswith("env.")}


def _facts(reader: Reader, keys: Sequence[RunKey], choice: Choice, metrics: set[str] | None) -> dict[str, Any]:
    """What is known of each run, from which the page finds what differs between any of them."""
    known = known_of(reader, keys)
    shown = facts_of(known.values())
    if metrics is not None:
        of_metrics = {spelled("metric", metric) for metric in metrics}
        shown = [fact for fact in shown if fact[0] not in ("metric", "effort") or fact[1] in of_metrics]
    if not choice.with_env:
        shown = [fact for fact in shown if fact[0] not in _PRIVATE_GROUPS and fact not in _private()]
    return {
        "keys": [name for _, name in shown],
        "groups": [group for group, _ in shown],
        "values": {key.uid: [plain(one.facts.get(fact)) for fact in shown] for key, one in known.items()},
        "unset": {
            key.uid: [place for place, (_, name) in enumerate(shown) if name in one.unset]
            for key, one in known.items()
            if one.unset
        },
    }


def _private() -> set[tuple[str, str]]:
    return {("", name) for name in _PRIVATE_FACTS}
