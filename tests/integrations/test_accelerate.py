"""Accelerate's tracker: real Accelerators and a model of three weights, in this process and in two."""

import gc
import json
import pickle
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from fixtures.adapter_tests import STEPS, DivergedError, LibraryTests, fails_at, nothing, only_run
from trainstore import InvalidArgumentError, RunNotFoundError, TrainStore
from trainstore.integrations import notebooks
from trainstore.integrations.accelerate import TrainStoreTracker


def train(accelerator, at_step=nothing, *, steps=range(STEPS), save=(), folder=None, load=None, **init_kwargs):
    """A loop as in Accelerate's examples: what is loaded is loaded after ``init_trackers``."""
    model = torch.nn.Linear(2, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    accelerator.init_trackers("p", config={"learning_rate": 0.1, "own": 1}, init_kwargs={"trainstore": init_kwargs})
    if load is not None:
        accelerator.load_state(str(load))
    for step in steps:
        with accelerator.accumulate(model):
            loss = model(torch.ones(4, 2)).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        if step in save:  # before the step is logged, as diffusers' scripts do
            accelerator.save_state(str(folder / f"checkpoint-{step}"))
        accelerator.log({"loss": loss.item()}, step=step)
        at_step(step)
    accelerator.end_training()


class TestAccelerate(LibraryTests):
    """What holds for every library."""

    module = "trainstore.integrations.accelerate"
    package = "accelerate"
    adapter = "TrainStoreTracker"
    tells_failures = False
    trains_in_threads = False  # an Accelerator's state is that of its process

    def make(self, target, **options):
        return super().make(options.pop("project", None), store_or_run=target, **options)

    def train(self, target, at_step, **options):
        train(Accelerator(cpu=True, log_with=self.make(target, **options)), at_step)


def by_name(store, **options):
    """Train with the tracker that Accelerate makes."""
    accelerator = Accelerator(cpu=True, log_with="trainstore")
    train(accelerator, **{"store_or_run": store, **options})
    return accelerator


def test_the_tracker_is_known_by_its_name(store):
    """``log_with="trainstore"``: project, config, init_kwargs; processes, precision and the model's size."""
    by_name(store, name="named", hyperparams={"own": 2})
    run = store.get_run("named")
    assert (run.project, run.status, run.last_step) == ("p", "finished", STEPS - 1)
    assert run.hyperparams == {"learning_rate": 0.1, "own": 2}
    assert run.model_hyperparams == {"model_class": "Linear", "num_parameters": 3, "num_trainable_parameters": 3}
    assert run.environment["world_size"] == 1
    assert run.environment["precision"] == "fp32"
    assert run.environment["gradient_accumulation_steps"] == 1


def test_steps_are_those_that_the_script_gives(store):
    """With gradients accumulated, too; without a step it is one more than the highest."""
    accelerator = Accelerator(cpu=True, log_with="trainstore", gradient_accumulation_steps=2)
    train(accelerator, steps=[10, 20], store_or_run=store)
    log = store.list_step_logs(only_run(store))
    assert log["step"].tolist() == [10, 20]
    tracker = TrainStoreTracker(store_or_run=store, name="counted")
    accelerator = Accelerator(cpu=True, log_with=tracker, gradient_accumulation_steps=2)
    accelerator.init_trackers("p")
    for loss in (3.0, 2.0):
        accelerator.log({"loss": loss}, log_kwargs={"trainstore": {"epoch": loss / 4}})
    accelerator.end_training()
    log = store.list_step_logs("counted")
    assert log[["step", "epoch", "loss"]].to_numpy().tolist() == [[0, 0.75, 3.0], [1, 0.5, 2.0]]
    assert store.get_run("counted").environment["gradient_accumulation_steps"] == 2


def test_steps_may_go_back_and_come_from_several_threads(local_store):
    """Each is kept in its row, and threads that log first begin one run."""
    accelerator = Accelerator(cpu=True, log_with=TrainStoreTracker(store_or_run=local_store))
    accelerator.init_trackers("p")
    barrier = threading.Barrier(4, timeout=60)

    def log(thread):
        barrier.wait()
        for step in reversed(range(10)):
            accelerator.log({f"loss_{thread}": step}, step=step)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    accelerator.end_training()
    log = local_store.list_step_logs(only_run(local_store))
    assert log[[f"loss_{thread}" for thread in range(4)]].to_numpy().tolist() == [[step] * 4 for step in range(10)]


def test_a_tracker_can_be_pickled_before_it_starts(local_url):
    """For processes that are spawned: it carries the store's address."""
    tracker = pickle.loads(pickle.dumps(TrainStoreTracker("p", store_or_run=local_url, name="unpickled")))
    train(Accelerator(cpu=True, log_with=tracker))
    with TrainStore(local_url) as store:
        assert store.get_run("unpickled").status == "finished"


def test_a_loaded_checkpoint_goes_on_with_its_run(store, tmp_path):
    """``load_state``: the next attempt of the same run, which keeps all steps before the first that is logged."""
    with pytest.raises(DivergedError):
        by_name(store, at_step=fails_at(5), save=[3], folder=tmp_path)
    gc.collect()  # nobody holds the tracker that was left without end_training
    by_name(store, steps=range(4, 8), load=tmp_path / "checkpoint-3")
    run = only_run(store)
    assert (run.status, run.last_step) == ("finished", 7)
    attempts = store.list_attempts(run)
    assert attempts["start_step"].tolist() == [-1, 3]
    assert attempts["status"].tolist() == ["interrupted", "finished"]
    assert store.list_step_logs(run)["step"].tolist() == list(range(8))
    assert len(store.list_step_logs(run, attempts="all")) == 6 + 4
    (checkpoint,) = store.list_events(run, kind="checkpoint").to_dict("records")
    assert (checkpoint["step"], checkpoint["details"]) == (3, {"path": str(tmp_path / "checkpoint-3")})


def test_steps_that_begin_again_are_a_run_of_their_own(store, tmp_path):
    """A checkpoint that another training starts from: a child of its run; likewise with ``resume="never"``."""
    by_name(store, name="first", save=[3], folder=tmp_path)
    by_name(store, name="again", load=tmp_path / "checkpoint-3")
    by_name(store, name="never", steps=[4, 5], load=tmp_path / "checkpoint-3", resume="never")
    for name in ("again", "never"):
        run = store.get_run(name)
        assert (run.parent_uid, run.parent_step) == (store.get_run("first").uid, 2)
    assert store.list_step_logs("again")["step"].tolist() == list(range(STEPS))


def test_a_checkpoint_that_says_nonsense_does_not_stop_the_training(store, tmp_path):
    """Its file was damaged: a new run."""
    by_name(store, save=[3], folder=tmp_path)
    file = tmp_path / "checkpoint-3" / "trainstore.json"
    content = json.loads(file.read_text())
    for damaged in ("{", "[]", json.dumps(content | {"lineage": [["x"]]}), json.dumps(content | {"run_uid": "?"})):
        file.write_text(damaged)
        by_name(store, steps=[4], load=tmp_path / "checkpoint-3")
    assert len(store.list_runs()) == 5


def test_a_run_can_be_named_to_go_on(store):
    """``resume=`` a run, with the last step that is kept, or all before the first that is logged."""
    by_name(store, name="long")
    by_name(store, resume="long", step=2, steps=[3])
    by_name(store, resume=store.get_run("long").uid, steps=[5])
    assert store.list_attempts("long")["start_step"].tolist() == [-1, 2, 4]
    assert store.list_step_logs("long")["step"].tolist() == [0, 1, 2, 3, 5]
    with pytest.raises(RunNotFoundError):
        by_name(store, resume="nothing of this name")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resume": None}, r"resume None is no run"),
        ({"resume": ""}, r"resume '' is no run: pass a handle"),
        ({"resume": True}, r"resume True is no run"),
        ({"resume": 1.5}, r"resume 1\.5 is no run"),
        ({"resume": "a", "step": "5"}, r"step '5' is not an int"),
        ({"step": 3}, r"step 3 .* pass the run as resume"),
    ],
)
def test_arguments_of_the_resumption_are_checked_at_once(arguments, message):
    """The error says what to pass."""
    with pytest.raises(InvalidArgumentError, match=message):
        TrainStoreTracker("p", **arguments)


def test_a_store_in_the_projects_place_is_an_error_that_says_where_it_belongs(local_store):
    """Accelerate's first argument is the project."""
    with pytest.raises(InvalidArgumentError, match="pass it as store_or_run"):
        TrainStoreTracker(local_store)


def test_images_are_events_and_tables_are_samples(store):
    """Of images there is what they are; a table's rows are the samples of the set of its name."""
    accelerator = Accelerator(cpu=True, log_with="trainstore")
    accelerator.init_trackers("p", init_kwargs={"trainstore": {"store_or_run": store, "name": "media"}})
    tracker = accelerator.get_tracker("trainstore")
    accelerator.log({"loss": 1.0}, step=4)
    tracker.log_images({"validation": [np.zeros((2, 3)), object()]}, step=4, caption="a dog")
    tracker.log_table("answers", columns=["prompt", "score"], data=[["why", 1], ["how", 2]])
    tracker.log_table("frame", dataframe=pd.DataFrame({"prompt": ["who"], "score": [3]}), step=5)
    accelerator.end_training()
    (image,) = store.list_events("media", kind="image").to_dict("records")
    assert image["step"] == 4
    assert image["details"] == {
        "key": "validation",
        "count": 2,
        "caption": "a dog",
        "items": [{"shape": [2, 3], "dtype": "float64"}, {"type": "object"}],
    }
    samples = store.list_samples("media")[["step", "set", "nr", "prompt", "score"]]
    assert samples.to_numpy().tolist() == [
        [4, "answers", 0, "why", 1],
        [4, "answers", 1, "how", 2],
        [5, "frame", 0, "who", 3],
    ]


def test_what_is_not_understood_is_named_once_and_recorded_all_the_same(store, caplog):
    """Arguments of other trackers in log_kwargs, metrics of odd types."""
    accelerator = Accelerator(cpu=True, log_with=TrainStoreTracker(store_or_run=store))
    accelerator.init_trackers("p")
    for step in (0, 1):
        values = {"loss": torch.tensor(0.5), "text": "fine", "many": {"a": 1}, "nothing": None, "nan": float("nan")}
        accelerator.log(values, step=step, log_kwargs={"trainstore": {"commit": False}})
    accelerator.end_training()
    assert store.list_step_logs(only_run(store))["loss"].tolist() == [0.5, 0.5]
    assert [record.getMessage() for record in caplog.records if record.name == "trainstore"] == [
        "trainstore ignores commit in log_kwargs"
    ]
    assert only_run(store).project == "p"  # of init_trackers, as the tracker was given none


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "not-ended"])
@pytest.mark.parametrize("named", [True, False], ids=["name", "instance"])
def test_a_cell_that_is_run_again_is_another_run(store, named, ends):
    """``init_trackers`` twice on one Accelerator, which keeps both trackers: a run each, no step twice."""
    tracker = "trainstore" if named else TrainStoreTracker(store_or_run=store)
    accelerator = Accelerator(cpu=True, log_with=tracker)
    for loss in (1.0, 2.0):
        accelerator.init_trackers("p", init_kwargs={"trainstore": {"store_or_run": store}})
        accelerator.log({"loss": loss})
        if ends:
            accelerator.end_training()
    accelerator.end_training()
    runs = store.list_runs().sort_values("run_id")
    assert runs["status"].tolist() == ["finished"] * 2
    for uid, loss in zip(runs["uid"], (1.0, 2.0), strict=True):
        assert store.list_step_logs(uid)[["step", "loss"]].to_numpy().tolist() == [[0, loss]]


def test_a_cell_that_makes_another_accelerator_ends_the_run_before(store, monkeypatch):
    """In a notebook: failed if an exception ended the cell, else finished. In a script both go on."""

    def cell(name):
        accelerator = Accelerator(cpu=True, log_with="trainstore")
        accelerator.init_trackers("p", init_kwargs={"trainstore": {"store_or_run": store, "name": name}})
        accelerator.log({"loss": 1.0})
        return accelerator

    monkeypatch.setattr(notebooks, "in_notebook", lambda: True)
    cells = [cell("first"), cell("second")]
    monkeypatch.setattr("sys.last_value", DivergedError("nan"), raising=False)
    cells.append(cell("third"))
    monkeypatch.setattr(notebooks, "in_notebook", lambda: False)
    cells.append(cell("beside"))
    statuses = store.list_runs().set_index("name")["status"]
    assert statuses.to_dict() == {"first": "finished", "second": "failed", "third": "running", "beside": "running"}
    for accelerator in cells:
        accelerator.end_training()


def test_what_is_logged_after_the_end_is_kept(store):
    """As an evaluation after ``end_training``: in the same run, whose status stays."""
    accelerator = by_name(store)
    accelerator.log({"accuracy": 0.9}, step=STEPS - 1)
    accelerator.end_training()
    run = only_run(store)
    assert run.status == "finished"
    assert store.list_step_logs(run)["accuracy"].tolist()[-1] == 0.9


def test_end_training_while_an_exception_passes_fails_the_run(store):
    """``try: … finally: accelerator.end_training()``; an exception that was there before is another one's."""
    accelerator = Accelerator(cpu=True, log_with="trainstore")
    with pytest.raises(DivergedError):  # noqa: PT012
        accelerator.init_trackers("p", init_kwargs={"trainstore": {"store_or_run": store, "name": "failed"}})
        try:
            raise DivergedError("the loss is NaN")
        finally:
            accelerator.end_training()
    run = store.get_run("failed")
    assert (run.status, run.error) == ("failed", "DivergedError: the loss is NaN")
    assert run.project == "p"
    try:
        raise DivergedError
    except DivergedError:
        by_name(store, name="after it")
    assert store.get_run("after it").status == "finished"


PROCESSES = """
    import sys

    tests, url = sys.argv[1:]
    sys.path.insert(0, tests)

    import torch
    from accelerate import Accelerator, debug_launcher

    import trainstore.integrations.accelerate
    from trainstore import TrainStore

    def train():
        accelerator = Accelerator(cpu=True, log_with="trainstore")
        accelerator.init_trackers("p", init_kwargs={"trainstore": {"store_or_run": url, "name": "two"}})
        model = accelerator.prepare(torch.nn.Linear(2, 1))
        for step in range(3):
            loss = model(torch.ones(4, 2)).mean() + accelerator.process_index
            accelerator.backward(loss)
            accelerator.log({"loss": accelerator.gather(loss.detach()).mean()}, step=step)
        accelerator.save_state(sys.argv[0] + ".checkpoint")
        accelerator.end_training()

    debug_launcher(train, num_processes=2)

    accelerator = Accelerator(cpu=True, log_with="trainstore")
    accelerator.init_trackers("p", init_kwargs={"trainstore": {"store_or_run": url, "name": "early"}})
    raise RuntimeError("out of memory")
"""


def test_the_main_process_records(database_url, start_script, tests_folder):
    """Two processes that train together (gloo) are one run. A training that fails before its first log is one, too."""
    start_script(PROCESSES, tests_folder, database_url, libraries="trainer").finish(code=1)
    with TrainStore(database_url) as store:
        run = store.get_run("two")
        assert (run.status, run.environment["world_size"], run.environment["distributed_type"]) == (
            "finished",
            2,
            "MULTI_CPU",
        )
        assert store.list_step_logs(run)["step"].tolist() == [0, 1, 2]
        assert len(store.list_events(run, kind="checkpoint")) == 1
        early = store.get_run("early")
        assert (early.status, early.error) == ("failed", "RuntimeError: out of memory")
        assert len(store.list_runs()) == 2


@pytest.fixture
def tests_folder():
    """Where the fixtures of scripts are."""
    from fixtures.trainers import TESTS

    return TESTS
