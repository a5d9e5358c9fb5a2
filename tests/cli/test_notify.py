"""``trainstore notify``: addresses are added unseen, listed without their secrets, tried and removed."""

from __future__ import annotations

import io
import json
import stat
import sys

import pytest

from fixtures.receivers import SECRET, Receiver
from trainstore.notifying import targets
from trainstore.notifying.targets import Target


@pytest.fixture
def receiver():
    """A receiver that takes what comes."""
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def own_config(monkeypatch, tmp_path):
    """No file of the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def typed(monkeypatch):
    """Puts text on standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_add_list_test_remove(call, typed, receiver):
    """The way of an address; its secret is shown nowhere, and the file is for its user alone."""
    assert call("notify", "list") == (
        0,
        "nothing is sent: there is no address; add one with: trainstore notify add\n",
        "",
    )
    typed(f"{receiver.url}\n# a remark\nntfy://{SECRET}\n")
    added = call("notify", "add")
    assert added.code == 0
    assert added.out.count(" added\n") == 2
    typed(receiver.url)
    assert call("notify", "add").out.endswith("is there already\n")
    assert stat.S_IMODE(targets.file_path().stat().st_mode) == 0o600
    listed = call("notify", "list")
    shown = [line.split("  ")[1] for line in listed.out.splitlines()]
    assert shown[0].startswith("json://127.0.0.1:")
    assert shown[1].startswith("ntfy://…")
    assert str(targets.file_path()) in listed.err
    assert json.loads(call("notify", "list", "--json").out)["targets"] == shown
    assert call("notify", "test", "1") == (0, f"{shown[0]} took the message\n", "")
    assert receiver.titles == ["trainstore: a test"]
    receiver.behave = "refuse"
    failed = call("notify", "test", 1)
    assert (failed.code, "failed: it was not taken" in failed.out) == (1, True)
    assert call("notify", "remove", 1) == (0, f"{shown[0]} removed\n", "")
    assert call("notify", "list").out.split() == ["1", shown[1]]
    for called in (added, listed, failed):
        assert SECRET not in called.out + called.err


def test_what_is_refused(call, typed, monkeypatch):
    """An address on the command line, none, one that is not sent to; never shown."""
    given = call("notify", "add", f"slack://{SECRET}")
    assert given.code == 2
    assert "read from standard input" in given.err
    for text, words in (
        ("", "there is no address to read"),
        (SECRET, "that is not an address"),
        (f"syslog://{SECRET}", "stays on the machine"),
        (f"macosx://{SECRET}", "stays on the machine"),
        (f"config://{SECRET}", "is not accepted"),
        (f"slack://{SECRET}", "is not an address that Apprise can use"),
    ):
        typed(text)
        called = call("notify", "add")
        assert called.code == 1
        assert words in called.err
        assert SECRET not in called.err
    assert SECRET not in given.err
    assert call("notify", "remove", 1).err == "Error: there is no address; add one with: trainstore notify add\n"
    assert not targets.file_path().exists()
    assert "there is nowhere to send to" in call("watch", "--notify", "--store", _new_store(monkeypatch)).err


def _new_store(monkeypatch) -> str:
    from trainstore import TrainStore

    path = str(targets.file_path().parents[2] / "new.db")
    TrainStore(path).close()
    return path


def test_the_variable_counts_instead_of_the_file(call, typed, receiver, monkeypatch):
    """Commands say so."""
    typed("ntfy://topic")
    call("notify", "add")
    monkeypatch.setenv("TRAINSTORE_NOTIFY", f"{receiver.url}, mailto://me:{SECRET}@example.com?to=a@b.c,d@e.f")
    listed = call("notify", "list")
    assert [line.split("/…")[0] for line in listed.out.splitlines()] == [
        f"1  {receiver.url.rpartition('/')[0]}", "2  mailto://example.com"
    ]  # fmt: skip
    assert listed.err == "from TRAINSTORE_NOTIFY\n"
    typed("ntfy://other")
    assert "is used instead of the file" in call("notify", "add").err
    monkeypatch.setenv("TRAINSTORE_NOTIFY", "off")
    assert call("notify", "list").out == "nothing is sent: TRAINSTORE_NOTIFY is set to off\n"
    assert call("notify", "test").err == "Error: TRAINSTORE_NOTIFY is set to off\n"
    assert "unset it first" in call("notify", "remove", 1).err
    assert len(targets.read()) == 2


def test_the_numbers_are_those_of_the_list(call, typed):
    """Also if an address is in the file twice, or one is wrong; what the user has noted there stays."""
    targets.change(add=["# my phone", "ntfy://aaaaaa", "ntfy://aaaaaa", "", "# the group", "ntfy://bbbbbb", "wrong"])
    assert "address 3 in" in call("notify", "list").err
    assert call("notify", "remove", 3).code == 0
    second = call("notify", "list").out.splitlines()[1].split("  ")[1]
    assert call("notify", "remove", 2).out == f"{second} removed\n"
    typed("ntfy://cccccc")
    assert call("notify", "add").code == 0
    assert targets.file_path().read_text().splitlines()[1:] == [
        "# my phone", "ntfy://aaaaaa", "ntfy://aaaaaa", "", "# the group", "ntfy://cccccc"
    ]  # fmt: skip
    assert targets.read() == ["ntfy://aaaaaa", "ntfy://cccccc"]


def test_no_part_of_a_password_is_taken_for_a_host():
    """A character that was not escaped: Apprise does not know where the password ends, and neither do we."""
    for address, shown in (
        ("mailto://me:s3/cret@example.com", "mailto://…"),
        ("mailto://me:12345/cret@example.com", "mailto://…"),
        ("json://me:s3#cret@example.com", "json://…"),
        ("json://me:s3?cret@example.com", "json://…"),
        ("json://me:s3cret", "json://…"),
        ("mailto://me:s3@cret@example.com?to=you@example.org", "mailto://example.com/…"),
        ("json://me:s3cret@[::1]:80/path", "json://[::1]:80/…"),
        ("https://hooks.slack.com/services/T1/B1/s3cret", "https://hooks.slack.com/…"),
        ("slack://s3cret/B1/C1", "slack://…"),
    ):
        assert Target(address).shown[:-6] == shown, address
