"""What a callback is to write to cannot be written: one warning, and the rest is as it should be."""

import errno
import logging

import pytest

from fixtures.trainers import tokenizer, tokens
from trainstore.callbacks import (
    GradLogger,
    JsonLogger,
    ModelCheckpointCallback,
    SystemMetricsCallback,
    TBLogger,
    TextgenCallback,
)
from trainstore.integrations.transformers import TrainStoreCallback

SAMPLES = {"generation_steps": 1, "tokenizer": tokenizer(), "generation_config": {"max_new_tokens": 2}}
WITH_A_FOLDER = {
    "GradLogger": lambda folder: GradLogger(1, summary_writer=folder),
    "JsonLogger": lambda folder: JsonLogger(folder / "log.jsonl"),
    "ModelCheckpointCallback": lambda folder: ModelCheckpointCallback(folder / "best", save_checkpoint=False),
    "SystemMetricsCallback": lambda folder: SystemMetricsCallback(3600, summary_writer=folder),
    "TBLogger": lambda folder: TBLogger(folder),
    "TextgenCallback": lambda folder: TextgenCallback("w3", folder, **SAMPLES),
}
IN_THE_RUN = {"GradLogger": "grad_norm_total", "SystemMetricsCallback": "system/cpu_percent"}

#: Warnings after the first one: a model is tried to be saved again, as the disk may have come back.
LATER = {"ModelCheckpointCallback": 2}


class FullWriter:
    """TensorBoard's writer on a disk that is full."""

    def add_scalar(self, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    add_text = flush = close = add_scalar


def warnings(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "trainstore" and record.levelno >= logging.WARNING
    ]


def trained(store, make_trainer, callback):
    """A training of eight steps; its run."""
    recorder = TrainStoreCallback(store)
    evaluated = {"eval_dataset": tokens(4), "eval_strategy": "steps", "eval_steps": 1}
    make_trainer(callbacks=[recorder, callback], max_steps=8, logging_steps=1, **evaluated).train()
    run = store.get_run(recorder.run_uid)
    assert (run.status, run.last_step) == ("finished", 8)
    return run


def is_in_the_run(store, run, name):
    if name == "TextgenCallback":
        return len(store.list_samples(run)) == 8
    metric = IN_THE_RUN.get(name)
    return metric is None or store.list_step_logs(run)[metric].notna().any()


@pytest.mark.parametrize("name", WITH_A_FOLDER)
def test_a_folder_that_cannot_be_made(store, make_trainer, tmp_path, caplog, name):
    """It is named, once. What goes into the run is there."""
    (tmp_path / "file").write_text("")
    run = trained(store, make_trainer, WITH_A_FOLDER[name](tmp_path / "file" / "folder"))
    first, *later = warnings(caplog)
    assert str(tmp_path / "file") in first
    assert len(later) == LATER.get(name, 0)
    assert is_in_the_run(store, run, name)


@pytest.mark.parametrize("name", ["GradLogger", "SystemMetricsCallback", "TBLogger", "TextgenCallback"])
def test_a_full_disk_under_tensorboard(store, make_trainer, caplog, name):
    """It costs TensorBoard's files, and nothing of the run."""
    run = trained(store, make_trainer, WITH_A_FOLDER[name](FullWriter()))
    (told,) = warnings(caplog)
    assert "nothing more goes to TensorBoard (OSError: [Errno 28] No space left on device)" in told
    assert is_in_the_run(store, run, name)
