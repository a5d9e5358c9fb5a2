"""The table of the runs in a browser: what it leaves out of the page, keeps chosen, orders and says."""

import os
import re
import signal
import subprocess
import sys

import pytest

from fixtures import experiments
from fixtures.browsers import Dashboard, settle, wait_until
from trainstore import TrainStore

KILLED = """
import os, signal, sys
from trainstore import TrainStore
store = TrainStore(sys.argv[1])
run = store.start_run("killed")
run.log({"loss": 1.0}, 1)
store.flush()
for step in range(2, 102):
    run.log({"loss": 1.0}, step)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def page_at(dashboard_of, open_page):
    """Opens the page of some runs: ``page_at(experiments.eight, "#/runs")``."""

    def opened(fill, place, **options):
        page = open_page(dashboard_of(fill), place, **options)
        page.wait_for_selector(".runs-table[data-whole=true]", state="attached")
        settle(page)
        return page

    return opened


def chosen_count(page):
    """How many runs are in the charts, as the page says it."""
    return int(re.match(r"\d+", page.get_by_role("button", name=re.compile("in the charts")).inner_text())[0])


def headings(page):
    """Of the columns in view."""
    return page.get_by_role("columnheader").all_inner_texts()


def test_only_rows_in_view_exist_and_all_can_be_reached(page_at):
    """The last of 200 is one key away; a screen reader knows how many there are, and which it is."""
    page = page_at(experiments.two_hundred, "#/runs?tab=table")
    rows = page.locator(".grid-body [role=row]")
    assert rows.count() < 60
    assert page.get_by_role("grid", name="Runs").get_attribute("aria-rowcount") == "201"
    page.keyboard.press("j")
    page.keyboard.press("Control+End")
    wait_until(page, lambda: page.get_by_role("link", name="sweep-000").count() == 1)
    last = page.locator(".grid-body [role=row][aria-rowindex='201']")
    assert last.evaluate("(row) => row.contains(document.activeElement)")
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "All runs that the filter shows"


def test_chosen_runs_stay_chosen_while_a_filter_hides_them(page_at):
    """What one does under the filter changes what one sees there, and no other run."""
    page = page_at(experiments.eight, "#/runs")
    page.get_by_role("checkbox", name="Show sweep-006 in the charts").click()
    wait_until(page, lambda: chosen_count(page) == 7)
    page.get_by_role("combobox", name="Filter of runs").fill("status = failed")
    page.keyboard.press("Enter")
    wait_until(page, lambda: chosen_count(page) == 1)
    page.get_by_role("checkbox", name="Show sweep-001 in the charts").click()
    wait_until(page, lambda: chosen_count(page) == 0)
    page.get_by_role("button", name="Clear the filter").click()
    wait_until(page, lambda: chosen_count(page) == 6)


def test_shift_chooses_all_runs_between(page_at):
    """From the last one to this, whichever is above."""
    page = page_at(experiments.two_hundred, "#/runs?runs=none")
    assert chosen_count(page) == 0
    page.get_by_role("checkbox", name="Show sweep-190 in the charts").click()
    page.get_by_role("checkbox", name="Show sweep-195 in the charts").click(modifiers=["Shift"])
    wait_until(page, lambda: chosen_count(page) == 6)


def test_a_group_says_its_best_in_the_column_that_leads_the_order(page_at):
    """The lowest of an ascending order; the runs below it begin with this one."""
    page = page_at(experiments.eight, "#/runs?tab=table&group=hp.optimizer&sort=metric.eval_loss")
    group = page.locator(".grid-body [role=row]", has_text="optimizer = adamw")
    told = group.locator(".best").inner_text()
    group.get_by_role("button").click()
    settle(page)
    rows = page.locator(".grid-body [role=row]").all()
    below = next(row for row in rows if row.get_attribute("aria-rowindex") == str(_row_of(group) + 1))
    assert told.strip() == f"best {_number(below.inner_text())}"


def _row_of(row):
    return int(row.get_attribute("aria-rowindex"))


def _number(text):
    """The first number with a point."""
    return re.search(r"\d+\.\d+", text)[0]


def test_columns_are_ordered_by_keys_and_taken_out(page_at):
    """Alt and an arrow move a column, the focus with it; Delete takes it out; the address has the rest."""
    page = page_at(experiments.eight, "#/runs?tab=table&cols=started&cols=metric.loss&cols=hp.seed")
    assert headings(page)[4:] == ["started", "loss", "seed"]
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("listitem").filter(has_text="started").focus()
    page.keyboard.press("Alt+ArrowDown")
    wait_until(page, lambda: headings(page)[4:] == ["loss", "started", "seed"])
    page.keyboard.press("Alt+ArrowDown")
    wait_until(page, lambda: headings(page)[4:] == ["loss", "seed", "started"])
    page.keyboard.press("Delete")
    wait_until(page, lambda: headings(page)[4:] == ["loss", "seed"])
    assert page.evaluate("document.activeElement.dataset.key") == "item hp.seed"
    assert "cols=metric.loss&cols=hp.seed" in page.url


def test_a_click_is_not_lost_to_a_table_that_changes_meanwhile(page_at):
    """While the button is down the rows stay under it, as they must in a table that changes every second."""
    page = page_at(experiments.eight, "#/runs?tab=table")
    link = page.get_by_role("link", name="sweep-005")
    box = link.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.evaluate("location.hash = '#/runs?tab=table&sort=name'")
    page.wait_for_timeout(200)
    assert page.locator("[aria-sort=ascending]").count() == 0
    page.mouse.up()
    page.get_by_role("heading", name="sweep-005").wait_for()
    page.go_back()
    page.locator("[aria-sort=ascending]").wait_for()


def test_the_divider_moves_by_keys_and_is_remembered(page_at):
    """In steps; the next visit begins where it was left."""
    page = page_at(experiments.eight, "#/runs")
    line = page.get_by_role("separator", name="Width of the table")
    before = int(line.get_attribute("aria-valuenow"))
    line.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert int(line.get_attribute("aria-valuenow")) == before + 4
    page.reload()
    page.wait_for_selector(".runs-table[data-whole=true]")
    settle(page)
    assert int(line.get_attribute("aria-valuenow")) == before + 4


def test_a_column_that_is_not_there_is_told_beside_the_runs(page_at):
    """With the way back; the runs are shown."""
    page = page_at(experiments.eight, "#/runs?tab=table&cols=metric.loss", width=1440)
    page.watch.allowed.append("status of 400")
    page.goto(page.url.replace("metric.loss", "hp.learning_rte"))
    page.reload()
    page.get_by_text("there is no hyperparameter or field hp.learning_rte").wait_for()
    assert page.get_by_role("link", name="sweep-006").is_visible()
    page.get_by_role("button", name="The usual columns and order").click()
    wait_until(page, lambda: "loss" in headings(page))


def twins(store):
    """Two runs of one name, and another."""
    for name in ("twin", "twin", "only"):
        with store.start_run(name=name) as run:
            run.log({"loss": 1.0}, step=1)


def test_runs_of_one_name_are_told_apart(page_at):
    """By the beginning of their uid, as in the charts."""
    page = page_at(twins, "#/runs")
    names = page.locator("[role=gridcell] a").all_inner_texts()
    assert names.count("only") == 1
    assert len({name for name in names if re.fullmatch(r"twin · \w{4}", name)}) == 2
    assert sorted(names) == sorted(page.locator(".chart-legend li .cut").all_inner_texts())


def test_the_column_of_names_is_as_wide_as_they_are(page_at):
    """No name is cut, and the results get the room; an edge tells of cells below it."""
    page = page_at(experiments.eight, "#/runs", width=1366)
    cut = "(all) => all.filter((one) => one.scrollWidth > one.clientWidth).length"
    assert page.locator("[role=gridcell] a").evaluate_all(cut) == 0
    assert page.get_by_role("columnheader", name="name").bounding_box()["width"] < 130
    grid = page.get_by_role("grid", name="Runs")
    assert "is-scrolled" not in grid.get_attribute("class")
    grid.evaluate("(grid) => { grid.scrollLeft = 40; }")
    wait_until(page, lambda: "is-scrolled" in grid.get_attribute("class"))


def test_the_first_page_says_how_to_record_into_this_store(open_page, tmp_path):
    """Its code, run elsewhere, makes a run appear; the command names the store, too."""
    with TrainStore(tmp_path / "own.db"):
        pass
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    dashboard = Dashboard(tmp_path, f"sqlite:///{tmp_path}/own.db")
    try:
        page = open_page(dashboard, "#/runs")
        first = page.locator(".first-screen")
        first.wait_for()
        assert f"trainstore demo --store {tmp_path}/own.db" in first.inner_text()
        code = first.locator("pre").inner_text()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAINSTORE_")}
        subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environment, timeout=60, check=True)
        page.locator(".grid-body [role=row]").wait_for()
        assert list(elsewhere.iterdir()) == []
        settle(page)
    finally:
        dashboard.close()


def test_what_a_killed_process_left_is_told_with_the_command(open_page, tmp_path):
    """Above the runs, until one closes it."""
    url = f"sqlite:///{tmp_path}/killed.db"
    done = subprocess.run([sys.executable, "-c", KILLED, url], env=os.environ, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    dashboard = Dashboard(tmp_path, url)
    try:
        page = open_page(dashboard, "#/runs")
        message = page.get_by_text(re.compile("not in the database yet"))
        message.wait_for()
        assert "trainstore recover" in message.inner_text()
        page.get_by_role("button", name="Close this message").click()
        wait_until(page, lambda: not message.is_visible())
        page.reload()
        page.get_by_role("link", name="killed", exact=True).wait_for()
        assert message.count() == 0
        settle(page)
    finally:
        dashboard.close()
