"""How a run's record looks: repr, print and a notebook's page; and how its duration and its best values are found."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

import pytest
from transformers import TrainingArguments

from queries.builders import START, Builder
from trainstore import RunRecord, TrainStore, queries
from trainstore.display import duration_text
from trainstore.queries.metric_names import better_direction, results_first
from trainstore.queries.record_display import chosen_hyperparams
from trainstore.queries.training_arguments import DEFAULTS, INCIDENTAL


def record_of(builder: Builder, uid: str) -> RunRecord:
    with builder.reader() as reader:
        return queries.get_run(reader, uid)


@pytest.fixture
def trained(builder: Builder) -> RunRecord:
    """A Trainer's run, with its defaults, that fell back after its best step."""
    chosen = {
        "learning_rate": 0.01,
        "seed": 7,
        "output_dir": "out",
        "optim": "sgd",
        "my": {"deep": "<b>"},
        "tf32": None,
    }
    arguments = {**DEFAULTS, **chosen, "report_to": ["tensorboard"], "num_train_epochs": 3}
    return record_of(
        builder,
        builder.run(
            "fit",
            project="p",
            source="transformers",
            hyperparams={
                **{f"hp.{name}": value for name, value in arguments.items()},
                "mth.model_class": "GPT2",
                "mth.num_parameters": 12_345,
                "tag.bad": True,
                "tag.owner": "ann",
            },
            metrics={
                "loss": {"count": 3, "min": 0.5, "min_step": 7, "max": 2.0, "max_step": 1, "last": 1.0, "last_step": 9},
                "eval_f1": {"count": 2, "min": 0.1, "min_step": 3, "max": 0.9, "max_step": 6, "last": 0.9},
                "lr": 0.1,
                "train_runtime": 12.5,
            },
            ended_at=START + timedelta(seconds=90),
            last_step=9,
        ),
    )


def test_the_best_value_of_each_metric_whose_name_says_what_is_better(trained: RunRecord) -> None:
    """The smallest loss, the largest F1, each with its step; a learning rate has no best value."""
    assert trained.best_metrics == {"loss": (0.5, 7), "eval_f1": (0.9, 6)}
    assert trained.metrics["lr"] == 0.1


@pytest.mark.parametrize(
    ("status", "ended", "heartbeat_age", "expected"),
    [
        ("finished", 3.5, None, timedelta(seconds=3.5)),
        ("running", None, 1000, None),
        ("failed", -5, None, timedelta()),
    ],
)
def test_the_duration_of_a_run_that_is_over(
    builder: Builder, status: str, ended: float | None, heartbeat_age: float | None, expected: timedelta | None
) -> None:
    """From start to end, never below 0; of a lost run nobody knows it."""
    ended_at = None if ended is None else START + timedelta(seconds=ended)
    record = record_of(builder, builder.run(status=status, ended_at=ended_at, heartbeat_age=heartbeat_age))
    assert record.duration == expected


def test_the_duration_of_a_run_that_goes_on(store: TrainStore) -> None:
    """Until the moment when it was read."""
    run = store.start_run(name="r")
    run.log({"loss": 1.0})
    first, second = store.get_run(run).duration, store.get_run(run).duration
    assert first is not None
    assert second is not None
    assert timedelta() <= first <= second
    run.finish()


def test_only_what_was_chosen_is_shown_of_a_trainers_arguments(trained: RunRecord) -> None:
    """Neither defaults, nor None, nor where messages go; the folder of outputs comes last. A plain run shows all."""
    shown = chosen_hyperparams(trained)
    assert shown.values == {"learning_rate": 0.01, "my.deep": "<b>", "optim": "sgd", "seed": 7, "output_dir": "out"}
    assert list(shown.values)[-1] == "output_dir"
    assert shown.hidden == len(DEFAULTS) - 3 + 1


def test_a_plain_run_shows_all_its_hyperparameters(builder: Builder) -> None:
    """Its seed is nobody's default."""
    record = record_of(builder, builder.run(hyperparams={"hp.seed": 42, "hp.none": None}))
    assert chosen_hyperparams(record) == ({"seed": 42}, 0)


def test_the_defaults_are_those_of_the_library(tmp_path) -> None:
    """The table has every default that is not None, as the installed transformers has it."""
    arguments = TrainingArguments(output_dir=str(tmp_path))
    installed = {field.name: getattr(arguments, field.name) for field in fields(arguments)}
    accelerator = arguments.accelerator_config
    installed["accelerator_config"] = {field.name: getattr(accelerator, field.name) for field in fields(accelerator)}
    found = {
        name: getattr(value, "value", value)
        for name, value in installed.items()
        if value is not None and name != "output_dir" and name not in INCIDENTAL
    }
    assert found == DEFAULTS


def test_repr_is_one_line_and_print_a_few(trained: RunRecord, builder: Builder) -> None:
    """They show status, results and what was chosen; repr also the metric by which the run was found."""
    with builder.reader() as reader:
        best = queries.get_best_run(reader, metric_name="loss", metric_direction="min")
    assert repr(best) == "<RunRecord 1 'fit' of 'p': finished at step 9 after 1 min 30 s, loss 0.5 at step 7>"
    assert str(trained).splitlines() == [
        "fit (run 1 of project p): finished at step 9 after 1 min 30 s",
        "  eval_f1: 0.9 (best)",
        "  loss: 1 (best 0.5 at step 7)",
        "  lr: 0.1",
        "  hyperparameters: learning_rate=0.01, my.deep=<b>, optim=sgd, seed=7, output_dir=out",
        "  tags: bad, owner=ann",
    ]


def test_a_notebook_shows_a_short_page_that_unfolds(trained: RunRecord) -> None:
    """Status, results and what was chosen are open; defaults, runtimes and the model unfold. Text is escaped."""
    page = trained._repr_html_()
    first, *folded = page.split("<details>")
    assert "finished at step 9 after 1 min 30 s" in first
    assert "GPT2, 12,345 parameters" in first
    assert "0.01" in first
    assert "train_runtime" not in first
    assert "adam_beta1" not in first
    titles = [part.partition(" (")[0] for part in folded]
    assert titles == ["<summary>All hyperparameters", "<summary>All metrics", "<summary>Model"]
    assert "adam_beta1" in folded[0]
    assert "train_runtime" in folded[1]
    assert "&lt;b&gt;" in page
    assert "<b>fit</b>" in page
    assert page.count("<b>") == 1


def test_a_record_without_anything_can_be_shown(builder: Builder) -> None:
    """A run that has just begun has no metric, step or hyperparameter."""
    record = record_of(builder, builder.run("new", status="failed", error="a\nb " + 80 * "x"))
    assert str(record).splitlines() == [
        "new (run 1 of project default): failed",
        "  error: a b " + 55 * "x" + "…",
    ]
    assert "<details" not in record._repr_html_()


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("loss", "min"),
        ("train/loss", "min"),
        ("eval_f1", "max"),
        ("val.Accuracy", "max"),
        ("loss_window", "min"),
        ("train_loss_epoch", "min"),
        ("accuracy_top_5", "max"),
        ("rouge1", "max"),
        ("ValLoss", "min"),
        ("perplexity", "min"),
        ("loss_scale", None),
        ("valid_0-binary_logloss", "min"),
        ("test-aucpr-mean", "max"),
        ("test-aucpr-std", None),
        ("epoch", None),
        ("learning_rate", None),
        ("5", None),
        ("损失", None),
    ],
)
def test_the_last_word_of_a_metric_says_which_values_are_better(metric: str, direction: str | None) -> None:
    """An average of a loss is a loss; a name that says nothing has no direction."""
    assert better_direction(metric) == direction


def test_results_come_before_everything_else() -> None:
    """Of evaluations first, then of training, then what is no result, then runtimes and counters."""
    names = ["train_steps", "eval_runtime", "grad_norm", "loss", "eval_loss", "tokens", "val/acc"]
    efforts = ["eval_runtime", "tokens", "train_steps"]
    assert results_first(names) == ["eval_loss", "val/acc", "loss", "grad_norm", *efforts]
    assert results_first(["train-logloss", "valid-logloss"]) == ["valid-logloss", "train-logloss"]  # as of XGBoost


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (3.21, "3.2 s"),
        (12.4, "12 s"),
        (59, "59 s"),
        (59.8, "1 min"),
        (72, "1 min 12 s"),
        (60, "1 min"),
        (3_725, "1 h 2 min"),
        (3_605, "1 h"),
        (7_500, "2 h 5 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_duration_is_told_by_its_two_largest_units(seconds: float, text: str) -> None:
    """Seconds with a fraction only below 10."""
    assert duration_text(timedelta(seconds=seconds)) == text
