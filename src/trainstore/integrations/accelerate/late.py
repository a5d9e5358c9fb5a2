"""The run of a tracker. It begins when something is recorded into it: by then a checkpoint may have been loaded.

Scripts call ``init_trackers`` first and ``load_state`` later, and only the checkpoint tells whether this is a new run
or the next attempt of another. Which of its steps are kept is seen by the first step that is logged: all before that.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from trainstore import endings
from trainstore.errors import RunNotFoundError, TrainStoreError
from trainstore.integrations.recording import Recording
from trainstore.run import ActiveRun, recording_is_disabled
from trainstore.values import index_of

AUTO, NEVER = "auto", "never"

_beginning = threading.RLock()  # two threads that log first begin one run
_begun: weakref.WeakValueDictionary[str, ActiveRun] = weakref.WeakValueDictionary()  # by uid, in this process


class LateRun:
    """A run that begins late.

    Args:
        recording: What it is recorded with.
        resume, step: As for `TrainStoreTracker`.

    Attributes:
        run: The run. None: it has not begun, or has ended.
        loaded: What the checkpoint that was loaded says of its run.
        config: Hyperparameters that came before the run.
        project: That of ``init_trackers``, for a tracker that was given none.
    """

    def __init__(self, recording: Recording, resume: Any, step: int | None) -> None:
        self._recording = recording
        self._resume, self._step = resume, step
        self._is_over = True
        self._waits = False
        self._when_begun: Callable[[ActiveRun], None] | None = None
        self.run: ActiveRun | None = None
        self.loaded: Mapping[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.project: str | None = None

    @property
    def names_a_run(self) -> bool:
        """Whether the user said which run goes on."""
        return not (isinstance(self._resume, str) and self._resume in (AUTO, NEVER))

    def wait(self, when_begun: Callable[[ActiveRun], None] | None = None) -> None:
        """A training begins: open its store, and wait for the first record.

        Args:
            when_begun: Called with the run.

        Raises:
            TrainStoreError: What the user can fix: a store that cannot be opened, a run to resume that is not there.
        """
        self.run, self.loaded, self.config = None, {}, {}
        self._when_begun = when_begun
        self._is_over = recording_is_disabled()
        if self._is_over:
            return
        try:
            if not self._recording.is_given:
                store = self._recording.store
                if self.names_a_run:
                    store.get_run(self._resume)
        except TrainStoreError:
            raise
        except Exception as error:  # noqa: BLE001 - no error of ours may reach a training
            self._recording.report("the store", error)
        self._waits = True
        endings.watch(self)

    def begin(self, step: Any = None) -> ActiveRun | None:
        """The run for a record of this step; after its end, the same once more. None: nothing is recorded.

        Never raises.
        """
        with _beginning:
            return self._begin(step)

    def _begin(self, step: Any) -> ActiveRun | None:
        if self.run is not None or recording_is_disabled():
            return self.run
        if self._is_over and not self._waits:
            self.run = None if self._recording.run is None else self._recording.join()
            return self.run
        self._stop_waiting()
        with self._recording.guard("the beginning of the run"):
            self.run = self._go_on(index_of(step)) or self._recording.begin(
                project=self.project, hyperparams=self.config
            )
        if self.run is None:
            self._is_over = True  # it was told; not each step tries again
            return None
        if not self._recording.is_given:
            _begun[self.run.uid] = self.run
        if self._when_begun is not None:
            self._when_begun(self.run)
        return self.run

    def end(self, error: BaseException | None) -> None:
        """The training ended, or this exception ends it. Never raises."""
        if self._waits:
            self.begin()  # nothing was recorded, but the training was there
        if error is None:
            self._recording.finish()
        else:
            self._recording.fail(error)
        self.run, self._is_over = None, True

    def _stop_waiting(self) -> None:
        if self._waits:
            self._waits = False
            endings.forget(self)

    # --- The run that goes on -----------------------------------------------------------------------------------------

    def _go_on(self, first: int | None) -> ActiveRun | None:
        """The run that goes on with the step ``first``, if there is one and this is not given an open run."""
        if self._recording.is_given:
            return None
        if self.names_a_run:
            return self._resume_named(first)
        uid, lineage, logged = (self.loaded.get(name) for name in ("run_uid", "lineage", "step"))
        if not isinstance(uid, str) or type(logged) is not int:
            return None
        try:
            return self._resume_loaded(uid, lineage, logged, first)
        except Exception as error:  # noqa: BLE001 - the checkpoint's file may say anything
            self._recording.report("the run that the checkpoint names", error)
            return None

    def _resume_named(self, first: int | None) -> ActiveRun | None:
        kept = self._step
        if kept is None:
            kept = self._recording.store.get_current_step(self._resume) if first is None else first - 1
        return self._recording.resume(self._resume, -1 if kept is None else kept, hyperparams=self.config)

    def _resume_loaded(self, uid: str, lineage: Any, logged: int, first: int | None) -> ActiveRun | None:
        """The next attempt of the checkpoint's run; a child of it, if the steps begin again.

        Args:
            uid, lineage: Of the run.
            logged: Its last step when the checkpoint was saved; -1: none.
            first: The step that is logged first now.
        """
        recording = self._recording
        left = _begun.get(uid)
        if left is not None and left.status == "running":
            left.finish("interrupted", "a checkpoint of it was loaded; end_training was not called")
        begins_again = self._resume == NEVER or (first is not None and first <= logged)
        if begins_again or recording.store.is_recorded_here(uid):
            parent_step = logged if logged >= 0 else None
            return recording.begin(project=self.project, hyperparams=self.config, parent=uid, parent_step=parent_step)
        self._warn_if_unknown(uid)
        return recording.resume(uid, logged if first is None else first - 1, lineage=lineage, hyperparams=self.config)

    def _warn_if_unknown(self, uid: str) -> None:
        try:
            self._recording.store.get_current_step(uid)
        except RunNotFoundError:
            self._recording.warn_once(
                f"the checkpoint belongs to run {uid}, which is not in {self._recording.store.url}: the run is created "
                f"there, without its earlier steps (resume='never' makes a new run)"
            )
        except TrainStoreError:
            pass  # the database is away: the lineage is enough

    # --- A training that ends before anything was recorded (endings.py) -----------------------------------------------

    def _end(self, status: str, error: str | None, by: str) -> None:
        if status != "finished":
            run = self.begin()
            if run is not None:
                run._end(status, error, by)

    def _belongs_to(self, service: Any) -> bool:
        store = self._recording._store
        return store is not None and store._service is service

    def _wait_if_reachable(self, timeout: float) -> None:
        if self.run is not None:
            self.run._wait_if_reachable(timeout)
