"""The public names of W&B 0.31, and what stands in for those that are missing here.

While a run is recorded a missing name must not stop the training: it warns once and gives an object that does nothing.
At any other time it is an AttributeError that says what to use.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NoReturn

logger = logging.getLogger("trainstore")

MODULE_NAMES = frozenset(
    """
    AlertLevel Api Artifact ArtifactTTL Audio Bokeh Classes CommError Config Error EvalTable Graph Histogram Html Image
    JoinedTable Molecule Object3D PartitionedTable Plotly Run Settings Table UsageError Video agent agents alert
    analytics annotations api apis attach box3d catboost config controller data_types define_metric docker
    ensure_configured env errors finish fastai gym helper init integration integrations join jupyter keras launch
    lightgbm link_model log log_artifact log_model login mark_preempting patched pin_config_keys plot plot_table
    plots profiler proto require restore run sacred sagemaker_auth save sdk setup sklearn summary sweep sync
    teardown tensorboard tensorflow termerror termlog termsetup termwarn trigger unwatch use_artifact use_model util
    visualize wandb wandb_agent wandb_controller wandb_lib wandb_run wandb_sdk wandb_torch watch xgboost
    """.split()  # noqa: SIM905 - a list of one name a line is long to read
)
RUN_NAMES = frozenset(
    """
    alert config config_static define_metric dir disabled display entity finish finish_artifact get_project_url
    get_sweep_url get_url group id job_type join link_artifact link_model log log_artifact log_code log_model
    mark_preempting mode name notes offline path pin_config_keys plot_table project project_name project_url restore
    resumed save settings start_time starting_step status step summary sweep_id sweep_url sync_dir tags to_html unwatch
    upsert_artifact url use_artifact use_model watch write_logs
    """.split()  # noqa: SIM905 - a list of one name a line is long to read
)
ARTIFACT_NAMES = frozenset(
    """
    collection commit_hash created_at delete digest digest_algorithm distributed_id entity get_added_local_path_name
    history_step incremental is_link json_encode linked_artifacts linked_at logged_by manifest new_draft project
    qualified_name source_artifact source_collection source_entity source_name source_project source_qualified_name
    source_version state unlink updated_at url use_as used_by verify
    """.split()  # noqa: SIM905 - a list of one name a line is long to read
)
_SEARCH = "record each trial of a search as a run of its own; Optuna (trainstore.integrations.optuna) or Ray can search"
_FILES = "trainstore keeps no files: load it from where it was saved"
HINTS = {
    "sweep": _SEARCH,
    "agent": _SEARCH,
    "controller": _SEARCH,
    "Api": "TrainStore().list_runs() and list_step_logs(run) read what was recorded",
    "api": "TrainStore().list_runs() and list_step_logs(run) read what was recorded",
    "use_model": _FILES,
    "restore": _FILES,
    "catboost": "use trainstore.integrations.catboost.TrainStoreCallback",
    "fastai": "use trainstore.integrations.fastai.TrainStoreCallback",
    "sync": "nothing has to be synchronised",
}
INSTEAD = "record with run.log, run.config and run.summary; the page 'Scripts written for W&B' lists what is supported"
_warned: set[str] = set()


def missing(name: str, *, known: frozenset[str], is_recording: bool, owner: str) -> Nothing:
    """What a name stands for that is not here.

    Args:
        name: The name that was asked for.
        known: W&B's public names there.
        is_recording: Whether a run is being recorded.
        owner: ``wandb`` or ``wandb.run``, for the message.

    Raises:
        AttributeError: Nothing is being recorded, or W&B has no such name either.
    """
    if name not in known:
        raise AttributeError(f"{owner} has no attribute {name!r}, neither in trainstore nor in W&B", name=name)
    why = f"trainstore has no {owner}.{name}: {HINTS.get(name, INSTEAD)}"
    if not is_recording:
        raise AttributeError(why, name=name)
    warn_once(f"{why}; it does nothing here")
    return Nothing(f"{owner}.{name}")


def warn_once(message: str, *args: object) -> None:
    """Log a warning, unless this process logged the same before."""
    text = message % args if args else message
    if text not in _warned and len(_warned) < 1_000:
        _warned.add(text)
        logger.warning("%s", text)


class Nothing:
    """Takes every call, attribute and item, and does nothing; empty and false."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __repr__(self) -> str:
        return f"<{self._name}, which does nothing in trainstore>"

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):  # no protocol that Python asks for
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Nothing:
        """Do nothing."""
        return self

    def __getitem__(self, key: object) -> Nothing:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __iter__(self) -> Iterator[NoReturn]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()  # a class that derives from it derives from nothing

    def __instancecheck__(self, instance: object) -> bool:
        return False
