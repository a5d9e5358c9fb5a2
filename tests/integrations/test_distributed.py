"""Two real processes, started by torchrun, that train together (gloo, on the CPU)."""

import json

import pytest

from fixtures.trainers import TESTS
from trainstore import TrainStore

#: Starts itself once more under torchrun, as two processes: arguments are the options (JSON) of this test.
SCRIPT = """
    import json, os, sys, time
    from pathlib import Path

    tests, url, folder, options = sys.argv[1:]
    options = json.loads(options)
    if "RANK" not in os.environ:
        torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d",
                    "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "--monitor-interval=0.1"]
        os.execv(sys.executable, [sys.executable, *torchrun, __file__, *sys.argv[1:]])

    sys.path.insert(0, tests)

    import torch
    from transformers import Trainer, TrainerCallback
    from transformers.trainer_utils import get_last_checkpoint

    from fixtures.trainers import Crash, build_trainer, tokens
    from trainstore.integrations.transformers import TrainStoreCallback

    rank = int(os.environ["RANK"])
    losses = []

    class Tells(Trainer):
        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            losses.append(loss.item())
            return loss

    class Fails(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == options.get("crash_at"):
                if rank == 1:
                    raise Crash("on rank 1")
                if options.get("rank_0_waits"):
                    time.sleep(600)  # outside any collective: only a signal ends it

    callback = TrainStoreCallback(url, project="ranks")
    trainer = build_trainer(
        Path(folder), callbacks=[callback, Fails()] if rank in options.get("recorded", [0, 1]) else [Fails()],
        trainer_class=Tells, eval_dataset=tokens(8), save_strategy="steps", save_steps=5, ddp_backend="gloo",
        **options.get("arguments", {}),
    )
    checkpoint = get_last_checkpoint(trainer.args.output_dir) if os.path.isdir(trainer.args.output_dir) else None
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.evaluate()
    uid = None if callback.run is None else callback.run_uid
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    # In one write, so that the lines of two processes do not mix.
    os.write(1, (json.dumps({"rank": rank, "losses": losses, "run": uid, "logged": logged}) + "\\n").encode())
    torch.distributed.destroy_process_group()
"""


@pytest.fixture
def torchrun(start_script, tmp_path):
    """Run the script under torchrun on a database to its end; what each rank said, by rank."""

    def run(url, *, code=0, **options):
        lines = start_script(SCRIPT, TESTS, url, tmp_path, json.dumps(options)).finish(code=code)
        said = [json.loads(line) for line in lines if line.startswith("{")]
        return {one["rank"]: one for one in said}

    return run


def test_two_processes_are_one_run(database_url, torchrun, tmp_path):
    """Rank 0 records, every step once: its own loss, and the mean over both ranks as the window's."""
    said = torchrun(database_url, arguments={"logging_steps": 5, "save_on_each_node": True})
    with TrainStore(database_url) as store:
        (uid,) = store.list_runs()["uid"]
        assert (said[0]["run"], said[1]["run"]) == (uid, None)
        run = store.get_run(uid)
        assert (run.status, run.project, run.last_step) == ("finished", "ranks", 10)
        assert run.environment["world_size"] == 2
        assert run.environment["loss_source"] == "training_step"
        steps = store.list_step_logs(uid).set_index("step")
        assert steps.index.to_list() == list(range(1, 11))
        assert steps["loss"].to_list() == said[0]["losses"]
        assert steps["loss"].to_list() != said[1]["losses"]
        both = [(one + other) / 2 for one, other in zip(said[0]["losses"], said[1]["losses"], strict=True)]
        windows = [sum(both[:5]) / 5, sum(both[5:]) / 5]
        assert steps["loss_window"].dropna().to_dict() == pytest.approx(dict(zip((5, 10), windows, strict=True)))
        assert steps["eval_loss"].dropna().index.to_list() == [10]
        with store.session() as session:
            writers = session.query(store.models.Writer).all()
            # One trained, one joined for the evaluation afterwards.
            assert [writer.rank for writer in writers] == [0, 0]
    state = json.loads((tmp_path / "output" / "checkpoint-5" / "trainer_state.json").read_text(encoding="utf-8"))
    assert state["stateful_callbacks"]["trainstore"]["attributes"]["run_uid"] == uid


def test_a_failure_on_another_rank_marks_the_run(database_url, torchrun):
    """Rank 1 fails while rank 0 waits outside a collective and is ended by SIGTERM: the run has rank 1's message."""
    torchrun(database_url, code=1, crash_at=3, rank_0_waits=True)
    with TrainStore(database_url) as store:
        (uid,) = store.list_runs()["uid"]
        run = store.get_run(uid)
        assert (run.status, run.error, run.project) == ("failed", "Crash: on rank 1", "ranks")
        assert store.list_step_logs(uid)["step"].to_list() == [1, 2, 3]
        (event,) = store.list_events(uid, kind="exception").to_dict("records")
        assert event["step"] == 3
        assert (event["details"]["rank"], event["details"]["type"]) == (1, "Crash")
        assert "on_step_end" in event["details"]["traceback"]
        with store.session() as session:
            assert sorted(writer.rank for writer in session.query(store.models.Writer)) == [0, 1]


def test_a_job_started_again_is_the_next_attempt(database_url, torchrun):
    """The job fails and is started again from its checkpoint: one run, two attempts, and the first has the cause.

    Rank 0 itself sees no more of it than a connection that is lost.
    """
    torchrun(database_url, code=1, crash_at=7)
    torchrun(database_url)
    with TrainStore(database_url) as store:
        assert store.list_runs()[["status", "attempts", "last_step"]].values.tolist() == [["finished", 2, 10]]
        (uid,) = store.list_runs()["uid"]
        steps = store.list_step_logs(uid)
        assert steps["step"].to_list() == list(range(1, 11))
        assert steps["loss"].notna().all()
        with store.session() as session:
            attempts = session.query(store.models.Attempt).order_by(store.models.Attempt.attempt).all()
            told = [(one.start_step, one.last_step, one.status, one.error) for one in attempts]
        assert told == [(-1, 7, "failed", "Crash: on rank 1"), (5, 10, "finished", None)]


def test_a_callback_on_rank_0_alone_stops_nothing(new_database, torchrun):
    """Many scripts pass callbacks on the first rank only: no rank waits for another one's callback."""
    url = new_database("sqlite")
    said = torchrun(url, recorded=[0], arguments={"max_steps": 2})
    assert set(said) == {0, 1}
    with TrainStore(url) as store:
        assert store.list_step_logs(said[0]["run"])["step"].to_list() == [1, 2]
        assert store.get_run(said[0]["run"]).status == "finished"
