"""The page of the runs in a browser: table, filter, selection, charts, keys; its address is its state."""

import csv
import re

import pytest

from fixtures import experiments
from fixtures.browsers import settle, wait_until

NAMES = "[role=gridcell] a"


@pytest.fixture
def page(dashboard_of, open_page):
    """The page of eight runs."""
    shown = open_page(dashboard_of(experiments.eight), "#/runs")
    whole(shown)
    return shown


def whole(page):
    """Wait until the table has all runs that the filter admits."""
    page.wait_for_selector(".runs-table[data-whole=true]")
    settle(page)


def names(page):
    """Of the runs, as they stand below each other."""
    rows = page.eval_on_selector_all(
        NAMES, "(all) => all.map((one) => [one.getBoundingClientRect().top, one.textContent])"
    )
    return [name for _, name in sorted(rows)]


def column(page, heading):
    """The texts of a column, from top to bottom."""
    head = page.get_by_role("columnheader", name=heading, exact=True)
    place = head.get_attribute("aria-colindex")
    cells = page.eval_on_selector_all(
        f"[role=gridcell][aria-colindex='{place}']",
        "(all) => all.map((one) => [one.getBoundingClientRect().top, one.textContent])",
    )
    return [text for _, text in sorted(cells)]


def chosen(page):
    """The runs that are marked for the charts."""
    boxes = page.get_by_role("checkbox", name=re.compile("^Show .* in the charts$"), checked=True)
    return sorted(box.get_attribute("aria-label").split()[1] for box in boxes.all())


def colours(page, metric):
    """How many pixels of a chart have the colour of each of the eight runs' styles, nearly."""
    return page.evaluate(
        """(metric) => {
          const style = getComputedStyle(document.documentElement);
          const wanted = [...Array(8).keys()].map((number) => {
            const hexa = style.getPropertyValue(`--run-${number}`).trim();
            return [1, 3, 5].map((place) => parseInt(hexa.slice(place, place + 2), 16));
          });
          const canvas = document.querySelector(`figure[data-metric="${metric}"] canvas`);
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
          copy.drawImage(canvas, 0, 0);
          const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
          const counts = wanted.map(() => 0);
          for (let at = 0; at < data.length; at += 4) {
            if (data[at + 3] < 200) continue;
            wanted.forEach((colour, number) => {
              if (colour.every((part, place) => Math.abs(part - data[at + place]) < 12)) counts[number] += 1;
            });
          }
          return counts;
        }""",
        metric,
    )


def type_filter(page, text):
    """What a person types, and Enter."""
    field = page.get_by_role("combobox", name="Filter of runs")
    field.fill(text)
    field.press("Enter")


def test_the_newest_runs_are_there_and_drawn(page):
    """All eight in the table, the newest on top, each with its status in words, and a curve of its own colour."""
    assert names(page) == ["stories-long", *(f"sweep-{number:03d}" for number in range(6, -1, -1))]
    assert page.get_by_role("grid", name="Runs").get_attribute("aria-rowcount") == "9"
    assert [text.split()[-1] for text in column(page, "status")] == [
        "finished", "finished", "finished", "finished", "interrupted", "finished", "failed", "finished",
    ]  # fmt: skip
    assert len(chosen(page)) == 8
    counts = colours(page, "eval_loss")
    assert min(counts) > 20, counts


def test_the_table_has_what_was_recorded(page):
    """The last values, with few digits, and NaN by name."""
    assert column(page, "loss").count("NaN") == 1
    assert page.get_by_role("columnheader", name="eval_loss", exact=True).is_visible()
    page.keyboard.press("t")
    settle(page)
    assert column(page, "optimizer")[:3] == ["adamw", "lion", "lion"]


def test_a_filter_is_applied_kept_in_the_address_and_taken_back(page):
    """Numbers compare as numbers; Back is the way out."""
    type_filter(page, "hp.learning_rate < 1e-3 and status = finished")
    wait_until(page, lambda: names(page) == ["stories-long", "sweep-004"])
    assert "q=hp.learning_rate" in page.url
    page.go_back()
    wait_until(page, lambda: len(names(page)) == 8)
    assert "q=" not in page.url
    page.go_forward()
    wait_until(page, lambda: len(names(page)) == 2)


def test_another_page_has_the_focus_a_title_and_the_filter_of_its_address(page):
    """The bar follows the address; on a page without a table the filter is cleared, but no half of one is applied."""
    field = page.get_by_role("combobox", name="Filter of runs")
    type_filter(page, "status = finished")
    wait_until(page, lambda: "q=status" in page.url)
    page.get_by_role("link", name="Health", exact=True).click()
    wait_until(page, lambda: page.title().startswith("Health · "))
    assert page.evaluate("document.activeElement.id") == "page"
    assert field.input_value() == "status = finished"
    page.get_by_role("button", name="Clear the filter").click()
    wait_until(page, lambda: page.url.endswith("#/health"))
    field.fill("hp.learning_rate <")
    field.blur()
    assert page.url.endswith("#/health")
    page.evaluate("location.hash = '#/runs?q=status+%3D+failed'")
    wait_until(page, lambda: len(names(page)) == 1)
    assert field.input_value() == "status = failed"
    field.focus()
    field.blur()
    assert page.url.endswith("q=status+%3D+failed")
    page.go_back()
    wait_until(page, lambda: page.url.endswith("#/health"))
    assert field.input_value() == ""


def test_a_filter_that_cannot_be_read_says_where(page):
    """Under the field, with a proposal; the rows stay."""
    page.watch.allowed.append("status of 400")
    type_filter(page, "hp.learning_rte < 1e-3")
    problem = page.get_by_role("alert")
    problem.wait_for()
    assert "learning_rate" in problem.inner_text()
    assert len(names(page)) == 8
    page.get_by_text("The filter has an error; these are the runs of the one before.").wait_for()
    field = page.get_by_role("combobox", name="Filter of runs")
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("")
    field.press("Enter")
    problem.wait_for(state="hidden")
    page.get_by_text("runs of the one before").wait_for(state="hidden")


def test_a_link_with_a_filter_that_cannot_be_read_says_why(page):
    """And leads out."""
    page.watch.allowed.append("status of 400")
    type_filter(page, "hp.learning_rte < 1e-3")
    page.get_by_role("alert").wait_for()
    page.reload()
    trouble = page.locator("main .empty")
    trouble.get_by_role("heading", name="The filter has an error").wait_for()
    assert "hp.learning_rte < 1e-3" in trouble.inner_text()
    assert "learning_rate" in trouble.inner_text()
    trouble.get_by_role("button", name="Clear the filter").click()
    wait_until(page, lambda: len(names(page)) == 8)


def test_the_filter_completes_names(page):
    """By keys alone."""
    field = page.get_by_role("combobox", name="Filter of runs")
    field.press_sequentially("hp.opt")
    page.get_by_role("option", name=re.compile("hp.optimizer")).wait_for()
    field.press("ArrowDown")
    field.press("Tab")
    assert field.input_value().startswith("hp.optimizer")
    field.press_sequentially("= lion")
    field.press("Escape")
    field.press("Enter")
    wait_until(page, lambda: names(page) == ["sweep-006", "sweep-005"])


def test_nothing_found_says_how_to_go_on(page):
    """And a click does it."""
    type_filter(page, "name = nobody")
    page.get_by_role("heading", name=re.compile("No run|Nothing")).wait_for()
    page.get_by_role("button", name=re.compile("filter", re.IGNORECASE)).last.click()
    wait_until(page, lambda: len(names(page)) == 8)


def test_columns_sort_both_ways_and_what_is_missing_stays_last(page):
    """A heading is a button; NaN is last either way."""
    heading = page.get_by_role("columnheader", name="loss", exact=True)
    heading.get_by_role("button").click()
    settle(page)
    assert heading.get_attribute("aria-sort") in ("ascending", "descending")
    first = column(page, "loss")
    heading.get_by_role("button").click()
    settle(page)
    second = column(page, "loss")
    assert first[-1] == second[-1] == "NaN"
    assert first[:-1] == second[-2::-1]
    assert [float(text) for text in first[:-1]] in (
        sorted(map(float, first[:-1])),
        sorted(map(float, first[:-1]), reverse=True),
    )
    assert "sort=" in page.url
    page.go_back()
    settle(page)
    assert column(page, "loss") == first


def test_a_run_leaves_the_charts_and_comes_back(page):
    """By its box; the address knows, and its colour leaves the charts with it."""
    page.get_by_role("checkbox", name="Show sweep-006 in the charts").click()
    wait_until(page, lambda: "sweep-006" not in chosen(page))
    settle(page)
    assert "runs=" in page.url
    assert sum(count > 20 for count in colours(page, "eval_loss")) == 7
    page.get_by_role("checkbox", name="Show sweep-006 in the charts").click()
    wait_until(page, lambda: len(chosen(page)) == 8)


def test_back_undoes_a_choice_of_runs(page):
    """Boxes that are clicked right after each other are one step."""
    page.evaluate(
        """() => ["sweep-006", "sweep-005"].forEach((name) =>
             document.querySelector(`[aria-label="Show ${name} in the charts"]`).click())"""
    )
    wait_until(page, lambda: page.url.count("runs=") == 6)
    page.go_back()
    wait_until(page, lambda: len(chosen(page)) == 8)
    page.go_forward()
    wait_until(page, lambda: len(chosen(page)) == 6)


def test_runs_and_steps_are_saved_as_files(page):
    """All runs of the table, or the steps of those in the charts."""
    page.get_by_role("button", name="in the charts").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the runs as CSV").click()
    with saved.value.path().open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 8
    assert saved.value.suggested_filename == "runs.csv"
    page.get_by_role("button", name="in the charts").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the steps as CSV").click()
    assert "loss" in saved.value.path().read_text(encoding="utf-8").splitlines()[0]


def test_groups_tell_mean_and_deviation_and_open(page):
    """One row a group; it opens to its runs."""
    page.goto(re.sub("#.*", "#/runs?group=hp.optimizer", page.url))
    whole(page)
    groups = page.get_by_role("button", name=re.compile("optimizer = "))
    assert sorted(re.sub(r"^\W+", "", group.inner_text()).split()[2] for group in groups.all()) == ["adamw", "lion"]
    assert any("±" in text for text in column(page, "eval_loss"))
    page.get_by_role("button", name=re.compile("optimizer = lion")).click()
    wait_until(page, lambda: names(page) == ["sweep-006", "sweep-005"])


def test_a_group_is_marked_as_its_curve_is(page):
    """And its runs, which have no curve then, are not."""
    page.goto(re.sub("#.*", "#/runs?group=hp.optimizer", page.url))
    whole(page)
    page.get_by_role("button", name=re.compile("optimizer = lion")).click()
    wait_until(page, lambda: len(names(page)) == 2)
    colour = "(all) => all.map((one) => getComputedStyle(one).stroke)"
    marks = page.locator(".grid-body .run-line line")
    wait_until(page, lambda: marks.count() == 2)
    drawn = page.locator(".chart-legend line")
    assert sorted(marks.evaluate_all(colour)) == sorted(drawn.evaluate_all(colour))


def test_columns_are_chosen_and_only_what_differs(page):
    """The picker adds one, the button keeps what tells runs apart."""
    page.keyboard.press("t")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("searchbox", name="Search columns").fill("precision")
    page.get_by_role("checkbox", name=re.compile("precision")).check()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("End")  # to the column that was added
    settle(page)
    assert "cols=" in page.url
    assert set(column(page, "precision")) == {"bf16"}
    page.get_by_role("button", name="Only what differs").click()
    settle(page)
    assert page.get_by_role("columnheader", name="precision", exact=True).count() == 0
    assert page.get_by_role("columnheader", name="optimizer", exact=True).count() == 1


def test_enter_takes_the_column_that_the_search_finds(page):
    """In the picker of columns as in that of groups."""
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("searchbox", name="Search columns").fill("precision")
    page.keyboard.press("Enter")
    assert "cols=hp.precision" in page.url
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Group").click()
    page.get_by_role("searchbox", name="Search columns").fill("optimizer")
    page.keyboard.press("Enter")
    assert "group=hp.optimizer" in page.url


def test_an_address_is_a_whole_state(page, open_page, dashboard_of):
    """What one person sees, another one opens by the link: filter, order, choice, smoothing, theme apart."""
    type_filter(page, "status = finished")
    wait_until(page, lambda: len(names(page)) == 6)
    page.get_by_role("columnheader", name="eval_loss", exact=True).get_by_role("button").click()
    page.get_by_role("checkbox", name="Show sweep-000 in the charts").click()
    page.get_by_label("smoothing, as a number").fill("0.9")
    page.get_by_label("smoothing, as a number").press("Enter")
    settle(page)
    place = page.url.partition("/#")[2]
    other = open_page(dashboard_of(experiments.eight), f"#{place}", theme="dark")
    whole(other)
    assert names(other) == names(page)
    assert chosen(other) == chosen(page) != []
    assert other.get_by_label("smoothing, as a number").input_value() == "0.9"


def test_nonsense_in_an_address_is_no_error(dashboard_of, open_page):
    """What cannot be read counts as not given, or is told; the page is there."""
    place = "#/runs?zoom=x&smooth=many&cols-per-row=-3&pins=&runs=nobody&x=%00&points=1e9&tab=nothing"
    page = open_page(dashboard_of(experiments.eight), place)
    whole(page)
    assert len(names(page)) == 8
    page = open_page(dashboard_of(experiments.eight), "#/nowhere/at?all=%E0%A4%A")
    page.get_by_text("There is no page “nowhere”").wait_for()


def test_everything_can_be_done_by_keys(page):
    """To the table, through its cells, a run out of the charts, to the filter, help, the charts alone, and back."""
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    wait_until(page, lambda: len(chosen(page)) == 7)
    page.keyboard.press("/")
    page.keyboard.type("status = failed")
    page.keyboard.press("Enter")
    wait_until(page, lambda: names(page) == ["sweep-001"])
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    wait_until(page, lambda: len(names(page)) == 8)
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Help").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    wait_until(page, lambda: not page.get_by_role("grid", name="Runs").is_visible())
    page.keyboard.press("c")
    page.get_by_role("grid", name="Runs").wait_for()


def test_enter_opens_the_run_and_back_leads_to_its_row(page):
    """From the cell with the box, too."""
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name="sweep-006").wait_for()
    page.go_back()
    whole(page)
    row = page.get_by_role("row").filter(has_text="sweep-006")
    wait_until(page, lambda: row.evaluate("(row) => row.contains(document.activeElement)"))


def test_the_theme_is_the_readers_choice_and_is_remembered(page):
    """Dark stays dark after the page is loaded again, whatever the system says."""
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("combobox", name="Theme").select_option("dark")
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    whole(page)
    assert page.evaluate(background) == dark
    assert min(colours(page, "eval_loss")) > 20


def test_zoom_is_of_all_charts_and_is_taken_back(page):
    """Dragging over one chart zooms all of the same axis; a double click shows everything again."""
    plot = page.locator("figure[data-metric=eval_loss] .chart-plot")
    box = plot.bounding_box()
    y = box["y"] + box["height"] / 2
    before = colours(page, "eval_accuracy")
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, y, steps=5)
    page.mouse.up()
    wait_until(page, lambda: "zoom=" in page.url)
    settle(page)
    assert colours(page, "eval_accuracy") != before
    plot.dblclick()
    wait_until(page, lambda: "zoom=" not in page.url)
    settle(page)
    assert colours(page, "eval_accuracy") == before


def test_hover_tells_the_nearest_runs(page):
    """Name, value and step, at the mouse and by keys."""
    plot = page.locator("figure[data-metric=eval_loss] .chart-plot")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.8)
    tip = page.locator(".chart-tip:visible")
    tip.wait_for()
    assert "stories-long" in tip.inner_text()
    page.mouse.move(0, 0)
    plot.focus()
    page.keyboard.press("ArrowRight")
    wait_until(page, lambda: page.locator("#live-region").inner_text() != "")
    assert re.search(r"(sweep|stories)-", page.locator("#live-region").inner_text())


def test_a_chart_gives_its_points_as_a_table(page):
    """The form for those who cannot see the picture."""
    page.get_by_role("button", name="more for eval_loss").click()
    page.get_by_role("button", name="show the data").click()
    region = page.get_by_role("region", name="points of eval_loss")
    region.wait_for()
    assert "stories-long" in region.inner_text()
