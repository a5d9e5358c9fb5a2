"""Tags and notes of a stored run, changed through the store."""

import pytest

from trainstore import TrainStore
from trainstore.errors import InvalidArgumentError, RunNotFoundError, RunNotUniqueError

SECRET = "hf_AbCdEf0123456789AbCdEf0123456789Ab"


@pytest.fixture
def run(store):
    with store.start_run(name="r", tags={"old": 1, "gone": True}, notes="first") as run:
        run.log({"loss": 1.0}, step=0)
    return run


def test_tags_are_set_and_removed(store, run):
    """The others stay; what was there and is removed is named."""
    assert store.set_tags("r", {"new": 2.5, "old": "x"}, remove=["gone", "never"]) == ["gone"]
    assert store.get_run(run).tags == {"old": "x", "new": 2.5}
    assert store.set_tags(run, "only a name") == []
    assert store.set_tags(run, iter(["a", "b"])) == []
    assert store.get_run(run).tags == {"old": "x", "new": 2.5, "only a name": True, "a": True, "b": True}
    assert store.set_tags(run, ["a"], remove=["a", "b"]) == ["b"]
    assert store.set_tags(run, remove="old") == ["old"]
    assert store.get_run(run).tags == {"new": 2.5, "only a name": True, "a": True}
    assert list(store.list_runs(tag={"new": 2.5})["uid"]) == [run.uid]
    row = store.list_hyperparams(run, namespace="tag", key="new").iloc[0]
    assert (row["number"], row["attempt"]) == (2.5, 1)


def test_only_tags_are_removed(store, run):
    """A hyperparameter of the same name stays."""
    with store.start_run(name="s", hyperparams={"x": 1}, tags=["x"]) as other:
        pass
    store.set_tags(other, remove=["x"])
    record = store.get_run(other)
    assert (record.tags, record.hyperparams) == ({}, {"x": 1})


def test_a_run_that_is_being_recorded(store):
    """Its handle goes on; what it sets later stands."""
    with store.start_run(name="live", tags=["a"]) as run:
        store.set_tags(run, {"b": 1}, remove=["a"])
        run.set_tags({"c": 2})
        run.log({"loss": 1.0}, step=0)
    record = store.get_run(run)
    assert record.tags == {"b": 1, "c": 2}
    assert (record.status, record.last_step) == ("finished", 0)


def test_values_are_canonical_and_secrets_go(store, run):
    """As where a handle sets them."""
    store.set_tags(run, {"hub_token": SECRET, "inf": float("inf"), "": 1})
    tags = store.get_run(run).tags
    assert tags["hub_token"] == "[redacted]"
    assert tags["inf"] == float("inf")
    assert tags["~empty"] == 1
    assert store.set_tags(run, remove=[""]) == ["~empty"]
    assert SECRET not in store.set_notes(run, "key hf_AbCdEf0123456789AbCdEf0123456789Ab")


def test_notes_are_set_and_added_to(store, run):
    """An event keeps what they were; the same notes again are no change."""
    assert store.set_notes(run, "second") == "second"
    assert store.set_notes(run, "third", append=True) == "second\nthird"
    assert store.set_notes(run, "second\nthird") == "second\nthird"
    assert store.get_run(run).notes == "second\nthird"
    events = store.list_events(run, kind="note")
    assert list(events["details"]) == [
        {"notes": "second", "before": "first"},
        {"notes": "second\nthird", "before": "second"},
    ]
    assert store.set_notes(run, "") == ""
    assert store.get_run(run).notes is None
    assert store.set_notes(run, "anew", append=True) == "anew"


def test_what_cannot_be(store, run):
    """No text, no tags, no run, no one run: refused, and nothing is changed."""
    with pytest.raises(InvalidArgumentError, match="3 is no text"):
        store.set_notes(run, 3)
    with pytest.raises(InvalidArgumentError, match="tags"):
        store.set_tags(run, 3)
    for change in (lambda name: store.set_tags(name, ["x"]), lambda name: store.set_notes(name, "x")):
        with pytest.raises(RunNotFoundError):
            change("nobody")
    store.start_run(name="r").finish()
    with pytest.raises(RunNotUniqueError):
        store.set_tags("r", ["x"])
    assert store.get_run(run).tags == {"old": 1, "gone": True}


def test_two_stores_change_one_run(database_url, store, run):
    """What another store object changed is seen."""
    with TrainStore(database_url) as other:
        other.set_tags(run.uid, ["there"])
    assert "there" in store.get_run(run).tags
