"""GradLogger: the norms of the gradients before clipping, and a training that does not notice."""

import copy
import logging
import math
import pickle

import pytest
import torch
from hydra.utils import instantiate
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler

from fixtures.forgather import Trainer as Forgather
from fixtures.forgather import TrainingArguments as ForgatherArguments
from fixtures.trainers import Crash, CrashAt, build_trainer, course_of, gpt2, is_same_course, is_wrapped, tokens
from trainstore.callbacks import GradLogger
from trainstore.callbacks.gradients import ENOUGH, Layers, Watchdog, layer_of
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.transformers import TrainStoreCallback

LAYERS = ["transformer.wte", "transformer.wpe", "transformer.h.0", "transformer.ln_f"]


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class TrueNorms(TrainerCallback):
    """The norms before clipping of each step, computed when the backward pass has ended."""

    def __init__(self):
        self.totals, self.layers = {}, {}

    def watch(self, trainer):
        original = trainer.accelerator.clip_grad_norm_

        def clip(parameters, *arguments, **options):
            parameters = list(parameters)
            step = trainer.state.global_step + 1
            named = {name: parameter.grad for name, parameter in trainer.model.named_parameters()}
            squares = {name: gradient.double().square().sum().item() for name, gradient in named.items()}
            self.layers[step] = {
                layer: math.sqrt(sum(value for name, value in squares.items() if layer_of(name) == layer))
                for layer in LAYERS
            }
            self.totals[step] = original(parameters, *arguments, **options).item()
            return torch.tensor(self.totals[step])

        trainer.accelerator.clip_grad_norm_ = clip


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_norms_are_those_before_clipping(store, make_trainer, accumulation, order):
    """Of all gradients exactly what the Trainer clips by and logs; of each layer that of its parameters."""
    recorder, truth = TrainStoreCallback(store), TrueNorms()
    callbacks = [recorder, GradLogger(log_frequency=3)][::order]
    trainer = make_trainer(callbacks=callbacks, max_grad_norm=0.1, gradient_accumulation_steps=accumulation)
    truth.watch(trainer)
    trainer.train()
    logs = store.list_step_logs(recorder.run_uid).set_index("step")
    measured = logs[logs["grad_norm_total"].notna()]
    assert measured.index.tolist() == [3, 6, 9]
    for step, row in measured.iterrows():
        assert row["grad_norm_total"] == row["grad_norm"] == truth.totals[step] > 0.1
        layers = truth.layers[step]
        assert {layer: row[f"grad_norm/{layer}"] for layer in LAYERS} == pytest.approx(layers, rel=1e-6)
        assert row["grad_norm_max"] == pytest.approx(max(layers.values()))
        assert row["grad_norm_min"] == pytest.approx(min(layers.values()))
        assert row["grad_norm_mean"] == pytest.approx(sum(layers.values()) / 4)
    assert store.list_events(recorder.run_uid, kind="gradient_layers")["details"].tolist() == [{"layers": LAYERS}]


VARIANTS = {
    "clipped": {"max_grad_norm": 0.1},
    "not clipped": {"max_grad_norm": 0.0},
    "accumulating": {"gradient_accumulation_steps": 2},
    "bf16": {"bf16": True},
    "gradient checkpointing": {"gradient_checkpointing": True},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_training_is_the_same_bit_for_bit(store, tmp_path, name):
    """Measured at every step; and afterwards the trainer's methods are its own again."""

    def course(*callbacks):
        trainer = build_trainer(tmp_path, callbacks=list(callbacks), logging_steps=1, max_steps=8, **VARIANTS[name])
        return course_of(trainer), trainer

    recorder = TrainStoreCallback(store)
    (watched, trainer), (plain, _) = course(recorder, GradLogger(1)), course()
    assert is_same_course(watched, plain)
    assert not is_wrapped(trainer)
    assert store.list_step_logs(recorder.run_uid)["grad_norm_total"].notna().all()


@pytest.mark.parametrize("order", [1, -1])
def test_the_trainers_methods_are_put_back(store, make_trainer, order):
    """Whichever of the two callbacks wrapped the clipping first, and after a training that failed, too."""
    trainer = make_trainer(callbacks=[TrainStoreCallback(store), GradLogger(1)][::order], max_steps=2)
    trainer.train()
    assert not is_wrapped(trainer)
    crash = CrashAt(1)
    trainer.add_callback(crash)
    with pytest.raises(Crash):
        trainer.train()
    trainer.remove_callback(crash)
    trainer.train()
    assert not is_wrapped(trainer)


def test_in_forgather_hooks_see_the_gradients(store, tmp_path):
    """It clears gradients before any event: each parameter tells its norm, before clipping. No hook stays."""
    recorder, grads = TrainStoreCallback(store), GradLogger(2)
    arguments = ForgatherArguments(output_dir=str(tmp_path), max_grad_norm=0.1, gradient_accumulation_steps=2)
    trainer = Forgather(gpt2(), arguments, tokens(32), tokens(4), [recorder, grads])
    trainer.train()
    logs = store.list_step_logs(recorder.run_uid)
    measured = logs[logs["grad_norm_total"].notna()]
    assert measured["step"].tolist() == [2, 4, 6, 8]
    assert measured["grad_norm_total"].tolist() == pytest.approx(measured["grad_norm"].tolist(), rel=1e-5)
    assert (measured["grad_norm_total"] > 0.1).all()
    assert not any(parameter._post_accumulate_grad_hooks for parameter in trainer.model.parameters())


def test_in_a_loop_of_ones_own(store):
    """At on_pre_optimizer_step, where it is sent; else by hooks. The run may be given."""
    for sends in (True, False):
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        state, control = TrainerState(), TrainerControl()
        norms = []
        with store.start_run() as run:
            handler = CallbackHandler([GradLogger(2, run=run)], model, None, optimizer, None)
            handler.on_train_begin(None, state, control)
            for _ in range(6):
                handler.on_step_begin(None, state, control)
                model(torch.ones(2, 3)).sum().backward()
                norms.append(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]).item())
                if sends:
                    handler.on_pre_optimizer_step(None, state, control)
                optimizer.step()
                optimizer.zero_grad()
                state.global_step += 1
                handler.on_step_end(None, state, control)
            handler.on_train_end(None, state, control)
        logs = store.list_step_logs(run)
        assert logs["step"].tolist() == [2, 4, 6]
        assert logs["grad_norm_total"].tolist() == pytest.approx(norms[1::2])
        assert {"grad_norm/0", "grad_norm/1"} <= set(logs)


@pytest.fixture
def looped(store):
    """Trains one step of a loop of one's own that sends no event before the optimizer; gives the logged steps."""

    def loop(model, *inputs):
        state, control = TrainerState(), TrainerControl()
        with store.start_run() as run:
            handler = CallbackHandler([GradLogger(1, run=run)], model, None, None, None)
            handler.on_train_begin(None, state, control)
            handler.on_step_begin(None, state, control)
            model(*inputs).sum().backward()
            state.global_step += 1
            handler.on_step_end(None, state, control)
        return store.list_step_logs(run)

    return loop


def test_hooks_see_sparse_gradients(looped):
    """Those of an embedding, for example."""
    logs = looped(torch.nn.Embedding(10, 4, sparse=True), torch.tensor([1, 1, 2]))
    assert logs["grad_norm_total"].tolist() == pytest.approx([math.sqrt(4 * (4 + 1))])


def test_a_hook_that_fails(looped, caplog, monkeypatch):
    """Does not come out of the backward pass; it is told once."""
    import trainstore.callbacks.grad_logger as module

    monkeypatch.setattr(module, "norm_of", lambda gradient: 1 / 0)
    model = torch.nn.Linear(2, 1)
    assert len(looped(model, torch.ones(1, 2))) == 0
    assert model.weight.grad is not None
    assert sum("the backward pass failed (ZeroDivisionError)" in message for message in warnings(caplog)) == 1


def test_hooks_in_several_processes(looped, caplog, monkeypatch):
    """They would see one process's part: nothing is recorded, and a warning says so."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    assert len(looped(torch.nn.Linear(2, 1), torch.ones(1, 2))) == 0
    assert any("only this process's part of the gradients" in message for message in warnings(caplog))


def test_chosen_layers(store, make_trainer, caplog):
    """Names of modules and parameters, which may overlap; an unknown one is told with the closest names."""
    recorder = TrainStoreCallback(store)
    names = ["transformer.h.0.attn", "transformer", "transformer.wte.weight", "lm_head", "transformer.h.1"]
    make_trainer(callbacks=[recorder, GradLogger(10, names)]).train()
    row = store.list_step_logs(recorder.run_uid).iloc[-1]
    assert {name for name in row.index if name.startswith("grad_norm/")} == {f"grad_norm/{name}" for name in names[:4]}
    assert row["grad_norm/lm_head"] == row["grad_norm/transformer.wte.weight"]  # they are tied
    assert row["grad_norm/transformer"] == pytest.approx(row["grad_norm_total"])
    assert 0 < row["grad_norm/transformer.h.0.attn"] < row["grad_norm_total"]
    (warning,) = [message for message in warnings(caplog) if "layer" in message]
    assert "the model has no layer 'transformer.h.1'; did you mean transformer.h.0" in warning


def test_frozen_layers_are_left_out(store, make_trainer):
    """A layer without gradients has no norm, and the others do not change."""
    model = gpt2()
    model.transformer.wte.requires_grad_(False)
    recorder = TrainStoreCallback(store)
    make_trainer(model=model, callbacks=[recorder, GradLogger(10)]).train()
    row = store.list_step_logs(recorder.run_uid).iloc[-1]
    assert "grad_norm/transformer.wte" not in row.index
    assert row["grad_norm_total"] == row["grad_norm"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gradients_that_are_not_finite(store, make_trainer, value):
    """Are recorded as they are, with an event that names the layer; the training goes on."""

    class Breaks(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            if state.global_step == 9:
                model.transformer.ln_f.weight.register_hook(lambda gradient: gradient * value)

    recorder = TrainStoreCallback(store)
    make_trainer(callbacks=[recorder, Breaks(), GradLogger(1)]).train()
    last = store.list_step_logs(recorder.run_uid).iloc[-1]
    for name in ("grad_norm_total", "grad_norm_max", "grad_norm_mean", "grad_norm/transformer.ln_f"):
        assert str(last[name]) == str(value)
    assert math.isfinite(last["grad_norm/transformer.h.0"])
    (event,) = store.list_events(recorder.run_uid, kind="gradient_warning").to_dict("records")
    assert (event["step"], event["details"]["problem"], event["details"]["count"]) == (10, "not finite", 1)
    assert str(event["details"]["layers"]["transformer.ln_f"]["norm"]) == str(value)


def test_what_is_unusual():
    """Far from the median of the last norms, once until it is as usual again; zeros at the beginning are not usual."""
    dog = Watchdog(10.0)
    assert all(dog.judge({"a": 1.0, "zero": 0.0}) == {} for _ in range(ENOUGH))
    assert dog.judge({"a": 11.0, "zero": 1.0}) == {"exploding": {"a": {"norm": 11.0, "usual": 1.0}}}
    assert dog.judge({"a": 12.0}) == {}
    assert dog.judge({"a": 1.0}) == {}
    assert dog.judge({"a": 0.09}) == {"vanishing": {"a": {"norm": 0.09, "usual": 1.0}}}
    assert dog.judge({"a": 0.0}) == {}
    assert dog.judge({"a": math.inf}, scaled=True) == {}
    assert set(dog.judge({"a": math.inf})) == {"not finite"}


def test_names_of_layers():
    """The block whose number stands in the name, else the module that holds the parameter."""
    names = {
        "transformer.h.3.attn.c_attn.weight": "transformer.h.3", "lm_head.weight": "lm_head", "0.weight": "0",
        "net.0.weight": "net.0", "layer1.0.conv1.weight": "layer1.0", "scale": "scale", "fc.bias": "fc",
    }  # fmt: skip
    assert {name: layer_of(name) for name in names} == names


def test_adapters_and_wrappers_do_not_change_names():
    """Neither torch.compile nor PEFT; frozen layers have no norm."""
    from peft import LoraConfig, get_peft_model

    assert Layers(torch.compile(gpt2()), None).names == LAYERS
    model = get_peft_model(gpt2(), LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True))
    layers = Layers(model, None)
    assert "transformer.h.0" in layers.names
    ids = tokens(1)[0]["input_ids"][None]
    model(input_ids=ids, labels=ids).loss.backward()
    assert list(layers.norms([parameter.grad for parameter in layers.parameters])[1]) == ["transformer.h.0"]


def test_half_precision_and_sparse_gradients():
    """Half precision is not used for norms, and scaled gradients are divided by their scale."""
    model = torch.nn.Linear(100, 100)
    exact = torch.randn(100, 100)
    layers = Layers(model, None)
    total, _ = layers.norms([(exact * 1024).half(), None], torch.tensor(1024.0))
    assert total == pytest.approx(torch.linalg.vector_norm(exact).item(), rel=1e-3)
    table = torch.nn.Embedding(10, 4, sparse=True)
    table(torch.tensor([1, 1, 2])).sum().backward()
    assert Layers(table, None).norms([table.weight.grad])[0] == pytest.approx(math.sqrt(4 * (4 + 1)))


def test_tensorboard_gets_the_norms(make_trainer, tmp_path):
    """Under the same names; without a store there is no warning."""
    make_trainer(callbacks=[GradLogger(5, summary_writer=tmp_path / "board")]).train()
    board = EventAccumulator(str(tmp_path / "board")).Reload()
    assert {"grad_norm_total", "grad_norm/transformer.h.0"} <= set(board.Tags()["scalars"])
    assert [event.step for event in board.Scalars("grad_norm_total")] == [5, 10]


def test_sharded_gradients(store, make_trainer, caplog, monkeypatch):
    """Are not measured, and one warning says so."""
    model = gpt2()
    model.transformer.wte.weight.ds_id = 1  # as DeepSpeed marks what it has sharded
    recorder = TrainStoreCallback(store)
    make_trainer(model=model, callbacks=[recorder, GradLogger(1)]).train()
    assert "grad_norm_total" not in store.list_step_logs(recorder.run_uid)
    (warning,) = [message for message in warnings(caplog) if "GradLogger" in message]
    assert "no norms are recorded: the gradients are sharded" in warning


def test_two_of_them(store, make_trainer, caplog):
    """The first one measures, also if it stands in the list twice; each thing is told once."""
    recorder, grads = TrainStoreCallback(store), GradLogger(10)
    make_trainer(callbacks=[recorder, grads, grads, GradLogger(5, ["transformer.wte"])]).train()
    logs = store.list_step_logs(recorder.run_uid).set_index("step")
    assert logs["grad_norm/transformer.wte"].dropna().index.tolist() == [10]
    told = [message.partition(";")[0] for message in warnings(caplog) if message.startswith("GradLogger")]
    assert told == [
        "GradLogger: is 2 times in the trainer's list",
        "GradLogger: another one in the trainer's list does the same",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"log_frequency": 0}, "log_frequency 0 is not an int from 1 on"),
        ({"log_frequency": 2.5}, "log_frequency 2.5 is not"),
        ({"track_layers": []}, r"track_layers \[\] is neither"),
        ({"track_layers": [1]}, r"track_layers \[1\] is neither the name of a layer nor a list"),
        ({"factor": 1}, "factor 1 is not a number above 1"),
        ({"factor": "10"}, "factor '10' is not"),
        ({"summary_writer": 5}, "summary_writer 5 has no add_scalar"),
        ({"run": "a run"}, "'a run' is not a run"),
    ],
)
def test_a_bad_argument_is_an_error_at_once(arguments, message):
    """With its value."""
    with pytest.raises(InvalidArgumentError, match=message):
        GradLogger(**arguments)


def test_from_yaml():
    """Hydra builds it."""
    target = "trainstore.callbacks.GradLogger"
    built = instantiate({"_target_": target, "log_frequency": 50, "track_layers": ["lm_head"]})
    assert (built._every, built._tracked) == (50, ["lm_head"])


def test_a_copy_belongs_to_no_training(make_trainer):
    """Pickled in the middle of a training, it has the same arguments, and no parameter of the model."""
    grads = GradLogger(3, ["transformer"])
    trainer = make_trainer(callbacks=[grads], max_steps=1)
    grads.on_train_begin(trainer.args, trainer.state, trainer.control, model=trainer.model)
    assert grads._layers is not None
    for copied in (pickle.loads(pickle.dumps(grads)), copy.deepcopy(grads)):
        assert copied._layers is None
        assert (copied._every, copied._tracked) == (3, ["transformer"])
