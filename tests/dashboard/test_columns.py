"""The numbers of runs in memory are those of the store, whatever has happened to it since they were read."""

import itertools
import math
import random
import threading

import numpy as np
import pytest

from properties.profiles import THOROUGH
from trainstore.dashboard import columns as module
from trainstore.dashboard import run_columns
from trainstore.dashboard import run_reading as reading
from trainstore.dashboard.columns import Columns
from trainstore.dashboard.run_reading import read_run
from trainstore.errors import RunNotFoundError


def expected(store, uid, metric):
    """Steps and values of a metric, as a query gives them."""
    log = store.list_step_logs(uid, tidy=True, metrics=[metric])
    log = log[log["value"].map(lambda value: isinstance(value, (int, float)))]
    return log["step"].tolist(), log["value"].astype(float).tolist()


def assert_is_the_store(columns, store, uid):
    """Every metric of the run."""
    found = columns.get(uid)
    names = set(store.list_metrics(uid).query("count > 0")["metric"])
    assert set(found.metrics) - found.beside == names
    for name in names:
        x, y = found.curve(name, "step")
        steps, values = expected(store, uid, name)
        assert x.tolist() == steps, name
        assert np.array_equal(y, values, equal_nan=True), name


def reads_noted(monkeypatch):
    """The steps from which runs are read on; None stands for the beginning."""
    asked = []

    def noted(*args, after=None, **more):
        asked.append(after)
        return read_run(*args, after=after, **more)

    monkeypatch.setattr(reading, "read_run", noted)
    return asked


def test_a_run_in_memory_is_the_run_in_the_store(store):
    """With numbers of all kinds, NaN and infinities; what is no number is left out."""
    with store.start_run() as run:
        for step in range(1, 21):
            run.log({"loss": 1 / step, "note": "text", "count": step}, step, epoch=step / 10)
        run.log({"loss": math.nan, "odd": math.inf}, 21)
        run.log({"loss": 3, "odd": -math.inf, "mixed": "a"}, 22)
        run.log({"mixed": 1.5}, 23)
    columns = Columns(store)
    assert_is_the_store(columns, store, run.uid)
    x, y = columns.get(run.uid).curve("loss", "epoch")
    assert x.tolist() == [step / 10 for step in range(1, 21)]
    assert y[0] == 1.0
    relative, _ = columns.get(run.uid).curve("loss", "relative")
    assert (relative >= 0).all()
    assert (np.diff(relative) >= 0).all()
    other, values = columns.get(run.uid).curve("loss", "count")
    assert other.tolist() == list(range(1, 21))
    assert len(values) == 20
    assert len(columns.get(run.uid).curve("unknown", "step")[0]) == 0


def test_an_unknown_run_is_an_error(store):
    """And a run without steps is empty."""
    with pytest.raises(RunNotFoundError):
        Columns(store).get("nothing")
    with store.start_run() as run:
        pass
    assert Columns(store).get(run.uid).last_step == -1


def test_a_run_that_goes_on_is_read_on(store, monkeypatch):
    """Not from its beginning: only the rows since the last one."""
    run = store.start_run()
    for step in range(1, 101):
        run.log({"loss": 1 / step}, step)
    run.flush()
    columns = Columns(store)
    assert_is_the_store(columns, store, run.uid)
    asked = reads_noted(monkeypatch)
    columns.get(run.uid)
    assert asked == []  # nothing is new
    for step in range(101, 111):
        run.log({"loss": 1 / step, "eval_loss": 0.5}, step)
    run.log({"accuracy": 0.9}, 100)  # merged into an older row, by another library perhaps
    run.flush()
    columns.get(run.uid)
    assert asked == [100]
    assert_is_the_store(columns, store, run.uid)
    run.finish()


def test_a_resumed_run_is_read_on_from_where_it_was_cut(store, monkeypatch):
    """And whoever drew it learns what is no longer true."""
    with store.start_run() as run:
        for step in range(1, 31):
            run.log({"loss": 1.0}, step)
    columns = Columns(store)
    first = columns.get(run.uid)
    asked = reads_noted(monkeypatch)
    with store.resume_run(run.uid, step=10) as again:
        again.log({"loss": 2.0}, 11)
    found = columns.get(run.uid)
    assert asked == [11]
    assert found.last_step == 11
    assert_is_the_store(columns, store, run.uid)
    tail = found.since(first.generation, ["loss"], "step")
    assert tail.low == 11
    assert [part.tolist() for part in tail.curves["loss"]] == [[11.0], [2.0]]


def test_what_is_there_is_not_copied_for_each_new_row(store):
    """A run of a million steps goes on each second; who still reads an earlier state sees nothing of that."""
    run = store.start_run()
    run.log({"loss": 1.0}, 0)
    run.flush()
    columns = Columns(store)
    states = [columns.get(run.uid)]
    for step in range(1, 40):
        run.log({"loss": 1 / step, **({"late": 1.0} if step > 20 else {})}, step)
        run.flush()
        states.append(columns.get(run.uid))
    for length, state in enumerate(states, 1):
        assert state.step.tolist() == list(range(length))
        assert state.curve("loss", "step")[1].tolist() == [1.0, *(1 / step for step in range(1, length))]
    copies = sum(not np.shares_memory(one.step, other.step) for one, other in itertools.pairwise(states))
    assert copies <= 5
    assert_is_the_store(columns, store, run.uid)
    with store.resume_run(run.uid, lineage=run.lineage, rank=1) as other:
        other.log({"late": 2.0}, 38)  # not at the end: then it is copied
    changed = columns.get(run.uid)
    assert not np.shares_memory(changed.metrics["late"][1], states[-1].metrics["late"][1])
    assert states[-1].curve("late", "step")[1].tolist() == [1.0] * 19
    assert_is_the_store(columns, store, run.uid)
    run.finish()


def test_a_late_value_is_found_where_reading_begins_further_back(store, monkeypatch):
    """The last rows are read first, then some before them, and all of them only if that does not do."""
    run = store.start_run()
    for step in range(1, 101):
        run.log({"loss": 1 / step}, step)
    run.flush()
    columns = Columns(store)
    columns.get(run.uid)
    monkeypatch.setattr(reading, "LOOK_BACK", 10)
    asked = reads_noted(monkeypatch)
    for late, expected in ((100, [100]), (95, [100, 91]), (50, [100, 91, None])):
        before = columns.get(run.uid)
        run.log({"late": 1.0}, late)
        run.flush()
        asked.clear()
        after = columns.get(run.uid)
        assert asked == expected
        assert_is_the_store(columns, store, run.uid)
        assert after.since(before.generation, ["loss"], "step").low == late
    run.finish()


def test_a_state_that_is_not_known_is_told_from_one_in_which_nothing_is_new(store):
    """What another server gave out, or what is too long ago, leads nowhere: the curves are to be fetched anew."""
    run = store.start_run()
    run.log({"loss": 1.0}, 1)
    run.flush()
    columns = Columns(store)
    found = columns.get(run.uid)
    low, curves = found.since(found.generation, ["loss"], "step")
    assert low == math.inf
    assert [len(part) for part in curves["loss"]] == [0, 0]
    assert found.since(found.generation + 1, ["loss"], "step") is None
    assert found.since(found.generation - 1, ["loss"], "step") is None
    run.finish()


def test_the_way_from_states_long_ago_is_forgotten(store, monkeypatch):
    """A run that goes on for days must not keep a note of each second."""
    monkeypatch.setattr(run_columns, "MOST_CHANGES", 10)
    with store.start_run() as run:
        run.log({"loss": 1.0}, 1)
    found = first = Columns(store).get(run.uid)
    for number in range(1, 101):
        found = found.changed_to(found, 1, first.generation + number)
    assert len(found.changes) <= 10
    assert found.since(first.generation, ["loss"], "step") is None
    assert found.since(found.generation - 5, ["loss"], "step").low == math.inf


@pytest.mark.parametrize("x", ["step", "epoch", "time", "relative", "seen"])
def test_what_is_new_replaces_what_was_drawn_from_there_on(store, x):
    """On every axis: what is drawn below the lowest new x, and the new points, are the curve."""
    run = store.start_run()
    columns = Columns(store)
    for step in range(1, 11):
        run.log({"loss": 1 / step, "seen": 1000 - step}, step, epoch=step // 4)
    run.flush()
    drawn = columns.get(run.uid)
    x_drawn, y_drawn = drawn.curve("loss", x)
    for step in range(11, 14):
        run.log({"loss": 1 / step, "seen": 1000 - step}, step, epoch=step // 4)
    run.flush()
    found = columns.get(run.uid)
    low, curves = found.since(drawn.generation, ["loss", "unknown"], x)
    assert list(curves) == ["loss"]
    kept = x_drawn < low
    expected_x, expected_y = found.curve("loss", x)
    assert np.concatenate([x_drawn[kept], curves["loss"][0]]).tolist() == expected_x.tolist()
    assert np.concatenate([y_drawn[kept], curves["loss"][1]]).tolist() == expected_y.tolist()
    run.log({"late": 1.0}, 5)
    run.flush()
    tail = columns.get(run.uid).since(found.generation, ["loss"], x)
    assert (tail is None) == (x == "seen")  # where the row lay before is not known there
    run.finish()


def test_following_leaves_alone_what_others_read_and_what_takes_long(store, monkeypatch):
    """A page that asks each second must not wait for a run of a million steps."""
    uids = []
    for _ in range(4):
        with store.start_run() as run:
            for step in range(1, 31):
                run.log({"loss": 1.0}, step)
        uids.append(run.uid)
    columns = Columns(store)
    short, long, busy, unread = uids
    before = {uid: columns.get(uid) for uid in (short, long, busy)}
    for uid in uids:
        with store.resume_run(uid, step=30) as run:
            run.log({"late": 1.0}, 1 if uid == long else 31)
    monkeypatch.setattr(reading, "LOOK_BACK", 10)
    monkeypatch.setattr(module, "MOST_ANEW", 29)
    held, free = threading.Event(), threading.Event()

    def read():
        with columns._entries[busy].lock:
            held.set()
            free.wait(60)

    thread = threading.Thread(target=read)
    thread.start()
    held.wait(60)
    assert columns.follow(uids) == {short, long, unread}
    free.set()
    thread.join()
    assert columns.known(short).last_step == 31
    assert columns.known(long) is None
    assert columns.known(busy) is before[busy]
    assert columns.known(unread) is None
    assert columns.follow(uids) == set(uids)
    assert columns.known(busy).last_step == 31
    store.delete_run(short)
    assert columns.follow([short]) == {short}
    assert columns.known(short) is None


@pytest.mark.parametrize("seed", range(20 if THOROUGH else 2))
def test_memory_mirrors_the_store(store, seed):
    """New steps, late values, values that replace others, other writers and resumes, in any order."""
    chance = random.Random(seed)
    columns = Columns(store)
    run = store.start_run()
    step = 0
    for _ in range(30):
        kind = chance.random()
        if kind < 0.5:
            for _ in range(chance.randint(1, 5)):
                step += chance.randint(1, 3)
                run.log({"loss": chance.choice([chance.random(), math.nan, 2, math.inf])}, step)
        elif kind < 0.7 and step:
            run.log({chance.choice(["loss", "late"]): chance.gauss(0, 1)}, chance.randint(1, step))
        elif kind < 0.8 and step:
            with store.resume_run(run.uid, lineage=run.lineage, rank=1) as other:
                other.log({"rank1": 1.0}, chance.randint(1, step))
        elif step:
            run.finish()
            step = chance.randint(1, step)
            run = store.resume_run(run.uid, step=step)
        run.flush()
        assert_is_the_store(columns, store, run.uid) if step else None
    run.finish()


def test_one_thread_reads_for_all(store, monkeypatch):
    """Six charts of one run are drawn at once."""
    with store.start_run() as run:
        for step in range(1, 11):
            run.log({"loss": 1.0}, step)
    columns = Columns(store)
    reads = []
    begun, may_end = threading.Event(), threading.Event()

    def slow(*args, **more):
        reads.append(1)
        begun.set()
        may_end.wait(60)
        return read_run(*args, **more)

    monkeypatch.setattr(module, "read_run", slow)
    found = []
    threads = [threading.Thread(target=lambda: found.append(columns.get(run.uid))) for _ in range(6)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    may_end.set()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(reads) == 1


def test_what_was_asked_for_longest_ago_is_forgotten(store):
    """As soon as there is more than the limit."""
    uids = []
    for _ in range(3):
        with store.start_run() as run:
            for step in range(1, 51):
                run.log({"loss": 1.0}, step)
        uids.append(run.uid)
    one = Columns(store).get(uids[0]).size
    columns = Columns(store, limit=2 * one)
    first = columns.get(uids[0])
    columns.get(uids[1])
    assert columns.get(uids[0]) is first
    columns.get(uids[2])
    assert columns.size == 2 * one
    assert columns.get(uids[0]) is first
    assert columns.get(uids[1]).step.tolist() == list(range(1, 51))


def test_a_run_that_made_room_is_known_by_the_state_in_which_it_did(store):
    """As long as it has not changed it is the same state when it is read again; then it is another."""
    uids = []
    for _ in range(2):
        with store.start_run() as run:
            run.log({"loss": 1.0}, 1)
        uids.append(run.uid)
    columns = Columns(store, limit=1)
    first = columns.get(uids[0]).generation
    assert not columns.is_forgotten_in(uids[0], first)
    other = columns.get(uids[1]).generation
    assert columns.is_forgotten_in(uids[0], first)
    assert not columns.is_forgotten_in(uids[0], other)
    assert columns.follow(uids) == set(uids)
    assert columns.is_forgotten_in(uids[0], first)
    assert columns.get(uids[0]).generation == first
    columns.get(uids[1])
    with store.resume_run(uids[0], step=1) as run:
        run.log({"loss": 2.0}, 2)
    assert columns.follow(uids) == set(uids)
    assert not columns.is_forgotten_in(uids[0], first)
    assert columns.get(uids[0]).generation > first


def test_what_is_being_read_does_not_make_room(store):
    """Others wait for it; the next that was asked for longest ago goes instead."""
    uids = []
    for _ in range(3):
        with store.start_run() as run:
            run.log({"loss": 1.0}, 1)
        uids.append(run.uid)
    columns = Columns(store)
    for uid in uids:
        columns.get(uid)
    columns._limit = columns.size - 1
    with columns._entries[uids[0]].lock:
        columns._forget_old()
        assert [columns.known(uid) is not None for uid in uids] == [True, False, True]


def test_of_a_run_that_is_gone_nothing_is_kept(store):
    """Whoever asks for it, and whatever was in memory of it."""
    with store.start_run() as run:
        run.log({"loss": 1.0}, 1)
    columns = Columns(store)
    columns.get(run.uid)
    store.delete_run(run.uid)
    assert columns.follow([run.uid]) == {run.uid}
    for uid in (run.uid, "nothing"):
        with pytest.raises(RunNotFoundError):
            columns.get(uid)
    assert not columns._entries
    assert not columns._forgotten
