"""A training that ends because a metric does not become better."""

import math

import pytest
from transformers import TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler

from fixtures import forgather
from fixtures.trainers import course_of, gpt2, is_same_course, tokens
from trainstore.callbacks import EarlyStoppingCallback
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.transformers import TrainStoreCallback

EVALUATED = {"eval_strategy": "steps", "eval_steps": 1}


def stopped_at(callback, values, name="eval_loss"):
    """The number of evaluations, with these values of a metric, after which a training is stopped."""
    state, control = TrainerState(max_steps=100), TrainerControl()
    handler = CallbackHandler([callback], None, None, None, None)
    handler.on_train_begin({}, state, control)
    for value in values:
        state.global_step += 1
        handler.on_evaluate({}, state, control, {} if value is None else {name: value})
        if control.should_training_stop:
            return state.global_step
    handler.on_train_end({}, state, control)
    return None


def test_a_training_ends_and_the_run_says_why(store, make_trainer):
    """Neither load_best_model_at_end nor metric_for_best_model is needed."""
    recorder = TrainStoreCallback(store)
    trainer = make_trainer(
        callbacks=[recorder, EarlyStoppingCallback(patience=2)],
        learning_rate=0.0,
        eval_dataset=tokens(4),
        **EVALUATED,
    )
    trainer.train()
    assert trainer.state.global_step == 3
    (event,) = store.list_events(recorder.run_uid, kind="no_improvement").to_dict("records")
    best = event["details"].pop("best")
    assert best == pytest.approx(trainer.state.log_history[0]["eval_loss"])
    assert event["step"] == 3
    assert event["details"] == {"metric": "eval_loss", "mode": "min", "best_step": 1, "patience": 2}
    assert store.get_run(recorder.run_uid).status == "finished"


def test_the_steps_until_then_are_the_same(make_trainer):
    """It changes when a training ends, and nothing else."""
    options = {"learning_rate": 0.0, "eval_dataset": tokens(4), "logging_steps": 1, **EVALUATED}
    course = course_of(make_trainer(callbacks=[EarlyStoppingCallback(patience=2)], **options))
    whole = course_of(make_trainer(**options, max_steps=3))
    assert is_same_course(course, whole)


@pytest.mark.parametrize(
    ("arguments", "values", "step"),
    [
        ({}, [3, 2, 1, 1, 1, 1], 6),
        ({}, [3, 2, 1, 2, 0.5, 1, 1, 1], 8),
        ({"patience": 1}, [1.0, 1.0], 2),
        ({"patience": 1, "threshold": 0.5}, [3, 2.4, 2.0], 3),
        ({"patience": 2}, [math.nan, math.nan], 2),
        ({"patience": 2}, [1, math.nan, 2], 3),
        ({"patience": 1, "mode": "max"}, [1, 2, 1.5], 3),
        ({"patience": 1, "metric": "loss"}, [2, 1, 1], 3),
        ({}, [3, 2, 1, 0], None),
    ],
)
def test_it_counts_evaluations_that_are_not_better(arguments, values, step):
    """In a row, by more than the threshold; NaN is never better."""
    assert stopped_at(EarlyStoppingCallback(**arguments), values) == step


def test_the_name_says_which_values_are_better():
    """An accuracy should grow, a loss should fall."""
    assert stopped_at(EarlyStoppingCallback(1, metric="eval_accuracy"), [0.1, 0.2, 0.3], "eval_accuracy") is None
    assert stopped_at(EarlyStoppingCallback(1, metric="accuracy"), [0.3, 0.2], "eval_accuracy") == 2


def test_it_goes_on_counting_after_a_resume(make_trainer, tmp_path):
    """The checkpoint keeps the count and the best value."""
    options = {"learning_rate": 0.0, "eval_dataset": tokens(4), **EVALUATED}
    make_trainer(
        callbacks=[EarlyStoppingCallback(patience=4)], max_steps=3, save_strategy="steps", save_steps=3, **options
    ).train()
    trainer = make_trainer(callbacks=[EarlyStoppingCallback(patience=4)], **options)
    trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-3"))
    assert trainer.state.global_step == 5


def test_the_next_training_counts_afresh():
    """A callback may be used again."""
    callback = EarlyStoppingCallback(2)
    assert stopped_at(callback, [1, 1, 1]) == 3
    assert stopped_at(callback, [2, 2, 2]) == 3


def test_a_training_without_evaluations_is_told_at_its_beginning(make_trainer, caplog):
    """It would wait for them in vain."""
    make_trainer(callbacks=[EarlyStoppingCallback()], max_steps=1).train()
    assert caplog.text.count("eval_strategy is 'no'") == 1


def test_a_metric_that_is_missing_is_told_once(caplog):
    """The training goes on; results of several data sets at one step belong together."""
    assert stopped_at(EarlyStoppingCallback(), [None, None, None]) is None
    assert [record.getMessage() for record in caplog.records if record.name == "trainstore"] == [
        "EarlyStoppingCallback: no evaluation has eval_loss; the training is not stopped early"
    ]
    caplog.clear()
    callback, state, control = EarlyStoppingCallback(metric="eval_b_loss"), TrainerState(), TrainerControl()
    callback.on_train_begin({}, state, control)
    for state.global_step in (1, 2):
        for name in ("eval_a_loss", "eval_b_loss"):
            callback.on_evaluate({}, state, control, metrics={name: 1.0})
    callback.on_train_end({}, state, control)
    assert [record for record in caplog.records if record.name == "trainstore"] == []


def test_every_rank_stops():
    """One that went on alone would wait for the others forever."""
    callback, control = EarlyStoppingCallback(1), TrainerControl()
    state = TrainerState(is_world_process_zero=False)
    callback.on_train_begin({}, state, control)
    for _ in range(2):
        callback.on_evaluate({}, state, control, metrics={"eval_loss": 1.0})
    assert control.should_training_stop


@pytest.mark.parametrize("later", [False, True])
def test_it_stops_forgathers_trainer(store, tmp_path, later):
    """Nothing gets better; later versions of that trainer ask the callback for its name."""
    options = {"learning_rate": 0.0, "eval_strategy": "steps", "eval_steps": 1, "num_train_epochs": 2}
    args = forgather.TrainingArguments(output_dir=str(tmp_path), **options)
    callbacks = [TrainStoreCallback(store, name="stopped"), EarlyStoppingCallback(patience=2)]
    trainer = forgather.Trainer(gpt2(), args, tokens(16), tokens(4), callbacks, later=later)
    trainer.train()
    run = store.get_run("stopped")
    assert (run.status, run.last_step) == ("finished", 3)
    assert store.list_events(run, kind="early_stop")["step"].to_list() == [3]
    assert trainer.stopped_by == ("EarlyStoppingCallback(eval_loss)" if later else None)


@pytest.mark.parametrize(
    "arguments",
    [{"patience": 0}, {"patience": 1.5}, {"threshold": -1}, {"threshold": math.nan}, {"metric": ""}, {"mode": "up"}],
)
def test_wrong_arguments_are_refused_at_once(arguments):
    """They are errors before any training, which name the argument."""
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        EarlyStoppingCallback(**arguments)
