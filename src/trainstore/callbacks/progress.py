"""`ProgressCallback`: bars in a terminal or a notebook, and a line now and then anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import Any

from tqdm.asyncio import tqdm_asyncio
from tqdm.auto import tqdm
from transformers import PrinterCallback
from transformers import ProgressCallback as TransformersProgressCallback

from trainstore.callbacks.base import Callback
from trainstore.callbacks.neighbours import list_with
from trainstore.display import duration_text
from trainstore.errors import InvalidArgumentError
from trainstore.queries.metric_names import is_effort

SHOWN = {"loss": "loss", "learning_rate": "lr", "grad_norm": "grad_norm"}  # beside the training's bar


class ProgressCallback(Callback):
    """Shows how far a training is, and what was logged last.

    In a terminal and in a notebook: a bar for the training, with loss, learning rate and gradient norm as far as there
    is room, and one for an evaluation while it lasts. Anywhere else, such as the log file of a cluster's job: a line
    every `interval` seconds. The results of each evaluation are a line in both. After a resume, the bar begins at the
    resumed step, and speed and remaining time count from there.

    It takes the place of transformers' own ``ProgressCallback`` and ``PrinterCallback``, which a Trainer adds itself:
    they are removed from the trainer's list. Everything goes to standard error.

    Args:
        interval: Seconds between two lines.
        bars: Whether to show bars. None: in a terminal or a notebook, unless the arguments say ``disable_tqdm``.

    Raises:
        InvalidArgumentError: An interval that is not a positive number.
    """

    def __init__(self, interval: float = 10.0, bars: bool | None = None) -> None:
        super().__init__()
        if isinstance(interval, bool) or not isinstance(interval, (int, float)) or not interval > 0:
            raise InvalidArgumentError(f"interval {interval!r} is not a positive number of seconds")
        self._interval, self._bars = interval, bars

    def _reset(self) -> None:
        super()._reset()
        self._begin()

    def _begin(self) -> None:
        self._training: Any = None  # the bars
        self._evaluation: Any = None
        self._shows_bars = False
        self._step = 0  # up to which the bar is drawn
        self._first_step = 0
        self._began = self._told = monotonic()
        self._logged: dict[str, str] = {}

    def target(self) -> object | None:
        """There is one training to show."""
        return "the progress"

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The trainer's list of callbacks is complete, but for those that are added later."""
        self._replace_others()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The bar is drawn with the first step, below what others print at the beginning."""
        self._replace_others()
        self._close()
        self._begin()
        self._step = self._first_step = state.global_step
        self._shows_bars = self._wants_bars(args)

    def _wants_bars(self, args: Any) -> bool:
        if self._bars is not None:
            return self._bars
        return not getattr(args, "disable_tqdm", False) and shows_bars()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The first one draws the bar."""
        if self._training is None and self._shows_bars:
            self._training = tqdm(
                desc="training",
                total=state.max_steps or None,
                initial=self._first_step,
                unit="step",
                dynamic_ncols=True,
            )
            self._training.set_postfix_str(self._logged_text(), refresh=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One step more."""
        if self._training is not None:
            self._training.update(state.global_step - self._step)
        elif not self._shows_bars and self._is_due(state):
            self._tell_progress(state)
        self._step = state.global_step

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """One batch of an evaluation more."""
        if self._evaluation is None and self._has_room(args):
            total = _length(eval_dataloader)
            self._evaluation = tqdm(desc="evaluation", total=total, unit="batch", leave=False, dynamic_ncols=True)
        if self._evaluation is not None:
            self._evaluation.update(1)

    def _has_room(self, args: Any) -> bool:
        """Whether there may be a bar for an evaluation. Notebooks without widgets garble a second one."""
        if self._training is None:
            return self._shows_bars or self._wants_bars(args)
        return tqdm is not tqdm_asyncio or not _is_notebook()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Loss, learning rate and gradient norm, beside the bar or in the next line."""
        if not isinstance(logs, Mapping):
            return
        found = {label: _text(logs[name]) for name, label in SHOWN.items() if name in logs}
        if found:
            self._logged |= found
            if self._training is not None:
                self._training.set_postfix_str(self._logged_text())

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """A line with the results; the evaluation's bar goes."""
        self._end_evaluation()
        results = {name: value for name, value in (metrics or {}).items() if not is_effort(name)}
        if results:
            found = "  ".join(f"{name} {_text(value)}" for name, value in results.items())
            self._tell(f"step {state.global_step}  {found}")

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """The prediction's bar goes."""
        self._end_evaluation()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The bar stays as it is; without one, a last line."""
        if not self._shows_bars:
            self._tell_progress(state, is_over=True)
        self._close()

    # --- Lines ------------------------------------------------------------------------------------------------------

    def _is_due(self, state: Any) -> bool:
        """The last step has the last line; a step that ends twice, as Forgather's trainer does it, has one."""
        is_new = self._step < state.global_step != state.max_steps
        return is_new and monotonic() - self._told >= self._interval

    def _tell_progress(self, state: Any, *, is_over: bool = False) -> None:
        self._told = now = monotonic()
        step, last = state.global_step, state.max_steps
        parts = [f"step {step}/{last} ({step / last:.0%})" if last else f"step {step}"]
        if isinstance(state.epoch, (int, float)):
            parts.append(f"epoch {state.epoch:.2f}")
        parts += [f"{label} {value}" for label, value in self._logged.items()]
        elapsed = now - self._began
        speed = (step - self._first_step) / elapsed if elapsed > 0 else 0.0
        if speed > 0:
            parts.append(f"{speed:.3g} steps/s")
            left = (last - step) / speed if last and not is_over else 0.0
            duration = duration_text(timedelta(seconds=left if left > 0 else elapsed))
            parts.append(f"{duration} left" if left > 0 else f"done in {duration}" if is_over else duration)
        self._tell("  ".join(parts))

    def _tell(self, line: str) -> None:
        if self._training is not None:
            self._training.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)

    def _logged_text(self) -> str:
        """What was logged last. What would leave the bar less than ten columns is left out, the loss last."""
        parts = [f"{label} {value}" for label, value in self._logged.items()]
        shown = self._training.format_dict
        while parts and shown["ncols"]:
            line = self._training.format_meter(**{**shown, "ncols": None, "postfix": ", ".join(parts)})  # ten columns
            if len(line) <= shown["ncols"]:
                break
            parts.pop()
        return ", ".join(parts)

    # --- Bars -------------------------------------------------------------------------------------------------------

    def _end_evaluation(self) -> None:
        bar, self._evaluation = self._evaluation, None
        if bar is not None:
            bar.close()

    def _close(self) -> None:
        self._end_evaluation()
        bar, self._training = self._training, None
        if bar is not None:
            bar.close()

    def _replace_others(self) -> None:
        """Remove transformers' own from the trainer's list. The list is replaced: it is being gone through now."""
        place = list_with(self)
        others = [one for one in (place[1] if place else ()) if _shows_progress(one)]
        if place is None or not others:
            return
        owner, callbacks = place
        owner.callbacks = [one for one in callbacks if not _shows_progress(one)]
        for one in others:
            bar = getattr(one, "training_bar", None)
            if bar is not None:  # it stands in front of us, and its training has begun
                bar.leave = False
                bar.close()


def _shows_progress(callback: Any) -> bool:
    kinds = {TransformersProgressCallback, PrinterCallback}
    return type(callback) in kinds or type(callback).__name__ == "NotebookProgressCallback"


def shows_bars() -> bool:
    """Whether bars can be drawn where this runs: in a terminal, or in a notebook."""
    return _is_notebook() or _is_terminal()


def _is_notebook() -> bool:
    """Whether a kernel runs us."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is no standard error, or it is closed
        return False


def _length(dataloader: Any) -> int | None:
    try:
        return len(dataloader)
    except TypeError:
        return None


def _text(value: Any) -> str:
    """A number with four digits; other values as they are, up to 40 characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)[:40]
