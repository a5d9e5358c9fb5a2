"""``wandb.Settings``, and what the environment says: ``WANDB_PROJECT`` and its like. No key, no file is read."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from trainstore.integrations.wandb.errors import UsageError
from trainstore.values import MAX_STEP

MODES = ("online", "offline", "shared", "disabled", "run", "dryrun")
RESUMES = ("allow", "must", "never", "auto")
REINITS = ("default", "return_previous", "finish_previous", "create_new")

# Arguments of W&B's init that are left out, and what is said then.
LEFT_OUT = {
    "save_code": "no files are kept; the run has the Git commit and the command",
    "monitor_gym": "videos are not recorded",
    "magic": "only what is logged is recorded",
}


class Settings:
    """Settings by name. Those of `KNOWN` are heard; all others of W&B's are kept as attributes and mean nothing.

    Args:
        **settings: By W&B's names.
    """

    entity: str | None = None
    project: str | None = None
    mode: str | None = None
    run_id: str | None = None
    run_name: str | None = None
    run_notes: str | None = None
    run_tags: dict[str, Any] | None = None
    run_group: str | None = None
    run_job_type: str | None = None
    resume: str | None = None
    resume_from: Moment | None = None
    fork_from: Moment | None = None
    reinit: str | None = None
    root_dir: str | None = None
    sweep_id: str | None = None

    def __init__(self, **settings: Any) -> None:
        self.__dict__.update(settings)
        self.__dict__.pop("api_key", None)  # nobody needs it here, and it must not be shown

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None  # one of W&B's, which nobody set

    def __repr__(self) -> str:
        heard = {name: value for name, value in vars(self).items() if name in Settings.__annotations__}
        return f"<wandb.Settings {heard}>"

    def copy(self) -> Settings:
        """The same, to be changed."""
        return Settings(**vars(self))


@dataclasses.dataclass(frozen=True)
class Moment:
    """A run and its last step that counts: ``id?_step=20``."""

    run: str
    step: int

    @classmethod
    def of(cls, argument: str, value: object) -> Moment:
        """What ``resume_from`` or ``fork_from`` names. Raises `UsageError`."""
        if isinstance(value, Moment):
            return value
        run, _, query = str(value).partition("?")
        found = parse_qs(query)
        (step,) = found.get("_step", [""])[-1:]
        try:
            number = int(float(step))
        except (ValueError, OverflowError):
            number = -1
        if not run or list(found) != ["_step"] or not 0 <= number <= MAX_STEP:
            raise UsageError(f"{argument} {value!r} names no run and step: pass '<id>?_step=<number>'")
        return cls(run, number)


def settled(given: Settings | Mapping[str, Any] | None, arguments: Mapping[str, Any]) -> Settings:
    """What holds for a run: ``init``'s arguments, else its settings, else the environment.

    Args:
        given: The argument ``settings``.
        arguments: The other arguments, by the names of their settings.

    Raises:
        UsageError: A value that cannot be used.
    """
    settings = given.copy() if isinstance(given, Settings) else Settings(**(given or {}))
    values = vars(settings)
    values.update({name: value for name, value in arguments.items() if value is not None})
    for name, variable in _VARIABLES.items():
        if values.get(name) is None and os.environ.get(variable):
            values[name] = os.environ[variable]
    for name, check in _CHECKS.items():
        if values.get(name) is not None:
            values[name] = check(name, values[name])
    ways = [name for name in ("resume", "resume_from", "fork_from") if values.get(name) is not None]
    if len(ways) > 1:
        raise UsageError(f"{' and '.join(ways)} exclude each other: pass one")
    if settings.resume == "must" and settings.run_id is None:
        raise UsageError(f"resume={settings.resume!r} needs the id of a run: pass id=…, or set WANDB_RUN_ID")
    return settings


# --- The values ------------------------------------------------------------------------------------------------------

_VARIABLES = {
    "mode": "WANDB_MODE",
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "run_name": "WANDB_NAME",
    "run_notes": "WANDB_NOTES",
    "run_tags": "WANDB_TAGS",
    "run_id": "WANDB_RUN_ID",
    "resume": "WANDB_RESUME",
    "run_group": "WANDB_RUN_GROUP",
    "run_job_type": "WANDB_JOB_TYPE",
    "root_dir": "WANDB_DIR",
    "sweep_id": "WANDB_SWEEP_ID",
}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, (str, int, float, os.PathLike)) or isinstance(value, bool):
        raise UsageError(f"{name} {value!r} is not a text")
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _tags(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(tag): item for tag, item in value.items()}
    if isinstance(value, str):
        value = filter(None, map(str.strip, value.split(",")))
    elif not isinstance(value, (Sequence, set, frozenset)):
        raise UsageError(f"tags {value!r} are not a list of texts, nor a mapping")
    return dict.fromkeys(map(str, value), True)


def _one_of(choices: Sequence[str], by_bool: Mapping[bool, str | None]) -> Callable[[str, Any], str | None]:
    def check(name: str, value: Any) -> str | None:
        if isinstance(value, bool) and value in by_bool:
            return by_bool[value]
        if value not in choices:
            raise UsageError(f"{name} {value!r} is not one of {', '.join(map(repr, choices))}")
        return str(value)

    return check


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(
        ("project", "entity", "run_name", "run_notes", "run_id", "run_group", "run_job_type", "root_dir", "sweep_id"),
        _text,
    ),
    "run_tags": _tags,
    "mode": _one_of(MODES, {}),
    "resume": _one_of(RESUMES, {True: "auto", False: None}),
    "reinit": _one_of(REINITS, {True: "finish_previous", False: "return_previous"}),
    "resume_from": Moment.of,
    "fork_from": Moment.of,
}
