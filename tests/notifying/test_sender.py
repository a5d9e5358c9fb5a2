"""A process that trains sends its alerts and the ends of its runs by itself, and is never kept waiting by that."""

from __future__ import annotations

import gc
import logging
import os
import random
import re
import signal
import socket
import sys
import threading
from contextlib import closing

from sqlalchemy import text

from fixtures.receivers import DEADLINE, SECRET, MailReceiver, notifications
from trainstore import TrainStore
from trainstore.errors import StoreUnavailableError
from trainstore.notifying import claims, relaying, sender, targets
from trainstore.notifying.channels import Channel
from trainstore.notifying.messages import trial_message
from trainstore.recording import listeners


def full_url(store: TrainStore) -> str:
    """The store's URL, with its password."""
    return store.url if store.url.startswith("sqlite") else store.engine.url.render_as_string(hide_password=False)


def age(store: TrainStore, time: str) -> None:
    """As if everything had been claimed so long ago."""
    ago = f"datetime('now', '-{time}')" if store.url.startswith("sqlite") else f"now() - interval '{time}'"
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE notification SET claimed_at = {ago}"))


def end_sender() -> None:
    """Send what waits, and wait for the thread: it tells nothing after that."""
    sender._sender.close(DEADLINE)
    sender._sender._thread.join(DEADLINE)


def test_alerts_and_ends_arrive_once(store, sending, caplog, wait_until):
    """The alert with its level, text and step; the end with its step; plain text, and no secret in any log."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    with store.start_run(project="p", name="one <b>") as run:
        run.log(loss=1.0, step=7)
        run.alert("{{ loss }} is <b>NaN</b> \\n :smile:", "file:///etc/hostname\n@everyone", "warning", step=7)
    sending.wait_for(2)
    wait_until(lambda: sorted(sent for _, sent in notifications(store)) == [True, True])
    alert, end = sending.messages
    assert (alert["type"], alert["title"]) == ("warning", "{{ loss }} is <b>NaN</b> \\n :smile:")
    assert alert["message"].splitlines() == [
        "file:///etc/hostname", "@everyone", "warn at step 7, run one <b>, project p", run.uid
    ]  # fmt: skip
    assert alert["attachments"] == []
    assert (end["type"], end["title"]) == ("success", "one <b> finished at step 7")
    assert end["message"].splitlines() == ["project p", run.uid]
    assert SECRET not in caplog.text
    assert str(sending.url.split(":")[2].split("/")[0]) not in caplog.text


def test_a_claim_of_which_nobody_knows(store, sending, monkeypatch, call_doctor, wait_until):
    """The connection was lost while the claim was committed: nobody sends it, as somebody may have. Doctor says so."""
    lost = []

    def claim(*given):
        claimed = claims.claim(*given)
        if not lost:
            lost.append(claimed)
            raise StoreUnavailableError("the connection was lost")
        return claimed

    monkeypatch.setattr(relaying, "claim", claim)
    run = store.start_run(name="unknown")
    run.alert("in doubt")
    wait_until(lambda: bool(lost))
    run.finish()
    sending.wait_for(1)
    end_sender()
    assert lost == [True]
    assert sending.titles == ["unknown finished"]
    assert sorted(sent for _, sent in notifications(store)) == [False, True]
    age(store, "1 hour")
    assert "1 not sent in the last 7 days" in call_doctor(full_url(store))["alerts"]["text"]


def test_no_secret_of_an_alert_is_sent(store, sending, caplog):
    """Neither in a title or text, nor in the error of a run or its name; what is sent is what is stored."""
    caplog.set_level(logging.DEBUG)
    secret = "q7hunter2Z3x"
    run = store.start_run(project="p", name=f"n token={secret}")
    run.alert(f"api_key: {secret}", f"no mysql://root:{secret}@db/x\nAuthorization: Bearer {secret}", level="error")
    run.finish("failed", f"RuntimeError: cannot log in (token={secret}, password is '{secret}')")
    sending.wait_for(2)
    end_sender()
    alert, end = sending.messages
    assert alert["title"] == "api_key: [redacted]"
    assert alert["message"].splitlines()[:2] == ["no mysql://root:[redacted]@db/x", "Authorization: Bearer [redacted]"]
    assert end["title"] == "n token=[redacted] failed"
    assert end["message"].splitlines()[0] == "RuntimeError: cannot log in (token=[redacted], password is '[redacted]')"
    assert secret not in repr(sending.messages) + caplog.text


def test_which_ends_are_sent(store, sending, monkeypatch, caplog):
    """A failure with its first line; neither pruned trials nor what somebody interrupted, unless they are asked for."""
    for status, error in (("pruned", None), ("interrupted", "KeyboardInterrupt"), ("failed", "ValueError: no\nmore")):
        store.start_run(name=status).finish(status, error)
    sending.wait_for(1)
    end_sender()
    (message,) = sending.messages
    assert (message["type"], message["title"]) == ("failure", "failed failed")
    assert message["message"].splitlines()[0] == "ValueError: no"
    monkeypatch.setattr(sender, "_sender", None)
    monkeypatch.setenv("TRAINSTORE_NOTIFY_ON", "pruned, Failed")
    with store.start_run(name="two") as run:
        run.alert("not asked for")
    store.start_run(name="three").finish("pruned")
    sending.wait_for(2)
    end_sender()
    assert sending.titles[1:] == ["three pruned"]
    monkeypatch.setattr(sender, "_sender", None)
    monkeypatch.setenv("TRAINSTORE_NOTIFY_ON", "failed, losses")
    store.start_run(name="four").finish("failed")
    end_sender()
    assert "TRAINSTORE_NOTIFY_ON holds 'losses', which is not one of alert, finished" in caplog.text
    assert len(sending.messages) == 2


def test_a_store_in_memory_sends_too(sending):
    """Nobody else can see its runs, so nothing is claimed."""
    with TrainStore(":memory:") as store, store.start_run(name="memory") as run:
        run.alert("here")
    sending.wait_for(2)
    assert sending.titles == ["here", "memory finished"]


def test_without_targets_nothing_is_loaded(start_script, tmp_path, monkeypatch):
    """No thread, no Apprise, whatever is told; and so if sending is turned off. No database has a part in it."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    script = start_script(
        """
        import os, sys, threading
        from trainstore import TrainStore
        with TrainStore(sys.argv[1]) as store:
            for value in ("", "off"):
                os.environ["TRAINSTORE_NOTIFY"] = value
                with store.start_run() as run:
                    run.alert("nobody hears it")
                    names = sum(thread.name == "trainstore-sender" for thread in threading.enumerate())
                print("apprise" in sys.modules, "trainstore.notifying.sender" in sys.modules, names)
        """,
        str(tmp_path / "store.db"),
    )
    assert script.finish() == ["False False 0"] * 2


def test_without_apprise(store, sending, monkeypatch, caplog):
    """A line at the beginning says what to install, and the run is recorded."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with store.start_run(name="recorded") as run:
        run.alert("kept")
    end_sender()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == [
        "alerts and ends of runs are not sent: apprise is not installed, so nothing can be sent: "
        "pip install 'trainstore[alerts]'"
    ]
    assert store.get_run("recorded").status == "finished"
    assert len(store.list_events("recorded", kind="alert")) == 1


def test_a_receiver_that_refuses(store, sending, caplog):
    """It is told once, without the address, and the message is not sent again."""
    sending.behave = "refuse"
    with store.start_run(name="refused") as run:
        run.alert("one")
        run.alert("two")
    sending.wait_for(3, "arrivals")
    end_sender()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert re.match(r"a message to json://127.0.0.1:\d+/….* was lost: it was not taken \(.*error=500.*\)", warnings[0])
    assert SECRET not in warnings[0]
    assert [sent for _, sent in notifications(store)] == [False] * 3
    assert sending.arrivals == 3


def test_redirects_are_not_followed(store, sending):
    """A message goes where its user said, and nowhere else."""
    sending.behave = "redirect"
    store.start_run(name="redirected").finish()
    sending.wait_for(1, "arrivals")
    end_sender()
    assert (sending.arrivals, sending.messages) == (1, [])


def test_a_receiver_that_hangs_holds_up_nobody(start_script, new_database, sending):
    """The process ends while the receiver still has not answered; what waits behind it is not claimed.

    One process records into both databases, as the end of it takes three seconds.
    """
    sending.behave = "hang"
    urls = [new_database(kind) for kind in ("sqlite", "postgresql")]
    os.environ["TRAINSTORE_NOTIFY"] = f"{sending.url}?rto=100"
    script = start_script(
        """
        import sys
        from trainstore import TrainStore
        for url in sys.argv[1:]:
            with TrainStore(url) as store, store.start_run(name="hung") as run:
                for number in range(300):
                    run.alert(f"{number}")
        input()
        print("done")
        """,
        *urls,
    )
    sending.wait_for(1, "arrivals")
    script.send("end")
    assert script.finish() == ["done"]
    assert not sending.released.is_set()
    assert "too many alerts are waiting to be sent" in script.stderr
    assert script.stderr.count("are waiting to be sent") == 1
    assert "could not be sent before the process ended" in script.stderr
    claimed = []
    for url in urls:
        with TrainStore(url) as store:
            claimed += notifications(store)
            assert len(store.list_events("hung", kind="alert")) == 300
    assert [sent for _, sent in claimed] == [False]


def test_killed_between_claim_and_sending(start_script, database_url, sending, call_doctor):
    """Nobody sends it again, and `trainstore doctor` says so."""
    sending.behave = "hang"
    script = start_script(
        """
        import sys, time
        from trainstore import TrainStore
        run = TrainStore(sys.argv[1]).start_run(name="killed")
        run.alert("never")
        time.sleep(100)
        """,
        database_url,
    )
    sending.wait_for(1, "arrivals")
    script.kill()
    with TrainStore(database_url) as store:
        assert [sent for _, sent in notifications(store)] == [False]
        assert "alerts" not in call_doctor(database_url)
        age(store, "100 days")
        assert "alerts" not in call_doctor(database_url)  # nobody asks any more
        age(store, "1 hour")
    found = call_doctor(database_url)["alerts"]
    assert found["level"] == "warning"
    assert re.match(r"1 not sent in the last 7 days: .* the newest of killed \(.*\), 1 h", found["text"])


def test_a_database_that_is_locked(store, sending):
    """The alert is sent when the run has reached the database; meanwhile somebody holds a lock there."""
    is_file = store.url.startswith("sqlite")
    with closing(store.engine.raw_connection()) as other:
        other.driver_connection.execute("BEGIN IMMEDIATE" if is_file else "LOCK TABLE run")
        run = store.start_run(name="late")
        run.alert("at last")
        assert not run.flush(0.5)
        assert sending.messages == []
        other.driver_connection.rollback()
    sending.wait_for(1)
    run.finish()
    sending.wait_for(2)
    assert sending.titles == ["at last", "late finished"]


def test_a_forked_child_sends_its_own(start_script, database_url, sending):
    """Parent and child each send what they tell, once; a child that ends without the functions for the exit too."""
    script = start_script(
        """
        import multiprocessing, sys
        from trainstore import TrainStore
        from trainstore.notifying import sender

        def child():
            run.alert("child")

        sender.FORK_TIMEOUT = sender.EXIT_TIMEOUT = 100  # a busy machine loads Apprise for longer than an exit waits
        with TrainStore(sys.argv[1]) as store, store.start_run(name="forked") as run:
            run.alert("before")
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join()
            run.alert("after")
        """,
        database_url,
    )
    script.finish()
    sending.wait_for(4)
    assert sorted(sending.titles) == ["after", "before", "child", "forked finished"]


def test_a_run_that_nobody_finishes(start_script, new_database, sending):
    """Its end is sent by the exit of its process, also if an exception ended that; one run on each database."""
    code = """
        import sys
        from trainstore import TrainStore
        from trainstore.notifying import sender
        sender.EXIT_TIMEOUT = 100  # a busy machine loads Apprise for longer than an exit waits
        for url in sys.argv[2:]:
            run = TrainStore(url).start_run(name="left")
            run.log(loss=1.0)
        if sys.argv[1] == "raises":
            raise ValueError("no more")
    """
    urls = [new_database(kind) for kind in ("sqlite", "postgresql")]
    start_script(code, "ends", *urls).finish()
    sending.wait_for(2)
    start_script(code, "raises", *urls).finish(code=1)
    sending.wait_for(4)
    assert sending.titles == ["left finished at step 0"] * 2 + ["left failed at step 0"] * 2
    assert all(message["message"].startswith("ValueError: no more\n") for message in sending.messages[2:])


def test_who_tells_the_end_of_a_run(store, sending):
    """A handle that joined tells nothing when it is done, and a failure once; finishing again tells nothing."""
    run = store.start_run(name="shared")
    joined = store.resume_run(run)
    joined.alert("from the other")
    joined.finish()
    failing = store.resume_run(run)
    failing.finish("failed", "RuntimeError: rank 1")
    run.finish()
    run.finish("failed")
    end_sender()
    assert sorted(sending.titles) == ["from the other", "shared failed"]


def test_many_threads_tell_at_once(store, sending):
    """Every alert arrives once."""
    run = store.start_run(name="threads")
    threads = [threading.Thread(target=lambda n=n: [run.alert(f"{n}-{i}") for i in range(3)]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.finish()
    sending.wait_for(13)
    assert sorted(sending.titles[:-1]) == sorted(f"{n}-{i}" for n in range(4) for i in range(3))


def test_an_address_that_cannot_be_used(store, monkeypatch, caplog):
    """One line at the beginning names its place, not the address; the run is recorded."""
    for value, words in (
        (f"{SECRET}", "address 1 in TRAINSTORE_NOTIFY: that is not an address"),
        (f"json://here syslog://{SECRET}", "address 2 in TRAINSTORE_NOTIFY: syslog:// stays on the machine"),
        (f"file://{SECRET}", "file:// is not accepted"),
        (f"nosuch://{SECRET}", "is not an address that Apprise can use"),
    ):
        caplog.clear()
        monkeypatch.setattr(sender, "_sender", None)
        monkeypatch.setenv("TRAINSTORE_NOTIFY", value)
        with store.start_run() as run:
            run.alert("nobody hears it")
        end_sender()
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(warnings) == 1, warnings
        assert words in warnings[0]
        assert SECRET not in warnings[0]
    assert notifications(store) == []


def test_the_file_of_addresses(store, receiver, monkeypatch, caplog):
    """It counts if only its user can read it; within pytest it does not."""
    targets.change(add=[receiver.url])
    store.start_run(name="in pytest").finish()
    assert sender._sender is None
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setenv("TRAINSTORE_NOTIFY", " ")  # as if it were not set
    targets.file_path().chmod(0o640)
    store.start_run(name="refused").finish()
    end_sender()
    assert "may be read or changed by others (mode 0640)" in caplog.text
    assert "chmod 600" in caplog.text
    monkeypatch.setattr(sender, "_sender", None)
    targets.file_path().chmod(0o600)
    store.start_run(name="sent").finish()
    receiver.wait_for(1)
    assert receiver.titles == ["sent finished"]


def test_nothing_of_a_disabled_run_is_told(tmp_path, sending, monkeypatch):
    """It is not recorded, so nobody hears of it, and no thread is started."""
    monkeypatch.setenv("TRAINSTORE_DISABLED", "1")
    with TrainStore(str(tmp_path / "store.db")) as store:
        run = store.start_run(name="disabled")
        run.alert("nobody hears it")
        run.finish("failed")
    assert sender._sender is None


def test_a_step_that_cannot_be_stored(store, sending):
    """The message says as much of it as the store: nothing. It arrives."""
    run = store.start_run(name="odd")
    for step in (-5, 10**5000):
        run.alert("odd step", step=step)
    run.flush(30)
    sending.wait_for(2)
    assert {message["message"] for message in sending.messages} == {f"info, run odd, project default\n{run.uid}"}


def test_a_run_that_is_deleted_before_it_is_sent(store, sending, caplog):
    """Nobody hears of it, and the end of the process does not wait for it."""
    sender._sender = sender.Sender()
    with sender._sender._changed:  # the thread waits
        run = store.start_run(name="deleted")
        run.finish()
        store.delete_run(run)
    end_sender()
    assert sender._sender._waiting == []
    assert sending.arrivals == 0
    assert "could not be sent" not in caplog.text


def test_runs_that_begin_at_once_in_several_threads(start_script, tmp_path, sending):
    """The first of them loads what sends; the others wait for that, and are heard."""
    script = start_script(
        """
        import sys, threading
        from trainstore import TrainStore

        def train(number):
            together.wait()
            with store.start_run(name=f"{number}") as run:
                run.alert("here")

        store, together = TrainStore(sys.argv[1]), threading.Barrier(6)
        threads = [threading.Thread(target=train, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        from trainstore.notifying import sender
        sender.EXIT_TIMEOUT = 100  # a busy machine loads Apprise for longer than an exit waits
        """,
        str(tmp_path / "store.db"),
    )
    script.finish()
    assert sorted(sending.titles) == sorted(["here"] * 6 + [f"{number} finished" for number in range(6)])


def test_a_signal_while_the_first_run_is_told(store, sending, monkeypatch):
    """Its handler sends an alert of another run; neither waits for the other, and both are sent."""
    monkeypatch.setenv("TRAINSTORE_NOTIFY", "off")
    first = store.start_run(name="first")
    monkeypatch.setenv("TRAINSTORE_NOTIFY", sending.url)

    made: list[threading.Thread] = []

    class Interrupted(sender.Sender):
        def __init__(self):
            super().__init__()
            made.append(self._thread)
            if len(made) == 1:
                signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(sender, "Sender", Interrupted)
    before = signal.signal(signal.SIGUSR1, lambda *_: first.alert("preempted"))
    try:
        second = store.start_run(name="second")
    finally:
        signal.signal(signal.SIGUSR1, before)
    second.finish()
    sending.wait_for(2)
    assert sorted(sending.titles) == ["preempted", "second finished"]
    first.finish()
    sending.wait_for(3)
    made[0].join(DEADLINE)
    assert [thread.is_alive() for thread in made] == [False, True]  # one is enough


def test_a_handler_of_logging_that_sends_alerts(store, sending, monkeypatch):
    """It is called without a lock of the sender's, so that it may wait for another thread that tells something."""
    sending.behave = "hang"
    monkeypatch.setattr(relaying, "MAX_ALERTS", 1)
    run = store.start_run(name="noisy")
    done: list[bool] = []

    class Handler(logging.Handler):
        def emit(self, record):
            if "waiting to be sent" in record.getMessage():
                thread = threading.Thread(target=run.alert, args=("from the handler",), daemon=True)
                thread.start()
                thread.join(5)
                done.append(not thread.is_alive())

    handler = Handler()
    logging.getLogger("trainstore").addHandler(handler)
    try:
        for number in range(3):
            run.alert(f"{number}")
    finally:
        logging.getLogger("trainstore").removeHandler(handler)
        sending.released.set()
    assert done == [True]


def test_a_fork_does_not_wait_for_a_server(new_database, sending, monkeypatch, wait_until):
    """A claim that PostgreSQL lets wait, for a lock or because it does not answer, holds up no fork."""
    monkeypatch.setattr(sender, "FORK_TIMEOUT", 0.0)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'notification'::regclass"
    with TrainStore(new_database("postgresql")) as store, store.start_run(name="forked") as run:
        run.flush(30)
        with closing(store.engine.raw_connection()) as other:
            other.driver_connection.execute("LOCK TABLE notification")
            run.alert("late")
            wait_until(lambda: other.driver_connection.execute(waiting).fetchone()[0] > 0)
            sender._hold_for_fork()
            held = list(sender._held)
            sender._go_on_after_fork()
            other.driver_connection.rollback()
        assert held == [sender._sender]
        assert sender._held == []
        sending.wait_for(1)


def test_a_mail_takes_no_random_number_of_the_training(store, monkeypatch):
    """The boundary of its parts would be one; who writes mails elsewhere in the process has them as before."""
    with MailReceiver() as server:
        monkeypatch.setenv("TRAINSTORE_NOTIFY", server.url)
        random.seed(7)
        expected = random.getstate()
        store.start_run(name="by mail").finish()
        end_sender()
        server.shutdown()
    assert random.getstate() == expected
    (mail,) = server.mails
    assert "by mail finished" in mail
    import email.utils

    email.utils.make_msgid()
    assert random.getstate() != expected


def test_a_service_that_wants_time_between_messages(start_script, database_url, monkeypatch):
    """It has it, but not at the end of the process: an alert and the end right after it both arrive."""
    with MailReceiver() as server:
        monkeypatch.setenv("TRAINSTORE_NOTIFY", server.url)
        script = start_script(
            """
            import sys, time
            from trainstore import TrainStore
            from trainstore.notifying import sender
            sender.EXIT_TIMEOUT = 100  # a busy machine sends for longer than an exit waits
            with TrainStore(sys.argv[1]) as store, store.start_run(name="by mail") as run:
                while sender._sender._channels is None:
                    time.sleep(0.01)
                (channel,) = sender._sender._channels
                print(channel._pause > 1)
                channel._pause = 1_000.0
                run.alert("first")
                while sender._sender._waiting:
                    time.sleep(0.01)
                print(channel.busy_for > 1)
                run.alert("second")
            """,
            database_url,
        )
        assert script.finish() == ["True", "True"]
        server.shutdown()
    with TrainStore(database_url) as store:
        assert [sent for _, sent in notifications(store)] == [True] * 3
    assert sorted(word for mail in server.mails for word in ("first", "second", "finished") if word in mail) == [
        "finished", "first", "second"
    ]  # fmt: skip


def test_a_database_that_is_away_is_not_stormed(store, sending, monkeypatch, wait_until):
    """However many events wait for it, it is asked once a round; then they are all sent."""
    away, asked = [True], []

    def claim(*given):
        if away:
            asked.append(given[3].name)
            raise StoreUnavailableError("away")
        return claims.claim(*given)

    monkeypatch.setattr(relaying, "claim", claim)
    for number in range(5):
        store.start_run(name=f"{number}").finish()
    wait_until(lambda: len(asked) >= 4)
    away.clear()
    sending.wait_for(5)
    assert set(asked) == {"0"}


def test_how_a_run_ended_is_sent_first_when_there_is_little_time(store, sending, wait_until):
    """Of what waits at the end of the process, for the service too; alerts come after that."""
    run = store.start_run(name="flood")
    wait_until(lambda: bool(sender._sender._channels))
    sender._sender._channels[0]._pause = 100.0
    for number in range(20):
        run.alert(f"{number}")
    sending.wait_for(1)
    run.finish("failed")
    end_sender()
    assert sending.titles.index("flood failed") == 1
    assert len(sending.titles) == 21


def test_what_apprise_uses_logs_nothing_either(caplog, monkeypatch):
    """A request that is signed: its keys would be in the logs of what signs it. It is not sent anywhere here."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    caplog.set_level(logging.DEBUG)
    keys = [f"{name}{SECRET}" for name in ("consumer", "consumers", "token", "tokens")]
    channel = Channel(targets.Target(f"twitter://{'/'.join(keys)}?mode=tweet"))
    assert "it was not taken" in (channel.send(trial_message()) or "")
    assert SECRET not in caplog.text


def test_a_channel_that_is_let_go_of_is_silent(monkeypatch):
    """Some services log out over the network when they are collected, which would hold up whoever collects them."""
    tried: list[object] = []

    def connect(_, address):
        tried.append(address)
        raise OSError("nowhere")

    monkeypatch.setattr(socket.socket, "connect", connect)
    for address, key in (("emby", "access_token"), ("matrix", "access_token"), ("twist", "token")):
        channel = Channel(targets.Target(f"{address}://me:{SECRET}@localhost/#here"))
        setattr(channel._service[0], key, "logged in")
        del channel
        gc.collect()
    assert tried == []


def test_sending_changes_nothing_of_the_process(start_script, tmp_path, sending):
    """Neither random numbers nor signals, hooks, environment or levels; a filter of warnings only for its own kinds."""
    script = start_script(
        """
        import asyncio, locale, logging, os, random, signal, socket, sys, threading, time, warnings
        from trainstore import TrainStore

        def state():
            loggers = logging.root.manager.loggerDict
            return {
                "random": random.getstate(),
                "signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
                "environment": dict(os.environ),
                "levels": {name: getattr(loggers[name], "level", 0) for name in known},
                "handlers": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
                "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning),
                "filters": [f for f in warnings.filters if f[2].__module__.partition(".")[0] not in OWN],
                "others": (locale.setlocale(locale.LC_ALL), socket.getdefaulttimeout(), os.getcwd(), list(sys.path)),
                "loop": asyncio.get_event_loop_policy(),
            }

        OWN = ("urllib3", "requests")
        address = os.environ["TRAINSTORE_NOTIFY"]
        with TrainStore(sys.argv[1]) as store:
            os.environ["TRAINSTORE_NOTIFY"] = "off"
            with store.start_run() as run:
                run.alert("nobody hears it")
            known = list(logging.root.manager.loggerDict)
            asyncio.get_event_loop_policy()
            os.environ["TRAINSTORE_NOTIFY"] = address
            before = state()
            with store.start_run() as run:
                run.alert("sent")
            from trainstore.notifying import sender
            while sender._sender._channels is None or sender._sender._waiting:
                time.sleep(0.01)
            after = state()
        print([name for name in before if before[name] != after[name]], "requests" in sys.modules)
        """,
        str(tmp_path / "store.db"),
        libraries=None,
    )
    assert script.finish() == ["[] True"]
    assert len(sending.messages) == 2


def test_log_has_no_part_in_sending(store, sending, monkeypatch):
    """Nobody is told of a step, and the thread that sends is not woken by one."""
    with store.start_run(name="steps") as run:
        thread = sender._sender
        run.alert("first")
        sending.wait_for(1)
        woken: list[object] = []
        with monkeypatch.context() as patched:
            patched.setattr(listeners, "_listener", lambda *given: woken.append(given))
            patched.setattr(sender.Sender, "_deal_with", lambda *given: woken.append(given))
            for step in range(100):
                run.log(loss=1.0, step=step)
            assert run.flush(30)
        assert woken == []
    assert thread is sender._sender
