"""``report_to="trainstore"`` from the command line, as in transformers' example scripts; with and without an import."""

import importlib
import sys
from dataclasses import dataclass, field

import pytest
import torch
from accelerate import Accelerator
from transformers import GPT2Config, GPT2LMHeadModel, HfArgumentParser, Trainer, TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

import trainstore.integrations.transformers  # noqa: F401 - makes the name known
from fixtures.trainers import VOCABULARY, tokens
from trainstore import TrainStore
from trainstore.integrations import __main__ as launcher
from trainstore.integrations import afterwards, unchanged


@dataclass
class ModelArguments:
    """As the examples have them."""

    width: int = field(default=8, metadata={"help": "Of the layers."})


def main(arguments):
    """A script in the style of the examples: three groups of arguments from one command line."""
    parser = HfArgumentParser((ModelArguments, TrainingArguments))
    model_args, training_args = parser.parse_args_into_dataclasses(arguments)
    torch.manual_seed(training_args.seed)
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=12, n_embd=model_args.width, n_layer=1, n_head=1)
    trainer = Trainer(
        model=GPT2LMHeadModel(config), args=training_args, train_dataset=tokens(16), eval_dataset=tokens(4)
    )
    trainer.train()


def arguments(folder, **more):
    """A command line that trains for four steps."""
    options = {
        "output_dir": folder / "out",
        "max_steps": 4,
        "per_device_train_batch_size": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "trainstore",
        **more,
    }
    return [text for name, value in options.items() for text in (f"--{name}", str(value))]


def test_an_example_script_is_recorded_by_its_command_line(database_url, monkeypatch, tmp_path):
    """``--report_to trainstore --run_name …``: the store and the project come from the environment."""
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    monkeypatch.setenv("TRAINSTORE_PROJECT", "examples")
    main(arguments(tmp_path, run_name="from the command line", learning_rate=1e-3))
    with TrainStore(database_url) as store:
        run = store.get_run("from the command line")
        assert (run.project, run.status, run.last_step) == ("examples", "finished", 4)
        assert (run.hyperparams["learning_rate"], run.model_hyperparams["n_embd"]) == (1e-3, 8)
        log = store.list_step_logs(run)
        assert log["loss"].notna().all()
        assert log["eval_loss"].notna().tolist() == [False, True, False, True]


@pytest.fixture
def unknown_name(monkeypatch):
    """The name is in no table, as if nothing of ours had been imported."""
    monkeypatch.delitem(INTEGRATION_TO_CALLBACK, "trainstore")
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


def test_without_an_import_transformers_names_the_trackers_that_it_knows(unknown_name, tmp_path):
    """What the documentation says happens then."""
    with pytest.raises(ValueError, match="trainstore is not supported, only"):
        main(arguments(tmp_path))


def test_the_name_can_be_made_known_to_libraries_that_are_loaded(unknown_name, local_url, monkeypatch, tmp_path):
    """`make_known` does what the imports do; once is enough."""
    monkeypatch.setenv("TRAINSTORE_URL", local_url)
    unchanged.make_known()
    unchanged.make_known()
    main(arguments(tmp_path, run_name="loaded", max_steps=2))
    with TrainStore(local_url) as store:
        assert store.get_run("loaded").status == "finished"
    assert sum(isinstance(finder, afterwards._Afterwards) for finder in sys.meta_path) == 1


def test_the_name_is_known_to_a_library_that_is_imported_once_more(monkeypatch, tmp_path):
    """Its first import failed, which scripts catch; or it was reloaded."""
    (tmp_path / "late_library.py").write_text("import os\nTABLE = {}\nos.environ['LATE_LIBRARY']\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setitem(unchanged.TABLES, "late_library", lambda module: module.TABLE.update(trainstore=True))
    monkeypatch.delitem(sys.modules, "late_library", raising=False)
    unchanged.make_known()
    with pytest.raises(KeyError):
        importlib.import_module("late_library")
    monkeypatch.setenv("LATE_LIBRARY", "there")
    module = importlib.import_module("late_library")
    assert module.TABLE == {"trainstore": True}
    assert importlib.reload(module).TABLE == {"trainstore": True}
    del sys.modules["late_library"]


SCRIPT = """
    import sys

    import torch
    from accelerate import Accelerator
    from transformers import GPT2Config, GPT2LMHeadModel, HfArgumentParser, Trainer, TrainingArguments

    import beside_the_script

    assert "trainstore.integrations.transformers" not in sys.modules

    def main():
        (args,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()
        row = torch.arange(8)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=8, n_embd=8, n_layer=1, n_head=1))
        Trainer(model=model, args=args, train_dataset=[{"input_ids": row, "labels": row}] * 16).train()
        accelerator = Accelerator(cpu=True, log_with=args.report_to)
        accelerator.init_trackers("looped")
        accelerator.log({"loss": 0.5}, step=0)
        accelerator.end_training()
        print(__name__, sys.argv[0].endswith("unchanged.py"), sys.argv[1])
        sys.exit(3)

    if __name__ == "__main__":
        main()
"""


def test_a_script_that_does_not_know_trainstore_runs_unchanged(local_url, start_script, tmp_path, monkeypatch):
    """``python -m trainstore.integrations script.py``: the names are known; argv, path and exit code are its own."""
    monkeypatch.setenv("TRAINSTORE_URL", local_url)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "beside_the_script.py").touch()
    script = folder / "unchanged.py"
    lines = SCRIPT.split("\n")
    script.write_text("\n".join(line.removeprefix("    ") for line in lines))
    launch = f"import runpy, sys\nrunpy.run_module({launcher.MODULE!r}, run_name='__main__', alter_sys=True)\n"
    process = start_script(launch, script, *arguments(tmp_path, eval_strategy="no"), libraries=None)
    assert process.finish(code=3)[-1] == "__main__ True --output_dir"
    with TrainStore(local_url) as store:
        runs = store.list_runs()
        assert sorted(zip(runs["source"], runs["status"], runs["last_step"], strict=True)) == [
            ("accelerate", "finished", 0),
            ("transformers", "finished", 4),
        ]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["nowhere.py"], "there is no script 'nowhere.py'"),
        (["-m"], "-m needs the name of a module"),
        (["--report_to", "trainstore"], "there is no option '--report_to'"),
        ([], "usage: python -m trainstore.integrations script.py"),
    ],
)
def test_a_command_line_that_runs_nothing_says_why(command, message, monkeypatch, capsys):
    """Exit code 2, and one line."""
    monkeypatch.setattr(sys, "argv", ["-m", *command])
    with pytest.raises(SystemExit) as exit_:
        launcher.main()
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_a_module_runs_unchanged_too(monkeypatch, capsys):
    """``python -m trainstore.integrations -m module``: its arguments are its own."""
    monkeypatch.setattr(sys, "argv", ["-m", "-m", "trainstore", "--version"])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    with pytest.raises(SystemExit) as exit_:
        launcher.main()
    assert exit_.value.code == 0
    assert "trainstore" in capsys.readouterr().out


def test_the_help_of_the_command_line_is_not_an_error(monkeypatch, capsys):
    """On standard output, exit code 0."""
    monkeypatch.setattr(sys, "argv", ["-m", "--help"])
    with pytest.raises(SystemExit) as exit_:
        launcher.main()
    assert exit_.value.code == 0
    assert "accelerate launch -m trainstore.integrations" in capsys.readouterr().out


def test_accelerate_makes_our_tracker_of_the_name(unknown_name, monkeypatch, local_store):
    """The stand-in in Accelerate's table takes what a tracker takes."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    monkeypatch.delitem(LOGGER_TYPE_TO_CLASS, "trainstore", raising=False)
    unchanged.make_known()
    accelerator = Accelerator(cpu=True, log_with="trainstore")
    accelerator.init_trackers("p", init_kwargs={"trainstore": {"store_or_run": local_store, "name": "by name"}})
    accelerator.log({"loss": 1.0}, step=0)
    accelerator.end_training()
    assert local_store.get_run("by name").status == "finished"
