"""``wandb.run``: a run with W&B's API, recorded through an `ActiveRun`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from trainstore.endings import ending_of, identity_of
from trainstore.importing.wandb_rows import flat, step_of
from trainstore.integrations import notebooks
from trainstore.integrations.recording import Recording
from trainstore.integrations.wandb import contents, sessions
from trainstore.integrations.wandb.configs import Config
from trainstore.integrations.wandb.extras import Extras
from trainstore.integrations.wandb.files import FileMethods
from trainstore.integrations.wandb.labels import Labels
from trainstore.integrations.wandb.names import RUN_NAMES, missing, warn_once
from trainstore.integrations.wandb.settings import Settings
from trainstore.integrations.wandb.steps import Metric, Rows
from trainstore.integrations.wandb.summaries import OPERATIONS, Aggregates, Summary
from trainstore.run import ActiveRun

INTERRUPTED = 255  # the exit code that W&B writes after Ctrl-C
_NUMBERS = frozenset({float, int})


class Run(FileMethods, Extras, Labels):
    """A run that is being recorded. Made by ``wandb.init``.

    Nothing here raises during a training: what cannot be recorded is told once. `active` is the handle that everything
    is recorded with; None: nothing is recorded (``mode="disabled"``).
    """

    def __init__(
        self,
        recording: Recording | None,
        active: ActiveRun | None,
        settings: Settings,
        *,
        config: Mapping[str, Any],
        first_row: int = 0,
        resumed: bool = False,
    ) -> None:
        self._recording = recording
        self.active = active
        self.settings = settings
        self.resumed = resumed
        self.starting_step = first_row
        self.start_time = time.time()
        self.config = Config(config, self._record_config)
        self.summary = Summary(self._record_summary)
        self._rows = Rows(first_row)
        self._aggregates = Aggregates()
        self._alerted: dict[str, float] = {}
        self._tags = tuple(settings.run_tags or ())
        self._notes = settings.run_notes
        self._name = settings.run_name
        self._folder: str | None = None
        self._is_finished = False
        self._guard = threading.Lock()
        self._exception_before = identity_of(_exception())
        sessions.known(self)

    def renew(self) -> None:
        """In a child: another thread may have held the lock, and what waits for its axis is the parent's."""
        self._guard = threading.Lock()
        self._rows.forget()

    def __copy__(self) -> Run:
        return self

    def __deepcopy__(self, memo: object) -> Run:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_guard": None, "_exception_before": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.renew()
        sessions.known(self)

    def __repr__(self) -> str:
        return f"<wandb.Run {self.name!r} of project {self.project!r}, id {self.id}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return missing(name, known=RUN_NAMES, is_recording=not self._is_finished, owner="wandb.run")

    # --- Steps -------------------------------------------------------------------------------------------------------

    def log(
        self, data: Mapping[str, Any] | Any, step: int | None = None, commit: bool | None = None, **others: Any
    ) -> None:
        """Record values. Never raises.

        Args:
            data: Name → value: numbers of any type, text, nested mappings (joined by a dot), media, tables.
            step: Without it, calls are counted. Another one ends the step before; an older one is kept, where W&B
                drops it.
            commit: False: the next call adds to the same step. None: True, unless ``step`` is given.
            **others: What W&B took once: not needed here.
        """
        try:
            self._log(data, step, commit)
        except Exception as error:  # noqa: BLE001 - no error of ours may reach a training
            self._report("a step", error)

    def _log(self, data: Any, step: Any, commit: bool | None) -> None:
        active, rows = self.active, self._rows
        number = step if step is None or (type(step) is int and step >= 0) else step_of(step)
        if not isinstance(data, Mapping) or (number is None and step is not None):
            if active is not None:  # kept as an event that says what is wrong with it
                active.log(flat(data) if isinstance(data, Mapping) else data, step)
            return
        ends = step is None if commit is None else bool(commit)
        is_plain = type(data) is dict and _NUMBERS.issuperset(map(type, data.values()))
        if is_plain and not rows.axes and not self._aggregates:
            with self._guard:
                row, _ = rows.begin(number)
                if ends:
                    rows.end(row)
            self.summary._last.update(data)
            if active is not None:
                active.log(data, row)
            return
        with self._guard:
            row, held = rows.begin(number)
            placed = rows.place(flat(data), row, ends=ends)
            if ends:
                rows.end(row)
        for at, values in (*held.items(), *placed.items()):
            self._record(at, values)

    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,
        **others: Any,
    ) -> Metric:
        """Say which metric is the step of others, and what the summary holds of them.

        Args:
            name: A metric, or a pattern: ``val/*``.
            step_metric: Its axis. If it is a step (its name ends in step, iteration, update, …), the values are
                recorded at the steps that it says. An epoch is none: many rows have the same.
            step_sync, hidden, overwrite: Not needed here.
            summary: Of min, max, mean, first, last, none; several, joined by commas.
            **others: What W&B took once: not needed here.
        """
        axis = step_metric.name if isinstance(step_metric, Metric) else step_metric
        wanted = tuple(one.strip().lower() for one in summary.split(",")) if isinstance(summary, str) else ()
        unknown = [one for one in wanted if one not in OPERATIONS]
        if not isinstance(name, str) or not name or "*" in name[:-1] or not isinstance(axis, (str, type(None))):
            warn_once(f"define_metric: {name!r} (axis {axis!r}) is neither a name nor a pattern such as 'val/*'")
            return Metric(str(name))
        if unknown:
            warn_once(f"define_metric: summary {summary!r} is not one of {', '.join(OPERATIONS)}")
        with self._guard:
            if axis:
                self._rows.axes.define(name, axis)
            if wanted and not unknown:
                self._aggregates.define(name, wanted)
        return Metric(name, axis, wanted)

    def release(self) -> None:
        """Record what waits for its axis."""
        try:
            with self._guard:
                held = self._rows.close()
            for at, values in held.items():
                self._record(at, values)
        except Exception as error:  # noqa: BLE001
            self._report("a step", error)

    def _record(self, step: int, values: dict[str, Any]) -> None:
        single = values if self.active is None else contents.record(self.active, step, values)
        self.summary._last.update(self._aggregates.see(single) if self._aggregates else single)

    @property
    def step(self) -> int:
        """The row that the next call of `log` adds to, as W&B counts."""
        return self._rows.row

    # --- What else is recorded ---------------------------------------------------------------------------------------

    def _record_config(self, values: dict[str, Any]) -> None:
        if self.active is not None:
            self.active.log_hyperparams(values)

    def _record_summary(self, values: dict[str, Any]) -> None:
        """At the last step; what has a curve keeps it, and the value becomes an event of kind ``summary``."""
        if self.active is None:
            return
        try:
            values = flat(values)
            curves = {name: value for name, value in values.items() if name in self.summary._last}
            if curves:
                self._event("summary", curves)
            single = {name: value for name, value in values.items() if name not in curves}
            if single:
                contents.record(self.active, max(self._last_step, 0), single)
        except Exception as error:  # noqa: BLE001 - no error of ours may reach a training
            self._report("the summary", error)

    @property
    def _last_step(self) -> int:
        if self.active is None:
            return -1
        last = self.active.last_step
        return self.active.start_step if last is None else last

    def _event(self, kind: str, details: dict[str, Any]) -> None:
        if self.active is not None:
            self.active.log_event(kind, max(self._last_step, 0), details)

    @property
    def _attach_id(self) -> str | None:
        """By which a process that Lightning spawns joins the run."""
        return None if self.active is None else self.active.uid

    def _report(self, what: str, error: Exception) -> None:
        if self._recording is not None:
            self._recording.report(what, error)
        else:
            warn_once(f"{what} could not be recorded ({type(error).__name__}); the training goes on")

    # --- Its end -----------------------------------------------------------------------------------------------------

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run. Never raises; what is logged after it is kept, and the status stays.

        Args:
            exit_code: 0: finished; 255: interrupted; another: failed. None: as the exception says that is being
                handled, else finished.
            quiet: Not needed here.
        """
        if exit_code is None:
            self._end(*ending_of(self._new(sys.exc_info()[1])))
        elif exit_code == 0:
            self._end("finished", None)
        else:
            self._end("interrupted" if exit_code == INTERRUPTED else "failed", f"exit code {exit_code}")

    def _end(self, status: str, error: str | None) -> None:
        if self._is_finished:
            return
        self.release()
        self._is_finished = True
        sessions.ended(self)
        if self._recording is not None and self._recording.run is self.active:
            self._recording.finish(status, error)
        elif self.active is not None:  # unpickled: one more writer of the run
            self.active.finish()

    def leave(self) -> None:
        """End the run, as another one begins in its place: as the exception says that ended a notebook's cell."""
        self._end(*ending_of(self._new(_exception())))

    def _new(self, error: BaseException | None) -> BaseException | None:
        return None if identity_of(error) == self._exception_before else error

    join = finish

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(*ending_of(error))


def _exception() -> BaseException | None:
    error = sys.exc_info()[1]
    return notebooks.last_error() if error is None and notebooks.in_notebook() else error
