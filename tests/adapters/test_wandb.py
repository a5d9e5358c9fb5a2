"""W&B itself: what it records offline of a script is what the same script records through W&B's API."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from importing.harness import stored_points
from trainstore import TrainStore
from trainstore.importing import import_runs
from trainstore.integrations import wandb as ours
from trainstore.integrations.wandb import names

SCRIPTS = Path(__file__).parents[1] / "integrations" / "wandb_scripts"


def run_script(source: str, folder: Path, **environment: str) -> None:
    folder.mkdir()
    path = folder / "script.py"
    path.write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, path], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def labels_of(store: TrainStore, name: str) -> tuple[Any, ...]:
    run = store.get_run(name)
    return run.project, run.status, run.notes, run.hyperparams, run.tags


def test_every_public_name_of_w_and_b_is_here_or_known_as_missing() -> None:
    """Of the package, of a run, of the configuration and the summary."""
    import wandb as theirs

    for known, their, our in (
        (names.MODULE_NAMES, theirs, ours),
        (names.RUN_NAMES, theirs.Run, ours.Run),
        (frozenset(), theirs.Config, ours.Config),
        (frozenset(), theirs.sdk.wandb_summary.Summary, ours.Summary),
    ):
        public = {name for name in dir(their) if not name.startswith("_")}
        kept = {"config", "settings", "summary", "resumed", "start_time", "starting_step"}  # of each run itself
        assert public - set(dir(our)) - known - kept == set()


@pytest.mark.parametrize("script", sorted(path.stem for path in SCRIPTS.glob("*.py")))
def test_a_script_records_what_w_and_b_records_of_it(script: str, tmp_path: Path) -> None:
    """The same runs, points at the same steps, configuration, tags, notes, status.

    One difference: of a summary that is set again, W&B keeps the last value; here the ones before are kept, too.
    """
    source = (SCRIPTS / f"{script}.py").read_text(encoding="utf-8")
    changed = source.replace("\nimport wandb\n", "\nfrom trainstore.integrations import wandb\n")
    run_script(source, tmp_path / "theirs", WANDB_MODE="offline", WANDB_SILENT="true")
    run_script(changed, tmp_path / "ours", TRAINSTORE_URL=str(tmp_path / "ours.db"))
    with TrainStore(tmp_path / "theirs.db") as theirs, TrainStore(tmp_path / "ours.db") as ours:
        import_runs(theirs, tmp_path / "theirs" / "wandb")
        found = stored_points(ours)
        for points in found.values():
            for again in [point for point in points if point[0] == "best_loss"][:-1]:
                points.remove(again)
        assert found == stored_points(theirs)
        assert sum(map(len, found.values())) >= 10
        for name in found:
            assert labels_of(ours, name) == labels_of(theirs, name)
