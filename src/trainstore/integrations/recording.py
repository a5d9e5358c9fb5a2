"""What every adapter keeps: the run that it records, which it was given or begins itself.

An adapter translates its library's events; which store, which run and how it ends are settled here, once for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from trainstore.backends import current_folder
from trainstore.endings import ending_of
from trainstore.integrations.arguments import check_hyperparams, check_labels, check_tags, check_target
from trainstore.integrations.failures import Failures
from trainstore.integrations.targets import Target, is_for_the_user, open_store, pickled_store
from trainstore.run import ActiveRun, recording_is_disabled
from trainstore.store import TrainStore

FINISH_TIMEOUT = 10.0  # seconds that the end of a training waits for the database
AWAY_TIMEOUT = 1.0  # the same, where that was in vain the last time: a search ends many trainings

_away: set[str] = set()  # URLs of databases that were waited for in vain the last time


class Recording:
    """The run of one adapter, from its first step to its end; `finish` makes it ready for another.

    It never raises during a training: what fails is reported once (`guard`), and the training goes on. What the user
    can fix is raised when the training begins: see `targets.USER_ERRORS`.

    It can be pickled: the store becomes its address, without a password. A run that was begun here is left out.

    Args:
        store_or_run: An open run, which is recorded into and left open; an open `TrainStore`, which is left open; the
            path or URL of a store, which is opened when the training begins and closed when it ends; None:
            ``TRAINSTORE_URL``, else ``trainstore.db``.
        source: What is recorded as the run's source: the adapter's module.
        project, name, tags, hyperparams: As for `TrainStore.start_run`. An open run has its project and name.

    Raises:
        InvalidArgumentError: An argument that cannot be used.
        StoreURLError, StoreClosedError, ReadOnlyStoreError: As `check_target` says.
    """

    def __init__(
        self,
        store_or_run: Target = None,
        *,
        source: str,
        project: str | None = None,
        name: str | None = None,
        tags: Mapping[str, Any] | Sequence[str] | str | None = None,
        hyperparams: Mapping[str, Any] | Any | None = None,
    ) -> None:
        self._folder = current_folder()
        target = check_target("store_or_run", store_or_run, self._folder)
        check_labels(target, project=project, name=name)
        self._given = target if isinstance(target, ActiveRun) else None
        self._target = None if isinstance(target, ActiveRun) else target
        self._source = source
        self._project, self._name = project, name
        self._tags, self._hyperparams = check_tags(tags), check_hyperparams(hyperparams)
        self._failures = Failures(reraise=False)
        self._store: TrainStore | None = None
        self._run: ActiveRun | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_target": pickled_store(self._target), "_store": None, "_run": None, "_failures": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._failures = Failures(reraise=False)

    def __copy__(self) -> Self:
        """The same arguments, nothing recorded; an open store or run is shared."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(vars(self), _store=None, _run=None, _failures=Failures(reraise=False))
        return copied

    def __deepcopy__(self, memo: object) -> Self:
        return self.__copy__()

    @property
    def project(self) -> str | None:
        """The project that the user gave."""
        return self._project

    @property
    def tags(self) -> dict[str, Any] | None:
        """The user's tags as they are recorded, without secrets."""
        return self._tags

    @property
    def hyperparams(self) -> dict[str, Any] | None:
        """The user's hyperparameters as they are recorded, without secrets."""
        return self._hyperparams

    # --- Which run ---------------------------------------------------------------------------------------------------

    @property
    def is_given(self) -> bool:
        """Whether the run was open before, and is ended by whoever opened it."""
        return self._given is not None

    @property
    def run(self) -> ActiveRun | None:
        """The run that is being recorded, or was last. None: none was begun yet, or recording is disabled."""
        return self._given or self._run

    @property
    def is_open(self) -> bool:
        """Whether a run is being recorded."""
        return self._run is not None and self._run.status == "running"

    @property
    def has_store(self) -> bool:
        """Whether it is known that the store can be opened."""
        return self.is_given or self._store is not None

    @property
    def store(self) -> TrainStore:
        """The store that runs are begun in; opened at first use, and again after `finish` closed it."""
        if self._store is None or (self._store is not self._target and self._store._closed):
            self._store = open_store(self._target, self._folder)
        return self._store

    def begin(
        self,
        *,
        name: str | None = None,
        project: str | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        notes: str | None = None,
        parent: Any | None = None,
        parent_step: int | None = None,
        rank: int = 0,
        overrides_name: bool = False,
    ) -> ActiveRun | None:
        """Begin a run, if none was given.

        Args:
            name, project: The run's, unless the user gave them.
            hyperparams: What is known of the training; of two with the same name, the user's is kept.
            notes, parent, parent_step, rank: As for `TrainStore.start_run`.
            overrides_name: Whether ``name`` counts even if the user gave one: for the second run of a name and others.

        Returns:
            The run. None: recording is disabled, or the run could not be begun, which was told.

        Raises:
            TrainStoreError: What the user can fix (`targets.USER_ERRORS`), or a store that cannot be opened.
        """
        return self._begin(
            lambda: self.store.start_run(
                name if overrides_name else self._name or name,
                project=self._project or project,
                tags=self._tags,
                notes=notes,
                parent=parent,
                parent_step=parent_step,
                source=self._source,
                rank=rank,
            ),
            hyperparams,
        )

    def resume(
        self,
        run: Any,
        step: int | None,
        *,
        lineage: Sequence[Sequence[Any]] | None = None,
        name: str | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        rank: int = 0,
    ) -> ActiveRun | None:
        """Go on with a run as `TrainStore.resume_run` does; otherwise as `begin`. A run that was given is kept.

        Args:
            run, step, lineage, rank: As for `TrainStore.resume_run`.
            name: Of a run that has to be created, unless the user gave one.
            hyperparams: As for `begin`.

        Raises:
            TrainStoreError: As for `begin`; the run is not there.
        """

        def resumed() -> ActiveRun:
            active = self.store.resume_run(
                run,
                step,
                lineage=lineage,
                project=self._project,
                name=self._name or name,
                source=self._source,
                rank=rank,
            )
            if self._tags:
                active.set_tags(self._tags)
            return active

        return self._begin(resumed, hyperparams)

    def go_on_with(
        self, named: Any, step: int | None, *, hyperparams: Mapping[str, Any] | None = None
    ) -> ActiveRun | None:
        """`resume` for a run that the user names; a new one if its database is away, so that the steps are kept.

        Args:
            named: A handle, which needs no database; a record, a uid, an id or a name.
            step, hyperparams: As for `resume`.

        Raises:
            TrainStoreError: As for `begin`; the run is not there.
        """
        lineage = named.lineage if isinstance(named, ActiveRun) else None
        run = self.resume(named, step, lineage=lineage, hyperparams=hyperparams)
        if run is not None or recording_is_disabled():
            return run
        self.warn_once("run %s cannot be looked up while its database is away; a new run keeps the steps", named)
        return self.begin(hyperparams=hyperparams)

    def join(self) -> ActiveRun | None:
        """The last run once more, for what comes after its end (a test after a training): its status stays.

        Returns:
            A handle that adds to the run's last attempt. None: no run was recorded here, or it cannot be joined now.
        """
        if self._given is not None:
            return self._given
        ended = self._run
        if ended is None or ended.status == "running":
            return ended
        try:
            self._run = self.store.resume_run(ended.uid, lineage=ended.lineage, source=self._source)
        except Exception as error:  # noqa: BLE001 - no error of ours may reach a training
            self.report("a result after the training", error)
            return None
        return self._run

    def _begin(self, open_run: Any, hyperparams: Mapping[str, Any] | None) -> ActiveRun | None:
        if recording_is_disabled():
            return None
        self._failures.begin()
        try:
            if self._given is None:
                self._run = open_run()
            elif self._tags:
                self._given.set_tags(self._tags)
            run = self.run
            told = {**(hyperparams or {}), **(self._hyperparams or {})}
            if run is not None and told:
                run.log_hyperparams(told)
            return run
        except Exception as error:
            if is_for_the_user(error, store_is_open=self.has_store):
                raise
            self._failures.report("the beginning of the run", error)
            return None

    # --- How it ends -------------------------------------------------------------------------------------------------

    def finish(self, status: str | None = None, error: str | None = None) -> None:
        """The training ended: end a run that was begun here, close a store that was opened here. Never raises.

        Args:
            status, error: As for `ActiveRun.finish`. A run that was given is left open: its owner says how it ends.
        """
        run, store = self._run, self._store
        with self.guard("the end of the run"):
            if run is not None and run.status == "running":
                is_stored = run.finish(status, error, FINISH_TIMEOUT if store is None else _patience(store))
                if store is not None:
                    (_away.discard if is_stored else _away.add)(store.url)
        with self.guard("the end of the store"):
            if store is not None and store is not self._target:
                self._store = None
                store._close(_patience(store))

    def fail(self, error: BaseException) -> None:
        """An exception ended the training: failed, interrupted or pruned, as `endings.ending_of` says. Never raises."""
        self.finish(*ending_of(error))

    # --- Failures of trainstore itself --------------------------------------------------------------------------------

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """A block whose failures are reported once and do not reach the training.

        Args:
            what: What could not be recorded then: "a step".
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 - no error of ours may reach a training
            self.report(what, error)

    def report(self, what: str, error: Exception) -> None:
        """Report that something could not be recorded: the first failure, and each kind that goes on failing."""
        self._failures.report(what, error)

    def warn_once(self, message: str, *args: object) -> None:
        """Log a warning, unless the same was logged before."""
        self._failures.warn_once(message, *args)


def bookmark(run: ActiveRun) -> dict[str, Any]:
    """What a checkpoint carries of its run, as plain data, for `Recording.resume`: ``{"run_uid", "lineage"}``."""
    return {"run_uid": run.uid, "lineage": run.lineage}


def _patience(store: TrainStore) -> float:
    """How long the end of a training waits until everything is stored; the journal keeps what is not."""
    return AWAY_TIMEOUT if store.url in _away else FINISH_TIMEOUT
