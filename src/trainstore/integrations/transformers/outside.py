"""What comes before and after a training: the run it belongs to, and what is logged twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from trainstore.integrations.transformers.steps import name_of_loss, without_logged
from trainstore.integrations.transformers.wrappers import Reference, reference_to
from trainstore.run import ActiveRun


class _LastRun(NamedTuple):
    trainer: Reference
    run: ActiveRun
    last_step: int  # of the training; 0 without one
    waits: bool  # holds only what was logged before a training, which will continue it


class LastRuns:
    """The last run of each trainer."""

    def __init__(self) -> None:
        self.latest: ActiveRun | None = None  # of any trainer
        self._by_trainer: dict[int, _LastRun] = {}  # by id: a trainer need not be hashable

    def remember(self, trainer: Any | None, run: ActiveRun, last_step: int = 0, *, waits: bool = False) -> None:
        """What comes next outside a training belongs to this run; with ``waits``, so does the next training."""
        self.latest = run
        self._by_trainer = {key: last for key, last in self._by_trainer.items() if last.trainer() is not None}
        if trainer is not None:
            self._by_trainer[id(trainer)] = _LastRun(reference_to(trainer), run, last_step, waits)

    def of(self, trainer: Any | None) -> ActiveRun | None:
        """The last run of this trainer; of any trainer, if it has none."""
        last = self._entry(trainer)
        return self.latest if last is None else last.run

    def last_step(self, trainer: Any | None) -> int:
        """The last step of this trainer's last training; 0 without one. Some trainers forget it."""
        last = self._entry(trainer)
        return 0 if last is None else last.last_step

    def waiting(self, trainer: Any | None) -> ActiveRun | None:
        """The run that the next training of this trainer continues."""
        last = self._entry(trainer)
        return last.run if last is not None and last.waits else None

    def _entry(self, trainer: Any | None) -> _LastRun | None:
        last = self._by_trainer.get(id(trainer))
        return last if last is not None and last.trainer() is trainer else None


class OutsideLog:
    """What is logged and evaluated outside a training, under the same names as inside one."""

    def __init__(self) -> None:
        self._logged: tuple[int, Mapping[str, Any]] = (-1, {})  # the last log, and its step

    def record(self, run: ActiveRun, metrics: Any, step: int) -> None:
        """Record metrics; a logged loss under the name that it has inside a training."""
        self._logged = (-1, {})
        if isinstance(metrics, Mapping):
            self._logged = step, dict(metrics)
            loss = name_of_loss(metrics)
            metrics = {loss if name == "loss" else name: value for name, value in metrics.items()}
        run.log(metrics, step)

    def unlogged(self, metrics: Any, step: int) -> Any:
        """The results of an evaluation, without those that it has just logged itself."""
        (logged_at, logged), self._logged = self._logged, (-1, {})
        return without_logged(metrics, logged) if isinstance(metrics, Mapping) and step == logged_at else metrics


def complete_logs(logs: Any, state: Any) -> Any:
    """What is logged, including what an earlier callback removed (PrinterCallback removes total_flos)."""
    history = state.log_history[-1] if state.log_history else None
    if type(logs) is not dict or type(history) is not dict or history is logs:
        return logs
    if len(history) == len(logs) + 1 and "step" not in logs:  # only the step differs: nothing was removed
        return logs
    if history.get("step") == state.global_step and logs.keys() <= history.keys():
        return {key: value for key, value in {**history, **logs}.items() if key != "step"}
    return logs
