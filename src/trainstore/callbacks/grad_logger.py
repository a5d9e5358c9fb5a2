"""`GradLogger`: the norms of the gradients, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from trainstore.callbacks.arguments import at_least_one
from trainstore.callbacks.base import Callback, only_if
from trainstore.callbacks.gradients import Layers, Watchdog, norm_of
from trainstore.callbacks.models import is_sharded, unwrapped
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.protocol import attribute_of, protocol_of
from trainstore.integrations.transformers.wrappers import Method, Wrappers, calling_trainer
from trainstore.queries.names import did_you_mean
from trainstore.run import ActiveRun
from trainstore.values import scalar_of

MAX_NAMED = 20  # layers in one event


class GradLogger(Callback):
    """Records the norms of the gradients before clipping: of all, and of each layer.

    Every ``log_frequency`` steps it records the metrics ``grad_norm_total``, ``grad_norm_max``, ``grad_norm_min`` and
    ``grad_norm_mean`` (the latter three over the layers), and ``grad_norm/<layer>``. `plot_gradient_flow` of
    `trainstore.plots` draws them.

    A layer whose norm is not finite, or far from what it was (``factor`` times the median of its last 20 norms, or a
    ``factor``-th of it; it takes five norms to know), makes an event ``gradient_warning``, once until it is as usual
    again: ``{"problem": "exploding", "count": 1, "layers": {layer: {"norm": …, "usual": …}}}``. Other problems are
    "vanishing" and "not finite".

    A layer is a block of the model that its parameters name with a number (``transformer.h.3``), else the module that
    holds a parameter (``lm_head``).

    Args:
        log_frequency: Every so many steps.
        track_layers: Names of modules or parameters, each of which becomes a layer, instead of the blocks.
        summary_writer: A ``SummaryWriter`` of TensorBoard that gets the norms, too, or its folder.
        factor: What is far from the usual norm, above 1.
        run: The run to write into. None: the one that the `TrainStoreCallback` of the same trainer records.

    Raises:
        InvalidArgumentError: An argument that cannot be used.

    If the model has no such layer, or its gradients are sharded over processes (FSDP, DeepSpeed), a warning says so
    when the training begins.
    """

    writes: ClassVar[bool] = True

    def __init__(
        self,
        log_frequency: int = 100,
        track_layers: str | Sequence[str] | None = None,
        summary_writer: Any = None,
        *,
        factor: float = 100.0,
        run: ActiveRun | None = None,
    ) -> None:
        super().__init__(run=run, summary_writer=summary_writer)
        self._every = at_least_one("log_frequency", log_frequency)
        self._tracked = _checked_names(track_layers)
        ratio = scalar_of(factor)
        if isinstance(ratio, (bool, str)) or ratio is None or not 1 < ratio < float("inf"):
            raise InvalidArgumentError(f"factor {factor!r} is not a number above 1")
        self._factor = float(ratio)

    def _reset(self) -> None:
        super()._reset()
        if (wrappers := vars(self).get("_wrappers")) is not None:
            wrappers.remove()
        self._wrappers = Wrappers()
        self._layers: Layers | None = None  # None: nothing can be measured
        self._watchdog: Watchdog | None = None
        self._scaler: Any = None  # of float16
        self._due: int | None = None  # the step that is under way, if it is measured
        self._norms: tuple[float, dict[str, float]] | None = None  # of that step
        self._hooked: list[Tensor | None] = []  # the norms that hooks saw, if nothing else sees the gradients
        self._hooks: list[Any] = []
        self._needs_hooks = False
        self._announced: ActiveRun | None = None  # the run that knows the order of the layers

    def target(self) -> object | None:
        """Two of them would record the same metrics."""
        return "grad_norm"

    # --- A training -------------------------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Find the layers, and what clips the gradients."""
        self._let_go()
        if not isinstance(model, torch.nn.Module):
            self.warn_once("no norms are recorded: the events of this training carry no model")
            return
        if is_sharded(model):
            self.warn_once("no norms are recorded: the gradients are sharded over several processes")
            return
        layers = Layers(unwrapped(model), self._tracked)
        if layers.unknown:
            names = ", ".join(map(repr, layers.unknown))
            self.warn_once(f"the model has no layer {names}{did_you_mean(layers.unknown[0], layers.known)}")
        self._layers, self._watchdog = layers, Watchdog(self._factor)
        trainer = calling_trainer(self)
        clips = trainer is not None and self._wrappers.wrap(trainer, protocol_of(trainer).grad_norm, self._clipping)
        self._scaler = attribute_of(trainer, "accelerator.scaler") if clips else None
        self._needs_hooks = not clips

    @only_if(lambda self, state: not (state.global_step + 1) % self._every)
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """This step is to be measured."""
        if self._layers is not None:
            self._due, self._norms = state.global_step + 1, None
            if self._needs_hooks:
                self._hook(self._layers)

    @only_if(lambda self, state: self._due is not None)
    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure here if no clipping was seen. A loop that sends this event needs no hooks."""
        if self._due is not None and self._norms is None:
            self._measure()
            self._unhook()
            self._needs_hooks = False

    @only_if(lambda self, state: self._due is not None)
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record what was measured."""
        due, self._due = self._due, None
        if due is None:
            return
        norms = self._norms
        if self._hooks and self._layers is not None:
            norms = self._layers.norms(self._hooked)
            self._unhook()
        if state.global_step != due:  # some trainers begin a step at an epoch's end, and find no data for it
            return
        if norms is not None:
            self._record(due, *norms)
        elif self._needs_hooks:
            self.warn_once("no norms are recorded: this trainer shows only this process's part of the gradients")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave the trainer and the model as they were."""
        self._let_go()
        self.close_summary()

    def _let_go(self) -> None:
        self._wrappers.remove()
        self._unhook()
        self._layers = self._due = self._norms = None

    # --- A step -----------------------------------------------------------------------------------------------------

    def _clipping(self, original: Method) -> Method:
        def clip_grad_norm(*args: Any, **kwargs: Any) -> Any:
            if self._due is not None and self._norms is None:
                try:
                    self._measure(_scale_of(self._scaler))
                except Exception as error:  # noqa: BLE001
                    self._fail("clipping", error)
            return original(*args, **kwargs)

        return clip_grad_norm

    def _measure(self, scale: Any = None) -> None:
        if self._layers is not None:
            with torch.no_grad():
                self._norms = self._layers.norms([parameter.grad for parameter in self._layers.parameters], scale)

    def _hook(self, layers: Layers) -> None:
        """Let each parameter tell the norm of its gradient when a backward pass has added to it."""
        self._unhook()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return
        self._hooked = [None] * len(layers.parameters)
        for place, parameter in enumerate(layers.parameters):
            if parameter.requires_grad:
                self._hooks.append(parameter.register_post_accumulate_grad_hook(self._telling(place)))

    def _telling(self, place: int) -> Any:
        hooked = self._hooked

        def tell(parameter: Any) -> None:
            try:
                hooked[place] = norm_of(parameter.grad.detach())
            except Exception as error:  # noqa: BLE001 - it would come out of the backward pass
                self._fail("the backward pass", error)

        return tell

    def _unhook(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._hooked = [], []

    def _record(self, step: int, total: float, layers: dict[str, float]) -> None:
        if not layers and total == 0:
            self.warn_once(f"the model had no gradients in step {step}")
            return
        norms = list(layers.values())
        metrics = {"grad_norm_total": total}
        if norms:
            broken = any(norm != norm for norm in norms)
            metrics["grad_norm_max"] = float("nan") if broken else max(norms)
            metrics["grad_norm_min"] = float("nan") if broken else min(norms)
            metrics["grad_norm_mean"] = sum(norms) / len(norms)
        metrics |= {f"grad_norm/{layer}": norm for layer, norm in layers.items()}
        self.add_scalars(metrics, step)
        run = self.run
        problems = (
            {} if self._watchdog is None else self._watchdog.judge(layers, scaled=_scale_of(self._scaler) is not None)
        )
        if run is None:
            return
        if run is not self._announced and self._layers is not None:
            self._announced = run
            run.log_event("gradient_layers", step, {"layers": self._layers.names})
        run.log(metrics, step)
        for problem, found in problems.items():
            named = dict(list(found.items())[:MAX_NAMED])
            run.log_event("gradient_warning", step, {"problem": problem, "count": len(found), "layers": named})


def _checked_names(names: Any) -> list[str] | None:
    if names is None:
        return None
    given = [names] if isinstance(names, str) else names
    found = list(given) if isinstance(given, (Sequence, set, frozenset)) and not isinstance(given, bytes) else []
    if not found or not all(isinstance(name, str) and name for name in found):
        raise InvalidArgumentError(f"track_layers {names!r} is neither the name of a layer nor a list of names")
    return list(dict.fromkeys(found))


def _scale_of(scaler: Any) -> Any:
    """What a scaler for float16 has multiplied the gradients by, if possible on the device; None if there is none."""
    if scaler is None or not scaler.is_enabled():
        return None
    scale = getattr(scaler, "_scale", None)
    return scale if isinstance(scale, Tensor) else scaler.get_scale()
