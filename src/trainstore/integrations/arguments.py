"""The arguments that adapters share, checked where they are given: before any training, and without a database."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import URL

from trainstore.backends import absolute_target
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.targets import STORE_TYPES, Target
from trainstore.recording.opening import check
from trainstore.run import ActiveRun, canonical_tags
from trainstore.store import TrainStore
from trainstore.values import copied_hyperparams, index_of, restore


def check_target(argument: str, target: Target, folder: str) -> Target:
    """What is recorded into, if it can be: a path means the same whatever ``chdir`` follows. Nothing is opened.

    Args:
        argument: What the adapter calls it.
        target: As the user gave it.
        folder: Where a relative path starts.

    Raises:
        InvalidArgumentError: Neither a store nor a run, or a run that has ended.
        StoreURLError: A URL that no backend serves, or that is malformed.
        StoreClosedError, ReadOnlyStoreError: A store that cannot be recorded into.
    """
    if isinstance(target, ActiveRun):
        if target.status != "running":
            raise InvalidArgumentError(
                f"{argument}: the run {target.name!r} has ended ({target.status}): pass what resume_run returns for "
                f"it, or the store, for a new run"
            )
    elif not isinstance(target, STORE_TYPES):
        raise InvalidArgumentError(
            f"{argument} cannot be {type(target).__name__}: pass a store, its path or URL, or an open run, "
            f"as start_run and resume_run return it"
        )
    elif isinstance(target, TrainStore):
        target._check_open()
        target._backend.refuse_if_read_only()
    elif isinstance(target, (str, os.PathLike, URL)):
        return absolute_target(target, folder)
    return target


def check_labels(target: Target, **labels: str | None) -> None:
    """Raise `InvalidArgumentError` for a project or name that is no text, or that an open run has already."""
    for argument, value in labels.items():
        if value is not None and not isinstance(value, str):
            raise InvalidArgumentError(f"{argument} {value!r} is not a text")
        if value is not None and isinstance(target, ActiveRun):
            raise InvalidArgumentError(
                f"{argument} {value!r} was given with an open run, which has its own: "
                f"pass it to start_run, or pass a store"
            )


def check_tags(tags: Mapping[str, Any] | Sequence[str] | str | None) -> dict[str, Any] | None:
    """Tags as they are recorded, without secrets. Raises `InvalidArgumentError`."""
    return None if tags is None else check("tags", lambda given: restore(canonical_tags(given)), tags)


def check_hyperparams(hyperparams: Mapping[str, Any] | Any | None) -> dict[str, Any] | None:
    """Hyperparameters as they are recorded, without secrets. Raises `InvalidArgumentError`."""
    return None if hyperparams is None else check("hyperparams", copied_hyperparams, hyperparams)


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Raise `InvalidArgumentError` for what is none of these words."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidArgumentError(f"{argument} {value!r} is not one of {', '.join(map(repr, choices))}")


def check_resume(resume: Any | None, target: Target) -> None:
    """Raise `InvalidArgumentError` for an adapter's argument ``resume`` that names no run, or beside an open run."""
    if resume is None:
        return
    if isinstance(target, ActiveRun):
        raise InvalidArgumentError(
            "resume was given with an open run: leave it out, and pass the run that resume_run returns"
        )
    is_named = isinstance(resume, (str, uuid.UUID)) or hasattr(resume, "uid") or index_of(resume) is not None
    if not is_named or resume == "":
        raise InvalidArgumentError(
            f"resume {resume!r} is no run: pass a handle, a record, a uid, an id, or a name that one run has"
        )
