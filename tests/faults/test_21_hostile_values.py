"""Hostile values

Fault 21 of docs/guarantees.md: numbers that databases disagree on, objects that raise, cycles, megabytes. One list,
logged at every place that takes a value; tests/properties/test_values.py has random values, one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.hostile import AS_TEXT, READ_BACK, VALUES, Hostile, as_text, log_values, read_back, same
from faults.oracle import Fault
from trainstore.store import TrainStore


def test_both_databases_give_back_the_same(new_database: Callable[..., str]) -> None:
    """Each value, at each place, is what the documentation says, and on one database what it is on the other."""
    found = {}
    for backend in ("sqlite", "postgresql"):
        with TrainStore(new_database(backend)) as store:
            with store.start_run() as run:
                log_values(run)
            assert run.status == "finished"
            found[backend] = read_back(store, run.uid)
    for place, values in found["sqlite"].items():
        for number, (value, other) in enumerate(zip(values, found["postgresql"][place], strict=True)):
            named = f"{place} {type(VALUES[number]).__name__} number {number}"
            if number < len(READ_BACK):
                assert same(value, READ_BACK[number][1]), f"{named}: {value!r}"
            else:
                assert as_text(value), f"{named}: {value!r}"
            if "object at 0x" not in str(value):
                assert same(value, other), f"{named}: {value!r} and {other!r}"
    assert len(VALUES) == len(READ_BACK) + len(AS_TEXT)


def test_in_a_process_that_is_killed(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """They pass the journal and a recovery; no record before, between or after them is harmed."""
    for _ in fault.times(short=1, long=5):
        then = (
            "from hostile import log_values\n"
            "other = store.start_run()\n"
            "log_values(other)\n"
            "report.tell(f'other {other.uid}')"
        )
        producer = fault.start(libraries="trainer", count=200, then_at=100, then=then, interval=1_000, hold=True)
        producer.wait_for("produced")
        (other,) = [line.split()[1] for line in producer.lines if line.startswith("other")]
        producer.kill()
        with TrainStore(fault.url) as store:
            assert other in store.recovered.runs
            values = read_back(store, other)
            store.delete_run(other)
        assert all(same(value, read) for value, (_, read) in zip(values["metric"], READ_BACK, strict=False))
        fault.verify(producer, status="lost")
        assert "refused by the database" not in caplog.text


def test_large_ones(fault: Fault) -> None:
    """Keys and values of a megabyte, ten (long form: fifty) in one record, a million parts: whole, or marked as cut."""
    fault.injected()
    megabyte = "x" * 1_000_000
    heavy = {f"k{number}": "y" * 100_000 for number in range(500 if fault.long else 100)}
    with TrainStore(fault.url) as store:
        with store.start_run() as run:
            run.log({"before": 1.0, "text": megabyte, megabyte: 2.0}, step=0)
            run.log({"heavy": heavy}, step=1)
            run.log({"many": [0] * 1_000_001, "list": [0.5] * 100_000}, step=2)
            run.log({"after": 3.0, "bytes": b"z" * 1_000_000, "hostile": Hostile()}, step=3)
            assert run.flush(60)
        frame = store.list_step_logs(run).set_index("step")
        assert len(store.list_events(run, kind="refused")) == 0
        long_name = next(name for name in frame.columns if name.startswith("xxx"))
        assert len(long_name) == 249
        assert frame[long_name][0] == 2.0
        assert frame["text"][0] == megabyte
        assert frame["heavy"][1] == heavy
        assert frame["many"][2] == "<list of more than 1,000,000 parts>"
        assert frame["list"][2] == [0.5] * 100_000
        assert frame["bytes"][3].endswith("more characters)")
        assert (frame["before"][0], frame["after"][3]) == (1.0, 3.0)
