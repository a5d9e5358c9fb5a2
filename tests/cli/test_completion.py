"""The shell's completion: its script, and the runs and metrics that it offers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fixtures import forkserver
from trainstore import TrainStore


@pytest.fixture
def complete():
    """What is offered for a line whose last word is begun; nothing may be said on standard error."""

    def run(*words, **environment):
        line = " ".join(f"'{word}'" for word in ("trainstore", *words))
        done = forkserver.run(
            [forkserver.command("trainstore")],
            env={
                "_TRAINSTORE_COMPLETE": "bash_complete",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(words)),
                **environment,
            },
        )
        assert (done.returncode, done.stderr) == (0, "")
        return [item.partition(",")[2] for item in done.stdout.splitlines() if item]

    return run


@pytest.fixture
def store_of_names(database_url, monkeypatch):
    with TrainStore(database_url) as store:
        uids = {}
        for name in ("alpha", "alpine", "twice", "twice", "with space; rm", "50%_x"):
            with store.start_run(name=name) as run:
                run.log({"loss": 1.0, "lr": 0.1, "odd name": 1.0}, step=0)
            uids[name] = run.uid
    monkeypatch.setenv("TRAINSTORE_URL", database_url)
    return uids


def test_commands_and_options_are_completed(complete):
    """Click knows them."""
    assert complete("exp") == ["export"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]
    assert "--escape-formulas" in complete("export", "--e")
    assert complete("export", "x", "--format", "p") == ["parquet"]


def test_runs_are_completed(complete, store_of_names):
    """By name where it is one word and one run's, else by uid; the newest first."""
    assert complete("show", "al") == ["alpine", "alpha"]
    assert complete("compare", "alpha", "alpi") == ["alpine"]
    assert complete("rm", store_of_names["alpha"][:8]) == [store_of_names["alpha"]]
    assert complete("show", "50%") == ["50%_x"]
    offered = complete("export", "")
    assert len(offered) == 6
    assert store_of_names["with space; rm"] in offered
    assert store_of_names["twice"] in offered
    assert "twice" not in offered
    assert complete("show", "nothing like it") == []


def test_words_that_name_no_run_are_not_completed_as_runs(complete, store_of_names, database_url):
    """After the run, tag offers the names of tags, and note nothing; after a filter no run is named at all."""
    with TrainStore(database_url) as store:
        store.set_tags("alpha", {"alright": True, "owner": "ann", "two words": 1})
    assert complete("tag", "al") == ["alpine", "alpha"]
    assert complete("tag", "alpha", "") == ["alright", "owner"]
    assert complete("tag", "--name", "alpine", "al") == ["alright"]
    assert complete("note", "al") == ["alpine", "alpha"]
    assert complete("note", "alpha", "al") == []
    assert complete("note", "--name", "alpine", "al") == []


def test_metrics_are_completed(complete, store_of_names):
    """Where a metric is asked for; those with spaces are left out."""
    assert complete("best", "l") == ["loss", "lr"]
    assert complete("show", "alpha", "--metric", "") == ["loss", "lr"]


def test_the_store_of_the_line_is_asked(complete, database_url, store_of_names):
    """--store in front of the run counts more than the environment; --prefix too."""
    with TrainStore(database_url, table_name_prefix="other_") as store:
        store.start_run(name="elsewhere").finish()
    line = ("show", "--store", database_url)
    assert complete(*line, "alpi", TRAINSTORE_URL="nowhere.db") == ["alpine"]
    assert complete(*line, "--prefix", "other_", "") == ["elsewhere"]


@pytest.mark.parametrize("url", ["nowhere.db", "foo://x", "postgresql://u:p@127.0.0.1:1/x", "empty.db", "text.db"])
def test_errors_while_completing_are_silent(complete, url, tmp_path, monkeypatch):
    """No store, no server, no schema, no database: nothing is offered, said or made."""
    monkeypatch.chdir(tmp_path)
    Path("empty.db").touch()
    Path("text.db").write_text("no database" * 100)
    assert complete("show", "x", TRAINSTORE_URL=url) == []
    assert complete("best", "x", TRAINSTORE_URL=url) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.db", "text.db"]
    assert Path("empty.db").stat().st_size == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(call, shell, tmp_path):
    """It names the command's variable; where the shell is installed, it finds nothing wrong with it."""
    code, out, err = call("completion", shell)
    assert (code, err) == (0, "")
    assert f"_TRAINSTORE_COMPLETE={shell}_complete" in out
    if shutil.which(shell):
        (tmp_path / "script").write_text(out)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)
    assert call("completion", "tcsh").code == 2


def test_bash_completes(call, store_of_names, command, tmp_path):
    """In a real bash the script offers a run."""
    (tmp_path / "trainstore").write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
    (tmp_path / "trainstore").chmod(0o755)
    (tmp_path / "script").write_text(call("completion", "bash").out)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f". {tmp_path}/script; COMP_WORDS=(trainstore show alpi); COMP_CWORD=2; "
            '_trainstore_completion trainstore; echo "${COMPREPLY[@]}"',
        ],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "alpine\n", done.stderr


def test_help_is_light(start_script):
    """`trainstore --help` and completing a command load none of the large libraries."""
    script = start_script(
        """
        import sys
        from trainstore.cli import cli
        try:
            cli.main(["--help"], prog_name="trainstore")
        except SystemExit:
            pass
        print([name for name in ("pandas", "numpy", "sqlalchemy", "alembic", "rich", "orjson", "trainstore.values")
               if name in sys.modules])
        """,
        libraries=None,
    )
    assert script.finish()[-1] == "[]"
