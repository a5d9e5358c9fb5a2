"""``trainstore export``: what is written reads back, in every format; and nothing is written over."""

import csv
import io
import json
import math
import os
import subprocess
import sys

import pandas as pd
import pytest

from fixtures import forkserver
from trainstore import TrainStore

NAN = float("nan")


def odd_and_plain(store):
    """A run with everything that is hard to write; a second one, plain."""
    with store.start_run(project="p", name="odd", hyperparams={"lr": 1e-5, "nested": {"a": [1, "x"]}}) as run:
        run.log({"loss": 0.1 + 0.2, "big": 2**53 + 1, "flag": True, "text": '=SUM(A1) "q", \n next'}, step=0, epoch=0.5)
        run.log({"loss": NAN, "big": -1, "flag": False, "text": "-5"}, step=1)
        run.log({"loss": math.inf, "mixed": 1, "epoch of": 2}, step=2)
        run.log({"loss": -math.inf, "mixed": "words", "step": 7.5, "none": None}, step=3, details={"sample": "@x"})
        run.log_event("checkpoint", step=2, details={"path": "here"})
    with store.start_run(project="p", name="plain") as run:
        run.log({"loss": 1.0}, step=0)


@pytest.fixture
def odd_url(backend_name, recorded_once, new_database):
    """The connection string of a store of these two runs, on each database."""
    return new_database(backend_name, template=recorded_once(backend_name, odd_and_plain))


@pytest.fixture
def rich_run(odd_url, monkeypatch):
    """The command's store is `odd_url`."""
    monkeypatch.setenv("TRAINSTORE_URL", odd_url)


READERS = {
    "csv": pd.read_csv,
    "jsonl": lambda path: pd.read_json(path, lines=True) if path.stat().st_size else pd.DataFrame(),
    "parquet": pd.read_parquet,
}


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_runs_steps_go_to_standard_output_as_csv(call, rich_run):
    """Numbers are the shortest text that reads back exactly, NaN and infinities have names, text is as it was."""
    code, out, err = call("export", "odd")
    assert (code, err) == (0, "")
    rows = read_csv(out)
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["loss"] for row in rows] == ["0.30000000000000004", "NaN", "inf", "-inf"]
    assert [float(row["loss"]) for row in rows[2:]] == [math.inf, -math.inf]
    assert [row["big"] for row in rows] == [str(2**53 + 1), "-1", "", ""]
    assert [row["flag"] for row in rows] == ["true", "false", "", ""]
    assert [row["text"] for row in rows] == ['=SUM(A1) "q", \n next', "-5", "", ""]
    assert [row["metric__step"] for row in rows] == ["", "", "", "7.5"]
    assert json.loads(rows[3]["details"]) == {"sample": "@x"}
    assert rows[0]["logged_at"].endswith("+00:00")
    assert "run" not in rows[0]
    frame = pd.read_csv(io.StringIO(out))
    assert frame["loss"].iloc[0] == 0.1 + 0.2
    assert frame["loss"].iloc[2] == math.inf


def test_formulas_are_escaped_only_where_asked_for(call, rich_run):
    """--escape-formulas puts ' before text that a spreadsheet would run; numbers stay what they are."""
    rows = read_csv(call("export", "odd", "--escape-formulas")[1])
    assert [row["text"] for row in rows[:2]] == ['\'=SUM(A1) "q", \n next', "'-5"]
    assert [row["big"] for row in rows[:2]] == [str(2**53 + 1), "-1"]
    assert rows[3]["loss"] == "-inf"


def test_jsonl_says_what_is_missing_and_what_is_null(call, rich_run):
    """A metric that a step lacks is left out; None is null; NaN and infinities are strings, as in the store."""
    rows = [json.loads(line) for line in call("export", "odd", "--format", "jsonl")[1].splitlines()]
    assert [row["loss"] for row in rows] == [0.1 + 0.2, "NaN", "Infinity", "-Infinity"]
    assert rows[0]["big"] == 2**53 + 1
    assert rows[0]["flag"] is True
    assert "mixed" not in rows[0]
    assert [rows[2]["mixed"], rows[3]["mixed"]] == [1, "words"]
    assert rows[3]["none"] is None
    assert rows[0]["epoch"] == 0.5
    assert rows[3]["details"] == {"sample": "@x"}


def test_parquet_keeps_types(call, rich_run, tmp_path):
    """Numbers are doubles, NaN is apart from missing; what a double does not hold is JSON text in a second column."""
    from pyarrow import parquet

    path = tmp_path / "odd.parquet"
    assert call("export", "odd", "-o", path) == (0, f"{path}: 4 rows\n", "")
    table = parquet.read_table(path)
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["loss"] == kinds["big"] == kinds["mixed"] == "double"
    assert kinds["big__json"] == kinds["flag__json"] == kinds["text__json"] == kinds["mixed__json"] == "string"
    assert kinds["logged_at"] == "timestamp[us, tz=UTC]"
    assert not {"loss__json", "flag", "text", "none__json"} & kinds.keys()
    columns = table.to_pydict()
    assert columns["loss"][0] == 0.1 + 0.2
    assert math.isnan(columns["loss"][1])
    assert columns["loss"][2:] == [math.inf, -math.inf]
    assert columns["big"] == [2.0**53, -1, None, None]
    assert columns["big__json"] == [str(2**53 + 1), None, None, None]
    assert (columns["mixed"], columns["mixed__json"]) == ([None, None, 1, None], [None, None, None, '"words"'])
    assert [columns["flag__json"][0], columns["text__json"][1]] == ["true", '"-5"']
    assert columns["epoch"] == [0.5, None, None, None]


def test_a_parquet_column_does_not_depend_on_the_other_rows(call, database_url, monkeypatch, tmp_path):
    """The same value stands in the same column, of the same type, in the same way, whatever other runs have."""
    from pyarrow import parquet

    with TrainStore(database_url) as store:
        for name, value in (("text", "1"), ("number", 1), ("large", 2**70)):
            with store.start_run(name=name, hyperparams={"version": value, "optimizer": "sgd"}) as run:
                run.log({"metric": value, "loss": 1}, step=0)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    found = {}
    for table in ("hyperparams", "runs", "steps"):
        for names in (["text"], ["number"], ["large"], ["text", "number", "large"]):
            path = tmp_path / f"{table}-{'-'.join(names)}.parquet"
            assert call("export", *names, "--table", table, "-o", path).code == 0
            exported = parquet.read_table(path)
            for field in exported.schema:
                assert found.setdefault((table, field.name), field.type) == field.type
            rows = exported.to_pylist()
            if table == "hyperparams":
                values = {"text": ('"1"', None), "number": ("1", 1.0), "large": (str(2**70), None)}
                assert [(row["value"], row["number"]) for row in rows if row["key"] == "version"] == [
                    values[name] for name in names
                ]
                assert {row["value"] for row in rows if row["key"] == "optimizer"} == {'"sgd"'}
            else:
                column = "hp__version" if table == "runs" else "metric"
                values = {"text": (None, '"1"'), "number": (1.0, None), "large": (float(2**70), str(2**70))}
                assert [(row.get(column), row.get(f"{column}__json")) for row in rows] == [
                    values[name] for name in names
                ]
    with TrainStore(database_url) as store, store.start_run(name="alike") as run:
        run.log({"a": "text", "a__json": 1.0}, step=0)
    assert call("export", "alike", "-o", tmp_path / "alike.parquet").code == 0
    (row,) = parquet.read_table(tmp_path / "alike.parquet").to_pylist()
    assert (row["a__json"], row["a__json__number"]) == ('"text"', 1.0)
    assert str(found["runs", "hp__optimizer__json"]) == "string"
    assert str(found["steps", "loss"]) == "double"
    lines = call("export", "large", "--table", "hyperparams", "--format", "jsonl").out.splitlines()
    assert {row["key"]: row["value"] for row in map(json.loads, lines)} == {"version": 2**70, "optimizer": "sgd"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_several_runs_become_one_file(trainstore, tmp_path, kind):
    """If --output has a format's suffix: their step logs, each with its run."""
    file = tmp_path / f"two.{kind}"
    assert trainstore("export", "first", "second", "-o", file).code == 0
    frame = READERS[kind](file)
    assert len(frame) == 10
    assert frame["name"].tolist() == ["first"] * 5 + ["second"] * 5
    (tmp_path / "folder.csv").mkdir()
    assert trainstore("export", "--all", "-o", tmp_path / "folder.csv").code == 0
    assert (tmp_path / "folder.csv" / "runs.csv").exists()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_all_runs_become_a_folder_of_tables(call, rich_run, tmp_path, kind):
    """--all writes a file for each table, with the rows of every run, oldest run first."""
    read = READERS[kind]
    folder = tmp_path / "out"
    code, out, err = call("export", "--all", "--format", kind, "-o", folder)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}.{kind}" for name in ("attempts", "events", "hyperparams", "metrics", "runs", "step_logs")
    ]
    assert "step_logs" in out
    runs = read(folder / f"runs.{kind}")
    assert list(runs["name"]) == ["odd", "plain"]
    assert runs["hp__lr"].iloc[0] == 1e-5
    steps = read(folder / f"step_logs.{kind}")
    assert list(steps["run"]) == [runs["uid"].iloc[0]] * 4 + [runs["uid"].iloc[1]]
    metrics = read(folder / f"metrics.{kind}").set_index("metric")
    assert metrics.loc["big", "max"] == 2**53
    assert list(read(folder / f"events.{kind}")["kind"]) == ["checkpoint"]
    hyperparams = read(folder / f"hyperparams.{kind}").set_index("key")
    assert hyperparams.loc["lr", "number"] == 1e-5
    attempts = read(folder / f"attempts.{kind}")
    assert list(attempts["uid"]) == list(runs["uid"])
    assert list(attempts["status"]) == ["finished", "finished"]


def test_a_metric_that_is_nan_last_is_not_missing(call, database_url, monkeypatch):
    """In runs and metrics a last value of NaN is written as such, and one that is not there is empty."""
    with TrainStore(database_url) as store:
        store.start_run(name="a").finish()
        with store.start_run(name="b") as run:
            run.log({"loss": NAN}, step=0)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    rows = read_csv(call("export", "--all", "--table", "runs")[1])
    assert [row["metric__loss"] for row in rows] == ["", "NaN"]
    assert [row["last"] for row in read_csv(call("export", "b", "--table", "metrics")[1])] == ["NaN"]


def test_one_table_of_several_runs_is_one_stream(call, rich_run):
    """--table takes any number of runs; several have the columns run and name, and --metric chooses columns."""
    rows = read_csv(call("export", "plain", "odd", "--table", "steps", "--metric", "loss")[1])
    assert [row["loss"] for row in rows] == ["1.0", "0.30000000000000004", "NaN", "inf", "-inf"]
    assert set(rows[0]) == {"run", "name", "step", "epoch", "step_time", "logged_at", "details", "loss"}
    assert len({row["run"] for row in rows}) == 2


def test_superseded_attempts_are_exported_where_asked_for(call, database_url, monkeypatch):
    """--attempts all writes the steps that a resumed run left behind too."""
    with TrainStore(database_url) as store:
        run = store.start_run(name="r")
        for step in range(4):
            run.log({"loss": 1.0}, step=step)
        run.finish("failed")
        again = store.resume_run(run, step=1)
        again.log({"loss": 2.0}, step=2)
        again.finish()
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    assert [row["loss"] for row in read_csv(call("export", "r")[1])] == ["1.0", "1.0", "2.0"]
    rows = read_csv(call("export", "r", "--attempts", "all")[1])
    assert [(row["step"], row["attempt"]) for row in rows] == [
        ("0", "1"),
        ("1", "1"),
        ("2", "1"),
        ("2", "2"),
        ("3", "1"),
    ]


def test_many_steps_are_read_in_pieces(call, database_url, monkeypatch, tmp_path):
    """More steps than one piece and one row group hold come out whole, in every format."""
    from trainstore.exporting import writers
    from trainstore.queries import stream

    monkeypatch.setattr(stream, "PIECE", 100)
    monkeypatch.setattr(writers, "GROUP", 250)
    with TrainStore(database_url) as store, store.start_run(name="long") as run:
        for step in range(1_003):
            run.log({"loss": step / 3}, step=step)
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    expected = [step / 3 for step in range(1_003)]
    assert [float(row["loss"]) for row in read_csv(call("export", "long")[1])] == expected
    call("export", "long", "-o", tmp_path / "x.parquet")
    assert list(pd.read_parquet(tmp_path / "x.parquet")["loss"]) == expected
    lines = call("export", "long", "--format", "jsonl")[1].splitlines()
    assert [json.loads(line)["loss"] for line in lines] == expected


# --- Files -----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_kept(call, rich_run, tmp_path):
    """Without --force nothing is written over, a folder's files neither; with it the file is whole and new."""
    path = tmp_path / "x.csv"
    path.write_text("mine")
    code, out, err = call("export", "odd", "-o", path)
    assert (code, out) == (1, "")
    assert err == f"Error: {path} already exists; --force overwrites it\n"
    assert path.read_text() == "mine"
    assert call("export", "odd", "-o", path, "--force").code == 0
    assert len(read_csv(path.read_text())) == 4
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "events.csv").write_text("mine")
    assert "events.csv already exists" in call("export", "--all", "-o", folder).err
    assert [file.name for file in folder.iterdir()] == ["events.csv"]
    assert call("export", "--all", "-o", folder, "--force").code == 0
    assert (folder / "events.csv").read_text() != "mine"
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_link_stays_a_link(call, rich_run, tmp_path):
    """--force writes the file that a link points at; something that is not a file is left alone."""
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert call("export", "odd", "-o", tmp_path / "link.csv", "--force").code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("step,")
    assert "is not a regular file" in call("export", "odd", "-o", os.devnull, "--format", "csv", "--force").err
    assert os.path.exists(os.devnull)


def test_what_fails_half_way_leaves_nothing(call, rich_run, tmp_path, monkeypatch):
    """An error while rows are written leaves neither the file nor a part of it, and no new folder."""
    from trainstore.exporting import writers

    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers._JSONLines, "write", full)
    code, _, err = call("export", "odd", "--format", "jsonl", "-o", tmp_path / "x.jsonl")
    assert code == 1
    assert err == f"Error: {tmp_path / 'x.jsonl'} cannot be written: No space left on device\n"
    assert call("export", "--all", "--format", "jsonl", "-o", tmp_path / "new").code == 1
    assert not (tmp_path / "x.jsonl").exists()
    assert not (tmp_path / "new").exists()
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_missing_library_is_named(call, rich_run, tmp_path, monkeypatch):
    """Without pyarrow the format parquet says what to install, before anything is written; the others work."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = call("export", "odd", "-o", tmp_path / "x.parquet")
    assert (code, out) == (1, "")
    assert "needs pyarrow" in err
    assert "pip install 'trainstore[parquet]'" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "x.parquet").exists()
    assert call("export", "odd", "-o", tmp_path / "x.csv").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nobody"], 1, "there is no run 'nobody'"),
        (["odd", "-o", "/nowhere/at/all.csv"], 1, "the folder /nowhere/at does not exist"),
        (["--all", "-o", "/nowhere/at/all"], 1, "cannot create the folder"),
        (["--all", "-o", os.devnull], 1, "exists and is not a folder"),
        ([], 2, "Name a RUN, or --all"),
        (["odd", "--all"], 2, "--all"),
        (["--all"], 2, "name it with --output"),
        (["odd", "--format", "xlsx"], 2, "'xlsx' is not one of"),
        (["odd", "-o", "x.xlsx"], 2, "Name a format"),
    ],
)
def test_wrong_words(call, rich_run, arguments, code, words):
    """What cannot be done is said in a line: 1 for the world, 2 for the command line."""
    called = call("export", *arguments)
    assert called.code == code
    assert words in called.err
    assert "Traceback" not in called.err


def test_a_pipe_gets_bytes_and_may_close(rich_run):
    """Parquet goes through a pipe; it is not an error if the reader stops early."""
    command = [forkserver.command("trainstore"), "export", "odd"]
    done = forkserver.run([*command, "--format", "parquet"], text=False)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(io.BytesIO(done.stdout))) == 4
    export = forkserver.start(command, "trainstore", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    export.stdout.close()
    assert export.wait(60) == 0
    assert export.stderr.read() == b""
    export.stderr.close()


def test_everything_of_some_runs_is_one_file_for_an_import(call, rich_run, tmp_path):
    """--for-import writes rows of all tables, to a file or standard output, and says how many."""
    path = tmp_path / "runs.jsonl"
    code, out, err = call("export", "--all", "--for-import", "-o", path)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert out == f"{path}: 2 runs, {len(rows)} lines\n"
    assert {row["table"] for row in rows[1:]} >= {"run", "attempt", "writer", "event", "hyperparam", "step_log", "end"}
    assert [row["name"] for row in rows if row.get("table") == "run"] == ["odd", "plain"]
    one = [json.loads(line) for line in call("export", "plain", "--for-import")[1].splitlines()]
    assert one[-1] == {"table": "end of file", "runs": 1}
    assert call("export", "--all", "--for-import", "-o", path).code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "runs.csv"], "--for-import writes jsonl"),
        (["--format", "parquet"], "--for-import writes jsonl"),
        (["--metric", "loss"], "--for-import writes everything"),
        (["--table", "events"], "--for-import writes everything"),
        (["--escape-formulas"], "--for-import writes everything"),
    ],
)
def test_what_would_leave_something_out_does_not_go_with_for_import(call, rich_run, arguments, message):
    """The error names the options that do not fit."""
    code, out, err = call("export", "odd", "--for-import", *arguments)
    assert (code, out) == (2, "")
    assert message in err
