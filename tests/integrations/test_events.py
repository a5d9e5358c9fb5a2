"""The events of each kind of trainer, in the documented order: the table in docs/other-trainers.md."""

import functools
from pathlib import Path

import pytest
from torch import nn
from torch.optim import SGD
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerState
from transformers.trainer_callback import CallbackHandler, TrainerControl

from fixtures import forgather
from fixtures.trainers import build_trainer, gpt2, tokens
from trainstore.training import Trainer

PAGE = Path(__file__).parents[2] / "docs/other-trainers.md"
EVENTS = (
    "on_init_end",
    "on_train_begin",
    "on_epoch_begin",
    "on_step_begin",
    "on_substep_end",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_step_end",
    "on_log",
    "on_prediction_step",
    "on_evaluate",
    "on_save",
    "on_epoch_end",
    "on_train_end",
    "on_predict",
    "on_push_begin",
)


class Spy(TrainerCallback):
    """The events, and the keywords of each."""

    def __init__(self):
        self.seen, self.keywords = [], {}

    def told(self, event):
        def on_event(args, state, control, **kwargs):
            self.seen.append(f"{event.removeprefix('on_')} {state.global_step}")
            self.keywords.setdefault(event, set()).update(kwargs)

        return on_event


for _event in EVENTS:
    setattr(Spy, _event, property(lambda self, event=_event: self.told(event)))

# Two epochs of two steps of two micro-batches; a log, an evaluation and a checkpoint at each second step.
ARGUMENTS = {
    "num_train_epochs": 2,
    "gradient_accumulation_steps": 2,
    "logging_steps": 2,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
}


def transformers_events(folder, arguments=ARGUMENTS):
    spy = Spy()
    data = {"train_dataset": tokens(8), "eval_dataset": tokens(4)}
    trainer = build_trainer(folder, callbacks=[spy], **data, **{**arguments, "max_steps": -1})
    trainer.train()
    trainer.predict(tokens(4))
    return spy


def forgather_events(folder, arguments=ARGUMENTS, *, later=False):
    spy = Spy()
    args = forgather.TrainingArguments(output_dir=str(folder), **arguments)
    forgather.Trainer(gpt2(), args, tokens(8), tokens(4), [spy], later=later).train()
    return spy


def own_events(folder, arguments=ARGUMENTS):
    spy, model, config = Spy(), gpt2(), {}
    if arguments is ARGUMENTS:
        config = {**dict.fromkeys(("logging_steps", "eval_steps", "save_steps"), 2), "gradient_accumulation_steps": 2}
    trainer = Trainer(model, SGD(model.parameters(), lr=0.1), None, config, "cpu", callbacks=[spy])
    batches = DataLoader(tokens(8), batch_size=2), 2, DataLoader(tokens(4), batch_size=4)
    trainer.train(*batches, save_dir=folder)
    return spy


def loop_events(folder):
    spy = Spy()
    handler = CallbackHandler([spy], nn.Linear(1, 1), None, None, None)
    state, control = TrainerState(max_steps=4), TrainerControl()

    def tell(event, *more):
        getattr(handler, event)(None, state, control, *more)

    tell("on_train_begin")
    for epoch in range(2):
        tell("on_epoch_begin")
        for step in range(2 * epoch + 1, 2 * epoch + 3):
            tell("on_step_begin")
            state.global_step = step
            tell("on_step_end")
            if step % 2 == 0:
                tell("on_log", {"loss": 1.0})
                tell("on_evaluate", {"eval_loss": 1.0})
        tell("on_epoch_end")
    tell("on_train_end")
    return spy


def step(n, *between, substep=True):
    """The events of one step of a transformers.Trainer."""
    first = [f"substep_end {n - 1}"] if substep else []
    return [f"step_begin {n - 1}", *first, *(f"{name} {n - 1}" for name in between), f"step_end {n}"]


def forgather_order(*between):
    """The events of the training by Forgather's trainer."""
    return [
        *("init_end 0", "train_begin 0", "epoch_begin 0"),
        *step(1, *between, substep=False),
        *step(2, *between, substep=False),
        *("log 2", "prediction_step 2", "evaluate 2", "save 2"),
        *("step_begin 2", "step_end 2", "epoch_end 2"),  # no data was left for this step
        "epoch_begin 2",
        *step(3, *between, substep=False),
        *step(4, *between, substep=False),
        *("log 4", "prediction_step 4", "evaluate 4", "save 4", "epoch_end 4"),
        *("log 4", "train_end 4"),
    ]


OPTIMIZER = ("pre_optimizer_step", "optimizer_step")
ORDERS = {
    "transformers.Trainer": [
        "init_end 0",
        "train_begin 0",
        "epoch_begin 0",
        *step(1, *OPTIMIZER),
        *step(2, *OPTIMIZER),
        *("log 2", "prediction_step 2", "log 2", "evaluate 2", "save 2", "epoch_end 2"),
        "epoch_begin 2",
        *step(3, *OPTIMIZER),
        *step(4, *OPTIMIZER),
        *("log 4", "prediction_step 4", "log 4", "evaluate 4", "save 4", "epoch_end 4"),
        *("log 4", "train_end 4"),
        *("prediction_step 4", "predict 4"),
    ],
    "`trainstore.training`": [  # an epoch's means and checkpoint are an epoch's, whatever the steps have
        "init_end 0",
        "train_begin 0",
        "epoch_begin 0",
        *step(1, *OPTIMIZER),
        *step(2, *OPTIMIZER),
        *("log 2", "prediction_step 2", "log 2", "evaluate 2", "save 2", "epoch_end 2", "log 2", "save 2"),
        "epoch_begin 2",
        *step(3, *OPTIMIZER),
        *step(4, *OPTIMIZER),
        *("log 4", "prediction_step 4", "log 4", "evaluate 4", "save 4", "epoch_end 4", "log 4", "save 4"),
        "train_end 4",
    ],
    "Forgather": forgather_order("optimizer_step"),
    "Forgather, later versions": forgather_order(*OPTIMIZER),
    "`CallbackHandler`": [
        "train_begin 0",
        "epoch_begin 0",
        *step(1, substep=False),
        *step(2, substep=False),
        *("log 2", "evaluate 2", "epoch_end 2"),
        "epoch_begin 2",
        *step(3, substep=False),
        *step(4, substep=False),
        *("log 4", "evaluate 4", "epoch_end 4", "train_end 4"),
    ],
}
LATER = functools.partial(forgather_events, later=True)
TRAINERS = dict(zip(ORDERS, (transformers_events, own_events, forgather_events, LATER, loop_events), strict=True))


@pytest.mark.parametrize("name", ORDERS)
def test_each_trainer_sends_its_events_in_the_documented_order(tmp_path, name):
    """Every event of the same training, with the step that the state has then; and no other event."""
    seen = TRAINERS[name](tmp_path).seen
    assert seen == ORDERS[name]


BY_EPOCHS = {
    **ARGUMENTS,
    "gradient_accumulation_steps": 1,
    **dict.fromkeys(("logging_strategy", "eval_strategy", "save_strategy"), "epoch"),
}
AT_EPOCHS_END = {
    "transformers.Trainer": ("epoch_end", "log", "prediction_step", "log", "evaluate", "save"),
    "`trainstore.training`": ("epoch_end", "log", "prediction_step", "log", "evaluate", "save"),
    "Forgather": ("log", "prediction_step", "evaluate", "save", "step_begin", "step_end", "epoch_end"),
}


@pytest.mark.parametrize("name", AT_EPOCHS_END)
def test_by_epochs_a_trainer_logs_evaluates_and_saves_after_their_end(tmp_path, name):
    """What follows the last step of the first epoch; Forgather's trainer keeps to its order of steps."""
    seen = TRAINERS[name](tmp_path, BY_EPOCHS).seen
    expected = [f"{event} 4" for event in AT_EPOCHS_END[name]]
    first = seen.index("step_end 4") + 1
    assert seen[first : first + len(expected) + 1] == [*expected, "epoch_begin 4"]


@pytest.mark.parametrize("name", list(ORDERS)[:3])
def test_each_event_has_the_documented_keywords(tmp_path, name):
    """The same ones in all events; a log also has `logs`, an evaluation `metrics`."""
    keywords = TRAINERS[name](tmp_path).keywords
    everywhere = {"model", "processing_class", "optimizer", "lr_scheduler", "train_dataloader", "eval_dataloader"}
    more = {"on_log": {"logs"}, "on_evaluate": {"metrics"}, "on_predict": {"metrics"}}
    assert keywords == {event: everywhere | more.get(event, set()) for event in keywords}


def rows():
    """The table of the page: for each event, what it says of each trainer."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    head = next(line for line in lines if "| event" in line)
    names = [cell.strip() for cell in head.strip("|").split("|")][1:]
    table = {}
    for line in lines[lines.index(head) + 2 :]:
        event, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not event.startswith("`on_"):
            break
        table[event.strip("`")] = dict(zip(names, cells, strict=True))
    return table


def test_the_page_says_which_events_each_trainer_sends():
    """The table has a row for each event, and "never" where the trainer does not send it."""
    table = rows()
    assert tuple(table) == EVENTS
    sent = {name: {f"on_{line.split()[0]}" for line in order} for name, order in ORDERS.items()}
    sent["transformers.Trainer"].add("on_push_begin")  # by push_to_hub()
    for event, cells in table.items():
        assert (cells["transformers.Trainer"] != "never") is (event in sent["transformers.Trainer"]), event
        own = "`trainstore.training`"
        assert (cells[own] != "never") is (event in sent[own]), event
        assert (cells["Forgather"] != "never") is (event in sent["Forgather, later versions"]), event
        only_later = event in sent["Forgather, later versions"] - sent["Forgather"]
        assert ("later versions" in cells["Forgather"]) is only_later, event
        assert cells["`CallbackHandler`"] == "if you send it"
