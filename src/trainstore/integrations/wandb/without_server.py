"""What W&B has for its server, its service and its terminal: nothing of that is needed here."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from trainstore.integrations.wandb import sessions
from trainstore.integrations.wandb.names import HINTS
from trainstore.integrations.wandb.settings import Settings

logger = logging.getLogger("trainstore")


def login(*args: Any, **kwargs: Any) -> bool:
    """True: there is nobody to log in to. A key that is given is not kept."""
    return True


def setup(settings: Settings | None = None) -> None:
    """Nothing has to be set up."""


def teardown(exit_code: int | None = None) -> None:
    """Finish all open runs.

    Args:
        exit_code: As for `Run.finish`.
    """
    for one in sessions.open_runs():
        one.finish(exit_code)


def ensure_configured() -> None:
    """Nothing has to be configured."""


class _Server:
    """``wandb.api``: scripts ask it whether somebody is logged in."""

    api_key = "not needed"
    default_entity = ""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"trainstore has no wandb.api.{name}: {HINTS['api']}", name=name)


api = _Server()


def require(*args: Any, **kwargs: Any) -> None:
    """Nothing has to be switched on."""


def termlog(string: str = "", *args: Any, **kwargs: Any) -> None:
    """Log a line through the logger ``trainstore``.

    Args:
        string: The line.
        *args, **kwargs: Not needed here.
    """
    logger.info("%s", string)


def termwarn(string: str, *args: Any, **kwargs: Any) -> None:
    """As `termlog`, a warning."""
    logger.warning("%s", string)


def termerror(string: str, *args: Any, **kwargs: Any) -> None:
    """As `termlog`, an error."""
    logger.error("%s", string)
