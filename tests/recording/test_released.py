"""What released versions wrote (fixtures/released.py) is opened, read, recovered and continued by this one."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, select

from fixtures.databases import PostgresServer
from fixtures.released import RELEASED
from trainstore.store import TrainStore
from trainstore.testing.base import same
from trainstore.values import canonical

VERSIONS = sorted(folder.name for folder in RELEASED.iterdir())


@pytest.fixture(params=VERSIONS)
def released(request: pytest.FixtureRequest) -> Path:
    """The folder of each released version."""
    return RELEASED / str(request.param)


@pytest.fixture
def expected(released: Path) -> Any:
    """What that version recorded."""
    return json.loads((released / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def released_url(
    released: Path, backend_name: str, new_database: Callable[..., str], request: pytest.FixtureRequest
) -> str:
    """A copy of that version's database, on each backend."""
    url = new_database(backend_name, migrated=False)
    name = str(make_url(url).database)
    if backend_name == "sqlite":
        shutil.copyfile(released / "store.sqlite", name)
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        server.execute((released / "store.sql").read_text(encoding="utf-8"), name)
    return url


@pytest.fixture
def leave_journals(released: Path, backend_name: str, tmp_path: Path) -> Callable[[], None]:
    """Put the killed process's journals where stores look for them, as another machine's that is silent for long."""

    def leave() -> None:
        root = tmp_path / "journals"
        shutil.copytree(released / backend_name, root, dirs_exist_ok=True)
        for lock in root.glob("*/*/lock"):
            os.utime(lock, (time.time() - 3600,) * 2)

    return leave


def read(store: TrainStore, name: str) -> dict[str, Any]:
    """A run as ``expected.json`` writes it, metrics as the database keeps them."""
    run = store.get_run(name)
    facts = {fact: getattr(run, fact) for fact in ("project", "status", "notes", "tags", "hyperparams", "attempts")}
    view = store.table.current_step_log.c
    statement = select(view.step, view.epoch, view.metrics).where(view.run_id == run.run_id).order_by(view.step)
    with store.engine.connect() as connection:
        steps = [list(row) for row in connection.execute(statement)]
    marks = store.list_events(run, kind="mark")
    assert all(details == {"of": step} for step, details in zip(marks["step"], marks["details"], strict=True))
    return {**facts, "steps": steps, "marks": sorted(marks["step"].tolist())}


def check(store: TrainStore, runs: dict[str, Any]) -> None:
    """The store holds these runs, no others, each value as it was recorded, and summaries of the current steps."""
    assert sorted(store.list_runs()["name"]) == sorted(runs)
    for name, run in runs.items():
        steps = [[step, epoch, canonical(metrics)] for step, epoch, metrics in run["steps"]]
        for fact, value in read(store, name).items():
            wanted = {**run, "steps": steps, "marks": sorted(run["marks"])}[fact]
            assert same(value, wanted), f"{name}: {fact} is {value}, was recorded as {wanted}"
        frame = store.list_step_logs(name, details=True)
        assert frame["loss"].tolist() == [metrics["loss"] for _, _, metrics in run["steps"]]
        assert same([float(wave) for wave in frame["wave"]], [float(row["wave"]) for _, _, row in run["steps"]])
        assert frame.set_index("step")["details"][3] == {"batch": [3]}
        assert store.list_metrics(name).set_index("metric")["count"]["loss"] == len(steps)


def test_a_store_is_read(released_url: str, expected: Any) -> None:
    """Every run, hyperparameter, tag, note, step and event of a released version's store reads as it was recorded."""
    with TrainStore(released_url, auto_upgrade=True) as store:
        check(store, expected["stored"])


def test_journals_are_recovered_once(released_url: str, expected: Any, leave_journals: Callable[[], None]) -> None:
    """A killed process's journals reach the store whole; delivered a second time they change nothing."""
    for _ in range(2):
        leave_journals()
        with TrainStore(released_url, auto_upgrade=True) as store:
            assert store.recovered.failed == {}
            assert store.recovered.live == []
            assert sorted(store.recovered.runs) == sorted(store.get_run(name).uid for name in ("killed", "unheard"))
            check(store, expected["recovered"])


def test_a_run_is_continued(released_url: str, expected: Any, leave_journals: Callable[[], None]) -> None:
    """A lost run goes on from a step, and finishes; a run that is new stands beside those of the older version."""
    leave_journals()
    with TrainStore(released_url, auto_upgrade=True) as store:
        with store.resume_run("killed", step=12) as run:
            for step in range(13, 16):
                run.log({"loss": 100.0 + step, "wave": 0}, step=step, epoch=step / 10)
                run.log_event("mark", step=step, details={"of": step})
        with store.start_run(name="new", hyperparams={"lr": 1.0}) as new:
            new.log({"loss": 1.0}, step=0)
    killed = expected["recovered"]["killed"]
    later = [[step, step / 10, {"loss": 100.0 + step, "wave": 0}] for step in range(13, 16)]
    steps, marks = [*killed["steps"][:13], *later], [*killed["marks"], *range(13, 16)]
    continued = {**killed, "status": "finished", "attempts": 3, "steps": steps, "marks": marks}
    with TrainStore(released_url, auto_upgrade=True) as store:
        assert store.list_step_logs("new")["loss"].tolist() == [1.0]
        store.delete_run("new")
        check(store, {**expected["recovered"], "killed": continued})


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_store_is_merged_as_it_is(
    released: Path, expected: Any, new_database: Callable[..., str], tmp_path: Path, target: str
) -> None:
    """A released version's file is merged into a store of today, whole, and is itself not upgraded."""
    source = tmp_path / "older" / "store.db"
    source.parent.mkdir()
    shutil.copyfile(released / "store.sqlite", source)
    before = source.read_bytes(), sorted(source.parent.iterdir())
    with TrainStore(new_database(target)) as store:
        assert len(store.merge(source).new) == len(expected["stored"])
        check(store, expected["stored"])
        assert len(store.merge(source).unchanged) == len(expected["stored"])
    assert (source.read_bytes(), sorted(source.parent.iterdir())) == before
