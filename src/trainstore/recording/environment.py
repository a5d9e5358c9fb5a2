"""What an attempt remembers of where it ran: git, command line, host, versions. Read once, when it is opened."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from getpass import getuser
from typing import Any

from trainstore import __version__
from trainstore.recording.journal import hostname
from trainstore.redaction import redact_arguments
from trainstore.values import plain_text, stored_text

logger = logging.getLogger("trainstore")

GIT_TIMEOUT = 2.0  # seconds
GIT_VALID = 60.0  # seconds that an answer serves later runs: asking takes longer than a short run
# Versions of these, if the process has loaded them: looking up more would take start-up time.
LIBRARIES = (
    "torch", "transformers", "accelerate", "datasets", "peft", "trl", "sentence_transformers", "setfit",
    "lightning", "pytorch_lightning", "keras", "tensorflow", "jax", "ignite", "fastai", "ray", "optuna",
    "xgboost", "lightgbm", "catboost", "sklearn", "numpy",
)  # fmt: skip


def attempt_facts() -> dict[str, Any]:
    """The columns of ``attempt`` that say where it runs; None for what cannot be found out."""
    commit, dirty = safely("the git commit", _git_now, (None, None))
    return {
        "git_commit": commit,
        "git_dirty": dirty,
        "command": safely("the command line", _command),
        "host": plain_text(hostname()),
        "versions": safely("the versions", _versions),
    }


def writer_facts() -> dict[str, Any]:
    """The columns of ``writer`` that tell which process it is."""
    return {"host": plain_text(hostname()), "username": safely("the user's name", getuser), "pid": os.getpid()}


def _git_now() -> tuple[str | None, bool | None]:
    return _git(os.getcwd(), int(time.monotonic() // GIT_VALID))


@lru_cache(maxsize=8)
def _git(_folder: str, _period: int) -> tuple[str | None, bool | None]:
    commit = _git_output("rev-parse", "HEAD")
    if commit is None:
        return None, None
    status = _git_output("status", "--porcelain", "--untracked-files=no")
    return commit, None if status is None else bool(status)


def _git_output(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ("git", *arguments),
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _command() -> str:
    return stored_text(" ".join(redact_arguments(sys.argv)), 10_000)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "trainstore": __version__}
    for name in LIBRARIES:
        module = sys.modules.get(name)
        if module is not None and isinstance(getattr(module, "__version__", None), str):
            found[name] = str(module.__version__)
    return found


def safely(what: str, function: Callable[[], Any], default: Any = None) -> Any:
    """``function()``, or ``default`` and one log message that names ``what``: for facts that may be missing."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - a missing fact is not worth stopping for
        logger.info("%s could not be read (%s)", what, type(error).__name__)
        return default
