"""Random trainings, killed and started again, resumed with and without a word, in several files at once: what is
imported while their files grow, as they grew, is what one import of the whole brings."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from importing.harness import content, stored_points
from importing.writers import (
    WANDB_HEADER,
    event,
    log,
    scalar,
    start,
    text,
    version,
    wandb_axis,
    wandb_exit,
    wandb_record,
    wandb_row,
    wandb_run,
    wandb_summary,
)
from trainstore.errors import SourceError
from trainstore.importing import import_runs
from trainstore.store import TrainStore

T = float(int(time.time()) - 900)  # lately: what was written hours ago is taken for finished
HISTORIES = range(int(os.environ.get("IMPORT_HISTORIES", "6")))


@dataclass(frozen=True)
class Written:
    """Bytes that a training appended to a file at a time."""

    at: float
    path: str
    data: bytes


def tensorboard_history(chance: random.Random) -> list[Written]:
    """One to three runs, each of one to four files."""
    written = []
    for run in range(chance.randrange(1, 4)):
        at, step = T + chance.random(), 0
        for number in range(chance.randrange(1, 5)):
            path = f"run-{run}/events.out.tfevents.{number}.host"
            kind = chance.choice(("on", "again", "purge", "beside")) if number else "first"
            at += 10.0
            if kind in ("again", "purge"):
                step = chance.randrange(max(step, 1))
            written.append(Written(at, path, version(at)))
            if kind == "purge":
                written.append(Written(at + 0.01, path, start(at + 0.01, step)))
            beside, other = kind == "beside", f"{path}.rank1"
            if beside:
                written.append(Written(at + 0.02, other, version(at + 0.02)))
            for _ in range(chance.randrange(1, 15)):
                at += 1.0
                names = chance.sample(["loss", "lr", "eval/loss"], chance.randrange(1, 4))
                names = ["loss", *(name for name in names if name != "loss")]
                values = [scalar(name, chance.random()) for name in names]
                if chance.random() < 0.1:
                    values.append(text("story", f"at {at}"))
                written += [Written(at, path, event(at, step, value)) for value in values]
                if beside:
                    written.append(Written(at + 0.1, other, event(at + 0.1, step, scalar("loss", chance.random()))))
                step += chance.choice((1, 1, 1, 5))
    return written


def wandb_history(chance: random.Random) -> list[Written]:
    """One to three runs, each of one to three folders."""
    written = []
    for run in range(chance.randrange(1, 4)):
        at, step = T + chance.random(), 0
        for number in range(chance.randrange(1, 4)):
            at += 100.0
            step = chance.randrange(step + 1)
            records = [(at, wandb_run(at, f"id{run}", {"lr": chance.random()}, (10, "tag")))]
            if chance.random() < 0.5:
                records.append((at, wandb_axis("train/*", "train/global_step")))
            for _ in range(chance.randrange(1, 12)):
                at += 1.0
                row = {"train/loss": chance.random(), "train/global_step": 10 * step, "x": step}
                records.append((at, wandb_row(step, at, row)))
                records.append((at, wandb_summary(row, own=False)))
                if chance.random() < 0.1:
                    records.append((at, wandb_record(10, (1, f"at {at}"))))
                step += 1
            if chance.random() < 0.5:
                records.append((at, wandb_summary({"best": chance.random()})))
                records.append((at, wandb_exit(chance.choice((0, 1, 255)))))
            whole, path = b"", f"offline-run-2026010{number}_000000-id{run}/run-id{run}.wandb"
            for count, (when, _) in enumerate(records, 1):
                longer = log(WANDB_HEADER, [record for _, record in records[:count]])
                written.append(Written(when, path, longer[len(whole) :]))
                whole = longer
    return written


def append(folder: Path, path: str, data: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("ab") as file:
        file.write(data)


@pytest.mark.parametrize("made", [tensorboard_history, wandb_history])
@pytest.mark.parametrize("seed", HISTORIES)
def test_what_is_imported_while_logs_grow_is_what_one_import_brings(
    made: Callable[[random.Random], list[Written]], seed: int, tmp_path: Path, new_database: Callable[..., str]
) -> None:
    """Imports at random moments, some in the middle of a record."""
    chance = random.Random(f"{made.__name__}-{seed}")
    written = sorted(made(chance), key=lambda one: one.at)
    whole, grown = tmp_path / "whole" / "runs", tmp_path / "grown" / "runs"
    grown.mkdir(parents=True)
    with TrainStore(new_database("sqlite")) as once, TrainStore(new_database("sqlite")) as piecewise:
        for one in written:
            append(whole, one.path, one.data)
            cut = chance.randrange(len(one.data) + 1) if chance.random() < 0.1 else None
            append(grown, one.path, one.data[:cut])
            if cut is not None:
                with_nothing = not any(file.stat().st_size > 200 for file in grown.rglob("*") if file.is_file())
                try:
                    import_runs(piecewise, grown)
                except SourceError:
                    assert with_nothing
                append(grown, one.path, one.data[cut:])
        import_runs(once, whole)
        import_runs(piecewise, grown)
        assert stored_points(piecewise) == stored_points(once)
        assert content(piecewise) == content(once)


def test_a_run_without_a_word_of_its_end_ends_with_its_last_step(tmp_path: Path, store: TrainStore) -> None:
    """Whichever of its files holds it, and not when the files were copied; one that goes on ends later."""
    runs, began = tmp_path / "runs", 1_780_000_000.0
    append(runs, "a/events.out.tfevents.1.host", version(began) + event(began + 5, 1, scalar("loss", 1.0)))
    append(runs, "a/events.out.tfevents.2.host", version(began) + event(began + 60, 2, scalar("eval", 1.0)))
    for ended in (60, 90, 120):
        import_runs(store, runs)
        (ended_at,) = store.list_runs()["ended_at"]
        assert ended_at.timestamp() == began + ended
        append(runs, "a/events.out.tfevents.2.host", event(began + ended + 30, ended, scalar("eval", 1.0)))
