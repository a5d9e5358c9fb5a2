"""The callbacks of Keras that stand in the same list: which checkpoint they wrote or restored, why they stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

CLOCKS_DIFFER = 2.0  # seconds that a file system's clock may be behind


def neighbours_in(arguments: Mapping[str, Any]) -> list[Any]:
    """The callbacks that fit() was called with."""
    given = arguments.get("callbacks")
    found = given.callbacks if isinstance(given, keras.callbacks.CallbackList) else keras.tree.flatten(given or [])
    return list(found)


def backup_of(neighbours: list[Any]) -> Path | None:
    """The folder of a BackupAndRestore, from which an interrupted fit goes on by itself."""
    for callback in neighbours:
        if isinstance(callback, keras.callbacks.BackupAndRestore) and "://" not in str(callback.backup_dir):
            return Path(callback.backup_dir)
    return None


class Checkpoints:
    """Which files the ModelCheckpoints of one fit have written."""

    def __init__(self, neighbours: list[Any]) -> None:
        self._writers = [
            callback
            for callback in neighbours
            if isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_freq == "epoch"
        ]
        self._began = time.time() - CLOCKS_DIFFER
        self._seen: dict[str, int] = {}

    def written(self, epoch: int, logs: Mapping[str, Any]) -> Iterator[str]:
        """The files that were written at the end of an epoch; they may be found a while after it.

        Args:
            epoch: Its number, from 0.
            logs: With which the epoch ended; they may be part of the file's name.
        """
        for writer in self._writers:
            path = os.path.abspath(writer.filepath.format(epoch=epoch + 1, **logs))
            if not os.path.exists(path):
                continue
            changed = os.stat(path).st_mtime_ns
            if changed != self._seen.get(path) and changed / 1e9 >= self._began:  # an older one is of another fit
                self._seen[path] = changed
                yield path


def early_stop_of(neighbours: list[Any]) -> dict[str, Any] | None:
    """What an EarlyStopping says, if it ended the fit."""
    for callback in neighbours:
        if isinstance(callback, keras.callbacks.EarlyStopping) and callback.stopped_epoch > 0:
            return {"monitor": callback.monitor, "best": callback.best, "best_epoch": callback.best_epoch + 1}
    return None
