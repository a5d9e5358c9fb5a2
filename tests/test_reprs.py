"""Objects that are kept as text: the same text in every process."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from unittest import mock

import pytest

from trainstore.values import canonical, stored_name


def schedule(step: int, rate: float = 0.1) -> float:
    return rate / (step + 1)


class Bare:
    def method(self) -> None:
        pass


class Shown:
    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"Shown({self.inner!r})"


HERE = __name__
SCHEDULE = f"<function {HERE}.schedule>"
BARE = f"<{HERE}.Bare object>"
TEXTS = [
    (schedule, SCHEDULE),
    (lambda step: step, f"<function {HERE}.<lambda>>"),
    (functools.lru_cache(schedule), SCHEDULE),
    (functools.partial(schedule, 3, rate=Bare()), f"functools.partial({SCHEDULE}, 3, rate={BARE})"),
    (functools.partial(functools.partial(schedule, 3)), f"functools.partial({SCHEDULE}, 3)"),
    (Bare(), BARE),
    (Bare().method, f"<bound method {HERE}.Bare.method of {BARE}>"),
    (Shown(schedule), "Shown(<function schedule>)"),
    ({schedule, Bare()}, f"{{{SCHEDULE}, {BARE}}}"),
    (threading.Lock(), "<unlocked _thread.lock object>"),
    (iter([1]), "<list_iterator object>"),
    ([].append, "<built-in method append of list object>"),
    (memoryview(b""), "<memory>"),
    (mock.Mock(name="m"), "<Mock name='m'>"),
    (len, "<built-in function len>"),
    (b"jump at 0x7f3c5c0d5e10", "b'jump at 0x7f3c5c0d5e10'"),
]


@pytest.mark.parametrize(("value", "text"), TEXTS, ids=lambda value: type(value).__name__)
def test_objects_are_named_without_addresses(value: object, text: str) -> None:
    """Functions, methods and partials by their qualified names, other objects by their repr, wherever they stand."""
    assert canonical(value) == {"$repr": text}
    assert canonical([{"inner": (value,)}]) == [{"inner": [{"$repr": text}]}]


def test_names_have_no_addresses() -> None:
    """A key that is not text becomes one that is the same in every process."""
    assert stored_name(schedule) == SCHEDULE
    assert stored_name((schedule, 1)) == "(<function schedule>, 1)"
    assert canonical({schedule: 1}) == {SCHEDULE: 1}


def test_texts_are_left_as_they_are() -> None:
    """What the user wrote is not changed."""
    assert canonical("object at 0x7f3c5c0d5e10") == "object at 0x7f3c5c0d5e10"
    assert stored_name("object at 0x7f3c5c0d5e10") == "object at 0x7f3c5c0d5e10"


SCRIPT = """
import functools, sys, trainstore.values
junk = [object() for _ in range(int(sys.argv[1]))]
class Schedule: pass
def f(): pass
values = {"f": f, "g": functools.partial(f, Schedule()), "s": {Schedule(), f, len}, f: [Schedule().__init__]}
print(trainstore.values.canonical(values))
"""


def test_two_processes_record_the_same() -> None:
    """Wherever their objects lie in memory."""
    one, other = (
        subprocess.run([sys.executable, "-c", SCRIPT, junk], check=True, capture_output=True, text=True).stdout
        for junk in ("1", "100000")
    )
    assert one == other
    assert "0x" not in one
