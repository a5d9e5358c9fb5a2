"""What a run is called: its id, name, project, tags and notes, and where W&B would keep and show it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainstore.integrations.recording import Recording
from trainstore.integrations.wandb.configs import Config
from trainstore.integrations.wandb.names import warn_once
from trainstore.integrations.wandb.settings import Settings
from trainstore.run import ActiveRun

RENAME_TIMEOUT = 2.0  # seconds


class Labels:
    """A base class of `Run`, which provides what the names are of."""

    settings: Settings
    active: ActiveRun | None
    config: Config
    _recording: Recording | None
    _name: str | None
    _notes: str | None
    _tags: tuple[str, ...]
    _folder: str | None

    @property
    def id(self) -> str:
        """W&B's id: the one given to ``init``, else the run's uid. Both resume it."""
        return self.settings.run_id or (self.active.uid if self.active is not None else "disabled")

    @property
    def name(self) -> str:
        """The run's label; may be set."""
        return self._name or (self.active.name if self.active is not None else "disabled")

    @name.setter
    def name(self, name: str) -> None:
        self._name = str(name)
        recording, active = self._recording, self.active
        if recording is None or active is None:
            return
        if recording.is_given:
            warn_once("wandb.run.name: the open run that init was given keeps its name; store.rename_run changes it")
            return
        with recording.guard("the run's new name"):
            active.flush(RENAME_TIMEOUT)
            recording.store.rename_run(active, str(name))

    @property
    def notes(self) -> str | None:
        """Free text; may be set."""
        return self._notes

    @notes.setter
    def notes(self, notes: str) -> None:
        self._notes = str(notes)
        if self.active is not None:
            self.active.set_notes(self._notes)

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of the tags; may be set, which adds those that are new."""
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self._tags = (tags,) if isinstance(tags, str) else tuple(map(str, tags))
        if self.active is not None:
            self.active.set_tags(self._tags)

    @property
    def project(self) -> str:
        """The run's project."""
        return self.active.project if self.active is not None else self.settings.project or ""

    @property
    def entity(self) -> str:
        """What was given, or nothing: there are no accounts."""
        return self.settings.entity or ""

    @property
    def group(self) -> str:
        """The tag ``group``."""
        return self.settings.run_group or ""

    @property
    def job_type(self) -> str:
        """The tag ``job_type``."""
        return self.settings.run_job_type or ""

    @property
    def sweep_id(self) -> str | None:
        """The tag ``sweep``."""
        return self.settings.sweep_id

    @property
    def path(self) -> str:
        """Entity, project and id."""
        return "/".join(filter(None, (self.entity, self.project, self.id)))

    @property
    def dir(self) -> str:
        """A folder for the script's files, made when it is asked for: ``wandb/files-<id>``. Nothing reads it."""
        if self._folder is None:
            folder = Path(self.settings.root_dir or ".") / "wandb" / f"files-{self.id}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                folder = Path(tempfile.mkdtemp(prefix="wandb-files-"))
            self._folder = str(folder.absolute())
        return self._folder

    sync_dir = dir

    @property
    def disabled(self) -> bool:
        """Whether nothing is recorded."""
        return self.active is None

    @property
    def offline(self) -> bool:
        """True: nothing is sent to W&B."""
        return True

    @property
    def mode(self) -> str:
        """``offline`` or ``disabled``."""
        return "disabled" if self.active is None else "offline"

    @property
    def url(self) -> None:
        """None: there is no page on a server of W&B's; ``trainstore ui`` shows the run."""
        return None

    project_url = sweep_url = url

    def get_url(self) -> None:
        """None, as `url`."""

    get_project_url = get_sweep_url = get_url

    def project_name(self) -> str:
        """The project."""
        return self.project

    @property
    def config_static(self) -> dict[str, Any]:
        """A copy of the configuration."""
        return self.config.as_dict()

    def display(self, *args: Any, **others: Any) -> bool:
        """False: there is no page to show."""
        return False

    def to_html(self, *args: Any, **others: Any) -> str:
        """The run as a table."""
        return "" if self.active is None else self.active._repr_html_()

    _repr_html_ = to_html
