"""Real processes killed with SIGKILL while they log: every step whose log() returned is kept, once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from recording.support import desk_at
from trainstore.recording.summary import summarize
from trainstore.store import TrainStore

KILLS = 6

PRODUCER = """
    import os, sys, time
    from trainstore.recording import delivery_thread, journal
    from trainstore.store import TrainStore

    url, seed, run_uid, step = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    # Many commits and many segments, so that a kill finds every moment of their lives.
    delivery_thread.INTERVAL, journal.file.SEGMENT_BYTES = 0.02, 20_000
    store = TrainStore(url)
    run = store.resume_run(run_uid, step=step) if run_uid else store.start_run(name=f"killed {seed}")
    os.write(1, f"run {run.uid}\\n".encode())
    while True:
        step += 1
        run.log({"value": seed * 1e6 + step, "wave": (step * seed) % 7 - 3}, step=step)
        run.log_event("mark", step=step, details={"seed": seed})
        os.write(1, f"{step}\\n".encode())  # a pipe: what was written is read, though the writer is dead
        time.sleep(0.0002)
    """


def test_no_step_is_lost_or_doubled_by_sigkill(database_url: str, start_script: Callable[..., Any]) -> None:
    """After each kill the store is opened twice: all reported steps are there once, with their values; summaries are
    those of a recomputation; the run is shown as lost, and can be resumed from any step."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    run_uid, resumed_at = "", -1
    expected: dict[int, float] = {}  # what must be current
    for kill in range(1, KILLS + 1):
        script = start_script(PRODUCER, database_url, kill, run_uid, resumed_at)
        run_uid = script.wait_for("run ").split()[1]
        script.wait_for(str(resumed_at + 1 + chance.randrange(200)))
        time.sleep(chance.uniform(0, 0.3))
        script.process.kill()
        reported = [int(line) for line in script.finish(code=-9) if line.isdigit()]
        assert reported == list(range(resumed_at + 1, reported[-1] + 1))
        expected = {step: value for step, value in expected.items() if step <= resumed_at}
        expected |= {step: kill * 1e6 + step for step in reported}

        for _ in range(2):
            with TrainStore(database_url) as store:
                frame = store.list_step_logs(run_uid)
                found = dict(zip(frame["step"].tolist(), frame["value"].tolist(), strict=True))
                assert len(found) == len(frame)
                assert {step: found.get(step) for step in expected} == expected
                # One record may be in the journal whose number did not reach the pipe any more.
                assert set(found) - set(expected) <= {reported[-1] + 1}
                marks = store.list_events(run_uid, kind="mark")
                own = [step for step, d in zip(marks["step"], marks["details"], strict=True) if d["seed"] == kill]
                assert own[: len(reported)] == reported
                assert len(own) <= len(reported) + 1
                assert store.get_run(run_uid).status == "lost"
        with desk_at(database_url) as desk:
            current = desk.current(run_uid)
            assert desk.summaries(run_uid) == summarize(current)
            assert desk.run(run_uid).last_step == current[-1][0]
        expected = found  # what is current now: the record without a number is part of the history
        if kill % 3 == 0:
            run_uid, resumed_at, expected = "", -1, {}
        else:
            resumed_at = chance.choice([reported[-1], chance.randrange(-1, reported[-1])])
