"""Scripts written for W&B that do what they should not, or what W&B allows and others do not expect."""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.adapter_tests import only_run
from trainstore import TrainStore
from trainstore.integrations import notebooks, wandb
from trainstore.integrations.wandb import names

pytestmark = pytest.mark.usefixtures("fresh_wandb")


class Hostile:
    """Nothing can be asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __float__ = __len__ = __iter__ = __repr__


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- log -------------------------------------------------------------------------------------------------------------


def test_values_of_any_type_are_kept_and_never_raise(store: TrainStore) -> None:
    """Numbers of any library are numbers, the rest is kept as it can be, and the good values beside it are there."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    weight = torch.ones(2, requires_grad=True)
    odd: dict[Any, Any] = {
        "numpy": np.float32(0.5), "array": np.arange(3), "tensor": (weight * 2).sum(), "decimal": Decimal("0.25"),
        "bool": True, "none": None, "text": "a", "list": [1, 2], "bytes": b"x", "complex": 1j, "huge": 10**400,
        "nan": math.nan, "set": {1}, "hostile": Hostile(), "empty": {}, "circle": circle, 7: 8, ("a", 1): 2,
        "a": {"b": 1}, "a.b": 2, "": 3, "x" * 300: 4, Hostile(): 5,
    }  # fmt: skip
    with wandb.init(store=store) as run:
        run.log(odd)
        for broken in (None, 3, "text", [("a", 1)], Hostile()):
            run.log(broken)
        for hostile in (Hostile(), b"\xff", 7):
            run.alert(hostile, hostile, hostile, hostile)  # type: ignore[arg-type]
            run.save(hostile)
            run.log_artifact(hostile)
        run.summary["odd"] = Hostile()
        run.log({"loss": 0.5})
        assert run.summary["tensor"] == 4.0  # not the tensor, whose graph it would keep
    record = only_run(store)
    metrics = record.metrics
    assert record.status == "finished"
    assert (metrics["numpy"], metrics["tensor"], metrics["decimal"], metrics["7"]) == (0.5, 4.0, 0.25, 8)
    assert (metrics["a.b"], metrics["a.b~2"]) == (1, 2)
    assert "empty" not in metrics
    assert math.isnan(metrics["nan"])
    assert record.metrics["loss"] == 0.5
    assert len(store.list_events(record, kind="refused")) == 5


def test_steps_of_any_kind_are_kept(store: TrainStore) -> None:
    """A step that goes back is kept, where W&B drops it; what is no step is an event with its values."""
    with wandb.init(store=store) as run:
        for step in (5, 3, np.int64(7), 8.0, torch.tensor(9)):
            run.log({"loss": float(step)}, step=step)  # type: ignore[arg-type]
        for broken in ("x", -1, 2.5, math.nan, True, Hostile()):
            run.log({"loss": 1.0}, step=broken)  # type: ignore[arg-type]
        run.log({"counted": 1})
        run.log({"counted": 2})
        run.log({"old": 1}, step=2, commit=True)
        assert run.step == 11
    log = store.list_step_logs(run.active).set_index("step")
    assert log["loss"].dropna().to_dict() == {3: 3.0, 5: 5.0, 7: 7.0, 8: 8.0, 9: 9.0}
    assert log["counted"].dropna().to_dict() == {9: 1, 10: 2}
    assert log["old"].dropna().to_dict() == {2: 1}
    assert len(store.list_events(run.active, kind="refused")) == 6


def test_a_value_waits_for_its_axis_until_the_step_ends(store: TrainStore) -> None:
    """commit=False, an axis that comes later, one that never comes, one that is no step, patterns."""
    with wandb.init(store=store) as run:
        run.define_metric("train/step")
        run.define_metric("train/*", step_metric="train/step")
        run.define_metric("val/acc", step_metric="train/step", summary="max,min")
        run.define_metric("by/*", step_metric="epoch")
        run.log({"train/loss": 1.0})  # no axis yet: W&B's count, 0
        run.log({"train/loss": 0.9, "val/acc": 0.1}, commit=False)
        run.log({"train/step": 100, "other": 1})
        run.log({"val/acc": 0.7})  # the axis' last value
        run.log({"val/acc": 0.5, "train/step": 200.0}, step=50)
        run.log({"train/loss": 0.8}, step=50)
        run.log({"by/x": 1, "epoch": 3}, step=60)
        run.log({"val/acc": 0.6}, commit=False)
        for name, axis in (("", "a"), ("a*b", "step"), (7, "step"), ("a", 7)):
            run.define_metric(name, step_metric=axis, summary="worst")  # type: ignore[arg-type]
        assert run.summary["val/acc"] == {"max": 0.7, "min": 0.1}
        assert run.summary["val/acc"].max == 0.7
    log = store.list_step_logs(run.active).set_index("step")
    assert log["train/loss"].dropna().to_dict() == {0: 1.0, 100: 0.9, 200: 0.8}
    assert log["val/acc"].dropna().to_dict() == {100: 0.7, 200: 0.6}
    assert log["other"].dropna().to_dict() == {1: 1}
    assert log["by/x"].dropna().to_dict() == {60: 1}
    assert log["epoch"].dropna().to_dict() == {60: 3.0}


def test_mappings_in_the_summary_are_mappings(store: TrainStore) -> None:
    """Those that were logged and those that were set; what is set in one is recorded, too."""
    with wandb.init(store=store) as run:
        run.log({"val": {"acc": 1, "top": {"5": 2}}, "value": 3})
        assert run.summary["val"] == {"acc": 1, "top": {"5": 2}}
        assert run.summary["val"]["top"]["5"] == run.summary.val.acc + 1 == 2
        assert ("val" in run.summary, "va" in run.summary, run.summary.get("none")) == (True, False, None)
        run.summary["test"] = {"f1": 0.5, "by": {"a": 1}}
        run.summary["test"]["f1"] = 0.75
        run.summary.test.late = 6
        assert run.summary["test"] == {"f1": 0.75, "by": {"a": 1}, "late": 6}
        test = run.summary["test"]
        test.f1, test["later"] = 0.8, 7
        assert run.summary["test"] == test == {"f1": 0.8, "by": {"a": 1}, "late": 6, "later": 7}
    metrics = only_run(store).metrics
    assert {name: value for name, value in metrics.items() if name.startswith("test")} == {
        "test.f1": 0.8,
        "test.by.a": 1,
        "test.late": 6,
        "test.later": 7,
    }


def test_before_init_it_says_so_and_after_finish_it_is_kept(store: TrainStore) -> None:
    """wandb.Error, as in W&B; what is logged after the end is stored, and the status stays."""
    for call in (wandb.log, wandb.alert, wandb.define_metric, wandb.save):
        with pytest.raises(wandb.Error, match=r"call wandb\.init\(\) first"):
            call({})
    for read in (lambda: wandb.config.lr, lambda: wandb.config["lr"], lambda: wandb.summary.update({"a": 1})):
        with pytest.raises(wandb.Error, match=r"call wandb\.init\(\) first"):
            read()
    assert wandb.run is None
    wandb.finish()
    run = wandb.init(store=store)
    wandb.log({"loss": 1.0})
    wandb.finish(exit_code=3)
    run.log({"loss": 0.5})
    wandb.log({"test": 0.9})
    wandb.config.late = True
    store.flush()
    record = only_run(store)
    assert (record.status, record.error, record.metrics) == ("failed", "exit code 3", {"loss": 0.5, "test": 0.9})
    assert record.hyperparams == {"late": True}


# --- init ------------------------------------------------------------------------------------------------------------


def test_a_second_init_returns_the_run_unless_told_otherwise(
    store: TrainStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """reinit, and a notebook's cell that is run again after Ctrl-C."""
    first = wandb.init(store=store, name="first")
    assert wandb.init(store=store, config={"lr": 1}) is first
    assert first.config.lr == 1
    wandb.init(store=store, name="beside", reinit="create_new")
    assert wandb.run is first
    second = wandb.init(store=store, name="second", reinit=True)
    assert wandb.run is second
    assert store.list_runs()["status"].value_counts().to_dict() == {"finished": 2, "running": 1}
    assert store.get_run("beside").status == "finished"
    assert [text for text in warnings_in(caplog) if "which is returned" in text]

    monkeypatch.setattr(notebooks, "in_notebook", lambda: True)
    monkeypatch.setattr("sys.last_value", KeyboardInterrupt(), raising=False)
    third = wandb.init(store=store, name="third")
    assert store.get_run("second").status == "interrupted"
    wandb.init(store=store)
    assert store.get_run(third.active).status == "finished"
    fifth = wandb.init(store=store, name="fifth", reinit="create_new")
    monkeypatch.setattr("sys.last_value", NameError("a cell that only looked"))
    fifth.finish()
    assert store.get_run("fifth").status == "finished"  # whoever calls it says so


def test_arguments_without_a_meaning_here_are_named_once(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """And the training goes on."""
    for _ in range(2):
        with wandb.init(store=store, save_code=True, monitor_gym=True, force=True, anonymous="allow") as run:
            run.log({"loss": 1}, sync=False)
        wandb.gym.monitor()
    told = warnings_in(caplog)
    assert len(told) == 3
    assert "save_code has no effect here: no files are kept" in told[0]
    assert "monitor_gym has no effect here: videos are not recorded" in told[1]
    assert "wandb.gym.monitor: videos are not recorded" in told[2]


def test_the_environment_and_settings_are_heard(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over a setting, a setting over the environment."""
    for name in ("PROJECT", "NAME", "NOTES", "RUN_GROUP", "JOB_TYPE", "ENTITY"):
        monkeypatch.setenv(f"WANDB_{name}", f"of-env-{name.lower()}")
    monkeypatch.setenv("WANDB_TAGS", "a, b")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123456789abcdef01234567")
    settings = wandb.Settings(run_name="of-settings", run_group="of-settings", console="off", api_key="secret")
    assert "secret" not in f"{settings} {vars(settings)}"
    wandb.init(store=store, settings=settings, group="given")
    assert (wandb.run.project, wandb.run.name, wandb.run.group) == ("of-env-project", "of-settings", "given")
    wandb.finish()
    record = only_run(store)
    assert record.notes == "of-env-notes"
    assert store.list_events(record, kind="note").empty  # nobody changed them
    assert record.tags == {
        "a": True,
        "b": True,
        "group": "given",
        "job_type": "of-env-job_type",
        "entity": "of-env-entity",
    }
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with wandb.init(store=store, config={"lr": 1}) as run:
        run.log({"loss": 1})
        run.alert("a")
        run.log_artifact(wandb.Artifact("a", "b"))
        run.name = "x"
        assert (run.disabled, run.config.lr, run.summary["loss"]) == (True, 1, 1)
    assert len(store.list_runs()) == 1


def test_a_configuration_of_any_kind_is_taken(
    store: TrainStore, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A namespace, W&B's YAML, the current folder's defaults; some names left out."""
    import argparse

    (tmp_path / "config-defaults.yaml").write_text("epochs:\n  desc: of the data\n  value: 3\nlr:\n  value: 1\n")
    monkeypatch.chdir(tmp_path)
    with wandb.init(store=store, config=argparse.Namespace(lr=0.1, key=2), config_exclude_keys=["key"]) as run:
        assert dict(run.config) == {"epochs": 3, "lr": 0.1}
        run.config["--batch-size"] = 8
        run.config.setdefaults({"lr": 5, "seed": 1})
        assert run.config.get("absent", 9) == 9
        with pytest.raises(AttributeError, match="it has epochs, lr, batch-size, seed"):
            _ = run.config.absent
    assert only_run(store).hyperparams == {"epochs": 3, "lr": 0.1, "batch-size": 8, "seed": 1}


def test_a_configuration_is_read_as_plain_data(store: TrainStore) -> None:
    """As from W&B: scripts add to a path and to a list, whatever was given; the store holds the same."""
    import dataclasses
    import enum
    from pathlib import Path

    class Mode(enum.Enum):
        TRAIN = "train"

    @dataclasses.dataclass
    class Optimizer:
        lr: float = 0.1
        betas: tuple[float, float] = (0.9, 0.99)

    class Settings:
        folds = (0, 1)

    circle: list[Any] = [1]
    circle.append(circle)
    given = {
        "path": Path("a/b"), "layers": (1, (2,)), "mode": Mode.TRAIN, "optim": Optimizer(), "seeds": {2, 1},
        "device": torch.device("cpu"), "dtype": torch.float32, "lr": np.float32(0.5), "few": np.arange(2), "loss": max,
        "kind": Optimizer, "range": range(2), "raw": b"x",
    }  # fmt: skip
    with wandb.init(store=store, config=given) as run:
        assert run.config.path + "/c" == "a/b/c"
        assert run.config.layers.copy() == [1, [2]]
        run.config.update(Settings)
        run.config.optim = {"inner": Optimizer()}
        run.config.odd = [Hostile(), circle]
        run.config._own = 1
        assert "_own" in run.config
        assert run.config.optim["inner"]["betas"] == [0.9, 0.99]
        assert wandb.helper.parse_config(Settings, exclude=["x"]) == {"folds": [0, 1]}
        stored = dict(run.config)
    found = only_run(store).hyperparams
    name = f"{Optimizer.__module__}.{Optimizer.__qualname__}"
    plain = {
        "path": "a/b", "layers": [1, [2]], "mode": "TRAIN", "seeds": [1, 2], "device": "cpu", "dtype": "torch.float32",
        "lr": 0.5, "few": [0, 1], "loss": "builtins.max", "kind": name, "range": [0, 1], "folds": [0, 1],
        "optim": {"inner": {"lr": 0.1, "betas": [0.9, 0.99]}},
    }  # fmt: skip
    assert {key: value for key, value in stored.items() if key not in ("raw", "odd")} == plain
    assert {key: value for key, value in found.items() if key not in ("raw", "odd")} == {**plain, "_own": 1}


def test_config_may_be_assigned(store: TrainStore) -> None:
    """As old scripts do, before init or after it."""
    wandb.config = {"lr": 1}
    with wandb.init(store=store, config=wandb.config) as run:
        wandb.config = {"layers": 2}  # type: ignore[assignment]
        assert dict(wandb.config) == {"lr": 1, "layers": 2}
        assert wandb.config is run.config
    assert only_run(store).hyperparams == {"lr": 1, "layers": 2}


def test_resuming_says_what_it_cannot(store: TrainStore, caplog: pytest.LogCaptureFixture) -> None:
    """must and never raise before the training; auto without an id begins a new run; an id alone begins anew."""
    with pytest.raises(wandb.UsageError, match="no run with the id 'x'"):
        wandb.init(store=store, id="x", resume="must")
    with pytest.raises(wandb.UsageError, match="exclude each other"):
        wandb.init(store=store, id="x", resume="allow", fork_from="y?_step=1")
    for loss in (1.0, 2.0):
        with wandb.init(store=store, id="x") as run:
            run.log({"loss": loss})
    with pytest.raises(wandb.UsageError, match="resume='never'"):
        wandb.init(store=store, id="x", resume="never")
    assert store.list_step_logs(run.active)["loss"].tolist() == [2.0]
    assert store.list_step_logs(run.active, attempts="all")["loss"].tolist() == [1.0, 2.0]
    with (
        wandb.init(store=store, resume="auto") as fresh,
        pytest.raises(wandb.UsageError, match="while a run is recorded"),
    ):
        wandb.init(store=store, id=fresh.id, resume="must")
    assert len(store.list_runs()) == 2
    assert [text for text in warnings_in(caplog) if "resume='auto' needs" in text]
    with wandb.init(store=store, id=fresh.id, resume="must") as again:
        assert again.active.uid == fresh.id  # type: ignore[union-attr]


# --- Names -----------------------------------------------------------------------------------------------------------


def test_names_that_are_missing_do_nothing_while_a_run_is_recorded(
    store: TrainStore, caplog: pytest.LogCaptureFixture
) -> None:
    """They warn once; before init an AttributeError says what to use. A name that is nobody's always is one."""
    with pytest.raises(AttributeError, match="Optuna"):
        _ = wandb.sweep
    assert not hasattr(wandb, "Api")
    with wandb.init(store=store) as run:
        for _ in range(2):
            runs = wandb.Api().runs("me/project")
            assert (list(runs), len(runs), bool(runs)) == ([], 0, False)
            assert repr(runs) == "<wandb.Api, which does nothing in trainstore>"
        with wandb.sklearn.plot_classifier(1, 2) as chart:
            run.log({"chart": chart, "loss": 1})

        class Observer(wandb.sacred.WandbObserver):  # type: ignore[misc]
            """Derives from what is not there."""

        assert not isinstance(run, wandb.PartitionedTable)
        run.restore("model.h5")
        for owner in (wandb, run):
            with pytest.raises(AttributeError, match="nor in W&B"):
                _ = owner.lgo
    told = warnings_in(caplog)
    assert len(told) == 5
    assert "list_runs" in told[0]
    assert only_run(store).metrics == {"loss": 1}


def test_every_public_name_of_w_and_b_is_there_or_known_as_missing() -> None:
    """What `import *` of W&B 0.31 gives."""
    public = """
        __version__ init finish setup save sweep controller agent config log summary join Api Graph Image Plotly Video
        Audio Table EvalTable Html box3d Object3D Molecule Histogram ArtifactTTL log_artifact use_artifact log_model
        use_model link_model define_metric watch unwatch plot_table Run
        """
    for name in public.split():
        assert name in vars(wandb) or name in names.MODULE_NAMES, name
