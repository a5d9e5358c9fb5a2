"""What is recorded into: a run that is open, a store, or the path or URL of one."""

from __future__ import annotations

import dataclasses
import os

from sqlalchemy import URL

from trainstore.backends import absolute_target, open_backend
from trainstore.defaults import default_store
from trainstore.errors import (
    InvalidArgumentError,
    NetworkFileSystemError,
    NotADatabaseError,
    PermissionDeniedError,
    ReadOnlyStoreError,
    RunNotFoundError,
    RunNotUniqueError,
    SchemaError,
    StoreClosedError,
    StoreURLError,
    TrainStoreError,
)
from trainstore.pickling import StoreAddress
from trainstore.run import ActiveRun
from trainstore.store import TrainStore

StoreTarget = TrainStore | StoreAddress | str | os.PathLike[str] | URL | None
Target = ActiveRun | StoreTarget
STORE_TYPES = (TrainStore, StoreAddress, str, os.PathLike, URL, type(None))

# What the user can fix before a training starts. Any other error is ours, and does not stop the training.
USER_ERRORS = (
    InvalidArgumentError,
    StoreURLError,
    SchemaError,
    NotADatabaseError,
    NetworkFileSystemError,
    StoreClosedError,
    ReadOnlyStoreError,
    PermissionDeniedError,
    RunNotFoundError,
    RunNotUniqueError,
)


def is_for_the_user(error: Exception, *, store_is_open: bool) -> bool:
    """Whether the user should fix this now, and not notice it after days of training: also if the store cannot open."""
    return isinstance(error, USER_ERRORS) or (not store_is_open and isinstance(error, TrainStoreError))


def open_store(target: StoreTarget, folder: str) -> TrainStore:
    """The store itself if one was given, else one that is opened here, even while its database is away.

    Args:
        target: The store. None: the one that is meant if nobody names one.
        folder: Where a relative path starts, whatever ``chdir`` followed.
    """
    if isinstance(target, TrainStore):
        return target
    if isinstance(target, StoreAddress):
        opened: TrainStore = target.open(offline_ok=True)
        return opened
    return TrainStore(absolute_target(default_store() if target is None else target, folder), offline_ok=True)


def pickled_store(target: StoreTarget) -> StoreTarget:
    """What a pickle carries of it: an address without a password."""
    if isinstance(target, TrainStore):
        # A store in memory stays here: what is unpickled records into an in-memory store of its own.
        return dataclasses.replace(target._address, in_memory=False)
    if target is None or isinstance(target, StoreAddress) or "://" not in str(target):
        return target
    return StoreAddress(TrainStore, open_backend(target).safe_url, {}, in_memory=False)
