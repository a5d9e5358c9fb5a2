"""Optuna's databases: trials as runs, of any schema, and of a study that runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from importing.databases import Inserted, all_of, copied_to, made, steps
from importing.harness import content, everything, stored_points
from importing.reading import SAMPLES, hyperparams, runs_of, truth, unread_of
from trainstore.errors import InvalidArgumentError, SourceError
from trainstore.importing import import_runs, optuna
from trainstore.importing.foreign import End, Step
from trainstore.importing.optuna_trial import Trial
from trainstore.store import TrainStore

SAMPLE = SAMPLES / "optuna" / "optuna.db"

#: As Optuna 1 and 2 had them: one value a trial, in its own row, no types of values.
OLD = """
CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name TEXT, direction TEXT);
CREATE TABLE trials (trial_id INTEGER PRIMARY KEY, number INTEGER, study_id INTEGER, state TEXT, value FLOAT,
    datetime_start DATETIME, datetime_complete DATETIME);
CREATE TABLE trial_params (param_id INTEGER PRIMARY KEY, trial_id INTEGER, param_name TEXT, param_value FLOAT,
    distribution_json TEXT);
CREATE TABLE trial_intermediate_values (trial_value_id INTEGER PRIMARY KEY, trial_id INTEGER, step INTEGER,
    intermediate_value FLOAT);
CREATE TABLE trial_user_attributes (id INTEGER PRIMARY KEY, trial_id INTEGER, key TEXT, value_json TEXT);
CREATE TABLE trial_system_attributes (id INTEGER PRIMARY KEY, trial_id INTEGER, key TEXT, value_json TEXT);
INSERT INTO studies VALUES (1, 's', 'MAXIMIZE');
"""
STARTED = "2026-01-31 12:00:00.000000"


def trial(number: int, state: str = "COMPLETE", value: Any = 0.5, started: Any = STARTED) -> Inserted:
    return "trials", (number + 10, number, 1, state, value, started, "2026-01-31 12:01:00.000000")


def param(number: int, name: str, value: Any, distribution: str, **attributes: Any) -> Inserted:
    text = json.dumps({"name": distribution, "attributes": attributes})
    return "trial_params", (None, number + 10, name, value, text)


def test_the_sample_s_trials_are_as_they_were_reported() -> None:
    """States, parameters with their types, attributes, times, all objectives."""
    found = runs_of(optuna, SAMPLE, timezone="UTC")
    assert len(found) == len(truth("optuna"))
    for run in truth("optuna"):
        one = found[f"{run['study']}-{run['number']}"]
        entries = all_of(one)
        params = hyperparams(entries)
        assert params == run["params"]
        assert [type(params[name]) for name in params] == [type(run["params"][name]) for name in params]
        tags = hyperparams(entries, "tag")
        assert {name: tags[name] for name in run["user_attrs"]} == run["user_attrs"]
        states = {"COMPLETE": ["finished"], "PRUNED": ["pruned"], "FAIL": ["failed"], "RUNNING": []}
        assert [entry.status for entry in entries if isinstance(entry, End)] == states[run["state"]]
        assert one.project == run["study"]
    assert hyperparams(all_of(found["portabilität-0"]), "tag")["study.owner"] == "grün"
    assert hyperparams(all_of(found["zwei Ziele-0"]), "tag")["study.direction"] == ["minimize", "maximize"]
    began = datetime(2026, 11, 28, 15, 4, 8, 659330, UTC)
    assert found["portabilität-0"].started_at == int(began.timestamp()) * 1_000_000 + 659330


def test_times_are_those_of_the_zone_that_is_named(tmp_path: Path) -> None:
    """Optuna stores local times without a zone; which it was does not change what run it is."""
    path = made(tmp_path / "o.db", OLD, trial(0))
    at = {zone: runs_of(optuna, path, timezone=zone)["s-0"] for zone in ("UTC", "Europe/Berlin")}
    assert at["UTC"].started_at - at["Europe/Berlin"].started_at == 3_600_000_000
    assert at["UTC"].identity == at["Europe/Berlin"].identity
    with pytest.raises(InvalidArgumentError, match="no time zone 'Mars/Olympus'"):
        runs_of(optuna, path, timezone="Mars/Olympus")


def test_a_schema_of_optuna_2_is_read(tmp_path: Path) -> None:
    """The value in the trial's row, NULL for NaN, distributions by their old names, the direction in the study."""
    path = made(
        tmp_path / "o.db", OLD, trial(0, value=0.25), param(0, "n", 3.0, "IntUniformDistribution"),
        param(0, "x", 0.5, "UniformDistribution"), param(0, "c", 1.0, "CategoricalDistribution", choices=["a", None]),
        ("trial_intermediate_values", (1, 10, 0, 1.0)), ("trial_intermediate_values", (2, 10, 4, None)),
    )  # fmt: skip
    entries = all_of(runs_of(optuna, path)["s-0"])
    params = hyperparams(entries)
    assert (params, type(params["n"])) == ({"n": 3, "x": 0.5, "c": None}, int)
    assert hyperparams(entries, "tag") == {"study.direction": "maximize"}
    assert steps(entries)[0] == (0, {"value": 1.0})
    assert math.isnan(steps(entries)[1][1]["value"])
    assert steps(entries)[2] == (4, {"objective": 0.25})


def test_trials_that_wait_are_counted_and_those_that_run_go_on(tmp_path: Path, store: TrainStore) -> None:
    """What has not begun has no identity yet; a trial under way is imported, and what it reports later comes later."""
    path = made(tmp_path / "o.db", OLD, trial(0, "RUNNING", None), trial(1, "WAITING", None, None),
                ("trial_intermediate_values", (1, 10, 0, 1.0)))  # fmt: skip
    result = import_runs(store, path)
    assert (result.points, list(result.unread)) == (1, ["o.db: s"])
    made(path, "UPDATE trials SET state = 'PRUNED', value = 0.5 WHERE trial_id = 10",
         ("trial_intermediate_values", (2, 10, 1, 0.5)))  # fmt: skip
    again = import_runs(store, path)
    assert (again.points, store.list_runs()["status"].tolist()) == (2, ["pruned"])
    (points,) = stored_points(store).values()
    assert points == [("objective", 1, "0.5"), ("value", 0, "1.0"), ("value", 1, "0.5")]
    rows = everything(store)
    assert import_runs(store, path).counts["unchanged"] == 1
    assert everything(store) == rows


def test_a_trial_that_repeats_a_failed_one_is_its_child(tmp_path: Path, store: TrainStore) -> None:
    """Optuna's RetryFailedTrialCallback leaves the number of the failed one."""
    path = made(tmp_path / "o.db", OLD, trial(0, "FAIL", None), trial(1),
                ("trial_system_attributes", (1, 11, "failed_trial", "0")))  # fmt: skip
    found = runs_of(optuna, path)
    assert found["s-1"].parent == found["s-0"].identity
    import_runs(store, path)
    frame = store.list_runs().set_index("name")
    assert frame.loc["s-1", "parent_uid"] == frame.loc["s-0", "uid"]


def test_what_cannot_be_read_of_a_trial_is_named(tmp_path: Path, store: TrainStore) -> None:
    """A distribution or an attribute that is no JSON, a choice that is not there, values that are no numbers."""
    path = made(
        tmp_path / "o.db",
        OLD,
        trial(0, started="gestern"),
        ("trial_params", (1, 10, "a", 2.0, "{")),
        param(0, "b", 7.0, "CategoricalDistribution", choices=["x"]),
        param(0, "c", -1.0, "CategoricalDistribution", choices=["x"]),
        ("trial_user_attributes", (1, 10, "k", "{")),
        ("trial_intermediate_values", (1, 10, 0, "viel")),
        ("trial_intermediate_values", (2, 10, 1, 1.0)),
        ("trials", (99, 9, 77, "COMPLETE", 0.1, STARTED, STARTED)),
    )
    result = import_runs(store, path)
    (run,) = result.runs
    assert len(run.damage) == 5
    assert list(result.unread) == ["o.db: trial 99"]
    assert store.list_runs()["hp__b"].tolist() == [7.0]
    assert import_runs(store, path).counts["unchanged"] == 1


def test_a_frozen_trial_has_the_same_entries_as_its_rows() -> None:
    """What a callback of a study would record is what an import brings."""
    (run,) = [run for run in truth("optuna") if run["source_id"] == "portabilität/0"]
    one = runs_of(optuna, SAMPLE, timezone="UTC")["portabilität-0"]
    words = {"NaN": math.nan, "Infinity": math.inf}
    frozen = SimpleNamespace(
        number=0,
        state=SimpleNamespace(name="COMPLETE"),
        datetime_start=datetime.fromisoformat("2026-11-28 15:04:08.659330"),
        datetime_complete=datetime.fromisoformat("2026-11-28 15:04:08.843513"),
        params=run["params"],
        user_attrs=run["user_attrs"],
        system_attrs={},
        intermediate_values={step: words.get(value, value) for _, step, value in reversed(run["points"])},
        values=run["values"],
    )
    trial = Trial.of_frozen("portabilität", frozen, [SimpleNamespace(name="MINIMIZE")])
    assert trial.identity == one.identity
    expected, found = all_of(one), list(trial.entries(ZoneInfo("UTC")))
    assert repr([e for e in found if isinstance(e, Step | End)]) == repr(
        [e for e in expected if isinstance(e, Step | End)]
    )
    assert hyperparams(found) == hyperparams(expected)


def test_a_postgresql_database_of_optuna_s_is_read(new_database: Callable[..., str], store: TrainStore) -> None:
    """The same runs as from the file: imported from both, nothing is there twice."""
    names = ("studies", "study_directions", "study_user_attributes", "trials", "trial_params", "trial_values",
             "trial_user_attributes", "trial_system_attributes", "trial_intermediate_values")  # fmt: skip
    url = copied_to(new_database("postgresql"), SAMPLE, names)
    result = import_runs(store, url, timezone="UTC")
    assert (result.tool, result.counts["new"], result.points) == ("optuna", 8, 85)
    rows = content(store)
    again = import_runs(store, SAMPLE, timezone="UTC")
    assert (again.counts["new"], again.points) == (0, 0)
    assert content(store) == rows


def test_views_are_no_studies(tmp_path: Path, new_database: Callable[..., str]) -> None:
    """A file of something else is refused by name."""
    path = made(tmp_path / "o.db", OLD.replace("TABLE trials", "TABLE real")
                + "CREATE VIEW trials AS SELECT * FROM real;")  # fmt: skip
    with TrainStore(new_database("sqlite")) as store, pytest.raises(SourceError, match="no database of Optuna"):
        import_runs(store, path, tool="optuna")
    assert unread_of(optuna, SAMPLE) == {}
