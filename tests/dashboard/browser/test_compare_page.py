"""Runs compared in a browser: what differs, parallel coordinates, scatter, curves."""

import pytest

from fixtures import experiments
from fixtures.browsers import THEMES, settle, violations


@pytest.fixture
def dashboard(dashboard_of):
    return dashboard_of(experiments.eight)


@pytest.fixture
def compare(dashboard, open_page):
    """The page at an address, with what it asks for there."""

    def opened(query="", **options):
        page = open_page(dashboard, f"#/compare{query and '?' + query}", **options)
        settle(page)
        return page

    return opened


def row(page, name):
    """The cells of a row of differences, as text."""
    found = page.locator("tbody tr", has=page.locator("th[scope=row]", has_text=name)).first
    return found.locator("td").all_inner_texts()


def address(page):
    """What stands behind the "?" of the address, as a person would read it."""
    return page.evaluate("decodeURIComponent(location.hash).replace(/\\+/g, ' ')")


def test_only_what_differs_is_shown_until_all_is_asked_for(compare):
    """The learning rates differ, the seed does not."""
    page = compare()
    assert len(row(page, "learning_rate")) == 8
    facts = page.locator("tbody th[scope=row]").count()
    page.get_by_label("also what is the same").check()
    settle(page)
    assert page.locator("tbody th[scope=row]").count() > facts
    page.go_back()
    settle(page)
    assert page.locator("tbody th[scope=row]").count() == facts


def test_the_others_are_shown_against_a_baseline(compare):
    """Settings as multiples, results as differences; the baseline itself as it is."""
    page = compare()
    page.get_by_role("button", name="baseline").nth(1).click()
    settle(page)
    rates, losses = row(page, "learning_rate"), row(page, "eval_loss")
    assert "×" not in rates[1]
    assert any("×" in cell for cell in rates)
    assert any("+" in cell or "\N{MINUS SIGN}" in cell for cell in losses)
    assert "baseline=" in address(page)


def test_fewer_than_two_runs_are_not_compared(compare):
    """The page says what to do."""
    page = compare("runs=nothing")
    assert page.get_by_text("Choose two runs or more").is_visible()


def test_runs_are_lines_across_axes(compare):
    """As many axes as there are heads; the arrow keys move one, Delete takes it out, Back brings it back."""
    page = compare("tab=parallel")
    heads = page.locator(".parallel-head")
    names = heads.all_inner_texts()
    assert len(names) >= 3
    heads.first.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert heads.all_inner_texts()[:2] == [names[1], names[0]]
    heads.first.focus()
    page.keyboard.press("Delete")
    settle(page)
    assert heads.all_inner_texts() == [names[0], *names[2:]]
    page.go_back()
    settle(page)
    assert heads.all_inner_texts()[:2] == [names[1], names[0]]


def test_a_brushed_range_becomes_the_filter(compare, dashboard):
    """With the keys: the lower half of an axis; what is left is what the filter finds."""
    page = compare("tab=parallel")
    brush = page.locator(".parallel-brush").last
    brush.focus()
    for _ in range(10):
        page.keyboard.press("ArrowDown")
    keep = page.get_by_role("button", name="Keep these")
    kept = int(keep.inner_text().split()[2])
    assert 0 < kept < 8
    keep.click()
    settle(page)
    assert "q=metric." in address(page)
    assert page.get_by_role("heading", name=f"Compare {kept} run").is_visible()


@pytest.mark.parametrize("axis", ["metric.loss", "hp.learning_rate", "hp.optimizer", "started", "duration"])
def test_the_filter_finds_exactly_what_was_brushed(compare, axis):
    """Numbers to their last digit, texts, times to the microsecond; the range stays when the picture changes."""
    page = compare(f"tab=parallel&axes={axis}&axes=hp.weight_decay")
    brush = page.locator(".parallel-brush").first
    brush.focus()
    for _ in range(6):
        page.keyboard.press("ArrowUp")
    keep = page.get_by_role("button", name="Keep these")
    said = keep.inner_text()
    page.get_by_label("Colour").select_option("hp.seed")
    settle(page)
    assert keep.inner_text() == said
    kept = int(said.split()[2])
    assert 0 < kept < 8
    keep.click()
    settle(page)
    assert page.get_by_role("heading", name=f"Compare {kept} run").is_visible()


def test_lines_are_read_and_opened_by_keys(compare):
    """From run to run by the last axis, as a screen reader is told; Enter opens one."""
    page = compare("tab=parallel")
    page.locator(".parallel-lines").focus()
    page.keyboard.press("ArrowUp")
    first = page.locator(".parallel-reading").inner_text()
    page.keyboard.press("ArrowUp")
    second = page.locator(".parallel-reading").inner_text()
    assert "learning_rate" in first
    assert first != second == page.locator("#live-region").inner_text()
    page.keyboard.press("Enter")
    settle(page)
    assert "#/run/" in page.url


def test_chosen_runs_have_their_curves_whatever_the_filter_says(compare):
    """They were chosen; a part of a uid is enough."""
    page = compare()
    uids = page.evaluate("fetch('api/v1/runs').then((a) => a.json()).then((t) => t.columns[0].values)")
    page = compare(f"tab=curves&q=status+%3D+lost&runs={uids[0][:8]}&runs={uids[1]}")
    assert page.get_by_role("heading", name="Compare 2 runs").is_visible()
    assert page.locator("canvas").count() > 0


def test_a_dragged_range_is_marked(compare):
    """With the pointer."""
    page = compare("tab=parallel")
    box = page.locator(".parallel-brush").first.bounding_box()
    page.mouse.move(box["x"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"], box["y"] + 0.7 * box["height"], steps=4)
    page.mouse.up()
    assert page.locator(".parallel-range").count() == 1
    page.get_by_role("button", name="Clear ranges").click()
    assert page.locator(".parallel-range").count() == 0


def test_points_are_read_and_opened_by_keys(compare):
    """Arrow keys go from run to run, Enter opens one."""
    page = compare("tab=scatter")
    page.locator(".scatter-points").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".scatter-tip strong").inner_text() != ""
    page.keyboard.press("Enter")
    settle(page)
    assert "#/run/" in page.url


def test_axes_are_chosen_and_stand_in_the_address(compare):
    """A link shows the same picture."""
    page = compare("tab=scatter")
    page.get_by_label("y", exact=True).select_option("metric.loss")
    settle(page)
    assert "sy=metric.loss" in address(page)
    assert page.locator(".scatter-y-name").inner_text().startswith("loss")


def test_nonsense_in_the_address_shows_the_usual_picture(compare):
    """Axes that do not exist, a view that does not exist."""
    for query in (
        "tab=parallel&axes=hp.nope&axes=metric.nope&colour=x",
        "tab=scatter&sx=1&sy=2&size=3",
        "tab=nonsense",
    ):
        page = compare(query)
        assert page.locator("canvas, table").count() >= 1


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("tab", ["diff", "parallel", "scatter", "curves"])
def test_every_view_is_accessible(compare, tab, theme):
    """What axe finds."""
    assert violations(compare(f"tab={tab}", theme=theme)) == []
