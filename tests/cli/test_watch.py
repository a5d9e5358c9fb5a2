"""``trainstore watch``: what it prints, and what it refuses. What it sees is in tests/notifying."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from fixtures.processes import DEADLINE
from trainstore import TrainStore

CODE = """
    import sys
    from trainstore.cli import main
    main(["watch", "--interval", "0.1", *sys.argv[1:]])
"""


@pytest.mark.parametrize("interval", ["nan", "inf", "0", "-1", "1e9", "soon"])
def test_an_interval_that_cannot_be_waited_for(call, interval):
    """It is an invalid command line, before anything is opened."""
    refused = call("watch", "--interval", interval)
    assert (refused.code, refused.out) == (2, "")
    assert "--interval" in refused.err


def test_an_output_that_is_not_utf8(start_script, store, database_url):
    """JSON is plain ASCII there, and a line escapes what cannot be written."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    scripts = [start_script(CODE, database_url, *options, env=locale) for options in ((), ("--json",))]
    wait_until(lambda: all("watching" in script.stderr for script in scripts))
    with store.start_run(name="größe → 🚀", project="p") as run:
        pass
    for script in scripts:
        while "finished" not in script.wait_for(""):
            pass
        script.process.send_signal(signal.SIGINT)
    lines, rows = (script.finish(code=130) for script in scripts)
    assert lines[0].isascii()
    assert f"gr\\xf6\\xdfe -> \\U0001f680 (p, {run.uid[:8]}) began" in lines[0]
    assert [json.loads(row)["name"] for row in rows] == ["größe → 🚀"] * 2
    assert all(row.isascii() for row in rows)


def test_a_reader_that_stops_early(database_url, tmp_path):
    """As with ``| head``: no traceback, and it is no error."""
    said = tmp_path / "stderr"
    command = [sys.executable, "-m", "trainstore", "watch", database_url, "--interval", "0.1"]
    with said.open("w") as stderr, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process:
        try:
            wait_until(lambda: "watching" in said.read_text())
            process.stdout.close()
            with TrainStore(database_url) as store:
                store.start_run(name="unseen").finish()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
    assert said.read_text().count("\n") == 1


def wait_until(is_so):
    """Until it is."""
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
