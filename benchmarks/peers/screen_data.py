"""The same runs in each tracker: ``python screen_data.py TRACKER FOLDER RUNS STEPS``, in that tracker's environment.

A script on its own: nothing of this repository is installed there. It writes as quickly as the tracker can; only the
dashboards are measured.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

METRICS = ("loss", "grad_norm", "learning_rate", "accuracy", "tokens_per_second", "samples_per_second")


def metrics_of(run: int, step: int, steps: int) -> dict[str, float]:
    """Falling curves with noise, another one for each run."""
    dice = random.Random(run * 1_000_003 + step)
    return {name: (index + 1 + run % 7) * (2 - step / steps) + dice.random() for index, name in enumerate(METRICS)}


def hyperparams_of(run: int) -> dict[str, float]:
    return {f"argument_{key}": key if key > 2 else (run * (key + 1)) % 17 for key in range(20)}


def trainstore(folder: Path, runs: int, steps: int) -> None:
    from trainstore import TrainStore

    def finish(opened: list[Any]) -> None:
        while opened:
            opened.pop(0).finish(timeout=0)

    with TrainStore(folder / "runs.db") as store:
        opened: list[Any] = []
        for number in range(runs):
            run = store.start_run(f"run-{number}", project="bench", hyperparams=hyperparams_of(number))
            for step in range(steps):
                run.log(metrics_of(number, step, steps), step=step)
            opened.append(run)
            if len(opened) == 50:
                finish(opened)
        finish(opened)


def trackio(folder: Path, runs: int, steps: int) -> None:
    from trackio.sqlite_storage import SQLiteStorage  # TRACKIO_DIR names the folder

    for number in range(runs):
        rows = [metrics_of(number, step, steps) for step in range(steps)]
        SQLiteStorage.bulk_log(
            "bench", f"run-{number}", rows, steps=[*range(steps)], config=hyperparams_of(number), run_id=f"id-{number}"
        )


def tensorboard(folder: Path, runs: int, steps: int) -> None:
    from tensorboard.summary import Writer

    for number in range(runs):
        writer = Writer(str(folder / f"run-{number}"))
        for step in range(steps):
            for name, value in metrics_of(number, step, steps).items():
                writer.add_scalar(name, value, step)
        writer.close()


if __name__ == "__main__":
    tracker, place, *numbers = sys.argv[1:]
    {"trainstore": trainstore, "trackio": trackio, "tensorboard": tensorboard}[tracker](Path(place), *map(int, numbers))
