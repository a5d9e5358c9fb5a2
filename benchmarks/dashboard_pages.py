"""The dashboard's pages in a browser: how soon they show something, and how smoothly they go on.

The browser is Chromium without a screen and without a graphics processor, on the same cores as the server. Frames are
counted where the page counts them, by ``requestAnimationFrame``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fixtures.browsers import chromium

from benchmarks.cases import Cases, Figures, Place, check
from benchmarks.dashboard import curves_of, serving
from benchmarks.stored import uid_of

case = Cases("dashboard_pages")

SIZE = {"width": 1440, "height": 900}
TIMEOUT = 300_000  # milliseconds

#: Notes when a selector first matches, in milliseconds since the page was asked for.
WATCH = """
  window.firsts = {};
  const wanted = %s;
  const look = () => {
    for (const [name, selector] of Object.entries(wanted)) {
      const found = document.querySelectorAll(selector[0]).length >= selector[1];
      if (found && !(name in window.firsts)) window.firsts[name] = performance.now();
    }
    requestAnimationFrame(look);
  };
  look();
"""

#: Acts once a frame, and gives the time between the frames.
FRAME_TIMES = """async ([act, frames]) => {
  const step = new Function("number", act);
  const times = [];
  let before = 0;
  for (let number = 0; number <= frames; number += 1) {
    const now = await new Promise(requestAnimationFrame);
    if (number) times.push(now - before);
    before = now;
    step(number);
  }
  return times;
}"""
SCROLL = "document.querySelector('[role=grid]').scrollTop += 300;"
#: The mouse goes to and fro over the first chart; all charts of the same axis follow it.
HOVER = """
  const plot = document.querySelector("figure.chart .chart-plot");
  const box = plot.getBoundingClientRect();
  const part = Math.abs((number % 80) - 40) / 40;
  const at = { clientX: box.left + box.width * (0.1 + 0.8 * part), clientY: box.top + box.height * 0.5, bubbles: true };
  plot.dispatchEvent(new PointerEvent("pointermove", at));
  plot.dispatchEvent(new MouseEvent("mousemove", at));
"""


@contextmanager
def _page(browser: Any, wanted: dict[str, tuple[str, int]]) -> Iterator[Any]:
    """A page of a browser that knows nothing, which notes when there is what is ``wanted`` (selector, how many)."""
    context = browser.new_context(viewport=SIZE, bypass_csp=True)
    page = context.new_page()
    page.add_init_script(WATCH % {name: list(selector) for name, selector in wanted.items()})
    page.set_default_timeout(TIMEOUT)
    yield page
    context.close()


def _firsts(page: Any, *names: str) -> list[float]:
    """When these were there, in milliseconds."""
    page.wait_for_function("(names) => names.every((name) => name in window.firsts)", arg=list(names))
    return [float(page.evaluate("(name) => window.firsts[name]", name)) for name in names]


def _took(page: Any, act: str, done: str) -> float:
    """Milliseconds from what is done to the frame that shows it."""
    code = f"""async () => {{
      const done = () => {done};
      const began = performance.now();
      {act};
      while (!done()) await new Promise(requestAnimationFrame);
      return performance.now() - began;
    }}"""
    return float(page.evaluate(code))


BUTTON = "[...document.querySelectorAll('button')].find((one) => one.firstChild.textContent.trim() === '%s').click()"
SORTED = "[role=columnheader][aria-sort]"
PRESSED = ".toolbar-tools > button[aria-pressed=true]"
ROWS = "[role=gridcell]"
WHOLE = ".runs-table[data-whole=true]"
DRAWN = "figure.chart canvas[data-drawn]"


@case(stored="dashboard", pinned=False)
def pages(place: Place) -> Figures:
    """Each in a browser that has no page of it yet; curves that nobody has asked for before come first."""
    size = place.size
    with serving(place.url) as server, chromium() as browser:
        server.json("meta")  # its process has begun
        origin = server.url
        return {
            **_charts(browser, origin, curves_of(size), size.frames),
            **_table(browser, origin, size.shown_runs, size.frames),
            **_long_run(browser, f"{origin}/#/run/{uid_of(size.shown_runs - 1)}"),
        }


def _charts(browser: Any, origin: str, uids: list[str], frames: int) -> Figures:
    """Six charts of ten runs, then of all, under the mouse."""
    place = f"{origin}/#/runs?tab=charts&cols-per-row=3&"
    with _page(browser, {"drawn": (DRAWN, 6)}) as page:
        page.goto(place + "&".join(f"runs={uid}" for uid in uids[:10]))
        (cold,) = _firsts(page, "drawn")
    with _page(browser, {"drawn": (DRAWN, 6)}) as page:
        page.goto(place + "&".join(f"runs={uid}" for uid in uids))
        _firsts(page, "drawn")
        page.wait_for_timeout(500)
        times = page.evaluate(FRAME_TIMES, [HOVER, frames])
        check("tips under the mouse", page.locator(".chart-tip:visible").count() > 0, True)
    return {"charts_cold_ms": cold, "hover_frame_ms": statistics.mean(times)}


def _table(browser: Any, origin: str, runs: int, frames: int) -> Figures:
    """The table alone: its rows, scrolled, sorted, and with the columns that differ."""
    with _page(browser, {"rows": (ROWS, 60), "whole": (WHOLE, 1)}) as page:
        page.goto(f"{origin}/#/runs?tab=table")
        rows, whole = _firsts(page, "rows", "whole")
        check("rows", page.get_attribute("[role=grid]", "aria-rowcount"), str(runs + 1))
        page.wait_for_timeout(200)
        times = sorted(page.evaluate(FRAME_TIMES, [SCROLL, frames]))
        page.evaluate("document.querySelector('[role=grid]').scrollTop = 0")
        sort = _took(page, BUTTON % "loss", f"document.querySelector({SORTED!r})")
        differs = _took(page, BUTTON % "Only what differs", f"document.querySelector({PRESSED!r})")
    return {
        "rows_ms": rows,
        "whole_ms": whole,
        "scroll_p95_ms": times[int(len(times) * 0.95)],
        "sort_ms": sort,
        "differs_ms": differs,
    }


def _long_run(browser: Any, address: str) -> Figures:
    """The page of a run of very many steps: its first curves."""
    with _page(browser, {"drawn": (DRAWN, 1)}) as page:
        page.goto(address)
        (drawn,) = _firsts(page, "drawn")
    return {"long_run_ms": drawn}
