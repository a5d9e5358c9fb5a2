"""What tests of sending share: a receiver, and a sender of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fixtures.receivers import DEADLINE, Receiver
from trainstore.notifying import sender


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes what comes."""
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def own_sender(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    """Each test has a sender of its own, and no file of the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(sender, "_sender", None)
    yield
    if sender._sender is not None:
        sender._sender.close(0.0)


@pytest.fixture
def sending(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The receiver, which this process and those that it starts send to. Name it after a database: it ends before."""
    monkeypatch.setenv("TRAINSTORE_NOTIFY", receiver.url)
    yield receiver
    if sender._sender is not None:
        sender._sender.close(0.0)
        sender._sender._thread.join(DEADLINE)  # what it says belongs to this test


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so."""

    def wait(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not is_so():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    return wait


@pytest.fixture
def call_doctor() -> Callable[[str], dict[str, Any]]:
    """What ``trainstore doctor`` finds, by the name of the check; of several, the last."""

    def call(url: str) -> dict[str, Any]:
        from trainstore.doctor import examine

        return {finding.check: finding._asdict() for finding in examine(url, "", full=False)}

    return call
