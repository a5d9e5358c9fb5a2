"""The main job: real models on real text, through the callback, on both databases."""

import json
import shlex
import sysconfig

import pytest

from fixtures.garbage import leave_libraries_out
from trainstore import TrainStore, demo
from trainstore.backends import open_backend
from trainstore.cli import main
from trainstore.cli.demo import _path_command, _report_line
from trainstore.dashboard.report import is_report
from trainstore.demo import BLOCK, blocks, texts


@pytest.fixture
def short_demo(monkeypatch):
    """Less text and smaller batches; the grid, the models and what is recorded stay the same."""
    from transformers import Trainer  # noqa: F401

    leave_libraries_out()
    training, held_out = texts()
    monkeypatch.setattr(demo, "texts", lambda: (training[: 256 * BLOCK], held_out[: 4 * BLOCK]))
    monkeypatch.setattr(demo, "BATCH", 4)


def test_the_text_is_split_without_overlap():
    """Training and held-out text are different topics of Python's documentation, cut into whole blocks."""
    training, held_out = texts()
    assert len(training) > 5 * len(held_out) > 100_000
    assert held_out[:2000] not in training
    examples = blocks(held_out)
    assert len(examples) == len(held_out) // BLOCK
    assert bytes(examples[3]["input_ids"].tolist()) == held_out[3 * BLOCK : 4 * BLOCK]


@pytest.mark.parametrize("trainer", ["transformers", "torch"])
def test_the_demo_trains_and_names_the_best_run(trainer, short_demo, database_url, capsys, monkeypatch):
    """Four runs are recorded step by step, their losses fall, and the best is the one that eval_loss says."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--trainer", trainer, "--steps", "24", "--json"])
    assert exit_.value.code == 0
    answer = json.loads(capsys.readouterr().out)
    with TrainStore(database_url) as store:
        runs = store.list_runs()
        assert len(runs) == 4
        assert set(runs["status"]) == {"finished"}
        assert set(runs["hp__width"]) == {32, 64}
        assert set(runs["hp__learning_rate"]) == {3e-4, 3e-3}
        lowest = {}
        for uid in runs["uid"]:
            log = store.list_step_logs(uid)
            assert log["step"].tolist() == list(range(1, 25))
            assert log["loss"].notna().all()
            assert log["loss"].iloc[-5:].mean() < log["loss"].iloc[:5].mean()
            lowest[uid] = log["eval_loss"].min()
        assert answer["best"]["uid"] == min(lowest, key=lowest.get)
        assert answer["best"]["sort_metric_value"] == min(lowest.values())


def test_the_demo_in_words(short_demo, tmp_path, capsys, monkeypatch):
    """Without --json the demo shows its progress, the runs, the best one and how to look further."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--steps", "20"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    for words in ("80 of 80 steps", "Best by eval_loss: width-", "trainstore best eval_loss", "width-64-lr-0.003"):
        assert words in out
    assert "\n  trainstore ui\n" in out
    assert "A report of these runs, to be opened in a browser: demo-report.html\n" in out
    assert (tmp_path / "trainstore.db").exists()
    assert is_report(tmp_path / "demo-report.html")


def test_the_demos_report(database_url, tmp_path, monkeypatch):
    """It lies beside the store; an earlier report is replaced, another file is kept, and no error ends the demo."""
    monkeypatch.chdir(tmp_path)
    with TrainStore(database_url) as store:
        run = store.start_run("one")
        run.log({"loss": 1.0})
        run.finish()
        backend = open_backend(database_url)
        folder = tmp_path if getattr(backend, "path", None) is None else backend.path.parent
        path = folder / "demo-report.html"
        for _ in range(2):
            assert _report_line(store, backend, [run.uid]).endswith(": demo-report.html")
            assert is_report(path)
        path.write_text("mine")
        assert "already exists" in _report_line(store, backend, [run.uid])
        assert path.read_text() == "mine"
        path.unlink()
        path.mkdir()
        assert "There is no report of these runs" in _report_line(store, backend, [run.uid])


def test_the_next_commands_can_be_found(monkeypatch):
    """If the environment is not activated, as after `make demo`, the first of the next commands activates it."""
    scripts = sysconfig.get_path("scripts")
    monkeypatch.setenv("PATH", "/nowhere")
    assert _path_command() == f"  export PATH={shlex.quote(scripts)}:$PATH\n"
    monkeypatch.setenv("PATH", scripts)
    assert _path_command() == ""


def test_the_demo_names_what_is_missing(tmp_path, capsys, monkeypatch):
    """Without transformers it says what to install, in one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "accelerate", None)
    with pytest.raises(SystemExit) as exit_:
        main(["demo"])
    assert exit_.value.code == 1
    assert "pip install 'trainstore[transformers]'" in capsys.readouterr().err
