"""What the callbacks for XGBoost, LightGBM and CatBoost share: an iteration is a step, a training is a run.

None of these libraries tells a callback of an exception, so the call of the training itself is watched (``calls.py``).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from trainstore.endings import ending_of
from trainstore.integrations.arguments import check_resume
from trainstore.integrations.calls import Call, call_under_way
from trainstore.integrations.recording import Recording
from trainstore.integrations.targets import Target
from trainstore.run import ActiveRun

LONGEST_LIST = 50  # of a parameter: a list with an entry for each feature is recorded as its length


class BoostingCallback:
    """The recording half of a boosting library's callback; the other half hears the library's events.

    Args:
        store_or_run: As for every adapter (`Recording`).
        project, name, tags, hyperparams: As for `TrainStore.start_run`.
        resume: The run that a continued model goes on with: a handle, a record, a uid, an id or a name. None: every
            training is a run of its own.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
        TrainStoreError: When training begins: a store that cannot be opened for a reason that you can mend; no run as
            `resume` says.
    """

    _source = ""

    def __init__(
        self,
        store_or_run: Target = None,
        *,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        resume: Any | None = None,
    ) -> None:
        check_resume(resume, store_or_run)
        self._recording = Recording(
            store_or_run, source=self._source, project=project, name=name, tags=tags, hyperparams=hyperparams
        )
        self._resume = resume
        self._trainings: dict[Call | int, Training | None] = {}  # by call, else by thread; None: not recorded
        self._last: Recording = self._recording

    __init__.__qualname__ = "TrainStoreCallback.__init__"  # what Python names if it is called with a wrong argument

    def __deepcopy__(self, memo: object) -> Self:
        """The same arguments, nothing recorded: for scikit-learn's clone() and searches. An open store is shared."""
        copied = type(self).__new__(type(self))
        recording = copy(self._recording)
        copied.__dict__.update(vars(self), _recording=recording, _last=recording, _trainings={})
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": self._recording, "_trainings": {}}

    @property
    def run(self) -> ActiveRun | None:
        """The run that was begun last. None: none yet, or recording is disabled."""
        return self._last.run

    @property
    def _training(self) -> Training | None:
        """The one that is calling. (Several may be under way, in threads.)"""
        return self._trainings.get(self._call or threading.get_ident())

    @property
    def _call(self) -> Call | None:
        return call_under_way(self._source)

    def _begin(self, model: Any, first_step: int, rounds: int | None, hyperparams: Mapping[str, Any]) -> None:
        """A training begins: begin a run, or go on with one.

        Args:
            model: The library's; kept until the training ends.
            first_step: That of its first iteration; not 0 if it goes on with a model.
            rounds: How many iterations it takes if nothing stops it; None: not known.
            hyperparams: The library's parameters.
        """
        call = self._call
        key = call or threading.get_ident()
        if call is None:
            self._end_lost()
        else:
            call.listeners.append(partial(self._end, call))
        self._trainings[key] = None
        recording = copy(self._recording)
        told = {name: _short(value) for name, value in hyperparams.items() if value is not None}
        if self._resume is None:
            run = recording.begin(hyperparams=told)
        else:
            run = recording.go_on_with(self._resume, first_step - 1, hyperparams=told)
        if run is None:
            return
        self._last = recording
        training = self._trainings[key] = Training(recording, run, model, first_step, rounds)
        if recording.is_given and run.last_step is not None:  # a second model in one run: after the first
            training.shift = max(run.last_step + 1 - first_step, 0)
        with recording.guard("the model"):
            facts = self._facts(model)
            run.log_hyperparams({name: value for name, value in facts.items() if value is not None}, "mth")

    def _end_lost(self) -> None:
        """Nobody tells how a training ends without a call: one that is still there, and not in a live thread, did not.

        Never raises.
        """
        others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        for key in list(self._trainings):
            if isinstance(key, int) and key not in others:
                self._end(key, RuntimeError("the training did not reach its last iteration"))

    def _end(self, key: Call | int, error: BaseException | None) -> None:
        """The training of this call or thread returned, or raised this exception. Never raises."""
        training = self._trainings.pop(key, None)
        if training is None:
            return
        if error is None:
            with training.recording.guard("the best iteration"):
                best = self._best(training)
                if best is not None:
                    training.tell(best)
            training.recording.finish()
        else:
            training.recording.finish(*self._ending(error))

    def _ending(self, error: BaseException) -> tuple[str, str | None]:
        """How a run ends that this exception ended: its status and the error's text."""
        return ending_of(error)

    def _end_unless_watched(self) -> None:
        """The library says that the training is over."""
        if self._call is None:
            self._end(threading.get_ident(), None)

    def _facts(self, model: Any) -> dict[str, Any]:
        """What is known of the model when its training begins."""
        raise NotImplementedError

    def _best(self, training: Training) -> Best | None:
        """Which iteration was the best, if the library looked for it."""
        raise NotImplementedError


@dataclass
class Best:
    """The best iteration.

    Attributes:
        iteration: As the library counts.
        step: Of this iteration.
        score: What the library says about it; None: nothing.
    """

    iteration: int
    step: int
    score: Any


@dataclass
class Training:
    """A training under way that is recorded.

    Attributes:
        recording, run: Its own.
        model: The library's.
        first_step: That of its first iteration.
        rounds: How many iterations it takes if nothing stops it; None: not known.
        last_step: That of its last iteration so far.
        shift: From these steps to those of the run.
        memory: What the library's half keeps from one iteration to the next.
    """

    recording: Recording
    run: ActiveRun
    model: Any
    first_step: int
    rounds: int | None
    last_step: int | None = None
    shift: int = 0
    memory: dict[str, Any] = field(default_factory=dict)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """An iteration has ended."""
        self.last_step = step
        self.run.log(metrics, step + self.shift)

    def tell(self, best: Best) -> None:
        """Record the best iteration, and whether the training was stopped because no better one came."""
        told: dict[str, Any] = {"best_iteration": best.iteration}
        if best.score is not None:
            told["best_score"] = best.score
        self.run.log_hyperparams(told, "mth")
        planned = None if self.rounds is None else self.first_step + self.rounds - 1
        if planned is not None and self.last_step is not None and self.last_step < planned:
            step = self.last_step + self.shift
            self.run.log_event("early_stopping", step, {**told, "best_step": best.step + self.shift})


def _short(value: Any) -> Any:
    """A parameter as it is recorded: not the names, types or constraints of a thousand features."""
    if isinstance(value, (list, tuple, set, frozenset, dict)) and len(value) > LONGEST_LIST:
        return f"({type(value).__name__} of {len(value)})"
    if callable(value):
        return getattr(value, "__qualname__", None) or type(value).__qualname__
    return value
