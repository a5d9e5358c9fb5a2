"""The sensors of a machine, and what they found in the run of a loop."""

import sys
import threading
from types import SimpleNamespace

import psutil
import pytest

from recording.support import eventually
from trainstore.errors import InvalidArgumentError
from trainstore.system import MissingSystemLibraryError, SystemMetrics, metrics, sampler, sensors
from trainstore.system.sampler import Sampler
from trainstore.system.sensors import Sensor, all_sensors


def series(*values):
    """A sensor's ``read`` that gives these values, then the last one."""
    left = list(values)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "trainstore-system"]


def recorded(store, run):
    """The steps with each of the metrics: name → {step: value}."""
    rows = store.list_step_logs(run, tidy=True)
    found = {}
    for step, name, value in zip(rows["step"], rows["metric"], rows["value"], strict=True):
        found.setdefault(name, {})[step] = value
    return found


@pytest.fixture
def two_sensors(monkeypatch):
    """One whose mean counts, and one whose maximum does."""
    found = [Sensor("system/load", series(1.0, 2.0, 6.0)), Sensor("system/heat", series(1.0, 9.0, 2.0), is_peak=True)]
    monkeypatch.setattr(metrics, "all_sensors", lambda: found)


def test_what_was_found_is_recorded_with_the_last_step(store, two_sensors):
    """No step exists because of it; what is left at the end is recorded with the last step."""
    with store.start_run(name="own") as run:
        with SystemMetrics(run, interval=0.05) as watching:
            assert run.last_step is None
            run.log(loss=1.0)
            eventually(lambda: watching._recorded_at == 0)
            run.log(loss=0.5)
        assert watchers() == []
    found = recorded(store, "own")
    assert found["loss"] == {0: 1.0, 1: 0.5}
    assert set(found["system/load"]) == {0, 1}
    assert set(found["system/heat"]) == {0, 1}


def test_without_a_step_nothing_is_recorded(store, two_sensors):
    """Not even at the end."""
    with store.start_run(name="own") as run, SystemMetrics(run, interval=0.05) as watching:
        eventually(lambda: watching._sampler.is_ready)
    assert len(store.list_step_logs("own")) == 0


def test_a_run_that_was_finished_inside_is_left_alone(store, two_sensors, caplog):
    """The thread ends with the run."""
    run = store.start_run(name="own")
    with SystemMetrics(run, interval=0.05):
        run.log(loss=1.0)
        run.finish()
        eventually(lambda: watchers() == [])
    assert "system" not in caplog.text
    assert store.get_run("own").status == "finished"


def test_the_mean_counts_and_of_peaks_the_maximum():
    """Of all readings since they were taken last."""
    watching = Sampler(
        lambda: [Sensor("a", series(1.0, 2.0, 6.0)), Sensor("b", series(1.0, 9.0, 2.0), is_peak=True)], 60
    )
    watching._sensors = list(watching._find_sensors())
    for _ in range(3):
        watching._read()
    assert watching.take() == {"a": 3.0, "b": 9.0}
    assert watching.take() == {}


def test_a_sensor_that_fails_costs_itself(caplog, monkeypatch):
    """It is left out with one warning, and tried again after a while; what is not a number is skipped."""
    state = {"works": False, "readings": 0}

    def fails():
        state["readings"] += 1
        if not state["works"]:
            raise OSError("no such sensor")
        return 2

    watching = Sampler(
        lambda: [Sensor("bad", fails), Sensor("nan", lambda: float("nan")), Sensor("good", lambda: 1)], 60
    )
    watching._sensors = list(watching._find_sensors())
    for _ in range(2):
        watching._read()
    assert watching.take() == {"good": 1.0}
    assert [record.getMessage() for record in caplog.records] == [
        "bad cannot be read (OSError: no such sensor); it is left out and tried again each minute"
    ]
    assert state["readings"] == 1
    monkeypatch.setattr(sampler, "PAUSE", 0)
    watching._read()
    assert watching.take() == {"good": 1.0}
    state["works"] = True
    watching._read()
    assert watching.take() == {"bad": 2.0, "good": 1.0}
    assert len(caplog.records) == 1


def test_sensors_that_cannot_be_found_cost_the_metrics_only(store, monkeypatch, caplog):
    """A warning, and the loop goes on."""
    monkeypatch.setattr(metrics, "all_sensors", lambda: 1 / 0)
    with store.start_run(name="own") as run, SystemMetrics(run, interval=0.05):
        run.log(loss=1.0)
        eventually(lambda: "no longer watched" in caplog.text)
    assert recorded(store, "own") == {"loss": {0: 1.0}}


def test_the_machine_and_the_process_are_read():
    """As psutil says it."""
    found = {sensor.name: sensor for sensor in all_sensors() if "/gpu" not in sensor.name}
    assert set(found) == {
        "system/cpu_percent", "system/memory_percent", "system/memory_mib", "system/disk_percent",
        "system/process_cpu_percent", "system/process_memory_mib", "system/process_threads",
    }  # fmt: skip
    values = {name: sensor.read() for name, sensor in found.items()}
    assert 0 <= values["system/cpu_percent"] <= 100
    assert 0 < values["system/memory_percent"] < 100
    assert values["system/process_memory_mib"] == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.2)
    assert values["system/process_threads"] == psutil.Process().num_threads()
    assert {name for name, sensor in found.items() if sensor.is_peak} == {
        "system/memory_percent", "system/memory_mib", "system/process_memory_mib",
    }  # fmt: skip


class NVML:
    """Three GPUs, as NVIDIA's library tells of them."""

    NVML_TEMPERATURE_GPU = 0

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return {"GPU-b": 1}[uuid]

    def nvmlDeviceGetUtilizationRates(self, gpu):
        return SimpleNamespace(gpu=10 * gpu, memory=0)

    def nvmlDeviceGetMemoryInfo(self, gpu):
        return SimpleNamespace(used=2**30, total=4 * 2**30)

    def nvmlDeviceGetPowerUsage(self, gpu):
        raise RuntimeError("not supported")

    def nvmlDeviceGetTemperature(self, gpu, kind):
        return 40 + gpu


def gpu_values(host=None):
    found = {}
    for sensor in all_sensors(host):
        if "/gpu" in sensor.name:
            try:
                found[sensor.name] = sensor.read()
            except RuntimeError:
                found[sensor.name] = None
    return found


def test_each_gpu_is_read(monkeypatch):
    """Utilisation, memory, power, temperature; one that a GPU does not support is a sensor of its own."""
    monkeypatch.setitem(sys.modules, "pynvml", NVML())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert gpu_values("node-1") == {
        "system/node-1/gpu0/utilization_percent": 20,
        "system/node-1/gpu0/memory_mib": 1024,
        "system/node-1/gpu0/memory_percent": 25,
        "system/node-1/gpu0/power_watts": None,
        "system/node-1/gpu0/temperature_celsius": 42,
    }


@pytest.mark.parametrize(
    ("visible", "temperatures"),
    [(None, [40, 41, 42]), ("2, 0", [42, 40]), ("GPU-b", [41]), ("", []), ("-1", []), ("1,7,0", [41])],
)
def test_only_visible_gpus_are_read_in_their_order(monkeypatch, visible, temperatures):
    """CUDA_VISIBLE_DEVICES is understood as CUDA does."""
    monkeypatch.setitem(sys.modules, "pynvml", NVML())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = gpu_values()
    assert [found[f"system/gpu{index}/temperature_celsius"] for index in range(len(temperatures))] == temperatures
    assert len(found) == 5 * len(temperatures)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_gpu_library_that_fails_is_told_if_there_is_a_gpu(monkeypatch, caplog, tmp_path, is_there):
    """The rest of the machine is read."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    driver = tmp_path / "driver"
    if is_there:
        driver.write_text("")
    monkeypatch.setattr(sensors, "_NVIDIA_DRIVER", str(driver))
    assert len(all_sensors()) == 7
    assert ("the GPUs cannot be watched" in caplog.text) is is_there


def test_without_psutil_it_says_what_to_install(store, monkeypatch):
    """An error where it is made, which names the extra."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    with (
        store.start_run() as run,
        pytest.raises(MissingSystemLibraryError, match=r"pip install 'trainstore\[system\]'"),
    ):
        SystemMetrics(run)


@pytest.mark.parametrize("interval", [0, -1, "15", float("inf"), float("nan"), True])
def test_wrong_arguments_are_refused_at_once(store, interval):
    """They name the argument."""
    with store.start_run() as run, pytest.raises(InvalidArgumentError, match="interval"):
        SystemMetrics(run, interval=interval)
    with pytest.raises(InvalidArgumentError, match="run"):
        SystemMetrics("own")


def test_the_last_step_of_a_handle(store):
    """None before the first step, also of an attempt that resumes; then the highest."""
    with store.start_run() as run:
        assert run.last_step is None
        run.log(loss=1.0, step=7)
        run.log(loss=1.0, step=3)
        assert run.last_step == 7
    with store.resume_run(run, step=3) as again:
        assert again.last_step is None
        again.log(loss=1.0)
        assert again.last_step == 4
