"""The methods of a run that concern files: each becomes an event; the files stay where they are."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from typing import Any

from trainstore.integrations.wandb import artifacts
from trainstore.integrations.wandb.artifacts import Artifact
from trainstore.integrations.wandb.names import warn_once


class FileMethods:
    """A base class of `Run`, which provides ``_event``."""

    def _event(self, kind: str, details: dict[str, Any]) -> None:
        raise NotImplementedError

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        **others: Any,
    ) -> Artifact:
        """Record that there is an artifact: an event of kind ``artifact``.

        Args:
            artifact_or_path: An `Artifact`, or the path of a file or folder.
            name, type, aliases, tags: About it.
            **others: What W&B takes besides: not needed here.
        """
        try:
            artifact = artifacts.logged(artifact_or_path, name, type, aliases)
        except (TypeError, ValueError, OSError) as error:
            warn_once(f"log_artifact: {artifact_or_path.__class__.__name__} is not recorded: {error}")
            return Artifact(name or "", type or "unspecified")
        self._event("artifact", artifact.details(aliases=artifact.aliases, tags=list(tags or artifact.tags)))
        return artifact

    finish_artifact = upsert_artifact = log_artifact

    def use_artifact(self, artifact_or_name: Any, type: str | None = None, **others: Any) -> Artifact:
        """Record that an artifact is used: an event of kind ``artifact`` with ``used``. It cannot be downloaded.

        Args:
            artifact_or_name: It, or its name.
            type: About it.
            **others: What W&B takes besides: not needed here.
        """
        artifact = artifacts.named(artifact_or_name, type)
        self._event("artifact", artifact.details(used=True))
        return artifact

    def link_artifact(
        self, artifact: Any, target_path: str, aliases: Sequence[str] | None = None, **others: Any
    ) -> Artifact:
        """Record that an artifact is linked: an event of kind ``artifact`` with ``linked``.

        Args:
            artifact: It.
            target_path: Where W&B would link it.
            aliases: About it.
            **others: What W&B takes besides: not needed here.
        """
        linked = artifacts.named(artifact, None)
        self._event("artifact", linked.details(linked=target_path, aliases=list(aliases or ())))
        return linked

    def log_model(
        self, path: Any, name: str | None = None, aliases: Sequence[str] | None = None, **others: Any
    ) -> Artifact:
        """Record that a model was saved: an event of kind ``artifact`` and type ``model``.

        Args:
            path: Where it is.
            name, aliases: About it.
            **others: What W&B takes besides: not needed here.
        """
        return self.log_artifact(path, name, "model", aliases)

    def link_model(
        self,
        path: Any,
        registered_model_name: str,
        name: str | None = None,
        aliases: Sequence[str] | None = None,
        **others: Any,
    ) -> Artifact:
        """As `log_model`, with ``linked``.

        Args:
            path: Where it is.
            registered_model_name: What W&B would call it.
            name, aliases: About it.
            **others: What W&B takes besides: not needed here.
        """
        return self.link_artifact(artifacts.logged(path, name, "model", aliases), registered_model_name, aliases)

    def log_code(self, root: str | None = ".", name: str | None = None, *args: Any, **others: Any) -> None:
        """Not recorded: the run has the Git commit and the command.

        Args:
            root, name: As in W&B.
            *args: Not needed here.
            **others: Likewise.
        """
        warn_once("log_code: trainstore keeps no files; the run has the Git commit and the command")

    def save(
        self, glob_str: Any = None, base_path: Any = None, policy: str = "live", glob: bool = True, **others: Any
    ) -> list[str]:
        """Record which files a script saves: an event of kind ``file`` with their paths.

        Args:
            glob_str: A path or a pattern.
            base_path, policy: As in W&B; not needed here.
            glob: Whether ``glob_str`` is a pattern.
            **others: What W&B takes besides: not needed here.

        Returns:
            The paths of the files that are there.
        """
        if glob_str is None:  # once a way to store a new run.name, which is stored anyway
            return []
        try:
            pattern = os.fspath(glob_str)
            found = _matching(pattern) if glob else [os.path.abspath(pattern)]
        except (TypeError, ValueError, OSError) as error:
            warn_once(f"save: {type(glob_str).__name__} is not a path: {error}")
            return []
        details = {"pattern": pattern, "count": len(found), "paths": found[: artifacts.MAX_PATHS]}
        self._event("file", details)
        return found


def _matching(pattern: str) -> list[str]:
    return sorted(map(os.path.abspath, glob.glob(pattern)))
