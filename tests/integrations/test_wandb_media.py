"""Media, tables and files through W&B's API: what becomes of what is not a number."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.adapter_tests import only_run
from trainstore import TrainStore
from trainstore.integrations import wandb

pytestmark = pytest.mark.usefixtures("fresh_wandb")


class Hostile:
    """Nothing can be asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __float__ = __len__ = __iter__ = __repr__


def test_an_artifact_has_what_scripts_ask_it(
    store: TrainStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Sizes are known; what only a server knows does nothing, and is told once."""
    (tmp_path / "model.pt").write_bytes(b"12345")
    with wandb.init(store=store) as run:
        artifact = wandb.Artifact("model", type="model")
        artifact.add_file(str(tmp_path / "model.pt"))
        logged = run.log_artifact(artifact, aliases=["best"]).wait()
        assert (logged.size, logged.file_count, logged.version) == (5, 1, "v0")
        for _ in range(2):
            assert not logged.qualified_name
            assert list(logged.used_by()) == []
        with pytest.raises(AttributeError, match="nor in W&B"):
            _ = logged.sise
        wandb.Table(columns=["a"], data=[[1]]).cast("a", int)
    told = [record.getMessage() for record in caplog.records if "wandb.Artifact" in record.getMessage()]
    assert len(told) == 2


def test_a_large_array_becomes_a_histogram(store: TrainStore) -> None:
    """As in W&B: up to 32 numbers are kept as they are. Names of classes may be made at any time."""
    classes = wandb.Classes([{"id": 0, "name": "cat"}])
    with wandb.init(store=store) as run:
        run.log({"few": np.arange(32), "many": torch.arange(33.0), "texts": np.array(["a"] * 40), "loss": 1})
        run.log({"picture": wandb.Image("x.png", classes=classes), "loss": 2})
    log = store.list_step_logs(run.active)
    assert log["few"].iloc[0] == list(range(32))
    assert not {"many", "texts", "picture"} & set(log.columns)
    many, texts = store.list_events(run.active, kind="histogram")["details"]
    assert (many["key"], sum(many["values"]), len(many["bins"])) == ("many", 33, 33)
    assert (texts["key"], texts["shape"]) == ("texts", [40])


def test_media_are_events_and_tables_are_samples(store: TrainStore) -> None:
    """Of each what is known without reading it: shape, path, caption; a histogram's bins; a table's rows."""
    import pandas as pd

    table = wandb.Table(columns=["prompt", "completion", 3], data=[["a", "b", wandb.Image("x.png")]])
    table.add_data("c", "d", 4)
    table.add_column("score", np.array([0.5, 0.25]))
    with wandb.init(store=store) as run:
        run.log({"loss": 1.0}, step=9)
        run.log(
            {
                "picture": wandb.Image(np.zeros((4, 3, 3)), caption="four"),
                "pictures": [wandb.Image(torch.zeros(2, 2)), wandb.Image("a.png"), wandb.Video("v.mp4", fps=4)],
                "sound": wandb.Audio("a.wav", sample_rate=8000),
                "page": wandb.Html("<p>hello</p>"),
                "weights": wandb.Histogram(torch.tensor([0.0, 1.0, math.nan, 1.0]), num_bins=2),
                "broken": wandb.Histogram(Hostile()),
                "points": wandb.Object3D({"type": "lidar"}),
                "texts/story": table,
                "frame": pd.DataFrame({"completion": ["e"], "words": [1]}),
                "chart": wandb.plot.line(wandb.Table(columns=["x", "y"], data=[[1, 2]]), "x", "y", title="T"),
                "matrix": wandb.plot.confusion_matrix(y_true=[0, 1, 1], preds=[0, 1, 0], class_names=["n", "y"]),
                "no": wandb.plot.line_series(xs=3, ys=Hostile()),
                "file": wandb.Artifact("data", "dataset"),
            },
            step=9,
        )
    events = {
        (kind, details.get("key")): details
        for kind, details in store.list_events(run.active)[["kind", "details"]].itertuples(index=False)
    }
    assert events["image", "picture"] == {"key": "picture", "shape": [4, 3, 3], "dtype": "float64", "caption": "four"}
    assert events["image", "pictures"]["count"] == 2
    assert events["video", "pictures"]["items"] == [{"path": "v.mp4", "fps": 4}]
    assert events["audio", "sound"]["sample_rate"] == 8000
    assert events["html", "page"]["html"] == "<p>hello</p>"
    assert events["histogram", "weights"] == {"key": "weights", "values": [1, 2], "bins": [0, 0.5, 1]}
    assert events["plot", "chart"]["title"] == "T"
    assert {"histogram", "object3D", "artifact"} <= {kind for kind, _ in events}
    assert set(store.list_events(run.active)["step"]) == {9}
    samples = store.list_samples(run.active)
    assert samples.groupby("set").size().to_dict() == {"texts/story": 2, "frame": 1, "chart": 1, "matrix": 3}
    story = samples[samples["set"] == "texts/story"]
    assert story["completion"].tolist() == ["b", "d"]
    assert story["score"].tolist() == [0.5, 0.25]
    assert story["3"].tolist() == [{"kind": "image", "path": "x.png"}, 4]
    assert only_run(store).metrics == {"loss": 1.0}
    with pytest.raises(wandb.UsageError, match="a row of 1 cells"):
        table.add_data(1)


def test_columns_of_one_name_are_both_kept(store: TrainStore) -> None:
    """So is a column that is called like one of the frame's."""
    with wandb.init(store=store) as run:
        run.log({"t": wandb.Table(columns=["a", "a", "step"], data=[[1, 2, 3]])})
    assert store.list_samples(run.active)[["a", "a~2", "sample__step"]].iloc[0].tolist() == [1, 2, 3]


def test_files_are_named_and_stay_where_they_are(store: TrainStore, tmp_path: Any) -> None:
    """Artifacts, models and saved files are events with paths and sizes; nothing can be downloaded."""
    tmp_path = tmp_path / "out"
    tmp_path.mkdir()
    (tmp_path / "model.pt").write_bytes(b"1234")
    with wandb.init(store=store, dir=tmp_path.parent) as run:
        artifact = wandb.Artifact("model", type="model", metadata={"epochs": 3})
        artifact.add_dir(tmp_path).add_reference("s3://bucket/x")
        assert run.log_artifact(artifact, aliases=["best"]).wait() is artifact
        wandb.log_model(tmp_path / "model.pt")
        assert wandb.save(str(tmp_path / "*.pt")) == [str(tmp_path / "model.pt")]
        run.log_artifact(7)
        with pytest.raises(wandb.UsageError, match="trainstore keeps no files"):
            wandb.use_artifact("data:latest").download()
        assert os.path.isdir(run.dir)
    found = store.list_events(run.active, kind="artifact")["details"].tolist()
    assert found[0]["files"] == 2
    assert (found[0]["size"], found[0]["aliases"], found[0]["metadata"]) == (4, ["best"], {"epochs": 3})
    assert (found[1]["type"], found[1]["paths"]) == ("model", [str(tmp_path / "model.pt")])
    assert found[2] == {"name": "data:latest", "used": True}
    (saved,) = store.list_events(run.active, kind="file")["details"]
    assert saved["paths"] == [str(tmp_path / "model.pt")]


def test_what_else_a_run_is_told(store: TrainStore) -> None:
    """Alerts, of one title once a minute; a watched model; a new name, notes and tags; a summary of a curve."""
    with wandb.init(store=store) as run:
        run.log({"loss": 1.0}, step=4)
        for _ in range(3):
            run.alert("slow", "very", level="WARN")
        run.alert("odd", level="loud")
        run.alert("again", wait_duration=0)
        run.alert("again", wait_duration=0)
        wandb.watch(torch.nn.Linear(3, 2), log="all", log_freq=10)
        wandb.watch(Hostile())
        run.name, run.notes, run.tags = "renamed", "notes", ["a"]
        run.summary["loss"] = 0.1
        run.summary.update({"best": {"f1": 0.9}})
    record = store.get_run("renamed")
    alerts = store.list_events(record, kind="alert")["details"].tolist()
    assert [(alert["title"], alert["level"]) for alert in alerts] == [
        ("slow", "warn"), ("odd", "info"), ("again", "info"), ("again", "info")
    ]  # fmt: skip
    assert (record.notes, record.tags) == ("notes", {"a": True})
    assert record.metrics == {"loss": 1.0, "best.f1": 0.9}
    assert store.list_events(record, kind="summary")["details"].tolist() == [{"loss": 0.1}]
    assert store.list_runs()[["mth__num_parameters", "mth__model_class"]].iloc[0].tolist() == [8, "Linear"]
