"""``trainstore import``: its table and lines, JSON, dry runs, following, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from importing.fake import FakeSession, FakeTool, T, fake, steps
from importing.reading import SAMPLES
from trainstore.importing.foreign import Step, Unread
from trainstore.store import TrainStore

__all__ = ["fake"]
TENSORBOARD = SAMPLES / "tensorboard" / "runs"


def test_a_source_is_imported_into_a_store_that_it_makes(call: Callable[..., Any], tmp_path: Path) -> None:
    """A table of runs, then counts and what is damaged; again, nothing is new."""
    url = tmp_path / "new.db"
    code, out, err = call("import", TENSORBOARD, "--store", url, "--project", "mine")
    assert (code, err) == (0, "")
    assert "größe-" in out
    assert "TensorBoard: 6 runs (6 new), 166 new points" in out
    assert "damaged: torn/" in out
    code, out, _ = call("import", TENSORBOARD, "--store", url, "--json")
    found = json.loads(out)
    assert (code, found["unchanged"], found["points"]) == (0, 6, 0)
    assert {run["project"] for run in found["runs"]} == {"mine"}


def test_a_dry_run_makes_no_store(call: Callable[..., Any], tmp_path: Path) -> None:
    """It shows what an import would bring."""
    code, out, _ = call("import", TENSORBOARD, "--store", tmp_path / "new.db", "--dry-run")
    assert code == 0
    assert "Would import from TensorBoard:" in out
    assert "166 new points (dry run: nothing was written)" in out
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_imported_makes_no_store_and_says_why(call: Callable[..., Any], tmp_path: Path) -> None:
    """One line on standard error; 1 for the source, 2 for the command line."""
    (tmp_path / "folder").mkdir()
    for arguments, code, message in (
        ((tmp_path / "missing",), 1, "cannot be read"),
        ((tmp_path / "folder",), 1, "it is an empty folder"),
        ((TENSORBOARD, "--from", "nothing"), 1, "no reader for 'nothing'; there are "),
        ((TENSORBOARD, "--dry-run", "--follow"), 2, "--follow"),
        ((TENSORBOARD, "--step", "epoch"), 1, "(--step) says how CSV or Parquet is read, and this is TensorBoard"),
        ((TENSORBOARD, "--deleted"), 1, "(--deleted) says how MLflow is read"),
        ((), 2, "SOURCE"),
    ):
        found = call("import", *arguments, "--store", tmp_path / "new.db")
        assert (found.code, message in found.err) == (code, True), found.err
        assert "Traceback" not in found.err
    assert not (tmp_path / "new.db").exists()


def test_names_never_reach_the_terminal_with_control_characters(
    fake: FakeTool, call: Callable[..., Any], tmp_path: Path
) -> None:
    """Of runs, projects, files, of what is left out and damaged."""
    evil = "\x1b]0;evil\x07\x1b[2J\r\n\u202e"
    session = FakeSession([Step(T, 0, {evil: 1.0}, position=1)])
    session.during = lambda _: (session.damage.append(evil), session.left_out.update([evil]))  # type: ignore[assignment, func-returns-value]
    fake.run(session, name=evil, project=evil, where=evil)
    fake.made.append(Unread(evil, evil))
    (tmp_path / "fake").write_text("x")
    for arguments in ((), ("--json",)):
        code, out, err = call("import", tmp_path, "--store", tmp_path / "s.db", *arguments)
        assert code == 0
        # In JSON, as everywhere, only what JSON itself escapes.
        assert not set("\x1b\x07\r" if arguments else "\x1b\x07\r\u202e") & set(out + err)


def test_many_runs_are_not_all_shown(fake: FakeTool, call: Callable[..., Any], tmp_path: Path) -> None:
    """The first fifty; of many lines about damage, twenty."""
    for number in range(60):
        session = FakeSession(steps(0, 1), f"s{number}")
        session.during = lambda _, session=session: session.damage.append("torn")  # type: ignore[misc]
        fake.run(session, identity=f"r{number}")
    (tmp_path / "fake").write_text("x")
    _, out, _ = call("import", tmp_path, "--store", tmp_path / "s.db")
    assert "r49 " in out
    assert "r50 " not in out
    assert "and 10 more runs" in out
    assert out.count("damaged: ") == 19
    assert "and 41 more lines like these" in out


@pytest.mark.parametrize(("number", "stages"), [(signal.SIGINT, 2), (signal.SIGTERM, 3)])
def test_following_ends_by_a_signal_and_prints_its_summary(tmp_path: Path, number: int, stages: int) -> None:
    """The run appears while the command follows, and what was brought until the signal is stored."""
    place = tmp_path / "runs"
    shutil.copytree(TENSORBOARD / "resumed", place)
    files = sorted(place.iterdir())
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[: len(whole) // 2])
    later = [path.rename(tmp_path / path.name) for path in files[1:]]
    command = [sys.executable, "-m", "trainstore", "import", str(place), "--store", str(tmp_path / "s.db"), "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            points = 0
            for stage in range(stages):
                if stage == 1:
                    files[0].write_bytes(whole)
                elif stage == 2:
                    for path in later:
                        path.rename(place / path.name)
                for _ in range(200):
                    time.sleep(0.2)
                    found = _count(tmp_path / "s.db")
                    if found > points:
                        break
                assert found > points, stage
                points = found
        finally:
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
    assert f"{26 if stages == 2 else 41} new points" in out
    assert "following" in err
    assert process.returncode == 0
    with TrainStore(tmp_path / "s.db", read_only=True) as store:
        assert len(store.list_events(kind="import")) == stages - 1  # of each session, one


def _count(path: Path) -> int:
    if not path.exists() or not os.path.getsize(path):
        return 0
    try:
        with TrainStore(path, read_only=True) as store, store.engine.connect() as connection:
            from sqlalchemy import func, select

            return int(connection.execute(select(func.count()).select_from(store.table.step_log)).scalar_one())
    except Exception:
        return 0
