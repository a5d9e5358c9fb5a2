"""RunRecord: one run as it stands in the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from trainstore.queries import record_display


@dataclass(frozen=True, repr=False)
class RunRecord:
    """A run as it was when it was read; later records do not change it."""

    run_id: int
    """The run's id in this database."""
    uid: str
    """The run's identity, the same in every database."""
    project: str
    name: str
    status: str
    """running, finished, failed, interrupted, pruned; or lost: running, but its writer is closed or silent for 90 s."""
    started_at: datetime
    """UTC, as every time here."""
    ended_at: datetime | None
    hyperparams: dict[str, Any]
    """Namespace ``hp``: training arguments and what the user passed."""
    metrics: dict[str, float]
    """The last value of every metric."""
    sort_metric_name: str | None = None
    """The metric by which it was chosen, if it was (``get_best_run``)."""
    sort_metric_value: float | None = None
    sort_metric_step: int | None = None
    error: str | None = None
    """Type and text of what ended it."""
    source: str = "python"
    """Which integration recorded it."""
    last_step: int | None = None
    """The highest step that is shown."""
    notes: str | None = None
    model_name: str | None = None
    parent_uid: str | None = None
    """The run whose checkpoint it started from."""
    parent_step: int | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    """Name → value; True if a tag is only a name."""
    model_hyperparams: dict[str, Any] = field(default_factory=dict)
    """Namespace ``mth``: the model."""
    data_hyperparams: dict[str, Any] = field(default_factory=dict)
    """Namespace ``dbh``: the data."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Namespace ``env``."""
    attempts: int = 1
    """Their number: 1, and one more each time it was resumed."""
    host: str | None = None
    """Where the attempt that is shown ran; its command line and code follow."""
    command: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    duration: timedelta | None = None
    """From the start to the end, breaks between attempts included; while it runs, until it was read; lost: None."""
    best_metrics: dict[str, tuple[float, int | None]] = field(default_factory=dict)
    """The best finite value and its step, of each metric whose name says what is better: a loss, an accuracy, …"""

    def __hash__(self) -> int:
        return hash(self.uid)

    def __repr__(self) -> str:
        return record_display.one_line(self)

    def __str__(self) -> str:
        return record_display.few_lines(self)

    def _repr_html_(self) -> str:
        """A short page for notebooks; the rest unfolds."""
        return record_display.html(self)
