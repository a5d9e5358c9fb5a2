"""A store's version changes exactly when what its runs show does, and it tells which runs those are."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, update

from trainstore.dashboard.versions import Versions


class Watcher:
    """Asks for the version, and tells what is new since it last asked."""

    def __init__(self, store):
        self.store = store
        self.versions = Versions()
        self.at = self.version()

    def version(self):
        with self.store.snapshot() as now:
            return self.versions.of(now.reader)

    def news(self):
        """The uids of runs that changed, and of those that are gone; None if the version is the same."""
        before, self.at = self.at, self.version()
        changes = self.versions.since(before)
        if self.at == before:
            assert changes == ([], [])
            return None
        return set(changes.runs), set(changes.gone)


@pytest.fixture
def two(store):
    """A run that goes on, and one that has ended."""
    with store.start_run(name="ended") as ended:
        ended.log({"loss": 1.0}, 1)
    run = store.start_run(name="running")
    run.log({"loss": 1.0}, 1)
    run.flush()
    return run, ended


def test_nothing_new_is_the_same_version(store, two):
    """However often one asks, and whatever is read meanwhile."""
    watcher = Watcher(store)
    for _ in range(3):
        store.list_runs()
        assert watcher.news() is None
    two[0].finish()


def test_a_step_an_event_and_an_end_are_news_of_that_run(store, two):
    """And of no other."""
    run, _ = two
    watcher = Watcher(store)
    run.log({"loss": 0.5}, 2)
    run.flush()
    assert watcher.news() == ({run.uid}, set())
    run.log_event("checkpoint", 2, {"path": "x"})
    run.flush()
    assert watcher.news() == ({run.uid}, set())
    run.finish()
    assert watcher.news() == ({run.uid}, set())
    assert watcher.news() is None


def test_edits_by_hand_are_news(store, two):
    """They come without a writer; their events tell."""
    _, ended = two
    watcher = Watcher(store)
    store.set_tags(ended.uid, {"good": True})
    assert watcher.news() == ({ended.uid}, set())
    store.set_notes(ended.uid, "as expected")
    assert watcher.news() == ({ended.uid}, set())
    store.rename_run(ended.uid, "another")
    assert watcher.news() == ({ended.uid}, set())
    store.rename_run(ended.uid, "another")  # changes nothing
    assert watcher.news() is None
    two[0].finish()


def test_new_resumed_and_deleted_runs_are_news(store, two):
    """Also when several of them happen between two looks."""
    run, ended = two
    watcher = Watcher(store)
    with store.start_run() as third:
        pass
    assert watcher.news() == ({third.uid}, set())
    with store.resume_run(ended.uid, step=1):
        pass
    assert watcher.news() == ({ended.uid}, set())
    store.delete_run(third.uid)
    assert watcher.news() == (set(), {third.uid})
    with store.start_run() as fourth:
        pass
    store.delete_run(ended.uid)
    run.finish()
    assert watcher.news() == ({fourth.uid, run.uid}, {ended.uid})


def test_a_run_that_nobody_hears_of_is_news(store, two):
    """Nothing is written when a writer dies: only its last heartbeat grows old."""
    run, _ = two
    watcher = Watcher(store)
    writer = store.table.writer
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    still_open = update(writer).where(writer.c.closed_at.is_(None))
    store.connection.execute(still_open.values(heartbeat_at=long_ago))
    assert watcher.news() == ({run.uid}, set())
    assert watcher.news() is None
    run.finish()
    assert watcher.news() == ({run.uid}, set())


def test_a_writer_that_ended_long_before_the_next_look_is_news(store, two, monkeypatch):
    """A page may have been hidden for an hour: no closed writer is read again then."""
    run, _ = two
    watcher = Watcher(store)
    run.finish()
    monkeypatch.setattr("trainstore.dashboard.versions.RECENT", timedelta(hours=-1))
    assert watcher.news() == ({run.uid}, set())
    assert watcher.news() is None


@pytest.mark.parametrize("version", [None, 3, "", "1", "abcd.1", "abcd.x", ".", "\x00", "9" * 5000])
def test_a_version_of_somebody_else_means_nothing(store, version):
    """Of another process, or none at all; and one that is still to come."""
    watcher = Watcher(store)
    assert watcher.versions.since(version) is None
    name = watcher.at.partition(".")[0]
    assert watcher.versions.since(f"{name}.999") is None
    assert watcher.versions.since(f"{name}.{'9' * 5000}") is None
    assert watcher.versions.since(watcher.at) == ([], [])


def test_several_versions_add_up(store, two):
    """Who has asked for nothing in a while learns of all that has happened since, each run once."""
    run, ended = two
    watcher = Watcher(store)
    begun = watcher.at
    for step in range(2, 5):
        run.log({"loss": 1.0}, step)
        run.flush()
        assert watcher.news() == ({run.uid}, set())
    store.set_tags(ended.uid, {"good": True})
    watcher.news()
    changes = watcher.versions.since(begun)
    assert changes.runs == [ended.uid, run.uid]  # the newest first
    later, earlier = (watcher.versions.changed_in(one) for one in changes.runs)
    assert watcher.versions.number_in(watcher.at) == later > earlier > watcher.versions.number_in(begun)
    run.finish()


def test_new_names_are_told(store, two):
    """A metric that comes late, a run with another hyperparameter, a tag: the table may show more columns then."""
    run, ended = two
    watcher = Watcher(store)
    names = watcher.versions.names_count

    def more():
        watcher.news()
        return watcher.versions.names_count - names

    run.log({"loss": 1.0}, 2)
    run.flush()
    assert more() == 0
    run.log({"late": 1.0, "later": "text"}, 2)
    run.flush()
    assert more() == 1  # texts are no column
    store.set_tags(ended.uid, {"good": True})
    assert more() == 2
    with store.start_run(hyperparams={"lr": 0.1}):
        pass
    assert more() == 3
    run.log_hyperparams({"later_lr": 0.2})  # of a run that goes on
    run.flush()
    assert more() == 4
    run.finish()


def test_a_reader_that_saw_less_makes_no_run_look_gone(store, two):
    """Two pages ask at once, and the one whose snapshot is older is counted last."""
    watcher = Watcher(store)
    with store.snapshot() as older:
        older.reader.now()  # from here on it sees nothing new
        with store.start_run() as third:
            pass
        watcher.news()
        before = watcher.at
        watcher.versions.of(older.reader)
    watcher.version()
    changes = watcher.versions.since(before)
    assert third.uid in changes.runs
    assert changes.gone == []
    two[0].finish()


def test_an_event_that_was_numbered_before_the_last_one_is_news(store, two):
    """PostgreSQL numbers events when they are written, and shows them when their transactions end."""
    run, ended = two
    run.finish()
    event, runs = store.table.event, store.table.run
    ids = dict(map(tuple, store.connection.execute(select(runs.c.uid, runs.c.id))))
    last = store.connection.execute(select(func.max(event.c.id))).scalar() or 0

    def write(uid, number):
        row = {"id": number, "run_id": ids[uid], "writer_uid": "w", "seq": number, "at": datetime.now(UTC)}
        store.connection.execute(insert(event).values(kind="note", **row))

    watcher = Watcher(store)
    write(run.uid, last + 2)
    assert watcher.news() == ({run.uid}, set())
    write(ended.uid, last + 1)
    assert watcher.news() == ({ended.uid}, set())
    assert watcher.news() is None
