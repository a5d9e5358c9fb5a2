"""From one end to the other: whatever way a secret takes into a store, it is nowhere afterwards."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redaction.canaries import CANARY, COMMAND, LEAKS, NESTED, TOKEN, URL, Odd, everything_stored
from trainstore.store import TrainStore


def record_everything(store: TrainStore) -> str:
    """A run that met secrets wherever a user can put one; its uid."""
    run = store.start_run(
        project=f"p {TOKEN}",
        name=f"n {URL}",
        notes=f"began with {COMMAND}",
        hyperparams={"hub_token": CANARY, "nested": NESTED, "odd": Odd(), URL: 1, "nul": f"\x00 {TOKEN}"},
        tags={"remote": URL, "api_key": CANARY, f"tag {TOKEN}": True},
    )
    run.log_hyperparams({"headers": {"Authorization": f"Bearer {CANARY}"}, "odd": [Odd()]}, namespace="env")
    run.set_tags([f"by {TOKEN}"])
    run.set_notes(f"{COMMAND}\n{URL}\npassword: {CANARY}")
    run.log({"loss": 1.0, "sample": f"it said {TOKEN}", "config": NESTED, "odd": Odd()}, step=0, details=NESTED)
    run.log({"loss": 0.5}, step=1, epoch=f"{TOKEN}", details={"text": [f"{URL}"], "password": CANARY})
    run.log({"loss": 0.5, "text": TOKEN}, step=TOKEN)
    run.log([URL, TOKEN])
    run.log_event("checkpoint", step=1, details={"command": COMMAND, "env": {"HF_TOKEN": CANARY}, "odd": Odd()})
    run.log_event(f"kind {TOKEN}")
    run.log_event("x", step=TOKEN, details=[URL])
    assert run.flush(60)
    store.set_notes(run, f"later {URL}", append=True)
    store.set_tags(run, {"later": COMMAND})
    return run.uid


@pytest.fixture(autouse=True)
def command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--api-key", CANARY, f"--hub_token={CANARY}", URL, "--lr", "0.1"])


def test_no_secret_is_stored_anywhere(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """No canary stands in a table, a journal, a log message, a stream, a DataFrame or a record; the rest is there."""
    caplog.set_level(logging.DEBUG)
    with TrainStore(database_url) as store:
        uid = record_everything(store)
        failed = store.start_run(name="failed")
        with pytest.raises(RuntimeError), failed:
            raise RuntimeError(f"{URL} refused {TOKEN}; Authorization: Bearer {CANARY}")
        frames = [
            store.list_runs(),
            store.list_step_logs(uid, details=True),
            store.list_step_logs(uid, tidy=True),
            store.list_metrics(),
            store.list_hyperparams(),
            store.list_events(),
            store.compare_runs([uid, failed.uid]),
        ]
        records = [store.get_run(uid), store.get_run(failed.uid)]
        shown = [frame.to_csv() + repr(frame) for frame in frames]
        shown += [repr(record) + record._repr_html_() for record in records]
        stored = everything_stored(store)
    files = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    for leak in LEAKS:
        assert leak not in stored
        assert not [text for text in shown if leak in text]
        assert leak not in caplog.text
        assert leak not in "".join(capfd.readouterr())
        assert not [text for text in files if leak in text]
    assert stored.count("[redacted]") > 20
    assert records[0].command == "train.py --api-key [redacted] --hub_token=[redacted] " + (
        "https://me:[redacted]@example.org/x?token=[redacted]&page=2 --lr 0.1"
    )
    assert records[0].hyperparams["nested"]["lr"] == 0.1
    assert records[1].error is not None
    assert "Authorization: Bearer [redacted]" in records[1].error
    assert frames[1]["loss"].tolist() == [1.0, 0.5]


def test_no_secret_is_in_a_journal(start_script: Callable[..., Any], tmp_path: Path) -> None:
    """What waits in the journal, while the database is away and after the process was killed, holds none either."""
    folder = Path(__file__).parents[1]
    script = start_script(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        from redaction.canaries import CANARY, COMMAND, NESTED, TOKEN, URL, Odd
        from trainstore.store import TrainStore
        sys.argv[1:] = ["--api-key", CANARY, URL]
        store = TrainStore("postgresql://me@127.0.0.1:1/db", offline_ok=True)
        run = store.start_run(hyperparams={"nested": NESTED, "odd": Odd(), "token": CANARY}, notes=URL, tags=[TOKEN])
        run.log({"loss": 1.0, "sample": TOKEN}, step=0, details=NESTED)
        run.log_event("checkpoint", details={"command": COMMAND})
        run.set_notes(URL)
        print("logged")
        sys.stdin.read()
        """,
        folder,
    )
    script.wait_for("logged")
    script.kill()
    segments = list((tmp_path / "journals").rglob("*.seg"))
    kept = b"".join(path.read_bytes() for path in segments)
    assert b"[redacted]" in kept
    assert b"loss" in kept
    for leak in LEAKS:
        assert leak.encode() not in kept
        assert leak not in script.stderr


def test_numbers_are_not_searched(store: TrainStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of numbers costs no redaction at all, whatever its metrics are called."""
    called: list[object] = []
    monkeypatch.setattr("trainstore.run.redact", called.append)
    monkeypatch.setattr("trainstore.recording.metrics.redact_item", lambda *arguments: called.append(arguments))
    monkeypatch.setattr("trainstore.run.stored_text", called.append)
    with store.start_run() as run:
        run.log({"token": 1, "loss": 0.5, "pass": True, "nothing": None}, step=3, epoch=0.5)
    assert called == []
    frame = store.list_step_logs(run)
    assert frame["token"].tolist() == [1]
