"""Runs of the trials of a search: several at once in one store, each opened without asking the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trainstore.errors import InvalidArgumentError
from trainstore.integrations.recording import Recording
from trainstore.recording.opening import new_attempt
from trainstore.run import ActiveRun

Name = str | Callable[[Any], str] | None  # of the runs: how it begins, or what makes it of a trial

STORED_TIMEOUT = 1.0  # seconds that the end of a trial waits until its run is stored


def open_trial(
    recording: Recording,
    fields: dict[str, Any],
    *,
    start_step: int = -1,
    lineage: Sequence[Sequence[Any]] = (),
    opened_at: int | None = None,
) -> ActiveRun:
    """Begin a run, or its next attempt.

    Args:
        recording: The adapter's. With an open run, the trials are recorded into that run's store.
        fields: The run's record, as `opening.new_run` makes it.
        start_step: The last step that is kept of the attempt before.
        lineage: That attempt's, `ActiveRun.lineage`.
        opened_at: When the trial began, in microseconds since 1970. None: now.

    Raises:
        TrainStoreError: The store cannot be opened, or not be recorded into.
    """
    given = recording.run if recording.is_given else None
    if given is None:
        recording.store._check_open()
    service = recording.store._recording() if given is None else given._service
    attempt = new_attempt(start_step=start_step, lineage=[list(entry) for entry in lineage])
    if opened_at is not None:
        attempt["opened_at"] = opened_at
    return ActiveRun(service, fields, attempt, opener=True, seen=False, rank=0, next_step=start_step + 1)


def end_trial(run: ActiveRun, status: str, error: str | None, at: int | None = None) -> None:
    """End a run, or the writer that added to one that had ended. Does not wait.

    Args:
        run: The run.
        status, error: As for `ActiveRun.finish`.
        at: When the trial ended, in microseconds since 1970. None: now.
    """
    if run._finished is None or run._reopened:
        run._record_end(status, error, at=at)


def check_name(name: object) -> None:
    """Raise `InvalidArgumentError` for a name that cannot be one of trials."""
    if name is not None and not isinstance(name, str) and not callable(name):
        raise InvalidArgumentError(f"name {name!r} is neither a text nor a function of a trial")


def name_of(recording: Recording, name: Name, trial: Any, *, usual: str, number: object) -> str:
    """What the run of a trial is called.

    Args:
        recording: The adapter's, which tells of a function that fails.
        name: As the user gave it.
        trial: What the function gets.
        usual: The name without one.
        number: What tells the trials apart.
    """
    if isinstance(name, str):
        return f"{name}-{number}"
    if name is not None:
        with recording.guard("the name of a trial"):
            return str(name(trial))
    return usual
