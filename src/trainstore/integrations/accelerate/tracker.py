"""`TrainStoreTracker`: what Accelerate calls."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker

from trainstore.arrays import is_array, is_table
from trainstore.errors import InvalidArgumentError
from trainstore.integrations import notebooks
from trainstore.integrations.accelerate.checkpoints import Checkpoints
from trainstore.integrations.accelerate.facts import environment, image_facts, is_picture, models
from trainstore.integrations.accelerate.late import AUTO, NEVER, LateRun
from trainstore.integrations.arguments import check_resume
from trainstore.integrations.recording import Recording
from trainstore.integrations.targets import Target
from trainstore.queries.samples import sample_key
from trainstore.recording.opening import step_of
from trainstore.run import ActiveRun
from trainstore.store import TrainStore
from trainstore.values import copied_hyperparams

NAME = "trainstore"
MAX_IMAGES = 100  # described in one event
MAX_ROWS = 10_000  # kept of one table
STARTS = hasattr(GeneralTracker, "start")  # releases before 1.8 do not call `TrainStoreTracker.start`
_CALLERS = 6  # frames to look for the Accelerator in
_open: weakref.WeakSet[TrainStoreTracker] = weakref.WeakSet()  # between `start` and `finish`


class TrainStoreTracker(GeneralTracker):  # type: ignore[misc]
    """A tracker of Accelerate: by name, ``log_with="trainstore"``, or an instance, ``log_with=TrainStoreTracker(…)``.

    By name, the keyword arguments come from ``init_kwargs={"trainstore": {…}}``. Accelerate before 1.15 knows no names
    of others: pass an instance.

    Args:
        project: None: what ``init_trackers`` is called with. An open run keeps its own.
        store_or_run: An open `TrainStore` or an open run, which stay open; or the path or URL of a store. None:
            ``TRAINSTORE_URL``, else ``trainstore.db``.
        name: The run's label. None: ``TRAINSTORE_RUN_NAME``, else made from the uid.
        tags: As for `TrainStore.start_run`.
        hyperparams: Recorded beside what ``init_trackers(config=…)`` gets; of two with the same name, yours is kept.
        resume: "auto": the run that a loaded checkpoint names goes on, else a new one begins. "never": always a new
            run. Anything else is a run that goes on: a handle, a record, a uid, an id, or a name that one run has.
        step: With such a run: the last of its steps that is kept. None: all before the first one that is logged.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
    """

    name = NAME
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self,
        project: str | None = None,
        *,
        store_or_run: Target = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | str | None = None,
        hyperparams: Mapping[str, Any] | Any | None = None,
        resume: Any = AUTO,
        step: int | None = None,
    ) -> None:
        super().__init__()
        if isinstance(project, (ActiveRun, TrainStore)):
            raise InvalidArgumentError(f"project {project!r} is not a text: pass it as store_or_run=…")
        is_given = isinstance(store_or_run, ActiveRun)
        self._recording = Recording(
            store_or_run,
            source="accelerate",
            project=None if is_given and isinstance(project, str) else project,  # init_trackers passes one always
            name=name,
            tags=tags,
            hyperparams=hyperparams,
        )
        self._hyperparams = copied_hyperparams(hyperparams or {})
        self._late = LateRun(self._recording, resume, step)
        if resume is None:
            raise InvalidArgumentError(f"resume None is no run: pass {AUTO!r}, {NEVER!r} or a run")
        if self._late.names_a_run:
            check_resume(resume, store_or_run)
        elif step is not None:
            raise InvalidArgumentError(f"step {step!r} is of a run that goes on: pass the run as resume=…")
        if step is not None:
            step_of("step", step, lowest=-1)
        self._checkpoints: Checkpoints | None = None
        self._accelerator: weakref.ref[Any] | None = None
        self._is_started = False
        self._before: int | None = None  # an exception that was being handled when the training began
        self._shown: int | None = None  # what had ended a notebook's cell before

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or was last. None: none has begun yet, or recording is disabled."""
        return self._recording.run

    @property
    def tracker(self) -> ActiveRun | None:
        """The run, begun if it was not yet: ``get_tracker("trainstore", unwrap=True)``. None: nothing is recorded."""
        return self._late.run or self._begin(None)

    # --- A training's beginning and end -------------------------------------------------------------------------------

    def start(self) -> None:
        """``init_trackers``: open the store; the run begins when something is recorded.

        Raises:
            TrainStoreError: What the user can fix: a store that cannot be opened, a run to resume that is not there.
        """
        accelerator, project = _caller()
        if self._is_started and self._is_replaced(accelerator):
            return
        if notebooks.in_notebook():  # the cell that made another Accelerator was left, or is run again
            for other in [one for one in _open if one is not self]:
                other._end(other._shown, notebooks.last_error())
            self._shown = id(notebooks.last_error())
        self._is_started = True
        _open.add(self)
        self._before = id(sys.exc_info()[1])
        self._late.wait(self._record_facts)
        self._late.project = project
        if accelerator is not None:
            self._accelerator = weakref.ref(accelerator)
            self._checkpoints = Checkpoints(accelerator, self._late, self._recording)

    def finish(self) -> None:
        """``end_training``: the run ends. If it is called while an exception passes, the exception says how."""
        self._end(self._before, sys.exc_info()[1])

    def _end(self, before: int | None, error: BaseException | None) -> None:
        if self._checkpoints is not None:
            self._checkpoints.stop()
            self._checkpoints = None
        _open.discard(self)
        self._late.end(None if id(error) == before else error)

    def _is_replaced(self, accelerator: Any) -> bool:
        """``init_trackers`` once more, as when a notebook's cell is run again: the run ends, and the next one begins.

        Accelerate adds the new tracker to the old one, so that each log would be recorded twice: one of them goes.

        Returns:
            Whether another tracker has taken this one's place. It is started then.
        """
        self.finish()
        trackers = [] if accelerator is None else accelerator.trackers
        place = trackers.index(self) if self in trackers else len(trackers)
        for later in range(place + 1, len(trackers)):
            other = trackers[later]
            if other is self or (isinstance(other, TrainStoreTracker) and not other._is_started):
                del trackers[later]
                trackers[place] = other
                if other is not self:
                    other.start()
                return other is not self
        return False

    def _begin(self, step: Any) -> ActiveRun | None:
        if not self._is_started:
            with self._recording.guard("the beginning of the run"):
                self.start()
        return self._late.begin(step)

    def _record_facts(self, run: ActiveRun) -> None:
        accelerator = None if self._accelerator is None else self._accelerator()
        if accelerator is not None:
            with self._recording.guard("the environment"):
                run.log_hyperparams(environment(accelerator), "env")
            with self._recording.guard("the model's size"):
                run.log_hyperparams(models(accelerator), "mth")

    # --- What is recorded ---------------------------------------------------------------------------------------------

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """``init_trackers(config=…)``: the run's hyperparameters.

        Args:
            values: Name → value.
        """
        if not self._is_started or not STARTS:
            self.start()
        with self._recording.guard("hyperparameters"):
            config = {**copied_hyperparams(values), **self._hyperparams}
            if self._late.run is None:
                self._late.config |= config
            else:
                self._late.run.log_hyperparams(config)

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """``Accelerator.log``: the metrics of a step. Never raises.

        Args:
            values: Name → value, as for `ActiveRun.log`.
            step: None: one more than the highest so far.
            **kwargs: ``epoch`` and ``details``, as for `ActiveRun.log`, from ``log_kwargs={"trainstore": {…}}``. Others
                cause one warning.
        """
        run = self._late.run or self._begin(step)
        if run is None:
            return
        if kwargs:
            known = {name: kwargs.pop(name) for name in ("epoch", "details") if name in kwargs}
            if kwargs:
                self._recording.warn_once(f"trainstore ignores {', '.join(sorted(kwargs))} in log_kwargs")
            run.log(values, step, **known)
        else:
            run.log(values, step)
        if step is not None and self._checkpoints is not None:
            self._checkpoints.saw(step)

    def log_images(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Record which images there were, as an event of kind ``image`` for each name. Pixels are not kept.

        Args:
            values: Name → arrays or images of PIL's.
            step: At which step.
            **kwargs: Beside them; what is short is kept.
        """
        with self._recording.guard("images"):
            run = self._late.run or self._begin(step)
            if run is None:
                return
            beside = {name: value for name, value in kwargs.items() if isinstance(value, (bool, int, float, str))}
            for name, images in values.items():
                images = list(images) if isinstance(images, Sequence) or is_array(images) else [images]
                facts = [image_facts(image) for image in images[:MAX_IMAGES]]
                run.log_event("image", step, {**beside, "key": str(name), "count": len(images), "items": facts})

    def log_table(
        self,
        table_name: str,
        columns: Sequence[str] | None = None,
        data: Sequence[Sequence[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Record a table's rows as text samples, of the set of its name (`TrainStore.list_samples`).

        Args:
            table_name: The set's name.
            columns: The columns' names; ``prompt`` and ``completion`` are shown first.
            data: The rows.
            dataframe: A DataFrame, instead of columns and rows.
            step: At which step. None: the last one that was logged.
            **kwargs: As for `log`.
        """
        with self._recording.guard("a table"):
            run = self._late.run or self._begin(step)
            if run is None:
                return
            if is_table(dataframe):
                columns, data = list(dataframe.columns), list(dataframe.itertuples(index=False, name=None))
            rows = list(data or ())
            names = [str(column) for column in columns or range(len(rows[0]) if rows else 0)]
            if len(rows) > MAX_ROWS:
                self._recording.warn_once(f"a table has more than {MAX_ROWS:,} rows: the first {MAX_ROWS:,} are kept")
            cells = ([image_facts(cell) if is_picture(cell) else cell for cell in row] for row in rows[:MAX_ROWS])
            details = {sample_key(table_name, nr): dict(zip(names, row, strict=False)) for nr, row in enumerate(cells)}
            self.log({}, run.last_step if step is None else step, details=details, **kwargs)


def _caller() -> tuple[Any | None, str | None]:
    """The Accelerator whose ``init_trackers`` calls, and that call's project: a tracker is told neither of them."""
    frame: Any = sys._getframe(1)
    for _ in range(_CALLERS):
        if frame is None:
            break
        owner, project = frame.f_locals.get("self"), frame.f_locals.get("project_name")
        if isinstance(owner, Accelerator):
            return owner, project if isinstance(project, str) else None
        frame = frame.f_back
    return None, None
