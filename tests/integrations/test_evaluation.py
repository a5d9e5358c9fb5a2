"""Evaluations in every situation: before, in and after a training, of one set and of several, good and failing."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback

from fixtures.trainers import build_trainer, tokens
from fixtures.twins import logged, recorded
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback, record


def metrics_of(store, run, step):
    """All that a step's row has under its names."""
    row = store.list_step_logs(run).set_index("step").loc[step]
    return row[row.notna()].to_dict()


# --- When -------------------------------------------------------------------------------------------------------------


def test_before_the_first_step_every_three_and_at_the_end(store, make_trainer):
    """eval_on_start fills row 0, eval_steps the rows of its steps; the training's steps stay whole beside them."""
    callback = TrainStoreCallback(store)
    options = {"eval_dataset": tokens(8), "eval_on_start": True, "eval_strategy": "steps", "eval_steps": 3}
    trainer = make_trainer(callbacks=[callback], **options, max_steps=7)
    trainer.train()
    evaluated = recorded(store, callback, "eval_loss")
    assert evaluated == logged(trainer, "eval_loss")
    assert list(evaluated) == [0, 3, 6, 7]  # the last step always
    assert list(recorded(store, callback, "loss")) == list(range(1, 8))
    assert store.list_step_logs(callback.run_uid)["step"].to_list() == list(range(8))
    run = store.get_run(callback.run_uid)
    assert (run.status, run.last_step, run.metrics["eval_loss"]) == ("finished", 7, evaluated[7])
    assert run.environment["loss_source"] == "training_step"


def test_at_the_end_of_each_epoch(store, make_trainer):
    """The epochs' evaluations are in the row of their last step, with the whole epoch."""
    callback = TrainStoreCallback(store)
    options = {"train_dataset": tokens(10), "num_train_epochs": 3, "max_steps": -1, "eval_strategy": "epoch"}
    trainer = make_trainer(callbacks=[callback], eval_dataset=tokens(6), **options)
    trainer.train()
    assert recorded(store, callback, "eval_loss") == logged(trainer, "eval_loss")
    steps = store.list_step_logs(callback.run_uid).set_index("step")
    assert steps["epoch"][steps["eval_loss"].notna()].to_dict() == {5: 1.0, 10: 2.0, 15: 3.0}


def test_several_sets_each_time(store, make_trainer):
    """A dictionary of sets: each under its name, at the start, in between and when asked for afterwards."""
    callback = TrainStoreCallback(store)
    sets = {"easy": tokens(4), "hard": tokens(4, seed=9)}
    options = {"eval_on_start": True, "eval_strategy": "steps", "eval_steps": 2, "max_steps": 4}
    trainer = make_trainer(callbacks=[callback], eval_dataset=sets, **options)
    trainer.train()
    for name in ("eval_easy_loss", "eval_hard_loss"):
        assert recorded(store, callback, name) == logged(trainer, name)
        assert list(recorded(store, callback, name)) == [0, 2, 4]
    later = trainer.evaluate({"other": tokens(4, seed=3)})
    assert recorded(store, callback, "eval_other_loss") == {4: later["eval_other_loss"]}
    assert recorded(store, callback, "eval_easy_loss")[4] != recorded(store, callback, "eval_hard_loss")[4]
    data = store.get_run(callback.run_uid).data_hyperparams
    assert (data["eval_easy_size"], data["eval_hard_size"]) == (4, 4)


# --- Outside a training -----------------------------------------------------------------------------------------------


def test_a_prediction_before_any_training_is_a_run_of_its_own(store, make_trainer):
    """predict() without train(): a finished run whose one row has the prediction's metrics, under its prefix too."""
    callback = TrainStoreCallback(store, project="p")
    trainer = make_trainer(callbacks=[callback])
    found = trainer.predict(tokens(4)).metrics
    trainer.predict(tokens(4, seed=9), metric_key_prefix="held_out")
    assert len(store.list_runs()) == 1
    run = store.get_run(callback.run_uid)
    assert (run.status, run.project, run.last_step) == ("finished", "p", 0)
    row = metrics_of(store, run, 0)
    assert row["test_loss"] == found["test_loss"]
    assert row["held_out_loss"] != found["test_loss"]


def test_evaluations_around_two_trainings_find_their_run(store, make_trainer):
    """evaluate(), train(), evaluate(), train(), predict(): three runs, each with what came while it was the last."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback], eval_dataset=tokens(8), max_steps=3)
    uids, losses = [], []
    for act in (trainer.evaluate, trainer.train, trainer.evaluate, trainer.train, lambda: trainer.predict(tokens(4))):
        answer = act()
        uids.append(callback.run_uid)
        losses.append(answer["eval_loss"] if isinstance(answer, dict) else None)
    before, first, after_first, second, after_second = uids
    assert (first, second) == (after_first, after_second)
    assert len({before, first, second}) == 3
    assert store.list_runs()["status"].to_list() == ["finished"] * 3
    assert store.list_runs()["attempts"].to_list() == [1] * 3
    assert metrics_of(store, before, 0)["eval_loss"] == losses[0]
    assert metrics_of(store, first, 3)["eval_loss"] == losses[2]
    last = metrics_of(store, second, 3)
    assert "test_loss" in last
    assert "eval_loss" not in last


# --- What comes of it -------------------------------------------------------------------------------------------------


def test_early_stopping_and_the_best_model(store, make_trainer, tmp_path):
    """A training that got worse stops: finished, with the event; the best model's step, path and metric are events."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(
        callbacks=[callback, EarlyStoppingCallback(2)],
        eval_dataset={"easy": tokens(8), "hard": tokens(8, seed=9)},
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        learning_rate=5.0,  # gets worse from the first step on
        load_best_model_at_end=True,
        metric_for_best_model="eval_hard_loss",
        max_steps=20,
    )
    trainer.train()
    stopped, best_step = trainer.state.global_step, trainer.state.best_global_step
    assert best_step + 2 == stopped < 20
    run = store.get_run(callback.run_uid)
    assert (run.status, run.last_step) == ("finished", stopped)
    (stop,) = store.list_events(run, kind="early_stop").to_dict("records")
    assert (stop["step"], stop["details"]) == (stopped, {"max_steps": 20})
    (best,) = store.list_events(run, kind="best_model").to_dict("records")
    assert best["step"] == best_step
    path = str(tmp_path / "output" / f"checkpoint-{best_step}")
    assert best["details"] == {"path": path, "metric": trainer.state.best_metric, "step": best_step}
    hard = recorded(store, callback, "eval_hard_loss")
    assert best["details"]["metric"] == hard[best_step] == min(hard.values())
    assert store.get_best_run(metric_name="eval_hard_loss", metric_direction="min").uid == run.uid


def peculiar_metrics(prediction):
    """What metric libraries return: NumPy's numbers and arrays, tensors, nested results, nothing, no number."""
    return {
        "accuracy": np.float32(0.25),
        "count": np.int64(7),
        "zero_dim": np.array(1.5),
        "scalar_tensor": torch.tensor(2.5),
        "per_class": {"a": np.float64(0.5), "deeper": {"b": np.int32(1)}},
        "curve": [0.0, np.float32(0.5), 1.0],
        "confusion": np.array([[3, 1], [0, 4]]),
        "undefined": float("nan"),
        "unbounded": np.inf,
        "nothing": None,
        "sample": "some text",
        "good": np.bool_(True),
    }


def test_metrics_of_every_shape_are_kept(store, make_trainer):
    """compute_metrics may return anything: a number stays one, the rest is kept as JSON or text."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(
        callbacks=[callback], eval_dataset=tokens(8), eval_strategy="steps", eval_steps=2, max_steps=4
    )
    trainer.compute_metrics = peculiar_metrics
    trainer.train()
    assert trainer.state.global_step == 4
    for name, value in {"accuracy": 0.25, "count": 7, "zero_dim": 1.5, "scalar_tensor": 2.5}.items():
        assert recorded(store, callback, f"eval_{name}") == {2: value, 4: value}, name
    assert all(math.isnan(value) for value in recorded(store, callback, "eval_undefined").values())
    assert recorded(store, callback, "eval_unbounded") == {2: math.inf, 4: math.inf}
    with store.session() as session:
        kept = session.query(store.models.StepLog).filter_by(step=2).one().metrics
    assert kept["eval_per_class"] == {"a": 0.5, "deeper": {"b": 1}}
    assert kept["eval_curve"] == [0.0, 0.5, 1.0]
    assert kept["eval_confusion"] == [[3, 1], [0, 4]]
    assert kept["eval_nothing"] is None
    assert kept["eval_sample"] == "some text"
    assert kept["eval_good"] is True
    assert recorded(store, callback, "loss").keys() == {1, 2, 3, 4}


class NotANumber(Trainer):
    """Evaluates to NaN the first time."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if not model.training and self.state.global_step == 2:
            loss = loss * math.nan
        return (loss, outputs) if return_outputs else loss


@pytest.mark.parametrize("filtered", [True, False], ids=["filter", "no filter"])
def test_an_evaluation_that_is_not_a_number_shows_it(store, make_trainer, filtered):
    """Whatever logging_nan_inf_filter is: it hides a training step's NaN, and has nothing to do with evaluations."""
    callback = TrainStoreCallback(store)
    options = {"eval_strategy": "steps", "eval_steps": 2, "max_steps": 4, "logging_nan_inf_filter": filtered}
    make_trainer(callbacks=[callback], trainer_class=NotANumber, eval_dataset=tokens(8), **options).train()
    found = recorded(store, callback, "eval_loss")
    assert math.isnan(found[2])
    assert math.isfinite(found[4])
    assert all(math.isfinite(loss) for loss in recorded(store, callback, "loss").values())
    assert store.get_best_run(metric_name="eval_loss", metric_direction="min").uid == callback.run_uid


# --- Failing ----------------------------------------------------------------------------------------------------------

ERRORS = {
    "MemoryError": MemoryError("no memory left"),
    "OutOfMemoryError": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "KeyboardInterrupt": KeyboardInterrupt(),
}


def failing_at(step, error):
    """A trainer class whose evaluation at this step fails."""

    class Fails(Trainer):
        def evaluate(self, *args, **kwargs):
            if self.state.global_step == step:
                raise error
            return super().evaluate(*args, **kwargs)

    return Fails


@pytest.mark.parametrize("recording", ["callback", "record"])
@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("step", [0, 2], ids=["at the start", "in an epoch"])
def test_an_evaluation_that_fails_ends_the_run(new_database, make_trainer, name, recording, step):
    """Out of memory (or Ctrl-C) in the evaluation at the start or in an epoch: the run says so at once, once."""
    url, error = new_database("sqlite"), ERRORS[name]
    callbacks = [TrainStoreCallback(url)] if recording == "callback" else []
    options = {"eval_on_start": True, "eval_strategy": "steps", "eval_steps": 2, "max_steps": 4}
    trainer = make_trainer(
        callbacks=callbacks, trainer_class=failing_at(step, error), eval_dataset=tokens(8), **options
    )
    around = nullcontext() if callbacks else record(trainer, url)
    with pytest.raises(type(error)) as caught, around:
        trainer.train()
    assert caught.value is error
    assert "_evaluate" not in vars(trainer)
    with TrainStore(url) as store:
        (uid,) = store.list_runs()["uid"]
        run = store.get_run(uid)
        status = "interrupted" if name == "KeyboardInterrupt" else "failed"
        assert (run.status, run.error.split(":")[0]) == (status, name)
        assert str(error) in run.error
        (event,) = store.list_events(uid, kind="exception").to_dict("records")
        assert (event["step"], event["details"]["type"]) == (step, name)
        assert "in evaluate" in event["details"]["traceback"]
        assert store.list_step_logs(uid)["step"].to_list() == ([0, 1, 2] if step else [])


def test_a_failed_evaluation_at_the_start_on_both_databases(store, make_trainer):
    """The run has no step and says why; the next training is a run of its own, and a healthy one."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(
        callbacks=[callback],
        trainer_class=failing_at(0, MemoryError("full")),
        eval_dataset=tokens(8),
        eval_on_start=True,
    )
    with pytest.raises(MemoryError):
        trainer.train()
    failed = store.get_run(callback.run_uid)
    assert (failed.status, failed.error, failed.last_step) == ("failed", "MemoryError: full", None)
    trainer.args.eval_on_start = False
    trainer.train()
    assert callback.run_uid != failed.uid
    assert store.get_run(callback.run_uid).status == "finished"
    assert store.get_run(failed.uid).status == "failed"


def test_no_smaller_batch_is_tried_after_an_evaluation_without_memory(local_store, make_trainer):
    """auto_find_batch_size is about training: out of memory in an evaluation ends the training, and the run failed."""
    callback = TrainStoreCallback(local_store)
    error = torch.OutOfMemoryError("CUDA out of memory.")
    trainer = make_trainer(
        callbacks=[callback],
        trainer_class=failing_at(0, error),
        eval_dataset=tokens(8),
        eval_on_start=True,
        auto_find_batch_size=True,
    )
    with pytest.raises(RuntimeError, match="out-of-memory"):
        trainer.train()
    assert len(local_store.list_runs()) == 1
    run = local_store.get_run(callback.run_uid)
    assert run.status == "failed"
    assert local_store.list_runs()["attempts"].to_list() == [1]


@pytest.mark.parametrize("recording", ["callback", "record"])
def test_what_fails_outside_epochs_and_evaluations_is_seen(local_store, tmp_path, recording):
    """Another callback's on_train_begin, which no event and no wrapper on the trainer shows: the run is failed."""

    class Fails(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            raise MemoryError("in the set-up")

    callback = TrainStoreCallback(local_store, name="seen")
    trainer = build_trainer(tmp_path, callbacks=[callback] if recording == "callback" else [], max_steps=2)
    around = nullcontext() if recording == "callback" else record(trainer, local_store, name="seen")

    def train_with(other):
        trainer.add_callback(other)  # after ours
        trainer.train()

    with pytest.raises(MemoryError), around:
        train_with(Fails())
    run = local_store.get_run("seen")
    assert (run.status, run.error) == ("failed", "MemoryError: in the set-up")
    assert local_store.list_events(run)["kind"].to_list() == ["exception"]
    if recording == "callback":
        trainer.remove_callback(Fails)
        trainer.train()
        assert callback.run_uid != run.uid
        assert local_store.list_runs()["status"].to_list() == ["finished", "failed"]
