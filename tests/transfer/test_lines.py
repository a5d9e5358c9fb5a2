"""Whole runs as JSON Lines: what is written is read back, row for row; what is not whole is named, and not taken."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from trainstore import TrainStore
from trainstore.errors import SourceError
from trainstore.transfer import line_values, lines
from trainstore.transfer.from_lines import Loaded, load
from trainstore.values import restore
from transfer.held import rows


def fill(store: TrainStore) -> None:
    """A parent and its child, resumed attempts, values of every kind, edits."""
    with store.start_run(
        project="größe", name="as it began", hyperparams={"lr": 1e-5, "nested": {"a": [1, "x"]}}
    ) as run:
        run.log(
            {"loss": math.nan, "big": 2**53 + 1, "text": "NaN-like", "none": None}, step=0, epoch=0.5, step_time=0.1
        )
        run.log({"loss": math.inf, "huge": 2**80, "odd\x00": "nul\x00 and \ud800", "path\\u0000": "\\u0000"}, step=1)
        run.log({"loss": 0.1 + 0.2, "list": [1, None, -math.inf], "small": 5e-324, "large": 1.7e308}, step=2)
        run.log({"loss": 1e16, "zero": 0.0}, step=3, details={"sample": 'a "quoted" line\n'})
        run.log_event("checkpoint", step=2, details={"path": "here"})
        parent = run.uid
    again = store.resume_run(parent, step=1)
    again.log({"loss": 0.5}, step=2)
    again.finish()
    store.set_tags(parent, {"good": True})
    store.set_notes(parent, "looks *good*")
    store.rename_run(parent, "parent 🚀")
    with store.start_run(project="p", name="child", parent=parent, parent_step=2) as run:
        run.log({"loss": 1.0}, step=0)
    failed = store.start_run(project="p", name="failed")
    failed.log({"loss": 1.0}, step=0)
    failed.finish(status="failed", error="Boom: it\nfailed")


def written(store: TrainStore, uids: list[str] | None = None) -> bytes:
    """A store's runs as lines."""
    file = io.BytesIO()
    with store.snapshot() as view:
        reader = view.reader
        run = reader.models.run.c
        runs = [tuple(row) for row in reader.connection.execute(select(run.id, run.uid).order_by(run.id.desc()))]
        chosen = [key for key in runs if uids is None or key[1] in uids]
        count = lines.write_runs(file, reader.connection, reader.models, reader.backend, chosen)
    assert file.getvalue().count(b"\n") == count
    return file.getvalue()


@cache
def empty() -> Path:
    """An empty store."""
    path = Path(tempfile.mkdtemp()) / "empty.db"
    TrainStore(path).close()
    return path


@contextmanager
def loaded(content: bytes, folder: Path) -> Iterator[tuple[TrainStore, Loaded]]:
    """A store of what lines hold."""
    path = folder / f"{hashlib.md5(content).hexdigest()}.jsonl"
    path.write_bytes(content)
    shutil.copyfile(empty(), path.with_suffix(".db"))
    with TrainStore(path.with_suffix(".db")) as store, store.engine.connect() as connection:
        yield store, load(path, connection, store._service.statements)


@pytest.fixture
def filled(backend_name: str, recorded_once: Any, new_database: Callable[..., str]) -> Iterator[TrainStore]:
    with TrainStore(new_database(backend_name, template=recorded_once(backend_name, fill))) as store:
        yield store


@pytest.fixture
def filled_file(recorded_once: Any, new_database: Callable[..., str]) -> Iterator[TrainStore]:
    with TrainStore(new_database("sqlite", template=recorded_once("sqlite", fill))) as store:
        yield store


def test_every_row_comes_back(filled: TrainStore, tmp_path: Path) -> None:
    """Of every table; values of every kind, attempts, writers, events with their numbers, summaries."""
    with loaded(written(filled), tmp_path) as (store, report):
        assert report.damaged == {}
        assert {run.name for run in report.runs} == {"parent 🚀", "child", "failed"}
        assert sum(run.points for run in report.runs) == sum(
            len(json.loads(line)["metrics"]) for line in written(filled).splitlines() if b'"step_log"' in line[:30]
        )
        assert rows(store) == rows(filled)


def test_a_line_says_what_a_program_needs(filled: TrainStore) -> None:
    """Plain JSON, a run's lines together, parents first; NaN as a number and "NaN" as no number can be told apart."""
    found = [json.loads(line) for line in written(filled).splitlines()]
    assert found[0]["trainstore"] == "runs"
    assert found[0]["format"] == 1
    assert found[-1] == {"table": "end of file", "runs": 3}
    kinds = [row["table"] for row in found[1:-1]]
    assert kinds[0] == "run"
    assert kinds.count("end") == 3
    assert next(row["name"] for row in found[1:] if row["table"] == "run") == "parent 🚀"
    events = [row for row in found[1:] if row["table"] == "event"]
    assert all({"writer_uid", "seq", "at", "kind"} <= row.keys() for row in events)
    writers = {row["uid"] for row in found[1:] if row["table"] == "writer"}
    assert {row["kind"] for row in events if row["writer_uid"] in writers} >= {"checkpoint"}
    assert {row["kind"] for row in events if row["writer_uid"] not in writers} == {"tag", "note", "rename"}
    metrics = [row["metrics"] for row in found[1:] if row["table"] == "step_log"]
    assert any(isinstance(restore(one.get("loss")), float) and math.isnan(restore(one["loss"])) for one in metrics)


def test_chosen_runs_alone_are_written(filled_file: TrainStore, tmp_path: Path) -> None:
    """A child without its parent keeps the parent's uid."""
    (child,) = filled_file.list_runs()[filled_file.list_runs()["name"] == "child"]["uid"]
    with loaded(written(filled_file, [child]), tmp_path) as (store, report):
        assert [run.uid for run in report.runs] == [child]
        with store.engine.connect() as connection:
            parent = connection.execute(select(store.table.run.c.parent_uid)).scalar_one()
        assert parent is not None


def test_files_may_be_put_together(filled_file: TrainStore, tmp_path: Path) -> None:
    """One after the other; a run that is in both is taken once, and named."""
    uids = list(filled_file.list_runs()["uid"])
    both = written(filled_file, uids[:1]) + written(filled_file, uids[1:])
    with loaded(both, tmp_path) as (store, report):
        assert report.damaged == {}
        assert rows(store) == rows(filled_file)
    with loaded(both + written(filled_file, uids[:1]), tmp_path) as (_, report):
        assert len(report.runs) == 3
        assert [why.split(" ", 2)[2] for why in report.damaged.values()] == ["is of a run that is in the file already"]


@pytest.mark.parametrize("seed", range(6))
def test_a_file_that_is_cut_off_is_never_taken_for_whole(filled_file: TrainStore, tmp_path: Path, seed: int) -> None:
    """Runs that are whole are there, row for row; the one that is cut is not, and it and the cut are named."""
    whole = written(filled_file)
    beginnings = [at for at in range(len(whole)) if whole.startswith(b'{"table":"end","run"', at)]
    cut = random.Random(seed).randrange(whole.index(b"\n") + 1, len(whole))
    with loaded(whole[:cut], tmp_path) as (store, report):
        ends = [whole.index(b"\n", at) + 1 for at in beginnings]
        assert len(report.runs) == sum(end <= cut for end in ends)
        assert "the file" in report.damaged
        expected = rows(filled_file)
        assert all(set(found) <= set(expected[name]) for name, found in rows(store).items())


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_costs_one_run_at_most(filled_file: TrainStore, tmp_path: Path, seed: int) -> None:
    """What is taken is as it was written, whatever bit is another; what is not is named."""
    content = bytearray(written(filled_file))
    at = random.Random(seed).randrange(content.index(b"\n") + 1, len(content))
    content[at] ^= 1 << random.Random(seed).randrange(8)
    with loaded(bytes(content), tmp_path) as (store, report):
        assert len(report.runs) >= 2
        assert len(report.runs) == 3 or report.damaged
        expected = rows(filled_file)
        assert all(set(found) <= set(expected[name]) for name, found in rows(store).items())


def sealed(content: list[dict[str, Any]]) -> bytes:
    """Lines with ends that fit, as somebody who means harm writes them."""
    found: list[bytes] = []
    begin = 0
    for row in content:
        if row.get("table") == "run":
            begin = len(found)
        if row.get("table") == "end":
            row = row | {
                "lines": len(found) - begin,
                "sha256": hashlib.sha256(b"".join(found[begin:])).hexdigest(),
            }
        found.append(json.dumps(row).encode() + b"\n")
    return b"".join(found)


UID = "6f1c2b1e-0000-4000-8000-000000000001"
AT = "2026-01-01T00:00:00+00:00"


def hostile(*rows: dict[str, Any], **run: Any) -> bytes:
    head = {"trainstore": "runs", "format": 1, "schema": "0002", "version": "0", "exported_at": AT}
    first = {"table": "run", "uid": UID, "project": "p", "name": "n", "status": "finished", "started_at": AT}
    attempt = {"table": "attempt", "attempt": 1, "uid": UID, "start_step": -1, "end_step": 2**63 - 1}
    attempt |= {"opened_at": AT, "status": "finished"}
    end = {"table": "end", "run": UID}
    last = {"table": "end of file", "runs": 1}
    return sealed([head, first | {"source": "python"} | run, attempt, *rows, end, last])


STEP = {"table": "step_log", "step": 0, "attempt": 1, "logged_at": AT, "metrics": {"loss": 1.0}}
WRITER = {"table": "writer", "uid": UID, "attempt": 1, "rank": 0, "host": "h", "pid": 0, "started_at": AT, "acked": 2}
DEEP: Any = 1
for _ in range(70):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (hostile(STEP, STEP), "is of step 0, which is there twice or not in order"),
        (hostile(WRITER, WRITER), "has a row that is there twice"),
        (hostile(STEP | {"attempt": 2}), "names attempt 2, which is not there"),
        (hostile(STEP | {"step": 2**63}), "has a step that cannot be"),
        (hostile(STEP | {"step": True}), "has a step that cannot be"),
        (hostile(STEP | {"metrics": [1]}), "has a metrics that cannot be"),
        (hostile(STEP | {"metrics": None}), "has a metrics that cannot be"),
        (hostile(STEP | {"details": DEEP}), "is nested more than 64 deep"),
        (hostile(STEP | {"details": {"a": "\0"}}), "has a NUL character"),
        (hostile(STEP | {"details": {"a\0": 1}}), "has a NUL character"),
        (hostile(STEP | {"logged_at": "2026-01-01"}), "has a logged_at that cannot be"),
        (hostile(STEP | {"epoch": "many"}), "has a epoch that cannot be"),
        (hostile(STEP | {"run_id": 7}), "has 'run_id', which step_log does not have"),
        (hostile({"table": "store", "uid": UID}), "is of no table that is known, but of 'store'"),
        (hostile(uid="../../x"), "has a uid that cannot be: '../../x'"),
        (hostile(status="perfect"), "has a status that cannot be: 'perfect'"),
        (
            hostile(
                {"table": "attempt", "attempt": 2, "uid": UID[:-1] + "2", "start_step": 0, "end_step": 0}
                | {"opened_at": AT, "status": "running", "resumed_from": 3}
            ),
            "has an attempt that resumes attempt 3, which is not there",
        ),
        (hostile(STEP).replace(b'"lines": 3', b'"lines": 4'), "3 lines of it are there, not 4"),
        (hostile(STEP).replace(b"1.0", b"2.0"), "its lines were damaged or changed"),
        (hostile(STEP).replace(b'"table": "run"', b'"table": "ran"'), "is of no table that is known, but of 'ran'"),
    ],
    ids=range(20),
)
def test_rows_that_cannot_be_are_refused_with_their_run(content: bytes, message: str, tmp_path: Path) -> None:
    """Even if number and digest fit: each value is checked by its column; the line and the value are named."""
    with loaded(content, tmp_path) as (store, report):
        assert report.runs == []
        assert message in " ".join(report.damaged.values())
        assert not any(rows(store).values())


def test_a_file_by_hand_is_taken_if_it_fits(tmp_path: Path) -> None:
    """What the tests of hostile rows begin with is whole."""
    with loaded(hostile(WRITER, STEP), tmp_path) as (_, report):
        assert report.damaged == {}
        assert [(run.uid, run.points) for run in report.runs] == [(UID, 1)]


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """With what this version reads."""
    content = hostile(STEP)
    for newer in (content.replace(b'"format": 1', b'"format": 2'), content.replace(b'"0002"', b'"9999"')):
        with pytest.raises(SourceError, match="upgrade trainstore"), loaded(newer, tmp_path):
            pass
    with pytest.raises(SourceError, match="first line"), loaded(b"nonsense\n", tmp_path):
        pass


def test_a_line_without_end_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed over, and costs the run that it is in."""
    monkeypatch.setattr(line_values, "MAX_LINE", 1_000)
    long = STEP | {"details": {"text": "x" * 3_000_000}}
    with loaded(hostile(STEP, long), tmp_path) as (_, report):
        assert report.runs == []
        assert [why.split(" ", 2)[2] for why in report.damaged.values()] == ["is longer than 0 MiB"]
