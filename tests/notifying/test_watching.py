"""`trainstore watch` tells each change once, and sends what the process that trains could not."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import event, text, update
from sqlalchemy.exc import SQLAlchemyError

from fixtures.receivers import notifications
from trainstore import TrainStore
from trainstore.cli import watch
from trainstore.notifying import channels, relaying
from trainstore.notifying.relaying import Relay
from trainstore.notifying.targets import Target
from trainstore.notifying.watching import Watcher
from trainstore.queries import Reader


def look(store, watcher):
    """What a watcher finds."""
    with store.snapshot() as view:
        return watcher.look(replace(view.reader, exact=True))


def told(changes):
    """(kind, status or level, name) of changes."""
    return [(c.event.kind, c.event.level if c.event.kind == "alert" else c.event.status, c.event.name) for c in changes]


def kill(store, run):
    """As if the run's process had been killed two minutes ago."""
    ago = (
        "strftime('%Y-%m-%d %H:%M:%f', 'now', '-2 minutes')"
        if store.url.startswith("sqlite")
        else "now() - interval '2 minutes'"
    )
    with store.engine.begin() as connection:
        condition = f"uid = '{run.attempt_uid}'"
        connection.execute(text(f"UPDATE writer SET heartbeat_at = {ago}, started_at = {ago} WHERE {condition}"))


def test_every_change_is_told_once(store):
    """Begun, alerts, ends, a run that goes on; nothing of what was before, or of another project."""
    store.start_run(name="before").finish()
    watcher, other = Watcher(), Watcher("other")
    assert look(store, watcher) == look(store, other) == []
    run = store.start_run(name="one")
    run.log(loss=1.0)
    run.alert("look", level="warn")
    run.flush(30)
    assert told(look(store, watcher)) == [("begun", "running", "one"), ("alert", "warn", "one")]
    assert watcher.running == 1
    run.finish("failed", "ValueError: no")
    store.start_run(name="short", project="other").finish()
    changes = look(store, watcher)
    assert sorted(told(changes)) == [
        ("begun", "running", "short"), ("ended", "failed", "one"), ("ended", "finished", "short")
    ]  # fmt: skip
    assert [c.event.error for c in changes if c.event.name == "one"] == ["ValueError: no"]
    resumed = store.resume_run(run, step=0)
    resumed.finish()
    changes = look(store, watcher)
    assert told(changes) == [("begun", "running", "one"), ("ended", "finished", "one")]
    assert changes[0].is_resumed
    assert look(store, watcher) == []
    assert told(look(store, other)) == [("begun", "running", "short"), ("ended", "finished", "short")]


def test_a_loss_is_told_for_each_silence(store):
    """Lost, heard of again, lost again: two losses with keys of their own, and then its end.

    Somebody who looks when the rest of its journal has been recovered finds the same loss.
    """
    watcher, late = Watcher(), Watcher()
    run = store.start_run(name="quiet")
    run.flush(30)
    assert told(look(store, watcher)) == told(look(store, late)) == []
    kill(store, run)
    (first,) = look(store, watcher)
    assert (first.event.kind, first.event.status, first.is_sendable) == ("ended", "lost", True)
    assert look(store, watcher) == []
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE writer SET acked = acked + 5"))
    (same,) = look(store, late)
    assert same.event.seq == first.event.seq
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE writer SET acked = acked - 5"))
    run.log(loss=1.0)
    run.flush(30)
    assert told(look(store, watcher)) == [("heard", "running", "quiet")]
    kill(store, run)
    (second,) = look(store, watcher)
    assert second.event.seq < 0
    assert second.event.seq != first.event.seq
    run.finish()
    (end,) = look(store, watcher)
    assert (end.event.status, end.event.seq) == ("finished", 0)


@pytest.fixture
def after(monkeypatch):
    """The database's clock, as queries see it: it stands, however busy the machine is, until it is put forward."""
    real, passed, begun = Reader.now, timedelta(), []

    def advance(seconds):
        nonlocal passed
        passed += timedelta(seconds=seconds)

    def now(reader):
        begun[:] = begun or [real(reader)]
        return begun[0] + passed

    monkeypatch.setattr(Reader, "now", now)
    monkeypatch.setattr("trainstore.recording.delivery_thread.HEARTBEAT", 1e9)
    return advance


def beat(store, run, *, closed=False):
    """A heartbeat of the run's process, or its last one."""
    with store.snapshot() as view:
        now = view.reader.now()
    writer = store.models.writer
    with store.engine.begin() as connection:
        values = {"closed_at" if closed else "heartbeat_at": now}
        connection.execute(update(writer).where(writer.c.uid == run.attempt_uid).values(values))


def test_a_machine_that_slept_has_lost_no_run(store, after):
    """Nor has a database that was away: the runs are given the time of a loss to be heard of, then it is told."""
    watcher = Watcher()
    runs = [store.start_run(name=name) for name in ("sleeper", "dead", "closed")]
    store.flush(30)
    assert look(store, watcher) == []
    after(3_600)
    beat(store, runs[2], closed=True)
    assert told(look(store, watcher)) == [("ended", "lost", "closed")]
    beat(store, runs[0])
    after(80)
    assert look(store, watcher) == []
    after(20)
    beat(store, runs[0])
    assert told(look(store, watcher)) == [("ended", "lost", "dead")]
    assert look(store, watcher) == []
    for _ in range(5):
        after(20)
        changes = look(store, watcher)
    assert told(changes) == [("ended", "lost", "sleeper")]  # somebody has listened all the time
    assert changes[0].is_sendable


def test_a_receiver_that_keeps_watch_busy_hides_no_loss(store, after):
    """However long the looks are apart, a loss is told."""
    watcher = Watcher()
    run = store.start_run(name="lost")
    run.flush(30)
    found = []
    for _ in range(3):
        found += look(store, watcher)
        after(100)
    assert told(found) == [("ended", "lost", "lost")]


def test_a_look_reads_only_what_may_have_changed(store, monkeypatch):
    """Runs that ended a while ago are not read again, and a look has the same few statements however many there are."""
    statements, rows = [], []
    real = Reader.rows
    monkeypatch.setattr(Reader, "rows", lambda *given: [rows.append(row) or row for row in real(*given)])
    event.listen(store.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    watcher = Watcher()

    def cost():
        statements.clear()
        rows.clear()
        assert look(store, watcher) == []
        return len(statements), len(rows)

    cost()
    few = cost()
    for number in range(20):
        with store.start_run(name=f"{number}") as run:
            run.log(loss=1.0, step=0)
            run.alert("old")
    look(store, watcher)
    run_table = store.models.run
    with store.engine.begin() as connection:
        connection.execute(update(run_table).values(ended_at=text("'2026-01-01'")))
    monkeypatch.setattr("trainstore.notifying.watching._LATE", timedelta())
    cost()
    many = cost()
    assert many[0] <= few[0] <= 10
    assert many[1] == few[1] == 0


def test_a_receiver_that_is_slow_keeps_no_line_back(store, receiver, monkeypatch):
    """Sending takes turns with looking."""
    clock = iter(range(0, 1_000, 3))
    monkeypatch.setattr(relaying.time, "monotonic", lambda: next(clock))
    watcher, relay = Watcher(), Relay(store._backend, store._models, [Target(receiver.url)])
    look(store, watcher)
    with store.start_run(name="many") as run:
        for number in range(4):
            run.alert(f"{number}")
    relay.add(change.event for change in look(store, watcher) if change.is_sendable)
    arrived = []
    for _ in range(5):
        assert list(relay.send()) == []
        arrived.append(len(receiver.messages))
    assert arrived == [1, 2, 3, 4, 5]


def test_an_alert_arrives_once_by_whomever(store, sending):
    """The process itself and two watchers compete for every event; each is sent by one of them."""
    with TrainStore(store.url if store.url.startswith("sqlite") else store.engine.url) as second:
        watchers = [(opened, Watcher()) for opened in (store, second)]
        relays = [Relay(opened._backend, opened._models, [Target(sending.url)]) for opened, _ in watchers]
        for opened, watcher in watchers:
            look(opened, watcher)
        run = store.start_run(name="contested")
        for number in range(8):
            run.alert(f"{number}")
        run.flush(30)

        def watch(place):
            opened, watcher = watchers[place]
            relays[place].add(change.event for change in look(opened, watcher) if change.is_sendable)
            assert list(relays[place].send()) == []

        for end in (False, True):
            if end:
                run.finish()
            threads = [threading.Thread(target=watch, args=(place,)) for place in (0, 1)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    sending.wait_for(9)
    assert sorted(sending.titles) == [*(f"{number}" for number in range(8)), "contested finished"]


def test_what_an_import_and_a_merge_bring(store, receiver, tmp_path, new_database, backend_name):
    """An imported run is never sent. Of a merged one, what is newer than the watch, and was not sent elsewhere."""
    watcher = Watcher()
    with TrainStore(new_database(backend_name)) as laptop:
        old = laptop.start_run(name="old")
        old.alert("old")
        old.finish()
        own = Watcher()
        assert look(store, watcher) == look(laptop, own) == []
        new = laptop.start_run(name="new")
        new.alert("new")
        new.alert("sent before")
        new.finish("failed")
        relay = Relay(laptop._backend, laptop._models, [Target(receiver.url)])
        relay.add(c.event for c in look(laptop, own) if c.event.title == "sent before")
        assert list(relay.send()) == []
        store.merge(laptop)
    folder = tmp_path / "logs" / "version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("step,epoch,loss\n0,0,1.0\n1,0,0.5\n")
    from trainstore.importing import import_runs

    import_runs(store, tmp_path / "logs")
    relay = Relay(store._backend, store._models, [Target(receiver.url)])
    changes = look(store, watcher)
    relay.add(change.event for change in changes if change.is_sendable)
    assert list(relay.send()) == []
    assert receiver.titles == ["sent before", "new", "new failed"]
    assert not any(change.is_sendable for change in changes if change.event.name not in ("old", "new"))


def test_the_command_tells_and_sends(start_script, store, database_url, sending, monkeypatch, wait_until):
    """Lines as things happen, JSON too, exit code 130 at Ctrl-C; a run whose process was killed is sent."""
    watching = start_script(
        """
        import sys
        from trainstore.cli import main
        main(["watch", "--store", sys.argv[1], "--interval", "0.1", *sys.argv[2:]])
        """,
        database_url,
        "--notify",
    )
    as_json = start_script(
        """
        import sys
        from trainstore.cli import main
        main(["watch", "--store", sys.argv[1], "--interval", "0.1", "--json"])
        """,
        database_url,
    )
    wait_until(lambda: "watching" in watching.stderr and "watching" in as_json.stderr)
    monkeypatch.setenv("TRAINSTORE_NOTIFY", "off")
    run = store.start_run(name="one\x1b[2J", project="p")
    run.alert("look here", step=3)
    run.flush(30)
    sending.wait_for(1)
    kill(store, run)
    sending.wait_for(2)
    for script in (watching, as_json):
        script.process.send_signal(signal.SIGINT)
    lines = watching.finish(code=130)
    label = f"one\\x1b[2J (p, {run.uid[:8]})"
    assert [line.split(" ", 2)[2] for line in lines] == [
        f"{label} began", f"{label} alert, info at step 3: look here", f"{label} lost"
    ]  # fmt: skip
    rows = [json.loads(line) for line in as_json.finish(code=130)]
    assert [(row["kind"], row.get("status"), row["run"]) for row in rows] == [
        ("begun", "running", run.uid), ("alert", None, run.uid), ("ended", "lost", run.uid)
    ]  # fmt: skip
    assert rows[1]["title"] == "look here"
    assert sending.titles == ["look here", "one [2J lost"]
    assert len(notifications(store)) == 2


@pytest.mark.parametrize("options", [(), ("--notify",)])
def test_a_store_that_is_not_there(start_script, tmp_path, options):
    """One line; nothing is made."""
    script = start_script(
        "import sys; from trainstore.cli import main; main(['watch', *sys.argv[1:]])",
        "--store", str(tmp_path / "none.db"), *options,
    )  # fmt: skip
    script.finish(code=1)
    assert "there is no store at" in script.stderr
    assert not (tmp_path / "none.db").exists()


def test_what_is_in_the_way_of_sending(store, receiver):
    """A run that was deleted holds up nobody; a database that cannot be written is told of once."""
    watcher, relay = Watcher(), Relay(store._backend, store._models, [Target(receiver.url)])
    assert look(store, watcher) == []
    store.start_run(name="gone").finish()
    relay.add(change.event for change in look(store, watcher) if change.is_sendable)
    store.delete_run("gone")
    store.start_run(name="there").finish()
    relay.add(change.event for change in look(store, watcher) if change.is_sendable)
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE notification RENAME TO elsewhere"))
    problems = [*relay.send(), *relay.send()]
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO notification"))
    assert len(problems) == 1
    assert "not sent yet, the database cannot be written" in problems[0]
    assert list(relay.send()) == []
    assert receiver.titles == ["there finished"]


def test_a_store_in_memory_that_is_merged(store, sending, wait_until):
    """What its process has sent is not sent again by a watcher of the store that it was merged into."""
    watcher, relay = Watcher(), Relay(store._backend, store._models, [Target(sending.url)])
    look(store, watcher)
    with TrainStore(":memory:") as memory:
        with memory.start_run(name="memory") as run:
            run.alert("here")
        sending.wait_for(2)
        wait_until(lambda: [sent for _, sent in notifications(memory)] == [True, True])
        store.merge(memory)
    relay.add(change.event for change in look(store, watcher) if change.is_sendable)
    assert list(relay.send()) == []
    assert sending.titles == ["here", "memory finished"]


def test_watch_outlives_what_happens_to_its_database(start_script, new_database, backend_name, wait_until):
    """Its connections are ended, its tables are away for a while: it says so once, and goes on."""
    url = new_database(backend_name)
    code = """
        import sys
        from trainstore.cli import main
        main(["watch", sys.argv[1], "--interval", "0.1"])
    """
    watching = start_script(code, url)
    wait_until(lambda: "watching" in watching.stderr)
    with TrainStore(url) as store:
        with store.engine.begin() as connection:
            if backend_name == "postgresql":
                others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
            connection.execute(text("ALTER TABLE run RENAME TO elsewhere"))
        wait_until(lambda: "the database reported an error" in watching.stderr)
        with store.engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO run"))
        store.start_run(name="later").finish()
        wait_until(lambda: any("later" in line for line in watching.lines))
    watching.process.send_signal(signal.SIGINT)
    watching.finish(code=130)
    assert watching.stderr.count("the database reported an error") == 1


def test_a_look_that_breaks_off_hides_nothing(store):
    """The database goes away between its statements: the next look tells what it would have told."""
    watcher = Watcher()
    run = store.start_run(name="ended")
    run.flush(30)
    look(store, watcher)
    run.finish("failed")
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE event RENAME TO elsewhere"))
    with pytest.raises(SQLAlchemyError):
        look(store, watcher)
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO event"))
    assert told(look(store, watcher)) == [("ended", "failed", "ended")]


def test_what_may_wait_is_counted_by_event(store, receiver, monkeypatch):
    """Several addresses leave room for as many alerts as one does; beyond that, ends still have room."""
    monkeypatch.setattr(relaying, "MAX_ALERTS", 2)
    addresses = [Target(f"{receiver.url}{number}") for number in range(3)]
    watcher, relay = Watcher(), Relay(store._backend, store._models, addresses)
    look(store, watcher)
    with store.start_run(name="flood") as run:
        for number in range(4):
            run.alert(f"{number}")
    assert relay.add(change.event for change in look(store, watcher) if change.is_sendable) == 2
    assert list(relay.send()) == []
    assert receiver.titles == [title for title in ("0", "1", "flood finished") for _ in addresses]


def test_a_long_interval_delays_no_message(store, receiver, monkeypatch):
    """A service that wants time between messages gets what is left while `watch` waits for its next reading."""
    clock = [0.0]
    time = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda seconds: clock.append(clock.pop() + seconds))
    for module in (watch, channels):
        monkeypatch.setattr(module, "time", time)
    watcher, relay = Watcher(), Relay(store._backend, store._models, [Target(receiver.url)])
    relay._channels[0]._pause = 5.0
    look(store, watcher)
    with store.start_run(name="paced") as run:
        run.alert("one")
        run.alert("two")
    relay.add(change.event for change in look(store, watcher) if change.is_sendable)
    watch._wait(60.0, relay)
    assert clock == [60.0]
    assert receiver.titles == ["one", "two", "paced finished"]


def test_a_service_that_wants_time_keeps_no_line_back(store, receiver):
    """What it is not to get yet is not claimed, and waits for a later look."""
    watcher, relay = Watcher(), Relay(store._backend, store._models, [Target(receiver.url)])
    look(store, watcher)
    with store.start_run(name="paced") as run:
        run.alert("one")
    relay.add(change.event for change in look(store, watcher) if change.is_sendable)
    relay._channels[0]._pause = 60.0
    for _ in range(3):
        assert list(relay.send()) == []
    assert receiver.titles == ["one"]
    assert len(notifications(store)) == 1
    relay._channels[0]._free_at = 0.0
    assert list(relay.send()) == []
    assert receiver.titles == ["one", "paced finished"]


def test_a_run_that_goes_on_after_it_was_lost(store, receiver):
    """Its loss was sent; the end of its next attempt is another event, and is sent too."""
    watcher, relay = Watcher(), Relay(store._backend, store._models, [Target(receiver.url)])
    look(store, watcher)
    run = store.start_run(name="again")
    run.log(loss=1.0, step=0)
    run.flush(30)
    look(store, watcher)
    kill(store, run)
    changes = look(store, watcher)
    with store.engine.begin() as connection:  # its process is gone
        connection.execute(text("UPDATE writer SET closed_at = heartbeat_at"))
    store.resume_run(run, step=0).finish()
    changes += look(store, watcher)
    assert told(changes) == [("ended", "lost", "again"), ("begun", "running", "again"), ("ended", "finished", "again")]
    relay.add(change.event for change in changes if change.is_sendable)
    assert list(relay.send()) == []
    assert receiver.titles == ["again lost at step 0", "again finished at step 0"]
