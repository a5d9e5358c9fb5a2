"""The engine: what sessions and entries become, who another's run is, ends, damage, two imports at once, following."""

from __future__ import annotations

import math
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from importing.fake import FakeSession, FakeTool, T, fake, steps
from importing.harness import content, everything, stored_points
from importing.reading import SAMPLES
from trainstore.errors import InvalidArgumentError, ReadOnlyStoreError, SourceError
from trainstore.importing import Imported, check_source, ends, import_runs, importer, sending
from trainstore.importing.comparing import missing_values
from trainstore.importing.foreign import End, Entry, Event, Hyperparams, Notes, Step, Unread
from trainstore.recording import flush
from trainstore.recording.merging import MAX_EARLIER
from trainstore.recording.records import now
from trainstore.store import TrainStore
from trainstore.values import time_of

__all__ = ["fake"]
HOUR = 3_600_000_000
OWN_UID = "0b7c1f7e-63d5-4b55-9d0e-0b6f0a3f2a11"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """What the fake tool's reader is for."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "fake").write_text("x")
    return tmp_path / "source"


def events(store: TrainStore, run: Any, kind: str = "import") -> list[dict[str, Any]]:
    return [dict(details) for details in store.list_events(run, kind=kind)["details"]]


def again_nothing(store: TrainStore, place: Path, **options: Any) -> Imported:
    """Import, which must change no row."""
    rows = everything(store)
    result = import_runs(store, place, **options)
    assert everything(store) == rows
    return result


# --- what becomes of entries ----------------------------------------------------------------------------------------


def test_every_kind_of_entry_is_recorded_as_a_run_would(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """Steps with epochs and times, hyperparameters, tags, notes, events, an end; numbers that are none, text."""
    fake.run(
        FakeSession(
            [
                Hyperparams({"lr": 1e-3, "opt": {"betas": (0.9, 0.999)}, "big": 2**70}, position=1),
                Hyperparams({"team": "a"}, "tag", position=2),
                Notes(T, "two\nlines", position=3),
                Step(T, 0, {"loss": math.nan, "epoch": 0.5, "text": "x"}, position=4),
                Step(T + 1, 1, {"loss": math.inf, "ok": True}, epoch=1.0, step_time=0.25, position=5),
                Step(T + 2, 1, {"loss": 2}, details={"sample": "s"}, position=6),
                Step(T + 2, -1, {"loss": 3.0}, position=7),
                Event(T + 3, "alert", 1, {"title": "t"}, position=8),
                End(T + 4, "failed", "ValueError: x", position=9),
            ],
            host="node",
            facts={"git_commit": "abc", "command": "train.py --token hunter2hunter2", "versions": {"python": "3.11"}},
        ),
        name="ä name",
    )
    result = import_runs(store, place)
    (record,) = store.list_runs(columns="all").itertuples()
    run = store.get_run("ä name")
    assert (run.project, run.status, run.error, run.notes) == ("p", "failed", "ValueError: x", "two\nlines")
    assert (record.source, run.tags) == ("fake", {"team": "a"})
    assert run.hyperparams == {"lr": 1e-3, "opt": {"betas": [0.9, 0.999]}, "big": 2**70}
    assert stored_points(store)["ä name"] == sorted(
        [
            *[("loss", 0, "nan"), ("epoch", 0, "0.5"), ("text", 0, "'x'"), ("loss", 1, "inf"), ("loss", 1, "2.0")],
            *[("ok", 1, "True"), ("epoch", 1, "1.0"), ("step_time", 1, "0.25")],
        ]
    )
    assert events(store, run.uid, "alert") == [{"title": "t"}]
    (refused,) = events(store, run.uid, "refused")
    assert (refused["step"], refused["metrics"]) == (-1, {"loss": 3.0})
    with store.engine.connect() as connection:
        attempt = connection.execute(select(store.table.attempt)).one()
    assert (attempt.git_commit, attempt.host, attempt.versions) == ("abc", "node", {"python": "3.11"})
    assert "hunter2" not in attempt.command
    assert result.counts == {"new": 1, "updated": 0, "unchanged": 0, "skipped": 0}
    (said,) = events(store, run.uid)
    assert said == {"tool": "fake", "source": "run.fake", "points": 7}


def test_secrets_are_stored_nowhere(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """Not of parameters, tags, notes, texts, events, names, errors, nor of what is left out or damaged."""
    secret = "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"
    session = FakeSession(
        [
            Hyperparams(
                {"api_key": secret, "nested": {"password": secret}, "url": f"https://a:{secret}@b.c"}, position=1
            ),
            Hyperparams({"note": secret}, "tag", position=2),
            Notes(T, f"token {secret}", position=3),
            Step(T, 0, {"text": f"Bearer {secret}"}, details={"header": secret}, position=4),
            Event(T, "alert", 0, {"text": secret}, position=5),
            End(T, "failed", f"401 for {secret}", position=6),
        ],
        host=secret,
        facts={"git_commit": secret, "command": f"train --hub_token {secret}", "versions": {"api_key": secret}},
    )
    session.damage.append(secret)
    session.left_out[secret] = 1
    session.during = lambda number: session.damage.append(secret) if not number else None
    fake.run(session, name=f"run {secret}", project=secret, where=secret)
    import_runs(store, place)
    assert secret not in repr(everything(store))
    assert "[redacted]" in repr(everything(store))


def test_names_and_project_are_the_source_s_or_the_user_s(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """A run without a project gets the folder's name; the user's project goes before both."""
    fake.run(FakeSession(steps(0, 1), "a"), identity="a", project=None)
    import_runs(store, place)
    fake.run(FakeSession(steps(0, 1), "b"), identity="b")
    import_runs(store, place, project="mine")
    frame = store.list_runs()
    assert dict(zip(frame["name"], frame["project"], strict=True)) == {"a": "source", "b": "mine"}


def test_sessions_are_attempts_and_a_parent_is_found_by_its_identity(
    fake: FakeTool, place: Path, store: TrainStore
) -> None:
    """A session that resumes supersedes later steps, one that joins adds to them; the child knows its parent."""
    fake.run(
        FakeSession(steps(0, 10), "one"),
        FakeSession(steps(5, 12, value=2.0), "two", opens_at=4, started_at=T + 100),
        FakeSession([Step(T, 11, {"eval_loss": 0.5}, position=1)], "three", opens_at=None, started_at=T + 200),
        identity="root",
    )
    fake.run(FakeSession(steps(0, 2), "four"), identity="child", parent="root", parent_step=7)
    import_runs(store, place)
    root, child = store.get_run("root"), store.get_run("child")
    assert len(store.list_attempts(root.uid)) == 2
    assert len(store.list_step_logs(root.uid)) == 12
    assert len(stored_points(store)["root"]) == 10 + 7 + 1
    with store.engine.connect() as connection:
        run = store.table.run.c
        row = connection.execute(select(run.parent_uid, run.parent_step).where(run.uid == child.uid)).one()
    assert tuple(row) == (root.uid, 7)


def test_a_tool_s_own_uuid_is_the_run_s_uid(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """With or without hyphens; another text is not one."""
    fake.run(FakeSession(steps(0, 1), "a"), identity="a", uid=OWN_UID.replace("-", ""))
    fake.run(FakeSession(steps(0, 1), "b"), identity="b", uid="not one")
    import_runs(store, place)
    assert store.get_run(OWN_UID).name == "a"
    assert len(store.get_run("b").uid) == 36
    again_nothing(store, place)


# --- whose run it is ------------------------------------------------------------------------------------------------


def test_a_run_that_is_another_s_is_skipped_and_named(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """A uid that is here without a session of this source: neither its rows nor its name change."""
    fake.run(FakeSession(steps(0, 3)), uid=OWN_UID)
    fake.run(FakeSession(steps(0, 3), "other"), identity="other")
    resumed = store.resume_run(OWN_UID, lineage=[], step=-1, name="recorded here")
    resumed.log({"loss": 9.0}, step=0)
    resumed.finish()
    result = import_runs(store, place)
    assert result.counts == {"new": 1, "updated": 0, "unchanged": 0, "skipped": 1}
    assert "is here already, recorded by 'python'" in str(result.runs[0].reason)
    assert store.get_run(OWN_UID).name == "recorded here"
    assert len(stored_points(store)["recorded here"]) == 1


def test_a_deleted_run_comes_back_only_if_that_is_wished(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """It is skipped and counted; ``revive=True`` brings all of it; so does a session that began after the deletion."""
    fake.run(FakeSession(steps(0, 3)))
    import_runs(store, place)
    uid = store.get_run("run").uid
    store.delete_run(uid)
    result = again_nothing(store, place)
    assert [(run.state, run.points) for run in result.runs] == [("skipped", 0)]
    assert "--revive" in str(result.runs[0].reason)
    assert import_runs(store, place, revive=True).points == 3
    assert again_nothing(store, place).runs[0].state == "unchanged"
    store.delete_run(uid)
    fake.made.clear()
    fake.run(FakeSession(steps(0, 3)), FakeSession(steps(3, 5), "resumed", opens_at=2, started_at=now() + HOUR))
    assert import_runs(store, place).points == 5


def test_a_deleted_run_comes_back_together_with_its_records(
    fake: FakeTool, place: Path, store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that dies at its first transaction leaves the run deleted."""
    fake.run(FakeSession(steps(0, 3)))
    import_runs(store, place)
    store.delete_run("run")
    before = everything(store)

    def dies(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(flush._Flush, "_show_head", dies)
        with pytest.raises(KeyboardInterrupt):
            import_runs(store, place, revive=True)
    assert everything(store) == before
    assert import_runs(store, place).counts["skipped"] == 1
    assert import_runs(store, place, revive=True).points == 3


def test_a_run_that_is_deleted_during_its_import_is_reported(
    fake: FakeTool, place: Path, store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are imported."""
    monkeypatch.setattr(sending, "MAX_RECORDS", 5)
    session = FakeSession(steps(0, 30))
    session.during = lambda number: store.delete_run("run") if number == 20 else None
    fake.run(session)
    fake.run(FakeSession(steps(0, 3), "other"), identity="other")
    result = import_runs(store, place)
    assert [run.state for run in result.runs] == ["skipped", "new"]
    assert "deleted" in str(result.runs[0].reason)


def test_a_session_that_is_here_as_part_of_another_run_is_not_imported_twice(
    fake: FakeTool, place: Path, store: TrainStore
) -> None:
    """As after ``merge_subfolders``: the same file would be two runs."""
    fake.run(FakeSession(steps(0, 3), "one"), FakeSession(steps(3, 5), "two", opens_at=None))
    import_runs(store, place)
    fake.made.clear()
    fake.run(FakeSession(steps(3, 5), "two"), identity="two")
    result = again_nothing(store, place)
    assert result.runs[0].state == "skipped"
    assert "as part of run" in str(result.runs[0].reason)


# --- again, interrupted, at the same time -----------------------------------------------------------------------------


def test_a_log_is_read_on_behind_what_is_stored(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """It is not read at all while its end position is that of the last import."""
    session = FakeSession(steps(0, 5), end_position=5)
    fake.run(session)
    import_runs(store, place)
    again_nothing(store, place)
    assert session.reads == 1
    session.made += steps(5, 8, position=6)
    session.end_position = 8
    result = import_runs(store, place)
    assert [(run.state, run.points) for run in result.runs] == [("updated", 3)]
    assert [details["points"] for details in events(store, "run")] == [5, 3]


def test_what_is_left_out_is_counted_once_however_often_an_import_is_interrupted(
    fake: FakeTool, place: Path, store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last event accounts for everything since the one before."""
    monkeypatch.setattr(sending, "MAX_RECORDS", 3)

    def during(number: int) -> None:
        session.left_out["histogram"] += 1
        if number == dies_at:
            raise KeyboardInterrupt

    session = FakeSession(steps(0, 20), during=during)
    fake.run(session)
    for dies_at in (4, 11, 19):  # noqa: B007 - during() looks at it
        with pytest.raises(KeyboardInterrupt):
            import_runs(store, place)
        assert events(store, "run") == []
    dies_at = 99
    result = import_runs(store, place)
    assert result.runs[0].left_out == {"histogram": 20}
    (said,) = events(store, "run")
    assert (said["points"], said["left_out"]) == (20, {"histogram": 20})


def test_what_lies_behind_the_last_entry_is_counted_once_though_it_is_read_again(
    fake: FakeTool, place: Path, store: TrainStore
) -> None:
    """A log's counts add up over its imports; a record that was torn is whole when the log has grown."""

    class Log(FakeSession):
        def entries(self, after: int = 0) -> Iterator[Entry]:
            for number in range(after + 1, size + 1):
                if number % 3:
                    self.left_out["image"] += 1
                else:
                    yield Step(T + number, number, {"loss": 1.0}, position=number)
            self.damage.append(f"torn at {size}")

    session = Log()
    fake.run(session)
    for size in (3, 5, 5, 11, 12, 13):
        result = import_runs(store, place)
        assert result.runs[0].left_out.get("image", 0) == size - size // 3
        assert result.runs[0].damage == [f"torn at {size}"]
        assert import_runs(store, place).to_json()["left_out"] == result.to_json()["left_out"]
    assert sum(details.get("left_out", {}).get("image", 0) for details in events(store, "run")) == 8


@pytest.mark.parametrize("stamp", [None, "1"])
def test_two_imports_of_one_source_at_once_are_as_one(
    fake: FakeTool, place: Path, store: TrainStore, monkeypatch: pytest.MonkeyPatch, stamp: str | None
) -> None:
    """One overtakes the other in the middle of a session, then the other overtakes it."""
    monkeypatch.setattr(sending, "MAX_RECORDS", 4)
    made = [*steps(0, 30), Event(T, "alert", 3, {"title": "t"}, position=40), End(T + 9, "finished", position=41)]
    session = FakeSession(made, stamp=stamp)

    def during(number: int) -> None:
        if number == 14 and session.reads == 1:
            import_runs(store, place)

    session.during = during
    fake.run(session)
    import_runs(store, place)
    assert sorted(stored_points(store)["run"]) == sorted(("loss", n, repr(1.0 / (n + 1))) for n in range(30))
    assert events(store, "run", "alert") == [{"title": "t"}]
    assert len(events(store, "run")) == 1
    again_nothing(store, place)


def test_an_import_that_was_overtaken_stores_nothing_twice(
    fake: FakeTool, place: Path, store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where it is several batches behind: a step's values are not recorded by turns."""
    monkeypatch.setattr(sending, "MAX_RECORDS", 4)
    first = steps(0, 10)
    again = [Step(T + 60_000_000, step, {"loss": 9.0}, position=20 + step) for step in range(10)]
    session = FakeSession([*first, *again])

    def during(number: int) -> None:
        if number == 1 and session.reads == 1:
            import_runs(store, place)

    session.during = during
    fake.run(session)
    import_runs(store, place)
    expected = [("loss", step, repr(value)) for step in range(10) for value in (1.0 / (step + 1), 9.0)]
    assert sorted(stored_points(store)["run"]) == sorted(expected)
    again_nothing(store, place)


def test_a_table_that_changed_anywhere_gives_only_what_is_new(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """Values between, before and behind, a value again, hyperparameters, an end; then nothing is left to send."""
    session = FakeSession([Hyperparams({"lr": 1.0}), *steps(0, 10)], stamp="1")
    fake.run(session)
    import_runs(store, place)
    session.made = [
        Hyperparams({"lr": 2.0, "new": True}),
        *steps(0, 5),
        Step(T, 4, {"loss": 0.5}),  # again
        Step(T + 7, 6, {"other": 1.0}, epoch=2.0),
        *steps(7, 12),
        Notes(T, "n"),
        Event(T, "alert", 2, {"x": 1.0}),
        End(T + 99, "pruned"),
    ]
    session.stamp = "2"
    result = import_runs(store, place)
    assert [(run.state, run.points) for run in result.runs] == [("updated", 4)]
    points = stored_points(store)["run"]
    assert len(points) == 10 + 4 + 1
    assert [value for metric, step, value in points if step == 4] == ["0.2", "0.5"]
    run = store.get_run("run")
    assert (run.status, run.notes, run.hyperparams) == ("pruned", "n", {"lr": 2.0, "new": True})
    session.stamp = "3"
    before = content(store)
    assert import_runs(store, place).points == 0
    assert content(store) == before
    session.made.pop()  # it runs again
    session.stamp = "4"
    import_runs(store, place)
    with store.engine.connect() as connection:
        assert connection.execute(select(store.table.run.c.status)).scalar() == "running"


@given(st.data())
def test_values_that_are_missing_end_as_the_table_has_them(data: st.DataObject) -> None:
    """Whatever is stored: afterwards each wanted value is there, the last is the last, and nothing is missing."""

    def without_repetitions(values: list[int]) -> list[int]:
        return [value for place, value in enumerate(values) if not place or values[place - 1] != value]

    numbers = st.lists(st.integers(0, 4), max_size=8).map(without_repetitions)
    wanted = data.draw(numbers.filter(bool))
    cut = data.draw(st.integers(0, len(wanted)))
    stored = data.draw(st.one_of(numbers, st.just(wanted[:cut])))
    lacking = missing_values(list(stored), list(wanted))
    after = without_repetitions([*stored, *lacking])
    assert set(wanted) <= set(after)
    assert after[-1] == wanted[-1]
    assert missing_values(after, wanted) == []
    if stored == wanted[: len(stored)]:
        assert after == wanted


def test_thousands_of_values_at_one_step_go_on_where_an_import_broke_off(
    fake: FakeTool, place: Path, store: TrainStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything at step 0, as some loops log: the last thousand stay, as of a run that is recorded here."""
    monkeypatch.setattr(sending, "MAX_RECORDS", 100)
    count = MAX_EARLIER + 300
    session = FakeSession([Step(T + n, 0, {"loss": float(n)}) for n in range(count)], stamp="1")
    session.during = lambda number: (_ for _ in ()).throw(KeyboardInterrupt) if number == dies_at else None
    fake.run(session)
    for dies_at in (500, 1_250):  # noqa: B007 - during() looks at it
        with pytest.raises(KeyboardInterrupt):
            import_runs(store, place)
    dies_at = -1
    import_runs(store, place)
    values = sorted(float(value) for _, _, value in stored_points(store)["run"])
    assert values == [float(n) for n in range(count - MAX_EARLIER - 1, count)]
    assert store.get_run("run").last_step == 0
    again_nothing(store, place)


def test_an_import_may_end_anywhere_and_goes_on(
    fake: FakeTool, place: Path, new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both kinds of sessions, broken off at random entries again and again: equal to one import."""
    monkeypatch.setattr(sending, "MAX_RECORDS", 3)
    random_ = random.Random(17)
    for seed in range(15):
        made: list[Any] = [Hyperparams({"lr": 1.0}, position=1), Notes(T, "n", position=2)]
        for number in range(random_.randrange(30)):
            kind = random_.random()
            step = random_.randrange(8) if seed % 2 else number // 3
            if kind < 0.8:
                metrics = {random_.choice("ab"): float(random_.randrange(4))}
                made.append(Step(T + number, step, metrics, position=10 + number))
            else:
                made.append(Event(T + number, "alert", step, {"n": number}, position=10 + number))
        made.append(End(T + 100, "finished", position=100))
        stamp = None if seed % 3 else "1"
        if stamp:
            made.sort(key=lambda entry: entry.step if isinstance(entry, Step) else -1 if entry.position < 10 else 99)
        fake.made.clear()
        dies_at = -1

        def during(number: int) -> None:
            if number == dies_at:  # noqa: B023 - as it is when it is called
                raise KeyboardInterrupt

        session = FakeSession(made, f"session {seed}", stamp=stamp, during=during)
        fake.run(session, identity=f"run {seed}")
        with TrainStore(new_database("sqlite")) as store, TrainStore(new_database("sqlite")) as once:
            import_runs(once, place)
            for _ in range(5):
                dies_at = random_.randrange(len(made))
                with pytest.raises(KeyboardInterrupt):
                    import_runs(store, place)
            dies_at = -1
            import_runs(store, place)
            assert content(store) == content(once), seed
            again_nothing(store, place)


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stamp", [None, "1"])
def test_what_is_whole_is_imported_and_what_is_not_is_named(
    fake: FakeTool, place: Path, store: TrainStore, stamp: str | None
) -> None:
    """Reading stops in the middle of one run; the next time it may get further, and nothing comes twice."""
    session = FakeSession(steps(0, 10), stamp=stamp, end_position=None if stamp else 10)

    def during(number: int) -> None:
        if number == 6 and breaks:
            raise SourceError("block 7 cannot be read")

    breaks, session.during = True, during
    fake.run(session)
    fake.run(FakeSession(steps(0, 2), "other"), identity="other")
    fake.made.append(Unread("x.gz", "is compressed; unpack it first"))
    result = import_runs(store, place)
    assert result.points == 8
    assert result.runs[0].damage == ["reading stopped: block 7 cannot be read"]
    assert result.unread == {"x.gz": "is compressed; unpack it first"}
    assert result.is_damaged
    assert "damaged: run.fake: reading stopped" in str(result)
    breaks = False
    assert import_runs(store, place).points == 4
    assert len(stored_points(store)["run"]) == 10
    assert import_runs(store, place).points == 0


def test_a_run_that_the_source_holds_twice_is_imported_once(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """A database beside its backup: the first is imported, the other is named, and nothing changes from then on."""
    uid = "0123456789abcdef0123456789abcdef"
    fake.run(FakeSession(steps(0, 9), stamp="new"), identity="a", uid=uid)
    fake.run(FakeSession(steps(0, 5, value=2.0), stamp="old"), identity="b", uid=uid)
    result = import_runs(store, place)
    assert result.points == 9
    assert result.unread == {"b.fake": "holds the same run as a.fake, which is imported"}
    again_nothing(store, place)


def test_an_error_of_the_disk_is_ours(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """Whenever a reader meets it."""

    def broken(_look: int) -> None:
        raise OSError(5, "Input/output error")

    fake.before = broken
    with pytest.raises(SourceError, match="cannot be read: Input/output error"):
        import_runs(store, place)


def test_a_report_holds_no_secrets_and_no_novels(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """What a reader says of a part that it does not read may have the source's own words."""
    fake.made.append(Unread("hf_" + "a1B2c3D4" * 5, "is " + "x" * 10_000 + "\0"))
    ((where, why),) = import_runs(store, place).unread.items()
    assert where == "[redacted]"
    assert len(why) == 501


# --- ends -----------------------------------------------------------------------------------------------------------


def test_an_end_that_nobody_tells_is_assumed_after_an_hour(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """Until then the run is shown as running; if it grows after all, it runs again, and ends again."""
    session = FakeSession(
        [Step(now(), 0, {"loss": 1.0}, position=1)], end_position=1, written_at=now(), started_at=now() - 10
    )
    fake.run(session)
    import_runs(store, place)
    assert store.get_run("run").status == "running"
    again_nothing(store, place)
    session.written_at = now() - HOUR - 1
    assert import_runs(store, place).runs[0].state == "updated"
    assert store.get_run("run").status == "finished"
    assert events(store, "run")[-1]["status"] == "assumed"
    again_nothing(store, place)
    session.made.append(Step(now(), 1, {"loss": 0.5}, position=2))
    session.end_position, session.written_at = 2, now()
    import_runs(store, place)
    assert store.get_run("run").status == "running"
    session.written_at = now() - 2 * HOUR
    import_runs(store, place)
    assert store.get_run("run").status == "finished"
    again_nothing(store, place)


def test_an_assumed_end_moves_however_often_another_session_goes_on(
    fake: FakeTool, place: Path, store: TrainStore
) -> None:
    """A training's own file, and an evaluation that writes another now and then."""
    evaluation = FakeSession(steps(5, 6), "evaluation", opens_at=None, written_at=T)
    fake.run(FakeSession(steps(0, 5), written_at=T), evaluation)
    for reached in range(6, 16):
        evaluation.made = steps(5, reached)
        import_runs(store, place)
        run = store.get_run("run")
        assert (run.status, run.ended_at) == ("finished", time_of(T + 1_000_000 * (reached - 1)))


def test_a_copied_source_has_ended_when_its_entries_are_old(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """Copying makes files new; their last step's time says when it ended."""
    fake.run(FakeSession(steps(0, 5), written_at=now()))
    import_runs(store, place)
    run = store.get_run("run")
    assert run.status == "finished"
    assert run.ended_at is not None
    assert round(run.ended_at.timestamp() * 1e6) == T + 4_000_000


def test_a_session_that_was_resumed_was_interrupted(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """Also if it had been taken for finished before."""
    first = FakeSession(steps(0, 5), "one", written_at=T)
    run = fake.run(first)
    import_runs(store, place)
    run.sessions = [first, FakeSession(steps(3, 9), "two", opens_at=2, started_at=T + 10, written_at=T)]
    import_runs(store, place)
    with store.engine.connect() as connection:
        attempt = store.table.attempt.c
        found = connection.execute(select(attempt.status).order_by(attempt.attempt)).scalars().all()
    assert list(found) == ["interrupted", "finished"]
    again_nothing(store, place)


def test_a_run_that_the_source_calls_running_stays_so(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """The source says itself how it ended (``written_at`` is None), and has not yet."""
    fake.run(FakeSession(steps(0, 3)))
    import_runs(store, place)
    with store.engine.connect() as connection:
        assert connection.execute(select(store.table.run.c.status)).scalar() == "running"
    assert store.get_run("run").status == "lost"


# --- arguments and rights ---------------------------------------------------------------------------------------------


def test_a_dry_run_reads_a_store_that_may_only_be_read(fake: FakeTool, place: Path, database_url: str) -> None:
    """An import into it is refused before anything is read."""
    fake.run(FakeSession(steps(0, 3)))
    with TrainStore(database_url, read_only=True) as store:
        assert import_runs(store, place, dry_run=True).points == 3
        looks = fake.looks
        with pytest.raises(ReadOnlyStoreError):
            import_runs(store, place)
        assert fake.looks == looks


def test_a_database_that_cannot_be_read_is_named_where_nothing_else_is_known(tmp_path: Path, store: TrainStore) -> None:
    """Not that there is nothing of any tool."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mlflow.db").write_bytes(b"SQLite format 3\0torn")
    with pytest.raises(SourceError, match=r"nothing else that can be imported, and mlflow\.db is"):
        import_runs(store, tmp_path / "there")


def test_arguments_that_cannot_be_used_are_refused(fake: FakeTool, place: Path, store: TrainStore) -> None:
    """Each error names the value and what to do."""
    for arguments, message in (
        ({"source": ""}, "neither a path nor a URL"),
        ({"source": 3}, "neither a path nor a URL"),
        ({"project": ""}, "not empty"),
        ({"dry_run": True, "follow": True}, "leave out one"),
        ({"tool": "aim2"}, "there are fake"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            import_runs(store, **{"source": place, **arguments})  # type: ignore[arg-type]


def test_sources_that_are_no_tool_s_or_several_say_what_lies_there(
    fake: FakeTool, place: Path, store: TrainStore, tmp_path: Path
) -> None:
    """Nothing, an empty file, other files, our own store, our own journals, Aim's folder."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("a")
    (tmp_path / "zero").write_bytes(b"")
    (tmp_path / "repo" / ".aim" / "meta").mkdir(parents=True)
    (tmp_path / "repo" / ".aim" / "meta" / "x").write_text("x")
    (tmp_path / "own").mkdir()
    with TrainStore(tmp_path / "own" / "runs.db"):
        pass
    for name, message in (
        ("missing", "cannot be read: No such file"),
        ("empty", "Fake.*it is an empty folder"),
        ("other", r"it holds a\.txt"),
        ("zero", "it is an empty file"),
        ("repo", "Aim.*--step"),
        ("own", "trainstore merge .*runs.db"),
        ("own/runs.db", "trainstore merge .*runs.db"),
    ):
        with pytest.raises(SourceError, match=message):
            import_runs(store, tmp_path / name)
    with pytest.raises(SourceError, match="has no name"):
        check_source("")
    with pytest.raises(SourceError, match=r"https://.*host/run is a web address") as caught:
        import_runs(store, "https://someone:pass@host/run")
    assert "pass" not in str(caught.value)
    with store.start_run("being recorded") as run:
        run.log({"loss": 1.0})
        root = store._service.journal_root()
        (journal,) = (path for path in root.iterdir() if path.is_dir())
        for inside in (root, journal, journal / "meta.json"):
            with pytest.raises(SourceError, match="trainstore recover"):
                import_runs(store, inside)


def test_a_store_of_ours_beside_files_of_two_tools_does_not_hide_them(tmp_path: Path, store: TrainStore) -> None:
    """They are named, so that one can be chosen."""
    shutil.copytree(SAMPLES / "lightning_csv", tmp_path / "logs" / "lightning")
    shutil.copytree(SAMPLES / "trainer_state", tmp_path / "logs" / "trainer")
    with TrainStore(tmp_path / "logs" / "trainstore.db"):
        pass
    with pytest.raises(SourceError, match="say which to import: --from lightning or --from trainer_state"):
        import_runs(store, tmp_path / "logs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": "epoch"}, r"step='epoch' \(--step\) says how CSV or Parquet is read, and this is Fake: leave it out"),
        ({"timezone": "Europe/Berlin"}, "timezone='Europe/Berlin' .* Optuna or CSV or Parquet"),
        ({"merge_subfolders": True}, "merge_subfolders=True .--merge-subfolders. says how TensorBoard is read"),
    ],
)
def test_an_option_of_another_tool_is_refused(
    options: dict[str, Any], message: str, fake: FakeTool, place: Path, store: TrainStore
) -> None:
    """It would change nothing, which nobody expects."""
    with pytest.raises(InvalidArgumentError, match=message):
        import_runs(store, place, **options)
    with pytest.raises(InvalidArgumentError, match=message):
        check_source(place, **options)


def test_a_source_that_may_not_be_read_says_so(new_database: Callable[..., str]) -> None:
    """A file without the right to read it, a folder without the right to enter it; the tests may run as root."""
    with tempfile.TemporaryDirectory() as folder, TrainStore(new_database("sqlite")) as store:
        place = Path(folder, "runs")
        shutil.copytree(SAMPLES / "tensorboard" / "runs" / "torn", place)
        (event_file,) = place.iterdir()
        os.chmod(folder, 0o755)
        root = os.geteuid() == 0
        for path, mode in ((event_file, 0o000), (place, 0o000)):
            before = path.stat().st_mode
            path.chmod(mode)
            try:
                if root:
                    os.seteuid(65_534)
                with pytest.raises(SourceError, match="Permission denied"):
                    import_runs(store, place, dry_run=True)
            finally:
                if root:
                    os.seteuid(0)
                path.chmod(before)
        assert import_runs(store, place).points > 0


# --- following --------------------------------------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between looks, which are not waited for; a look takes no time."""
    pauses: list[float] = []
    clock = SimpleNamespace(sleep=pauses.append, monotonic=lambda: 0.0, time_ns=time.time_ns)
    monkeypatch.setattr(importer, "time", clock)
    return pauses


def test_a_source_is_followed_until_it_ends(
    fake: FakeTool, place: Path, store: TrainStore, patient: list[float]
) -> None:
    """Steps appear as they are written; pauses grow while nothing is; one event at the end says it all."""
    session = FakeSession(steps(0, 3), end_position=3)
    seen: list[int] = []

    def before(look: int) -> None:
        frame = store.list_runs()
        seen.append(len(stored_points(store).get("run", [])))
        assert look == 1 or list(frame["status"]) == ["running"] or look > 9
        if look in (2, 6):
            session.made += steps(len(session.made), len(session.made) + 2, position=len(session.made) + 1)
            session.left_out["histogram"] += 1
        if look == 9:
            session.made.append(End(T + 60_000_000, "finished", position=99))
        session.end_position = len(session.made)

    session.started_at = now()
    fake.before = before
    fake.run(session)
    result = import_runs(store, place, follow=True)
    assert seen[:8] == [0, 3, 5, 5, 5, 5, 7, 7]
    assert result.points == 7
    assert not result.interrupted
    assert (store.get_run("run").status, result.runs[0].state) == ("finished", "new")
    assert patient[0] == 1.0
    assert 1.0 < max(patient) <= 5.0
    (said,) = events(store, "run")
    assert said["points"] == 7
    again_nothing(store, place)


def test_ctrl_c_ends_following_and_a_later_import_goes_on(
    fake: FakeTool, place: Path, store: TrainStore, patient: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a session, and between two looks."""
    monkeypatch.setattr(sending, "MAX_RECORDS", 4)
    session = FakeSession(steps(0, 10))

    def during(number: int) -> None:
        if number == 7 and session.reads == 1:
            raise KeyboardInterrupt

    session.during = during
    fake.run(session)
    result = import_runs(store, place, follow=True)
    assert result.interrupted
    assert len(stored_points(store)["run"]) == 10  # what was there is brought at the end
    assert len(events(store, "run")) == 1
    session.made += steps(10, 12, position=11)
    assert import_runs(store, place, follow=True, until=lambda: True).points == 2
    assert len(events(store, "run")) == 2
    again_nothing(store, place)


def test_a_followed_run_is_alive_as_long_as_its_source_is_written(
    fake: FakeTool, place: Path, store: TrainStore, patient: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeat is renewed though it has no new step; without writes it is lost, as a dead process is."""
    monkeypatch.setattr(importer, "HEARTBEAT", 0.0)
    session = FakeSession(steps(0, 3), end_position=3, started_at=T)
    statuses: list[str] = []

    def before(look: int) -> None:
        session.written_at = now() if look < 4 else now() - 600_000_000
        if look > 1:
            statuses.append(store.get_run("run").status)
            with store.engine.begin() as connection:  # time passes
                heard = store.table.writer.c.heartbeat_at
                old = store.get_run("run").started_at
                connection.execute(update(store.table.writer).values(heartbeat_at=old).where(heard.is_not(None)))

    monkeypatch.setattr(ends, "QUIET", 10**18)
    fake.before = before
    fake.run(session)
    import_runs(store, place, follow=True, until=lambda: fake.looks >= 6)
    assert statuses[:5] == ["running", "running", "running", "lost", "lost"]


def test_following_goes_on_when_the_source_or_the_store_is_away_for_a_while(
    fake: FakeTool, place: Path, store: TrainStore, patient: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """An error is told once; at the first look it ends the import."""
    session = FakeSession(steps(0, 3), end_position=3)

    def before(look: int) -> None:
        if look in (3, 4) or fails_at_once:
            raise SourceError("the database was restarted")
        if look == 5:
            session.made += steps(3, 5, position=4)
            session.end_position = 5

    fails_at_once, fake.before = False, before
    fake.run(session)
    result = import_runs(store, place, follow=True, until=lambda: fake.looks >= 6)
    assert result.points == 5
    assert caplog.text.count("the database was restarted") == 1
    fails_at_once = True
    with pytest.raises(SourceError, match="restarted"):
        import_runs(store, place, follow=True)
