"""What ``save_state`` and ``load_state`` tell: a checkpoint was written, a run goes on."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from trainstore.integrations.accelerate.late import LateRun
from trainstore.integrations.bookmarks import read_bookmark, write_bookmark
from trainstore.integrations.recording import Recording, bookmark

_STEP_IN_NAME = re.compile(r"(?:checkpoint|ckpt|step|global_step)[-_]?(\d+)", re.IGNORECASE)


class Checkpoints:
    """Watches an Accelerator's checkpoints, by hooks that it has for that.

    Args:
        accelerator: It.
        late: The run of its tracker.
        recording: What tells failures.
    """

    def __init__(self, accelerator: Any, late: LateRun, recording: Recording) -> None:
        self._late, self._recording = late, recording
        self._steps: list[int] = []  # the last two that were logged
        self._hooks = [
            accelerator.register_save_state_pre_hook(self._saved),
            accelerator.register_load_state_pre_hook(self._loaded),
        ]

    def stop(self) -> None:
        """The training ended."""
        for hook in self._hooks:
            hook.remove()

    def saw(self, step: int) -> None:
        """A step was logged."""
        steps = self._steps
        if not steps or steps[-1] != step:
            steps.append(step)
            del steps[:-2]

    def _saved(self, models: Any, weights: Any, folder: str) -> None:
        with self._recording.guard("a checkpoint"):
            run = self._late.begin()
            if run is None:
                return
            path = Path(os.path.abspath(folder))
            logged = run.start_step if run.last_step is None else run.last_step
            run.log_event("checkpoint", self._step_of(path, logged), {"path": str(path)})
            write_bookmark(path, {"step": logged, **bookmark(run)})

    def _loaded(self, models: Any, folder: str) -> None:
        with self._recording.guard("the run that the checkpoint names"):
            content, run = read_bookmark(Path(folder)), self._late.run
            if run is None:
                self._late.loaded = content
            elif content.get("run_uid") not in (None, run.uid):
                self._recording.warn_once(
                    "a checkpoint of another run was loaded after something was recorded, so this stays a run of its "
                    "own: load it before the first log"
                )

    def _step_of(self, path: Path, logged: int) -> int | None:
        """The checkpoint's step: the one in its name, if that may be the next to be logged; else the last logged."""
        named = _STEP_IN_NAME.fullmatch(path.name)
        pace = max(self._steps[-1] - self._steps[0], 1) if self._steps else 1
        if named is not None and logged <= int(named[1]) <= logged + pace:
            return int(named[1])
        return logged if logged >= 0 else None
