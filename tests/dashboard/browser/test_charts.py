"""Charts in a browser: what is drawn, pointed at, zoomed, chosen and taken away."""

import csv
import io
import json
import math
import re
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from fixtures import experiments
from fixtures.browsers import THEMES, settle, violations, wait_until

#: The pixels of a canvas, by way of another one: reading a canvas itself often makes it slow, and browsers warn.
PIXELS = """
  const pixelsOf = canvas => {
    const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(canvas, 0, 0);
    return pen.getImageData(0, 0, copy.width, copy.height).data;
  };
"""

#: How many pixels of a chart's first canvas have (nearly) one of the colours of runs.
DRAWN = (
    "plot => {"
    + PIXELS
    + """
  const style = getComputedStyle(document.documentElement);
  const colours = Array.from({ length: 8 }, (_, i) => style.getPropertyValue(`--run-${i}`).trim())
    .map(hex => [1, 3, 5].map(place => parseInt(hex.slice(place, place + 2), 16)));
  const data = pixelsOf(plot.querySelector("canvas"));
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 200 && colours.some(c => c.every((part, k) => Math.abs(part - data[i + k]) < 12))) found += 1;
  }
  return found;
}
"""
)

#: Whether anything is drawn on the layer above the lines.
POINTED = (
    "plot => {"
    + PIXELS
    + """
  return pixelsOf([...plot.querySelectorAll("canvas")].at(-1)).some(part => part > 0);
}
"""
)


def odd(store):
    """A run of one step, one of a constant, one of NaN alone, and one with values of 0 and below."""
    for name, values in {
        "one step": [0.5],
        "constant": [3.0] * 80,
        "nothing but NaN": [math.nan] * 20,
        "both signs": [math.sin(step / 3) for step in range(200)],
        "huge": [(-1) ** step * 1.7e308 for step in range(10)],
    }.items():
        run = store.start_run(name, project="odd")
        for step, value in enumerate(values):
            run.log({name.replace(" ", "_"): value}, step=step)
        run.finish()


def long(store):
    """A run of 3,000 steps in two attempts, with 30 metrics."""
    run = store.start_run("long", project="long")
    for step in range(3000):
        run.log(
            {f"many/{number:02d}": math.cos(step / (20 + number)) for number in range(30)}, step=step, epoch=step / 500
        )
    run.finish()


@pytest.fixture
def charts_of(dashboard_of, open_page):
    """Open the charts of a store alone, and wait until they are drawn."""

    def open_charts(fill=experiments.eight, query="", **options):
        page = open_page(dashboard_of(fill), f"#/runs?tab=charts{query}", **options)
        page.wait_for_selector(".chart-plot")
        settle(page)
        return page

    return open_charts


def chart(page, metric):
    """The figure of a metric."""
    return page.locator(f'figure.chart[data-metric="{metric}"]').first


def plot(page, metric):
    """What takes focus and pointer there."""
    return chart(page, metric).locator(".chart-plot")


def drawn(page, metric):
    """How many pixels have colours of runs."""
    return plot(page, metric).evaluate(DRAWN)


def state(page):
    """The address's state."""
    return parse_qs(urlsplit(page.url.replace("#/", "x/")).query)


def point_at(page, metric, across, down=0.5):
    """Move the pointer into a chart; shares of its width and height."""
    box = plot(page, metric).bounding_box()
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])


def drag(page, metric, start, end, down=0.5, up=0.5):
    """Drag in a chart, from and to shares of its width."""
    point_at(page, metric, start, down)
    page.mouse.down()
    point_at(page, metric, (start + end) / 2, (down + up) / 2)
    point_at(page, metric, end, up)
    page.mouse.up()


def tip(page, metric):
    """The tip's texts: of other axes, and a row for each run."""
    shown = plot(page, metric).locator(".chart-tip")
    shown.wait_for(state="visible")
    return shown.evaluate(
        """tip => [
          Object.fromEntries([...tip.querySelectorAll("dl div")].map(div => [...div.children].map(it => it.innerText))),
          [...tip.querySelectorAll("tr")].map(row => [...row.cells].map(cell => cell.innerText)),
        ]"""
    )


def notes(page, metric):
    """What a chart says of itself."""
    return chart(page, metric).locator(".chart-notes").inner_text()


@pytest.mark.parametrize("theme", THEMES)
def test_a_chart_of_each_metric_draws_the_runs(charts_of, theme):
    """In the colours of the theme, losses first, layers in a section of their own."""
    page = charts_of(theme=theme)
    names = page.locator("figure.chart h3").all_inner_texts()
    assert names[:3] == ["loss", "eval_loss", "eval_accuracy"]
    assert page.locator("summary h2").all_inner_texts()[:2] == ["Metrics", "grad_norm"]
    assert page.get_by_role("list", name="runs").get_by_role("listitem").count() == 8
    for metric in ("loss", "eval_loss", "learning_rate"):
        assert drawn(page, metric) > 100, metric


def test_another_theme_repaints(charts_of):
    """The colours are those of the theme that is on, without a new request."""
    page = charts_of()
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    wait_until(page, lambda: drawn(page, "loss") > 100)


def test_what_is_not_finite_is_shown_and_said(charts_of):
    """At the foot and the head of the chart; the rest is drawn to its own scale."""
    page = charts_of()
    assert "× NaN, ▲▼ infinite" in notes(page, "loss")
    assert "NaN" not in notes(page, "eval_loss")


@pytest.mark.parametrize("metric", ["one_step", "constant", "both_signs", "huge"])
def test_curves_of_one_point_of_one_value_or_of_the_widest_numbers_are_drawn(charts_of, metric):
    """Each fills its chart."""
    page = charts_of(odd)
    assert drawn(page, metric) > 8


def test_nothing_but_nan_is_said(charts_of):
    """There is no scale, but the marks are there."""
    page = charts_of(odd)
    assert "no value is finite" in notes(page, "nothing_but_NaN")
    assert drawn(page, "nothing_but_NaN") > 8


def test_pointing_shows_a_line_in_all_charts_and_the_nearest_runs(charts_of):
    """The runs from the highest value down, with step, epoch and time; not those that ended long before."""
    page = charts_of()
    point_at(page, "eval_loss", 0.2)
    facts, rows = tip(page, "eval_loss")
    wait_until(page, lambda: {"step", "epoch", "time"} <= set(tip(page, "eval_loss")[0]))
    assert re.fullmatch(r"\d+", facts["step"])
    values = [float(row[-1]) for row in rows]
    assert len(values) == 8
    assert values == sorted(values, reverse=True)
    assert {row[1] for row in rows} >= {"stories-long", "sweep-000"}
    assert plot(page, "loss").evaluate(POINTED)
    point_at(page, "eval_loss", 0.45)
    wait_until(page, lambda: len(tip(page, "eval_loss")[1]) == 6)
    page.mouse.move(2, 2)
    plot(page, "eval_loss").locator(".chart-tip").wait_for(state="hidden")
    wait_until(page, lambda: not plot(page, "loss").evaluate(POINTED))


def test_a_click_pins_the_tip(charts_of):
    """It stays where the pointer goes, until another click or Escape."""
    page = charts_of()
    point_at(page, "eval_loss", 0.3)
    page.mouse.down()
    page.mouse.up()
    before = tip(page, "eval_loss")
    point_at(page, "eval_loss", 0.8)
    settle(page)
    assert tip(page, "eval_loss")[0]["step"] == before[0]["step"]
    plot(page, "eval_loss").press("Escape")
    plot(page, "eval_loss").locator(".chart-tip").wait_for(state="hidden")
    point_at(page, "eval_loss", 0.4)
    tip(page, "eval_loss")
    assert plot(page, "eval_loss").locator(".chart-tip.pinned").count() == 0


def test_a_pinned_chart_that_goes_away_lets_the_others_be_pointed_at(charts_of):
    """As when the search finds it no more."""
    page = charts_of()
    point_at(page, "eval_loss", 0.3)
    page.mouse.down()
    page.mouse.up()
    tip(page, "eval_loss")
    page.get_by_label("search metrics").fill("eval_accuracy")
    wait_until(page, lambda: page.locator("figure.chart").count() == 1)
    settle(page)
    point_at(page, "eval_accuracy", 0.3)
    tip(page, "eval_accuracy")


def test_dragging_zooms_all_charts_and_fetches_the_range(charts_of):
    """z goes back a step, 0 and a double click to the whole; the address has the range, and Back works."""
    page = charts_of(long)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    drag(page, "many/00", 0.3, 0.6)
    settle(page)
    low, high = map(float, state(page)["zoom"][0].split(","))
    assert 600 < low < high < 2000
    queries = [parse_qs(urlsplit(url).query) for url in asked if "/series" in url and "lo=" in url]
    assert {float(query["lo"][0]) for query in queries} == {low}
    assert len({metric for query in queries for metric in query["metrics"]}) > 1
    drag(page, "many/01", 0.3, 0.6)
    settle(page)
    assert float(state(page)["zoom"][0].split(",")[0]) > low
    plot(page, "many/01").press("z")
    assert float(state(page)["zoom"][0].split(",")[0]) == low
    plot(page, "many/01").press("0")
    assert "zoom" not in state(page)
    page.go_back()
    page.wait_for_function("() => location.hash.includes('zoom')")
    plot(page, "many/00").dblclick()
    page.wait_for_function("() => !location.hash.includes('zoom')")


def test_dragging_with_shift_zooms_the_values_of_one_chart(charts_of):
    """The address has the ends for this chart alone."""
    page = charts_of()
    page.keyboard.down("Shift")
    drag(page, "eval_loss", 0.5, 0.5, 0.3, 0.7)
    page.keyboard.up("Shift")
    [own] = state(page)["chart"]
    chosen = parse_qs(own)
    assert chosen["m"] == ["eval_loss"]
    assert float(chosen["ymin"][0]) < float(chosen["ymax"][0])
    plot(page, "eval_loss").press("0")
    wait_until(page, lambda: "chart" not in state(page))  # the address may be a moment behind


def test_a_chart_is_read_by_keys(charts_of):
    """Arrows along the points and between the runs; what is read is told to screen readers."""
    page = charts_of()
    told = page.locator("#live-region")
    plot(page, "eval_loss").focus()
    page.keyboard.press("Home")
    first = told.inner_text()
    page.keyboard.press("ArrowRight")
    second = told.inner_text()
    page.keyboard.press("ArrowDown")
    other = told.inner_text()
    pattern = r"([\w-]+): step (\d+)(?:, epoch [\d.]+)?(?:, time [\d: -]+)?: ([\d.]+)"
    run, step, _ = re.fullmatch(pattern, first).groups()
    assert re.fullmatch(pattern, second).group(1) == run
    assert int(re.fullmatch(pattern, second).group(2)) > int(step)
    assert re.fullmatch(pattern, other).group(1) != run


def test_enter_fills_the_screen_and_escape_leaves_it(charts_of):
    """The address has it, so that a link shows one chart; Back leaves it, too."""
    page = charts_of()
    plot(page, "loss").press("Enter")
    assert state(page)["full"] == ["loss"]
    wait_until(page, lambda: chart(page, "loss").bounding_box()["width"] == 1440)
    assert chart(page, "loss").locator(".chart-legend li").count() == 8
    assert chart(page, "loss").locator(".chart-legend").is_visible()
    point_at(page, "loss", 0.5)  # the pointer may lie in it
    tip(page, "loss")
    page.keyboard.press("Escape")
    assert "full" not in state(page)
    wait_until(page, lambda: chart(page, "loss").bounding_box()["width"] < 1000)
    assert page.locator(".chart .chart-legend").count() == 0
    plot(page, "loss").press("Enter")
    page.go_back()
    wait_until(page, lambda: chart(page, "loss").bounding_box()["width"] < 1000)


def test_charts_out_of_sight_are_not_fetched(charts_of):
    """Each is when it comes into view."""
    page = charts_of(long, "&cols-per-row=1")
    asked = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    metrics = [name for url in asked if "/series" in url for name in parse_qs(urlsplit(url).query)["metrics"]]
    assert "many/00" in metrics
    assert "many/29" not in metrics
    chart(page, "many/29").scroll_into_view_if_needed()
    wait_until(page, lambda: drawn(page, "many/29") > 100)


def test_smoothing_needs_no_request_and_is_said(charts_of):
    """Few points stay as they are, and their chart says so."""
    page = charts_of()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("smoothing, as a number").fill("0.9")
    page.keyboard.press("Enter")
    wait_until(page, lambda: "smoothed 0.9" in notes(page, "loss"))
    assert "fewer than 64 points: not smoothed" in notes(page, "eval_loss")
    assert state(page)["smooth"] == ["0.9"]
    assert [url for url in asked if "/series" in url] == []
    page.get_by_label("smoothing, as a number").fill("20")
    page.keyboard.press("Enter")
    assert page.get_by_label("smoothing, as a number").input_value() == "0.999"
    assert state(page)["smooth"] == ["0.999"]


def test_values_of_zero_and_below_are_left_out_of_a_log_axis_and_counted(charts_of):
    """The address has the axis."""
    page = charts_of(odd)
    page.get_by_role("button", name="log y").first.click()
    wait_until(page, lambda: "of 0 and below left out" in notes(page, "both_signs"))
    assert state(page)["logy"] == ["1"]


@pytest.mark.parametrize("axis", ["epoch", "time", "relative", "loss"])
def test_curves_over_another_axis(charts_of, axis):
    """Time, epoch, time since the start, and any metric."""
    page = charts_of()
    page.locator(".chart-controls select").first.select_option(axis)
    settle(page)
    assert state(page)["x"] == [axis]
    wait_until(page, lambda: drawn(page, "eval_accuracy") > 50)
    point_at(page, "eval_accuracy", 0.3)
    facts, _ = tip(page, "eval_accuracy")
    assert next(iter(facts)) == {"relative": "since the start"}.get(axis, axis)


def test_the_search_the_pins_and_the_columns_are_in_the_address(charts_of):
    """A link shows the same charts."""
    page = charts_of()
    page.get_by_label("search metrics").fill("loss")
    wait_until(page, lambda: page.locator("figure.chart h3").all_inner_texts() == ["loss", "eval_loss"])
    page.get_by_label("pin eval_loss").click()
    page.get_by_label("2 per row").click()
    assert page.locator("figure.chart h3").all_inner_texts() == ["eval_loss", "loss", "eval_loss"]
    page.reload()
    page.wait_for_selector(".chart-plot")
    assert page.locator("figure.chart h3").all_inner_texts() == ["eval_loss", "loss", "eval_loss"]
    assert page.locator("summary h2").all_inner_texts() == ["Pinned", "Metrics"]


def test_one_chart_may_differ_from_the_others(charts_of):
    """Its menu sets what is its own; the address has it."""
    page = charts_of()
    page.get_by_label("more for loss", exact=True).click()
    menu = page.get_by_role("dialog", name="settings of loss")
    menu.get_by_role("button", name="log y").click()
    assert parse_qs(state(page)["chart"][0]) == {"m": ["loss"], "logy": ["1"]}
    menu.get_by_role("button", name="as all charts").click()
    assert "chart" not in state(page)
    page.keyboard.press("Escape")
    menu.wait_for(state="detached")


def choose(page, metric, item):
    """An entry of a chart's menu."""
    page.get_by_label(f"more for {metric}", exact=True).click()
    page.get_by_role("dialog", name=f"settings of {metric}").get_by_role("button", name=item).click()


def saved(page, metric, item):
    """The file that an entry gives: its name and its bytes."""
    with page.expect_download() as waiting:
        choose(page, metric, item)
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def test_the_points_are_there_as_a_table_and_as_csv(charts_of):
    """The table is the chart for those who do not see it; CSV has all points."""
    page = charts_of()
    choose(page, "eval_loss", "show the data")
    table = chart(page, "eval_loss").get_by_role("table")
    heads = table.locator("thead th").all_inner_texts()
    assert heads == ["run", "step", "mean", "min", "max", "points"]
    rows = table.locator("tbody tr").count()
    name, content = saved(page, "eval_loss", "CSV")
    found = list(csv.DictReader(io.StringIO(content.decode())))
    assert name == "eval_loss.csv"
    assert len(found) == rows > 60
    assert {row["run"] for row in found} >= {"stories-long", "sweep-000"}
    choose(page, "eval_loss", "show the chart")
    wait_until(page, lambda: drawn(page, "eval_loss") > 50)


def test_a_picture_can_be_taken_away(charts_of):
    """As PNG and as SVG, with the names of the runs."""
    page = charts_of()
    name, content = saved(page, "loss", "PNG")
    assert (name, content[:8]) == ("loss.png", b"\x89PNG\r\n\x1a\n")
    name, content = saved(page, "loss", "SVG")
    root = ElementTree.fromstring(content)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert name == "loss.svg"
    assert {"loss", "step", "stories-long", "sweep-000"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 16


def test_names_of_markup_stay_text(charts_of):
    """In titles, tips, tables and pictures."""
    page = charts_of(experiments.markup)
    for metric in (experiments.MARKUP[0], "loss"):
        shown = page.locator("figure.chart").filter(has=page.get_by_role("heading", name=metric, exact=True)).first
        shown.scroll_into_view_if_needed()
        settle(page)
        box = shown.locator(".chart-plot").bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 60)
        shown.locator(".chart-tip").wait_for(state="visible")
    _, content = saved(page, "loss", "SVG")
    texts = [element.text for element in ElementTree.fromstring(content).iter("{http://www.w3.org/2000/svg}text")]
    assert set(experiments.MARKUP) <= set(texts)
    assert page.evaluate("window.harmed") is None


def test_nonsense_in_the_address_is_taken_for_nothing(charts_of):
    """The charts are drawn as without it."""
    query = "&smooth=x&zoom=3&zoom=b&points=-1&chart=%25&chart=m%3Dloss%26ymin%3Dx&cols-per-row=77&band=x&full=nothing"
    page = charts_of(experiments.eight, query)
    assert drawn(page, "loss") > 100
    assert page.locator("html.chart-fills").count() == 0


def test_a_menu_does_not_outlive_its_page(charts_of):
    """Back closes it."""
    page = charts_of()
    page.evaluate("location.hash = location.hash + '&logy=1'")
    settle(page)
    page.get_by_label("more for loss", exact=True).click()
    menu = page.get_by_role("dialog", name="settings of loss")
    menu.wait_for()
    page.go_back()
    menu.wait_for(state="detached")


def test_a_failed_read_is_said_and_can_be_tried_again(charts_of):
    """The button is where the curves would be."""
    page = charts_of()
    page.watch.allowed.append("status of 503")
    answer = json.dumps({"error": {"code": "away", "message": "the database is away", "hint": ""}})
    page.route("**/series?*", lambda route: route.fulfill(status=503, body=answer, content_type="application/json"))
    page.locator(".chart-controls select").first.select_option("epoch")
    middle = chart(page, "loss").locator(".chart-middle")
    middle.filter(has_text="the database is away").wait_for()
    page.unroute("**/series?*")
    middle.get_by_role("button", name="try again").click()
    wait_until(page, lambda: drawn(page, "loss") > 100)


@pytest.mark.parametrize("theme", THEMES)
def test_charts_pass_axe(charts_of, theme):
    """With a pinned tip, a table and a menu open."""
    page = charts_of(theme=theme)
    choose(page, "eval_loss", "show the data")
    point_at(page, "loss", 0.5)
    page.mouse.down()
    page.mouse.up()
    tip(page, "loss")
    page.get_by_label("more for loss", exact=True).click()
    page.get_by_role("dialog", name="settings of loss").wait_for()
    assert violations(page) == []


def test_groups_are_drawn_as_a_mean_and_a_band_with_a_legend(charts_of):
    """One line a group of all runs that the filter finds, the same colour in all charts; the band can be chosen."""
    page = charts_of(experiments.eight, "&group=hp.optimizer")
    legend = page.get_by_role("list", name="groups").locator("li")
    wait_until(page, lambda: legend.count() == 2)
    assert sum(int(re.search(r"\((\d+)\)$", text).group(1)) for text in legend.all_inner_texts()) == 8
    assert "mean and std of each group" in notes(page, "loss")
    assert drawn(page, "loss") > 100
    point_at(page, "loss", 0.5)
    _, rows = tip(page, "loss")
    assert {row[1] for row in rows if row[1]} == set(legend.all_inner_texts())
    page.locator(".chart-controls select").nth(1).select_option("range")
    wait_until(page, lambda: "mean and range of each group" in notes(page, "loss"))
    assert state(page)["band"] == ["range"]


def test_how_many_points_a_curve_has_can_be_chosen(charts_of):
    """The curves are fetched again with as many."""
    page = charts_of(long)
    page.get_by_label("more settings").click()
    with page.expect_request("**/series?*points=100*") as asked:
        page.get_by_label("points of a curve").select_option("100")
    assert "many/00" in parse_qs(urlsplit(asked.value.url).query)["metrics"]
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="more settings").wait_for(state="detached")
    settle(page)
    choose(page, "many/00", "show the data")
    assert chart(page, "many/00").locator("tbody tr").count() == 100


def test_without_a_chosen_run_the_charts_say_what_to_do(dashboard_of, open_page):
    """And a choice brings them, without what was there before."""
    page = open_page(dashboard_of(odd), "#/runs?runs=none")
    page.locator(".chart-sections").get_by_text("Select a run to see its curves.").wait_for()
    page.get_by_role("checkbox").nth(1).check()
    page.wait_for_selector(".chart-plot")
    assert page.get_by_text("Select a run to see its curves.").count() == 0


def test_a_metric_that_the_chosen_runs_lack_says_so(dashboard_of, open_page):
    """Nothing is drawn there, not even an axis."""
    dashboard = dashboard_of(odd)
    page = open_page(dashboard, "#/runs")
    uid = page.evaluate(
        "fetch('api/v1/runs?columns=uid&sort=name').then(a => a.json()).then(t => t.columns[0].values[0])"
    )
    page.goto(f"{dashboard.url}/#/runs?tab=charts&runs={uid}&metrics=huge")
    chart(page, "huge").get_by_text("no values in these runs").wait_for()
    page.goto(f"{dashboard.url}/#/runs?tab=charts&x=epoch")
    chart(page, "huge").get_by_text("these runs recorded no epoch with huge").wait_for()
    page.goto(f"{dashboard.url}/#/runs?tab=charts&x=constant&metrics=huge")
    chart(page, "huge").get_by_text("no step of these runs has both huge and constant").wait_for()
    page.goto(f"{dashboard.url}/#/runs?tab=charts&runs={uid}&metrics=huge&x=epoch")
    chart(page, "huge").get_by_text("no values in these runs").wait_for()


def test_a_link_to_one_chart_can_be_copied(charts_of):
    """It opens the page with this chart in full screen."""
    page = charts_of(permissions=["clipboard-read", "clipboard-write"])
    choose(page, "eval_loss", "copy link")
    wait_until(page, lambda: notes(page, "eval_loss") == "the link is copied")
    page.goto(page.evaluate("navigator.clipboard.readText()"))
    page.reload()
    page.wait_for_selector(".chart-full")
    assert chart(page, "eval_loss").bounding_box()["width"] == 1440
    chart(page, "eval_loss").locator(".chart-legend").wait_for()
    assert page.locator("html.chart-fills").count() == 1


def test_nothing_is_said_of_runs_before_they_are_read(dashboard_of, open_page):
    """Neither that there are no metrics nor that none is chosen."""
    page = open_page(dashboard_of(experiments.eight))
    said = """
      window.said = [];
      new MutationObserver(() => {
        for (const empty of document.querySelectorAll(".charts .empty")) window.said.push(empty.innerText);
      }).observe(document, { childList: true, subtree: true });
    """
    page.add_init_script(said)
    page.reload()
    page.wait_for_selector(".chart-plot")
    settle(page)
    assert page.evaluate("window.said") == []
