"""The samples, and how each one's truth is read. A reader's test file is not enough: each source stands here too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from importing.harness import Source, Truth


def _wandb(run: Truth) -> Iterable[Sequence[Any]]:
    """The step that counts is that of the axis; what the user put into the summary is logged at the last step."""
    points = [(name, 10 * step + 10 if "axis" in run else step, value) for name, step, value in run["points"]]
    last = max(step for _, step, _ in points)
    return [*points, *((name, last, value) for name, value in run.get("summary_own", {}).items())]


def _by_folders(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: name.split("/"))


SOURCES = [
    Source("swanlab", "swanlog", is_log=True),
    Source("tensorboard", "runs", is_log=True, name=lambda run: run["source_id"]),
    Source("wandb", "wandb", is_log=True, points=_wandb, written=_by_folders),
]
