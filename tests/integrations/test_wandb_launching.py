"""Unchanged scripts that import wandb: ``python -m trainstore.integrations.wandb script.py``, and what they import."""

import importlib.metadata
import importlib.util
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

from fixtures.in_place import in_place
from trainstore import TrainStore
from trainstore.integrations import wandb as ours
from trainstore.integrations.wandb import launching, parts
from trainstore.integrations.wandb.names import Nothing

__all__ = ["in_place"]

LAUNCH = ("-m", "trainstore.integrations.wandb")
KEY = "0123456789abcdef" * 2 + "01234567"
PLAIN = "def init(*args, **kwargs): pass\nlog = init\n"  # a wandb that records nothing
SCRIPT = """
    import sys
    import wandb

    print(__name__, __file__, __spec__, sys.argv, sys.path[0], sys.flags.bytes_warning, sys.warnoptions)

    def train(learning_rate):
        wandb.init(project="launched", name="script", config={"lr": learning_rate})
        wandb.log({"loss": 0.5})
        raise ValueError("no more data")

    if __name__ == "__main__":
        train(float(sys.argv[1]))
"""
WAITS = """
    import time
    import wandb

    wandb.init(project="launched", name="waits")
    wandb.log({"loss": 0.5})
    print("logged", flush=True)
    time.sleep(60)
"""
CHILDREN = """
    import multiprocessing, subprocess, sys
    import wandb

    def train(name):
        with wandb.init(project="launched", name=name) as run:
            run.log({"loss": 0.5})

    if __name__ == "__main__":
        process = multiprocessing.get_context("spawn").Process(target=train, args=("spawned",))
        process.start()
        subprocess.run([sys.executable, "-c", "import children; children.train('started')"], check=True)
        process.join()
        train("parent")
        exit(3)
"""
#: What must not be touched: files with keys, and the network.
GUARD = """
    import sys

    def guard(event, arguments):
        if event == "socket.connect" or (event == "open" and "netrc" in str(arguments[0])):
            raise SystemExit(f"{event} {arguments}")

    sys.addaudithook(guard)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for scripts, with a package wandb of another origin on the path."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "wandb.py").write_text(PLAIN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return tmp_path


def write(folder, name, code, *, guarded=True):
    """Write a script."""
    text = textwrap.dedent(GUARD) * guarded + textwrap.dedent(code)
    (folder / name).write_text(text, encoding="utf-8")


def python(folder, *arguments, code=0, **environment):
    """Run Python in the folder: what it wrote, without trainstore's lines."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, re.sub(r"^trainstore: .*\n", "", done.stderr, flags=re.MULTILINE)


def test_a_script_sees_what_plain_python_shows_it(folder, local_url):
    """``__main__``, sys.argv, sys.path[0], Python's options, the traceback, the exit code; its run failed."""
    write(folder, "script.py", SCRIPT)
    options = ("-b", "-W", "error::DeprecationWarning")
    plain = python(folder, *options, "script.py", "0.1", "--flag", code=1)
    launched = python(folder, *options, *LAUNCH, "script.py", "0.1", "--flag", code=1, TRAINSTORE_URL=local_url)
    assert launched == plain
    assert "ValueError: no more data" in plain[1]
    with TrainStore(local_url) as store:
        run = store.get_run("script")
        assert (run.status, run.error) == ("failed", "ValueError: no more data")
        assert (run.hyperparams["lr"], run.metrics["loss"]) == (0.1, 0.5)


def test_ctrl_c_reaches_the_script(folder, local_url):
    """The script is the process that was started: it is interrupted, and so is its run."""
    write(folder, "waits.py", WAITS)
    arguments = [sys.executable, "-u", *LAUNCH, "waits.py"]
    environment = os.environ | {"TRAINSTORE_URL": local_url}
    with subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "logged\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == -signal.SIGINT
        finally:
            process.kill()
    with TrainStore(local_url) as store:
        assert store.get_run("waits").status == "interrupted"


def test_processes_that_it_starts_record_too(folder, local_url):
    """Children of multiprocessing, other Pythons and a module started by -m; the exit code is the script's."""
    write(folder, "children.py", CHILDREN, guarded=False)
    python(folder, *LAUNCH, "-m", "children", code=3, TRAINSTORE_URL=local_url)
    with TrainStore(local_url) as store:
        runs = store.list_runs(project="launched")
        assert sorted(runs["name"]) == ["parent", "spawned", "started"]
        assert runs["status"].tolist() == ["finished"] * 3
        assert runs["metric__loss"].tolist() == [0.5] * 3


def test_what_cannot_be_run_is_told_in_one_line(folder, capsys, monkeypatch):
    """Options that are none, Python without its environment, a Python that has no trainstore."""
    for arguments, expected in (
        (["-c", "pass"], "there is no option '-c'"),
        (["-m"], "-m needs the name of a module"),
    ):
        monkeypatch.setattr(sys, "argv", ["wandb", *arguments])
        with pytest.raises(SystemExit, match="2"):
            launching.main()
        assert expected in capsys.readouterr().err
    assert "ignore PYTHONPATH" in python(folder, "-I", *LAUNCH, "script.py", code=2)[1]
    _, told = python(folder, "-S", "-c", "import wandb", code=1, PYTHONPATH=str(launching.FOLDER))
    assert re.search(r"ImportError: wandb is replaced by .* has no trainstore: install it there", told)


# --- In its place, in this process ------------------------------------------------------------------------------------


def test_it_is_one_module(in_place):
    """Also for those who ask whether W&B is there, and which; none of our files is loaded a second time."""
    assert importlib.util.find_spec("wandb") is not None
    assert importlib.metadata.version("wandb") == ours.__version__
    import wandb
    import wandb.errors
    import wandb.sdk.wandb_run
    from wandb.util import generate_id

    assert wandb is ours
    assert wandb.sdk.wandb_run.Run is ours.Run
    assert wandb.errors.CommError is ours.CommError
    assert re.fullmatch("[0-9a-z]{8}", generate_id())
    assert importlib.util.find_spec("wandb.integration.keras") is not None
    with pytest.raises(ModuleNotFoundError, match=r"^wandb\.runs is not in trainstore"):
        import wandb.runs


@pytest.mark.parametrize("path", parts.NAMES)
def test_names_in_submodules_are_ours(in_place, path):
    """Each is something, and not what stands for a missing name."""
    module = importlib.import_module(f"wandb.{path}")
    for name in parts.NAMES[path].split():
        assert not isinstance(getattr(module, name), Nothing)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("from wandb.integration.sb3 import WandbCallback", "wandb.integration.sb3 is not in trainstore"),
        ("import wandb.sklearn", "wandb.sklearn is not in trainstore"),
        ("from wandb.util import nothing", "wandb.util.nothing is not in trainstore"),
        ("from wandb import Api", "trainstore has no wandb.Api: TrainStore().list_runs"),
    ],
)
def test_what_is_missing_is_told_in_one_line(in_place, line, told):
    """As an ImportError at the line that imports it, before any training."""
    with pytest.raises(ImportError, match=f"^{re.escape(told)}") as raised:
        exec(line)
    assert "\n" not in str(raised.value)


def test_somebody_seems_to_be_logged_in(in_place):
    """Scripts that ask for W&B's key before they begin go on; what else the server has is told to be missing."""
    from wandb import api

    ours.ensure_configured()
    assert api.api_key
    with pytest.raises(AttributeError, match=r"^trainstore has no wandb.api.runs: TrainStore\(\)"):
        api.runs("project")
