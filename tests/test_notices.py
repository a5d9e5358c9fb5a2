"""The lines on standard error at the start and the end of a run, in processes of their own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures import forkserver
from trainstore.store import TrainStore

Start = Callable[..., Any]

TRAIN = """
import logging, os, sys
from trainstore.store import TrainStore

def train(store, name="lr0.01", **options):
    run = store.start_run(name=name, **options)
    for step in range(60):
        run.log({"loss": 1.0}, step=step)
    return run

def end(run):
    assert run.finish(timeout=60)
"""
SHOWN = {"TRAINSTORE_QUIET": "0"}  # in pytest nothing is said otherwise
AFTER = r"after [\d.]+ (s|min \d+ s)"


def lines(
    start_script: Start, code: str, *arguments: str, status: int = 0, env: dict[str, str] = SHOWN, **options: Any
) -> list[str]:
    """What a script writes to standard error."""
    script = start_script(TRAIN + code, *arguments, env=env, **options)
    script.finish(code=status)
    return script.stderr.splitlines()


def test_a_run_says_where_it_goes_and_how_it_ended(database_url: str, start_script: Start) -> None:
    """Two lines; the store is left out of the command if the environment names it. No password is ever shown."""
    env = SHOWN | {"TRAINSTORE_URL": database_url}
    begun, ended = lines(start_script, "end(train(TrainStore(sys.argv[1]), project='dickens'))", database_url, env=env)
    with TrainStore(database_url) as store:
        url = store.url
    place = url.removeprefix("sqlite:///") if url.startswith("sqlite") else url.replace(":***@", "@")
    assert re.fullmatch(
        rf"trainstore: run lr0\.01 \(project dickens\) → (\S*/)?{re.escape(Path(place).name)}; "
        r"look: trainstore show lr0\.01",
        begun,
    )
    assert re.fullmatch(rf"trainstore: run lr0\.01 finished at step 59 {AFTER}", ended)


@pytest.mark.parametrize("name", ["runs.db", "trainstore.db", "a store.db", "percent%20.db"])
def test_the_command_can_be_pasted(start_script: Start, tmp_path: Path, name: str) -> None:
    """It shows the run; the store's option is left out for the default path."""
    begun, _ = lines(start_script, "end(train(TrainStore(sys.argv[1]), 'my run'))", name, cwd=tmp_path)
    command = shlex.split(begun.partition("look: ")[2])
    assert command[:3] == ["trainstore", "show", "my run"]
    assert ("--store" in command) == (name != "trainstore.db")
    shown = forkserver.run([forkserver.command("trainstore"), *command[1:]], cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "my run" in shown.stdout


def test_a_password_is_not_in_the_command(start_script: Start) -> None:
    """Nor three stars, which cannot be pasted: it names the variable that the store's URL belongs into."""
    url = "postgresql://me:hidden-word@127.0.0.1:1/db"
    code = "train(TrainStore(sys.argv[1], offline_ok=True)); os._exit(0)"
    script = start_script(TRAIN + code, url, env=SHOWN)
    script.finish()
    (begun,) = [line for line in script.stderr.splitlines() if "→" in line]
    assert begun == (
        "trainstore: run lr0.01 → postgresql://me@127.0.0.1:1/db; "
        "look: trainstore show lr0.01 (with the URL of the database in TRAINSTORE_URL)"
    )
    assert "hidden-word" not in script.stderr


def test_a_prefix_is_part_of_the_command(start_script: Start, tmp_path: Path) -> None:
    """Unless the environment has it."""
    code = "train(TrainStore('trainstore.db', table_name_prefix='team_')).finish(timeout=60)"
    assert lines(start_script, code, cwd=tmp_path)[0].endswith("trainstore show lr0.01 --prefix team_")
    env = SHOWN | {"TRAINSTORE_PREFIX": "team_"}
    assert lines(start_script, code, cwd=tmp_path, env=env)[0].endswith("trainstore show lr0.01")


def test_a_name_that_many_runs_carry_is_remarked_on_once(database_url: str, start_script: Start) -> None:
    """With the uid that finds this one; digits and options are named by their uid at once."""
    with TrainStore(database_url) as store:
        assert store.start_run(name="lr0.01").finish()
    code = """
store = TrainStore(sys.argv[1])
for name in ("lr0.01", "lr0.01", "other", "7"):
    run = train(store, name)
    end(run)
    print(run.uid)
"""
    script = start_script(TRAIN + code, database_url, env=SHOWN | {"TRAINSTORE_URL": database_url})
    uids = script.finish()
    begun, ended = script.stderr.splitlines()[::2], script.stderr.splitlines()[1::2]
    assert ended[0].endswith(f"; 2 runs are called lr0.01; look: trainstore show {uids[0]}")
    assert [re.fullmatch(rf"trainstore: run \S+ finished at step 59 {AFTER}", line) is None for line in ended[1:]] == (
        [False] * 3
    )
    assert begun[3].endswith(f"trainstore show {uids[3]}")


@pytest.mark.parametrize(
    ("code", "expected", "status"),
    [
        ("run = train(store)", "finished at step 59 AFTER", 0),
        ("train(store).finish('failed', 'ValueError: no\\nmore')", "failed at step 59 AFTER: ValueError: no", 0),
        ("store.start_run(name='lr0.01'); sys.exit(3)", "failed without steps AFTER: SystemExit: 3", 3),
        ("store.start_run(name='lr0.01'); quit(4)", "failed without steps AFTER: SystemExit: 4", 4),
        ("train(store); store.close()", "finished at step 59 AFTER", 0),
    ],
    ids=["exit", "failed", "sys.exit", "quit", "close"],
)
def test_however_it_ends_it_is_said(start_script: Start, tmp_path: Path, code: str, expected: str, status: int) -> None:
    """Also where nobody calls finish(); one line of the error."""
    begin = "store = TrainStore('trainstore.db')\n"
    _, ended = lines(start_script, begin + code, cwd=tmp_path, status=status)
    assert re.fullmatch(f"trainstore: run lr0.01 {expected.replace('AFTER', AFTER)}", ended)


def test_a_resumed_run_goes_on(database_url: str, start_script: Start) -> None:
    """After which step; a handle that joins, another rank and a forked child say nothing."""
    with TrainStore(database_url) as store, store.start_run(name="lr0.01") as run:
        run.log({"loss": 1.0}, step=0)
    code = """
store = TrainStore(sys.argv[1])
with store.resume_run("lr0.01", step=0) as run:
    run.log({"loss": 2.0})
    assert run.flush(60)
    store.resume_run("lr0.01", rank=1).finish()
    pid = os.fork()
    if pid == 0:
        run.log({"child": 1.0}, step=1)
        run.finish()
        os._exit(0)
    os.waitpid(pid, 0)
store.start_run(name="second", rank=1).finish()
"""
    begun, ended = lines(start_script, code, database_url)
    assert "run lr0.01 goes on after step 0 →" in begun
    assert "run lr0.01 finished at step 1 after" in ended


@pytest.mark.parametrize(
    ("code", "env"),
    [
        ("", {"TRAINSTORE_QUIET": "1"}),
        ("", {}),  # in pytest, as PYTEST_CURRENT_TEST tells
        ("", SHOWN | {"TRAINSTORE_DISABLED": "1"}),
        ("logging.getLogger('trainstore').setLevel('WARNING')\n", SHOWN),
        ("logging.disable()\n", SHOWN),
        ("sys.stderr = None\n", SHOWN),
        ("sys.stderr.close()\n", SHOWN),
        ("os.close(2)\n", SHOWN),
    ],
    ids=["quiet", "pytest", "disabled", "level", "logging off", "no stderr", "closed stderr", "no descriptor"],
)
def test_it_can_be_silenced_and_nothing_raises(
    start_script: Start, tmp_path: Path, code: str, env: dict[str, str]
) -> None:
    """By the variable and by logging; standard error may be missing."""
    code += "store = TrainStore('trainstore.db')\nend(train(store))\ntrain(store)"
    assert lines(start_script, code, cwd=tmp_path, env=env) == []


def test_a_program_that_shows_log_records_gets_the_lines_there(start_script: Start, tmp_path: Path) -> None:
    """And nowhere else."""
    code = "logging.basicConfig(level='INFO', format='%(name)s|%(message)s')\nend(train(TrainStore('trainstore.db')))"
    begun, ended = [line for line in lines(start_script, code, cwd=tmp_path) if not line.startswith("alembic")]
    assert begun == "trainstore|run lr0.01 → trainstore.db; look: trainstore show lr0.01"
    assert ended.startswith("trainstore|run lr0.01 finished at step 59 after")


def test_nobody_reads_standard_error(start_script: Start, tmp_path: Path) -> None:
    """A pipe that is full, or closed at its other end: the training goes on and its exit status is its own."""
    code = """
read, write = os.pipe()
os.set_blocking(write, False)
try:
    while True: os.write(write, b"x" * 65536)
except BlockingIOError:
    os.set_blocking(write, True)
os.dup2(write, 2)
store = TrainStore("trainstore.db")
end(train(store))
os.close(read)
end(train(store))
train(store)
"""
    assert lines(start_script, code, cwd=tmp_path) == []
    with TrainStore(tmp_path / "trainstore.db") as store:
        assert store.list_runs()["status"].tolist() == ["finished"] * 3


def test_a_terminal_without_arrows(start_script: Start, tmp_path: Path) -> None:
    """Gets the line in what it can show."""
    env = SHOWN | {"PYTHONIOENCODING": "ascii"}
    begun, _ = lines(start_script, "end(train(TrainStore('trainstore.db'), 'größer'))", cwd=tmp_path, env=env)
    assert begun.startswith("trainstore: run gr??er -> trainstore.db; look: trainstore show ")


def test_progress_bars_stay_whole(start_script: Start, tmp_path: Path) -> None:
    """With a bar of tqdm on the screen the lines stand above it, each on a line of its own."""
    code = """
from tqdm.auto import tqdm
with tqdm(total=10, file=sys.stderr, ncols=60, mininterval=0) as bar:
    run = train(TrainStore("trainstore.db"))
    bar.update(10)
    end(run)
"""
    script = start_script(TRAIN + code, env=SHOWN, cwd=tmp_path)
    script.finish()
    written = [part for line in script.stderr.split("\n") for part in line.split("\r") if part.strip()]
    ours = [part for part in written if "trainstore:" in part]
    assert len(ours) == 2
    assert all(part.startswith("trainstore: run lr0.01 ") for part in ours)
    assert written[-1].startswith("100%")


def test_a_trainer_says_the_same_beside_its_bar(start_script: Start, tmp_path: Path) -> None:
    """The callback's run has the two lines, and the Trainer's bar stays whole."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from fixtures.trainers import build_trainer
from trainstore.integrations.transformers import TrainStoreCallback
callback = TrainStoreCallback("trainstore.db", name="tiny")
build_trainer(Path.cwd() / "out", callbacks=[callback], max_steps=4, disable_tqdm=False).train()
"""
    script = start_script(code, env=SHOWN, cwd=tmp_path, libraries="trainer")
    script.finish()
    written = [part for line in script.stderr.split("\n") for part in line.split("\r") if "trainstore:" in part]
    begun, ended = written
    assert begun.startswith("trainstore: run tiny → trainstore.db; look: trainstore show tiny")
    assert ended.startswith("trainstore: run tiny finished at step 4 after ")


def test_the_wait_for_the_database_is_not_part_of_the_run(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line at the end says how long the run took, even if its last records wait to be stored."""
    clock, told = [0], []
    run = store.start_run("quick")
    monkeypatch.setattr("trainstore.run.now", lambda: run._attempt["opened_at"] + clock[0])
    monkeypatch.setattr("trainstore.run.notices.tell_ended", lambda *_, seconds, **__: told.append(seconds))
    assert run._service is not None
    finish = run._service.finish

    def finish_late(*arguments: Any) -> bool:
        clock[0] += 100_000_000
        return finish(*arguments)

    monkeypatch.setattr(run._service, "finish", finish_late)
    clock[0] = 2_000_000
    assert run.finish()
    assert told == [2.0]
