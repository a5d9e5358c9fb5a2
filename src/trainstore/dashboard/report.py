"""Reports: chosen runs as one HTML file that needs no server, no network and no trainstore.

It is the dashboard's own page: its modules joined (bundle.py), its style sheets, and the data (report_data.py). A
policy in its head allows this one script and this one style sheet, and nothing from anywhere else.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Collection
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from trainstore import __version__
from trainstore.dashboard import bundle
from trainstore.dashboard.limits import LIMITS
from trainstore.dashboard.packing import as_text
from trainstore.dashboard.report_data import Choice, Progress, ReportData, check_size, report_data
from trainstore.errors import InvalidArgumentError, TrainStoreError
from trainstore.files import new_file
from trainstore.store import TrainStore

POINTS = 400  # of each curve
MAX_MB = 20.0
GENERATOR = "trainstore report"


def write_report(
    store: TrainStore,
    path: str | os.PathLike[str],
    runs: Any,
    *,
    metrics: Collection[str] | None = None,
    points: int = POINTS,
    exact: bool = False,
    with_env: bool = False,
    title: str | None = None,
    max_mb: float = MAX_MB,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write runs as one HTML file, to be sent and opened anywhere: tables, curves, attempts, events, samples.

    Args:
        store: Where the runs are.
        path: The file; ``~`` is the home folder. It appears there only when it is complete.
        runs: Handles, records, uids, ids, names or a frame of runs.
        metrics: Only curves and values of these. None: all.
        points: At most so many points a curve: of more, each is the mean of its neighbours, with a band from the
            smallest to the largest of them.
        exact: Keep values as float64; otherwise they have about seven digits.
        with_env: Also tell the command line, host, versions and environment of each attempt, and the whole address of
            the store.
        title: None: the run's name, or the project.
        max_mb: An error if the file would be larger, in millions of bytes.
        overwrite: Replace a file that exists.
        progress: Called after each run with its name, and how many of how many are done.

    Returns:
        The size of the file in bytes.

    Raises:
        TrainStoreError: The file exists or cannot be written, or would be too large (`ReportTooLargeError`).
        RunNotFoundError, RunNotUniqueError: As for every query.
        InvalidArgumentError: A value that is not listed here.
    """
    path = Path(path).expanduser()
    if not overwrite and path.is_file():
        raise TrainStoreError(f"{path} already exists; overwrite=True replaces it")
    page = report_page(
        store,
        runs,
        metrics=metrics,
        points=points,
        exact=exact,
        with_env=with_env,
        title=title,
        max_mb=max_mb,
        progress=progress,
    )
    with new_file(path, force=overwrite) as file:
        file.write(page)
    return len(page)


def report_page(
    store: TrainStore,
    runs: Any,
    *,
    metrics: Collection[str] | None = None,
    points: int = POINTS,
    exact: bool = False,
    with_env: bool = False,
    title: str | None = None,
    max_mb: float = MAX_MB,
    progress: Progress | None = None,
) -> bytes:
    """The file that `write_report` writes."""
    if isinstance(points, bool) or not isinstance(points, int) or not 2 <= points <= LIMITS["points"]:
        raise InvalidArgumentError(f"points {points!r} is no whole number from 2 to {LIMITS['points']:,}")
    if not max_mb > 0:
        raise InvalidArgumentError(f"max_mb {max_mb!r} is not above 0")
    most = int(max_mb * 1e6)
    wanted = None if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
    choice = Choice(wanted, points, exact, with_env, most)
    with store.snapshot() as snapshot:
        data = report_data(snapshot.reader, runs, choice, _text(title), progress)
    page = _page(data, _told(data, points))
    check_size(len(page), most)
    return page


def is_report(path: Path) -> bool:
    """Whether a file is a report that trainstore wrote."""
    try:
        with path.open("rb") as file:
            return f'name="generator" content="{GENERATOR} '.encode() in file.read(4096)
    except OSError:
        return False


def _page(data: ReportData, told: str) -> bytes:
    """The dashboard's page with everything in it."""
    page = bundle.read_asset("index.html")
    style, script = bundle.style(page), bundle.script()
    icon = base64.b64encode(bundle.read_asset("icon.svg").encode()).decode()
    head = [
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script, style)}">',
        f'<meta name="generator" content="{GENERATOR} {escape(__version__)}">',
        f'<link rel="icon" href="data:image/svg+xml;base64,{icon}">',
        f"<style>{style}</style>",
    ]
    body = [
        f'<script type="text/plain" id="trainstore-data">{as_text(data.packed)}</script>',
        f"<script>{script}</script>",
    ]
    note = f'<aside class="report-note" aria-label="About this report">{told}</aside>'
    replaced = {
        '<meta charset="utf-8">\n': '<meta charset="utf-8">\n' + "".join(f"{line}\n" for line in head),
        "<title>trainstore</title>": f"<title>{escape(data.title)}</title>",
        "<body>\n": f'<body class="report">\n{note}\n',
        "</body>\n": "".join(f"{line}\n" for line in body) + "</body>\n",
    }
    page = bundle.without_links(page)
    for place, more in replaced.items():
        before, found, after = page.partition(place)
        if not found:
            raise TrainStoreError(f"the dashboard's page has no {place.strip()}")
        page = before + more + after
    return page.encode("utf-8", "replace")


def _policy(script: str, style: str) -> str:
    """What the page may load: this script and this style sheet, and pictures that lie in it."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _told(data: ReportData, points: int) -> str:
    """The line above the page, as HTML: what this is a picture of, and how much of it."""
    when = datetime.fromtimestamp(data.now, UTC)
    all_there = data.longest <= points
    curves = "every point of each curve" if all_there else f"{points:,} points a curve of up to {data.longest:,}"
    return f"Report of {escape(data.place)}, {when:%Y-%m-%d %H:%M} UTC · {curves}"


def _text(title: str | None) -> str | None:
    """A title as text that UTF-8 can hold."""
    return None if title is None else title.encode("utf-8", "replace").decode()
