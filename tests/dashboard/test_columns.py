"""The numbers of runs in memory are those of the store, whatever has happened to it since they were read."""

import math
import random
import threading

import numpy as np
import pytest

from trainstore.dashboard import columns as module
from trainstore.dashboard.columns import Columns
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
    asked = []
    read = module.read_run
    monkeypatch.setattr(module, "read_run", lambda *args, **more: asked.append(more) or read(*args, **more))
    columns.get(run.uid)
    assert asked == []  # nothing is new
    for step in range(101, 111):
        run.log({"loss": 1 / step, "eval_loss": 0.5}, step)
    run.log({"accuracy": 0.9}, 100)  # merged into an older row, by another library perhaps
    run.flush()
    found = columns.get(run.uid)
    assert asked[0] == {"after": 100}
    assert found.generation == 0
    assert_is_the_store(columns, store, run.uid)
    run.finish()


def test_a_changed_history_is_read_anew(store):
    """A resume cuts the curve, and whoever drew it learns that."""
    with store.start_run() as run:
        for step in range(1, 31):
            run.log({"loss": 1.0}, step)
    columns = Columns(store)
    assert columns.get(run.uid).generation == 0
    with store.resume_run(run.uid, step=10) as again:
        again.log({"loss": 2.0}, 11)
    found = columns.get(run.uid)
    assert found.generation == 1
    assert found.last_step == 11
    assert_is_the_store(columns, store, run.uid)


@pytest.mark.parametrize("seed", range(3))
def test_memory_mirrors_the_store(store, seed):
    """New steps, late values, values that replace others, other writers and resumes, in any order."""
    chance = random.Random(seed)
    columns = Columns(store)
    run = store.start_run()
    step = 0
    for _ in range(40):
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
    read = module.read_run
    begun, may_end = threading.Event(), threading.Event()

    def slow(*args, **more):
        reads.append(1)
        begun.set()
        may_end.wait(60)
        return read(*args, **more)

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
