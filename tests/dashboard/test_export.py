"""Runs as files to download."""

import csv
import io
import math

import orjson
import pytest
from sqlalchemy import event

from trainstore.dashboard import found
from trainstore.dashboard.answers import Answers
from trainstore.dashboard.export import TABLES
from trainstore.errors import FilterError, InvalidArgumentError, RunNotFoundError
from trainstore.queries import reader, stream

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


@pytest.fixture
def runs(store):
    """Two runs; their uids."""
    with store.start_run("=cmd|' /C calc'!A0", hyperparams={"lr": 0.1, "text": "@x"}, notes="-n") as one:
        for step, text in enumerate(FORMULAS, 1):
            one.log({"loss": math.nan if step == 2 else -float(step), "=name": text}, step)
        one.log_event("note", 1, {"a": 1})
    with store.start_run("two") as two:
        two.log({"acc": 1}, 1)
    return [one.uid, two.uid]


def rows(pieces):
    """The rows of a csv file, by their headings."""
    return list(csv.DictReader(io.StringIO(b"".join(pieces).decode(), newline="")))


def test_steps_as_csv_hold_nothing_that_a_spreadsheet_would_run(store, runs):
    """Texts and headings that begin like a formula have an apostrophe; numbers stay numbers, and nothing is empty."""
    found = rows(Answers(store).export(runs[:1]))
    assert [row["'=name"] for row in found] == [f"'{text}" for text in FORMULAS]
    assert [row["loss"] for row in found] == ["-1.0", "NaN", "-3.0", "-4.0", "-5.0", "-6.0"]


def test_several_runs_are_told_apart(store, runs):
    """A cell that a run does not have is empty; all runs are those of the store."""
    found = rows(Answers(store).export(None))
    assert {row["run"] for row in found} == set(runs)
    assert (found[-1]["name"], found[-1]["acc"], found[-1]["loss"]) == ("two", "1", "")


def test_the_runs_may_be_those_of_a_project_and_a_filter(store, runs):
    """As of the page's table, which may be more than an address holds."""
    with store.start_run("three", project="other", hyperparams={"lr": 0.1}):
        pass

    def names(chosen=None, **which):
        return [row["name"] for row in rows(Answers(store).export(chosen, table="runs", **which))]

    assert names(q="hp.lr = 0.1") == ["'=cmd|' /C calc'!A0", "three"]
    assert names(q="hp.lr = 0.1", project="other") == names(project="other") == ["three"]
    assert names(runs, q="name = two") == ["two"]
    assert names(q="name = nobody") == []
    with pytest.raises(FilterError):
        next(Answers(store).export(None, q="hp.nope = 1"))


@pytest.mark.parametrize("table", ["runs", "events", "hyperparams", "metrics", "attempts"])
def test_every_table_can_be_had(store, runs, table):
    """In both formats with as many rows."""
    answers = Answers(store)
    found = rows(answers.export(runs, table=table))
    lines = [orjson.loads(line) for line in b"".join(answers.export(runs, form="jsonl", table=table)).splitlines()]
    assert len(found) == len(lines) > 0
    assert not any(cell.startswith(("=", "@", "\t")) for row in found for cell in row.values() if cell)
    if table == "runs":
        assert [row["name"] for row in found] == ["'=cmd|' /C calc'!A0", "two"]
        assert [row["hp__lr"] for row in found] == ["0.1", ""]
        assert [line["name"] for line in lines] == ["=cmd|' /C calc'!A0", "two"]


def test_json_lines_hold_the_values_as_they_are(store, runs):
    """NaN is a text there."""
    lines = b"".join(Answers(store).export(runs[:1], form="jsonl")).splitlines()
    second = orjson.loads(lines[1])
    assert (second["loss"], second["=name"], second["step"]) == ("NaN", "+1", 2)


def test_many_runs_do_not_fill_one_statement(store, monkeypatch):
    """Databases take some tens of thousands of parameters; the runs are written into the statement, or in parts."""
    uids = []
    for number in range(40):
        with store.start_run(f"run {number}", hyperparams={"lr": number}) as run:
            run.log({"loss": 1.0}, 1)
        uids.append(run.uid)
    for module in (reader, found):
        monkeypatch.setattr(module, "IN_LIMIT", 4)
    sent = []
    event.listen(store.engine, "before_cursor_execute", lambda *given: sent.append(len(given[3] or ())))
    for table in TABLES:
        for chosen in (None, uids):
            assert len(rows(Answers(store).export(chosen, table=table))) == (0 if table == "events" else 40)
    assert 0 < max(sent) < 40


def test_a_long_run_comes_in_pieces(store, runs, monkeypatch):
    """None of them is the whole file; together they are."""
    monkeypatch.setattr(stream, "PIECE", 2)
    pieces = list(Answers(store).export(runs[:1]))
    assert len(pieces) >= 3
    assert len(rows(pieces)) == len(FORMULAS)


def test_a_run_without_steps_is_a_file_with_headings(store):
    """Not an empty file."""
    with store.start_run() as run:
        pass
    assert b"".join(Answers(store).export([run.uid])).startswith(b"step,epoch,")
    assert b"".join(Answers(store).export([run.uid], form="jsonl")) == b""


def test_what_cannot_be_exported_is_an_error_before_the_first_piece(store, runs):
    """It names what there is."""
    answers = Answers(store)
    with pytest.raises(InvalidArgumentError, match="format 'xlsx' is not one of csv, jsonl"):
        answers.export(runs, form="xlsx")
    with pytest.raises(InvalidArgumentError, match="table 'step_log' is not one of steps, runs"):
        answers.export(runs, table="step_log")
    with pytest.raises(RunNotFoundError):
        next(answers.export(["0" * 36]))
