"""Tags, notes and name of a run, changed by hand or by its handle, and the events that this leaves."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from recording.support import START, AttemptFacts, HandJournal, desk_at
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
        {"set": {"notes": "second"}, "removed": [], "before": {"notes": "first"}},
        {"set": {"notes": "second\nthird"}, "removed": [], "before": {"notes": "second"}},
    ]
    assert store.set_notes(run, "") == ""
    assert store.get_run(run).notes is None
    assert store.set_notes(run, "anew", append=True) == "anew"


def test_what_cannot_be(store, run):
    """No text, no tags, no run, no one run: refused, and nothing is changed."""
    with pytest.raises(InvalidArgumentError, match="3 is not a str"):
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


def test_a_run_gets_another_name(store, run):
    """The uid stays; the event keeps both names; secrets go, and a long name is cut."""
    assert store.rename_run("r", "better") == "better"
    assert store.rename_run(run, "better") == "better"
    assert store.get_run("better").uid == run.uid
    (event,) = store.list_events(run, kind="rename")["details"]
    assert event == {"set": {"name": "better"}, "removed": [], "before": {"name": "r"}}
    assert len(store.rename_run(run, "x" * 1_000)) == 249
    assert SECRET not in store.rename_run(run, f"token {SECRET}")
    for wrong in ("", None, 3):
        with pytest.raises(InvalidArgumentError, match=f"name {wrong!r} cannot be used"):
            store.rename_run(run, wrong)
    with pytest.raises(RunNotFoundError):
        store.rename_run("nobody", "x")


def test_edited_tags_leave_a_trace(store, run):
    """What was set, what was removed, and what stood there; what changes nothing leaves nothing."""
    store.set_tags(run, {"old": 2, "new": "x"}, remove=["gone", "never"])
    store.set_tags(run, {"old": 2.0, "new": "x"}, remove=["gone"])
    run.set_tags({"new": "x"})
    run.set_tags({"new": True, "later": None})
    assert list(store.list_events(run, kind="tag")["details"]) == [
        {"set": {"old": 2, "new": "x"}, "removed": ["gone"], "before": {"old": 1, "gone": True}},
        {"set": {"new": True, "later": None}, "removed": [], "before": {"new": "x"}},
    ]
    assert store.get_run(run).tags == {"old": 2, "new": True, "later": None}


def test_edits_of_a_handle_leave_a_trace(store):
    """Those that a run begins with are no edits."""
    with store.start_run(tags=["a"], notes="first") as run:
        run.set_tags({"a": True})
        run.set_tags({"a": 1})
        run.log_hyperparams({"b": 2}, namespace="tag")
        for text in ("first", "second", "second", "", ""):
            run.set_notes(text)
    events = store.list_events(run)
    assert list(zip(events["kind"], events["details"], strict=True)) == [
        ("tag", {"set": {"a": 1}, "removed": [], "before": {"a": True}}),
        ("tag", {"set": {"b": 2}, "removed": [], "before": {}}),
        ("note", {"set": {"notes": "second"}, "removed": [], "before": {"notes": "first"}}),
        ("note", {"set": {}, "removed": ["notes"], "before": {"notes": "second"}}),
    ]
    assert store.get_run(run).tags == {"a": 1, "b": 2}
    assert store.get_run(run).notes is None


def test_events_of_the_same_kind_that_are_no_edits(store, run):
    """Anybody may log an event of any kind; it changes nothing and hinders no edit."""
    for kind in ("tag", "note", "rename"):
        run.log_event(kind, details={"set": 1})
        run.log_event(kind, details={"text": "mine"})
        run.log_event(kind)
    store.set_tags(run, ["x"])
    store.set_notes(run, "n")
    store.rename_run(run, "m")
    record = store.get_run(run)
    assert (record.name, record.notes, record.tags["x"]) == ("m", "n", True)


# --- Order -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(database_url):
    with desk_at(database_url) as opened:
        yield opened


def edits_of(run_uid, attempt, *edits, uid=None):
    """A journal with edits at these times (microseconds since START): (at, {"tags": …}) or (at, "notes")."""
    journal = HandJournal(run_uid, attempt, **({} if uid is None else {"uid": uid}))
    for at, edit in edits:
        if isinstance(edit, dict):
            journal.records.append({"kind": "tag", "at": START + at, "values": edit})
        else:
            details = {"notes": edit}
            journal.records.append(
                {"kind": "event", "event": "note", "at": START + at, "step": None, "details": details}
            )
    return journal


def stored(desk, run_uid):
    run = desk.run(run_uid)
    table = desk.models.hyperparam.c
    rows = desk.rows(select(table.key, table.value).where(table.run_id == run.id, table.namespace == "tag"))
    return run.notes, {row.key: row.value for row in rows}


@pytest.mark.parametrize("late", [False, True], ids=["in order", "the older ones late"])
@pytest.mark.parametrize("batch", [1, 100])
def test_the_last_edit_counts_whatever_arrives_when(desk, late, batch):
    """An older edit that comes late leaves its event, and changes only what no later one touched."""
    attempt = AttemptFacts("a" * 8, -1, 1)
    older = edits_of("run", attempt, (10, {"x": 1, "y": 1}), (20, "old"), (30, {"x": 2}), uid="a" * 8)
    newer = edits_of("run", attempt, (15, {"y": 5}), (40, {"x": 3}), (50, "new"), uid="b" * 8)
    for journal in (newer, older) if late else (older, newer):
        desk.deliver(journal, 2)
        while journal.acked < len(journal.records):
            desk.deliver(journal, batch)
            desk.deliver_again(journal)
    assert stored(desk, "run") == ("new", {"x": 3, "y": 5})
    table = desk.models.event
    events = desk.rows(select(table).order_by(table.c.at))
    assert [(row.kind, row.details["set"]) for row in events] == [
        ("tag", {"x": 1, "y": 1}),
        ("tag", {"y": 5}),
        ("note", {"notes": "old"}),
        ("tag", {"x": 2}),
        ("tag", {"x": 3}),
        ("note", {"notes": "new"}),
    ]


def test_edits_of_the_same_moment_are_ordered_by_their_writers(desk):
    """And then by their numbers, so that every order of arrival ends in the same."""
    for run_uid, order in (("one", 1), ("two", -1)):
        journals = [
            edits_of(run_uid, AttemptFacts(f"{run_uid}-a", -1, 1), (10, {"x": 1}), (10, {"x": 2}), uid=f"{run_uid}-a"),
            edits_of(run_uid, AttemptFacts(f"{run_uid}-a", -1, 1), (10, {"x": 3}), uid=f"{run_uid}-b"),
        ]
        for journal in journals[::order]:
            desk.deliver(journal)
        assert stored(desk, run_uid) == (None, {"x": 3})


def test_tags_that_a_run_began_with_are_older_than_every_edit(desk, store):
    """A tag that was removed by hand does not come back with the journal that began the run."""
    attempt = AttemptFacts("opener", -1, 1)
    rank = edits_of("run", attempt, uid="rank")
    opener = edits_of("run", attempt, uid="opener")
    opener.hyperparams({"a": 1, "b": 1, "c": 1}, namespace="tag")
    rank.hyperparams({"a": 1}, namespace="tag")
    desk.deliver(rank)
    store.set_tags("run", {"b": 2}, remove=["a"])
    desk.deliver(opener)
    assert stored(desk, "run")[1] == {"b": 2, "c": 1}


def test_an_edit_by_hand_is_later_than_what_is_stored(desk, store):
    """Also where the machine that recorded had a clock that was ahead."""
    attempt = AttemptFacts("opener", -1, 1)
    ahead = int(timedelta(days=20_000) / timedelta(microseconds=1))
    desk.deliver(edits_of("run", attempt, (ahead, {"x": 1}), (ahead, "theirs"), uid="opener"))
    store.set_tags("run", {"x": 2})
    store.set_notes("run", "mine")
    store.rename_run("run", "mine")
    store.rename_run("run", "mine again")
    assert stored(desk, "run") == ("mine", {"x": 2})
    assert store.get_run("run").name == "mine again"
    events = store.list_events("run")
    assert list(events["kind"]) == ["tag", "note", "tag", "note", "rename", "rename"]


def test_events_are_shown_in_their_order(store):
    """By time, writer and number, not by their arrival."""
    with store.start_run() as run:
        for kind in ("a", "b", "c"):
            run.log_event(kind)
    rows = store.list_events(run)
    assert list(rows["kind"]) == ["a", "b", "c"]
    with store.session() as session:
        for event in session.scalars(select(store.models.Event)):
            event.at = rows["at"][0].to_pydatetime()
            event.seq = {"a": 30, "b": 20, "c": 10}[event.kind]
    assert list(store.list_events(run)["kind"]) == ["c", "b", "a"]
