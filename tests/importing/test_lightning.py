"""Lightning's CSVLogger: which runs there are, their hyperparameters, and what is named when it cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from importing.reading import SAMPLES, hyperparams, points, runs_of, true_points, truth, unread_of
from trainstore.errors import SourceError
from trainstore.importing import import_runs, lightning
from trainstore.importing.foreign import Entry, ForeignRun, Step
from trainstore.importing.places import Place
from trainstore.store import TrainStore

SAMPLE = SAMPLES / "lightning_csv"


def entries(run: ForeignRun) -> list[Entry]:
    return list(run.sessions[0].entries())


def version(folder: Path, metrics: str, hparams: str | None = "lr: 0.1\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(metrics, encoding="utf-8")
    if hparams is not None:
        (folder / "hparams.yaml").write_text(hparams, encoding="utf-8")
    return folder


@pytest.mark.parametrize("installed", [True, False])
def test_the_sample_is_read_with_and_without_pyyaml(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points, epochs and nested hyperparameters are the truth's; epoch means stand in their last step."""
    if not installed:
        monkeypatch.setitem(sys.modules, "yaml", None)
    (run,) = truth("lightning_csv")
    found = entries(runs_of(lightning, SAMPLE)[run["source_id"]])
    assert points(found) == true_points(run["points"])
    assert hyperparams(found) == run["params"]
    assert {(entry.step, entry.epoch) for entry in found if isinstance(entry, Step)} == {
        (step, values["epoch"]) for step, values in run["calls"]
    }


def test_what_only_pyyaml_reads_comes_once_it_is_there(
    tmp_path: Path, store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was imported without it is read again."""
    version(tmp_path / "logs/version_0", "loss,step\n1.0,0\n", "lr: 0.1\nbetas: [0.9, 0.99]\n")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "yaml", None)
        import_runs(store, tmp_path / "logs")
        (uid,) = store.list_runs()["uid"]
        assert store.get_run(uid).hyperparams == {"lr": 0.1}
        assert import_runs(store, tmp_path / "logs").counts["unchanged"] == 1
    import_runs(store, tmp_path / "logs")
    assert store.get_run(uid).hyperparams == {"lr": 0.1, "betas": [0.9, 0.99]}
    assert import_runs(store, tmp_path / "logs").counts["unchanged"] == 1


@pytest.mark.parametrize("source", ["", "größe", "größe/version_0", "größe/version_0/metrics.csv"])
def test_a_run_is_the_same_wherever_the_source_begins(source: str) -> None:
    """The logs' root, the folder of an experiment, a version and its file alone name the same run."""
    (run,) = runs_of(lightning, SAMPLE / source).values()
    (whole,) = runs_of(lightning, SAMPLE).values()
    assert lightning.is_at(Place.of(SAMPLE / source))
    assert run.identity == whole.identity
    assert run.name == ("version_0" if source == "größe" else "größe/version_0")
    assert len(points(entries(run))) == 54


def test_several_versions_are_several_runs(tmp_path: Path) -> None:
    """Each folder is one, of alike ones too; a metric that comes later changes no run's identity, but its digest."""
    rows = "loss,step\n1.0,0\n0.5,1\n"
    for name in ("a/version_0", "a/version_1", "b/version_0"):
        version(tmp_path / name, rows)
    found = runs_of(lightning, tmp_path)
    assert set(found) == {"a/version_0", "a/version_1", "b/version_0"}
    assert len({run.identity for run in found.values()}) == 3
    (tmp_path / "a/version_1/metrics.csv").write_text("acc,loss,step\n,1.0,0\n,0.5,1\n0.9,,1\n")
    again = runs_of(lightning, tmp_path)
    assert {name: run.identity for name, run in again.items()} == {name: run.identity for name, run in found.items()}
    stamps = {name for name, run in again.items() if run.sessions[0].stamp != found[name].sessions[0].stamp}
    assert stamps == {"a/version_1"}
    (tmp_path / "a/version_0/hparams.yaml").write_text("lr: 0.2\n")
    changed = runs_of(lightning, tmp_path)["a/version_0"]
    assert changed.sessions[0].stamp != found["a/version_0"].sessions[0].stamp


def test_torn_and_damaged_files_are_named(tmp_path: Path) -> None:
    """A last row that is not whole, rows without a step, and YAML that is none; what is whole is there."""
    version(tmp_path / "version_0", "loss,step\n1.0,0\n0.5,x\n0.25,2\n0.12", "lr: [1\n")
    (run,) = runs_of(lightning, tmp_path).values()
    assert points(entries(run)) == true_points([["loss", 0, 1.0], ["loss", 2, 0.25]])
    assert run.sessions[0].damage == [
        "the row at 16 has no step that is a whole number: 'x'",
        "the row at byte 29 is the last and has no line break: it may not be whole yet",
        "version_0/hparams.yaml is not YAML in line 2: did not find expected ',' or ']'",
    ]


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    """A version without a row or a step column is told beside those that are read; alone it is an error."""
    version(tmp_path / "version_0", "loss,step\n1.0,0\n")
    version(tmp_path / "version_1", "loss,step\n")
    version(tmp_path / "version_2", "loss,it\n1.0,0\n", None)
    (tmp_path / "metrics.csv").write_text("a,step\n1,0\n")
    assert unread_of(lightning, tmp_path) == {
        "version_1/metrics.csv": "has no rows yet",
        "version_2/metrics.csv": "has no column “step”",
    }
    with pytest.raises(SourceError, match=r"metrics\.csv has no rows yet"):
        runs_of(lightning, tmp_path / "version_1")
    assert not lightning.is_at(Place.of(tmp_path / "metrics.csv"))
    with pytest.raises(SourceError, match=r"holds no metrics\.csv of Lightning"):
        runs_of(lightning, tmp_path / "metrics.csv")


def test_a_training_that_began_again_in_its_folder_keeps_all_values(tmp_path: Path) -> None:
    """Steps that come again are put beside each other, in their order."""
    version(tmp_path / "version_0", "loss,step\n1.0,0\n0.5,1\n0.4,2\n0.6,1\n0.3,3\n")
    (run,) = runs_of(lightning, tmp_path).values()
    found = [(entry.step, entry.metrics["loss"]) for entry in entries(run) if isinstance(entry, Step)]
    assert found == [(0, 1.0), (1, 0.5), (1, 0.6), (2, 0.4), (3, 0.3)]
