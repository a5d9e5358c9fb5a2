"""The samples, and how each one's truth is read. A reader's test file is not enough: each source stands here too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from importing.harness import Source, Truth
from importing.reading import SAMPLES


def _by_source(run: Truth) -> str:
    return str(run["source_id"])


def _is_deleted(run: Truth) -> bool:
    return bool(run["name"] == "deleted")


def _wandb(run: Truth) -> Iterable[Sequence[Any]]:
    """The step that counts is that of the axis; what the user put into the summary is logged at the last step."""
    points = [(name, 10 * step + 10 if "axis" in run else step, value) for name, step, value in run["points"]]
    last = max(step for _, step, _ in points)
    return [*points, *((name, last, value) for name, value in run.get("summary_own", {}).items())]


def _by_folders(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: name.split("/"))


def _trainer_state(run: Truth) -> Iterable[Sequence[Any]]:
    """The truth names no epochs; the last checkpoint has them."""
    files = (SAMPLES / "trainer_state" / run["source_id"]).rglob("trainer_state.json")
    history = max((json.loads(file.read_bytes())["log_history"] for file in files), key=len)
    epochs = {entry["step"]: entry["epoch"] for entry in history}
    return [*run["points"], *(("epoch", step, epoch) for step, epoch in epochs.items())]


def _lightning(run: Truth) -> Iterable[Sequence[Any]]:
    """The truth's points have no epochs; its calls do."""
    return [*run["points"], *{("epoch", step, values["epoch"]) for step, values in run["calls"]}]


def _optuna_name(run: Truth) -> str:
    return f"{run['study']}-{run['number']}"


def _optuna(run: Truth) -> Iterable[Sequence[Any]]:
    """What was reported, and what the trial returned, at its last step."""
    values = run["values"] or []
    last = max((step for _, step, _ in run["points"]), default=0)
    names = ["objective"] if len(values) == 1 else [f"objective_{place}" for place in range(len(values))]
    return [*run["points"], *((name, last, value) for name, value in zip(names, values, strict=True))]


SOURCES = [
    Source("csv", "files", name=_by_source, apart="epoch"),
    Source("dvclive", ""),
    Source("lightning_csv", "", reads_as="lightning", points=_lightning, name=_by_source, apart="epoch"),
    Source("mlflow", "file/mlruns", truth="file/truth.json", skips=_is_deleted),
    Source("mlflow", "sqlite/mlflow.db", truth="sqlite/truth.json", skips=_is_deleted),
    Source("optuna", "optuna.db", name=_optuna_name, points=_optuna),
    Source("swanlab", "swanlog", is_log=True),
    Source("tensorboard", "runs", is_log=True, name=_by_source),
    Source("trackio", "store"),
    Source("trainer_state", "", points=_trainer_state, apart="epoch"),
    Source("wandb", "wandb", is_log=True, points=_wandb, written=_by_folders),
]
