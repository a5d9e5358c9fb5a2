"""The methods of a run that concern neither a step nor a file: alerts, the model, and what only W&B needs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from datetime import timedelta
from enum import Enum
from typing import Any

from trainstore.integrations.parameters import count_parameters
from trainstore.integrations.wandb.names import warn_once
from trainstore.run import ALERT_LEVELS, ActiveRun

ALERT_PAUSE = 60.0  # seconds between two alerts of one title, as in W&B


class AlertLevel(Enum):
    """``wandb.AlertLevel``."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Extras:
    """A base class of `Run`, which provides what is declared here."""

    active: ActiveRun | None
    _alerted: dict[str, float]  # title → when

    @property
    def _last_step(self) -> int:
        raise NotImplementedError

    def _event(self, kind: str, details: dict[str, Any]) -> None:
        raise NotImplementedError

    def _report(self, what: str, error: Exception) -> None:
        raise NotImplementedError

    def alert(
        self,
        title: str,
        text: str = "",
        level: str | AlertLevel | None = None,
        wait_duration: float | timedelta | None = None,
    ) -> None:
        """Record an alert.

        Args:
            title, text: What is the matter.
            level: INFO, WARN or ERROR.
            wait_duration: Seconds in which an alert of the same title is not repeated; 60 if it is left out.
        """
        try:
            self._alert(title, text, level.value if isinstance(level, AlertLevel) else level or "INFO", wait_duration)
        except Exception as error:  # noqa: BLE001 - no error of ours may reach a training
            self._report("an alert", error)

    def _alert(self, title: str, text: str, level: str, wait_duration: float | timedelta | None) -> None:
        known = str(level).lower()
        if known not in (*ALERT_LEVELS, "warning"):
            warn_once(f"alert: level {level!r} is not one of INFO, WARN, ERROR; INFO is recorded")
            known = "info"
        seconds = wait_duration.total_seconds() if isinstance(wait_duration, timedelta) else wait_duration
        seconds = float(seconds) if isinstance(seconds, (int, float)) else ALERT_PAUSE
        now, title = time.monotonic(), str(title)
        if self.active is not None and now - self._alerted.get(title, -math.inf) >= seconds:
            self._alerted[title] = now
            self.active.alert(title, text, known, step=max(self._last_step, 0))

    def watch(
        self, models: Any, criterion: Any = None, log: str | None = "gradients", *args: Any, **others: Any
    ) -> None:
        """Record the class and the number of parameters of a model. Gradients are not recorded.

        Args:
            models: A model, or several.
            criterion, log: As in W&B; not needed here.
            *args: Not needed here.
            **others: Likewise.
        """
        if log in ("gradients", "parameters", "all"):
            warn_once(
                f"watch: log={log!r} records no histograms here; log what you need, such as the norm of the gradients"
            )
        try:
            models = models if isinstance(models, (list, tuple)) else [models]
            facts = {
                "model_class": ", ".join(type(model).__name__ for model in models),
                "num_parameters": sum(map(count_parameters, models)),
            }
            if self.active is not None:
                self.active.log_hyperparams(facts, "mth")
        except Exception as error:  # noqa: BLE001 - any object may have been given
            self._report("the model", error)

    def unwatch(self, models: Any = None) -> None:
        """Nothing is watched."""

    def mark_preempting(self) -> None:
        """Record that the machine is about to be taken away: an event of kind ``preempting``."""
        self._event("preempting", {})

    def pin_config_keys(self, keys: Iterable[str] = ()) -> None:
        """Nothing to pin here."""

    def write_logs(self, text: str) -> None:
        """Lines of the console are not recorded."""

    def status(self) -> None:
        """None: nothing has to be synchronised."""

    def _label(self, *args: Any, **others: Any) -> None:
        """Libraries call this to say that they use W&B."""
