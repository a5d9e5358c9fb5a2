"""What W&B has in submodules only: see ``parts``."""

from __future__ import annotations

import json
import os
import re
import secrets
import string
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from trainstore.integrations.wandb.configs import read_config
from trainstore.integrations.wandb.errors import Error, UsageError
from trainstore.integrations.wandb.media import Media
from trainstore.integrations.wandb.names import warn_once
from trainstore.integrations.wandb.settings import LEFT_OUT
from trainstore.values import canonical

__all__ = ["Media", "WBValue"]

WBValue = Media


class ConfigError(UsageError):
    """``wandb.sdk.lib.config_util.ConfigError``: never raised, as a value of the configuration may be changed."""


class UnsupportedError(Error):
    """``wandb.errors.UnsupportedError``: never raised."""


class RunDisabled:
    """``wandb.sdk.lib.RunDisabled``: never made, as a run that is not recorded is a ``Run``, too."""


class SummaryDisabled:
    """``wandb.sdk.lib.SummaryDisabled``: never made."""


def monitor(*args: Any, **others: Any) -> None:
    """``wandb.gym.monitor``: videos are not recorded, which is told once."""
    warn_once("wandb.gym.monitor: %s", LEFT_OUT["monitor_gym"])


def parse_config(
    params: Any, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None
) -> dict[str, Any]:
    """A configuration as a dict.

    Args:
        params: As for ``wandb.init(config=…)``.
        exclude, include: Names that are left out, or the only ones that are taken.
    """
    return read_config(params, exclude, include)


def generate_id(length: int = 8) -> str:
    """A new id of a run, of lower-case letters and digits.

    Args:
        length: Of how many.
    """
    # Not from the generator that a script has seeded: that would change its numbers, and repeat the id.
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def json_dumps_safer(obj: Any, **options: Any) -> str:
    """JSON of anything.

    Args:
        obj: What JSON cannot hold is written as its ``repr``.
        **options: As for ``json.dumps``.
    """
    return json.dumps(canonical(obj), **options)


def make_artifact_name_safe(name: str) -> str:
    """A name for an artifact.

    Args:
        name: Characters that W&B refuses become underscores; a long one is shortened in the middle.
    """
    safe = re.sub(r"[^A-Za-z0-9_\-.]", "_", name)
    return safe if len(safe) <= 128 else f"{safe[:63]}..{safe[-63:]}"


def mkdir_exists_ok(path: str | os.PathLike[str]) -> None:
    """Make a folder, unless it is there.

    Args:
        path: Of the folder.
    """
    os.makedirs(path, exist_ok=True)


def get_module(name: str, required: str | bool | None = None, lazy: bool = True) -> Any:
    """A module, or None if it cannot be imported.

    Args:
        name: Of the module.
        required: A text with which the error is raised instead.
        lazy: Not needed here.

    Raises:
        Error: It is required, and is not there.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if required:
            raise Error(required if isinstance(required, str) else str(error)) from error
        return None
