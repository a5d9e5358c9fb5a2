"""``wandb.init``: which run begins, or goes on."""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Mapping
from typing import Any

from trainstore.errors import RunNotFoundError, StoreUnavailableError, TrainStoreError
from trainstore.importing.context import as_uuid, made_uid
from trainstore.integrations import notebooks
from trainstore.integrations.recording import Recording
from trainstore.integrations.targets import Target
from trainstore.integrations.wandb import sessions, tensorboard
from trainstore.integrations.wandb.configs import defaults_here, read_config
from trainstore.integrations.wandb.errors import UsageError
from trainstore.integrations.wandb.names import warn_once
from trainstore.integrations.wandb.runs import Run
from trainstore.integrations.wandb.settings import LEFT_OUT, Moment, Settings, settled
from trainstore.run import ActiveRun, recording_is_disabled

logger = logging.getLogger("trainstore")

SOURCE = "wandb"
JUST_BEGUN = 5.0  # seconds that a run is waited for which another process has begun
# init's other arguments, by the names of their settings.
_SETTINGS = {
    "entity": "entity",
    "project": "project",
    "dir": "root_dir",
    "id": "run_id",
    "name": "run_name",
    "notes": "run_notes",
    "tags": "run_tags",
    "group": "run_group",
    "job_type": "run_job_type",
    "mode": "mode",
    "reinit": "reinit",
    "resume": "resume",
    "resume_from": "resume_from",
    "fork_from": "fork_from",
}
_NOT_NEEDED = ("force", "anonymous", "allow_val_change")
_BOARD = ("sync_tensorboard", "tensorboard")


def begin(
    store: Target,
    config: Any,
    exclude: Any,
    include: Any,
    settings: Settings | Mapping[str, Any] | None,
    arguments: Mapping[str, Any],
) -> Run:
    """Begin the run that ``init`` was asked for, or return one that is open.

    Args:
        store: Into which store, or which open run.
        config: The hyperparameters.
        exclude, include: Names of hyperparameters that are left out, or the only ones that are kept.
        settings: More arguments, by the names of W&B's settings.
        arguments: The other arguments of ``init`` that were given.

    Raises:
        UsageError: An argument that cannot be used.
        TrainStoreError: As for `Recording.begin`.
    """
    check_names(arguments)
    settings = settled(settings, {_SETTINGS[name]: value for name, value in arguments.items() if name in _SETTINGS})
    given = read_config(config, exclude, include)
    if any(arguments.get(name) for name in _BOARD):
        tensorboard.patch()
    previous = next(iter(sessions.open_runs()), None)
    if previous is not None and settings.reinit != "create_new":
        if settings.reinit == "finish_previous" or (settings.reinit in (None, "default") and notebooks.in_notebook()):
            for run in sessions.open_runs():
                run.leave()
        elif settings.resume == "must":
            raise UsageError("resume='must' while a run is recorded: end it first, or pass reinit='create_new'")
        else:
            warn_once(
                "wandb.init: a run is being recorded, which is returned; reinit='finish_previous' ends it and begins "
                "another, reinit='create_new' begins another beside it"
            )
            if given:
                previous.config.update(given)
            return previous
    run = _run(store, settings, {**defaults_here(), **given})
    sessions.opened(run, is_global=settings.reinit != "create_new")
    return run


def attach(uid: str) -> Run:
    """Join a run that another process records: Lightning's ``WandbLogger`` does so in the processes that it spawns.

    Args:
        uid: The run's ``_attach_id``.

    Returns:
        The run, which its own process ends; a new one if it cannot be joined, which is told.
    """
    settings = settled(None, {})
    recording = Recording(None, source=SOURCE)
    try:
        active = recording.resume(uid, None)
    except TrainStoreError as error:
        logger.warning("run %s cannot be joined (%s); a new run begins", uid, error)
        active = recording.begin()
    run = Run(recording, active, settings, config={}, first_row=_next_row(active), resumed=True)
    sessions.opened(run, is_global=True)
    return run


def check_names(arguments: Mapping[str, Any]) -> None:
    """Name the arguments of W&B's that have no meaning here, once. Raises `UsageError` for names that are nobody's."""
    for name, value in arguments.items():
        if name in LEFT_OUT:
            if value:
                warn_once(f"wandb.init: {name} has no effect here: {LEFT_OUT[name]}")
        elif name not in (*_SETTINGS, *_NOT_NEEDED, *_BOARD):
            known = [*_SETTINGS, "store", "config", "settings"]
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(known))}"
            raise UsageError(f"wandb.init has no argument {name!r}: {hint}")


def _run(store: Target, settings: Settings, config: dict[str, Any]) -> Run:
    if settings.mode == "disabled" or recording_is_disabled():
        return Run(None, None, settings, config=config)
    is_given = isinstance(store, ActiveRun)
    recording = Recording(
        store,
        source=SOURCE,
        project=None if is_given else settings.project,
        name=None if is_given else settings.run_name,
        tags=_tags(settings),
        hyperparams=config,
    )
    try:
        return _begin(recording, settings, config, is_given=is_given)
    except BaseException:
        recording.finish()  # closes a store that was opened for it
        raise


def _begin(recording: Recording, settings: Settings, config: dict[str, Any], *, is_given: bool) -> Run:
    if is_given:
        if settings.project or settings.run_name:
            warn_once("wandb.init: an open run was given, which keeps its project and name")
        active = recording.begin()
        return Run(recording, active, settings, config=config, first_row=_next_row(active))
    if settings.fork_from is not None:
        return _forked(recording, settings, config, settings.fork_from)
    if settings.resume_from is not None:
        settings.run_id = settings.run_id or settings.resume_from.run
        return _resumed(recording, settings, config, step=settings.resume_from.step)
    if settings.run_id is None:
        if settings.resume == "auto":
            warn_once("wandb.init: resume='auto' needs the id of a run (id=…, WANDB_RUN_ID); a new run begins")
        return Run(recording, recording.begin(notes=settings.run_notes), settings, config=config, first_row=0)
    return _resumed(recording, settings, config)


def _resumed(recording: Recording, settings: Settings, config: dict[str, Any], step: int | None = None) -> Run:
    """The run of an id: new, or its next attempt."""
    wanted = str(settings.run_id)
    uid = _find(recording, settings, wanted)
    if uid is None and recording.store.is_recorded_here(_uid(settings, wanted)):
        uid = _found_soon(recording, settings, wanted)
    is_known = uid is not None
    if settings.resume == "never" and is_known:
        raise UsageError(f"resume='never', but there is a run with the id {wanted!r}: pass another id")
    if not is_known and (settings.resume == "must" or step is not None):
        raise UsageError(f"there is no run with the id {wanted!r} in {recording.store.url}")
    if uid is None:
        active = recording.resume(_uid(settings, wanted), -1, lineage=[])
        return _begun(recording, active, settings, config)
    if recording.store.is_recorded_here(uid):  # another process of the same training
        active = recording.resume(uid, None)
        return Run(recording, active, settings, config=config, first_row=_next_row(active), resumed=True)
    if settings.resume is None and step is None:
        active = recording.resume(uid, -1)  # W&B overwrites such a run; here what it had is kept, and not shown
        return _renamed(_begun(recording, active, settings, config))
    record = recording.store.get_run(uid)
    kept = step if step is not None else -1 if record.last_step is None else record.last_step
    active = recording.resume(uid, kept)
    run = Run(recording, active, settings, config={**record.hyperparams, **config}, first_row=kept + 1, resumed=True)
    run.summary._before.update(record.metrics)
    _note(active, settings)
    return _renamed(run)


def _renamed(run: Run) -> Run:
    """A run that goes on under another name, if one was given."""
    name = run.settings.run_name
    if name and run.active is not None and name != run.active.name:
        run.name = name
    return run


def _found_soon(recording: Recording, settings: Settings, wandb_id: str) -> str | None:
    """The uid of a run that another process has just begun, once it is stored: as a rule within a second."""
    until = time.monotonic() + JUST_BEGUN
    while time.monotonic() < until:
        time.sleep(0.1)
        uid = _find(recording, settings, wandb_id)
        if uid is not None:
            return uid
    return None


def _forked(recording: Recording, settings: Settings, config: dict[str, Any], origin: Moment) -> Run:
    """A new run from a step of another, whose configuration it takes over."""
    found = _find(recording, settings, origin.run)
    inherited = recording.store.get_run(found).hyperparams if found is not None else {}
    parent = found or _uid(settings, origin.run)
    notes = settings.run_notes
    active = recording.begin(hyperparams=inherited, notes=notes, parent=parent, parent_step=origin.step)
    return Run(recording, active, settings, config={**inherited, **config}, first_row=origin.step + 1)


def _begun(recording: Recording, active: ActiveRun | None, settings: Settings, config: dict[str, Any]) -> Run:
    """A run whose id is known before it begins, from its first step."""
    _note(active, settings)
    return Run(recording, active, settings, config=config, first_row=0)


def _note(active: ActiveRun | None, settings: Settings) -> None:
    if settings.run_notes and active is not None:
        active.set_notes(settings.run_notes)


def _next_row(active: ActiveRun | None) -> int:
    return 0 if active is None else active._next_step


def _uid(settings: Settings, wandb_id: str) -> str:
    """The uid of the run that has this id: the same that an import of it from W&B's own folder gives."""
    return as_uuid(wandb_id) or made_uid(SOURCE, "run", f"{settings.project or ''}/{wandb_id}")


def _find(recording: Recording, settings: Settings, wandb_id: str) -> str | None:
    """The uid of a stored run with this id. None: there is none, or the database is away."""
    uid = _uid(settings, wandb_id)
    try:
        return str(recording.store.get_run(uid).uid)
    except RunNotFoundError:
        return None
    except StoreUnavailableError:
        if settings.resume == "must":
            raise
        logger.warning(
            "no run with the id %s can be looked up now, because the database is away: a run begins again", wandb_id
        )
        return None


def _tags(settings: Settings) -> dict[str, Any]:
    named = {
        "group": settings.run_group,
        "job_type": settings.run_job_type,
        "sweep": settings.sweep_id,
        "entity": settings.entity,
        "wandb_id": settings.run_id,
    }
    return {**(settings.run_tags or {}), **{name: value for name, value in named.items() if value}}
