"""How a training's process may end, and what its run says when the store is opened next."""

import json
import os
import signal
import textwrap

import pytest

from fixtures.processes import Script
from fixtures.trainers import TESTS
from trainstore import TrainStore

#: Imports once what takes seconds, then forks a process for each line: there the rest of the script is the training,
#: at the top level, with an interpreter's whole end.
SCRIPT = """
    import json, os, signal, sys, threading
    from pathlib import Path

    sys.path.insert(0, sys.argv[1])

    from transformers import TrainerCallback

    from fixtures.trainers import Crash, build_trainer
    from trainstore.integrations.transformers import TrainStoreCallback

    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            break
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    else:
        sys.exit()

    ending = task["ending"]
    os.environ["TRAINSTORE_JOURNAL_DIR"] = task["journals"]

    class Ends(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                if ending in ("exception", "caught", "thread"):
                    raise Crash("for the test")
                if ending == "exit":
                    sys.exit(3)
                os.kill(os.getpid(), getattr(signal, ending))
                signal.pause()

    trainer = build_trainer(
        Path(task["folder"]), callbacks=[TrainStoreCallback(task["url"]), Ends()],
        logging_steps=task.get("logging_steps", 5),
    )
    if ending == "thread":
        thread = threading.Thread(target=trainer.train)
        thread.start()
        thread.join()
    elif ending == "caught":
        try:
            trainer.train()
        except Crash:
            pass
    else:
        trainer.train()
"""


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """The process that forks."""
    path = tmp_path_factory.mktemp("crashes") / "parent.py"
    path.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    script = Script(path, (str(TESTS),), libraries="trainer")
    yield script
    script.close()


@pytest.mark.parametrize(
    ("ending", "code", "status", "error"),
    [
        ("exception", 1, "failed", "Crash: for the test"),
        ("caught", 0, "failed", "Crash: for the test"),
        ("thread", 0, "failed", "Crash: for the test"),
        ("exit", 3, "failed", "SystemExit: 3"),
        ("SIGINT", -signal.SIGINT, "interrupted", "KeyboardInterrupt"),
        ("SIGTERM", -signal.SIGTERM, "lost", None),
        ("SIGKILL", -signal.SIGKILL, "lost", None),
    ],
)
def test_how_a_process_ends(new_database, parent, tmp_path, ending, code, status, error):
    """What can be caught marks the run; a signal that no hook sees leaves it lost."""
    url = new_database("sqlite")
    journals = os.environ["TRAINSTORE_JOURNAL_DIR"]
    parent.send(json.dumps({"ending": ending, "url": url, "folder": str(tmp_path), "journals": journals}))
    assert parent.wait_for("ended ") == f"ended {code}", parent.stderr
    with TrainStore(url) as store:
        (uid,) = store.list_runs()["uid"]
        run = store.get_run(uid)
        assert (run.status, run.error) == (status, error)
        steps = store.list_step_logs(uid)["step"].to_list()
        assert steps == [1, 2, 3]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_between_a_step_and_its_log(new_database, parent, tmp_path, kind):
    """A step that its log joins is recorded with it: SIGKILL just before costs that step, and none before it."""
    url = new_database(kind)
    task = {"ending": "SIGKILL", "url": url, "folder": str(tmp_path), "logging_steps": 1}
    parent.send(json.dumps({**task, "journals": os.environ["TRAINSTORE_JOURNAL_DIR"]}))
    assert parent.wait_for("ended ") == f"ended {-signal.SIGKILL}", parent.stderr
    with TrainStore(url) as store:
        (uid,) = store.list_runs()["uid"]
        steps = store.list_step_logs(uid)
    assert steps["step"].to_list() == [1, 2]
    assert steps[["loss", "loss_window"]].notna().all(axis=None)
