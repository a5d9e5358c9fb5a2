"""The log of a training as JSON Lines."""

import errno
import json
import math
import os
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from transformers import TrainerCallback

from fixtures.trainers import Crash, CrashAt, course_of, is_same_course, tokens
from trainstore.callbacks import JsonLogger
from trainstore.errors import InvalidArgumentError

SECRET = "hf_" + "abcdefghijklmnopqrstuvwxyz"


def strict(path):
    """The records of a file; the constants NaN and Infinity, which are not JSON, are refused."""

    def refuse(name):
        raise ValueError(name)

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_each_event_is_a_record(make_trainer, tmp_path):
    """In the order in which they came, with step, epoch, time and what was logged."""
    began = datetime.now(UTC)
    callback = JsonLogger(tmp_path / "a" / "log.jsonl", name="exp", description="a test")
    trainer = make_trainer(
        callbacks=[callback],
        max_steps=2,
        logging_steps=1,
        eval_dataset=tokens(4),
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
    )
    trainer.train()
    records = strict(callback.path)
    assert [record["event"] for record in records] == [
        "on_train_begin", "on_epoch_begin", "on_log", "on_log", "on_log", "on_evaluate", "on_save", "on_epoch_end",
        "on_log", "on_train_end",
    ]  # fmt: skip
    assert [record["global_step"] for record in records] == [0, 0, 1, 2, 2, 2, 2, 2, 2, 2]
    for record in records:
        assert set(record) == {"event", "timestamp", "global_step", "epoch", "metrics", "meta"}
        assert began - timedelta(seconds=1) < datetime.fromisoformat(record["timestamp"]) <= datetime.now(UTC)
        assert (record["meta"]["name"], record["meta"]["description"]) == ("exp", "a test")
    entries = [entry for entry in trainer.state.log_history if "loss" in entry]
    logged = [record["metrics"] for record in records if record["event"] == "on_log"]
    assert [one["loss"] for one in logged[:2]] == [entry["loss"] for entry in entries]
    assert records[5]["metrics"]["eval_loss"] == logged[2]["eval_loss"]


def test_the_first_record_has_the_configuration(make_trainer):
    """Arguments, the model's configuration and what was given, without secrets; by default in the output folder."""
    callback = JsonLogger(config={"data": {"path": "x"}, "api_key": SECRET})
    trainer = make_trainer(callbacks=[callback], max_steps=1, hub_token=SECRET)
    trainer.train()
    assert callback.path == callback.path.parent.parent / "output" / "training_log.jsonl"
    meta = strict(callback.path)[0]["meta"]
    assert meta["arguments"]["learning_rate"] == 1e-2
    assert meta["model"]["n_embd"] == 16
    assert meta["config"] == {"data": {"path": "x"}, "api_key": "[redacted]"}
    assert SECRET not in callback.path.read_text()


def test_every_step_too_if_asked_for(make_trainer, tmp_path):
    """With ``every_step``, the events of steps, micro-batches and the optimizer are records."""
    callback = JsonLogger(tmp_path / "log.jsonl", every_step=True)
    make_trainer(callbacks=[callback], max_steps=1, gradient_accumulation_steps=2).train()
    events = [record["event"] for record in strict(callback.path)]
    assert events[2:7] == [
        "on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end",
    ]  # fmt: skip


class LogsNaN(TrainerCallback):
    """Stands in front of the logger, and puts what JSON cannot hold into the logs."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        logs |= {"nan": math.nan, "inf": -math.inf, "text": f"token={SECRET}", "list": [1.0, math.nan]}


def test_it_is_strict_json(make_trainer, tmp_path):
    """Numbers that are not finite are texts, as in the store; secrets are redacted."""
    callback = JsonLogger(tmp_path / "log.jsonl")
    make_trainer(callbacks=[LogsNaN(), callback], max_steps=1, logging_steps=1).train()
    (metrics, *_) = [record["metrics"] for record in strict(callback.path) if record["event"] == "on_log"]
    assert (metrics["nan"], metrics["inf"], metrics["list"]) == ("NaN", "-Infinity", [1.0, "NaN"])
    assert SECRET not in callback.path.read_text()


def test_a_training_that_resumes_goes_on_in_its_file(make_trainer, tmp_path, caplog):
    """A line that a crash cut off is removed; the file stays readable."""
    path = tmp_path / "log.jsonl"
    trainer = make_trainer(
        callbacks=[JsonLogger(path), CrashAt(3)], max_steps=4, logging_steps=1, save_strategy="steps", save_steps=2
    )
    with pytest.raises(Crash):
        trainer.train()
    with path.open("ab") as file:
        file.write(b'{"event": "on_l')
    trainer = make_trainer(callbacks=[JsonLogger(path)], max_steps=4, logging_steps=1)
    trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-2"))
    records = strict(path)
    steps = [record["global_step"] for record in records if record["event"] == "on_log"]
    assert steps == [1, 2, 3, 4, 4]
    assert [record["global_step"] for record in records if record["event"] == "on_train_begin"] == [0, 2]
    assert "another training" not in caplog.text


def test_a_log_of_another_training_is_appended_to_with_a_warning(make_trainer, tmp_path, caplog):
    """Nothing of it is lost."""
    path = tmp_path / "log.jsonl"
    for _ in range(2):
        make_trainer(callbacks=[JsonLogger(path)], max_steps=1).train()
    assert [record["event"] for record in strict(path)].count("on_train_begin") == 2
    assert caplog.text.count("holds another training") == 1


@pytest.mark.parametrize("content", ["[1, 2]\n", '{"a": 1}\n', "import os\n", "5\n"])
def test_a_file_that_is_no_log_is_left_as_it_is(make_trainer, tmp_path, caplog, content):
    """One warning names the file; the training goes on."""
    path = tmp_path / "notes.txt"
    path.write_text(content)
    make_trainer(callbacks=[JsonLogger(path)], max_steps=2, logging_steps=1).train()
    assert path.read_text() == content
    messages = [record.getMessage() for record in caplog.records if record.name == "trainstore"]
    assert messages == [
        f"JsonLogger: on_train_begin failed (NotALogError: {path} is not a log of training events; give another path);"
        " the training goes on"
    ]


def test_a_folder_that_cannot_be_written_is_told_once(make_trainer, tmp_path, caplog):
    """The training goes on without a log."""
    (tmp_path / "file").write_text("")
    make_trainer(callbacks=[JsonLogger(tmp_path / "file" / "log.jsonl")], max_steps=2, logging_steps=1).train()
    messages = [record.getMessage() for record in caplog.records if record.name == "trainstore"]
    assert len(messages) == 1
    assert "on_train_begin failed" in messages[0]
    assert str(tmp_path / "file") in messages[0]


def test_a_full_disk_leaves_whole_lines(make_trainer, tmp_path, monkeypatch, caplog):
    """What did not fit is taken back; the training takes the same course, and later records are written again."""
    callback = JsonLogger(tmp_path / "log.jsonl")
    write, calls = os.write, []

    def full(file, line):
        if file == callback._file:
            calls.append(line)
            if len(calls) == 3:
                return write(file, line[:10])
            if len(calls) == 4:
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, line)

    monkeypatch.setattr("os.write", full)
    course = course_of(make_trainer(callbacks=[callback], max_steps=4, logging_steps=1))
    monkeypatch.undo()
    assert is_same_course(course, course_of(make_trainer(max_steps=4, logging_steps=1)))
    records = strict(callback.path)
    assert [record["global_step"] for record in records if record["event"] == "on_log"] == [3, 4, 4]
    assert "no space left for the log" in caplog.text


def test_a_pickled_one_opens_the_file_itself(make_trainer, tmp_path):
    """Also one that is pickled in the middle of a training."""
    original, copies = JsonLogger(tmp_path / "log.jsonl", name="exp"), []

    class Pickles(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            copies.append(pickle.loads(pickle.dumps(original)))

    make_trainer(callbacks=[original, Pickles()], max_steps=1).train()
    make_trainer(callbacks=copies, max_steps=1).train()
    assert [record["event"] for record in strict(tmp_path / "log.jsonl")].count("on_train_begin") == 2


@pytest.mark.parametrize("arguments", [{"path": 5}, {"path": "."}, {"config": 5}])
def test_wrong_arguments_are_refused_at_once(arguments):
    """They are errors before any training, which name the argument."""
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        JsonLogger(**arguments)
