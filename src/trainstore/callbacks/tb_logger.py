"""`TBLogger`: what a training logs, in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from math import isfinite
from time import monotonic
from typing import Any

import orjson

from trainstore.callbacks.base import Callback
from trainstore.callbacks.snapshot import arguments_of, chosen_arguments, model_config_of
from trainstore.callbacks.summary_writer import as_code, file_writer_of, write_scalars
from trainstore.errors import InvalidArgumentError
from trainstore.redaction import redact_item
from trainstore.values import Json, canonical_hyperparams, scalar_of

FLUSH_INTERVAL = 5.0  # seconds
PREFIXES = ("eval", "val", "test", "predict")


class TBLogger(Callback):
    """Writes what is logged to TensorBoard: numbers as scalars, texts as text.

    A metric ``loss`` is the scalar ``train/loss``, ``eval_loss`` is ``eval/loss``; ``val_`` and ``test_`` likewise. At
    the beginning, the training's arguments and the model's configuration are written as JSON, without secrets. At the
    end, the arguments that differ from their defaults, and the last results, go to TensorBoard's page HPARAMS, where
    several trainings can be compared.

    Args:
        summary_writer: A ``SummaryWriter`` of TensorBoard, which stays open; or the folder in which one is opened.
        **experiment_info: Anything to be noted about the experiment, such as ``name``, ``description``, ``date``.

    Raises:
        InvalidArgumentError: No summary writer.
    """

    writes = True

    def __init__(self, summary_writer: Any, **experiment_info: Any) -> None:
        if summary_writer is None:
            raise InvalidArgumentError(
                "summary_writer None: give a SummaryWriter, or the folder in which one is opened"
            )
        super().__init__(summary_writer=summary_writer)
        self._info = canonical_hyperparams(experiment_info)

    def _reset(self) -> None:
        super()._reset()
        self._flushed = 0.0
        self._last: tuple[int, dict[str, Any]] = (-1, {})  # the last log, and its step
        self._results: dict[str, float] = {}  # the last value of each metric, by tag

    def target(self) -> object | None:
        """Two write to two folders."""
        return self._summary.folder

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """What is known at the beginning, as text."""
        self._last, self._results = (-1, {}), {}
        info = {"date": datetime.now().astimezone().isoformat(timespec="seconds"), **self._info}
        texts = {"experiment": info, "args": arguments_of(args), "model_config": model_config_of(model)}
        self.to_summary(partial(self._write_texts, texts, state.global_step))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Whatever is logged."""
        if isinstance(logs, Mapping):
            self.to_summary(partial(self._write, logs, state.global_step))
            self._last = state.global_step, dict(logs)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Results that the trainer has not logged itself."""
        self._write_results(metrics, state.global_step)

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Results of a prediction, which no trainer logs."""
        self._write_results(metrics, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Arguments and last results, for the page HPARAMS."""
        self.to_summary(partial(self._write_hparams, chosen_arguments(args)))
        self.close_summary()

    def _write_texts(self, texts: Mapping[str, Any], step: int, writer: Any) -> None:
        for tag, values in texts.items():
            if values:
                writer.add_text(tag, as_code(orjson.dumps(values, option=orjson.OPT_INDENT_2).decode()), step)
        self._flush(writer)

    def _write_results(self, metrics: Any, step: int) -> None:
        if not isinstance(metrics, Mapping):
            return
        logged_at, logged = self._last
        known = logged if logged_at == step else {}
        new = {name: value for name, value in metrics.items() if name not in known}
        self.to_summary(partial(self._write, new, step))

    def _write(self, logs: Mapping[Any, Any], step: int, writer: Any) -> None:
        scalars: dict[str, float] = {}
        for name, value in logs.items():
            tag, number = _tag(str(name)), value if type(value) is float else scalar_of(value)
            if isinstance(number, (int, float)):
                scalars[tag] = number
            elif isinstance(number, str):
                writer.add_text(tag, str(redact_item(str(name), number)), step)
        self._results |= scalars
        write_scalars(writer, scalars, step)
        if monotonic() - self._flushed > FLUSH_INTERVAL:
            self._flush(writer)

    def _flush(self, writer: Any) -> None:
        writer.flush()
        self._flushed = monotonic()

    def _write_hparams(self, arguments: dict[str, Json], writer: Any) -> None:
        """Into the folder of the scalars: ``SummaryWriter.add_hparams`` would make another one."""
        file = file_writer_of(writer)
        if file is None:
            return
        from torch.utils.tensorboard.summary import hparams

        chosen = {
            name: value if isinstance(value, (bool, int, float, str)) else str(value)
            for name, value in arguments.items()
        }
        results = {tag: value for tag, value in self._results.items() if isfinite(value)}
        for summary in hparams({**chosen, **self._texts()}, results):
            file.add_summary(summary)

    def _texts(self) -> dict[str, str]:
        return {name: value for name, value in self._info.items() if isinstance(value, str)}


def _tag(name: str) -> str:
    for prefix in PREFIXES:
        if name.startswith(f"{prefix}_"):
            return f"{prefix}/{name[len(prefix) + 1 :]}"
    return f"train/{name}"
