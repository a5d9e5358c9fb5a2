"""A training watched: it appears by itself, goes on by itself, and what a resume takes back is taken back on screen.

Nothing here measures how soon (benchmarks/dashboard_live.py does): each step waits until the page shows it.
"""

import re

import pytest

from fixtures.browsers import Dashboard, wait_until

TRAINING = """
    import sys
    from trainstore import TrainStore

    url, uid, kept = sys.argv[1:]
    with TrainStore(url) as store:
        run = store.resume_run(uid, step=int(kept)) if uid != "new" else store.start_run("watched", project="live")
        print("recorded as", run.uid, flush=True)
        level = 5.0 if uid == "new" else 1.0
        step = int(kept) + 1
        for line in sys.stdin:
            word, _, number = line.strip().partition(" ")
            if word == "log":
                while step <= int(number):
                    run.log({"loss": level + 1 / (step + 1)}, step=step)
                    step += 1
                run.log_event("checkpoint", step=step - 1)
                print("logged", run.flush(), flush=True)
            elif word == "finish":
                run.finish()
                print("finished", flush=True)
"""


class Training:
    """A process that trains as far as it is told."""

    def __init__(self, start, url, uid="new", kept=-1):
        self._script = start(TRAINING, url, uid, kept)
        self.uid = self._script.wait_for("recorded as").split()[-1]

    def log(self, step):
        """Log up to a step, and wait until the store has it."""
        self._script.send(f"log {step}")
        assert self._script.wait_for("logged") == "logged True"

    def finish(self):
        """End the run as trainings end."""
        self._script.send("finish")
        self._script.wait_for("finished")

    def kill(self):
        """SIGKILL."""
        self._script.kill()


@pytest.fixture
def served(database_url, tmp_path):
    """A dashboard of a new store."""
    dashboard = Dashboard(tmp_path, database_url)
    yield dashboard
    dashboard.close()


def points(page):
    """Step → loss, as the chart's own table has them."""
    read = "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
    cells = page.eval_on_selector_all("figure[data-metric=loss] .chart-table tbody tr", read)
    return {int(step): float(mean) for _, step, mean, *_ in cells}


def show_points(page):
    """Let the chart of the loss show its data instead of its picture."""
    page.get_by_role("button", name="more for loss").click()
    page.get_by_role("button", name="show the data").click()


def test_a_training_is_seen_killed_and_resumed(served, database_url, open_page, start_script):
    """On both databases, in one page that nobody touches or loads again."""
    page = open_page(served, "#/runs")
    page.get_by_role("heading", name="No runs yet").wait_for()

    training = Training(start_script, database_url)
    training.log(9)
    page.get_by_role("link", name="watched").wait_for()
    wait_until(page, lambda: page.get_by_role("gridcell", name=re.compile("running")).count() == 1)
    page.locator("figure[data-metric=loss]").wait_for()
    show_points(page)
    wait_until(page, lambda: max(points(page), default=-1) == 9)

    training.log(19)
    wait_until(page, lambda: max(points(page), default=-1) == 19)
    assert all(loss > 4 for loss in points(page).values())
    training.kill()

    training = Training(start_script, database_url, training.uid, kept=11)
    training.log(14)
    wait_until(page, lambda: max(points(page), default=-1) == 14)
    assert {step: loss > 4 for step, loss in points(page).items()} == {step: step <= 11 for step in range(15)}

    training.finish()
    wait_until(page, lambda: page.get_by_role("gridcell", name=re.compile("finished")).count() == 1)


def test_a_store_that_goes_away_and_comes_back(new_database, tmp_path, open_page):
    """The page says since when, and goes on by itself."""
    url = new_database("sqlite")
    dashboard = Dashboard(tmp_path, url)
    page = open_page(dashboard, "#/runs")
    page.watch.allowed += ["ERR_CONNECTION", "Failed to load", "status of 503"]
    page.get_by_role("heading", name="No runs yet").wait_for()
    port = dashboard.origin.rpartition(":")[2]
    dashboard.close()
    lamp = page.get_by_text(re.compile(r"no answer since \d\d:\d\d"))
    lamp.wait_for(timeout=60_000)
    again = Dashboard(tmp_path, url, "--port", port)
    lamp.wait_for(state="hidden", timeout=90_000)
    again.close()
