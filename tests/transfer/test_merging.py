"""``TrainStore.merge``: what it brings, what it leaves, what it says."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, update

from fixtures.databases import BACKENDS, migrate
from properties.test_histories import as_float64
from trainstore import TrainStore
from trainstore.errors import RunNotFoundError, SourceError
from trainstore.transfer import Merged, merging
from trainstore.transfer.sources import Source
from transfer.held import rows

NewDatabase = Callable[..., str]


@pytest.fixture
def other(new_database: NewDatabase) -> Iterator[TrainStore]:
    """The store that is read."""
    with TrainStore(new_database("sqlite")) as opened:
        yield opened


def record(store: TrainStore, name: str, steps: int = 3, **options: Any) -> str:
    """A finished run; its uid."""
    with store.start_run(name, **options) as run:
        for step in range(steps):
            run.log({"loss": 1.0 / (step + 1)}, step=step)
    return run.uid


def go_on(store: TrainStore, uid: str, step: int, values: list[float], first: int | None = None) -> None:
    """Resume a run at a step, and log a loss for each step after it."""
    with store.resume_run(uid, step=step) as run:
        for number, value in enumerate(values, step + 1 if first is None else first):
            run.log({"loss": value}, step=number)


def losses(store: TrainStore, uid: str) -> dict[int, float]:
    """The loss of each step that is shown."""
    logs = store.list_step_logs(uid)
    return dict(zip(logs["step"], logs["loss"], strict=True))


def step_rows(store: TrainStore) -> list[dict[str, Any]]:
    """All rows of steps, as they are stored."""
    table = store.table.step_log
    return [dict(row) for row in store.connection.execute(table.select().order_by(table.c.step)).mappings()]


def names(runs: list[Any]) -> list[str]:
    """The names of runs in a report."""
    return sorted(run.name for run in runs)


@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("source", BACKENDS)
def test_a_run_arrives_whole(new_database: NewDatabase, source: str, target: str) -> None:
    """From each database into each: values of every kind, hyperparameters, tags, notes, events, how it ended."""
    values = {"loss": math.nan, "rate": -0.0, "large": 1e16, "count": 2**53 + 1, "text": "Grüße\n\t\\", "flag": True}
    with TrainStore(new_database(source)) as one, TrainStore(new_database(target)) as two:
        with one.start_run("a", project="p", hyperparams={"lr": 1e-3, "betas": [0.9, 1]}, tags=["good"]) as run:
            run.log(values, step=1)
            run.log({"loss": math.inf}, step=2)
            run.log_event("checkpoint", step=2, details={"path": "checkpoint-2"})
            run.set_notes("a note")
        report = two.merge(one)
        assert names(report.new) == ["a"]
        before, after = one.get_run(run.uid), two.get_run(run.uid)
        assert (after.status, after.project, after.notes) == ("finished", "p", "a note")
        assert (after.hyperparams, after.tags) == (before.hyperparams, before.tags)
        assert (after.started_at, after.ended_at) == (before.started_at, before.ended_at)
        assert as_float64(step_rows(two)) == as_float64(step_rows(one))
        assert list(two.list_events(run.uid)["kind"]) == list(one.list_events(run.uid)["kind"])
        again = two.merge(one)
        assert names(again.unchanged) == ["a"]
        back = one.merge(two)
        assert (names(back.unchanged), back.conflicts) == (["a"], [])


def test_a_run_that_went_on_is_updated(store: TrainStore, other: TrainStore) -> None:
    """Its new attempt is the one shown; what it took the place of stays stored."""
    uid = record(other, "a")
    store.merge(other)
    go_on(other, uid, 0, [5.0, 6.0, 7.0])
    report = store.merge(other)
    assert names(report.updated) == ["a"]
    assert losses(store, uid) == losses(other, uid) == {0: 1.0, 1: 5.0, 2: 6.0, 3: 7.0}
    assert len(store.list_step_logs(uid, attempts="all")) == 6


def test_a_run_continued_at_both_places_is_one_run(store: TrainStore, other: TrainStore) -> None:
    """The attempt that was begun last is shown in both stores; nothing of the other one is lost."""
    uid = record(other, "a")
    store.merge(other)
    go_on(store, uid, 1, [20.0])
    go_on(other, uid, 0, [10.0, 11.0])
    report = store.merge(other)
    assert (names(report.updated), names(report.behind)) == (["a"], ["a"])
    other.merge(store)
    assert losses(store, uid) == losses(other, uid) == {0: 1.0, 1: 10.0, 2: 11.0}
    assert len(store.list_step_logs(uid, attempts="all")) == len(other.list_step_logs(uid, attempts="all")) == 6
    assert not store.merge(other).behind


def test_a_value_that_both_changed_is_named_and_both_are_kept(store: TrainStore, other: TrainStore) -> None:
    """The writer that started last counts, from both sides; the other value is among the step's earlier ones."""
    uid = record(other, "a")
    store.merge(other)
    for place, value in ((other, 0.1), (store, 0.2)):
        with place.resume_run(uid) as run:
            run.log({"accuracy": value}, step=2)
    (conflict,) = store.merge(other).conflicts
    assert (conflict.uid, conflict.step, conflict.name) == (uid, 2, "accuracy")
    assert (conflict.counts, conflict.other) == (0.2, 0.1)
    other.merge(store)
    for place in (store, other):
        logs = place.list_step_logs(uid)
        assert logs["accuracy"].iloc[-1] == 0.2
        assert step_rows(place)[-1]["details"] == {"earlier": {"accuracy": [0.1]}}
        assert place.get_run(uid).metrics["accuracy"] == 0.2
    assert not store.merge(other).conflicts


def test_edits_of_both_places_come_together(store: TrainStore, other: TrainStore) -> None:
    """Of each tag, of the notes and of the name the last edit counts; a tag that was removed does not come back."""
    uid = record(other, "a", tags=["old", "good"])
    store.merge(other)
    other.set_tags(uid, {"good": "first"}, remove=["old"])
    other.set_notes(uid, "first")
    store.set_tags(uid, {"good": "second"})
    store.set_notes(uid, "second")
    store.rename_run(uid, "b")
    for source, target in ((other, store), (store, other)):
        target.merge(source)
    for place in (store, other):
        run = place.get_run(uid)
        assert (run.name, run.notes, run.tags) == ("b", "second", {"good": "second"})
    assert names(store.merge(other).unchanged) == ["b"]


def test_a_parent_that_comes_later_is_found(store: TrainStore, other: TrainStore) -> None:
    """A child that is brought alone keeps its parent's uid, and has its parent once that is there."""
    parent = record(other, "parent")
    child = record(other, "child", parent=parent, parent_step=2)
    report = store.merge(other, runs=[child])
    assert (names(report.new), names(report.missing_parents)) == (["child"], ["child"])
    assert store.get_run(child).parent_uid == parent
    assert names(store.merge(other).new) == ["parent"]
    run = store.table.run
    rows = {row.uid: row for row in store.connection.execute(run.select())}
    assert rows[child].parent_run_id == rows[parent].id


def test_only_some_runs_with_their_parents(store: TrainStore, other: TrainStore) -> None:
    """``runs`` and ``project`` choose; ``with_parents`` adds what the chosen ones began from."""
    parent = record(other, "parent", project="q")
    record(other, "child", project="p", parent=parent)
    record(other, "third", project="q")
    assert names(store.merge(other, project="p", with_parents=True).new) == ["child", "parent"]
    assert names(store.merge(other, runs=["third"]).new) == ["third"]
    with pytest.raises(RunNotFoundError, match="fourth"):
        store.merge(other, runs=["fourth"])


def test_a_run_deleted_here_does_not_come_back(store: TrainStore, other: TrainStore) -> None:
    """Unless it is asked for, or went on since; the report names it."""
    uid = record(other, "a")
    store.merge(other)
    store.delete_run(uid)
    assert names(store.merge(other).skipped) == ["a"]
    assert store.list_runs().empty
    assert names(store.merge(other, revive=True).revived) == ["a"]
    assert losses(store, uid) == losses(other, uid)
    assert names(store.merge(other).unchanged) == ["a"]
    store.delete_run(uid)
    go_on(other, uid, 2, [0.1])
    assert names(store.merge(other).new) == ["a"]


def test_a_run_deleted_there_is_kept_unless_it_is_said_otherwise(store: TrainStore, other: TrainStore) -> None:
    """It is named; ``delete`` deletes it, and the deletion is remembered here too."""
    uid = record(other, "a")
    store.merge(other)
    other.delete_run(uid)
    assert names(store.merge(other).kept) == ["a"]
    assert len(store.list_runs()) == 1
    assert names(store.merge(other, delete=True, dry_run=True).deleted) == ["a"]
    assert len(store.list_runs()) == 1
    assert names(store.merge(other, delete=True).deleted) == ["a"]
    assert store.list_runs().empty
    assert not store.merge(other, delete=True).deleted


def test_a_run_that_is_being_recorded_is_not_said_to_be_deleted(store: TrainStore, other: TrainStore) -> None:
    """Looking only says what would be done."""
    run = store.start_run("a")
    run.log({"loss": 1.0}, step=0)
    run.flush()
    other.merge(store)
    other.delete_run(run.uid, force=True)
    for dry_run in (True, False):
        report = store.merge(other, delete=True, dry_run=dry_run)
        assert (names(report.kept), report.deleted) == (["a"], [])
    assert run.finish()


def test_a_run_that_is_brought_back_and_refused_stays_deleted(store: TrainStore, other: TrainStore) -> None:
    """The next merge does not bring it unasked."""
    uid = record(other, "a")
    store.merge(other)
    store.delete_run(uid)
    attempt = other.table.attempt
    with other.engine.begin() as connection:
        connection.execute(update(attempt).values(resumed_from=1))
    assert [*store.merge(other, revive=True).refused] == [uid]
    with other.engine.begin() as connection:
        connection.execute(update(attempt).values(resumed_from=None))
    assert names(store.merge(other).skipped) == ["a"]
    assert names(store.merge(other, revive=True).revived) == ["a"]


def test_looking_only_writes_nothing(store: TrainStore, other: TrainStore) -> None:
    """``dry_run`` says what would be brought."""
    record(other, "a")
    report = store.merge(other, dry_run=True)
    assert (names(report.new), report.dry_run) == (["a"], True)
    assert str(report).endswith("1 would be new")
    assert store.list_runs().empty


def test_prefixes_of_both_sides(database_url: str, new_database: NewDatabase) -> None:
    """Each store has its own; a file is named with ``source_prefix``."""
    source = new_database("sqlite", migrated=False)
    migrate(source, "a_")
    with TrainStore(source, table_name_prefix="a_") as one:
        record(one, "a")
    with TrainStore(database_url, table_name_prefix="b_") as two:
        path = Path(str(make_url(source).database))
        assert names(two.merge(path, source_prefix="a_").new) == ["a"]
        assert names(two.merge(path, source_prefix="a_").unchanged) == ["a"]
        assert [*two.list_runs()["name"]] == ["a"]


def test_many_small_runs_share_transactions(store: TrainStore, other: TrainStore) -> None:
    """Each arrives whole, and progress is told."""
    for number in range(12):
        record(other, f"run {number}", steps=2)
    told: list[tuple[int, int]] = []
    report = store.merge(other, on_progress=lambda done, total: told.append((done, total)))
    assert len(report.new) == len(store.list_runs()) == 12
    assert told == [(12, 12)]


def test_a_damaged_run_is_named_and_the_others_are_brought(store: TrainStore, other: TrainStore) -> None:
    """Attempts that resume each other in a circle would never end here."""
    good, bad = record(other, "good"), record(other, "bad")
    attempt, run = other.table.attempt, other.table.run
    found = run.select().where(run.c.uid == bad)
    run_id = other.connection.execute(found).one().id
    other.connection.execute(update(attempt).where(attempt.c.run_id == run_id).values(resumed_from=1))
    report = store.merge(other)
    assert report.refused == {bad: "its attempts do not descend from a first one"}
    assert names(report.new) == ["good"]
    assert [*store.list_runs()["uid"]] == [good]
    assert "was not merged: its attempts" in str(report)


DAMAGES = [
    (
        "step_log",
        """metrics = '{"loss": 1' WHERE step = 1""",
        """metrics at step 1 holds '{"loss": 1', no JSON object""",
    ),
    ("step_log", "metrics = '[1.0]' WHERE step = 1", "metrics at step 1 holds '[1.0]', no JSON object"),
    ("step_log", "metrics = '{\"a\":NaN}' WHERE step = 1", "metrics at step 1 holds '{\"a\":NaN}', no JSON object"),
    ("step_log", "logged_at = 'yesterday' WHERE step = 1", "logged_at at step 1 holds 'yesterday', no time"),
    ("step_log", "step_time = 'long' WHERE step = 1", "step_time at step 1 holds 'long', no number"),
    ("run", "started_at = '2026-13-01 00:00:00'", "started_at holds '2026-13-01 00:00:00', no time"),
    ("run", "name = x'ff00'", "name holds x'ff00', no text that can be stored"),
    ("run", "name = CAST(x'61ff' AS TEXT)", r"name holds 'a\\udcff', no text that can be stored"),
    ("run", "status = 'runninh'", "status holds 'runninh', no status"),
    ("event", "details = '{'", "details holds '{', no JSON object"),
    ("writer", "acked = 'many'", "acked holds 'many', no whole number"),
    ("metric_summary", "count = 'many'", "count holds 'many', no whole number"),
]


def damage(store: TrainStore, table: str, change: str, uid: str) -> None:
    """Change values of a run in a file as no program of ours would."""
    key = "uid = ?" if table == "run" else "run_id = (SELECT id FROM run WHERE uid = ?)"
    with closing(sqlite3.connect(str(make_url(store.url).database))) as connection, connection:
        statement = f"UPDATE {table} SET {change} {'AND' if 'WHERE' in change else 'WHERE'} {key}"
        assert connection.execute(statement, [uid]).rowcount >= 1


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize(("table", "change", "why"), DAMAGES)
def test_a_value_that_cannot_be_read_is_named_and_its_run_not_brought(
    store: TrainStore, other: TrainStore, table: str, change: str, why: str, known: bool
) -> None:
    """Into a file or a server, a run that is new or one that is there: nothing of it comes, and the others come."""
    good, bad = record(other, "good"), record(other, "bad", steps=3)
    if known:
        store.merge(other, runs=[bad])
    with other.resume_run(bad, step=0) as run:
        run.log({"loss": 0.5}, step=1)
        run.log_event("note", details={"a": 1})
    before = rows(store)
    damage(other, table, change, bad)
    for _ in range(2):
        report = store.merge(other)
        assert report.refused == {bad: f"it is damaged: {table}.{why}"}
        assert report.updated == []
        assert losses(store, good) == {0: 1.0, 1: 0.5, 2: 1 / 3}
    store.delete_run(good)
    assert rows(store) == before


def test_an_end_that_was_taken_back_is_taken_back_here_too(store: TrainStore, other: TrainStore) -> None:
    """An import takes a source for ended that goes on later: the run is running again in every store."""
    uid = record(other, "a")
    store.merge(other)
    tables = other.table
    for table, key, values in (
        (tables.attempt, tables.attempt.c.uid, {"status": "running", "closed_at": None}),
        (tables.writer, tables.writer.c.uid, {"acked": tables.writer.c.acked + 1, "closed_at": None}),
    ):
        first = other.connection.execute(tables.attempt.select()).first()
        assert first is not None
        other.connection.execute(update(table).where(key == first.uid).values(values))
    store.merge(other)
    attempt = store.connection.execute(store.table.attempt.select()).one()
    assert (attempt.status, attempt.closed_at) == ("running", None)
    run = store.table.run
    assert store.connection.execute(run.select().where(run.c.uid == uid)).one().status == "running"


def test_an_end_by_hand_is_brought_until_the_real_one_arrives(store: TrainStore, other: TrainStore) -> None:
    """A lost run that was closed in one store is closed in the other too; what its process tells later counts."""
    run = other.start_run("a")
    run.log({"loss": 1.0}, step=0)
    other.flush()
    store.merge(other)
    writer = store.table.writer
    store.connection.execute(update(writer).values(heartbeat_at=None))
    store.close_run(run.uid, "failed", reason="power cut")
    other.merge(store)
    record_of = other.get_run(run.uid)
    assert (record_of.status, record_of.error) == ("failed", "power cut")
    run.finish()
    store.merge(other)
    assert store.get_run(run.uid).status == other.get_run(run.uid).status == "finished"


def test_a_store_is_not_merged_into_itself(store: TrainStore) -> None:
    """Neither as an object nor by its URL."""
    with pytest.raises(SourceError, match="is the target itself"):
        store.merge(store)


def test_the_report_reads_as_text_and_as_data(store: TrainStore, other: TrainStore) -> None:
    """Counts first, then what to do next; a notebook shows the same. No name commands a terminal."""
    record(other, "a")
    report = store.merge(other)
    assert isinstance(report, Merged)
    assert str(report) == repr(report) == f"{other.url}: 1 new"
    assert [run["name"] for run in report.to_dict()["new"]] == ["a"]
    store.rename_run("a", "\x1b[2Ja")
    assert str(store.merge(other)).splitlines() == [
        f"{other.url}: 1 unchanged",
        "1 run (a): this store has more; a merge in the other direction brings it there",
    ]
    other.merge(store)
    other.delete_run("\x1b[2Ja")
    assert str(store.merge(other)).splitlines()[1].startswith("1 run (\\x1b[2Ja): deleted in the source, kept here")


def test_a_run_deleted_here_during_the_merge_does_not_come_back(
    store: TrainStore, other: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion is later than the look at both stores, and counts all the same."""
    monkeypatch.setattr(merging, "GATHERED", 1)
    uids = sorted(record(other, name) for name in "ab")
    store.merge(other)
    for uid in uids:
        go_on(other, uid, 2, [0.1])

    def told(done: int, total: int) -> None:
        if done == 1:
            store.delete_run(uids[1])

    report = store.merge(other, on_progress=told)
    assert [run.uid for run in report.updated] == [*store.list_runs()["uid"]] == uids[:1]


def test_nothing_is_deleted_for_a_source_that_was_written_meanwhile(
    store: TrainStore, other: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of it may not fit together."""
    uid = record(other, "a")
    store.merge(other)
    other.delete_run(uid)

    def changed(_source: Source) -> None:
        raise SourceError("it was written while it was read")

    monkeypatch.setattr(Source, "check_unchanged", changed)
    with pytest.raises(SourceError, match="was written"):
        store.merge(other, delete=True)
    assert [*store.list_runs()["uid"]] == [uid]
