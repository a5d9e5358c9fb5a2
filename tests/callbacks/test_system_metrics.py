"""What a training does to its machine."""

import pickle
import socket
import threading
from types import SimpleNamespace

import pytest
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, TrainerControl, TrainerState

from fixtures.trainers import Crash, CrashAt, course_of, is_same_course
from recording.support import eventually
from trainstore.callbacks import SystemMetricsCallback, system_metrics
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.protocol import TRANSFORMERS
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.checkpoint import SavedRun
from trainstore.integrations.transformers.ranks import SharedRun
from trainstore.system.sensors import Sensor


@pytest.fixture(autouse=True)
def sensors(monkeypatch):
    """One sensor, whose name has the host's if one is given."""
    made = []

    def find(host):
        made.append(host)
        prefix = "system" if host is None else f"system/{host}"
        return [Sensor(f"{prefix}/load", lambda: 3.0)]

    monkeypatch.setattr(system_metrics, "all_sensors", find)
    return made


class WaitsAt(TrainerCallback):
    """Holds a step until there is something to record, or until that was so."""

    def __init__(self, watching, step):
        self.watching, self.step = watching, step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            eventually(lambda: self.watching._sampler.is_ready)


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "trainstore-system"]


def loads(store, run, name="system/load"):
    rows = store.list_step_logs(run, metrics=[name], tidy=True)
    return dict(zip(rows["step"], rows["value"], strict=True))


def test_what_was_found_is_recorded_with_the_step_that_ends_next(store, make_trainer):
    """What is left goes with the last step; no other step exists, and the thread ends with the training."""
    watching, recorder = SystemMetricsCallback(0.1), TrainStoreCallback(store)
    make_trainer(callbacks=[recorder, watching, WaitsAt(watching, 3)], max_steps=5).train()
    assert {3, 5} <= set(loads(store, recorder.run_uid)) <= {1, 2, 3, 4, 5}
    assert set(loads(store, recorder.run_uid).values()) == {3.0}
    assert store.list_step_logs(recorder.run_uid)["step"].tolist() == [1, 2, 3, 4, 5]
    assert store.list_step_logs(recorder.run_uid)["loss"].notna().all()
    assert watchers() == []


def test_it_goes_to_tensorboard_too(make_trainer, tmp_path):
    """Into the writer that was given."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with SummaryWriter(str(tmp_path)) as writer:
        make_trainer(callbacks=[SystemMetricsCallback(3600, summary_writer=writer)], max_steps=2).train()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("system/load")] == [(2, 3.0)]


def test_a_training_that_fails_leaves_no_thread(store, make_trainer):
    """Nothing tells the callback; it sees that its run has ended."""
    watching = SystemMetricsCallback(0.1)
    trainer = make_trainer(callbacks=[TrainStoreCallback(store), watching, WaitsAt(watching, 2), CrashAt(3)])
    with pytest.raises(Crash):
        trainer.train()
    eventually(lambda: watchers() == [])


def test_a_callback_that_is_forgotten_leaves_no_thread():
    """The thread does not keep it alive."""
    watching = SystemMetricsCallback(0.1)
    watching.on_train_begin({}, TrainerState(), TrainerControl())
    assert len(watchers()) == 1
    del watching
    eventually(lambda: watchers() == [])


def test_one_process_of_each_machine_acts(sensors):
    """The first one."""
    watching = SystemMetricsCallback(0.1)
    watching.on_train_begin({}, TrainerState(is_local_process_zero=False), TrainerControl())
    assert watchers() == []
    assert sensors == []


def test_of_several_machines_the_name_is_in_the_metrics(store, make_trainer, monkeypatch):
    """As torchrun tells it."""
    monkeypatch.setattr(system_metrics, "_has_several_machines", lambda: True)
    recorder = TrainStoreCallback(store)
    make_trainer(callbacks=[recorder, SystemMetricsCallback(3600)], max_steps=2).train()
    host = socket.gethostname().partition(".")[0]
    assert loads(store, recorder.run_uid, f"system/{host}/load") == {2: 3.0}


def test_another_machine_adds_to_the_run_that_the_first_one_records(store, monkeypatch):
    """As another writer, which neither finishes the run nor makes a step."""
    monkeypatch.setattr(system_metrics, "_has_several_machines", lambda: True)
    recorder, watching = TrainStoreCallback(store), SystemMetricsCallback(3600)
    state, control = TrainerState(is_world_process_zero=False, max_steps=1), TrainerControl()
    with store.start_run(name="shared") as run:
        run.log({"loss": 1.0}, step=1)
        shared = SharedRun(SavedRun(run.uid, run.lineage, None, ""), run.project, run.name)
        ranks = SimpleNamespace(run=lambda: shared, rank=1)
        training = SimpleNamespace(given_state=state, state=state, run=None, ranks=ranks, protocol=TRANSFORMERS)
        watching.on_train_begin({}, state, control)
        recorder._session.trainings.append(training)
        watching._recorders = [recorder]
        state.global_step = 1
        watching.on_epoch_end({}, state, control)
        watching.on_train_end({}, state, control)
        recorder._session.trainings.clear()
    host = socket.gethostname().partition(".")[0]
    assert loads(store, run, f"system/{host}/load") == {1: 3.0}
    assert store.list_step_logs(run)["loss"].tolist() == [1.0]
    assert store.get_run(run).status == "finished"


@pytest.mark.parametrize(
    ("variables", "several"),
    [
        ({}, False),
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}, False),
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}, True),
        ({"SLURM_NNODES": "2"}, True),
        ({"SLURM_NNODES": "1"}, False),
    ],
)
def test_several_machines_are_known_from_the_environment(monkeypatch, variables, several):
    """That of torchrun, accelerate or Slurm."""
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "SLURM_NNODES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert system_metrics._has_several_machines() is several


def test_the_course_is_the_same(make_trainer):
    """A thread that reads all the time changes no bit."""
    options = {"max_steps": 6, "logging_steps": 1}
    course = course_of(make_trainer(callbacks=[SystemMetricsCallback(0.05)], **options))
    assert is_same_course(course, course_of(make_trainer(**options)))


def test_a_pickled_one_has_its_arguments(store, make_trainer):
    """Also one that is pickled while its thread runs."""
    watching, copies = SystemMetricsCallback(3600), []

    class Pickles(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            copies.append(pickle.loads(pickle.dumps(watching)))

    make_trainer(callbacks=[watching, Pickles()], max_steps=1).train()
    recorder = TrainStoreCallback(store)
    make_trainer(callbacks=[recorder, *copies], max_steps=2).train()
    assert loads(store, recorder.run_uid) == {2: 3.0}


@pytest.mark.parametrize("arguments", [{"interval": 0}, {"interval": "15"}, {"run": 5}, {"summary_writer": 5}])
def test_wrong_arguments_are_refused_at_once(arguments):
    """They are errors before any training, which name the argument."""
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        SystemMetricsCallback(**arguments)
