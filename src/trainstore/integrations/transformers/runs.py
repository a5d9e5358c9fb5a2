"""Which run a training belongs to: a new one, the next attempt of one, or the child of one."""

from __future__ import annotations

import logging
from typing import Any

from trainstore.errors import InvalidArgumentError, RunNotFoundError, StoreUnavailableError
from trainstore.integrations.transformers.checkpoint import SavedRun, import_history
from trainstore.integrations.transformers.checkpoint_file import run_of_checkpoint
from trainstore.integrations.transformers.settings import Settings
from trainstore.integrations.transformers.training import Training
from trainstore.run import ActiveRun
from trainstore.store import TrainStore

logger = logging.getLogger("trainstore")


def open_run(store: TrainStore, settings: Settings, training: Training) -> ActiveRun:
    """The run of a training that begins: the one that its checkpoint names, or a new one."""
    trainer, args, state = training.known_trainer, training.args, training.state
    step = state.global_step
    labels = {**labels_of(settings, args, state), "source": training.protocol.source}
    saved = run_of_checkpoint(training) if settings.resume != "never" and step > 0 else None
    if saved is not None and saved.is_of(trainer, args, state) and not store.is_recorded_here(saved.run_uid):
        return _resume(store, settings, saved, labels, state)
    if settings.resume == "must":
        raise InvalidArgumentError(
            "resume='must', but this training does not start from a checkpoint that trainstore recorded in this "
            "output_dir; pass resume_from_checkpoint to train(), or resume='auto'"
        )
    if saved is not None:
        labels |= {"parent": saved.run_uid, "parent_step": step}
    return store.start_run(**labels, tags=settings.tags)


def _resume(store: TrainStore, settings: Settings, saved: SavedRun, labels: dict[str, Any], state: Any) -> ActiveRun:
    try:
        store.get_current_step(saved.run_uid)
        unknown = False
    except RunNotFoundError:
        unknown = True
    except StoreUnavailableError:
        unknown = False
    run = store.resume_run(saved.run_uid, step=state.global_step, lineage=saved.lineage, **labels)
    if unknown:
        logger.warning(
            "the checkpoint belongs to run %s, which is not in %s: the run is created there, with what the checkpoint "
            "remembers of its %d steps (if this is the wrong database, pass the right one; resume='never' makes a new "
            "run)",
            saved.run_uid,
            store.url,
            state.global_step,
        )
        import_history(run, state)
    if settings.tags:
        run.set_tags(settings.tags)
    return run


def begin_again(store: TrainStore, before: ActiveRun, step: int, source: str) -> ActiveRun:
    """Another attempt of a run whose last attempt began at ``step`` and failed; it resumes from where that one did."""
    return _next_attempt(store, before, step or -1, before.lineage[:-1] if step else [], source)


def go_on(store: TrainStore, before: ActiveRun, step: int, source: str) -> ActiveRun:
    """Another attempt of a run that was ended too early, after ``step``; it keeps all of the last attempt."""
    return _next_attempt(store, before, step, before.lineage, source)


def _next_attempt(store: TrainStore, before: ActiveRun, step: int, lineage: list[list[Any]], source: str) -> ActiveRun:
    return store.resume_run(
        before.uid, step=step, lineage=lineage, project=before.project, name=before.name, source=source
    )


def labels_of(settings: Settings, args: Any, state: Any) -> dict[str, Any]:
    """The run's project and name: the callback's, else the trial's (``hp_name``), else the arguments' ``run_name``."""
    told = (getattr(state, "trial_name", None), getattr(args, "run_name", None))
    # Another library may use these names for something else: anything but a text is ignored, unless the user passed it.
    name = settings.name or next((name for name in told if name and isinstance(name, str)), None)
    return {"project": settings.project, "name": name}
