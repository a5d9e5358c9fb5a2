"""What a person gets wrong, for every command: one line, exit code 1, nothing changed."""

import json
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect

from fixtures.databases import opened
from trainstore import TrainStore

ON_A_RUN = [
    ("show", "{}"),
    ("show", "{}", "--steps"),
    ("export", "{}"),
    ("export", "{}", "--table", "events"),
    ("compare", "{}", "first"),
    ("tag", "{}", "x"),
    ("tag", "{}"),
    ("note", "{}"),
    ("note", "{}", "text"),
    ("rename", "{}", "other"),
    ("rm", "{}", "--yes"),
]
ON_A_STORE = [("runs",), ("best", "loss"), ("recover",), ("export", "--all", "--table", "runs"), ("compare", "a", "b")]


def filled(arguments, run):
    return [argument.format(run) for argument in arguments]


def is_one_line(called, words):
    assert (called.code, called.out) == (1, ""), called
    assert words in called.err
    assert called.err.startswith("Error: ")
    assert called.err.count("\n") == 1


def test_a_demo_without_its_libraries_leaves_no_store(call, tmp_path, monkeypatch):
    """It says what to install first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    is_one_line(call("demo"), "the demo needs accelerate: pip install 'trainstore[transformers]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [*ON_A_RUN, *ON_A_STORE], ids=" ".join)
def test_a_store_that_is_not_there(call, arguments, tmp_path, monkeypatch):
    """It says how to name one or to begin one, and none is made."""
    monkeypatch.chdir(tmp_path)
    is_one_line(call(*filled(arguments, "x")), "there is no store at trainstore.db")
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_the_tables(call, empty_database_url, database_url):
    """An empty database, or a wrong prefix, is said to hold no store, and stays as it is; recover alone makes them."""
    if empty_database_url.startswith("sqlite"):
        Path(empty_database_url.removeprefix("sqlite:///")).touch()
    for arguments in (*ON_A_RUN, *(command for command in ON_A_STORE if command != ("recover",))):
        for store in (("--store", empty_database_url), ("--store", database_url, "--prefix", "other_")):
            is_one_line(call(*filled(arguments, "x"), *store), "has no trainstore tables")
    for url in (empty_database_url, database_url):
        with opened(url) as (engine, _, _):
            assert not [
                name for name in inspect(engine).get_table_names() if url == empty_database_url or "oth" in name
            ]
    assert call("recover", "--store", empty_database_url).code == 0
    assert call("runs", "--store", empty_database_url).out == "no runs\n"


def test_a_run_that_is_not_there(trainstore):
    """Every command that takes a run says that there is none."""
    for arguments in ON_A_RUN:
        for run in ("nobody", "77", "9" * 30):
            is_one_line(trainstore(*filled(arguments, run)), "there is no run ")


def test_a_name_that_several_runs_have(trainstore, store_url):
    """The uids are listed, to take one of them."""
    with TrainStore(store_url) as store:
        uids = []
        for _ in range(2):
            with store.start_run(name="twice") as run:
                uids.append(run.uid)
    for arguments in ON_A_RUN:
        called = trainstore(*filled(arguments, "twice"))
        is_one_line(called, "2 runs are called 'twice'")
        assert all(uid in called.err for uid in uids)
    assert len(json.loads(trainstore("runs", "--json").out)) == 4


def test_a_file_that_is_no_database(call, tmp_path):
    """It is left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes " * 100)
    for arguments in (*ON_A_RUN, *ON_A_STORE):
        is_one_line(call(*filled(arguments, "x"), "--store", path), "is not an SQLite database")
    assert path.read_text() == "these are my notes " * 100


def test_a_name_that_no_file_can_have(call):
    """What the operating system refuses is a line too."""
    for arguments in (*ON_A_RUN, *ON_A_STORE):
        is_one_line(call(*filled(arguments, "x"), "--store", "x" * 300), "x" * 300)


def test_a_user_who_may_only_read(new_database, postgres_server, call):
    """A refusal of PostgreSQL is a line too, and shows no URL."""
    url = new_database("postgresql")
    with TrainStore(url) as store:
        store.start_run(name="r").finish()
    name = url.rpartition("/")[2].partition("?")[0]
    role = f"reader_{name[-12:]}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 's3cret'")
    try:
        postgres_server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", name)
        as_reader = url.replace("://postgres@", f"://{role}:s3cret@")
        assert call("show", "r", "--store", as_reader).code == 0
        assert call("export", "--all", "--table", "runs", "--store", as_reader).code == 0
        for arguments in (("tag", "r", "x"), ("note", "r", "x"), ("rename", "r", "x"), ("rm", "r", "--yes")):
            called = call(*arguments, "--store", as_reader)
            is_one_line(called, "the right to ")
            assert "s3cret" not in called.err
        doctor = call("doctor", "--store", as_reader)
        assert doctor.code == 0
        assert "this user may only SELECT" in doctor.out
    finally:
        postgres_server.execute(f"DROP OWNED BY {role}", name)
        postgres_server.execute(f"DROP ROLE {role}")


def test_a_metric_that_no_run_has(trainstore):
    """best and export name the closest ones, or some of those that there are, and export writes nothing."""
    is_one_line(
        trainstore("export", "first", "--metric", "evalloss", "--metric", "eval_loss"),
        "no run has 'evalloss'; did you mean eval_loss?",
    )
    is_one_line(trainstore("export", "first", "--metric", "nope"), "no run has 'nope'; there are eval_loss")
    is_one_line(trainstore("best", "eval_los"), "no run has a finite value of 'eval_los'; did you mean eval_loss?")
    called = trainstore("best", "eval_loss", "--status", "failed")
    is_one_line(called, "no run that matches has a finite value of 'eval_loss'")
    assert "there are" not in called.err  # it is there, but in other runs
