"""The page of a run while it runs: killed and resumed by real processes, edited by two, followed by the newest run."""

import json
import os
import re
from urllib.request import urlopen

import pytest

from fixtures.browsers import Dashboard, settle, violations, wait_until
from trainstore import TrainStore

#: Logs up to the step that each line of its input names; goes on from a step if it is told a run.
TRAINING = """
import sys
from trainstore import TrainStore
store = TrainStore(sys.argv[1])
if len(sys.argv) > 3:
    run, step = store.resume_run(sys.argv[3], step=int(sys.argv[4])), int(sys.argv[4])
    run.log_hyperparams({"learning_rate": 0.05})
else:
    run, step = store.start_run(sys.argv[2], project="live", hyperparams={"learning_rate": 0.1}), -1
print("uid", run.uid, flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        break
    for step in range(step + 1, int(line) + 1):
        run.log({"loss": 5 / (step + 1)}, step=step)
        if step % 10 == 0:
            run.log_event("checkpoint", step=step, details={"path": f"out/{step}"})
    run.flush()
    print("at", step, flush=True)
run.finish()
print("done", flush=True)
"""


@pytest.fixture
def database(backend_name, new_database):
    """An empty store's connection string, on each database."""
    return new_database(backend_name)


@pytest.fixture
def train(start_script, database):
    """Start a training; its script and its run."""

    def start(name, *resumed):
        script = start_script(TRAINING, database, name, *resumed)
        return script, script.wait_for("uid").split()[1]

    return start


@pytest.fixture
def serve(tmp_path, database):
    """Show the database: ``serve("--edit", …)``."""
    started = []

    def start(*arguments):
        folder = tmp_path / f"ui{len(started)}"
        folder.mkdir(exist_ok=True)
        started.append(Dashboard(folder, database, *arguments))
        return started[-1]

    yield start
    for dashboard in started:
        dashboard.close()


def last_step(page):
    """What the head says."""
    return page.locator(".last-step").inner_text()


def test_a_killed_run_goes_on_under_the_readers_eyes(train, serve, open_page):
    """Steps, attempts, events, what was replaced and the end: all of it appears without a touch."""
    script, uid = train("killed")
    script.send("25")
    script.wait_for("at 25")
    page = open_page(serve(), f"#/run/{uid}")
    page.locator(".status-running").wait_for()
    wait_until(page, lambda: last_step(page) == "25")

    script.send("40")
    wait_until(page, lambda: last_step(page) == "40")
    script.kill()

    resumed, same = train("", uid, "20")
    assert same == uid
    resumed.send("30")
    wait_until(page, lambda: last_step(page) == "30")
    page.get_by_role("button", name="old attempts").wait_for()
    page.get_by_role("tab", name=re.compile("^Attempts")).click()
    text = "steps 0 to 20; steps 21 to 40 trained again later"
    wait_until(page, lambda: text in page.get_by_role("article").first.inner_text())
    assert "Attempt 2, resumed at 20" in page.get_by_role("article").last.inner_text()
    assert "hp.learning_rate 0.1 → 0.05" in page.get_by_role("article").last.inner_text()

    page.get_by_role("tab", name=re.compile("^Events")).click()
    rows = page.locator(".events-table tbody tr")
    wait_until(page, lambda: rows.count() == 6)  # 0, 10, 20, 30, 40; and 30 once more
    resumed.send("50")
    wait_until(page, lambda: rows.count() == 8 and last_step(page) == "50")
    resumed.send("end")
    page.locator(".status-finished").wait_for(timeout=60_000)
    resumed.wait_for("done")


def test_the_newest_running_run_takes_the_page(train, serve, open_page):
    """As soon as it starts; when it ends, the one that still runs comes back."""
    first, _ = train("first")
    first.send("10")
    first.wait_for("at 10")
    page = open_page(serve(), "#/latest?project=live")
    page.get_by_role("heading", name="first").wait_for()
    second, _ = train("second")
    second.send("5")
    page.get_by_role("heading", name="second").wait_for(timeout=60_000)
    wait_until(page, lambda: "5" in page.locator(".big-numbers dd").first.inner_text())
    second.send("end")
    page.get_by_role("heading", name="first").wait_for(timeout=60_000)
    first.send("end")
    page.locator(".status-finished").wait_for(timeout=60_000)


def test_a_run_is_edited_and_a_conflict_is_told(database, serve, open_page, tmp_path):
    """Name, tags and notes; what somebody else wrote meanwhile is shown, and overwritten only where both wrote."""
    with TrainStore(database) as store:
        run = store.start_run("before", tags={"draft": True, "owner": "ann"})
        run.finish()
        token = tmp_path / "token"
        dashboard = serve("--edit", "--token-file", str(token))
        dashboard.url = dashboard.origin  # without the token, which goes along with the page's place
        page = open_page(dashboard, f"#/run/{run.uid}?token={token.read_text().strip()}")
        page.watch.allowed.append("status of 412")

        page.get_by_role("button", name="Edit").click()
        assert violations(page) == []
        assert page.evaluate("document.activeElement.id") == "edit-name"
        page.get_by_label("Name").fill("after")
        page.get_by_label("Tags, one a line").fill("owner=ben\nseed=3")
        page.get_by_label("Notes").fill("mine")
        page.keyboard.press("Escape")
        assert "is not saved" in page.get_by_role("alert").inner_text()
        store.set_notes(run.uid, "theirs")
        store.set_tags(run.uid, {"reviewed": True})
        page.get_by_role("button", name="Save").click()
        alert = page.get_by_role("alert")
        wait_until(page, lambda: "The notes are now: theirs" in alert.inner_text())
        assert store.get_run(run.uid).name == "before"
        page.get_by_role("button", name="Save").click()
        page.get_by_role("heading", name="after").wait_for()
        record = store.get_run(run.uid)
        assert (record.name, record.notes) == ("after", "mine")
        assert record.tags == {"owner": "ben", "seed": 3, "reviewed": True}
        assert page.evaluate("document.activeElement.textContent") == "Edit"

        page.get_by_role("button", name="Edit").click()
        page.get_by_label("Tags, one a line").fill("=5")
        page.get_by_role("button", name="Save").click()
        assert "has no name before" in alert.inner_text()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("heading", name="after").wait_for()
        page.get_by_role("button", name="Edit").click()
        page.keyboard.press("Escape")
        page.get_by_role("heading", name="after").wait_for()
        settle(page)


def test_a_run_that_is_deleted_leaves_its_page(database, serve, open_page):
    """It does not go on for ever as it was last seen."""
    with TrainStore(database) as store:
        run = store.start_run("deleted")
        run.finish()
        page = open_page(serve(), f"#/run/{run.uid}")
        page.watch.allowed.append("status of 404")
        page.get_by_role("heading", name="deleted").wait_for()
        settle(page)
        store.delete_run(run.uid)
        page.get_by_role("heading", name="There is no such run").wait_for(timeout=60_000)


def test_without_edit_a_page_offers_none(train, serve, open_page):
    """And the server would refuse it."""
    script, uid = train("shown")
    script.send("1")
    script.wait_for("at 1")
    dashboard = serve()
    page = open_page(dashboard, f"#/run/{uid}")
    page.wait_for_selector(".run-head h1")
    assert page.get_by_role("button", name="Edit").count() == 0
    with urlopen(f"{dashboard.url}/api/v1/meta") as answer:
        assert json.load(answer)["can_edit"] is False
    settle(page)


#: Its last record is on the disk and not in the database when it is killed.
KILLED = """
import os, signal, sys
from trainstore import TrainStore
run = TrainStore(sys.argv[1]).start_run("killed")
run.flush()
run.log({"loss": 1.0}, step=0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_health_says_what_is_wrong_and_what_to_do(start_script, database, serve, open_page, tmp_path):
    """What the doctor finds, worst first; a killed training's journal with the command that delivers it."""
    journals = {"TRAINSTORE_JOURNAL_DIR": str(tmp_path / "ui0" / "journals")}  # where this dashboard looks
    start_script(KILLED, database, env={**os.environ, **journals}).finish(code=-9)
    dashboard = serve()
    page = open_page(dashboard, "#/health")
    page.get_by_role("heading", name="In order").wait_for()
    titles = page.get_by_role("heading", level=2).all_inner_texts()
    assert titles == [title for title in ("Needs fixing", "Worth a look", "In order") if title in titles]
    assert page.locator(".health-page > .command code").inner_text().startswith("trainstore doctor")
    assert "trainstore recover --store" in page.locator(".findings").first.inner_text()
    page.get_by_role("button", name="Look again").click()
    settle(page)
    assert page.get_by_role("heading", name="In order").is_visible()
