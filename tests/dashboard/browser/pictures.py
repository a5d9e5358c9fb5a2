"""Pictures of every page, for a person to look at: ``make pictures``, or ``python pictures.py --help``.

Each page in both themes, 1440 and 800 pixels wide, with no run, 1, 8 and 200. ``--docs`` makes those of docs/images
instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests"))

from fixtures import experiments  # noqa: E402
from fixtures.browsers import THEMES, Dashboard, Watch, chromium, settle  # noqa: E402

STORES: dict[int, Callable[[Any], None]] = {
    0: experiments.nothing,
    1: experiments.one,
    8: experiments.eight,
    200: experiments.two_hundred,
}
WIDTHS = (1440, 800)
HEIGHT = 900


class Shot(NamedTuple):
    """A page, where it is, what is done there before the picture, and from how many runs on there is something."""

    name: str
    place: Callable[[list[str]], str]  # of the uids, the newest first
    act: Callable[[Any], None] = lambda page: None
    runs: int = 0
    most: int = 200


def _press(*keys: str) -> Callable[[Any], None]:
    def act(page: Any) -> None:
        for key in keys:
            page.keyboard.press(key)

    return act


SHOTS = [
    Shot("runs", lambda uids: "#/runs"),
    Shot("charts", lambda uids: "#/runs", _press("c"), runs=1),
    Shot("help", lambda uids: "#/runs", _press("?"), most=8),
    Shot("run", lambda uids: f"#/run/{uids[0]}", runs=1),
    Shot("compare", lambda uids: "#/compare?" + "&".join(f"runs={uid}" for uid in uids[:20]), runs=2),
    Shot("latest", lambda uids: "#/latest", most=8),
    Shot("health", lambda uids: "#/health", most=8),
    Shot("nonsense", lambda uids: "#/runs?q=hp.lr%20%3C%20%3C%203&sort=nothing&zoom=x", most=8),
]


@contextmanager
def served(fill: Callable[[Any], None]) -> Iterator[tuple[Dashboard, list[str]]]:
    """A dashboard of a store that is filled now, and the uids of its runs, the newest first."""
    from trainstore import TrainStore

    with tempfile.TemporaryDirectory(prefix="trainstore-pictures-") as name:
        folder = Path(name)
        os.environ["TRAINSTORE_JOURNAL_DIR"] = str(folder / "journals")
        with TrainStore(folder / "runs.db") as store:
            fill(store)
            run = store.table.run.c
            uids = list(store.connection.execute(select(run.uid).order_by(run.id.desc())).scalars())
        dashboard = Dashboard(folder, str(folder / "runs.db"))
        try:
            yield dashboard, uids
        finally:
            dashboard.close()


def take(browser: Any, dashboard: Dashboard, shot: Shot, uids: list[str], path: Path, **look: Any) -> list[str]:
    """One picture; what the page did that it must not do."""
    size = {"width": look["width"], "height": look.get("height", HEIGHT)}
    context = browser.new_context(viewport=size, color_scheme=look["theme"], device_scale_factor=look.get("scale", 1))
    page = context.new_page()
    page.watch = Watch(page, dashboard.origin)
    try:
        page.goto(f"{dashboard.url}/{shot.place(uids)}")
        settle(page)
        shot.act(page)
        settle(page)
        page.screenshot(path=path)
    except Exception as error:  # the others are still worth a look
        page.watch.problems.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
        page.screenshot(path=path)
    finally:
        problems = [*page.watch.problems]
        context.close()
    return problems


def all_pictures(folder: Path, only: str = "", runs: tuple[int, ...] = tuple(STORES)) -> list[str]:
    """Every page in every look, into a folder; what went wrong, with the picture's name."""
    wrong = []
    with chromium() as browser:
        for count in runs:
            shots = [shot for shot in SHOTS if shot.runs <= count <= shot.most and only in shot.name]
            with served(STORES[count]) as (dashboard, uids):
                for shot in shots:
                    for theme in THEMES:
                        for width in WIDTHS:
                            name = f"{shot.name}-{count}-{theme}-{width}.png"
                            problems = take(browser, dashboard, shot, uids, folder / name, theme=theme, width=width)
                            wrong += [f"{name}: {problem}" for problem in problems]
    return wrong


#: docs/images: the name there, the picture, and its height.
DOCS = (("dashboard-runs", "runs", 720), ("dashboard-run", "run", 720), ("dashboard-compare", "compare", 720))


def docs_pictures(folder: Path) -> list[str]:
    """Those that the documentation shows: of 8 runs, light, sharp enough for a screen of today."""
    wrong = []
    shots = {shot.name: shot for shot in SHOTS}
    with chromium() as browser, served(experiments.eight) as (dashboard, uids):
        for name, shot, height in DOCS:
            look = {"theme": "light", "width": 1280, "height": height, "scale": 1.5}
            wrong += take(browser, dashboard, shots[shot], uids, folder / f"{name}.png", **look)
    return wrong


def main() -> int:
    """Make them, and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "pictures")
    parser.add_argument("--only", default="", metavar="TEXT", help="pages whose name contains it")
    parser.add_argument("--runs", type=int, nargs="*", choices=STORES, default=[*STORES], help="how many [all]")
    parser.add_argument("--docs", action="store_true", help="docs/images")
    options = parser.parse_args()
    folder = ROOT / "docs" / "images" if options.docs else options.folder
    folder.mkdir(parents=True, exist_ok=True)
    wrong = docs_pictures(folder) if options.docs else all_pictures(folder, options.only, tuple(options.runs))
    print("\n".join(wrong) or f"nothing went wrong; the pictures are in {folder}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
