"""The page of one run in a browser: head, tabs, what a resume left, samples, layers; and the newest run's page."""

import json
import re
from urllib.request import urlopen

import pytest

from fixtures import experiments
from fixtures.browsers import THEMES, settle, violations, wait_until


def odd_runs(store):
    """A family of runs; one of a single step, one that is NaN alone, and one that has nothing."""
    with store.start_run("parent") as parent:
        for step in range(3):
            parent.log({"loss": 1 / (step + 1)}, step=step)
    with store.start_run("child", parent=parent, parent_step=2) as child:
        child.log({"loss": 0.5}, step=3)
    with store.start_run("nan") as nan:
        for step in range(3):
            nan.log({"loss": float("nan"), "grad_norm/a": float("nan"), "grad_norm/b": float("inf")}, step=step)
    store.start_run("nothing").finish("failed")


TABS = ("Curves", "Hyperparameters", "Attempts", "Events", "Samples", "Layers", "System", "Environment")


#: By how many pixels what is in the page is wider than the page.
WIDER = "(() => { const page = document.getElementById('page'); return page.scrollWidth - page.clientWidth; })()"


def detail_of(dashboard, name="stories-long"):
    """What the server says of a run."""
    with urlopen(f"{dashboard.url}/api/v1/runs?columns=name&limit=20000") as answer:
        columns = {column["id"]: column["values"] for column in json.load(answer)["columns"]}
    uid = columns["uid"][columns["name"].index(name)]
    with urlopen(f"{dashboard.url}/api/v1/runs/{uid}") as answer:
        return json.load(answer)


@pytest.fixture
def dashboard(dashboard_of):
    """Of a store with one run, which was resumed."""
    return dashboard_of(experiments.one)


@pytest.fixture
def show(dashboard, open_page):
    """The page of that run, at a tab."""

    def shown(tab="", **look):
        place = f"#/run/{detail_of(dashboard)['run']['uid']}"
        page = open_page(dashboard, f"{place}?tab={tab}" if tab else place, **look)
        page.wait_for_selector(".run-head h1")
        settle(page)
        return page

    return shown


def tab(page, name):
    """A tab by its name; what it counts may follow."""
    return page.get_by_role("tab", name=re.compile(rf"^{name}( ?[\d\s]+)?$"))


def test_the_head_says_what_a_run_is(backend_name, dashboard_of, open_page):
    """Status as sign and word, how far it is, tags, and notes as text in which only addresses of the web are links."""
    dashboard = dashboard_of(experiments.one, backend_name)
    page = open_page(dashboard, f"#/run/{detail_of(dashboard)['run']['uid']}")
    head = page.get_by_role("region", name="The run")
    assert head.get_by_role("heading").inner_text() == "stories-long"
    text = head.inner_text()
    for part in ("✓", "finished", "599", "owner=ana", "long", "tiny-stories", "2.5 steps/s"):
        assert part in text
    notes = page.get_by_role("note", name="Notes")
    assert [link.get_attribute("href") for link in notes.get_by_role("link").all()] == ["https://example.org/plan"]
    assert page.title().startswith("stories-long")
    settle(page)


def test_a_run_that_is_not_there_is_named(dashboard, open_page):
    """With the way back; nothing else is wrong."""
    page = open_page(dashboard)
    page.watch.allowed.append("status of 404")
    page.goto(f"{dashboard.url}/#/run/nobody")
    page.get_by_role("heading", name="There is no such run").wait_for()
    assert page.locator("#page code").inner_text() == "nobody"
    page.get_by_role("link", name="All runs").click()
    wait_until(page, lambda: "#/runs" in page.url)


def test_the_tab_is_in_the_address(show):
    """The arrow keys move through the tabs, Back goes back, and a link opens the same one."""
    page = show()
    names = [re.sub(r"[\d\s]+$", "", name) for name in page.get_by_role("tab").all_inner_texts()]
    assert tuple(names) == TABS
    tab(page, "Curves").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert "tab=environment" in page.url
    assert page.evaluate("document.activeElement.id") == "tab-environment"
    page.go_back()
    wait_until(page, lambda: tab(page, "Curves").get_attribute("aria-selected") == "true")
    assert page.get_by_role("tabpanel").get_attribute("aria-labelledby") == "tab-curves"
    settle(page)


def test_curves_have_attempts_and_what_happened_on_their_axis(show):
    """A chart's foot says which signs are on its axis; metrics of layers and of the machine have tabs of their own."""
    page = show()
    charts = page.locator(".chart")
    titles = charts.locator("h3").all_inner_texts()
    assert "loss" in titles
    assert not [title for title in titles if title.startswith(("grad_norm/", "system/"))]
    loss = charts.filter(has=page.get_by_role("heading", name="loss", exact=True))
    wait_until(page, lambda: "▲ checkpoint, ◆ event, ▼ alert" in loss.inner_text())


def test_what_a_resume_replaced_is_drawn_on_request(show):
    """The button asks for the superseded stretch, and is in the address."""
    page = show()
    with page.expect_request(re.compile("attempts=superseded")):
        page.get_by_role("button", name="old attempts").click()
    settle(page)
    assert "old=1" in page.url


def test_hyperparameters_show_what_a_resume_changed(show):
    """Old and new value, in the attempt that changed it; a search leaves what it finds."""
    page = show("hyperparameters")
    rate = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="learning_rate"))
    assert "attempt 2: 0.001 → 0.0005" in rate.inner_text()
    page.get_by_role("searchbox", name="Search", exact=True).fill("COS sched")
    wait_until(page, lambda: page.locator(".facts-table tr").count() == 1)
    assert "cosine" in page.locator(".facts-table").first.inner_text()


def test_attempts_are_a_tree_with_their_ends(show):
    """Which steps of each are shown, how it ended, and its command, which a button copies."""
    page = show("attempts")
    first, second = page.get_by_role("article").all()
    assert "steps 0 to 300; steps 301 to 380 trained again later" in first.inner_text()
    assert "Work timed out after 600 seconds." in first.locator("pre.error-text").inner_text()
    assert second.get_by_role("heading").inner_text() == "Attempt 2, resumed at 300"
    assert "hp.learning_rate 0.001 → 0.0005" in second.inner_text()
    assert page.locator("svg.lanes circle").count() == 2
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    second.get_by_role("button", name="Copy the command").click()
    second.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == second.locator(".command code").inner_text()


def test_events_are_filtered_by_their_kind(show):
    """The newest first; a second click shows all again, and a search looks into the texts."""
    page = show("events")
    rows = page.locator(".events-table tbody tr")
    count = rows.count()
    page.get_by_role("button", name="alert 1").click()
    assert rows.all_inner_texts()[0].endswith("warn: validation loss rises: It was 1.52 at step 479.")
    assert rows.count() == 1
    page.get_by_role("button", name="alert 1").click()
    assert rows.count() == count
    page.get_by_role("searchbox", name="Search in events").fill("tiny-stories")
    wait_until(page, lambda: rows.count() == 1)
    assert "push" in rows.inner_text()


def test_samples_stand_side_by_side(show):
    """The first and the last step; the keys move a column through the steps, and another can stand beside."""
    page = show("samples")
    cells = page.locator(".sample-table tbody tr").first.locator("td")
    assert cells.all_inner_texts() == ["the the the a the", "there was a little girl who lived by the sea with her cat"]
    page.get_by_role("slider", name="Step of column 1").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    wait_until(page, lambda: cells.first.inner_text() == "there was a little king who had a cat")
    assert page.evaluate("document.activeElement.ariaValueText") == "step 300"
    assert "steps=300&steps=500" in page.url
    slider = page.get_by_role("slider", name="Step of column 1")
    box, head = slider.bounding_box(), page.locator(".step-head").first
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2, steps=5)
    assert head.inner_text().startswith("step 100")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    wait_until(page, lambda: "steps=300&steps=500" in page.url and head.inner_text().startswith("step 300"))
    page.get_by_role("button", name="Another step beside").click()
    wait_until(page, lambda: cells.count() == 3)
    page.get_by_role("button", name="Take step 300 away").click()
    wait_until(page, lambda: cells.count() == 2)


def test_layers_are_read_with_the_keys(show, dashboard):
    """What the reading says of a layer and a step is what was recorded; the last layer is the model's last."""
    page = show("layers")
    frame = page.get_by_role("group", name=re.compile("^grad norm of 12 layers"))
    frame.focus()
    page.keyboard.press("End")
    page.keyboard.press("PageDown")
    reading = page.locator(".heat-reading")
    uid = detail_of(dashboard)["run"]["uid"]
    layer, step, value = re.match(r"(\S+), step (\d+): (\S+)", reading.inner_text()).groups()
    query = f"runs={uid}&metrics=grad_norm/{layer}&format=json&exact=1&points=5000"
    with urlopen(f"{dashboard.url}/api/v1/series?{query}") as answer:
        (curve,) = json.load(answer)
    assert layer == "head"
    assert float(value) == pytest.approx(curve["mean"][curve["x"].index(float(step))], rel=1e-3)
    drawn = page.evaluate(
        "() => { const canvas = document.querySelector('.heat-frame canvas');"
        " const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
        " const colours = new Set();"
        " for (let at = 0; at < data.length; at += 4) colours.add(data.slice(at, at + 3).join());"
        " return colours.size; }"
    )
    assert drawn > 20, "a heat map has many colours"


def test_the_machine_has_its_charts(show):
    """Those of the system callback, each with its attempts and events, too."""
    page = show("system")
    titles = page.locator(".chart h3").all_inner_texts()
    assert titles
    assert all("system/" in title or "percent" in title or "mib" in title for title in titles)


@pytest.mark.parametrize("theme", THEMES)
def test_every_tab_is_for_every_eye(show, theme):
    """Axe finds nothing on any tab, and no tab is wider than a narrow page."""
    page = show(theme=theme)
    for name in TABS:
        tab(page, name).click()
        settle(page)
        assert violations(page) == [], name
    page.set_viewport_size({"width": 320, "height": 800})
    for name in TABS:
        tab(page, name).click()
        settle(page)
        assert page.evaluate(WIDER) <= 0, name
        assert tab(page, name).bounding_box()["x"] >= 0


def test_no_text_of_a_run_becomes_markup(dashboard_of, open_page):
    """On any tab, whatever its name, tags, notes, metrics, events, samples and errors are."""
    dashboard = dashboard_of(experiments.markup)
    for name in experiments.MARKUP:
        page = open_page(dashboard, f"#/run/{detail_of(dashboard, name)['run']['uid']}")
        page.wait_for_selector(".run-head h1")
        assert page.locator(".run-head h1").inner_text() == name
        page.set_viewport_size({"width": 320, "height": 800})
        for each in ("Curves", "Hyperparameters", "Attempts", "Events", "Samples", "Environment"):
            tab(page, each).click()
            settle(page)
            assert page.evaluate(WIDER) <= 0, each
        assert page.evaluate("window.harmed") is None
        assert page.locator("#page").locator("script, img, a[href^=javascript]").count() == 0


def test_the_newest_run_is_shown_large(dashboard, open_page):
    """With its step, and the metrics by which it is judged, at their best."""
    page = open_page(dashboard, "#/latest")
    numbers = page.locator(".big-numbers")
    numbers.wait_for()
    settle(page)
    summary = {one["metric"]: one for one in detail_of(dashboard)["summary"]}
    assert page.get_by_role("heading", name="stories-long").is_visible()
    assert "599" in numbers.inner_text()
    assert f"at step {summary['eval_loss']['min_step']}" in numbers.inner_text()
    assert "loss" in page.locator(".chart h3").all_inner_texts()
    assert page.get_by_text("No run is running; this is the newest one.").is_visible()


def test_a_store_without_runs_says_what_comes(dashboard_of, open_page):
    """On the page of the newest run."""
    page = open_page(dashboard_of(experiments.nothing), "#/latest")
    page.get_by_role("heading", name="No run yet").wait_for()


def test_a_run_is_linked_with_its_parent_and_its_children(dashboard_of, open_page):
    """With the step of the checkpoint; a click leads there."""
    dashboard = dashboard_of(odd_runs)
    page = open_page(dashboard, f"#/run/{detail_of(dashboard, 'child')['run']['uid']}")
    page.get_by_role("link", name="parent").wait_for()
    assert "parent at step 2" in page.locator(".facts").first.inner_text()
    page.get_by_role("link", name="parent").click()
    page.get_by_role("heading", name="parent").wait_for()
    page.get_by_role("link", name="child").wait_for()
    settle(page)


def test_a_parent_that_is_not_in_the_store_is_named_and_no_link(dashboard_of, open_page):
    """By its uid: it may be in another store, or deleted."""

    def orphan(store):
        store.start_run("orphan", parent="5f0c2a4e-0000-4000-8000-000000000000", parent_step=2).finish()

    dashboard = dashboard_of(orphan)
    page = open_page(dashboard, f"#/run/{detail_of(dashboard, 'orphan')['run']['uid']}")
    page.get_by_text("5f0c2a4e").wait_for()
    assert "5f0c2a4e at step 2" in page.locator(".facts").first.inner_text()
    assert page.get_by_role("link", name="5f0c2a4e").count() == 0
    settle(page)


@pytest.mark.parametrize("name", ["child", "nan", "nothing"])
def test_an_odd_run_has_a_page(dashboard_of, open_page, name):
    """Of one step, of NaN alone, of nothing: every tab opens and says what is missing."""
    dashboard = dashboard_of(odd_runs)
    page = open_page(dashboard, f"#/run/{detail_of(dashboard, name)['run']['uid']}")
    page.wait_for_selector(".run-head h1")
    for each in page.get_by_role("tab").all_inner_texts():
        tab(page, re.sub(r"[\d\s]+$", "", each)).click()
        settle(page)
        assert page.get_by_role("tabpanel").inner_text().strip()


def test_nonsense_in_the_address_is_left_out(dashboard_of, open_page):
    """Tabs, sets, steps and families that are not there."""
    dashboard = dashboard_of(experiments.one)
    place = f"#/run/{detail_of(dashboard)['run']['uid']}"
    page = open_page(dashboard, f"{place}?tab=toString&steps=x&steps=-1&set=none&family=%00&x=%22&zoom=1,&smooth=9")
    for each in TABS:
        tab(page, each).click()
        settle(page)
    tab(page, "Attempts").click()
    assert page.locator(".attempt-card").count() == 2
