"""A `TrainerModule` that is killed anywhere, and two processes that train together: each goes on to the bit."""

import json
import socket

import pytest

from fixtures.torch_models import loader, same, weights
from fixtures.torch_modules import Classifier
from fixtures.trainers import TESTS
from trainstore.training.module_checkpoints import read_model

#: A training of three epochs of five steps of two batches, which kills itself at a place, or ends.
SCRIPT = """
    import json, os, signal, sys

    tests, folder, url, where, options = sys.argv[1:]
    sys.path.insert(0, tests)
    options = json.loads(options)

    import torch
    from pathlib import Path
    from fixtures.torch_models import loader, points
    from fixtures.torch_modules import Classifier, ModelConfig, module_of
    from trainstore.training import CheckpointConfig, OptimizerConfig, SchedulerConfig, module_checkpoints

    torch.set_num_threads(1)

    def die(at):
        if where == at:
            os.kill(os.getpid(), signal.SIGKILL)

    class Dies(Classifier):
        batches = validated = 0

        def loss_function(self, model, batch, train=True):
            if train:
                self.batches += 1
                if self.batches == 15:
                    die("between two micro-batches")
            else:
                self.validated += 1
                if self.validated == 6:
                    die("in a validation")
            return super().loss_function(model, batch, train)

        def on_training_epoch_end(self, train_metrics, epoch_idx):
            if epoch_idx == 2:
                die("at the end of an epoch")

    original, replace, calls = module_checkpoints.save_file, os.replace, []

    def save_file(tensors, path, names):
        original(tensors, path, names)
        calls.append(path)
        if len(calls) == 3 and where == "while a checkpoint is written":
            os.truncate(path, path.stat().st_size // 2)
            die("while a checkpoint is written")

    def take_the_place(source, target):
        if Path(target).with_name(".replaced-" + Path(target).name).exists():
            die("while a checkpoint takes the place of another")
        replace(source, target)

    module_checkpoints.save_file, module_checkpoints.os.replace = save_file, take_the_place
    mesh = None
    if "mesh" in options:
        import torch.distributed
        from torch.distributed.device_mesh import init_device_mesh

        torch.distributed.init_process_group("gloo")
        sizes = options.pop("mesh")
        mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    scheduler = SchedulerConfig(name="cosine_decay", lr=1e-2, decay_steps=20, warmup_steps=3)
    module = module_of(
        Path(folder),
        Dies,
        model=ModelConfig(dropout=0.5),
        optimizer=OptimizerConfig(scheduler=scheduler, grad_clip_norm=0.5),
        checkpoint=CheckpointConfig(max_to_keep=3, every_n_steps=options.pop("save", 2)),
        gradient_accumulate_steps=2,
        check_val_every_n_steps=4,
        log_every=3,
        default_train_log_modes=["mean", "max", "std"],
        options={"store": url or None, "name": "run", "mesh": mesh, **options.pop("options", {})},
    )
    step = module.load_model(raise_if_not_found=False)
    results = module.train_model(loader(40, shuffle=True), {"a": loader(8), "b": loader(18)}, loader(18), num_epochs=3)
    for row in results.values():
        row.pop("epoch_time", None)
    whole = [getattr(one, "full_tensor", lambda one=one: one)() for one in module.model.parameters()]
    norm = sum(float(one.detach().double().square().sum()) for one in whole)
    run = None if module.run is None else module.run.uid
    rank = module.ranks.rank
    said = {"rank": rank, "from": step, "results": results, "norm": norm, "step": module.global_step, "run": run}
    os.write(1, (json.dumps(said) + "\\n").encode())
"""

PLACES = [
    "between two micro-batches",
    "at the end of an epoch",
    "while a checkpoint takes the place of another",
    "in a validation",
    "while a checkpoint is written",
]


def said(script):
    """What it told at its end."""
    return json.loads(script.finish()[-1])


def weights_in(folder):
    """Those of the last checkpoint."""
    return read_model(folder / "checkpoints" / "checkpoint_15")


def weights_in_9(folder):
    """Those of the last checkpoint of two processes."""
    return read_model(folder / "checkpoints" / "checkpoint_9")


def rows(store, run):
    """What was recorded of each step, without times."""
    log = store.list_step_logs(run).set_index("step")
    names = [name for name in log.columns if log[name].dtype.kind == "f" and "time" not in name]
    assert {"loss", "loss_mean", "accuracy_std", "val_a_loss", "train_loss", "test_loss", "grad_norm"} <= set(names)
    return log[sorted(names)]


@pytest.fixture
def train(start_script, tmp_path, monkeypatch):
    """Start a training: ``train(folder, where, options, url)``; without a URL it is not recorded."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def start(folder, where="", options=None, url="", **environment):
        arguments = (TESTS, tmp_path / folder, url, where, json.dumps(options or {}))
        return start_script(SCRIPT, *arguments, libraries="trainer", **environment)

    return start


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_killed_training_goes_on_to_the_bit(train, store, database_url, tmp_path, precision):
    """Killed five times in a row, at five places: one run, with the weights, results and steps of the unbroken one."""
    options = {"options": {"mixed_precision": precision}}
    unbroken = said(train("unbroken", options=options, url=database_url))
    for place in PLACES:
        script = train("broken", place, options, database_url)
        script.process.wait(120)
        assert script.process.returncode == -9, (place, script.stderr)
    broken = said(train("broken", options=options, url=database_url))
    assert broken["from"] is not None
    for name in ("norm", "results", "step"):
        assert broken[name] == unbroken[name], name
    assert same(weights_in(tmp_path / "broken"), weights_in(tmp_path / "unbroken"))
    run = store.get_run(broken["run"])
    assert run.status == "finished"
    assert len(store.list_attempts(run)) > 3
    assert len(store.list_runs()) == 2
    first, second = rows(store, unbroken["run"]), rows(store, broken["run"])
    assert second.index.tolist() == list(range(1, 16))
    assert first.equals(second)


@pytest.fixture(scope="module")
def whole():
    """What the unbroken training says: empty until a test has run it."""
    return {}


@pytest.mark.parametrize("place", PLACES)
def test_each_place_alone(train, whole, place):
    """From the last checkpoint before it."""
    unbroken = whole or said(train("unbroken"))
    whole.update(unbroken)
    script = train("broken", place)
    script.process.wait(120)
    assert script.process.returncode == -9, script.stderr
    broken = said(train("broken"))
    assert broken["from"] is not None
    assert (broken["norm"], broken["results"]) == (unbroken["norm"], unbroken["results"])


# --- Two processes ----------------------------------------------------------------------------------------------------


def two(train, folder, where="", options=None, url=""):
    """The training in two processes; what they said, by rank."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    scripts = [
        train(folder, where, options, url, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    if where:
        for script in scripts:
            script.process.wait(120)
        return None
    return sorted((said(script) for script in scripts), key=lambda one: one["rank"])


def test_two_processes_train_together_and_go_on_to_the_bit(train, store, database_url, tmp_path):
    """One run; the metrics are those of both; killed in an epoch and gone on with, they are the unbroken ones."""
    first, second = two(train, "unbroken", url=database_url)
    assert first["results"] == second["results"]
    assert first["norm"] == second["norm"]
    assert (first["step"], second["run"]) == (9, None)
    two(train, "broken", PLACES[0], url=database_url)
    again = two(train, "broken", url=database_url)
    assert again[0]["from"] == 8
    for one, whole in zip(again, (first, second), strict=True):
        assert (one["norm"], one["results"]) == (whole["norm"], whole["results"])
    assert rows(store, again[0]["run"]).equals(rows(store, first["run"]))
    assert same(weights_in_9(tmp_path / "broken"), weights_in_9(tmp_path / "unbroken"))


def test_a_mesh_says_how_the_model_is_divided(train, tmp_path):
    """Its parameters here: the weights are those of DDP, checkpoints fit both, a killed training goes on to the bit."""
    options = {"mesh": {"fsdp": 2}}
    copies, _ = two(train, "copies", options={"mesh": {"dp": 2}})
    first, second = two(train, "unbroken", options=options)
    assert first["results"] == second["results"]
    assert first["norm"] == second["norm"] == pytest.approx(copies["norm"], rel=1e-5)
    for name in ("loss", "accuracy"):
        assert first["results"]["train_epoch_3"][name] == pytest.approx(copies["results"]["train_epoch_3"][name])
    divided, _ = two(train, "copies", options=options)  # trained already: it is loaded
    assert (divided["from"], divided["norm"]) == (9, pytest.approx(copies["norm"], rel=1e-12))
    module = Classifier.load_from_checkpoint(tmp_path / "unbroken", device="cpu")
    assert same(weights(module.model), weights_in_9(tmp_path / "unbroken"))
    assert all(float(one["step"]) == 9 for one in module.optimizer.state_dict()["state"].values())
    module.train_step(next(iter(loader())))
    two(train, "broken", PLACES[0], options)
    again = two(train, "broken", options=options)
    assert again[0]["from"] == 8
    assert [(one["norm"], one["results"]) for one in again] == [(first["norm"], first["results"])] * 2
    assert same(weights_in_9(tmp_path / "broken"), weights_in_9(tmp_path / "unbroken"))
