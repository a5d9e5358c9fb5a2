"""``trainstore close``: a lost run is ended, a run that has ended is refused."""

import json

from trainstore import TrainStore


def test_a_lost_run_is_ended(trainstore, store_url, start_script):
    """What it is then is said, as JSON with its end."""
    for name in ("one", "two"):
        start_script(
            f"""
            import os, sys
            from trainstore.store import TrainStore
            run = TrainStore(sys.argv[1]).start_run(name="{name}")
            run.flush(60)
            os._exit(0)
            """,
            store_url,
        ).finish()
    assert trainstore("close", "one", "--status", "finished") == (0, "one finished\n", "")
    code, out, _ = trainstore("close", "two", "--status", "failed", "--reason", "out of memory", "--json")
    shown = json.loads(out)
    with TrainStore(store_url) as store:
        record = store.get_run("two")
        assert store.get_run("one").status == "finished"
    assert (code, shown["uid"], shown["status"], shown["error"]) == (0, record.uid, "failed", "out of memory")
    assert record.status == "failed"


def test_what_is_refused(trainstore, store_url):
    """A run that has ended, one that is recorded, one that is not there, and a status that is none."""
    with TrainStore(store_url) as store:
        run = store.start_run(name="live")
        assert run.flush(60)
        assert "is being recorded by" in trainstore("close", "live", "--status", "failed").err
    for arguments, code, words in (
        (("first", "--status", "failed"), 1, "is finished already"),
        (("nobody", "--status", "failed"), 1, "there is no run 'nobody'"),
        (("first", "--status", "lost"), 2, "'finished', 'failed', 'interrupted', 'pruned'"),
        (("first",), 2, "--status"),
    ):
        called = trainstore("close", *arguments)
        assert called.code == code
        assert words in called.err
