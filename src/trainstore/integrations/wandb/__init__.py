"""Records what a script says through W&B's API.

::

    from trainstore.integrations import wandb

    wandb.init(project="cats", config={"lr": 0.1})
    wandb.log({"loss": 0.5})
    wandb.finish()

Nothing is sent, and neither an account nor the package ``wandb`` is needed. ``init(store=…)`` names the store, else
``TRAINSTORE_URL``, else ``trainstore.db``. Numbers and text are metrics, the rows of a `Table` are samples, media and
artifacts are events. A public name of W&B's that is missing here warns once and does nothing while a run is recorded;
before that it is an AttributeError that says what to use.

Inside::

    beginning.py   init: which run begins; settings.py: its arguments and the environment; sessions.py: the open runs
    runs.py        the run; labels.py: what it is called; extras.py: alerts, the model; steps.py: at which steps its
                   values are kept; contents.py: what becomes of each
    configs.py, summaries.py   both as attributes and items
    media.py, tables.py, plot.py, artifacts.py, files.py   what is not a number; tensorboard.py: what is written for it
    names.py       W&B's names that are missing here; parts.py, elsewhere.py, callbacks: its submodules
    without_server.py  login, setup, require and what else needs nothing here
    launching.py   python -m trainstore.integrations.wandb; standing_in.py, instead: what `import wandb` finds then
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from trainstore.integrations.targets import Target
from trainstore.integrations.wandb import beginning, parts, plot, sessions
from trainstore.integrations.wandb.artifacts import Artifact
from trainstore.integrations.wandb.configs import Config
from trainstore.integrations.wandb.errors import AuthenticationError, CommError, Error, UsageError
from trainstore.integrations.wandb.extras import AlertLevel
from trainstore.integrations.wandb.media import (
    Audio,
    Bokeh,
    Classes,
    Graph,
    Histogram,
    Html,
    Image,
    Media,
    Molecule,
    Object3D,
    Plotly,
    Video,
    box3d,
)
from trainstore.integrations.wandb.names import MODULE_NAMES, missing
from trainstore.integrations.wandb.plot import plot_table, visualize
from trainstore.integrations.wandb.runs import Run
from trainstore.integrations.wandb.settings import Settings
from trainstore.integrations.wandb.steps import Metric
from trainstore.integrations.wandb.summaries import Summary
from trainstore.integrations.wandb.tables import EvalTable, JoinedTable, Table
from trainstore.integrations.wandb.without_server import (
    api,
    ensure_configured,
    login,
    require,
    setup,
    teardown,
    termerror,
    termlog,
    termwarn,
)

__version__ = "0.31.0"  # of W&B, whose words these are

run: Run | None  # the run that is recorded, by __getattr__ below
config: Config
summary: Summary


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: Any = None,
    id: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    tags: Sequence[str] | Mapping[str, Any] | None = None,
    config: Any = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    *,
    store: Target = None,
    settings: Settings | Mapping[str, Any] | None = None,
    **others: Any,
) -> Run:
    """Begin a run, or resume one.

    Args:
        entity: Kept as a tag: there are no accounts.
        project, name, notes: As for `TrainStore.start_run`; else ``WANDB_PROJECT``, ``WANDB_NAME``, ``WANDB_NOTES``.
        dir: Where `Run.dir` is made.
        id: Names the run, so that it can be resumed.
        tags: Names, or a mapping of names to values; ``group=`` and ``job_type=`` are tags with a value.
        config: Hyperparameters: a mapping, a configuration, or the path of a YAML file.
        config_exclude_keys, config_include_keys: Those of them that are left out, or the only ones that are kept.
        store: Where to: an open store, the path or URL of one, or an open run. None: ``TRAINSTORE_URL``, else
            ``trainstore.db``.
        settings: More arguments, by the names of W&B's settings.
        **others: ``resume``: "allow" continues the run of this id after its last step, "must" raises if there is
            none, "never" if there is one. Without it, a run of this id begins again; what it had is kept, and not
            shown. ``resume_from="id?_step=20"`` goes on after that step, ``fork_from`` begins a new run from there.
            ``reinit``: what happens if a run is open: "return_previous" (the default, but for notebooks),
            "finish_previous", "create_new". ``mode``: "disabled" records nothing; all others are the same.
            Arguments of W&B's that mean nothing here cause one warning.

    Raises:
        UsageError: An argument that cannot be used; no run to resume.
        TrainStoreError: The store cannot be opened.
    """
    globals().pop("config", None)  # `wandb.config = {…}` before init, to be passed here
    given = {"entity": entity, "project": project, "dir": dir, "id": id, "name": name, "notes": notes, "tags": tags}
    arguments = {key: value for key, value in (given | others).items() if value is not None}
    return beginning.begin(store, config, config_exclude_keys, config_include_keys, settings, arguments)


# --- What is said to the current run ---------------------------------------------------------------------------------


def log(data: Mapping[str, Any], step: int | None = None, commit: bool | None = None, **others: Any) -> None:
    """`Run.log` of the current run; after its end still of that one.

    Args:
        data, step, commit, **others: As for `Run.log`.

    Raises:
        Error: No run was begun.
    """
    (sessions.latest() or _no_run("log")).log(data, step, commit, **others)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """`Run.finish` of the current run; without one nothing happens.

    Args:
        exit_code, quiet: As for `Run.finish`.
    """
    current = sessions.current()
    if current is not None:
        current.finish(exit_code)


join = finish


def _of_run(name: str) -> Any:
    """A function that calls this method of the current run."""

    def method(*args: Any, **kwargs: Any) -> Any:
        return getattr(sessions.latest() or _no_run(name), name)(*args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`Run.{name}` of the current run.\n\n{getattr(Run, name).__doc__}"
    return method


def _no_run(name: str) -> NoReturn:
    raise Error(f"wandb.{name}: no run is being recorded; call wandb.init() first")


define_metric = _of_run("define_metric")
alert = _of_run("alert")
watch = _of_run("watch")
unwatch = _of_run("unwatch")
save = _of_run("save")
log_artifact = _of_run("log_artifact")
use_artifact = _of_run("use_artifact")
log_model = _of_run("log_model")
link_model = _of_run("link_model")
mark_preempting = _of_run("mark_preempting")
pin_config_keys = _of_run("pin_config_keys")


_attach = beginning.attach


# --- Names that change, and names that are missing -------------------------------------------------------------------


class _BeforeInit:
    """``wandb.config`` and ``wandb.summary`` while no run is recorded."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        _no_run(self._name)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        self._refuse()

    __setattr__ = __getitem__ = __setitem__ = __iter__ = __contains__ = _refuse


def __getattr__(name: str) -> Any:
    if name == "run":
        return sessions.current()
    latest = sessions.latest()
    if name in ("config", "summary"):
        return getattr(latest, name) if latest is not None else _BeforeInit(name)
    if name.startswith("_"):
        raise AttributeError(name)
    if parts.is_part(name):
        try:
            return parts.part(name)
        except ImportError as error:  # of the library that it is for
            raise AttributeError(str(error), name=name) from error
    return missing(name, known=MODULE_NAMES, is_recording=sessions.current() is not None, owner="wandb")


class _Words(ModuleType):
    """This module: ``wandb.config = {…}`` sets hyperparameters while a run is recorded."""

    def __setattr__(self, name: str, value: Any) -> None:
        current = sessions.current()
        if name == "config" and current is not None:
            current.config.update(value)
        else:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Words

__all__ = [
    "AlertLevel",
    "Artifact",
    "Audio",
    "AuthenticationError",
    "Bokeh",
    "Classes",
    "CommError",
    "Config",
    "Error",
    "EvalTable",
    "Graph",
    "Histogram",
    "Html",
    "Image",
    "JoinedTable",
    "Media",
    "Metric",
    "Molecule",
    "Object3D",
    "Plotly",
    "Run",
    "Settings",
    "Table",
    "UsageError",
    "Video",
    "alert",
    "api",
    "box3d",
    "define_metric",
    "ensure_configured",
    "finish",
    "init",
    "link_model",
    "log",
    "log_artifact",
    "log_model",
    "login",
    "mark_preempting",
    "pin_config_keys",
    "plot",
    "plot_table",
    "require",
    "save",
    "setup",
    "teardown",
    "termerror",
    "termlog",
    "termwarn",
    "unwatch",
    "use_artifact",
    "visualize",
    "watch",
]
