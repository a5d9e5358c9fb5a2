"""Every step's loss, learning rate and gradient norm against the truth, whatever way the loss comes about.

The truth is a twin: a training of the same seed that logs every step itself. ``pytest -s`` prints the worst relative
error of each case when the last of them is done.
"""

import dataclasses
import functools
import math

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.optimization import Adafactor, AdafactorSchedule

from fixtures.trainers import LENGTH, SEED, VOCABULARY, bert, build_trainer, gpt2, tokens
from fixtures.twins import COMPARED, TOLERANCE, logged, recorded, recorded_series, worst_error
from trainstore import TrainStore
from trainstore.integrations.transformers import TrainStoreCallback
from trainstore.integrations.transformers.losses import RingLoss


@pytest.fixture(scope="module")
def table():
    """The worst error of each case: (case, accumulation) → key → error. Printed when the module is done."""
    errors = {}
    yield errors
    print(f"\n\n{'case':44} {'GA':>2}  " + "  ".join(f"{key:>13}" for key in COMPARED))
    for (case, accumulation), row in errors.items():
        print(f"{case:44} {accumulation:>2}  " + "  ".join(f"{row[key]:13.1e}" for key in COMPARED))
    if errors:
        print(f"worst of all: {max(max(row.values()) for row in errors.values()):.1e}")


class Plain(nn.Module):
    """A model outside transformers; ``result`` makes its answer of loss and logits."""

    def __init__(self, result):
        super().__init__()
        self.result = result
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.head = nn.Linear(8, VOCABULARY)

    def forward(self, input_ids, labels=None):
        logits = self.head(self.embed(input_ids))
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return self.result(loss, logits)


def plain(result, dtype=torch.float32):
    def make():
        torch.manual_seed(SEED)
        return Plain(result).to(dtype)

    return make


def as_tuple(loss, logits):
    return loss, logits


def as_dict(loss, logits):
    return {"logits": logits, "loss": loss}


def masked_tokens(count):
    """Examples of which different numbers of tokens have a label: the loss is a mean over those of a whole step."""
    examples = tokens(count)
    for index, example in enumerate(examples):
        example["labels"] = example["labels"].clone()
        example["labels"][: index % LENGTH] = -100
    return examples


def sum_over_items(outputs, labels, num_items_in_batch=None):
    logits = outputs.logits[:, :-1].flatten(0, 1)
    total = nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum")
    return total / num_items_in_batch


class WithLossFunction(Trainer):
    """A Trainer that was given ``compute_loss_func``."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, compute_loss_func=sum_over_items, **kwargs)


class OwnLoss(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        outputs = model(input_ids=inputs["input_ids"])
        loss = outputs.logits.float().pow(2).mean()
        return (loss, outputs) if return_outputs else loss


class OwnScaledLoss(OwnLoss):
    """Says that its loss is already right for the whole step, which then is not divided."""

    loss_is_scaled_for_ga = True


class OwnStep(Trainer):
    """Returns another loss than the one that it trains with."""

    def training_step(self, *args, **kwargs):
        return super().training_step(*args, **kwargs) * 0.5 + 1.0


class Attached(Trainer):
    """Returns a loss that still belongs to a graph."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = super().training_step(model, inputs, num_items_in_batch)
        return loss * model.lm_head.weight.mean().exp()


class Endless(torch.utils.data.IterableDataset):
    """Examples without a length."""

    def __iter__(self):
        return iter(tokens(64))


class TensorRate(Trainer):
    """Has an optimizer whose learning rate is a tensor, which the scheduler changes in place."""

    def create_optimizer(self, *args, **kwargs):
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=torch.tensor(self.args.learning_rate), foreach=False
        )
        return self.optimizer


class RelativeSteps(Trainer):
    """Has an optimizer that finds its learning rate by itself, and a scheduler that asks it."""

    def create_optimizer(self, *args, **kwargs):
        self.optimizer = Adafactor(self.model.parameters(), lr=None, relative_step=True, warmup_init=True)
        self.lr_scheduler = AdafactorSchedule(self.optimizer, initial_lr=1e-3)
        return self.optimizer


CLASSES = {"make_model": bert, "train_dataset": tokens(64, labels="class")}
EVALUATIONS = {"eval_dataset": tokens(6), "eval_strategy": "steps", "eval_steps": 2}
# 23 examples: the last batch of an epoch is half one, and an accumulation of four ends with three of them.
ODD = {"train_dataset": tokens(23), "num_train_epochs": 2, "max_steps": -1}

# It was gradient_checkpointing until transformers 5.2x.
ARGUMENTS = {field.name for field in dataclasses.fields(TrainingArguments)}
CHECKPOINTING = "activation_checkpointing" if "activation_checkpointing" in ARGUMENTS else "gradient_checkpointing"

COMPILED = "torch.compile (aot_eager)"
CASES = {
    "GPT-2": {},
    "BERT": CLASSES,
    "a model that returns a dict": {"make_model": plain(as_dict)},
    "a model that returns a tuple": {"make_model": plain(as_tuple)},
    "evaluation every 2 steps": EVALUATIONS,
    "evaluation every 2 steps, BERT": {**CLASSES, **EVALUATIONS, "eval_dataset": tokens(6, labels="class")},
    "bf16": {"bf16": True},
    "bf16, BERT": {**CLASSES, "bf16": True},
    "weights and loss in bfloat16": {"make_model": plain(as_tuple, torch.bfloat16)},
    "activation checkpointing": {CHECKPOINTING: True},
    "activation checkpointing, bf16": {CHECKPOINTING: True, "bf16": True},
    "a partial last accumulation": ODD,
    "label smoothing": {"label_smoothing_factor": 0.1},
    "label smoothing, BERT": {**CLASSES, "label_smoothing_factor": 0.1},
    "compute_loss_func": {"trainer_class": WithLossFunction},
    "custom compute_loss": {"trainer_class": OwnLoss},
    "custom compute_loss, scaled by itself": {"trainer_class": OwnScaledLoss},
    "custom training_step": {"trainer_class": OwnStep},
    "training_step returns a graph": {"trainer_class": Attached},
    "num_items_in_batch": {"train_dataset": masked_tokens(64)},
    "no average_tokens_across_devices": {
        "train_dataset": masked_tokens(64),
        "average_tokens_across_devices": False,
    },
    "input tokens counted": {"include_num_input_tokens_seen": "all"},
    "no clipping": {"max_grad_norm": 0.0},
    "hard clipping": {"max_grad_norm": 1e-3},
    "logging_nan_inf_filter off": {"logging_nan_inf_filter": False},
    "cosine schedule with warm-up": {"lr_scheduler_type": "cosine", "warmup_steps": 3, "optim": "sgd"},
    "a learning rate that is a tensor": {"trainer_class": TensorRate},
    "a learning rate that the optimizer finds": {"trainer_class": RelativeSteps},
    "a scheduler that looks at evaluations": {**EVALUATIONS, "lr_scheduler_type": "reduce_lr_on_plateau"},
    "an iterable data set": {"train_dataset": Endless()},
    "logging by epochs": {**ODD, "logging_strategy": "epoch"},
    COMPILED: {"make_model": plain(as_tuple), "torch_compile": True, "torch_compile_backend": "aot_eager"},
}


def train(make_trainer, case, callbacks=None, **options):
    """Train a case of `CASES` (or one's options), eight steps where it does not say otherwise."""
    case = dict(CASES[case] if isinstance(case, str) else case)
    make_model = case.pop("make_model", gpt2)
    trainer = make_trainer(model=make_model(), callbacks=callbacks, **{"max_steps": 8, **case, **options})
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def twin_of(tmp_path_factory):
    """The twin of a case and an accumulation: its trainer, which logged every step. Each is trained once."""
    make = functools.partial(build_trainer, tmp_path_factory.mktemp("twins"))

    @functools.cache
    def trained(case, accumulation):
        options = {"gradient_accumulation_steps": accumulation, "logging_strategy": "steps", "logging_steps": 1}
        return train(make, case, **options)

    return trained


def record(store, make_trainer, case, accumulation, **options):
    """A case recorded, logged every three steps: callback and trainer."""
    callback = TrainStoreCallback(store)
    options = {"logging_steps": 3, "gradient_accumulation_steps": accumulation, **options}
    return callback, train(make_trainer, case, [callback], **options)


def check(store, callback, trainer, twin):
    """The worst error of each series over all steps; the windows are those logged, and they add up."""
    series = recorded_series(store, callback, *COMPARED, "loss_window")
    errors = {key: worst_error(series[key], logged(twin, key)) for key in COMPARED}
    assert len(series["loss"]) == trainer.state.global_step >= 6
    assert all(error <= TOLERANCE for error in errors.values()), errors
    assert series["loss_window"] == logged(trainer, "loss")
    assert store.get_run(callback.run_uid).environment["loss_source"] == "training_step"
    return errors


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_every_step_is_the_twins(shared_store, make_trainer, twin_of, table, case, accumulation):
    """Loss, learning rate and gradient norm of every step, within 1e-6 of a twin that logs every step."""
    run = record(shared_store, make_trainer, case, accumulation)
    table[case, accumulation] = check(shared_store, *run, twin_of(case, accumulation))


@pytest.mark.parametrize(
    ("case", "accumulation"), [("BERT", 1), ("a partial last accumulation", 4), ("evaluation every 2 steps", 4)]
)
def test_every_step_is_the_twins_on_postgresql_too(new_database, make_trainer, twin_of, case, accumulation):
    """The same numbers come back from the other database; all cases above are in SQLite."""
    with TrainStore(new_database("postgresql")) as store:
        check(store, *record(store, make_trainer, case, accumulation), twin_of(case, accumulation))


def test_the_cases_are_what_they_are_called(twin_of):
    """Half precision, label smoothing and the like change the losses; checkpointing and compiling are on."""
    plain_losses = logged(twin_of("GPT-2", 1), "loss")
    for case in ("bf16", "label smoothing", "custom compute_loss", "custom training_step", "num_items_in_batch"):
        assert worst_error(logged(twin_of(case, 1), "loss"), plain_losses) > 100 * TOLERANCE, case
    assert getattr(twin_of("activation checkpointing", 1).model, f"is_{CHECKPOINTING}")
    assert isinstance(twin_of(COMPILED, 1).model_wrapped, torch._dynamo.OptimizedModule)


class NaNAt(Trainer):
    """A trainer one of whose micro-batches, in step 3, has a loss that is not a number; the gradients stay right."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        loss = super().compute_loss(model, inputs, return_outputs=False, **kwargs)
        spoil = self.state.global_step == 2 and not getattr(self, "spoilt", False)
        if spoil:
            self.spoilt = True
            loss = loss + math.nan  # its derivative is 1
        return loss


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("filtered", [True, False], ids=["filter", "no filter"])
def test_only_the_step_that_is_not_a_number_shows_it(
    shared_store, make_trainer, twin_of, table, filtered, accumulation
):
    """The NaN is in its own step's row; all others are those of a twin without it, whatever the Trainer's log says."""
    options = {"logging_nan_inf_filter": filtered, "logging_steps": 2}
    callback, trainer = record(shared_store, make_trainer, {"trainer_class": NaNAt}, accumulation, **options)
    healthy = twin_of("GPT-2", accumulation)
    truth = {"loss": {**logged(healthy, "loss"), 3: math.nan}}
    truth |= {key: logged(healthy, key) for key in ("learning_rate", "grad_norm")}
    series = recorded_series(shared_store, callback, *COMPARED, "loss_window")
    errors = {key: worst_error(series[key], truth[key]) for key in COMPARED}
    assert all(error <= TOLERANCE for error in errors.values()), errors
    # What the Trainer itself makes of it: hidden in its window, or carried on for ever.
    hidden = {step: math.isfinite(loss) for step, loss in logged(trainer, "loss").items()}
    assert hidden == {2: True, 4: filtered, 6: filtered, 8: filtered}
    assert worst_error(series["loss_window"], logged(trainer, "loss")) == 0.0
    assert shared_store.get_run(callback.run_uid).environment["loss_source"] == "training_step"
    table[f"a NaN step, logging_nan_inf_filter={filtered}", accumulation] = errors


def test_a_loss_that_the_model_scales_wrongly_is_recorded_as_it_is(shared_store, make_trainer, twin_of):
    """Classification with BERT and an accumulation of 4 trains with a loss four times too large: it is not mended."""
    callback, _ = record(shared_store, make_trainer, "BERT", 4, max_steps=1)
    first = recorded(shared_store, callback, "loss")[1]
    assert first == logged(twin_of("BERT", 4), "loss")[1]
    assert first == pytest.approx(4 * logged(twin_of("BERT", 1), "loss")[1], rel=0.2)


class Bypasses(Trainer):
    """Adds its loss to the window by itself; what its training_step returns says nothing."""

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        self._tr_loss += loss
        return torch.zeros_like(loss)


class Elsewhere(Trainer):
    """Trains with a method of its own, put where training_step is looked for."""

    def _run_epoch(self, *args, **kwargs):
        self.training_step = super().training_step
        return super()._run_epoch(*args, **kwargs)


@pytest.mark.parametrize(("bypass", "says"), [(Bypasses, "does not match"), (Elsewhere, "0 losses were seen")])
def test_losses_that_pass_us_by_are_marked(shared_store, make_trainer, caplog, bypass, says):
    """Where training_step does not tell the loss, the run's loss_source says so, once, and the windows are kept."""
    callback = TrainStoreCallback(shared_store)
    trainer = train(make_trainer, {"trainer_class": bypass}, [callback], logging_steps=2)
    assert shared_store.get_run(callback.run_uid).environment["loss_source"] == "unverified"
    assert caplog.text.count(says) == 1
    assert recorded(shared_store, callback, "loss_window") == logged(trainer, "loss")


class LogsBetween(Trainer):
    """Logs something of its own for each micro-batch, in the middle of a step."""

    def compute_loss(self, *args, **kwargs):
        self.log({"reward": 1.0})
        return super().compute_loss(*args, **kwargs)


@pytest.mark.parametrize("reader", ["direct", "ring"])
def test_what_is_logged_in_the_middle_of_a_step_costs_no_loss(shared_store, make_trainer, twin_of, monkeypatch, reader):
    """The losses come home at every log, also between two micro-batches: the step under way keeps what it has."""
    if reader == "ring":
        monkeypatch.setattr("trainstore.integrations.transformers.losses.DirectLoss", lambda: RingLoss("cpu"))
    callback, _ = record(shared_store, make_trainer, {"trainer_class": LogsBetween}, 4)
    series = recorded_series(shared_store, callback, *COMPARED, "reward")
    for key in COMPARED:
        assert worst_error(series[key], logged(twin_of("GPT-2", 4), key)) <= TOLERANCE
    assert list(series["reward"]) == list(range(8))  # the step is counted when it ends
    assert shared_store.get_run(callback.run_uid).environment["loss_source"] == "training_step"


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_logged_windows_are_exact_without_the_true_loss(store, make_trainer, twin_of, accumulation):
    """With loss="logs" there are the Trainer's own means, and still every step's learning rate."""
    callback = TrainStoreCallback(store, loss="logs")
    trainer = train(make_trainer, {}, [callback], gradient_accumulation_steps=accumulation, logging_steps=3)
    series = recorded_series(store, callback, "learning_rate", "grad_norm", "loss_window")
    assert series["loss_window"] == logged(trainer, "loss")
    assert list(logged(trainer, "loss")) == [3, 6]
    assert series["learning_rate"] == logged(twin_of("GPT-2", accumulation), "learning_rate")
    assert series["grad_norm"] == logged(trainer, "grad_norm")
    assert recorded(store, callback, "loss") == {}
    assert store.get_run(callback.run_uid).environment["loss_source"] == "logs"
