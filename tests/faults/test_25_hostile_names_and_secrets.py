"""Metacharacters and secrets

Fault 25 of docs/guarantees.md: texts that mean something to SQL, LIKE, JSON paths, shells, terminals, HTML or file
systems, at every place that takes one; canary secrets that no fault may bring to light. tests/queries/test_filters.py
has single filters, tests/redaction what is redacted, tests/cli what a terminal is shown.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, inspect, make_url, select

from faults.databases import terminate
from faults.hostile import METACHARACTERS
from faults.locks import locked
from faults.network import SHORT_LIMITS
from faults.oracle import Fault
from fixtures.databases import BACKENDS
from redaction.canaries import CANARY, LEAKS, everything_stored
from trainstore.errors import InvalidArgumentError, TrainStoreError
from trainstore.store import TrainStore


def catalogue(store: TrainStore) -> dict[str, list[str]]:
    """Every table with its columns."""
    inspector = inspect(store.engine)
    return {name: [column["name"] for column in inspector.get_columns(name)] for name in inspector.get_table_names()}


def counts(store: TrainStore) -> dict[str, int]:
    """How many rows every table has."""
    with store.engine.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in store.models.metadata.tables.items()
        }


def harmless(*shown: str) -> None:
    """No text became an element of a page."""
    for page in shown:
        assert "<script" not in page.lower()
        assert "<img" not in page.lower()


def test_names_everywhere(fault: Fault) -> None:
    """Each text comes back exactly, finds its own run and no other, and changes no table and no other row."""
    texts = METACHARACTERS if fault.long else fault.chance.sample(METACHARACTERS, 12)
    fault.injected(len(texts))
    with TrainStore(fault.url) as store:
        with store.start_run(project="bystander", hyperparams={"a": 1}, tags=["t"]) as bystander:
            bystander.log({"m": 1.0}, step=0)
        tables = catalogue(store)
        runs = {}
        for text in texts:
            run = runs[text] = store.start_run(
                project=text,
                name=text,
                notes=text,
                hyperparams={text: text, "nested": {text: [text]}},
                tags={text: text},
            )
            run.log({text: 0.5, "text": text}, step=0, details={text: text})
            run.log_event(f"kind {text}", step=0, details={text: text})
        assert store.flush(60)
        before = counts(store)
        harmless(store._repr_html_())
        frame = store.list_runs().set_index("uid")
        for text, run in runs.items():
            record = store.get_run(run)
            assert (record.project, record.name, record.notes) == (text, text, text)
            assert record.hyperparams == {text: text, "nested": {text: [text]}}
            assert record.tags == {text: text}
            assert frame.loc[run.uid, "project"] == text
            found = [
                store.list_runs(project=text),
                store.list_runs(name=[text]),
                store.list_runs(tag={text: text}),
                store.list_runs(tag=text),
                store.list_runs(hyperparams={text: text}),
                store.list_runs(project=text, metrics=[text]),
            ]
            assert [list(one["uid"]) for one in found] == [[run.uid]] * len(found), text
            steps = store.list_step_logs(run, details=True)
            assert steps[text].tolist() == [0.5]
            assert steps["text"].tolist() == [text]
            assert steps["details"].tolist() == [{text: text}]
            assert store.list_step_logs(run, metrics=[text])[text].tolist() == [0.5]
            assert set(store.list_metrics(run)["metric"]) == {text}
            assert store.list_events(run, kind=f"kind {text}")["details"].tolist() == [{text: text}]
            assert store.list_hyperparams(run, namespace="hp", key=text)["value"].tolist() == [text]
            best = store.get_best_run(metric_name=text, metric_direction="max")
            assert best is not None
            assert best.uid == run.uid
            store.set_notes(run, text, append=True)
            store.set_tags(run, {text: 2}, remove=[])
            store.set_tags(run, remove=[text])
            assert store.get_run(run).tags == {}
            harmless(record._repr_html_(), run._repr_html_())
            for refused in (
                lambda text=text: store.list_runs(status=text),
                lambda text=text: store.list_runs(summary=text),
            ):
                try:
                    assert len(refused()) == 0
                except TrainStoreError:
                    continue
        after = counts(store)
        assert {name for name in after if after[name] != before[name]} <= {"event", "hyperparam", "run_hyperparam"}
        assert catalogue(store) == tables
        assert store.get_run(bystander).hyperparams == {"a": 1}
        for run in runs.values():
            assert run.finish()
            store.delete_run(run)
        assert list(store.list_runs()["uid"]) == [bystander.uid]
        assert catalogue(store) == tables


@pytest.mark.parametrize("backend_name", ["sqlite", "postgresql"])
def test_prefixes(backend_name: str, new_database: Callable[..., str]) -> None:
    """What is no plain prefix is refused before anything is read or made."""
    url = new_database(backend_name)
    for text in METACHARACTERS:
        if text.isascii() and text.replace("_", "").isalnum() and text.islower() and not text[0].isdigit():
            continue  # a good prefix
        if text == "_":
            continue
        with pytest.raises(InvalidArgumentError, match="prefix"):
            TrainStore(url, table_name_prefix=text)
    with TrainStore(url) as store:
        assert not [name for name in catalogue(store) if name not in store.models.metadata.tables]


def paths() -> Iterator[str]:
    """The texts that may name a file: without a slash, which would be folders."""
    for text in METACHARACTERS:
        if "/" not in text and text.strip() and text not in (".", ".."):
            yield f"{text}.db"


@pytest.mark.parametrize("backend_name", ["sqlite"])
def test_paths(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a journal's folder may have any name; nothing else appears beside them."""
    names = list(paths())
    for index, name in enumerate(names if fault.long else fault.chance.sample(names, 5)):
        fault.injected()
        folder = fault.folder / f"f{index}" / name.removesuffix(".db")
        folder.mkdir(parents=True)
        monkeypatch.setenv("TRAINSTORE_JOURNAL_DIR", str(folder / "journal"))
        fault.url = str(folder / name)
        producer = fault.start(count=60)
        if index % 2:
            producer.wait_for(20)
            producer.kill()
        else:
            producer.end()
        with TrainStore(fault.url) as store:
            assert len(store.list_runs()) == 1
        assert {path.name for path in folder.iterdir()} - {f"{name}-wal", f"{name}-shm"} <= {name, "journal"}
        assert [path.name for path in (fault.folder / f"f{index}").iterdir()] == [folder.name]
        fault.verify(producer, status="lost" if index % 2 else "finished")


# --- Secrets -------------------------------------------------------------------------------------------------------

#: The producer tells everything that it ever could, and secrets are in its command line and environment.
TELL_ALL = f"""
import logging, os, sys
sys.path.append({str(Path(__file__).parents[1])!r})
from redaction.canaries import CANARY
sys.argv += ["--api-key", CANARY, "--hub_token=" + CANARY]
os.environ["HF_TOKEN"] = os.environ["WANDB_API_KEY"] = CANARY
logging.basicConfig(level=logging.DEBUG)
"""
#: In the middle of what is recorded, a hundred records after one another.
LOG_CANARIES = "from redaction.canaries import log_canaries; log_canaries(run{store})"


#: Records that the database refuses, past `canonical`: PostgreSQL's message shows what stands around a NUL.
REFUSED = """
import orjson
for record in ({"at": 2**62, "details": {"a": "UNSEEN"}}, {"at": 0, "details": {"a": "UNSEEN \\x00"}}):
    run._recorder.append(orjson.dumps({"kind": "event", "event": "x", "step": None, **record}))
"""


def with_password(url: str) -> str:
    """The same database, with a secret in the connection string."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        return url
    return parts.set(password=CANARY).render_as_string(hide_password=False)


def leaks(text: str) -> list[str]:
    return [leak for leak in LEAKS if leak in text]


def look_everywhere(fault: Fault, uid: str, caplog: pytest.LogCaptureFixture) -> None:
    """No secret in a file that is left, a stream, a table, a DataFrame, a record, a pickle of one, or a message."""
    with TrainStore(fault.url) as store:
        frames = [
            store.list_runs(),
            store.list_step_logs(uid, details=True),
            store.list_step_logs(uid, tidy=True),
            store.list_metrics(),
            store.list_hyperparams(),
            store.list_events(),
            store.compare_runs([uid]),
        ]
        records = [store.get_run(row) for row in frames[0]["uid"]]
        assert "[redacted]" in everything_stored(store)
        assert not leaks(everything_stored(store))
        shown = [repr(store), store._repr_html_(), store.url]
    assert not leaks(caplog.text)
    for frame in frames:
        assert not leaks(frame.to_csv() + repr(frame) + repr(frame.attrs))
        assert not leaks(pickle.dumps(frame).decode(errors="replace"))
    for record in records:
        assert not leaks(repr(record) + record._repr_html_() + pickle.dumps(record).decode(errors="replace"))
    assert not leaks("".join(shown))
    for path in fault.folder.rglob("*"):
        # The reports hold the plan, with the connection string: they are the test's.
        if path.is_file() and not (path.name.startswith("report") and path.suffix != ".stderr"):
            assert not leaks(path.read_bytes().decode(errors="replace")), path


def none_in_an_error(error: BaseException) -> None:
    """None in its traceback with all causes, its attributes or its pickle; none in the texts of what it came from."""
    assert not leaks("".join(traceback.format_exception(error)))
    assert not leaks(repr(vars(error)) + pickle.dumps(error).decode(errors="replace"))
    cause: BaseException | None = error
    while cause:
        assert not leaks(str(cause) + repr(cause) + repr(cause.args))
        cause = cause.__cause__ or cause.__context__


@pytest.mark.parametrize(
    ("backend_name", "what"),
    [(name, what) for name in BACKENDS for what in ("killed", "locked", "raising", "refused")]
    + [("postgresql", "terminated")],
)
def test_no_secret_comes_to_light(fault: Fault, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever becomes of the process or the database."""
    caplog.set_level("DEBUG")
    fault.injected()
    fault.url = with_password(fault.url)
    plan: dict[str, Any] = {"then_at": 60, "before": TELL_ALL + SHORT_LIMITS, "close": False}
    plan["then"] = LOG_CANARIES.format(store="" if what == "locked" else ", store")
    if what == "refused":  # by the database, with a row in its message
        plan["then"] = f"{REFUSED}\n{plan['then']}"
    if what == "raising":
        plan["then"] += f"; raise RuntimeError('cannot reach ' + {fault.url!r} + ' with api_key=' + CANARY)"
        producer = fault.start(**plan)
        producer.wait_for(59)
        producer.end(code=1)
        # The traceback that Python prints is the user's, and holds what the user put there; nothing else does.
        assert not leaks(producer.stderr.partition("Traceback")[0])
        (fault.folder / "report0.stderr").write_text("")
        status = "failed"
    else:
        producer = fault.start(**plan, count=None if what == "killed" else 400, rate=200)
        producer.wait_for(30)
        if what == "locked":
            with locked(fault.url):
                producer.wait_for(300)
        producer.wait_for(120)
        if what == "terminated":
            for _ in range(3):
                terminate(fault.url)
                producer.wait_for(producer.reported.numbers[-1] + 50)
        if what == "killed":
            producer.kill()
        else:
            producer.end()
        status = "finished" if what != "killed" else "lost"
    # Before anybody recovers: what lies in the journals.
    for path in fault.folder.rglob("*"):
        if path.is_file() and path.suffix in (".seg", ".json", ".stderr", ".partial"):
            assert not leaks(path.read_bytes().decode(errors="replace")), path
    assert "UNSEEN" not in producer.stderr
    assert (what == "refused") == ("is refused by the database" in producer.stderr)
    uid = producer.run
    TrainStore(fault.url).close()  # which recovers, and logs it
    caplog.set_level("WARNING")  # the queries of the check are not the store's
    fault.verify(producer, status=status)
    caplog.set_level("DEBUG")
    look_everywhere(fault, uid, caplog)


@pytest.mark.parametrize("backend_name", ["postgresql"])
@pytest.mark.parametrize("wrong", ["port", "host", "database", "query", "raw @", "scheme"])
def test_no_secret_in_an_error_of_the_opening(fault: Fault, wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    """Of a connection string that leads nowhere, or is none; nor in what was logged on the way."""
    caplog.set_level("DEBUG", logger="trainstore")
    fault.injected()
    url = {
        "port": f"postgresql://me:{CANARY}@127.0.0.1:1/db",
        "host": f"postgresql://me:{CANARY}@no-such-host.invalid/db",
        "database": make_url(with_password(fault.url)).set(database="nowhere").render_as_string(hide_password=False),
        "query": f"postgresql://me@127.0.0.1:1/db?sslpassword={CANARY}&password={CANARY}",
        "raw @": f"postgresql://me:x@{CANARY}@127.0.0.1:1/db",
        "scheme": f"postgresql+other://me:{CANARY}@127.0.0.1:1/db",
    }[wrong]
    with pytest.raises(TrainStoreError) as raised:
        TrainStore(url)
    none_in_an_error(raised.value)
    assert not leaks(caplog.text)
