"""A training takes the same course with a callback and without it, bit by bit."""

import pytest

from fixtures.trainers import course_of, gpt2, is_same_course, tokens
from trainstore import callbacks as package
from trainstore.callbacks import (
    DebugCallback,
    EarlyStoppingCallback,
    InfoCallback,
    JsonLogger,
    ModelCheckpointCallback,
    ProgressCallback,
    StateInspectionCallback,
    TBLogger,
)

CALLBACKS = {
    "DebugCallback": lambda folder: DebugCallback("all"),
    "EarlyStoppingCallback": lambda folder: EarlyStoppingCallback(patience=100),
    "InfoCallback": lambda folder: InfoCallback(verbose=True),
    "JsonLogger": lambda folder: JsonLogger(folder / "log.jsonl", every_step=True),
    "ModelCheckpointCallback": lambda folder: ModelCheckpointCallback(folder / "best"),
    "ProgressCallback": lambda folder: ProgressCallback(interval=1e-9),
    "StateInspectionCallback": lambda folder: StateInspectionCallback(),
    "TBLogger": lambda folder: TBLogger(folder / "board"),
}
OPTIONS = {
    "logging_steps": 1,
    "max_steps": 6,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "gradient_accumulation_steps": 2,
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The course without a callback."""
    from fixtures.trainers import build_trainer

    return course_of(build_trainer(tmp_path_factory.mktemp("alone"), model=gpt2(), eval_dataset=tokens(8), **OPTIONS))


@pytest.mark.parametrize("name", CALLBACKS)
def test_losses_and_weights_are_the_same(make_trainer, tmp_path, alone, name):
    """Dropout, shuffling, evaluations and accumulation included."""
    course = course_of(make_trainer(callbacks=[CALLBACKS[name](tmp_path)], eval_dataset=tokens(8), **OPTIONS))
    assert len(course[0]) == 6
    assert is_same_course(course, alone)


#: The same is shown in the tests of these.
ELSEWHERE = {"GradLogger", "SystemMetricsCallback", "TextgenCallback"}


def test_each_callback_is_tried():
    """A new one needs an entry above."""
    assert set(CALLBACKS) == set(package.__all__) - {"Callback"} - ELSEWHERE
