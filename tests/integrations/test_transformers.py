"""What a training with the callback leaves in the store: steps, losses, evaluations, facts."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainerCallback

from fixtures.trainers import build_trainer, gpt2, tokens
from fixtures.twins import COMPARED, logged, recorded_series
from trainstore.integrations.transformers import TrainStoreCallback

HUB_TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
NESTED_SECRET = "nested-and-plainly-secret"


@pytest.fixture(scope="module", params=[(1, 100), (4, 40)], ids=["1", "4"])
def long_twin(request, tmp_path_factory):
    """Options of a training, and one that logs every step of it: the same for each database."""
    accumulation, steps = request.param
    options = {"max_steps": steps, "gradient_accumulation_steps": accumulation}
    twin = build_trainer(tmp_path_factory.mktemp("twin"), model=gpt2(), **options, logging_steps=1)
    twin.train()
    return options, twin


def test_the_losses_are_those_of_a_twin_that_logs_every_step(store, make_trainer, long_twin):
    """Logged four times in a training, every step has its loss: that which the same seed logs with logging_steps=1.

    test_accuracy.py shows the same, in fewer steps, of every way in which a loss comes about.
    """
    options, twin = long_twin
    steps = options["max_steps"]
    callback = TrainStoreCallback(store)
    make_trainer(model=gpt2(), callbacks=[callback], **options, logging_steps=steps // 4).train()
    series = recorded_series(store, callback, *COMPARED, "loss_window")
    ours, theirs = series["loss"], logged(twin, "loss")
    assert list(ours) == list(range(1, steps + 1)) == list(theirs)
    assert ours == pytest.approx(theirs, rel=1e-6, abs=0)
    if options["gradient_accumulation_steps"] == 1:
        assert ours == theirs
    assert series["grad_norm"] == logged(twin, "grad_norm")
    assert series["learning_rate"] == logged(twin, "learning_rate")
    assert list(series["loss_window"]) == [steps // 4 * number for number in range(1, 5)]
    assert store.get_run(callback.run_uid).environment["loss_source"] == "training_step"


def test_a_step_row_is_whole(store, make_trainer):
    """A row has loss, gradient norm, learning rate, epoch, times and tokens; its window and evaluation join it."""
    callback = TrainStoreCallback(store, project="p", name="n")
    trainer = make_trainer(
        callbacks=[callback], eval_dataset=tokens(8), eval_strategy="steps", eval_steps=5, logging_steps=5
    )
    trainer.train()
    steps = store.list_step_logs(callback.run_uid).set_index("step")
    assert list(steps.index) == list(range(1, 11))
    every = ["epoch", "step_time", "data_time", "loss", "grad_norm", "learning_rate", "tokens"]
    assert steps[every].notna().all().all()
    assert (steps[["step_time", "data_time"]] > 0).all().all()
    assert set(steps["tokens"]) == {2 * 12}
    assert steps["epoch"].to_list() == pytest.approx([n / 32 for n in range(1, 11)])
    for key in ("loss_window", "eval_loss", "eval_runtime"):
        assert list(steps[key].dropna().index) == [5, 10]
    assert steps["eval_loss"].dropna().to_list() == list(logged(trainer, "eval_loss").values())
    assert steps["loss_window"][5] == pytest.approx(steps["loss"][:5].mean(), rel=1e-6)
    last = steps.loc[10]
    for total in ("train_runtime", "train_loss", "total_flos", "train_samples_per_second"):
        assert last[total] == trainer.state.log_history[-1][total]
    with store.session() as session:
        details = {row.step: row.details for row in session.query(store.models.StepLog).all() if row.details}
    assert details == {
        5: {"loss_window": {"first_step": 1, "last_step": 5}},
        10: {"loss_window": {"first_step": 6, "last_step": 10}},
    }
    run = store.get_run(callback.run_uid)
    assert (run.project, run.name, run.status) == ("p", "n", "finished")


def test_every_training_argument_is_a_hyperparameter(store, make_trainer):
    """hp holds every field of the arguments, enums as their value, and the user's own; mth, dbh and env the rest."""
    callback = TrainStoreCallback(store, hyperparams={"note": "mine", "run_name": "the user's"}, tags=["a"])
    trainer = make_trainer(callbacks=[callback], eval_dataset={"one": tokens(4), "two": tokens(6)})
    trainer.train()
    run = store.get_run(callback.run_uid)
    arguments, model, data, environment = run.hyperparams, run.model_hyperparams, run.data_hyperparams, run.environment
    assert set(arguments) == {field.name for field in dataclasses.fields(trainer.args)} | {"note"}
    assert arguments["learning_rate"] == 1e-2
    assert arguments["save_strategy"] == "no"
    assert arguments["lr_scheduler_type"] == "linear"
    assert arguments["accelerator_config"]["even_batches"] is True
    assert arguments["note"] == "mine"
    assert arguments["run_name"] == "the user's"
    assert model["n_embd"] == 16
    assert model["num_parameters"] == sum(p.numel() for p in trainer.model.parameters())
    assert model["num_trainable_parameters"] == model["num_parameters"]
    assert model["model_class"] == "GPT2LMHeadModel"
    assert data["train_size"] == 64
    assert (data["eval_one_size"], data["eval_two_size"]) == (4, 6)
    assert environment["torch"] == torch.__version__
    assert (environment["device"], environment["world_size"], environment["precision"]) == ("cpu", 1, "fp32")
    assert {"python", "transformers", "accelerate", "trainstore"} <= set(environment)
    assert run.tags == {"a": True}


def test_columns_and_fingerprint_of_a_dataset_are_kept(local_store, make_trainer):
    """A dataset that has columns, features and a fingerprint, as those of ``datasets`` do, shows them in dbh."""

    class Columns(list):
        column_names = ["input_ids", "labels"]
        features = {"input_ids": "List(int64)", "labels": "List(int64)"}
        _fingerprint = "0123abcd"

    callback = TrainStoreCallback(local_store)
    make_trainer(callbacks=[callback], max_steps=1, train_dataset=Columns(tokens(8))).train()
    data = local_store.get_run(callback.run_uid).data_hyperparams
    assert data["train_columns"] == ["input_ids", "labels"]
    assert data["train_features"] == {"input_ids": "List(int64)", "labels": "List(int64)"}
    assert data["train_fingerprint"] == "0123abcd"


def test_secrets_reach_neither_database_nor_journal(store, make_trainer, tmp_path, monkeypatch):
    """hub_token, and a token nested in the arguments, are redacted before anything is written."""
    from trainstore.recording import journal

    written = []
    append = journal.FileJournal.append

    def spy(self, payload):
        written.append(payload)
        return append(self, payload)

    monkeypatch.setattr(journal.FileJournal, "append", spy)
    callback = TrainStoreCallback(store, hyperparams={"api_key": NESTED_SECRET})
    trainer = make_trainer(callbacks=[callback], max_steps=2, hub_token=HUB_TOKEN)
    trainer.args.accelerator_config.gradient_accumulation_kwargs = {"deep": [{"token": NESTED_SECRET}]}
    trainer.train()
    found = store.get_run(callback.run_uid).hyperparams
    assert found["hub_token"] == "[redacted]"
    assert found["api_key"] == "[redacted]"
    assert found["accelerator_config"]["gradient_accumulation_kwargs"] == {"deep": [{"token": "[redacted]"}]}
    secrets = (HUB_TOKEN.encode(), NESTED_SECRET.encode())
    assert written
    assert not any(secret in payload for payload in written for secret in secrets)
    with store.engine.connect() as connection:
        for table in store.models.metadata.tables.values():
            for row in connection.execute(table.select()):
                assert not any(secret.decode() in str(row) for secret in secrets)
    assert trainer.args.hub_token == HUB_TOKEN


def test_the_live_arguments_are_not_changed(local_store, make_trainer):
    """Recording the arguments leaves nested values as they are (to_dict() would turn a dtype into text)."""
    trainer = make_trainer(max_steps=1, callbacks=[TrainStoreCallback(local_store)])
    nested = {"dtype": torch.bfloat16, "token": "x"}
    trainer.args.activation_checkpointing_kwargs = nested
    trainer.train()
    assert trainer.args.activation_checkpointing_kwargs is nested
    assert nested == {"dtype": torch.bfloat16, "token": "x"}


def test_checkpoints_and_the_best_model_are_events(store, make_trainer):
    """Each checkpoint is an event with its step and path, and so is the best one at the end."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(
        callbacks=[callback],
        eval_dataset=tokens(8),
        eval_strategy="steps",
        eval_steps=5,
        save_strategy="steps",
        save_steps=5,
        load_best_model_at_end=True,
    )
    trainer.train()
    events = store.list_events(callback.run_uid)
    checkpoints = events[events["kind"] == "checkpoint"]
    assert checkpoints["step"].to_list() == [5, 10]
    folder = Path(trainer.args.output_dir).resolve()
    assert [details["path"] for details in checkpoints["details"]] == [str(folder / f"checkpoint-{n}") for n in (5, 10)]
    (best,) = events[events["kind"] == "best_model"]["details"]
    assert best["path"] == trainer.state.best_model_checkpoint
    assert best["metric"] == trainer.state.best_metric


def test_a_push_to_the_hub_is_an_event(local_store, make_trainer):
    """A push that begins during the training is an event of its step."""

    class Pushes(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 2:
                trainer.callback_handler.on_push_begin(args, state, control)

    callback = TrainStoreCallback(local_store)
    trainer = make_trainer(callbacks=[callback, Pushes()], max_steps=3, hub_model_id="me/model")
    trainer.train()
    (event,) = local_store.list_events(callback.run_uid, kind="push").to_dict("records")
    assert (event["step"], event["details"]) == (2, {"hub_model_id": "me/model"})


class NaNAt(Trainer):
    """A trainer whose loss is not a number at step 3."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss = super().compute_loss(model, inputs, return_outputs=False, **kwargs)
        return loss * math.nan if self.state.global_step == 2 else loss


def test_a_step_whose_loss_is_not_a_number_shows_it(store, make_trainer):
    """Trainer hides a NaN in its window's mean; the step's own row shows it, and the source stays verified."""
    callback = TrainStoreCallback(store)
    make_trainer(callbacks=[callback], trainer_class=NaNAt, max_steps=4, logging_steps=2, learning_rate=0.0).train()
    losses = store.list_step_logs(callback.run_uid, metrics=["loss"]).set_index("step")["loss"]
    assert math.isnan(losses[3])
    assert math.isfinite(losses[1])
    assert math.isfinite(losses[2])
    with store.session() as session:
        row = session.query(store.models.StepLog).filter_by(step=3).one()
        assert row.metrics["loss"] == "NaN"
        assert math.isfinite(session.query(store.models.StepLog).filter_by(step=4).one().metrics["loss_window"])
    assert store.get_run(callback.run_uid).environment["loss_source"] == "training_step"


class AddsMore(Trainer):
    """A trainer that adds to the window's loss what training_step never returned."""

    def _maybe_log_save_evaluate(self, tr_loss, *args, **kwargs):
        if self.control.should_log:
            tr_loss += 1.0
        return super()._maybe_log_save_evaluate(tr_loss, *args, **kwargs)


def test_losses_that_do_not_add_up_are_marked(local_store, make_trainer, caplog):
    """Where the mean of a window's losses is not what the Trainer logs, loss_source becomes "unverified"."""
    callback = TrainStoreCallback(local_store)
    make_trainer(callbacks=[callback], trainer_class=AddsMore).train()
    assert local_store.get_run(callback.run_uid).environment["loss_source"] == "unverified"
    assert caplog.text.count("does not match the logged one") == 1


def test_only_the_logged_means_where_that_is_asked_for(local_store, make_trainer):
    """loss="logs" wraps nothing: there is loss_window, and no loss."""
    callback = TrainStoreCallback(local_store, loss="logs")
    make_trainer(callbacks=[callback]).train()
    steps = local_store.list_step_logs(callback.run_uid)
    assert len(steps) == 10
    assert "loss" not in steps
    assert steps["loss_window"].notna().sum() == 2
    assert local_store.get_run(callback.run_uid).environment["loss_source"] == "logs"


def test_evaluations_outside_the_training_join_its_run(store, make_trainer):
    """evaluate() and predict() after train() land in the run's last step, and its status stays."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback], eval_dataset=tokens(8), max_steps=4)
    trainer.train()
    trainer.evaluate()
    trainer.predict(tokens(4))
    trainer.evaluate(metric_key_prefix="held_out")
    assert len(store.list_runs()) == 1
    row = store.list_step_logs(callback.run_uid).set_index("step").loc[4]
    assert row[["eval_loss", "test_loss", "held_out_loss", "loss"]].notna().all()
    run = store.get_run(callback.run_uid)
    assert run.status == "finished"
    assert store.list_runs()["attempts"].to_list() == [1]


def test_an_evaluation_before_any_training_is_a_run_of_its_own(store, make_trainer):
    """evaluate() without train() makes a finished run with the arguments and one row; train() then makes another."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callbacks=[callback], eval_dataset=tokens(8), max_steps=2)
    trainer.evaluate()
    first = callback.run_uid
    trainer.train()
    assert callback.run_uid != first
    run = store.get_run(first)
    assert run.status == "finished"
    assert run.hyperparams["max_steps"] == 2
    steps = store.list_step_logs(first)
    assert steps["step"].to_list() == [0]
    assert steps["eval_loss"].notna().all()


def test_a_dictionary_of_evaluation_sets_keeps_their_names(local_store, make_trainer):
    """Each set's metrics are recorded under its name."""
    callback = TrainStoreCallback(local_store)
    sets = {"easy": tokens(4), "hard": tokens(4, seed=9)}
    make_trainer(
        callbacks=[callback], eval_dataset=sets, eval_strategy="epoch", num_train_epochs=1, max_steps=-1
    ).train()
    last = local_store.list_step_logs(callback.run_uid).set_index("step").loc[32]
    assert last[["eval_easy_loss", "eval_hard_loss"]].notna().all()


def test_learning_rates_of_groups_that_differ_are_kept_apart(local_store, make_trainer):
    """Where the optimizer's groups have different learning rates, each has its own name."""
    callback = TrainStoreCallback(local_store)
    model = gpt2()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD([{"params": parameters[:1], "lr": 0.5}, {"params": parameters[1:], "lr": 0.25}])
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    class Own(Trainer):
        def create_optimizer(self, *args, **kwargs):
            self.optimizer, self.lr_scheduler = optimizer, constant
            return optimizer

        def create_scheduler(self, *args, **kwargs):
            return constant

    make_trainer(model=model, callbacks=[callback], trainer_class=Own, max_steps=2).train()
    steps = local_store.list_step_logs(callback.run_uid)
    assert steps["learning_rate"].to_list() == [0.5, 0.5]
    assert steps["learning_rate_1"].to_list() == [0.25, 0.25]


def test_what_is_no_number_in_the_logs_is_kept(local_store, make_trainer):
    """Callers log None, text and lists too: they are kept, and training goes on."""

    class Logs(TrainerCallback):
        def __init__(self):
            self.trainer = None

        def on_step_end(self, args, state, control, **kwargs):
            self.trainer.log({"reward": None, "sample": "text", "loss": 5.0})

    logs = Logs()
    callback = TrainStoreCallback(local_store)
    logs.trainer = trainer = make_trainer(callbacks=[callback, logs], max_steps=4, logging_steps=2)
    trainer.train()
    with local_store.session() as session:
        rows = {row.step: row.metrics for row in session.query(local_store.models.StepLog).all()}
    assert rows[1]["reward"] is None
    assert rows[1]["sample"] == "text"
    assert rows[1]["loss"] != 5.0
    assert local_store.get_run(callback.run_uid).environment["loss_source"] == "training_step"
