"""How a training's process may end, and what its run says when the store is opened next."""

import signal

import pytest

from fixtures.trainers import TESTS
from trainstore import TrainStore

SCRIPT = """
    import os, signal, sys, threading
    from pathlib import Path

    tests, url, folder, ending = sys.argv[1:]
    sys.path.insert(0, tests)

    from transformers import TrainerCallback

    from fixtures.trainers import Crash, build_trainer
    from trainstore.integrations.transformers import TrainStoreCallback

    class Ends(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                if ending in ("exception", "caught", "thread"):
                    raise Crash("for the test")
                if ending == "exit":
                    sys.exit(3)
                os.kill(os.getpid(), getattr(signal, ending))
                signal.pause()

    trainer = build_trainer(Path(folder), callbacks=[TrainStoreCallback(url), Ends()])
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
def test_how_a_process_ends(new_database, start_script, tmp_path, ending, code, status, error):
    """What can be caught marks the run; a signal that no hook sees leaves it lost."""
    url = new_database("sqlite")
    start_script(SCRIPT, TESTS, url, tmp_path, ending).finish(code=code)
    with TrainStore(url) as store:
        (uid,) = store.list_runs()["uid"]
        run = store.get_run(uid)
        assert (run.status, run.error) == (status, error)
        steps = store.list_step_logs(uid)["step"].to_list()
        assert steps == [1, 2, 3]
