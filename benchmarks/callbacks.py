"""What the callbacks beside the recorder cost a step or a log, sent by the Trainer's own `CallbackHandler`.

Each is compared with an empty callback in the same loop. Norms of gradients are compared with one `clip_grad_norm_` of
the same model, and the TensorBoard logger with that of transformers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from benchmarks.cases import Cases, Figures, Place, check
from trainstore import TrainStore

case = Cases("callbacks")
STEPS = 100  # from one measured step of GradLogger to the next
LOGS = {"loss": 2.5, "grad_norm": 0.8, "learning_rate": 1e-4, "epoch": 0.5}


class Loop:
    """A training loop without a training: it sends the events of steps and logs, and clips gradients."""

    def __init__(self, model: Any, *callbacks: Any, output: str = "") -> None:
        from transformers import TrainerControl, TrainerState, TrainingArguments
        from transformers.trainer_callback import CallbackHandler

        self.model = model
        self.arguments = TrainingArguments(output, report_to="none", use_cpu=True)
        self.state, self.control = TrainerState(), TrainerControl()
        self.callback_handler = CallbackHandler(list(callbacks), model, None, None, None)
        self.accelerator = SimpleNamespace(clip_grad_norm_=self._clip)

    def _clip(self, parameters: Any, max_norm: float) -> None:
        """Nothing: what clipping itself takes is measured elsewhere."""

    def begin(self) -> None:
        """Begin the training, in a method of its own, where callbacks find the loop."""
        self.callback_handler.on_train_begin(self.arguments, self.state, self.control)

    def step(self) -> None:
        """One optimizer step."""
        handler, told = self.callback_handler, (self.arguments, self.state, self.control)
        handler.on_step_begin(*told)
        self.accelerator.clip_grad_norm_(None, 1.0)
        handler.on_pre_optimizer_step(*told)
        self.state.global_step += 1
        handler.on_step_end(*told)

    def log(self) -> None:
        """One log."""
        self.state.global_step += 1
        self.callback_handler.on_log(self.arguments, self.state, self.control, dict(LOGS))

    def end(self) -> None:
        """The end of the training."""
        self.callback_handler.on_train_end(self.arguments, self.state, self.control)


def _median_us(calls: int, function: Callable[[], Any]) -> float:
    function()
    times = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        function()
        times.append(time.perf_counter_ns() - began)
    return sorted(times)[len(times) // 2] / 1e3


def _model() -> Any:
    """A model of five million parameters, with gradients."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=4_096, n_positions=64, n_embd=256, n_layer=5, n_head=4))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    return model


@case()
def gradients(place: Place) -> Figures:
    """GradLogger: in the steps that it measures, and in the others."""
    import torch
    from transformers import TrainerCallback

    from trainstore.callbacks import GradLogger

    model, calls = _model(), place.size.training_steps
    with TrainStore(place.url) as store, store.start_run() as run:
        loops = {
            "empty": Loop(model, TrainerCallback()),
            "between": Loop(model, GradLogger(10**9, run=run)),
            "on": Loop(model, GradLogger(1, run=run)),
        }
        for loop in loops.values():
            loop.begin()
        us = {name: _median_us(calls if name == "on" else 10 * calls, loop.step) for name, loop in loops.items()}
        parameters = list(model.parameters())
        clip_us = _median_us(calls, lambda: torch.nn.utils.clip_grad_norm_(parameters, 1e9))
        run.flush()
        logs = store.list_step_logs(run, metrics=["grad_norm_total"])
        check("steps", len(logs), calls + 1)
        true = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters]).item()
        check("the norm", logs["grad_norm_total"].iloc[-1].item(), true)
    return {"more_us": us["between"] - us["empty"], "on_us": us["on"] - us["empty"], "clip_us": clip_us}


@case()
def text_samples(place: Place) -> Figures:
    """TextgenCallback: in the steps in which it generates nothing."""
    from transformers import TrainerCallback

    from trainstore.callbacks import TextgenCallback

    model, calls = _model(), 10 * place.size.training_steps
    with TrainStore(place.url) as store, store.start_run() as run:
        loops = [Loop(model, one) for one in (TrainerCallback(), TextgenCallback("w", generation_steps=10**9, run=run))]
        for loop in loops:
            loop.begin()
        empty, ours = (_median_us(calls, loop.step) for loop in loops)
    return {"more_us": ours - empty}


@case()
def system(place: Place) -> Figures:
    """SystemMetricsCallback: a step, while its thread reads the sensors."""
    from transformers import TrainerCallback

    from trainstore.callbacks import SystemMetricsCallback

    model, calls = _model(), 10 * place.size.training_steps
    with TrainStore(place.url) as store, store.start_run() as run:
        loops = [Loop(model, one) for one in (TrainerCallback(), SystemMetricsCallback(run=run))]
        for loop in loops:
            loop.begin()
        empty, ours = (_median_us(calls, loop.step) for loop in loops)
        watching = loops[1]
        watching.state.max_steps = watching.state.global_step  # the last epoch ends here
        watching.callback_handler.on_epoch_end(watching.arguments, watching.state, watching.control)
        watching.end()
        run.flush()
        logs = store.list_step_logs(run, metrics=["system/process_threads"], tidy=True)
        check("the last step", logs["step"].iloc[-1].item(), calls + 1)
    return {"more_us": ours - empty}


@case()
def json_lines(place: Place) -> Figures:
    """JsonLogger: one log."""
    from trainstore.callbacks import JsonLogger

    path, calls = place.folder / "log.jsonl", place.size.training_steps
    loop = Loop(_model(), JsonLogger(path), output=str(place.folder))
    loop.begin()
    us = _median_us(calls, loop.log)
    loop.end()
    check("lines", sum('"on_log"' in line for line in path.read_text().splitlines()), calls + 1)
    return {"us": us}


@case()
def board(place: Place) -> Figures:
    """TBLogger: one log, beside the callback of transformers."""
    from transformers.integrations import TensorBoardCallback

    from trainstore.callbacks import TBLogger

    model = _model()
    loops = {
        "us": Loop(model, TBLogger(place.folder / "ours"), output=str(place.folder)),
        "theirs_us": Loop(model, TensorBoardCallback(_writer(place.folder / "theirs")), output=str(place.folder)),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop.begin()
    for _ in range(10):  # in turns: each has threads that write, and the first one to be measured would also warm up
        for name, loop in loops.items():
            times[name].append(_median_us(place.size.training_steps // 10, loop.log))
    for loop in loops.values():
        loop.end()
    return {name: sorted(us)[len(us) // 2] for name, us in times.items()}


def _writer(folder: Any) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
