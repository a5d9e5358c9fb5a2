"""Whatever the standard streams are, and whatever goes wrong: no traceback, and no half of a file."""

import io
import json
import os
import pwd
import signal
import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import make_url

from fixtures import forkserver
from recording.support import eventually
from trainstore import TrainStore, queries
from trainstore.cli import main


@pytest.fixture
def named_run(new_database, monkeypatch):
    """A store with a run whose name few encodings have; its tables and plots are wider than plain text."""
    url = new_database("sqlite")
    with TrainStore(url) as store, store.start_run(name="été 🚀", hyperparams={"path": "/a" * 40, "é": 1}) as run:
        for step in range(20):
            run.log({"loss": 1 / (step + 1)}, step=step)
    monkeypatch.setenv("TRAINSTORE_URL", url)
    return url


@pytest.fixture
def written(monkeypatch, tmp_path):
    """Runs the command with an output of some encoding; the bytes written there."""

    def run(encoding, *arguments):
        with monkeypatch.context() as patch, (tmp_path / "output").open("w", encoding=encoding) as output:
            patch.setattr(sys, "stdout", output)
            with pytest.raises(SystemExit, match="0"):
                main([*arguments])
        return (tmp_path / "output").read_bytes()

    return run


@pytest.mark.parametrize(("encoding", "name"), [("ascii", r"\xe9t\xe9 \U0001f680"), ("cp1252", r"été \U0001f680")])
def test_output_that_is_not_utf8(named_run, written, encoding, name):
    """Tables show the number of a character that the encoding lacks, in columns that stay straight; JSON escapes it."""
    table = written(encoding, "runs").decode(encoding)
    assert name in table
    assert len({len(line) for line in table.splitlines() if "|" in line}) == 1
    assert name in written(encoding, "best", "loss").decode(encoding)
    assert name in written(encoding, "show", "1").decode(encoding)
    plot = written(encoding, "show", "1", "--steps").decode(encoding)
    assert "*" in plot
    assert "+-----" in plot
    assert "\\u" not in plot
    assert json.loads(written(encoding, "runs", "--json").decode("ascii"))[0]["name"] == "été 🚀"


def test_an_encoding_of_the_environment(named_run, command):
    """PYTHONIOENCODING, and what Python makes of a locale, reach a process of its own."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([*command, "show", "no été"], capture_output=True, env=environment)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(rb"Error: there is no run 'no \xe9t\xe9'")


@pytest.mark.parametrize(
    ("arguments", "closed", "code", "words"),
    [
        ("runs", "<&- >&- 2>&-", 0, ""),
        ("note 1 -", "<&-", 1, "Error: there is no text to read: standard input is closed\n"),
        ("export 1", ">&-", 1, "Error: standard output is closed; name a file with --output\n"),
        ("runs", "> /dev/full", 1, "Error: [Errno 28] No space left on device\n"),
    ],
)
def test_streams_that_are_closed_or_full(named_run, command, arguments, closed, code, words):
    """What does not need the stream works without it; else a line says so. No file takes a stream's number."""
    done = subprocess.run(f"{' '.join(command)} {arguments} {closed}", shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", words)


def test_input_that_is_not_text(named_run, call, monkeypatch):
    """Bytes that are no text are refused, and the notes stay."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8"))
    assert call("note", "1", "-") == (1, "", "Error: standard input is not utf-8 text\n")
    assert call("note", "1").out == "no notes\n"


def test_without_a_home_folder(named_run, call, monkeypatch, tmp_path):
    """Where nobody knows the home folder, a ~ in a path is refused; everything else works."""

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_STATE_HOME", "TRAINSTORE_JOURNAL_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    code, _, err = call("export", "1", "-o", "~/x.csv")
    assert (code, err) == (
        1,
        "Error: no home folder is known for the ~ in ~/x.csv; set HOME, or write the full path\n",
    )
    for arguments in (("runs",), ("export", "1", "-o", tmp_path / "x.csv"), ("doctor",)):
        assert call(*arguments).code == 0


def test_an_error_that_nobody_foresaw(named_run, call, monkeypatch):
    """It is a line that says where to look, without the error's text; the traceback is printed when asked for."""

    def fails(*_, **__):
        raise KeyError("canary")

    monkeypatch.setattr(queries, "list_runs", fails)
    code, out, err = call("runs")
    assert (code, out) == (1, "")
    assert err.startswith("Error: trainstore failed (KeyError in runs.py, line ")
    assert err.count("\n") == 1
    assert "canary" not in err
    monkeypatch.setenv("TRAINSTORE_TRACEBACK", "1")
    with pytest.raises(KeyError, match="canary"):
        main(["runs"])


@contextmanager
def locked(url):
    """Nobody reads or writes steps meanwhile."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        connection.execute("LOCK TABLE step_log IN ACCESS EXCLUSIVE MODE")
        yield


def test_an_export_that_is_ended(new_database, tmp_path):
    """A signal in the middle of an export leaves no part of a file, no new folder, and what was there as it was."""
    url = new_database("postgresql")
    with TrainStore(url) as store:
        store.start_run(name="r").finish()
    kept = tmp_path / "out" / "kept.csv"
    kept.parent.mkdir()
    kept.write_text("mine")
    one, all_ = ("r", "-o", str(kept), "--force"), ("--all", "-o", str(tmp_path / "out" / "new"))
    with locked(url):
        for output, number, code, words in (
            (one, signal.SIGTERM, 143, b""),
            (all_, signal.SIGTERM, 143, b""),
            (one, signal.SIGINT, 130, b"\ninterrupted\n"),
        ):
            command = [forkserver.command("trainstore"), "export", *output, "--store", url]
            export = forkserver.start(command, "trainstore", stderr=subprocess.PIPE)
            eventually(lambda: list(tmp_path.rglob(".*.partial")), "a file that is being written")
            export.send_signal(number)
            assert export.communicate(timeout=60) == (None, words)
            assert export.returncode == code
            assert list(kept.parent.iterdir()) == [kept]
    assert kept.read_text() == "mine"
