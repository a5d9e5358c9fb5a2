"""A training under way is watched by an import that follows its files, whichever tracker writes them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from importing.harness import stored_points
from importing.writers import (
    SWANLAB_HEADER,
    WANDB_HEADER,
    event,
    log,
    scalar,
    swanlab_finish,
    swanlab_scalar,
    swanlab_start,
    version,
    wandb_exit,
    wandb_row,
    wandb_run,
)
from trainstore.importing import import_runs, importer
from trainstore.store import TrainStore

STEPS = 150
T = float(int(time.time()) - 2 * STEPS)  # lately: what was written hours ago is taken for finished


def _tensorboard() -> tuple[str, bytes]:
    events = [event(T + step, step, scalar(name, step)) for step in range(STEPS) for name in ("loss", "lr")]
    return "run/events.out.tfevents.1780000000.host", b"".join([version(T), *events])


def _wandb() -> tuple[str, bytes]:
    rows = [wandb_row(step, T + step, {"loss": step, "lr": step}) for step in range(STEPS)]
    name = "offline-run-20260101_000000-abc/run-abc.wandb"
    return name, log(WANDB_HEADER, [wandb_run(T), *rows, wandb_exit(0)])


def _swanlab() -> tuple[str, bytes]:
    scalars = [swanlab_scalar(name, step, T + step, step) for step in range(STEPS) for name in ("loss", "lr")]
    return "run-abc/run-abc.swanlab", log(SWANLAB_HEADER, [swanlab_start(T), *scalars, swanlab_finish(T + STEPS, 1)])


class Training:
    """Writes a file piece by piece, cut anywhere, as a tracker's buffer empties: the next piece after each look."""

    def __init__(self, path: Path, content: bytes, seed: int) -> None:
        self._path = path
        self._content = content
        self._random = random.Random(seed)
        self.pieces = 0
        path.parent.mkdir(parents=True)
        self._at = 300
        path.write_bytes(content[: self._at])

    def goes_on(self) -> bool:
        """Append a piece; False if all was there already."""
        end = self._at + self._random.randrange(1, len(self._content) // 3)
        piece, self._at = self._content[self._at : end], end
        with self._path.open("ab") as file:
            file.write(piece)
        self.pieces += bool(piece)
        return bool(piece)


@pytest.mark.parametrize("made", [_tensorboard, _wandb, _swanlab])
def test_a_training_under_way_is_watched(
    made: Callable[[], tuple[str, bytes]], store: TrainStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its file is written, steps appear; in the end every point is there once, as if it was imported at once."""
    monkeypatch.setattr(importer, "PAUSES", (0.02, 0.05))
    name, content = made()
    training = Training(tmp_path / "runs" / name, content, seed=len(name))
    seen: set[int] = set()

    def watch(_run: str, _runs: int, points: int) -> None:
        seen.add(points)

    result = import_runs(store, tmp_path / "runs", follow=True, until=lambda: not training.goes_on(), on_progress=watch)
    (points,) = stored_points(store).values()
    assert points == sorted((metric, step, repr(float(step))) for step in range(STEPS) for metric in ("loss", "lr"))
    assert result.points == len(points)
    assert len(seen) > 2, "steps came while it was written"
    (run,) = store.list_runs()["status"]
    assert run == ("running" if made is _tensorboard else "finished")
    again = import_runs(store, tmp_path / "runs")
    assert (again.points, {run.state for run in again.runs}) == (0, {"unchanged"})


def test_a_training_that_a_tracker_says_nothing_of_any_more_is_lost(store: TrainStore, tmp_path: Path) -> None:
    """W&B and SwanLab write how a run ended; one that was killed long ago is not taken for finished."""
    for made in (_wandb, _swanlab):
        name, content = made()
        path = tmp_path / made.__name__ / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content[: len(content) // 2])
        os.utime(path, (T - 86_400, T - 86_400))
        import_runs(store, tmp_path / made.__name__)
    assert list(store.list_runs()["status"]) == ["lost", "lost"]


def test_runs_that_begin_while_a_folder_is_followed_appear(
    store: TrainStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep's next training, and a training that is resumed in a second file."""
    monkeypatch.setattr(importer, "PAUSES", (0.02, 0.05))
    folder = tmp_path / "runs"

    def write(name: str, steps: Iterable[int], at: float) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join([version(at), *(event(at + s + 1, s, scalar("loss", at + s - T)) for s in steps)]))

    write("a/events.out.tfevents.1.host", range(26), T)
    looks: list[int] = []

    def until() -> bool:
        looks.append(len(looks))
        if len(looks) == 2:
            write("b/events.out.tfevents.1.host", range(5), T + 0.5)
        if len(looks) == 4:
            write("a/events.out.tfevents.2.host", range(20, 36), T + 100)
        return len(looks) > 6

    result = import_runs(store, folder, follow=True, until=until)
    assert sorted(run.name for run in result.runs) == ["a", "b"]
    loss = store.list_step_logs("a").set_index("step")["loss"]
    assert list(loss.index) == list(range(36))
    assert list(loss[:20]) == list(range(20))
    assert list(loss[21:]) == [100 + step for step in range(21, 36)]
