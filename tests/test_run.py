"""ActiveRun: what a training loop may hand it, and what becomes of that."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from recording.support import desk_at
from trainstore.errors import InvalidArgumentError
from trainstore.run import ActiveRun
from trainstore.store import TrainStore

HOSTILE_NAMES = [
    "", "a" * 1_000_000, "'; DROP TABLE run; --", '"quoted"', "back\\slash", "a.b.c", "%s %(x)s :name ?", "$.x", "näme",
    "損失", "🙂", "right\u202eleft", "new\nline", "nul\x00", "half \ud800", " ", "metric__loss", "run_id", "NaN",
]  # fmt: skip


class Raises:
    """Raises from whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __index__ = __float__ = __repr__

    @property
    def shape(self) -> Any:
        raise RuntimeError("no shape")


@dataclasses.dataclass
class Config:
    lr: float
    hub_token: str


def stored_steps(store: TrainStore, run: ActiveRun) -> dict[int, dict[str, Any]]:
    assert run.flush(60)
    view = store.table.current_step_log.c
    with store.engine.connect() as connection:
        rows = connection.execute(select(view.step, view.metrics).order_by(view.step)).all()
    return {row.step: row.metrics for row in rows}


def events(store: TrainStore, run: ActiveRun, kind: str) -> list[dict[str, Any]]:
    return list(store.list_events(run, kind=kind)["details"])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- Steps -----------------------------------------------------------------------------------------------------------


def test_steps_count_up_by_themselves(store: TrainStore) -> None:
    """Left out, a step is one more than the highest of this handle; 0 at first."""
    run = store.start_run()
    for step in (None, None, 10, None, 3, None):
        run.log({"given": str(step)}, step=step)
    assert {step: metrics["given"] for step, metrics in stored_steps(store, run).items()} == {
        0: "None",
        1: "None",
        10: "10",
        11: "None",
        3: "3",
        12: "None",
    }


def test_a_resumed_run_counts_from_the_step_after_the_checkpoint(store: TrainStore) -> None:
    """resume_run(step=s) goes on at s + 1; a handle that joins goes on after the last step stored."""
    run = store.start_run()
    for _ in range(10):
        run.log({"a": 1.0})
    assert run.finish()
    resumed = store.resume_run(run, step=4)
    assert (resumed.start_step, resumed.uid) == (4, run.uid)
    resumed.log({"b": 1.0})
    assert resumed.flush(60)
    joined = store.resume_run(run)
    assert joined.attempt_uid == resumed.attempt_uid
    joined.log({"c": 1.0})
    assert joined.finish()
    found = stored_steps(store, resumed)
    assert list(found) == [0, 1, 2, 3, 4, 5, 6]
    assert found[5] == {"b": 1.0}
    assert found[6] == {"c": 1.0}
    again = store.resume_run(run, step=-1)
    again.log({"d": 1.0})
    assert stored_steps(store, again) == {0: {"d": 1.0}}


def test_a_handle_that_joins_an_empty_run_begins_at_nothing(store: TrainStore) -> None:
    """A run without a step is joined at step 0."""
    run = store.start_run()
    assert run.flush(60)
    joined = store.resume_run(run)
    joined.log({"a": 1.0})
    assert joined.finish()
    assert stored_steps(store, run) == {0: {"a": 1.0}}


@pytest.mark.parametrize(
    "step",
    [0, 5, 2**63 - 1, np.int64(5), np.uint8(5), np.array(5), np.array([5])],
    ids=lambda step: f"{type(step).__name__} {step}",
)
def test_integers_of_any_kind_are_steps(store: TrainStore, step: Any) -> None:
    """int and NumPy integers from 0 to 2^63 - 1 are taken."""
    run = store.start_run()
    run.log({"a": 1.0}, step=step)
    assert list(stored_steps(store, run)) == [np.array(step).item()]


@pytest.mark.parametrize(
    "step",
    [-1, 2**63, 10**5_000, 1.0, 1.5, math.nan, True, np.bool_(True), "3", "x" * 1_000_000, [1], object(), Raises()],
    ids=lambda step: f"{type(step).__name__}",
)
def test_what_is_no_step_becomes_a_refused_event(
    store: TrainStore, step: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is raised and nothing lost: the metrics are kept in an event of the run, with one warning."""
    run = store.start_run()
    run.log({"a": 1.5, "b": "text"}, step=step)
    run.log({"a": 2.5}, step=7)
    assert stored_steps(store, run) == {7: {"a": 2.5}}
    (refused,) = events(store, run, "refused")
    assert refused["metrics"] == {"a": 1.5, "b": "text"}
    assert "a step is an int from 0 to 2^63 - 1" in refused["reason"]
    assert len(warnings(caplog)) == 1


def test_no_step_follows_the_highest_one(store: TrainStore) -> None:
    """After 2^63 - 1 a step that is left out is refused, with its metrics kept."""
    run = store.start_run()
    run.log({"a": 1.0}, step=2**63 - 1)
    run.log({"a": 2.0})
    assert stored_steps(store, run) == {2**63 - 1: {"a": 1.0}}
    assert events(store, run, "refused")[0]["metrics"] == {"a": 2.0}


def test_a_step_logged_again_merges_key_by_key(store: TrainStore) -> None:
    """The last value of each key counts, the ones before are kept; details merge as well."""
    run = store.start_run()
    run.log({"a": 1, "b": 2}, step=3, details={"x": 1})
    run.log({"b": 3, "c": None}, step=3, details={"y": "text"}, epoch=0.5)
    assert stored_steps(store, run) == {3: {"a": 1, "b": 3, "c": None}}
    frame = store.list_step_logs(run, details=True)
    assert frame["details"].iloc[0] == {"x": 1, "y": "text", "earlier": {"b": [2]}}
    assert frame["epoch"].iloc[0] == 0.5


# --- Metrics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metrics", [None, 3, "text", [("a", 1)], object(), Raises()], ids=lambda m: type(m).__name__)
def test_metrics_that_are_no_mapping_are_refused_and_kept(
    store: TrainStore, metrics: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """They become a refused event, with one warning; the training goes on."""
    run = store.start_run()
    run.log(metrics, step=1)
    run.log({"a": 1.0}, step=2)
    assert list(stored_steps(store, run)) == [2]
    assert len(events(store, run, "refused")) == 1
    assert len(warnings(caplog)) == 1


def test_names_of_any_kind_are_kept(store: TrainStore) -> None:
    """Every name is stored under one of 1 to 255 characters, and is a column of the step log."""
    run = store.start_run()
    for step, name in enumerate(HOSTILE_NAMES):
        run.log({name: float(step)}, step=step)
    for step, key in enumerate([3, None, 2.5, ("a", 1), Raises()], start=100):
        run.log({key: float(step)}, step=step)
    found = stored_steps(store, run)
    assert len(found) == len(HOSTILE_NAMES) + 5
    names = {step: next(iter(metrics)) for step, metrics in found.items()}
    assert all(1 <= len(name) <= 255 for name in names.values())
    assert names[0] == "~empty"
    assert names[1][:241] == "a" * 240 + "~"
    for step, name in enumerate(HOSTILE_NAMES):
        if 0 < len(name) <= 255 and "\x00" not in name and "\ud800" not in name:
            assert names[step] == name
    assert (names[100], names[101], names[102]) == ("3", "None", "2.5")
    summary = store.list_metrics(run).set_index("metric")
    for step, name in names.items():
        assert summary.loc[name, "last"] == step
        tidy = store.list_step_logs(run, metrics=[name], tidy=True)
        assert tidy[["step", "metric", "value"]].values.tolist() == [[step, name, float(step)]]


def test_names_of_subclasses_of_str_are_the_same_names(store: TrainStore) -> None:
    """NumPy's texts, members of an enumeration: also where the name is known already."""

    class Metric(StrEnum):
        LOSS = "loss"

    run = store.start_run()
    run.log({"loss": 0.0}, step=0)
    for step, name in enumerate((np.str_("loss"), Metric.LOSS), start=1):
        run.log({name: float(step)}, step=step)
        run.log({name: float(step)}, step=-1)
    assert stored_steps(store, run) == {step: {"loss": float(step)} for step in range(3)}
    assert [details["metrics"] for details in events(store, run, "refused")] == [{"loss": 1.0}, {"loss": 2.0}]


def test_two_long_names_stay_two(store: TrainStore) -> None:
    """Names that differ after the 240th character are told apart by their hash."""
    run = store.start_run()
    run.log({"x" * 300 + "a": 1.0, "x" * 300 + "b": 2.0}, step=0)
    assert sorted(stored_steps(store, run)[0].values()) == [1.0, 2.0]


def test_epoch_and_step_time_fill_their_columns(store: TrainStore) -> None:
    """As metrics or as the argument; what is no finite number stays a metric."""
    run = store.start_run()
    run.log({"epoch": 1.5, "step_time": np.float32(0.25), "a": 1.0}, step=0)
    run.log({"epoch": 9.0, "a": 1.0}, step=1, epoch=2)
    run.log({"epoch": "second", "step_time": math.inf}, step=2)
    run.log({"a": 1.0}, step=3, epoch=math.nan)
    run.log({"a": 1.0}, step=4, epoch=10**400)
    run.log({"a": 1.0}, step=5, epoch=Raises())
    run.log({"a": 1.0}, step=6, epoch=True)
    found = stored_steps(store, run)
    frame = store.list_step_logs(run)
    assert frame["epoch"].fillna(-1).tolist() == [1.5, 2.0, -1, -1, -1, -1, -1]
    assert frame["step_time"].fillna(-1).tolist() == [0.25, -1, -1, -1, -1, -1, -1]
    assert found[0] == {"a": 1.0}
    assert found[2] == {"epoch": "second", "step_time": "Infinity"}
    assert found[3]["epoch"] == "NaN"
    assert found[6]["epoch"] is True
    assert [metrics.get("a") for metrics in found.values()] == [1.0, 1.0, None, 1.0, 1.0, 1.0, 1.0]


def test_metrics_stay_what_they_were(store: TrainStore) -> None:
    """One dict may be logged again and again: nothing is taken out of it, whether its names are known or not."""
    run, metrics = store.start_run(), {"loss": 1.0, "epoch": 0.5, "step_time": 2}
    for step in range(3):
        run.log(metrics, step)
    run.log(metrics, 3, epoch="third")
    assert metrics == {"loss": 1.0, "epoch": 0.5, "step_time": 2}
    assert list(stored_steps(store, run).values()) == [{"loss": 1.0}] * 4
    frame = store.list_step_logs(run)
    assert frame["epoch"].tolist() == [0.5] * 4
    assert frame["step_time"].tolist() == [2.0] * 4


def test_the_librarys_own_steps_are_stored_as_those_of_log(store: TrainStore) -> None:
    """What the integrations measured, be it finite or not; the count goes on after it."""
    run, twin = store.start_run(), store.start_run()
    values = {1: 0.5, 2: math.nan, 3: math.inf, 5: -math.inf, 4: 1.7e308}
    for step, value in values.items():
        metrics = {"loss": value, "grad_norm": 1.7e308, "tokens": 16}
        twin.log({**metrics, "step_time": 0.25}, step, step / 4)
        run.log_measured(metrics, step, step / 4, 0.25)
    for one in (run, twin):
        one.log({"after": 1})
    assert stored_steps(store, run) == stored_steps(store, twin)
    ours, theirs = (store.list_step_logs(one).drop(columns="logged_at") for one in (run, twin))
    assert ours["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert ours["epoch"].tolist()[:5] == [0.25, 0.5, 0.75, 1.0, 1.25]
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_value_kept_as_text_is_told_once(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand steps with an object for a metric make one warning, and every step."""
    run = store.start_run()
    for step in range(1_000):
        run.log({"odd": object(), "loss": float(step)}, step=step)
    assert len(stored_steps(store, run)) == 1_000
    assert len(warnings(caplog)) == 1
    assert "'odd'" in warnings(caplog)[0]


@pytest.mark.parametrize("details", ["text", [1, 2], 3.5, {"$repr": 1}, Raises()], ids=lambda d: type(d).__name__)
def test_details_that_are_no_mapping_are_kept(store: TrainStore, details: Any) -> None:
    """They stand under the key "value", and merge with what else was logged at that step."""
    run = store.start_run()
    run.log({"a": 1.0}, step=1, details=details)
    run.log({"a": 1.0}, step=1, details={"more": 2})
    assert run.flush(60)
    kept = store.list_step_logs(run, details=True)["details"].iloc[0]
    assert set(kept) == {"value", "more"}


# --- Hyperparameters, tags, notes, events ----------------------------------------------------------------------------


def test_keys_of_the_same_text_stay_apart(store: TrainStore) -> None:
    """1 and "1" are two keys in Python and one text in a database: none is lost."""
    with store.start_run(hyperparams={1: "int", "1": "text", "1~2": "taken", "labels": {0: "a", "0": "b"}}) as run:
        pass
    found = store.list_hyperparams(run)
    stored = dict(zip(found["key"], found["value"], strict=True))
    assert stored == {"1": "int", "1~2": "text", "1~2~2": "taken", "labels": {"0": "a", "0~2": "b"}}


def test_keys_that_are_secrets_stay_apart(store: TrainStore) -> None:
    """Each is stored as "[redacted]", the second with a number; no value is lost, whatever it is stored with."""
    one, other = ("hf_" + letter * 30 for letter in "ab")
    given = {one: 1, other: 2, "nested": {one: 1, other: 2}}
    kept = {"[redacted]": 1, "[redacted]~2": 2, "nested": {"[redacted]": 1, "[redacted]~2": 2}}
    with store.start_run(hyperparams=given, tags=given) as run:
        run.log({"loss": 1.0}, details=given)
        run.log_event("odd", details=given)
    record = store.get_run(run)
    assert record.hyperparams == record.tags == kept
    assert store.list_events(run, kind="odd")["details"].iloc[0] == kept
    assert store.list_step_logs(run, details=True)["details"].iloc[0] == kept
    assert len(store.list_runs(hyperparams={one: 1})) == len(store.list_runs(tag={one: 1})) == 1


def test_hyperparameters_are_a_mapping_or_a_dataclass(store: TrainStore) -> None:
    """Values of any type are kept, secrets are not; a later value replaces the earlier one."""
    run = store.start_run(hyperparams={"lr": 0.1, "odd": object(), "nested": {"a": [1, math.nan]}})
    run.log_hyperparams(Config(0.2, "hf_abcdefghijklmnop"))
    run.log_hyperparams({"layers": 3}, namespace="mth")
    hyperparams = store.get_run(run).hyperparams
    assert hyperparams["lr"] == 0.2
    assert hyperparams["hub_token"] == "[redacted]"
    assert hyperparams["odd"].startswith("<object object")
    assert hyperparams["nested"]["a"][0] == 1
    frame = store.list_hyperparams(run, namespace="mth")
    assert frame[["key", "value"]].values.tolist() == [["layers", 3]]


def test_bad_hyperparameters_cost_a_warning_only(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """What is no mapping, or goes to no namespace there is, is told and stops nothing."""
    run = store.start_run()
    run.log_hyperparams([1, 2])
    run.log_hyperparams({"a": 1}, namespace="nowhere")
    run.set_tags(3)
    run.set_tags(["x", "y"])
    run.set_tags("z")
    run.set_tags({"stage": "draft"})
    assert store.get_run(run).hyperparams == {"a": 1}
    tags = store.list_hyperparams(run, namespace="tag")
    assert dict(zip(tags["key"], tags["value"], strict=True)) == {"x": True, "y": True, "z": True, "stage": "draft"}
    assert len(warnings(caplog)) == 3


def test_a_later_attempt_remembers_what_it_changed(store: TrainStore) -> None:
    """The attempt that changed a hyperparameter names both values; an earlier attempt changes nothing afterwards."""
    first = store.start_run(hyperparams={"lr": 0.1, "wd": 0.0})
    first.log({"loss": 1.0}, step=0)
    assert first.flush(60)
    second = store.resume_run(first, step=0)
    second.log_hyperparams({"lr": 0.2, "wd": 0.0})
    assert second.flush(60)
    first.log_hyperparams({"lr": 99.0, "only_first": 1})
    assert first.finish()
    assert second.finish()
    assert store.get_run(first).hyperparams == {"lr": 0.2, "wd": 0.0, "only_first": 1}
    attempt = store.table.attempt.c
    with store.engine.connect() as connection:
        changed = connection.execute(select(attempt.changed_hyperparams).order_by(attempt.opened_at)).scalars().all()
    assert changed == [None, {"hp.lr": [0.1, 0.2]}]


def test_notes_are_replaced_and_remembered(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """The run shows the latest; every one is an event. What is no text becomes text, or a warning."""
    run = store.start_run(notes="at the start")
    assert run.flush(60)
    assert store.list_runs()["notes"].tolist() == ["at the start"]
    run.set_notes("then")
    run.set_notes(42)
    run.set_notes(Raises())
    assert run.flush(60)
    assert store.list_runs()["notes"].tolist() == ["42"]
    assert events(store, run, "note") == [
        {"set": {"notes": "then"}, "removed": [], "before": {"notes": "at the start"}},
        {"set": {"notes": "42"}, "removed": [], "before": {"notes": "then"}},
    ]
    assert len(warnings(caplog)) == 1


def test_events_are_kept_whatever_they_hold(store: TrainStore) -> None:
    """Kind, step and details as given; secrets are redacted; odd ones are kept in another form and block nothing."""
    run = store.start_run()
    run.log_event("checkpoint", step=5, details={"path": "/x", "hub_token": "hf_abcdefghijklmnop"})
    run.log_event("plain")
    run.log_event("odd", step=-3, details="text")
    run.log_event("note", details={"text": "a note of one's own shape"})
    run.log_event(7, details=Raises())
    run.log_event("misplaced", {"path": "/y"})  # type: ignore[arg-type]
    run.log({"loss": 1.0}, step=0)
    assert run.finish()
    frame = store.list_events(run)
    assert frame["kind"].tolist() == ["checkpoint", "plain", "odd", "note", "7", "misplaced"]
    assert frame["step"].fillna(-1).tolist() == [5, -1, -1, -1, -1, -1]
    assert frame["details"].iloc[0] == {"path": "/x", "hub_token": "[redacted]"}
    assert frame["details"].iloc[2] == {"value": "text"}
    assert frame["details"].iloc[5] == {"path": "/y"}
    assert stored_steps(store, run) == {0: {"loss": 1.0}}


@pytest.mark.parametrize(
    ("level", "stored"),
    [("info", "info"), ("warn", "warn"), ("error", "error"), ("WARN", "warn"), ("warning", "warn")],
)
def test_an_alert_is_an_event(store: TrainStore, level: str, stored: str) -> None:
    """With title, text and level, and the step if one is given; secrets are redacted."""
    run = store.start_run()
    run.alert("the loss is high", f"see https://me:{'s3cret'}@host/x", level, step=7)
    run.alert("done")
    assert run.flush(60)
    found = store.list_events(run, kind="alert")
    assert list(found["details"]) == [
        {"title": "the loss is high", "text": "see https://me:[redacted]@host/x", "level": stored},
        {"title": "done", "text": "", "level": "info"},
    ]
    assert found["step"].tolist() == [7, pd.NA]


@pytest.mark.parametrize("level", ["fatal", "", None, 30, ["warn"], Raises()], ids=lambda level: type(level).__name__)
def test_an_alert_of_another_level_is_refused(store: TrainStore, level: Any) -> None:
    """With the levels that there are; nothing is recorded."""
    run = store.start_run()
    with pytest.raises(InvalidArgumentError, match=r"level .+ is not one of info, warn, error"):
        run.alert("title", level=level)
    assert run.flush(60)
    assert events(store, run, "alert") == []


@pytest.mark.parametrize("odd", [None, 5, Raises(), "nul\x00", "half \ud800", "x" * 1_000_000, {"a": 1}], ids=type)
def test_whatever_an_alert_says_is_kept(store: TrainStore, odd: Any) -> None:
    """A title or text of any type and length raises nothing, and neither does a step that is none."""
    run = store.start_run()
    run.alert(odd, odd, step=odd)
    assert run.flush(60)
    (alert,) = events(store, run, "alert")
    assert alert["level"] == "info"
    assert type(alert["title"]) is type(alert["text"]) is str


def test_details_alone_are_a_step(store: TrainStore) -> None:
    """Without metrics, they make the step's row, or join it."""
    run = store.start_run()
    run.log(details={"note": "first"})
    run.log({"loss": 1.0}, step=1)
    run.log(step=1, details={"note": "second"})
    assert stored_steps(store, run) == {0: {}, 1: {"loss": 1.0}}
    assert list(store.list_step_logs(run, details=True)["details"]) == [{"note": "first"}, {"note": "second"}]
    assert events(store, run, "refused") == []


# --- The end ---------------------------------------------------------------------------------------------------------


def test_finishing_says_how_it_ended(store: TrainStore) -> None:
    """Status and error are the run's; the second finish changes nothing, whatever it says."""
    run = store.start_run()
    assert run.status == "running"
    assert run.finish("failed", error="out of memory")
    assert run.status == "failed"
    assert run.finish()
    assert run.finish("pruned")
    record = store.get_run(run)
    assert (record.status, record.error) == ("failed", "out of memory")
    assert record.ended_at is not None
    assert record.ended_at >= record.started_at


@pytest.mark.parametrize("status", ["running", "done", "", 3])
def test_an_unknown_status_is_an_error_at_once(store: TrainStore, status: Any) -> None:
    """It is a mistake of the caller's, told with what is allowed; the run goes on."""
    run = store.start_run()
    with pytest.raises(InvalidArgumentError, match="finished, failed, interrupted, pruned"):
        run.finish(status)
    assert run.status == "running"
    assert run.finish()


def test_logging_after_the_end_is_kept(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """The record is stored and the status stays; one warning says so. Finishing again closes the new writer."""
    run = store.start_run()
    run.log({"loss": 1.0}, step=0)
    assert run.finish()
    for step in range(1, 5):
        run.log({"loss": 2.0}, step=step)
    assert run.finish("failed")
    assert list(stored_steps(store, run)) == [0, 1, 2, 3, 4]
    assert store.get_run(run).status == "finished"
    assert len([text for text in warnings(caplog) if "its status stays" in text]) == 1
    with store.engine.connect() as connection:
        closed = connection.execute(select(store.table.writer.c.closed_at)).scalars().all()
    assert len(closed) == 2
    assert None not in closed


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("bad loss"), "failed", "ValueError: bad loss"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (SystemExit(0), "finished", None),
        (SystemExit(2), "failed", "SystemExit: 2"),
        (
            RuntimeError("postgresql://u:pw-secret@h/db failed \x00"),
            "failed",
            "RuntimeError: postgresql://u:[redacted]@h/db failed \\u0000",
        ),
    ],
    ids=["exception", "Ctrl-C", "exit 0", "exit 2", "secret"],
)
def test_a_block_that_raises_marks_the_run(
    store: TrainStore, error: BaseException, status: str, text: str | None
) -> None:
    """The exception goes on; the run says what it was, without secrets."""
    run = store.start_run()

    def train() -> None:
        with run:
            run.log({"loss": 1.0})
            raise error

    with pytest.raises(type(error)):
        train()
    record = store.get_run(run)
    assert (record.status, record.error) == (status, text)
    assert list(stored_steps(store, run)) == [0]


def test_an_exception_whose_text_cannot_be_had_marks_the_run(store: TrainStore) -> None:
    """Even then type and status are stored."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    run = store.start_run()
    with pytest.raises(Mute), run:
        raise Mute
    assert store.get_run(run).status == "failed"
    assert str(store.get_run(run).error).startswith("Mute")


def test_a_joined_handle_ends_only_itself(store: TrainStore) -> None:
    """A notebook that adds an evaluation does not end the training, nor revive a finished one; its failure marks it."""
    run = store.start_run()
    assert run.flush(60)
    with store.resume_run(run) as notebook:
        notebook.log({"eval": 1.0}, step=0)
    assert store.get_run(run).status == "running"
    rank = store.resume_run(run, rank=1)
    assert rank.finish("failed", error="rank 1 died")
    assert (store.get_run(run).status, store.get_run(run).error) == ("failed", "rank 1 died")
    assert run.finish()
    assert store.get_run(run).status == "finished"


# --- Threads ---------------------------------------------------------------------------------------------------------


def test_eight_threads_log_into_one_run(store: TrainStore, database_url: str) -> None:
    """Every record of every thread is stored, in shared rows and in rows of their own."""
    run = store.start_run()
    barrier = threading.Barrier(8)

    def work(index: int) -> None:
        barrier.wait()
        for step in range(250):
            run.log({f"t{index}": float(step)}, step=step)
            run.log({f"own{index}": 1.0}, step=1_000 * (index + 1) + step)
            if step == 100:
                run.log_hyperparams({f"from{index}": index})

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.finish(timeout=60)
    found = stored_steps(store, run)
    assert len(found) == 250 + 8 * 250
    for step in range(250):
        assert found[step] == {f"t{index}": float(step) for index in range(8)}
    assert store.get_run(run).hyperparams == {f"from{index}": index for index in range(8)}
    with desk_at(database_url) as desk:
        desk.check(run.uid)


def test_counting_threads_share_the_count(store: TrainStore) -> None:
    """Steps that are left out are given once each, whichever thread asks."""
    run = store.start_run()

    def work() -> None:
        for _ in range(100):
            run.log({"a": 1.0})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(stored_steps(store, run)) == list(range(800))


def test_a_handle_shows_itself(store: TrainStore) -> None:
    """Its repr names run, project, status and uid."""
    run = store.start_run(project="p", name="n")
    assert repr(run) == f"<ActiveRun 'n' of project 'p', running, uid {run.uid}>"
    assert (run.project, run.name, run.start_step) == ("p", "n", -1)
    assert [entry[:2] for entry in run.lineage] == [[run.attempt_uid, -1]]
