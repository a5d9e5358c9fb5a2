"""What holds for every page, in both themes: axe finds nothing, the console is silent, no name becomes markup."""

import pytest
from sqlalchemy import select

from fixtures import experiments
from fixtures.browsers import THEMES, settle, violations
from fixtures.pictures import SHOTS
from trainstore import TrainStore

FILLS = {0: experiments.nothing, 8: experiments.eight}
#: The tabs of a run have a test like this of their own (test_run_page.py).
PAGES = [shot for shot in SHOTS if shot.name not in ("attempts", "events", "samples", "layers")]
BARE = ("runs", "latest")  # pages that look otherwise without a run
CASES = [(shot, count) for shot in PAGES for count in FILLS if count == 8 or shot.name in BARE]
WIDTHS = (1440, 800, 320)

#: Text that stands on other text: pairs of pieces whose boxes share more than a few pixels. What scrolls or floats over
#: a page is left out.
OVERLAPS = """() => {
  const floats = (element) => {
    for (let at = element; at; at = at.parentElement) {
      if (["fixed", "sticky"].includes(getComputedStyle(at).position) || at.matches("[role=dialog], dialog, .popup")) {
        return true;
      }
    }
    return false;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pieces = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (element.closest(".visually-hidden, option") || floats(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (let { left, top, right, bottom } of range.getClientRects()) {
      for (let at = element; at && at !== document.body; at = at.parentElement) {
        if (getComputedStyle(at).overflow === "visible") continue;
        const box = at.getBoundingClientRect();
        [left, top] = [Math.max(left, box.left), Math.max(top, box.top)];
        [right, bottom] = [Math.min(right, box.right), Math.min(bottom, box.bottom)];
      }
      if (right - left > 1 && bottom - top > 1) pieces.push({ node, left, top, right, bottom });
    }
  }
  const found = [];
  pieces.forEach((one, place) => {
    for (const other of pieces.slice(0, place)) {
      const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (one.node === other.node || wide <= 3 || high <= 4) continue;
      found.push(`${other.node.data.trim()} / ${one.node.data.trim()}`);
    }
  });
  return found;
}"""


def uids_of(dashboard):
    """The runs of its store, the newest first."""
    with TrainStore(dashboard.store_url, read_only=True) as store:
        run = store.table.run.c
        return list(store.connection.execute(select(run.uid).order_by(run.id.desc())).scalars())


@pytest.fixture
def shown(dashboard_of, open_page):
    """A page after what is done on it."""

    def show(shot, fill, **look):
        dashboard = dashboard_of(fill)
        page = open_page(dashboard, shot.place(uids_of(dashboard)), **look)
        page.watch.allowed += shot.allowed
        settle(page)
        shot.act(page)
        settle(page)
        return page

    return show


@pytest.mark.parametrize(("shot", "count"), CASES, ids=[f"{shot.name}-{count}" for shot, count in CASES])
def test_a_page_is_for_every_eye(shown, shot, count):
    """Axe finds nothing in either theme; at no width does text lie on text, nor does the page scroll sideways.

    Its end checks the rest: no message, no broken policy, no request to another origin.
    """
    page = shown(shot, FILLS[count])
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        settle(page)
        assert violations(page) == [], theme
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        assert page.evaluate(OVERLAPS) == [], width
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, width


MARKED = [shot for shot in PAGES if shot.name not in ("nonsense", "help")]


@pytest.mark.parametrize("shot", MARKED, ids=[shot.name for shot in MARKED])
def test_no_name_becomes_markup(shown, shot):
    """Whatever runs, projects, tags, hyperparameters, metrics, events, samples and notes are called."""
    page = shown(shot, experiments.markup)
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.querySelectorAll('main script, main img[src=x], svg[onload]').length") == 0
    if shot.name != "health":
        assert any(text in page.content().replace("&lt;", "<").replace("&gt;", ">") for text in experiments.MARKUP)
