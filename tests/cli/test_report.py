"""``trainstore report``: runs as one HTML file."""

import base64
import os
import re
import stat
import subprocess
import sys
from html import unescape

import pytest

from trainstore import TrainStore
from trainstore.dashboard.packing import unpacked


def data_of(page):
    """The head of the data that lies in a page."""
    (text,) = re.findall(rb'id="trainstore-data">([^<]*)</script>', page)
    return unpacked(base64.b64decode(text))[0]


def names_in(path):
    """The runs in a file."""
    return [run["run"]["name"] for run in data_of(path.read_bytes())["runs"].values()]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["first"], ["first"]),
        (["second", "first"], ["second", "first"]),
        (["--all"], ["second", "first"]),
        (["--where", "hp.learning_rate < 0.05"], ["second"]),
        (["--name", "first"], ["first"]),
        (["--hp", "learning_rate=0.1"], ["first"]),
        (["--tag", "t", "--project", "cli"], ["second", "first"]),
    ],
)
def test_runs_are_named_or_filtered(trainstore, tmp_path, arguments, names):
    """By RUN, all of them, or by the filters of every command; the newest first."""
    code, out, err = trainstore("report", *arguments, "-o", tmp_path / "report.html")
    assert (code, err) == (0, "")
    assert re.fullmatch(r".*report\.html: \d+\.\d kB\n", out)
    assert names_in(tmp_path / "report.html") == names


def test_options_reach_the_report(trainstore, tmp_path):
    """Title, metrics, points, exact values, the environment."""
    path = tmp_path / "report.html"
    options = ("--title", "A & B", "--metric", "eval_loss", "--points", "3", "--exact", "--with-env")
    assert trainstore("report", "first", "-o", path, *options).code == 0
    page = path.read_bytes()
    head = data_of(page)
    assert unescape(re.search(r"<title>(.*)</title>", page.decode())[1]) == "A & B"
    assert head["points"] == 3
    assert list(next(iter(head["curves"].values()))) == ["eval_loss"]
    assert {kind for kind, _ in unpacked_kinds(page)} <= {"f8", "d8"}
    assert "host" in {column["id"] for column in head["columns"]}
    assert trainstore("report", "first", "-o", path, "--force").code == 0
    assert "host" not in {column["id"] for column in data_of(path.read_bytes())["columns"]}


def unpacked_kinds(page):
    """The kinds of arrays in a page."""
    import gzip

    import orjson

    (text,) = re.findall(rb'id="trainstore-data">([^<]*)</script>', page)
    packed = gzip.decompress(base64.b64decode(text))
    return orjson.loads(packed[4 : 4 + int.from_bytes(packed[:4], "little")])["arrays"]


def test_standard_output(store_url, command):
    """A dash writes the page there, and nothing else."""
    done = subprocess.run(
        [*command, "report", "--all", "-o", "-", "--store", store_url], capture_output=True, check=True, timeout=120
    )
    assert done.stdout.startswith(b"<!doctype html>")
    assert done.stdout.endswith(b"</html>\n")
    assert len(data_of(done.stdout)["runs"]) == 2
    assert done.stderr == b""


def test_an_existing_file_is_kept(trainstore, tmp_path):
    """Unless --force says otherwise; it is refused before anything is read."""
    path = tmp_path / "report.html"
    path.write_text("mine")
    code, out, err = trainstore("report", "first", "-o", path)
    assert (code, out) == (1, "")
    assert "already exists; --force overwrites it" in err
    assert path.read_text() == "mine"
    assert trainstore("report", "first", "-o", path, "--force").code == 0
    assert names_in(path) == ["first"]


def test_the_files_mode_is_the_users(trainstore, tmp_path):
    """As that of any file they make."""
    before = os.umask(0o027)
    try:
        assert trainstore("report", "first", "-o", tmp_path / "report.html").code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["-o", "x.html"], 2, "Name a RUN, or --all."),
        (["first", "--all", "-o", "x.html"], 2, "not several of them"),
        (["first", "--name", "first", "-o", "x.html"], 2, "not several of them"),
        (["first"], 2, "Missing option '-o' / '--output'"),
        (["gone", "-o", "x.html"], 1, "there is no run 'gone'; list them with: trainstore runs"),
        (["--name", "gone", "-o", "x.html"], 1, "no run matches; nothing was written"),
        (["--where", "hp.learning_rte < 1", "-o", "x.html"], 1, "learning_rate"),
        (["first", "--metric", "evalloss", "-o", "x.html"], 1, "none of these runs has 'evalloss'"),
        (["first", "--points", "1", "-o", "x.html"], 2, "1 is not in the range"),
        (["first", "--max-mb", "0", "-o", "x.html"], 2, "0.0 is not in the range"),
        (["first", "--max-mb", "0.001", "-o", "x.html"], 1, "more than the 1.0 kB that it may have"),
        (["first", "-o", "gone/x.html"], 1, "does not exist"),
        (["first", "-o", "."], 1, "is a folder; name a file"),
    ],
)
def test_mistakes_are_told(trainstore, tmp_path, monkeypatch, arguments, code, told):
    """With the value and the way out; no file is left behind."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    found = trainstore("report", *arguments)
    assert found.code == code
    assert told in found.err
    assert [path for path in sorted(tmp_path.iterdir()) if path not in before and "html" in path.name] == []


def many(store: TrainStore) -> None:
    """More runs than are read silently."""
    for number in range(25):
        with store.start_run(f"run-{number}\x1b[31m") as run:
            run.log({"loss": 1.0})


def test_many_runs_are_counted(call, recorded_once, new_database, tmp_path):
    """In a log with a line for each twentieth; control characters of names do not reach the terminal."""
    url = new_database("sqlite", template=recorded_once("sqlite", many))
    code, out, err = call("report", "--all", "-o", tmp_path / "report.html", "--store", url)
    assert (code, err) == (0, "")
    assert "25 of 25 runs" in out
    assert "\x1b" not in out
    assert len(names_in(tmp_path / "report.html")) == 25


def test_it_needs_no_extra(store_url, tmp_path):
    """Neither the server's packages nor a picture's are imported."""
    script = (
        "import sys\n"
        "for name in ('starlette', 'uvicorn', 'matplotlib', 'pyarrow', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from trainstore.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["report", "--all", "-o", tmp_path / "report.html", "--store", store_url]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(names_in(tmp_path / "report.html")) == 2
