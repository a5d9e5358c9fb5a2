"""Curves as pages get them: exact for runs in memory, by some steps of long ones, of superseded attempts, of groups."""

import math
import random
import threading

import numpy as np
import pytest

from trainstore.dashboard import preview
from trainstore.dashboard import superseded as module
from trainstore.dashboard.answers import Answers
from trainstore.dashboard.limits import LimitError
from trainstore.dashboard.run_reading import summaries_of
from trainstore.dashboard.superseded import Superseded
from trainstore.errors import FilterError, InvalidArgumentError, RunNotFoundError
from trainstore.queries import resolve_run


@pytest.fixture
def long(monkeypatch):
    """Runs of more than 700 steps are long, and about 100 of them are shown."""
    monkeypatch.setattr(preview, "LONG", 700)
    monkeypatch.setattr(preview, "MOST", 100)


def points(curve):
    """x and mean of each point, NaN and infinities at the end."""
    one = curve.buckets
    return [*zip(one.x, one.mean, strict=True), *zip(one.odd_x, one.odd, strict=True)]


def record(store, steps, *, name="run", **hyperparams):
    """A run that logs these metrics by step; its uid."""
    with store.start_run(name, hyperparams=hyperparams) as run:
        for step, metrics in steps.items():
            run.log(metrics, step)
    return run.uid


def loss(step):
    """Random, but the same each time."""
    return random.Random(step).random()


def test_a_curve_has_the_points_of_its_run_and_says_of_which(store):
    """Runs and metrics in the order asked for, each once; a run without a metric has no curve of it."""
    first = record(store, {1: {"loss": 1.0, "text": "a"}, 2: {"loss": math.nan}, 3: {"loss": 0.5, "eval": 7}})
    second = record(store, {1: {"loss": 2.0}})
    curves = Answers(store).series([second, first, second], ["eval", "loss", "text", "loss"])
    assert [(curve.head["run"], curve.head["metric"]) for curve in curves] == [
        (second, "loss"), (first, "eval"), (first, "loss"),
    ]  # fmt: skip
    assert points(curves[2])[:2] == [(1, 1.0), (3, 0.5)]
    assert curves[2].buckets.odd_x.tolist() == [2]
    head = curves[2].head
    assert (head["exact"], head["last_step"], head["total"]) == (True, 3, 3)


def test_runs_are_found_by_the_beginning_of_their_uid_and_deleted_ones_have_no_curve(store):
    """Only if no run is left is that an error."""
    uid = record(store, {1: {"loss": 1.0}})
    answers = Answers(store)
    assert [curve.head["run"] for curve in answers.series([uid[:8], "0" * 36], ["loss"])] == [uid]
    with pytest.raises(RunNotFoundError, match="no run '00000000"):
        answers.series(["0" * 36], ["loss"])
    store.delete_run(uid)
    with pytest.raises(RunNotFoundError):
        answers.series([uid], ["loss"])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"points": 0}, "points 0"),
        ({"lo": 2.0, "hi": 1.0}, "lo 2 is above hi 1"),
        ({"attempts": "old"}, "'current', 'superseded'"),
    ],
)
def test_a_part_that_cannot_be_is_an_error(store, asked, told):
    """It names the value."""
    uid = record(store, {1: {"loss": 1.0}})
    with pytest.raises(InvalidArgumentError, match=told):
        Answers(store).series([uid], ["loss"], **asked)


def test_more_than_an_answer_holds_is_an_error_that_names_the_limit(store):
    """Runs, metrics, points."""
    answers = Answers(store)
    for runs, metrics, told in ((501, 1, "501 runs"), (1, 51, "51 metrics")):
        with pytest.raises(LimitError, match=told):
            answers.series([str(n) for n in range(runs)], [str(n) for n in range(metrics)])
    with pytest.raises(LimitError, match="5,001 points"):
        answers.series(["x"], ["loss"], points=5_001)


# --- Long runs -------------------------------------------------------------------------------------------------------


def test_a_long_run_is_shown_by_some_steps_until_it_is_in_memory(store, long):
    """The ends, the extremes and every evaluation are among them; asked for exactly, all steps are read."""
    uid = record(
        store, {step: {"loss": loss(step), **({"eval": step} if step % 100 == 0 else {})} for step in range(1000)}
    )
    answers = Answers(store)
    some, evaluations = answers.series([uid], ["loss", "eval"])
    assert (some.head["exact"], some.head["total"], some.head["last_step"]) == (False, 1000, 999)
    found = dict(points(some))
    assert 100 <= len(found) <= 130
    assert all(value == loss(step) for step, value in found.items())
    every = [loss(step) for step in range(1000)]
    assert {0, 999, int(np.argmin(every)), int(np.argmax(every))} <= found.keys()
    assert points(evaluations) == [(step, step) for step in range(0, 1000, 100)]
    exact = answers.series([uid], ["loss"], exact=True, points=5000)
    assert (exact[0].head["exact"], len(exact[0].buckets)) == (True, 1000)
    again = answers.series([uid], ["loss"], points=5000)
    assert (again[0].head["exact"], len(again[0].buckets)) == (True, 1000)


@pytest.mark.parametrize("first", [0, 1, 17])
@pytest.mark.parametrize("apart", [1, 7, "randomly"])
def test_a_preview_is_spread_over_the_run_however_its_steps_lie(store, long, first, apart):
    """Every point of it is one of the run's, and no long part of the run is without one."""
    steps = [first]
    dice = random.Random(3)
    while len(steps) < 800:
        steps.append(steps[-1] + (dice.randint(1, 50) if apart == "randomly" else apart))
    uid = record(store, {step: {"loss": loss(step)} for step in steps})
    (curve,) = Answers(store).series([uid], ["loss"])
    found = dict(points(curve))
    assert not curve.head["exact"]
    assert all(step in steps and value == loss(step) for step, value in found.items())
    assert {steps[0], steps[-1]} <= found.keys()
    places = [steps.index(step) for step in found]
    assert max(np.diff(places)) <= 60
    low, high = steps[200], steps[299]
    (part,) = Answers(store).series([uid], ["loss"], lo=low, hi=high)
    within = dict(points(part))
    assert {low, high} <= within.keys()
    assert low <= min(within) <= max(within) <= high
    assert len(within) > 50
    assert points(Answers(store).series([uid], ["loss"], lo=steps[-1] + 10)[0]) == []


def test_a_preview_of_a_resumed_run_has_no_superseded_steps(store, long):
    """It follows the history that is shown, and is spread over it, however far the other went."""
    uid = record(store, {step: {"loss": 1.0} for step in range(2000)})
    with store.resume_run(uid, step=399) as run:
        for step in range(400, 800):
            run.log({"loss": 2.0}, step)
    (curve,) = Answers(store).series([uid], ["loss"])
    assert not curve.head["exact"]
    assert curve.head["last_step"] == 799
    found = points(curve)
    assert all(value == (1.0 if step < 400 else 2.0) for step, value in found)
    assert len(found) >= 90
    assert max(np.diff([step for step, _ in found])) <= 20


def test_a_long_run_that_begins_anew_has_no_curve_until_its_first_step(store, long):
    """A resume from nothing supersedes all that was logged; the other runs of the question have their curves."""
    uid = record(store, {step: {"loss": 1.0} for step in range(800)})
    other = record(store, {1: {"loss": 3.0}})
    run = store.resume_run(uid, step=-1)
    answers = Answers(store)
    assert [curve.head["run"] for curve in answers.series([uid, other], ["loss"])] == [other]
    run.log({"loss": 2.0}, 0)
    run.finish()
    curve, _ = answers.series([uid, other], ["loss"])
    assert (curve.head["exact"], points(curve)) == (True, [(0, 2.0)])


def test_a_preview_of_a_run_without_current_steps_is_empty(store):
    """They may have been superseded since they were counted."""
    uid = record(store, {step: {"loss": 1.0} for step in range(5)})
    run = store.resume_run(uid, step=-1)
    with store.snapshot() as snapshot:
        key = resolve_run(snapshot.reader, uid)
        summary = summaries_of(snapshot.reader, [key.id])[key.id]
        assert len(preview.previewed(snapshot.reader, key, summary, ["loss"], 100).step) == 0
    run.finish()


def test_a_long_run_of_texts_has_no_curves(store, long):
    """Nor is it read for them."""
    uid = record(store, {step: {"text": "a"} for step in range(800)})
    assert Answers(store).series([uid], ["loss", "text"]) == []


def test_of_very_many_steps_the_first_runs_are_read_at_once(store, monkeypatch):
    """The others are shown by some of their steps, unless they have no more than that."""
    monkeypatch.setattr(preview, "AT_ONCE", 100)
    monkeypatch.setattr(preview, "FEWEST", 20)
    monkeypatch.setattr(preview, "MOST", 20)
    uids = [record(store, {step: {"loss": 1.0} for step in range(count)}) for count in (60, 60, 15, 30)]
    answers = Answers(store)
    assert [curve.head["exact"] for curve in answers.series(uids, ["loss"])] == [True, False, True, False]
    assert all(curve.head["exact"] for curve in answers.series(uids, ["loss"], exact=True))
    assert all(curve.head["exact"] for curve in answers.series(uids, ["loss"]))


@pytest.mark.parametrize("x", ["epoch", "time", "relative", "other"])
def test_a_preview_has_every_axis(store, long, x):
    """Also a metric."""
    with store.start_run() as run:
        for step in range(800):
            run.log({"loss": 1.0, "other": step}, step, epoch=step / 100)
    (some,) = Answers(store).series([run.uid], ["loss"], x=x)
    (every,) = Answers(store).series([run.uid], ["loss"], x=x, exact=True, points=5000)
    assert not some.head["exact"]
    assert len(some.buckets) >= 100
    assert set(some.buckets.x) <= set(every.buckets.x)


# --- Superseded attempts ---------------------------------------------------------------------------------------------


def test_superseded_stretches_are_curves_of_their_attempts(store):
    """What lies beyond the step where a resume cut them; the current curve has none of it."""
    uid = record(store, {step: {"loss": 1.0} for step in range(10)})
    with store.resume_run(uid, step=4) as run:
        for step in range(5, 9):
            run.log({"loss": 2.0}, step)
    with store.resume_run(uid, step=6) as run:
        run.log({"loss": 3.0}, 7)
    answers = Answers(store)
    old, newer = answers.series([uid], ["loss", "other"], attempts="superseded")
    assert (old.head["attempt"], points(old)) == (1, [(step, 1.0) for step in range(5, 10)])
    assert (newer.head["attempt"], points(newer)) == (2, [(7, 2.0), (8, 2.0)])
    (current,) = answers.series([uid], ["loss"])
    assert [value for _, value in points(current)] == [1.0] * 5 + [2.0] * 2 + [3.0]
    assert answers.series([record(store, {1: {"loss": 1.0}})], ["loss"], attempts="superseded") == []


def test_superseded_stretches_are_read_once(store, monkeypatch):
    """Until a resume cuts the run elsewhere; too many for the memory are forgotten, those asked for last come last."""
    reads = []
    read = module.read_run
    monkeypatch.setattr(module, "read_run", lambda *given, **named: reads.append(given[1].uid) or read(*given, **named))
    uids = []
    for _ in range(2):
        uids.append(record(store, {step: {"loss": 1.0} for step in range(10)}))
        store.resume_run(uids[-1], step=4).finish()
    answers = Answers(store)
    for _ in range(3):
        for uid in uids:
            (curve,) = answers.series([uid], ["loss"], attempts="superseded")
            assert len(curve.buckets) == 5
    assert reads == uids
    store.resume_run(uids[0], step=2).finish()
    (curve,) = answers.series([uids[0]], ["loss"], attempts="superseded")
    assert len(curve.buckets) == 7
    small = Superseded(limit=1)
    reads.clear()
    with store.snapshot() as snapshot:
        keys = [resolve_run(snapshot.reader, uid) for uid in (uids[0], uids[0], uids[1], uids[0])]
        for key in keys:
            list(small.of(snapshot.reader, key, frozenset()))
    assert reads == [uids[0], uids[1], uids[0]]


def test_a_late_record_of_a_superseded_stretch_is_shown(store):
    """Another process of the old attempt delivers what it had logged."""
    with store.start_run() as run:
        for step in range(10):
            run.log({"loss": 1.0}, step)
    store.resume_run(run.uid, step=4).finish()
    answers = Answers(store)
    assert answers.series([run.uid], ["late"], attempts="superseded") == []
    with store.resume_run(run.uid, lineage=run.lineage, rank=1) as other:
        other.log({"late": 2.0}, 8)
    (curve,) = answers.series([run.uid], ["late"], attempts="superseded")
    assert points(curve) == [(8, 2.0)]


def test_two_runs_are_read_at_the_same_time(store, monkeypatch):
    """A long superseded stretch keeps nobody waiting who asks for another run's."""
    uids = [record(store, {step: {"loss": 1.0} for step in range(10)}) for _ in range(2)]
    for uid in uids:
        store.resume_run(uid, step=4).finish()
    read, both = module.read_run, threading.Barrier(2, timeout=60)
    monkeypatch.setattr(module, "read_run", lambda *given, **named: both.wait() is None or read(*given, **named))
    answers, found = Answers(store), []

    def ask(uid):
        found.extend(answers.series([uid], ["loss"], attempts="superseded"))

    threads = [threading.Thread(target=ask, args=(uid,)) for uid in uids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2


# --- Groups ----------------------------------------------------------------------------------------------------------


def test_runs_that_have_the_same_are_one_curve(store):
    """With the mean, the number of runs, and what they have in common; those without a value come last."""
    for lr, value in ((0.1, 1.0), (0.1, 3.0), (0.01, 5.0)):
        record(store, {1: {"loss": value}, 2: {"loss": value + 1}}, lr=lr)
    record(store, {1: {"loss": 9.0}})
    record(store, {1: {"other": 1.0}}, lr=7)
    curves = Answers(store).group(["loss"], by=["hp.lr"], band="range")
    assert [(curve.head["group"], curve.head["label"], curve.head["runs"]) for curve in curves] == [
        ([0.01], "hp.lr=0.01", 1), ([0.1], "hp.lr=0.1", 2), ([None], "hp.lr=none", 1),
    ]  # fmt: skip
    assert points(curves[1]) == [(1, 2.0), (2, 3.0)]
    assert curves[1].buckets.low.tolist() == [1.0, 2.0]
    assert curves[1].buckets.high.tolist() == [3.0, 4.0]
    (whole,) = Answers(store).group(["loss"], q="hp.lr < 1", lo=2)
    assert (whole.head["group"], whole.head["label"], points(whole)) == ([], "3 runs", [(2, 4.0)])


def test_groups_may_be_named_by_their_runs(store):
    """By the beginnings of their uids, too; a group without a run that is left has no curve."""
    one, two, three = (record(store, {1: {"loss": value}}) for value in (1.0, 2.0, 6.0))
    curves = Answers(store).group(["loss"], groups=[[one, two[:8]], [three], ["0" * 36]])
    assert [(curve.head["label"], points(curve)) for curve in curves] == [("2 runs", [(1, 1.5)]), ("1 run", [(1, 6.0)])]
    (curve,) = Answers(store).group(["loss"], by=["name"], runs=[one, three])
    assert (curve.head["group"], points(curve)) == (["run"], [(1, 3.5)])


def test_a_group_that_cannot_be_is_an_error(store):
    """An unknown band, an unknown column, more runs than curves may have."""
    uid = record(store, {1: {"loss": 1.0}})
    answers = Answers(store)
    with pytest.raises(InvalidArgumentError, match="band 'wide'"):
        answers.group(["loss"], by=["name"], band="wide")
    with pytest.raises(FilterError, match=r"columns, character 1: there is no hyperparameter or field hp\.nothing"):
        answers.group(["loss"], by=["hp.nothing"])
    with pytest.raises(LimitError, match="501 runs"):
        answers.group(["loss"], groups=[[uid], [f"{number:036}" for number in range(500)]])


def test_a_group_with_a_long_run_is_a_preview(store, long):
    """Until all of its runs are in memory."""
    runs = [record(store, {step: {"loss": 1.0} for step in range(800)}), record(store, {0: {"loss": 3.0}})]
    answers = Answers(store)
    (curve,) = answers.group(["loss"], groups=[runs])
    assert (curve.head["exact"], curve.buckets.mean[0]) == (False, 2.0)
    (exact,) = answers.group(["loss"], groups=[runs], exact=True, points=1000)
    assert (exact.head["exact"], len(exact.buckets)) == (True, 800)
