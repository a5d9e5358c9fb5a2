"""What the page about a store's health says, and what waits in journals."""

import os
import signal
import subprocess
import sys

import pytest
from sqlalchemy import event

from trainstore import TrainStore
from trainstore.dashboard.answers import Answers
from trainstore.schema import HEAD


def of(answer, check, level=None):
    """The texts of the findings of a check."""
    return [
        found["text"] for found in answer["findings"] if found["check"] == check and level in (None, found["level"])
    ]


@pytest.fixture
def answers(database_url):
    """Of a store that is only read."""
    with TrainStore(database_url, read_only=True) as opened:
        yield Answers(opened)


@pytest.fixture
def killed(database_url):
    """Kills a process while it records, so that its records wait in the journal."""
    code = """
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
    done = subprocess.run([sys.executable, "-c", code, database_url], env=os.environ, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_store_in_order_says_so(store, answers):
    """Schema, size, runs and journals; nothing is an error."""
    with store.start_run("r") as run:
        run.log({"loss": 1.0}, 1)
    found = answers.health()
    assert of(found, "schema", "ok") == [f"{HEAD}, as this version of trainstore needs it"]
    assert of(found, "runs", "ok") == ["1: 1 finished"]
    assert any("B" in size for size in of(found, "size", "ok"))
    assert any(line.startswith("none left in ") for line in of(found, "journals", "ok"))
    assert "error" not in {finding["level"] for finding in found["findings"]}
    assert all({"check", "level", "text", "fix"} == finding.keys() for finding in found["findings"])


def test_what_a_killed_process_left_is_told_with_the_command_that_delivers_it(killed, answers, database_url):
    """Nothing is delivered by looking, twice; once it is delivered, nothing waits."""
    for _ in range(2):
        waiting = answers.meta()["waiting"]
        assert waiting["journals"] == 1
        assert waiting["records"] > 1
        assert waiting["command"].startswith("trainstore recover")
    (finding,) = [found for found in answers.health()["findings"] if found["check"] == "journals" and found["fix"]]
    assert "left by processes that have ended" in finding["text"]
    assert "recover" in finding["fix"]
    TrainStore(database_url).close()
    assert answers.meta()["waiting"] is None
    assert of(answers.health(), "runs", "warning")[0].startswith("1 lost")


def test_a_run_that_records_now_does_not_wait(store, answers):
    """Its journal belongs to a live process."""
    with store.start_run() as run:
        run.log({"loss": 1.0}, 1)
        assert answers.meta()["waiting"] is None
        assert any("their processes are running" in line for line in of(answers.health(), "journals", "ok"))


def test_a_changed_schema_is_an_error(store, answers):
    """It says what differs."""
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_run_name")
    assert any("ix_run_name" in line for line in of(answers.health(), "schema", "error"))


def test_one_connection_at_a_time_is_enough(store, database_url):
    """The schema is looked at before the snapshot: many who ask at once would otherwise wait for each other."""
    with TrainStore(database_url, read_only=True) as opened:
        most, now = [0], [0]

        def taken(*_):
            now[0] += 1
            most[0] = max(most[0], now[0])

        def given_back(*_):
            now[0] -= 1

        event.listen(opened.engine, "checkout", taken)
        event.listen(opened.engine, "checkin", given_back)
        found = Answers(opened).health()
    assert of(found, "schema", "ok")
    assert most == [1]


def test_a_store_with_a_prefix_answers_everything(database_url):
    """Its tables are those of the prefix."""
    with TrainStore(database_url, table_name_prefix="x_") as store:
        with store.start_run("r", hyperparams={"lr": 0.1}) as run:
            run.log({"loss": 1.0}, 1, details={"sample/a/0": {"completion": "c"}})
        answers = Answers(store)
        assert answers.meta()["store"]["prefix"] == "x_"
        assert answers.runs(q="hp.lr < 1", sort=["metric.loss"])["count"] == 1
        assert answers.columns()["count"] == 1
        assert answers.run(run.uid)["run"]["name"] == "r"
        assert len(answers.series([run.uid], ["loss"])) == 1
        assert answers.series([run.uid], ["loss"], attempts="superseded") == []
        assert len(answers.group(["loss"], by=["hp.lr"])) == 1
        assert answers.samples([run.uid])["count"] == 1
        assert answers.compare([run.uid], everything=True)["count"] > 1
        assert b"".join(answers.export(None)).count(b"\n") == 2
        assert "error" not in {finding["level"] for finding in answers.health()["findings"]}
