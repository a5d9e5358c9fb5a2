"""What the progress callback shows: bars in a terminal, lines anywhere else."""

import sys
from io import StringIO
from types import MappingProxyType, SimpleNamespace

import pytest
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback
from transformers import ProgressCallback as TransformersProgressCallback

from fixtures.trainers import tokens
from trainstore.callbacks import ProgressCallback
from trainstore.callbacks import progress as progress_module
from trainstore.errors import InvalidArgumentError


@pytest.fixture
def bars(monkeypatch):
    """What tqdm's bars are told, instead of bars."""
    made = []

    class Bar:
        format_dict = MappingProxyType({"ncols": None})

        def __init__(self, **options):
            self.options, self.n, self.lines, self.postfix, self.closed = options, options.get("initial", 0), [], "", 0
            made.append(self)

        def update(self, count):
            self.n += count

        def set_postfix_str(self, text, refresh=True):
            self.postfix = text

        def write(self, line, file):
            self.lines.append(line)
            assert file is sys.stderr

        def close(self):
            self.closed += 1

    monkeypatch.setattr(progress_module, "tqdm", Bar)
    return made


def test_a_bar_counts_the_steps_and_shows_what_was_logged(make_trainer, bars):
    """One bar for the training, with its last loss, learning rate and gradient norm."""
    make_trainer(callbacks=[ProgressCallback(bars=True)], max_steps=4, logging_steps=2).train()
    (bar,) = bars
    assert (bar.options["total"], bar.options["initial"], bar.n, bar.closed) == (4, 0, 4, 1)
    assert [part.split()[0] for part in bar.postfix.split(", ")] == ["loss", "lr", "grad_norm"]


@pytest.mark.parametrize(("columns", "labels"), [(60, []), (73, ["loss"]), (120, ["loss", "lr", "grad_norm"])], ids=str)
def test_a_narrow_terminal_keeps_its_bar(make_trainer, monkeypatch, columns, labels):
    """What was logged gives way to ten columns of the bar, the loss last."""
    output = StringIO()
    monkeypatch.setattr(
        progress_module,
        "tqdm",
        lambda **options: tqdm(**options | {"dynamic_ncols": False, "ncols": columns}, file=output),
    )
    make_trainer(callbacks=[ProgressCallback(bars=True)], max_steps=4, logging_steps=2).train()
    last = output.getvalue().rstrip().rsplit("\r", 1)[1]
    assert len(last) <= columns
    assert last.count("#") >= 10
    assert [label for label in ("loss", "lr", "grad_norm") if f", {label} " in last] == labels


def test_an_evaluation_has_a_bar_of_its_own(make_trainer, bars):
    """It counts batches, goes when the evaluation ends, and leaves a line with the results."""
    trainer = make_trainer(
        callbacks=[ProgressCallback(bars=True)],
        max_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        eval_dataset=tokens(8),
    )
    trainer.train()
    training, evaluation = bars
    assert (evaluation.options["total"], evaluation.n, evaluation.options["leave"], evaluation.closed) == (
        2,
        2,
        False,
        1,
    )
    (line,) = training.lines
    assert line.startswith("step 2  eval_loss 3.")
    assert "runtime" not in line


def test_a_notebook_without_widgets_has_one_bar(make_trainer, bars, monkeypatch):
    """It garbles a second one below the first."""
    monkeypatch.setattr(progress_module, "_is_notebook", lambda: True)
    monkeypatch.setattr(progress_module, "tqdm_asyncio", progress_module.tqdm)
    make_trainer(
        callbacks=[ProgressCallback(bars=True)],
        max_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        eval_dataset=tokens(8),
    ).train()
    (training,) = bars
    assert training.lines[0].startswith("step 2  eval_loss 3.")


def test_an_evaluation_without_a_training_has_one_too(make_trainer, bars, capsys):
    """Its results are a line on standard error."""
    make_trainer(callbacks=[ProgressCallback(bars=True)], eval_dataset=tokens(8)).evaluate()
    assert [bar.n for bar in bars] == [2]
    assert capsys.readouterr().err.splitlines()[-1].startswith("step 0  eval_loss 3.")


def test_after_a_resume_the_bar_begins_at_the_resumed_step(make_trainer, bars, tmp_path):
    """What was trained before is done, and does not count for the speed."""
    make_trainer(max_steps=4, save_strategy="steps", save_steps=2).train()
    trainer = make_trainer(callbacks=[ProgressCallback(bars=True)], max_steps=4)
    trainer.train(resume_from_checkpoint=str(tmp_path / "output" / "checkpoint-2"))
    (bar,) = bars
    assert (bar.options["total"], bar.options["initial"], bar.n) == (4, 2, 4)


def test_without_a_terminal_it_prints_lines(make_trainer, capsys):
    """With the step, the epoch, what was logged last, speed and remaining time; at the end how long it took."""
    make_trainer(callbacks=[ProgressCallback(interval=1e-9)], max_steps=4, logging_steps=2, disable_tqdm=False).train()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert len(lines) == 4
    assert lines[0].startswith("step 1/4 (25%)  epoch 0.03  ")
    assert lines[2].startswith("step 3/4 (75%)  epoch 0.09  loss 3.")
    assert "steps/s" in lines[2]
    assert lines[2].endswith(" left")
    assert " done in " in lines[3]


def test_a_training_that_is_stopped_is_done(make_trainer, capsys):
    """Its last line does not say what would have been left."""

    class StopsAt(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 2

    make_trainer(callbacks=[ProgressCallback(interval=1e-9), StopsAt()], max_steps=4).train()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert lines[-1].startswith("step 2/4 (50%)")
    assert " done in " in lines[-1]


def test_lines_come_at_their_interval(make_trainer, capsys):
    """In a training shorter than the interval only the last line is printed."""
    make_trainer(callbacks=[ProgressCallback(interval=3600)], max_steps=4).train()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert [line.partition("  ")[0] for line in lines] == ["step 4/4 (100%)"]


@pytest.mark.parametrize(("terminal", "disabled", "count"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_bars_are_for_terminals_that_want_them(make_trainer, bars, monkeypatch, terminal, disabled, count):
    """Unless the training arguments say ``disable_tqdm``."""
    monkeypatch.setattr(progress_module, "_is_terminal", lambda: terminal)
    monkeypatch.setattr(progress_module, "_is_notebook", lambda: False)
    make_trainer(callbacks=[ProgressCallback()], max_steps=1, disable_tqdm=disabled).train()
    assert len(bars) == count


@pytest.mark.parametrize(("config", "count"), [({"IPKernelApp": {}}, 1), ({}, 0), (None, 0)])
def test_bars_are_for_notebooks(make_trainer, bars, monkeypatch, config, count):
    """A kernel of Jupyter has no terminal, and shows them."""
    shell = None if config is None else SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    make_trainer(callbacks=[ProgressCallback()], max_steps=1, disable_tqdm=False).train()
    assert len(bars) == count


@pytest.mark.parametrize("kind", [TransformersProgressCallback, PrinterCallback])
@pytest.mark.parametrize("late", [False, True])
def test_it_takes_the_place_of_the_trainers_own(make_trainer, capsys, kind, late):
    """A Trainer adds a bar or a printer of its own: two would write over each other."""
    ours = ProgressCallback(interval=3600)
    trainer = make_trainer(callbacks=[] if late else [ours], max_steps=2, logging_steps=1, disable_tqdm=False)
    if late:
        trainer.add_callback(kind)
        trainer.add_callback(ours)
        trainer.train()
    kinds = {type(one) for one in trainer.callback_handler.callbacks}
    assert ProgressCallback in kinds
    assert not kinds & {TransformersProgressCallback, PrinterCallback}
    assert "'loss'" not in capsys.readouterr().out


def test_a_training_that_failed_leaves_no_bar_to_the_next(make_trainer, bars):
    """The bar of the first one is closed when the second begins."""
    from fixtures.trainers import Crash, CrashAt

    trainer = make_trainer(callbacks=[ProgressCallback(bars=True), CrashAt(1)], max_steps=2)
    with pytest.raises(Crash):
        trainer.train()
    trainer.remove_callback(CrashAt)
    trainer.train()
    assert [bar.closed for bar in bars] == [1, 1]


@pytest.mark.parametrize("interval", [0, -1, "10", True, float("nan")])
def test_an_interval_that_cannot_be_is_refused(interval):
    """It is an error where it is given."""
    with pytest.raises(InvalidArgumentError, match="interval"):
        ProgressCallback(interval=interval)
