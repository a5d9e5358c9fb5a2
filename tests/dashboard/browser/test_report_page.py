"""A report in a browser, opened from the disk without a network: it shows what the dashboard shows, and asks nobody."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from fixtures import experiments
from fixtures.browsers import THEMES, settle, violations
from fixtures.pictures import SHOTS
from trainstore import TrainStore
from trainstore.dashboard import write_report

PAGES = [shot for shot in SHOTS if shot.name in ("runs", "charts", "help", "run", "compare")]


class Report(NamedTuple):
    """A report as `open_page` takes it, which allows requests that begin with its own address only."""

    path: Path
    uids: list[str]

    @property
    def url(self):
        return self.path.parent.as_uri()

    @property
    def origin(self):
        return self.path.as_uri()


@pytest.fixture(scope="module")
def report_of(recorded_once, tmp_path_factory):
    """A report of all runs that ``fill`` records: ``report_of(fill)``; all tests that name the same share it."""
    made = {}

    def write(fill):
        if fill not in made:
            path = tmp_path_factory.mktemp("report") / "report.html"
            with TrainStore(recorded_once("sqlite", fill), read_only=True) as store:
                runs = store.list_runs()
                write_report(store, path, runs, title="</script> A & B")
                made[fill] = Report(path, runs["uid"].tolist())
        return made[fill]

    return write


@pytest.fixture
def shown(report_of, open_page):
    """A page of a report, once it is drawn: ``shown(fill, "#/runs")``. Its browser has no network."""

    def show(fill, place="", **look):
        page = open_page(report_of(fill), f"report.html{place}", offline=True, **look)
        settle(page)
        return page

    return show


@pytest.mark.parametrize("fill", [experiments.eight, experiments.markup])
@pytest.mark.parametrize("shot", PAGES, ids=[shot.name for shot in PAGES])
def test_every_page_opens_from_the_disk(shown, report_of, shot, fill):
    """In both themes, without an accessibility fault, a message, a broken policy or a request; no name is markup."""
    page = shown(fill, shot.place(report_of(fill).uids))
    shot.act(page)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        settle(page)
        assert violations(page) == [], theme
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.querySelectorAll('main script, main img[src=x], svg[onload]').length") == 0


def test_it_tells_that_it_is_a_report(shown):
    """The line above everything, the title, and no lamp, filter, health or latest run."""
    page = shown(experiments.eight)
    assert re.fullmatch(r"Report of \S+, .* UTC · 400 points a curve of up to 600", page.inner_text(".report-note"))
    assert page.title() == "</script> A & B"
    assert page.locator(".lamp").count() == 0
    assert page.locator("#bar input").count() == 0
    assert page.locator("#bar nav a").all_inner_texts() == ["Runs", "Compare"]


def test_the_table_and_the_charts_show_the_runs(shown):
    """All eight are there; each metric has a chart with lines in it."""
    page = shown(experiments.eight, "#/runs")
    names = page.locator("[role=gridcell] a").all_inner_texts()
    assert sorted(names) == ["stories-long", *(f"sweep-{number:03d}" for number in range(7))]
    assert page.locator("figure[data-metric=loss] canvas").count() >= 1
    painted = page.evaluate(
        """() => {
          const canvas = document.querySelector("figure[data-metric=loss] canvas");
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
          copy.drawImage(canvas, 0, 0);
          const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
          return data.filter((part, at) => at % 4 === 3 && part).length;
        }"""
    )
    assert painted > 500


def test_the_table_sorts_and_the_address_keeps_it(shown):
    """A click on a heading; the address can be opened again."""
    page = shown(experiments.eight, "#/runs?tab=table")  # only columns in view exist
    page.get_by_role("columnheader", name="batch_size").click()
    page.wait_for_function("location.hash.includes('sort=')")
    settle(page)
    again = shown(experiments.eight, page.evaluate("location.hash"))
    for each in (page, again):
        tops = each.eval_on_selector_all(
            "[role=gridcell] a", "(all) => all.map((one) => [one.getBoundingClientRect().top, one.textContent])"
        )
        assert min(tops)[1] in ("sweep-000", "sweep-001", "sweep-006")


def test_it_has_the_columns_of_the_dashboard(shown, dashboard_of, open_page):
    """The same ones in the same order: results before what is looked up."""
    page = open_page(dashboard_of(experiments.eight), "#/runs?tab=table", width=1440)
    settle(page)
    headings = page.get_by_role("columnheader").all_inner_texts()
    assert "eval_loss" in headings
    report = shown(experiments.eight, "#/runs?tab=table", width=1440)
    in_view = report.get_by_role("columnheader").all_inner_texts()
    assert "eval_loss" in in_view
    shared = min(len(headings), len(in_view))  # a column at the edge may be in view in one of them only
    assert in_view[:shared] == headings[:shared]


@pytest.mark.parametrize("x", ["epoch", "time", "relative"])
def test_curves_on_every_axis(shown, x):
    """Chosen by the address as by the control."""
    page = shown(experiments.eight, f"#/runs?x={x}")
    assert page.locator("figure[data-metric=loss] canvas").count() >= 1
    assert page.locator(".chart-error, figure .bad").count() == 0


def test_a_charts_points_can_be_saved(shown):
    """Without a server, and with the digits that they were logged with, as far as the report has them."""
    page = shown(experiments.eight, "#/runs")
    page.locator("figure[data-metric=eval_loss]").get_by_role("button", name="more for eval_loss").click()
    with page.expect_download() as waiting:
        page.get_by_text("CSV", exact=True).click()
    saved = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert waiting.value.suggested_filename == "eval_loss.csv"
    assert len(saved.splitlines()) > 60
    assert max(len(cell.lstrip("-0.")) for cell in re.findall(r"-?\d\.\d+", saved)) <= 10


def test_a_report_of_one_run_begins_with_its_page(shown):
    """Attempts, superseded stretches, events and samples are there."""
    page = shown(experiments.one)
    assert page.inner_text("main h1") == "stories-long"
    assert "#/run/" in page.url
    for tab, text in (("Attempts", "Attempt 2"), ("Events", "checkpoint"), ("Samples", "Once upon a time")):
        page.get_by_role("tab", name=tab).click()
        page.get_by_text(text).first.wait_for()
    assert page.get_by_text("trainstore show").count() == 0


def test_where_it_was_made_is_not_there(shown, report_of):
    """The page of a run has no environment, no host and no command line, unless they were asked for."""
    page = shown(experiments.one, f"#/run/{report_of(experiments.one).uids[0]}?tab=attempts")
    assert page.get_by_role("tab", name="Environment").count() == 0
    assert page.get_by_text(re.compile("^(host|command)$")).count() == 0


@pytest.mark.parametrize("place", ["#/latest", "#/health", "#/run/gone", "#/runs?q=x&sort=nothing&zoom=x", "#/%E0%A4"])
def test_an_address_with_nonsense_is_answered(shown, place):
    """With a page that says what is wrong, or without what it does not know."""
    page = shown(experiments.eight, place)
    assert page.inner_text("main").strip()


def test_a_broken_file_says_so(report_of, open_page, tmp_path):
    """A file that lost its end on the way shows an error, not an empty page."""
    whole = report_of(experiments.one).path.read_text()
    start = whole.index('id="trainstore-data">') + len('id="trainstore-data">')
    (tmp_path / "report.html").write_text(whole[: start + 4000] + whole[whole.index("</script>", start) :])
    page = open_page(Report(tmp_path / "report.html", []), "report.html", offline=True)
    settle(page)
    assert "damaged" in page.inner_text("main")
