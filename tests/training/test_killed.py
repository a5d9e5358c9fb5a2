"""A training that is killed with SIGKILL, wherever, and resumed is the unbroken one, in its weights and in the store.

The short form is part of the suite. ``RESUME_KILLS=50`` kills each scene so many times, at random events.
"""

import json
import os
import random
import signal

import pytest
import torch

from fixtures.databases import BACKENDS
from fixtures.processes import places_of
from fixtures.trainers import TESTS
from trainstore import TrainStore

KILLS = int(os.environ.get("RESUME_KILLS") or 0)

#: Trains, and kills itself at the n-th event of a kind; "writing": in the middle of writing a checkpoint's file.
SCRIPT = """
    import json, os, signal, sys
    from pathlib import Path

    tests, options = sys.argv[1], json.loads(sys.argv[2])
    sys.path.insert(0, tests)

    import torch
    from transformers import TrainerCallback

    from fixtures.torch_models import adam, classifier, loader, weights
    from trainstore.training import Trainer

    class Noise(torch.utils.data.Dataset):
        # Its examples are random each time they are asked for, as augmented images are.
        def __init__(self, data):
            self.data = data

        def __len__(self):
            return len(self.data)

        def __getitem__(self, index):
            inputs, target = self.data[index]
            return inputs + 0.1 * torch.randn(inputs.shape), target

    class Dies(TrainerCallback):
        def __init__(self, event, number):
            self.number = number
            if event == "writing":
                save = torch.save

                def dies(content, file, **options):
                    save(content, file, **options)
                    if options:  # not a file: what one process tells another
                        return
                    if self.number == 1:
                        file.truncate(file.tell() // 2)
                        file.flush()
                    self.count()

                torch.save = dies
            elif event is not None:
                setattr(self, event, self.count)

        def count(self, *args, **kwargs):
            self.number -= 1
            if self.number == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    folder = Path(options["folder"])
    resumes = any((folder / "checkpoints").glob("[bc]*.pt"))
    seed = options["seed"] if resumes else 1  # what is resumed does not depend on where it began
    model = classifier(seed, dropout=0.3)
    torch.manual_seed(seed)
    optimizer = adam(model)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=50)
    config = {"training": {"scheduler_step_per_batch": True, "max_grad_norm": 1.0, "save_steps": 2,
                           "gradient_accumulation_steps": 2, "mixed_precision": options.get("precision", "no")}}
    data = loader(22, shuffle=True, num_workers=options.get("workers", 0))
    if options.get("noise"):
        data = torch.utils.data.DataLoader(Noise(data.dataset), batch_size=4, shuffle=True,
                                           num_workers=options.get("workers", 0))
    trainer = Trainer(model, optimizer, torch.nn.CrossEntropyLoss(), config, "cpu", scheduler,
                      store=options["url"], skip_data=options.get("skip_data", "batches"),
                      callbacks=[Dies(options.get("event"), options.get("number", 0))])
    loop = trainer.loop
    history = trainer.train(data, 3, loader(8, batch_size=2), save_dir=folder / "checkpoints", resume_from=True)
    if loop.ranks.is_main:
        torch.save({"weights": weights(model), "history": history, "uid": trainer.run_uid,
                    "optimizer": optimizer.state_dict(), "rate": scheduler.get_last_lr()}, folder / "result.pt")
    loop.ranks.wait()
"""

#: How often each event comes in these three epochs of three steps.
EVENTS = {
    "on_step_begin": 9,
    "on_substep_end": 9,  # in an accumulation
    "on_optimizer_step": 9,
    "on_step_end": 9,
    "on_prediction_step": 12,  # in an evaluation
    "on_epoch_end": 3,
    "on_save": 7,
    "writing": 9,
}

SCENES = {
    "plain": {},
    "random transforms": {"noise": True},
    "random transforms in workers": {"noise": True, "workers": 2},
    "bf16": {"precision": "bf16"},
    "two processes": {"ranks": 2},
    "by the sampler": {"workers": 2, "skip_data": "sampler"},
}


@pytest.fixture
def train(start_script):
    """Train in a process of its own, or in several; the code that it ends with, and its result."""

    def run(folder, ranks=1, **options):
        folder.mkdir(exist_ok=True)
        arguments = (SCRIPT, TESTS, json.dumps({"folder": str(folder), **options}))
        places = [{}] if ranks == 1 else places_of(ranks)
        scripts = [start_script(*arguments, libraries="trainer", env=place) for place in places]
        codes = {script.process.wait(300) for script in scripts}
        told = "".join(script.stderr for script in scripts)
        # A process whose neighbour is killed fails.
        assert codes <= {0, -signal.SIGKILL} or (ranks > 1 and codes == {1, -signal.SIGKILL}), told
        assert "mean" not in told, told  # the recorded losses add up to the means that are logged
        return max(codes, key=abs), torch.load(folder / "result.pt", weights_only=True) if codes == {0} else None

    return run


def recorded(url, uid):
    """The steps of a run, without their times."""
    with TrainStore(url) as store:
        assert store.get_run(uid).status == "finished"
        log = store.list_step_logs(uid)
        return log.drop(columns=["step_time", "data_time", "logged_at"]).sort_index(axis="columns")


def assert_same(unbroken, resumed):
    """Equal bit for bit."""
    assert resumed["history"] == unbroken["history"]
    assert resumed["rate"] == unbroken["rate"]
    for name, value in unbroken["weights"].items():
        assert torch.equal(resumed["weights"][name], value), name
    for place, state in unbroken["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(resumed["optimizer"]["state"][place][name], value), name


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_killed_and_resumed_is_unbroken(train, new_database, tmp_path, backend, scene):
    """Killed at each kind of event in turn, and each time resumed by the same command."""
    url = new_database(backend)
    code, unbroken = train(tmp_path / "unbroken", url=url, seed=1, **SCENES[scene])
    assert code == 0
    chance = random.Random(f"{backend} {scene}")
    kinds = list(EVENTS)
    # The short form: two kinds for each scene, and over the scenes of each database all of them.
    first = 2 * (list(SCENES).index(scene) % 4)
    rounds = [kinds[first : first + 2]] if not KILLS else [[chance.choice(kinds)] for _ in range(KILLS)]
    for turn, events in enumerate(rounds):
        folder, kills = tmp_path / f"killed-{turn}", 0
        for event in events:
            number = chance.randint(1, max(1, EVENTS[event] // 2))
            code, resumed = train(
                folder, url=url, seed=chance.randrange(1000), event=event, number=number, **SCENES[scene]
            )
            if code == 0:  # it was too near its end
                break
            kills += 1
        else:
            code, resumed = train(folder, url=url, seed=2, **SCENES[scene])
        assert code == 0
        assert kills > 0
        assert_same(unbroken, resumed)
        expected = recorded(url, unbroken["uid"])
        found = recorded(url, resumed["uid"])
        assert found.equals(expected), found.compare(expected)
