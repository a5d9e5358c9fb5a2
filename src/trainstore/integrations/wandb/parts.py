"""W&B's submodules, as far as scripts and libraries import them: ``wandb.util``, ``wandb.sdk.wandb_run``, ….

They hold nothing of their own: each names what this package has. One that is missing is told in one line, whether it is
imported or only looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

HERE = "trainstore.integrations.wandb"

_MEDIA = """
    Audio Bokeh Classes EvalTable Graph Histogram Html Image JoinedTable Media Molecule Object3D Plotly Table Video
    WBValue box3d
    """
_ERRORS = "AuthenticationError CommError Error UnsupportedError UsageError"

#: Submodule → the names in it, which are taken from this package or from ``elsewhere``.
NAMES: Mapping[str, str] = {
    "data_types": _MEDIA,
    "errors": _ERRORS,
    "errors.errors": _ERRORS,
    "errors.term": "termerror termlog termwarn",
    "gym": "monitor",
    "helper": "parse_config",
    "integration": "",
    "integration.gym": "monitor",
    "sdk": "AlertLevel Artifact Config Settings Summary finish init login require setup teardown",
    "sdk.artifacts": "",
    "sdk.artifacts.artifact": "Artifact",
    "sdk.data_types": "",
    "sdk.data_types.audio": "Audio",
    "sdk.data_types.base_types": "",
    "sdk.data_types.base_types.media": "Media",
    "sdk.data_types.base_types.wb_value": "WBValue",
    "sdk.data_types.histogram": "Histogram",
    "sdk.data_types.html": "Html",
    "sdk.data_types.image": "Image",
    "sdk.data_types.object_3d": "Object3D",
    "sdk.data_types.plotly": "Plotly",
    "sdk.data_types.table": "JoinedTable Table",
    "sdk.data_types.video": "Video",
    "sdk.lib": "RunDisabled SummaryDisabled",
    "sdk.lib.config_util": "ConfigError",
    "sdk.lib.disabled": "RunDisabled SummaryDisabled",
    "sdk.lib.runid": "generate_id",
    "sdk.wandb_alerts": "AlertLevel",
    "sdk.wandb_config": "Config",
    "sdk.wandb_init": "init",
    "sdk.wandb_login": "login",
    "sdk.wandb_run": "Run finish",
    "sdk.wandb_settings": "Settings",
    "sdk.wandb_setup": "setup teardown",
    "sdk.wandb_summary": "Summary",
    "util": "generate_id get_module json_dumps_safer make_artifact_name_safe mkdir_exists_ok",
    "wandb_run": "Run",
}
#: Submodule → the module of this package that is it.
MODULES: Mapping[str, str] = {
    "plot": "plot",
    "tensorboard": "tensorboard",
    "integration.tensorboard": "tensorboard",
    **{library: f"callbacks.{library}" for library in ("keras", "lightgbm", "xgboost")},
    **{f"integration.{library}": f"callbacks.{library}" for library in ("keras", "lightgbm", "xgboost")},
}

#: Other names of parts.
_ALIASES = {"wandb_lib": "sdk.lib", "wandb_sdk": "sdk"}

_made: dict[str, Part] = {}


class Part(ModuleType):
    """A submodule of W&B's."""

    def __getattr__(self, name: str) -> Any:
        path = f"{self.__name__.partition('.')[2]}.{name}"
        if not is_part(path):
            raise AttributeError(missing(f"wandb.{path}"), name=name)
        return part(path)


def is_part(path: str) -> bool:
    """Whether there is a submodule of this name, after ``wandb.``."""
    return path in NAMES or path in MODULES or path in _ALIASES


def part(path: str) -> Part:
    """A submodule, always the same one.

    Args:
        path: Its name after ``wandb.``; `is_part` says whether there is one.

    Raises:
        ModuleNotFoundError: The library that it is for is not installed.
    """
    path = _ALIASES.get(path, path)
    if path not in _made:
        made = Part(f"wandb.{path}", f"W&B's wandb.{path}, as far as it is here: see {HERE}.")
        if path in MODULES:
            module = import_module(f"{HERE}.{MODULES[path]}")
            found = {name: getattr(module, name) for name in module.__all__}
        else:
            found = {name: _named(name) for name in NAMES[path].split()}
        vars(made).update(found)
        _made[path] = made
    return _made[path]


def missing(name: str) -> str:
    """What is said of a name of W&B's that is not here."""
    return f"{name} is not in {HERE}, which stands in for W&B's package here; record with wandb.log, or do without it"


def _named(name: str) -> Any:
    elsewhere = import_module(f"{HERE}.elsewhere")
    return getattr(elsewhere, name) if hasattr(elsewhere, name) else getattr(import_module(HERE), name)
