"""Which run is meant; and the record of one."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from queries.builders import START, Builder
from trainstore.errors import InvalidArgumentError, RunNotFoundError, RunNotUniqueError
from trainstore.queries import RunRecord, TypedRun, get_run, list_runs, list_step_logs, resolve_run, resolve_runs
from trainstore.values import stored_label


def test_a_run_is_named_in_many_ways(builder: Builder) -> None:
    """By id, uid, unique name, and whatever has a uid: a handle, a record, a mapped object, a row of a frame."""
    uid = builder.run("x")
    builder.run("y")
    with builder.reader() as reader:
        key = resolve_run(reader, uid)
        assert key.uid == uid
        frame = list_runs(reader, name="x")
        for run in (
            key.id, np.int64(key.id), "x", SimpleNamespace(uid=uid), get_run(reader, uid), frame.iloc[0],
            frame["run_id"].iloc[0], frame["uid"].iloc[0], builder.models.Run(uid=uid), UUID(uid), np.array(key.id),
            f"id:{key.id}", "name:x", np.str_("x"),
        ):  # fmt: skip
            assert resolve_run(reader, run) == key
        assert resolve_runs(reader, ["y", "x", uid, key.id])[1:] == [key]
        assert resolve_runs(reader, frame) == resolve_runs(reader, frame["uid"]) == [key]


def test_a_name_that_several_runs_have(builder: Builder) -> None:
    """The error tells them apart; a uid is never taken for a name."""
    uids = [builder.run("same") for _ in range(3)]
    builder.run(uids[0])
    with builder.reader() as reader:
        with pytest.raises(RunNotUniqueError) as error:
            resolve_run(reader, "same")
        assert all(uid in str(error.value) for uid in uids)
        assert resolve_run(reader, uids[0]).uid == uids[0]


def test_runs_of_one_name_are_told_apart(builder: Builder) -> None:
    """By what a person knows of them, the newest first, with the status that is shown elsewhere; five at most."""
    lost = builder.run("same", status="running", heartbeat_age=1_000)
    done = builder.run("same", minutes=60, last_step=7)
    with builder.reader() as reader, pytest.raises(RunNotUniqueError) as error:
        resolve_run(reader, "same")
    assert str(error.value) == (
        "2 runs are called 'same'; name one by its id or uid: "
        f"id:2 (finished, started 2026-01-02 04:04 UTC, last step 7, uid {done}); "
        f"id:1 (lost, started 2026-01-02 03:04 UTC, no step, uid {lost})"
    )
    for _ in range(5):
        builder.run("same")
    with builder.reader() as reader, pytest.raises(RunNotUniqueError, match=r"7 runs .*id:7 .*id:3 .*; …") as error:
        resolve_run(reader, "same")
    assert str(error.value).count("uid ") == 5


def test_digits_are_a_name_unless_a_person_typed_them(builder: Builder) -> None:
    """Python has ints for ids. Typed digits may be an id too, and are refused if they mean two runs."""
    zero, one = builder.run("0"), builder.run("1")
    assert [builder.run_id(uid) for uid in (zero, one)] == [1, 2]
    with builder.reader() as reader:
        assert resolve_run(reader, "1").uid == one
        assert resolve_run(reader, 1).uid == zero
        with pytest.raises(RunNotFoundError):
            resolve_run(reader, "2")
        for typed, uid in (("2", one), ("0", zero), ("id:1", zero), ("name:1", one), (one, one), ("02", one)):
            assert resolve_run(reader, TypedRun(typed)).uid == uid
        with pytest.raises(RunNotUniqueError) as error:
            resolve_run(reader, TypedRun("1"))
        assert all(words in str(error.value) for words in (zero, one, "id:1", "name:1"))
        for typed in ("3", "id:3", "id:x", "id:", "9" * 30):
            with pytest.raises(RunNotFoundError):
                resolve_run(reader, TypedRun(typed))


def test_a_name_that_looks_like_a_spelling_is_still_a_name(builder: Builder) -> None:
    """A run that is called "id:1" is found by that, unless it is the id of another one."""
    first, second = builder.run("id:2"), builder.run("name:x")
    with builder.reader() as reader:
        assert resolve_run(reader, "name:x").uid == resolve_run(reader, "name:name:x").uid == second
        with pytest.raises(RunNotUniqueError):
            resolve_run(reader, "id:2")
        assert resolve_run(reader, "name:id:2").uid == first


@pytest.mark.parametrize("name", ["n" * 300, "login token=hf_abcdefghijklmnopqrstuvwxyz0123456789 at 3"])
def test_a_name_that_was_changed_when_it_was_stored_is_found_by_what_was_given(builder: Builder, name: str) -> None:
    """Cut to 255 characters, or freed of a secret: as a run, as a filter by name and by project."""
    uid = builder.run(stored_label(name), project=stored_label(name))
    with builder.reader() as reader:
        assert stored_label(name) != name
        assert resolve_run(reader, name).uid == resolve_run(reader, f"name:{name}").uid == uid
        assert list(list_runs(reader, name=name, project=[name])["uid"]) == [uid]


@pytest.mark.parametrize(
    "run", [99, 0, -1, 2**70, "nobody", "", "a\x00b", "\ud800", "' OR 1=1 --", "%", SimpleNamespace(uid="u")]
)
def test_a_run_that_is_not_there(builder: Builder, run: Any) -> None:
    """The error says what was looked for."""
    builder.run("x")
    with builder.reader() as reader, pytest.raises(RunNotFoundError, match="there is no run"):
        resolve_run(reader, run)


def test_a_frame_of_runs_needs_their_uids(on_sqlite: Builder) -> None:
    """Its column names are not taken for names of runs; a column of ids will do."""
    uid = on_sqlite.run("x")
    with on_sqlite.reader() as reader:
        frame = list_runs(reader).drop(columns="uid")
        with pytest.raises(InvalidArgumentError, match="column uid"):
            resolve_runs(reader, frame)
        assert [key.uid for key in resolve_runs(reader, frame["run_id"])] == [uid]
        for several in (frame["run_id"], frame["run_id"].to_numpy(), [frame["run_id"].iloc[0]]):
            assert "run" in list_step_logs(reader, several).columns


@pytest.mark.parametrize("run", [None, True, 1.5, b"x", ["x"], {}, object()])
def test_what_names_no_run(on_sqlite: Builder, run: Any) -> None:
    """The error says what does."""
    on_sqlite.run("x")
    with on_sqlite.reader() as reader, pytest.raises(InvalidArgumentError, match="pass a handle, a record, a uid"):
        resolve_run(reader, run)


def test_the_record_of_a_run(builder: Builder) -> None:
    """Values as Python has them, times in UTC, the status that is shown."""
    parent = builder.run("parent")
    builder.run(
        "x",
        status="running",
        parent_uid=parent,
        parent_step=2,
        hyperparams={"hp.betas": [1, 2.5], "hp.inf": math.inf, "tag.t": True},
        metrics={"loss": 0.5},
    )
    with builder.reader() as reader:
        record = get_run(reader, "x")
    assert (record.hyperparams, record.tags, record.metrics) == (
        {"betas": [1, 2.5], "inf": math.inf},
        {"t": True},
        {"loss": 0.5},
    )
    assert (record.status, record.parent_uid, record.parent_step, record.started_at) == ("lost", parent, 2, START)
    assert record.sort_metric_name is None
    assert pickle.loads(pickle.dumps(record)) == record
    assert len({record, record}) == 1
    with pytest.raises(AttributeError):
        record.name = "y"


def test_a_record_shows_itself_in_a_notebook() -> None:
    """As a table, in which no value is taken for HTML."""
    record = RunRecord(
        run_id=1,
        uid="u",
        project="p",
        name="<script>",
        status="finished",
        started_at=START,
        ended_at=None,
        hyperparams={"lr": 0.1, "<b>": 1},
        metrics={},
    )
    html = record._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html.removeprefix("<div><p><b>")
    assert "ended_at" not in html


def test_a_record_needs_no_pandas() -> None:
    """Importing it loads neither pandas nor NumPy."""
    code = (
        "import sys; from trainstore.queries import RunRecord; sys.exit(bool({'pandas', 'numpy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
