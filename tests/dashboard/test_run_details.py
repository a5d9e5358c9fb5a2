"""One run in full, what differs between runs, and what models wrote: as pages get them."""

import json
import math
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from sqlalchemy import update

from trainstore.dashboard import comparing, run_details
from trainstore.dashboard.answers import Answers
from trainstore.dashboard.limits import LimitError
from trainstore.dashboard.versions import Versions
from trainstore.errors import RunNotFoundError, RunNotUniqueError


def holds(answer):
    """The answer, which is one that JSON can hold."""
    assert json.loads(orjson.dumps(answer)) == answer
    return answer


def cells(answer):
    """The values of each column by its id."""
    return {column["id"]: column["values"] for column in holds(answer)["columns"]}


@pytest.fixture
def detail(store):
    """One run in full, by its uid."""
    return lambda uid: holds(Answers(store).run(uid))


# --- One run ---------------------------------------------------------------------------------------------------------


def test_a_run_has_its_facts(store, detail):
    """Who made it from what, its tags, and the runs that began from it."""
    with store.start_run("parent") as parent:
        parent.log({"loss": 1.0}, 1)
    with store.start_run(
        "<b>run</b>",
        project="p",
        tags={"owner": "ann", "nan": math.nan},
        notes="n\nm",
        parent=parent.uid,
        parent_step=1,
    ) as run:
        run.log({"loss": 0.5}, 7)
    with store.start_run("child", parent=run.uid, parent_step=7) as child:
        child.log({"loss": 1.0}, 1)
    found = detail(run.uid)["run"]
    assert found["name"] == "<b>run</b>"
    assert (found["project"], found["status"], found["last_step"], found["notes"]) == ("p", "finished", 7, "n\nm")
    assert found["tags"] == {"owner": "ann", "nan": "NaN"}
    assert found["ended"] - found["started"] == pytest.approx(found["duration"], abs=1e-3)
    assert found["parent"] == {"uid": parent.uid, "name": "parent", "step": 1}
    assert found["children"] == [{"uid": child.uid, "name": "child", "step": 7}]
    assert detail(child.uid)["run"]["children"] == []
    store.delete_run(parent.uid)
    assert detail(run.uid)["run"]["parent"] == {"uid": parent.uid, "name": None, "step": 1}


def test_a_run_that_has_logged_nothing_is_shown_too(store, detail):
    """So is one that has logged texts only, or one step."""
    with store.start_run() as empty:
        pass
    with store.start_run() as texts:
        texts.log({"text": "a"}, 3)
    found = detail(empty.uid)
    assert (found["run"]["last_step"], found["summary"], found["hyperparams"]) == (None, [], [])
    found = detail(texts.uid)
    assert (found["run"]["last_step"], found["summary"]) == (3, [])


def test_hyperparameters_have_ids_by_which_the_table_knows_them(store, detail):
    """Whole values, each with its kind; the namespaces in their order."""
    given = {"lr": 0.1, "a b": [1, math.inf], "a.b": "text", "seed": 2**70, "none": None}
    with store.start_run(hyperparams=given, tags=["x"]) as run:
        run.log_hyperparams({"n": 1}, "mth")
        run.log_hyperparams({"host": "h"}, "env")
    facts = detail(run.uid)["hyperparams"]
    assert [(fact["id"], fact["value"], fact["kind"]) for fact in facts] == [
        ('hp."a b"', [1, "Infinity"], "json"),
        ('hp."a.b"', "text", "text"),
        ("hp.lr", 0.1, "number"),
        ("hp.none", None, "text"),
        ("hp.seed", str(2**70), "number"),
        ("mth.n", 1, "number"),
        ("env.host", "h", "text"),
        ("tag.x", True, "boolean"),
    ]
    assert {fact["namespace"] for fact in facts} == {"hp", "mth", "env", "tag"}
    table = Answers(store).runs(columns=[fact["id"] for fact in facts])
    assert len(table["columns"]) == 4 + len(facts)


def test_the_summary_tells_numbers_that_json_lacks(store, detail):
    """A metric of NaN alone has no minimum."""
    with store.start_run() as run:
        run.log({"loss": 2.0, "odd": math.nan, "inf": math.inf}, 1)
        run.log({"loss": 1.0}, 2)
    rows = {row["metric"]: row for row in detail(run.uid)["summary"]}
    assert rows["loss"] == {
        "metric": "loss", "count": 2, "nonfinite": 0, "min": 1.0, "min_step": 2, "max": 2.0, "max_step": 1, "last": 1.0,
        "last_step": 2,
    }  # fmt: skip
    assert (rows["odd"]["min"], rows["odd"]["last"], rows["odd"]["nonfinite"]) == (None, "NaN", 1)
    assert (rows["inf"]["max"], rows["inf"]["last"]) == (None, "Infinity")


def test_attempts_say_which_of_them_are_shown(store, detail):
    """Where each began and was cut, and what a resume changed; events name the attempt that they happened in."""
    with store.start_run(hyperparams={"lr": 0.1}) as run:
        for step in range(1, 6):
            run.log({"loss": 1.0}, step)
        run.log_event("checkpoint", 3, {"path": "a"})
    with store.resume_run(run.uid, step=3) as second:
        second.log({"loss": 2.0}, 4)
    with store.resume_run(run.uid, step=3) as third:
        third.log_hyperparams({"lr": 0.2})
        third.log({"loss": 3.0}, 4)
    store.set_tags(run.uid, ["edited"])
    found = detail(run.uid)
    attempts = found["attempts"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3]
    assert [attempt["current"] for attempt in attempts] == [True, False, True]
    assert [attempt["resumed_from"] for attempt in attempts] == [None, 1, 2]
    assert [attempt["start_step"] for attempt in attempts] == [-1, 3, 3]
    assert [attempt["last_step"] for attempt in attempts] == [5, 4, 4]
    assert attempts[0]["end_step"] == 3
    assert attempts[2]["end_step"] is None
    assert attempts[2]["changed"] == {"hp.lr": [0.1, 0.2]}
    assert attempts[0]["versions"]["python"]
    assert all(attempt["opened"] <= attempt["closed"] for attempt in attempts)
    events = {event["kind"]: event for event in found["events"]}
    assert (events["checkpoint"]["step"], events["checkpoint"]["attempt"]) == (3, 1)
    assert events["checkpoint"]["details"] == {"path": "a"}
    assert events["tag"]["attempt"] is None
    assert [event["at"] for event in found["events"]] == sorted(event["at"] for event in found["events"])


def test_writers_say_whether_anybody_records(store, detail):
    """While it runs and afterwards."""
    with store.start_run() as run:
        run.log({"loss": 1.0}, 1)
        (writer,) = detail(run.uid)["writers"]
        assert (writer["alive"], writer["closed"], writer["rank"], writer["attempt"]) == (True, None, 0, 1)
        assert detail(run.uid)["run"]["status"] == "running"
    (writer,) = detail(run.uid)["writers"]
    assert writer["alive"] is False
    assert writer["closed"] >= writer["started"] - 1


@pytest.mark.parametrize("heartbeat", [True, False])
def test_everything_that_is_shown_agrees_on_who_is_alive(store, detail, heartbeat):
    """A run's status, its writers, and the number of runs that are recorded; a heartbeat may be still to come."""
    run = store.start_run()
    run.log({"loss": 1.0}, 1)
    run.flush()
    writer, attempt = store.table.writer, store.table.attempt
    now, long_ago = datetime.now(UTC), datetime.now(UTC) - timedelta(hours=1)
    for heard, status in ((now, "running"), (long_ago, "lost")):
        beat = heard if heartbeat else None
        store.connection.execute(update(writer).values(heartbeat_at=beat, started_at=heard))
        store.connection.execute(update(attempt).values(opened_at=heard))
        found, versions = detail(run.uid), Versions()
        with store.snapshot() as snapshot:
            versions.of(snapshot.reader)
        alive = status == "running"
        assert found["run"]["status"] == status
        assert [one["alive"] for one in found["writers"]] == [alive]
        assert versions.running == alive
    run.finish()


def test_the_etag_changes_with_every_edit_and_with_nothing_else(store, detail):
    """Steps that are recorded meanwhile are no edits."""
    with store.start_run() as run:
        run.log({"loss": 1.0}, 1)
        etags = [detail(run.uid)["etag"]]
        run.log({"loss": 1.0}, 2)
        assert detail(run.uid)["etag"] == etags[0]
    assert detail(run.uid)["etag"] == etags[0]
    for edit in (
        lambda: store.set_tags(run.uid, {"a": 1}),
        lambda: store.set_tags(run.uid, {"a": "1"}),
        lambda: store.set_notes(run.uid, "new"),
        lambda: store.rename_run(run.uid, "new"),
    ):
        edit()
        etags.append(detail(run.uid)["etag"])
    assert len(set(etags)) == 5


def test_of_very_many_events_the_last_are_shown(store, detail, monkeypatch):
    """In the order in which they happened."""
    monkeypatch.setattr(run_details, "MOST_EVENTS", 3)
    with store.start_run() as run:
        for step in range(5):
            run.log_event("note", step)
    assert [event["step"] for event in detail(run.uid)["events"]] == [2, 3, 4]


def test_a_run_is_found_by_the_beginning_of_its_uid(store, detail):
    """If no other run's uid begins so; a name is enough if one run has it."""
    with store.start_run("one") as run:
        pass
    assert detail(run.uid[:8])["run"]["uid"] == run.uid
    assert detail("one")["run"]["uid"] == run.uid
    for text in (run.uid[:5], "nothing", "", "%", "\x00", "0" * 36):
        with pytest.raises(RunNotFoundError):
            detail(text)
    with store.start_run("one"):
        pass
    with pytest.raises(RunNotUniqueError, match="2 runs are called 'one'"):
        detail("one")


# --- Several ---------------------------------------------------------------------------------------------------------


def test_a_comparison_has_a_column_for_each_run(store):
    """With whole values; what is the same in all runs only if everything is asked for."""
    with store.start_run("a", hyperparams={"lr": 0.1, "same": 1, "model": {"depth": 2}, "l": [1, math.nan]}) as a:
        a.log({"loss": math.nan}, 1)
    with store.start_run("b", hyperparams={"lr": 0.2, "same": 1, "seed": 2**70}, tags=["t"]) as b:
        b.log({"loss": 1.0}, 1)
    answers = Answers(store)
    answer = answers.compare([b.uid, a.uid[:8], b.uid])
    found = cells(answer)
    assert list(found) == ["key", b.uid, a.uid]
    assert answer["count"] == len(found["key"])
    assert answer["version"] == answers.version()
    rows = dict(zip(found["key"], zip(found[b.uid], found[a.uid], strict=True), strict=True))
    assert rows["hp.lr"] == (0.2, 0.1)
    assert rows["hp.l"] == (None, [1, "NaN"])
    assert rows["hp.model.depth"] == (None, 2)
    assert rows["hp.seed"] == (str(2**70), None)
    assert rows["metric.loss"] == (1.0, "NaN")
    assert rows["tag.t"] == (True, None)
    assert "hp.same" not in rows
    assert "hp.same" in cells(answers.compare([a.uid, b.uid], everything=True))["key"]
    assert answers.compare([a.uid])["count"] == 0
    store.delete_run(b.uid)
    assert list(cells(answers.compare([a.uid, b.uid]))) == ["key", a.uid]
    with pytest.raises(RunNotFoundError):
        answers.compare([b.uid])
    with pytest.raises(LimitError, match="501 runs"):
        answers.compare([str(number) for number in range(501)])


def test_samples_come_by_step(store, monkeypatch):
    """With whatever else was logged with them; of too many, those of the last steps."""
    with store.start_run() as run:
        for step in range(1, 4):
            details = {f"sample/greedy/{nr}": {"prompt": "<p>", "completion": f"{step}.{nr}"} for nr in (0, 1)}
            run.log({"loss": 1.0}, step, details={**details, "sample/warm/0": {"completion": "w", "score": step / 2}})
    answers = Answers(store)
    found = cells(answers.samples([run.uid]))
    assert list(found) == ["uid", "step", "set", "nr", "prompt", "completion", "score"]
    assert found["step"] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert found["completion"][:3] == ["1.0", "1.1", "w"]
    assert found["score"][:3] == [None, None, 0.5]
    assert found["prompt"][:3] == ["<p>", "<p>", None]
    assert cells(answers.samples([run.uid], name="warm"))["step"] == [1, 2, 3]
    monkeypatch.setattr(comparing, "MOST_SAMPLES", 4)
    some = answers.samples([run.uid])
    assert (some["count"], cells(some)["completion"]) == (9, ["w", "3.0", "3.1", "w"])
    with store.start_run() as empty:
        pass
    assert answers.samples([empty.uid])["count"] == 0
