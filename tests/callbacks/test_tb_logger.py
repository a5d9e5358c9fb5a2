"""What TensorBoard's own reader finds."""

import json
import math
import re

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback

from fixtures.trainers import tokens
from trainstore.callbacks import TBLogger
from trainstore.errors import InvalidArgumentError

SECRET = "hf_" + "abcdefghijklmnopqrstuvwxyz"


def read(folder):
    """The folder, as TensorBoard reads it."""
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    return found


def scalars(found, tag):
    return {event.step: event.value for event in found.Scalars(tag)}


def text(found, tag):
    """The text as it was written: JSON in a block of code."""
    (event,) = found.Tensors(f"{tag}/text_summary")
    return json.loads(event.tensor_proto.string_val[0].decode())


def hparams(found):
    """What is shown on the page HPARAMS: the arguments, and the metrics' tags."""
    contents = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    started = HParamsPluginData.FromString(contents).session_start_info.hparams
    experiment = found.SummaryMetadata("_hparams_/experiment").plugin_data.content
    metrics = HParamsPluginData.FromString(experiment).experiment.metric_infos
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in started.items()}
    return values, {metric.name.tag for metric in metrics}


class Adds(TrainerCallback):
    """Stands in front of the logger, and logs other things than numbers."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            logs |= {"zero": 0.0, "nan": math.nan, "note": f"token={SECRET}", "list": [1]}


def test_whatever_is_logged_is_there(make_trainer, tmp_path):
    """Numbers as scalars, zero and NaN too, under train/, eval/; texts as text, without secrets."""
    trainer = make_trainer(
        callbacks=[Adds(), TBLogger(tmp_path / "board")],
        max_steps=4,
        logging_steps=2,
        eval_dataset=tokens(4),
        eval_strategy="steps",
        eval_steps=2,
    )
    trainer.train()
    found = read(tmp_path / "board")
    for tag, name in (("train/loss", "loss"), ("train/learning_rate", "learning_rate"), ("eval/loss", "eval_loss")):
        logged = {entry["step"]: entry[name] for entry in trainer.state.log_history if name in entry}
        assert scalars(found, tag) == pytest.approx(logged)
    assert scalars(found, "train/zero") == {2: 0.0, 4: 0.0}
    assert all(math.isnan(value) for value in scalars(found, "train/nan").values())
    notes = [event.tensor_proto.string_val[0].decode() for event in found.Tensors("train/note/text_summary")]
    assert len(notes) == 2
    assert SECRET not in "".join(notes)


def test_the_configuration_is_there_as_json(make_trainer, tmp_path):
    """The experiment, the arguments, the model's configuration; no secret."""
    callback = TBLogger(tmp_path / "board", name="exp", description="a test", date="2024-01-01")
    make_trainer(callbacks=[callback], max_steps=1, hub_token=SECRET).train()
    found = read(tmp_path / "board")
    assert text(found, "experiment") == {"date": "2024-01-01", "name": "exp", "description": "a test"}
    assert text(found, "args")["learning_rate"] == 1e-2
    assert text(found, "args")["hub_token"] == "[redacted]"
    assert text(found, "model_config")["n_embd"] == 16


def test_the_date_is_noted_without_being_given(make_trainer, tmp_path):
    """As ISO 8601 with its zone."""
    make_trainer(callbacks=[TBLogger(tmp_path / "board")], max_steps=1).train()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", text(read(tmp_path / "board"), "experiment")["date"]
    )


def test_several_trainings_can_be_compared(make_trainer, tmp_path):
    """Chosen arguments and last results are on the page HPARAMS, in the folder of the scalars."""
    for rate in (1e-2, 1e-3):
        make_trainer(
            callbacks=[TBLogger(tmp_path / str(rate))], max_steps=2, logging_steps=1, learning_rate=rate
        ).train()
        found = read(tmp_path / str(rate))
        arguments, metrics = hparams(found)
        assert arguments["learning_rate"] == rate
        assert "weight_decay" not in arguments
        assert {"train/loss", "train/train_loss"} <= metrics <= set(found.Tags()["scalars"])
        assert [path.is_dir() for path in (tmp_path / str(rate)).iterdir()].count(True) == 0


def test_results_that_no_trainer_logs_are_there(make_trainer, tmp_path):
    """Those of predict(), under test/."""
    with SummaryWriter(str(tmp_path / "board")) as writer:
        trainer = make_trainer(callbacks=[TBLogger(writer)], max_steps=1)
        trainer.train()
        trainer.predict(tokens(4))
    assert list(scalars(read(tmp_path / "board"), "test/loss")) == [1]


def test_an_evaluation_is_written_once(make_trainer, tmp_path):
    """A Trainer tells it by on_log and by on_evaluate."""
    trainer = make_trainer(
        callbacks=[TBLogger(tmp_path / "board")],
        max_steps=1,
        eval_dataset=tokens(4),
        eval_strategy="steps",
        eval_steps=1,
    )
    trainer.train()
    assert len(read(tmp_path / "board").Scalars("eval/loss")) == 1


def test_a_writer_that_was_given_stays_open(make_trainer, tmp_path):
    """What others write into it afterwards is there, too."""
    with SummaryWriter(str(tmp_path / "board")) as writer:
        make_trainer(callbacks=[TBLogger(writer)], max_steps=1).train()
        writer.add_scalar("mine", 1.0, 5)
    assert scalars(read(tmp_path / "board"), "mine") == {5: 1.0}


def test_a_writer_of_another_library_will_do(make_trainer, caplog):
    """It has the methods of SummaryWriter, and nothing of its inside."""

    class Writer:
        def __init__(self):
            self.scalars = []

        def add_scalar(self, tag, value, step):
            self.scalars.append((tag, step))

        def add_text(self, tag, text, step):
            pass

        def flush(self):
            pass

        def _get_file_writer(self):
            raise AssertionError("tensorboardX has it, too, and other summaries than torch")

    writer = Writer()
    make_trainer(callbacks=[TBLogger(writer)], max_steps=1, logging_steps=1).train()
    assert ("train/loss", 1) in writer.scalars
    assert not caplog.text


def test_a_writer_that_changes_scalars_sees_each(make_trainer, tmp_path):
    """It is called as its class says."""

    class Renaming(SummaryWriter):
        def add_scalar(self, tag, *arguments, **options):
            super().add_scalar(f"mine/{tag}", *arguments, **options)

    with Renaming(str(tmp_path / "board")) as writer:
        make_trainer(callbacks=[TBLogger(writer)], max_steps=1, logging_steps=1).train()
    assert "mine/train/loss" in read(tmp_path / "board").Tags()["scalars"]


def test_texts_are_written_without_secrets(make_trainer, tmp_path):
    """Neither those that look like one, nor those whose name says so."""

    class Logs(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            logs |= {"note": "postgresql://me:pa55w0rd@host/db", "api_key": "pa55w0rd", "variant": "b"}

    make_trainer(callbacks=[Logs(), TBLogger(tmp_path / "board", api_key="pa55w0rd")], max_steps=1).train()
    written = b"".join(path.read_bytes() for path in (tmp_path / "board").iterdir())
    assert b"pa55w0rd" not in written
    assert b"postgresql://me:" in written


def test_two_into_one_folder_are_one(make_trainer, tmp_path, caplog):
    """The second one says that it does nothing."""
    callbacks = [TBLogger(tmp_path / "board"), TBLogger(tmp_path / "board"), TBLogger(tmp_path / "other")]
    make_trainer(callbacks=callbacks, max_steps=1, logging_steps=1).train()
    assert caplog.text.count("does the same") == 1
    for name in ("board", "other"):
        assert len(read(tmp_path / name).Scalars("train/loss")) == 1


def test_a_folder_that_cannot_be_written_is_told_once(make_trainer, tmp_path, caplog):
    """The training goes on without TensorBoard; the next one tries again."""
    (tmp_path / "board").write_text("")
    trainer = make_trainer(callbacks=[TBLogger(tmp_path / "board")], max_steps=8, logging_steps=1)
    trainer.train()
    messages = [record.getMessage() for record in caplog.records if record.name == "trainstore"]
    assert len(messages) == 1
    assert str(tmp_path / "board") in messages[0]
    (tmp_path / "board").unlink()
    trainer.train()
    assert len(read(tmp_path / "board").Scalars("train/loss")) == 8


@pytest.mark.parametrize("given", [None, 5])
def test_without_a_writer_it_is_refused(given):
    """It is an error before any training."""
    with pytest.raises(InvalidArgumentError, match="summary_writer"):
        TBLogger(given)


def test_without_tensorboard_it_says_what_to_install(monkeypatch, tmp_path):
    """A folder needs TensorBoard; the error names the extra."""
    import sys

    from trainstore.callbacks.summary_writer import MissingTensorBoardError

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingTensorBoardError, match=r"pip install 'trainstore\[tensorboard\]'"):
        TBLogger(tmp_path)
