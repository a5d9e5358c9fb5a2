"""Two real processes that train together (gloo, on the CPU), started by torchrun's launcher or as it does it.

A start takes seconds, so each of the two on a database does several trainings, one after the other; the tests look at
what these left. torchrun's launcher starts one of them; it forks its processes, as new interpreters that import a
Trainer take ten seconds of processor time.
"""

import json
import signal
import socket
import textwrap

import pytest

from fixtures.databases import BACKENDS
from fixtures.processes import DEADLINE, Script
from fixtures.trainers import TESTS
from recording.support import eventually
from trainstore import TrainStore

#: Runs itself once more under torchrun's launcher, as two processes, which are forked. The argument after the tests'
#: folder lists the trainings (JSON): options of each.
SCRIPT = """
    import json, os, signal, sys, time
    from pathlib import Path

    tests, trainings = sys.argv[1:]
    if "RANK" not in os.environ:
        import runpy
        from torch.distributed.launcher.api import elastic_launch
        from torch.distributed.run import config_from_args, parse_args

        options = ["--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0",
                   "--local-addr=127.0.0.1", "--monitor-interval=0.1", "--start-method=fork"]
        config, _, _ = config_from_args(parse_args([*options, __file__]))

        def train():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the launcher's handler is not its processes'
            runpy.run_path(__file__, run_name="__main__")

        elastic_launch(config, train)()
        sys.exit()

    sys.path.insert(0, tests)

    import torch
    from transformers import Trainer, TrainerCallback
    from transformers.trainer_utils import get_last_checkpoint

    from fixtures.trainers import Crash, build_trainer, tokens
    from trainstore.integrations.transformers import TrainStoreCallback

    rank = int(os.environ["RANK"])

    class Tells(Trainer):
        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            losses.append(loss.item())
            return loss

    class Fails(TrainerCallback):
        def __init__(self, options):
            self.options = options

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == self.options.get("crash_at"):
                if rank == 1:
                    raise Crash("on rank 1")
                if self.options.get("rank_0_waits"):
                    time.sleep(600)  # outside any collective: only a signal ends it

    for options in json.loads(trainings):
        losses = []
        callback = TrainStoreCallback(options["url"], project=options["name"])
        trainer = build_trainer(
            Path(options["folder"]),
            callbacks=[callback, Fails(options)] if rank in options.get("recorded", [0, 1]) else [Fails(options)],
            trainer_class=Tells, eval_dataset=tokens(8), save_strategy="steps", save_steps=5, ddp_backend="gloo",
            **options.get("arguments", {}),
        )
        checkpoint = get_last_checkpoint(trainer.args.output_dir) if os.path.isdir(trainer.args.output_dir) else None
        trainer.train(resume_from_checkpoint=checkpoint)
        trainer.evaluate()
        uid = None if callback.run is None else callback.run_uid
        said = {"name": options["name"], "rank": rank, "losses": losses, "run": uid}
        # In one write, so that the lines of two processes do not mix.
        os.write(1, (json.dumps(said) + "\\n").encode())
        torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


class Job:
    """What both processes said, by the training's name and their rank, and where it all lies."""

    def __init__(self, url, folder):
        self.url = url
        self.folder = folder
        self.journals = folder / "journals"
        self.said = {}

    def start(self, *trainings, torchrun):
        """Run these trainings in two processes; the last of them fails, and with it the job."""
        path = self.folder / "job.py"
        path.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
        for options in trainings:
            options |= {"url": self.url, "folder": str(self.folder / options["name"])}
        run = self._under_torchrun if torchrun else self._forked
        for line in run(path, (str(TESTS), json.dumps(trainings)), {"TRAINSTORE_JOURNAL_DIR": str(self.journals)}):
            if line.startswith("{"):
                one = json.loads(line)
                self.said.setdefault(one["name"], {})[one["rank"]] = one

    @staticmethod
    def _under_torchrun(path, arguments, env):
        script = Script(path, arguments, env=env, libraries="trainer")
        try:
            return script.finish(timeout=300, code=1)
        finally:
            script.close()

    @staticmethod
    def _forked(path, arguments, env):
        """With the environment that torchrun gives its processes; as there, the failure of one ends the other."""
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(chosen.getsockname()[1])}
        scripts = []
        for rank in range(2):
            own = path.with_name(f"rank{rank}.py")
            own.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
            scripts.append(Script(own, arguments, env={**env, **ranks}, libraries="trainer"))
        try:
            failed = eventually(lambda: [script for script in scripts if script.process.poll() is not None])
            for script in scripts:
                script.process.send_signal(signal.SIGTERM)
            assert [script.process.wait(DEADLINE) for script in failed] == [1] * len(failed), failed[0].stderr
            return [line for script in scripts for line in script.finish(code=script.process.wait(DEADLINE))]
        finally:
            for script in scripts:
                script.close()


@pytest.fixture(scope="module", params=BACKENDS)
def job(request, tmp_path_factory):
    """Both starts, on a database of their own, done."""
    folder = tmp_path_factory.mktemp("job")
    url = f"sqlite:///{folder / 'job.db'}"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = server.url_of(server.create())
    done = Job(url, folder)
    done.start(
        {"name": "both", "arguments": {"logging_steps": 5, "save_on_each_node": True}},
        {"name": "on rank 0", "recorded": [0], "arguments": {"max_steps": 2}},
        {"name": "again", "crash_at": 7},
        torchrun=False,
    )
    done.start(
        {"name": "again"}, {"name": "waits", "crash_at": 3, "rank_0_waits": True}, torchrun=request.param == "sqlite"
    )
    return done


@pytest.fixture
def store(job, monkeypatch):
    """The job's database, with the journals that it left."""
    monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(job.journals))
    with TrainStore(job.url) as opened:
        yield opened


def ranks_of(store, uid):
    """The ranks of the processes that wrote into a run."""
    table = store.models.Writer
    with store.session() as session:
        run = session.query(store.models.Run).filter_by(uid=uid).one()
        return sorted(writer.rank for writer in session.query(table).filter_by(run_id=run.id))


def test_two_processes_are_one_run(job, store):
    """Rank 0 records, every step once: its own loss, and the mean over both ranks as the window's."""
    said = job.said["both"]
    (uid,) = store.list_runs(project="both")["uid"]
    assert (said[0]["run"], said[1]["run"]) == (uid, None)
    run = store.get_run(uid)
    assert (run.status, run.last_step) == ("finished", 10)
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
    # One trained, one joined for the evaluation afterwards.
    assert ranks_of(store, uid) == [0, 0]
    checkpoint = job.folder / "both" / "output" / "checkpoint-5" / "trainer_state.json"
    state = json.loads(checkpoint.read_text(encoding="utf-8"))
    assert state["stateful_callbacks"]["trainstore"]["attributes"]["run_uid"] == uid


def test_a_failure_on_another_rank_marks_the_run(store):
    """Rank 1 fails while rank 0 waits outside a collective and is ended by SIGTERM: the run has rank 1's message."""
    (uid,) = store.list_runs(project="waits")["uid"]
    run = store.get_run(uid)
    assert (run.status, run.error) == ("failed", "Crash: on rank 1")
    assert store.list_step_logs(uid)["step"].to_list() == [1, 2, 3]
    (event,) = store.list_events(uid, kind="exception").to_dict("records")
    assert event["step"] == 3
    assert (event["details"]["rank"], event["details"]["type"]) == (1, "Crash")
    assert "on_step_end" in event["details"]["traceback"]
    assert ranks_of(store, uid) == [0, 1]


def test_a_job_started_again_is_the_next_attempt(store):
    """The job fails and is started again from its checkpoint: one run, two attempts, and the first has the cause.

    Rank 0 itself sees no more of it than a connection that is lost.
    """
    runs = store.list_runs(project="again")
    assert runs[["status", "attempts", "last_step"]].values.tolist() == [["finished", 2, 10]]
    (uid,) = runs["uid"]
    steps = store.list_step_logs(uid)
    assert steps["step"].to_list() == list(range(1, 11))
    assert steps["loss"].notna().all()
    with store.session() as session:
        run = session.query(store.models.Run).filter_by(uid=uid).one()
        attempts = session.query(store.models.Attempt).filter_by(run_id=run.id).order_by("attempt").all()
        told = [(one.start_step, one.last_step, one.status, one.error) for one in attempts]
    assert told == [(-1, 7, "failed", "Crash: on rank 1"), (5, 10, "finished", None)]


def test_a_callback_on_rank_0_alone_stops_nothing(job, store):
    """Many scripts pass callbacks on the first rank only: no rank waits for another one's callback."""
    said = job.said["on rank 0"]
    assert set(said) == {0, 1}
    assert store.list_step_logs(said[0]["run"])["step"].to_list() == [1, 2]
    assert store.get_run(said[0]["run"]).status == "finished"
