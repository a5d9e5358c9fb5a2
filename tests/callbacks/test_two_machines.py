"""Two real processes that train together (gloo, on the CPU), each as if it were alone on a machine."""

import socket

from fixtures.trainers import TESTS
from trainstore import TrainStore

SCRIPT = """
    import socket, sys
    from pathlib import Path

    tests, folder, url, rank = sys.argv[1:]
    sys.path.insert(0, tests)
    socket.gethostname = lambda: f"node-{rank}.example.org"

    import torch
    from fixtures.trainers import build_trainer, tokens
    from trainstore.callbacks import (
        EarlyStoppingCallback, JsonLogger, ModelCheckpointCallback, ProgressCallback, SystemMetricsCallback, TBLogger,
    )
    from trainstore.integrations.transformers import TrainStoreCallback

    folder = Path(folder)
    callbacks = [
        TrainStoreCallback(url, name="two"), SystemMetricsCallback(0.1), EarlyStoppingCallback(2),
        ModelCheckpointCallback(folder / "best"), JsonLogger(folder / "log.jsonl"), TBLogger(folder / "board"),
        ProgressCallback(),
    ]
    trainer = build_trainer(
        folder, callbacks=callbacks, eval_dataset=tokens(8), eval_strategy="steps", eval_steps=10, max_steps=100,
        logging_steps=10, learning_rate=0.0, ddp_backend="gloo",
    )
    trainer.train()
    print("step", trainer.state.global_step)
    torch.distributed.destroy_process_group()
"""


def test_both_stop_and_only_one_writes(database_url, start_script, tmp_path):
    """Early stopping ends both; each machine's sensors are in the one run; logs and models are written once."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = str(chosen.getsockname()[1])
    common = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    scripts = [
        start_script(
            SCRIPT,
            TESTS,
            tmp_path / "train",
            database_url,
            rank,
            libraries="trainer",
            env={**common, "MASTER_PORT": port, "RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [[line for line in script.finish(timeout=120) if line.startswith("step")] for script in scripts] == [
        ["step 30"],
        ["step 30"],
    ]
    with TrainStore(database_url) as store:
        run = store.get_run("two")
        assert (run.status, run.last_step, run.attempts) == ("finished", 30, 1)
        assert store.list_step_logs(run)["step"].tolist() == list(range(1, 31))
        metrics = set(store.list_metrics(run)["metric"])
        assert {f"system/node-{rank}/cpu_percent" for rank in range(2)} <= metrics
        assert store.list_events(run, kind="no_improvement")["step"].tolist() == [30]
    log = (tmp_path / "train" / "log.jsonl").read_text()
    assert log.count('"on_train_begin"') == 1
    assert [path.name for path in (tmp_path / "train" / "best").iterdir()] == ["best_model_step_10"]
    assert len(list((tmp_path / "train" / "board").iterdir())) == 1
