"""Optuna's searches through the Trainer: a run for each trial."""

import json
from pathlib import Path

import optuna
import pytest
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.trainer_utils import HPSearchBackend

from fixtures.trainers import Crash, CrashAt, gpt2, tokens
from trainstore.callbacks import ModelCheckpointCallback
from trainstore.integrations.transformers import TrainStoreCallback

RATES = [1e-2, 2e-2, 3e-2]


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


class PruneTrials(optuna.pruners.BasePruner):
    """Prunes the trials of these numbers at this step."""

    def __init__(self, numbers, step):
        self.numbers = numbers
        self.step = step

    def prune(self, study, trial):
        return trial.number in self.numbers and trial.last_step == self.step


def search(trainer, *, rates=RATES, pruner=None, **options):
    """Search over these learning rates, a trial each, in their order."""
    return trainer.hyperparameter_search(
        backend="optuna",
        direction="minimize",
        n_trials=len(rates),
        hp_space=lambda trial: {"learning_rate": trial.suggest_categorical("learning_rate", rates)},
        compute_objective=lambda metrics: metrics["eval_loss"],
        sampler=optuna.samplers.GridSampler({"learning_rate": rates}, seed=1),
        pruner=pruner or optuna.pruners.NopPruner(),
        **options,
    )


def make_searching(make_trainer, callbacks, **options):
    """A trainer that makes its model anew for each trial."""
    options = {"eval_dataset": tokens(4), "eval_strategy": "steps", "eval_steps": 2, "max_steps": 4, **options}
    trainer = make_trainer(callbacks=callbacks, **options)
    trainer.model_init = gpt2
    return trainer


def as_in_a_search(trainer):
    """Let train() take a trial, as it does inside hyperparameter_search()."""
    trainer.hp_search_backend = HPSearchBackend.OPTUNA
    trainer.hp_space = lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-2)}
    trainer.hp_name = None
    trainer.compute_objective = lambda metrics: metrics["eval_loss"]


def by_number(store):
    """The runs of the trials, by number."""
    runs = [store.get_run(uid) for uid in store.list_runs()["uid"]]
    return {run.hyperparams["trial_number"]: run for run in runs}


def test_each_trial_is_a_run(store, make_trainer, tmp_path):
    """Three trials: three runs with the trial's parameters, number and name; a pruned one is pruned, not failed."""
    callback = TrainStoreCallback(store, project="search")
    trainer = make_searching(make_trainer, [callback], save_strategy="steps", save_steps=2)
    best = search(trainer, pruner=PruneTrials({1}, 2), hp_name=lambda trial: f"rate-{trial.number}", study_name="s")
    runs = by_number(store)
    assert sorted(runs) == [0, 1, 2]
    assert sorted(run.hyperparams["learning_rate"] for run in runs.values()) == RATES
    assert runs[int(best.run_id)].hyperparams["learning_rate"] == best.hyperparameters["learning_rate"]
    assert {number: (run.status, run.last_step, run.error) for number, run in runs.items()} == {
        0: ("finished", 4, None),
        1: ("pruned", 2, None),
        2: ("finished", 4, None),
    }
    for number, run in runs.items():
        assert (run.project, run.name, run.hyperparams["trial_name"]) == ("search", *[f"rate-{number}"] * 2)
        steps = store.list_step_logs(run).set_index("step")
        assert steps.index.to_list() == list(range(1, run.last_step + 1))
        assert steps["loss"].notna().all()
        assert steps["learning_rate"][1] == pytest.approx(run.hyperparams["learning_rate"])
        assert run.environment["loss_source"] == "training_step"
        paths = [details["path"] for details in store.list_events(run, kind="checkpoint")["details"]]
        saved = [] if number == 1 else [2, 4]  # pruned before its first checkpoint
        assert paths == [str(tmp_path / "output" / f"rate-{number}" / f"checkpoint-{step}") for step in saved]
        assert all(Path(path).is_dir() for path in paths)
        assert store.list_events(run, kind="exception").empty


def test_a_trial_pruned_at_its_last_step_is_pruned(local_store, make_trainer):
    """The last evaluation may prune too, and so may the one at the start."""
    callback = TrainStoreCallback(local_store)
    search(make_searching(make_trainer, [callback]), rates=RATES[:2], pruner=PruneTrials({0}, 4))
    assert {number: run.status for number, run in by_number(local_store).items()} == {0: "pruned", 1: "finished"}
    trainer = make_searching(
        make_trainer, [TrainStoreCallback(local_store, project="at the start")], eval_on_start=True
    )
    search(trainer, rates=RATES[:2], pruner=PruneTrials({0}, 0))
    runs = local_store.list_runs(project="at the start")
    assert sorted(runs["status"]) == ["finished", "pruned"]


def test_a_trial_that_stops_early_is_finished(local_store, make_trainer):
    """Early stopping inside a trial is no pruning."""
    callback = TrainStoreCallback(local_store)
    trainer = make_searching(
        make_trainer,
        [callback, EarlyStoppingCallback(1)],
        max_steps=12,
        load_best_model_at_end=True,
        save_strategy="steps",
        save_steps=2,
        lr_scheduler_type="constant",
        metric_for_best_model="eval_loss",
    )
    search(trainer, rates=[0.0])
    (run,) = by_number(local_store).values()
    assert run.status == "finished"
    assert run.last_step < 12
    assert len(local_store.list_events(run, kind="early_stop")) == 1


def test_the_evaluation_after_a_trial_is_of_its_run(store, make_trainer):
    """A trial that never evaluates is evaluated after on_train_end: the metrics land in its own last step."""
    callback = TrainStoreCallback(store)
    search(make_searching(make_trainer, [callback], eval_strategy="no"))
    runs = by_number(store)
    assert sorted(runs) == [0, 1, 2]
    losses = set()
    for run in runs.values():
        steps = store.list_step_logs(run).set_index("step")
        assert steps["eval_loss"].dropna().index.to_list() == [4]
        losses.add(steps["eval_loss"][4])
        assert run.status == "finished"
    assert len(losses) == 3


def test_a_failed_trial_does_not_touch_the_next_one(local_store, make_trainer):
    """The search goes on after a trial that failed; its run alone is failed."""

    class FailsOnce(CrashAt):
        def on_step_end(self, args, state, control, **kwargs):
            if trainer._trial.number == 0:
                super().on_step_end(args, state, control, **kwargs)

    trainer = make_searching(make_trainer, [TrainStoreCallback(local_store), FailsOnce(3)])
    search(trainer, rates=RATES[:2], catch=(Crash,))
    runs = by_number(local_store)
    assert (runs[0].status, runs[0].error, runs[0].last_step) == ("failed", "Crash: at step 3", 3)
    assert (runs[1].status, runs[1].last_step) == ("finished", 4)


def test_the_checkpoint_of_another_trial_makes_a_child(store, make_trainer, tmp_path):
    """A trial that goes on from another one's checkpoint is a run of its own, whose parent is that one's.

    So is a training outside the search; the trial's marks in the checkpoint are not its own.
    """
    callback = TrainStoreCallback(store)
    trainer = make_searching(make_trainer, [callback], save_strategy="steps", save_steps=2)
    search(trainer, rates=RATES[:1])
    first = callback.run_uid
    checkpoint = str(tmp_path / "output" / "run-0" / "checkpoint-2")
    study = optuna.create_study()
    study.ask()
    as_in_a_search(trainer)
    trainer.train(resume_from_checkpoint=checkpoint, trial=study.ask())
    second = callback.run_uid
    # The first trial of another study has the same number and folder.
    trainer.train(resume_from_checkpoint=checkpoint, trial=optuna.create_study().ask())
    third = callback.run_uid
    trainer.train(resume_from_checkpoint=checkpoint)
    outside = callback.run_uid
    assert len({first, second, third, outside}) == 4
    for uid in (second, third, outside):
        run = store.get_run(uid)
        assert (run.parent_uid, run.parent_step, run.status) == (first, 2, "finished")
        assert store.list_step_logs(uid)["step"].to_list() == [3, 4]
    assert store.get_run(second).hyperparams["trial_number"] == 1
    assert "trial_number" not in store.get_run(outside).hyperparams
    assert len(store.list_step_logs(first)) == 4


def test_the_same_trial_goes_on_with_its_run(local_store, make_trainer, tmp_path):
    """A trial resumed from its own checkpoint is the next attempt of its run."""
    callback = TrainStoreCallback(local_store)
    trainer = make_searching(make_trainer, [callback, CrashAt(3)], save_strategy="steps", save_steps=2)
    as_in_a_search(trainer)
    trial = optuna.create_study().ask()
    with pytest.raises(Crash):
        trainer.train(trial=trial)
    first = callback.run_uid
    trainer.remove_callback(CrashAt)
    trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "run-0" / "checkpoint-2"), trial=trial)
    assert callback.run_uid == first
    assert local_store.list_runs()[["status", "attempts", "last_step"]].values.tolist() == [["finished", 2, 4]]


def test_an_own_pruning_callback_prunes_the_run(local_store, make_trainer):
    """Optuna without the Trainer's search: TrialPruned raised inside the training makes the run pruned."""

    class Prunes(TrainerCallback):
        def on_evaluate(self, args, state, control, **kwargs):
            raise optuna.TrialPruned

    callback = TrainStoreCallback(local_store)
    with pytest.raises(optuna.TrialPruned):
        make_trainer(
            callbacks=[callback, Prunes()], eval_dataset=tokens(4), eval_strategy="steps", eval_steps=2
        ).train()
    run = local_store.get_run(callback.run_uid)
    assert (run.status, run.last_step) == ("pruned", 2)


def test_each_trial_keeps_its_best_model(store, make_trainer, tmp_path):
    """None replaces or removes another one's: each has a folder, named like that of its checkpoints."""
    recorder = TrainStoreCallback(store)
    keeper = ModelCheckpointCallback(tmp_path / "best", save_total_limit=1)
    trainer = make_searching(make_trainer, [recorder, keeper], lr_scheduler_type="constant")
    search(trainer, rates=[1e-2, 0.0])  # the second one learns nothing
    for number, run in by_number(store).items():
        event = store.list_events(run, kind="best_model")["details"].iloc[-1]
        folder = Path(event["path"])
        assert folder.parent == tmp_path / "best" / f"run-{number}"
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]
        saved = json.loads((folder / "metrics.json").read_text())["eval_loss"]
        assert saved == event["metric"] == store.list_step_logs(run)["eval_loss"].min()
    search(trainer, rates=[1e-2], hp_name=lambda trial: f"rate/{trial.number}")
    assert keeper.best_model_path.parent == tmp_path / "best" / "rate" / "0"
    trainer.train()
    assert keeper.best_model_path.parent == tmp_path / "best"
