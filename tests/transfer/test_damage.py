"""Whatever one value of a file was changed to: a merge ends well, and the target can be read and has all other runs."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st
from sqlalchemy import select

from properties.profiles import examples
from trainstore import TrainStore
from trainstore.errors import TrainStoreError
from trainstore.models import SCALARSTOP_TABLES, TABLE_NAMES
from transfer.held import rows

#: What a value may be changed to, beside a part of itself and itself with another character.
OTHERS: list[Any] = [
    None, "", "yesterday", "NaN", "null", "5", "[1.0]", "{}", '{"loss":NaN}', '{"loss":1e999}', '{"loss":"\\ud800"}',
    "0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999", "2026-02-31 00:00:00.000000", "a\0b", b"\xff", b"{}",
    -1, 0, 2, 2**40, 2**63 - 1, 1.5, float("inf"),
]  # fmt: skip
#: They say what a row belongs to: changed, they make other rows of it, or none.
LEFT_OUT = {"id", "run_id", "model_epoch_id"}


class Sources(NamedTuple):
    """Files with the same runs, and what a target holds that has all of them."""

    old: Path
    new: Path
    expected: dict[str, list[str]]

    def __repr__(self) -> str:
        return "sources"


def fill(store: TrainStore, old: Path) -> None:
    """Runs with rows in every table; ``old`` is a copy from before the last ones."""
    with store.start_run("gone") as gone:
        gone.log({"loss": 1.0}, step=0)
    uids = []
    for name in "abc":
        with store.start_run(name, project="p", hyperparams={"lr": 0.1, "b": [1]}, tags=["t"], parent=gone.uid) as run:
            for step in range(3):
                sample = {"sample/s/0": {"prompt": "p", "completion": "c"}}
                run.log({"loss": 1.0 / (step + 1), "note": "x"}, step=step, details=sample)
            run.log_event("checkpoint", step=2, details={"path": "c"})
            run.set_notes("first")
        uids.append(run.uid)
    store.delete_run(gone.uid)
    store.insert_datablob_by_str(name="data", group_name="blobs", hyperparams={"rows": 3})
    store.insert_model_template_by_str(name="net", group_name="nets", hyperparams={"cols": [1]})
    store.insert_model_by_str(name="m", model_class_name="Keras", datablob_name="data", model_template_name="net")
    for number in range(2):
        store.insert_model_epoch(epoch_num=number, model_name="m", metrics={"loss": 1.0}, steps_per_epoch=7)
    with store.engine.begin() as connection:
        events = connection.execute(select(store.table.event)).mappings().all()
        for row in events:
            at = {"claimed_at": row["at"], "sent_at": row["at"]}
            connection.execute(
                store.table.notification.insert().values(
                    {name: row[name] for name in ("run_id", "writer_uid", "seq")} | {"target": "somebody"} | at
                )
            )
    store.backup(old)
    for uid in uids:
        with store.resume_run(uid, step=0) as run:
            run.log({"loss": 0.5, "more": 1}, step=1)
        with store.resume_run(uid) as run:
            run.log({"more": 2}, step=1)
            run.log({"loss": 0.25}, step=5)
        store.set_tags(uid, {"t": "u"})
        store.set_notes(uid, "second")


@pytest.fixture
def sources(new_database: Callable[..., str], tmp_path: Path, database_url: str) -> Sources:
    """Made once for all examples."""
    url = new_database("sqlite")
    old = tmp_path / "old.db"
    with TrainStore(url) as store:
        fill(store, old)
    new = tmp_path / "new.db"
    with TrainStore(url) as store:
        store.backup(new)
        _allow_null(new)
    with emptied(database_url) as target:
        target.merge(old)
        target.merge(new)
        return Sources(old, new, rows(target))


@contextlib.contextmanager
def emptied(url: str) -> Iterator[TrainStore]:
    """The store of all examples; afterwards it is empty."""
    with TrainStore(url) as store:
        try:
            yield store
        finally:
            with store.engine.begin() as connection:
                for name in reversed(TABLE_NAMES):
                    if name != "store":
                        connection.execute(getattr(store.table, name).delete())


def _allow_null(path: Path) -> None:
    """What is damaged is not the schema, and a damaged NULL stands where none may be."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table'")


class Damage(NamedTuple):
    """One value that is another now."""

    table: str
    column: str
    value: Any
    run_id: int | None  # whose it is


@st.composite
def damages(draw: st.DrawFn, path: Path) -> Damage:
    """Change one value of a file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        table = draw(st.sampled_from(TABLE_NAMES))
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = draw(st.sampled_from([name for name in names if name not in LEFT_OUT]))
        keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
        found = connection.execute(f"SELECT {', '.join([*keys, column])} FROM {table}").fetchall()
        place = draw(st.sampled_from(range(len(found))))
        *key, value = found[place]
        other = draw(changed(value))
        where = " AND ".join(f"{name} = ?" for name in keys)
        run_id = None
        if table == "run" or "run_id" in names:
            run_id = connection.execute(
                f"SELECT {'id' if table == 'run' else 'run_id'} FROM {table} WHERE {where}", key
            ).fetchone()[0]
        try:
            assume(connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", [other, *key]).rowcount == 1)
        except sqlite3.IntegrityError:
            assume(False)
        return Damage(table, column, other, run_id)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Another value, or a part of it, or it with another character."""
    if isinstance(value, str) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        character = draw(st.sampled_from(["", "\0", "9", "x", '"', "\udcff"]))
        text = value[:place] + (character + value[place + 1 :] if draw(st.booleans()) else "")
        return text.encode(errors="surrogateescape") if "\udcff" in text else text
    return draw(st.sampled_from(OTHERS))


def test_a_damaged_run_that_was_asked_for(tmp_path: Path, store: TrainStore) -> None:
    """It is named with its damage, not as one that the source does not have."""
    source = tmp_path / "source.db"
    with TrainStore(source) as filled, filled.start_run("x") as run:
        run.log({"loss": 1.0}, step=0)
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("UPDATE run SET name = x'ff'")
    report = store.merge(source, runs=[run.uid])
    assert report.refused == {run.uid: "it is damaged: run.name holds x'ff', no text that can be stored"}
    assert store.list_runs().empty


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@examples(10)
@given(data=st.data())
def test_one_damaged_value_costs_one_run_at_most(
    sources: Sources, database_url: str, tmp_path: Path, known: bool, data: st.DataObject
) -> None:
    """The damaged run comes whole or not at all, and what the target holds can be read by every query."""
    damaged = tmp_path / "damaged.db"
    damaged.unlink(missing_ok=True)
    shutil.copyfile(sources.new, damaged)
    damage = data.draw(damages(damaged))
    note(str(damage))
    with emptied(database_url) as target:
        if known:
            target.merge(sources.old)
        before = rows(target)
        if damage.table == "store":
            with contextlib.suppress(TrainStoreError):  # it is no whole store
                target.merge(damaged)
            return
        report = target.merge(damaged)
        note(str(report))
        assert len(report.refused) <= 1
        with closing(sqlite3.connect(sources.new)) as connection:
            uids = dict(connection.execute("SELECT id, uid FROM run"))
        uid = uids.get(damage.run_id)
        found = rows(target)
        assert without(uid, found) == without(uid, sources.expected)
        if report.refused and uid is not None:
            assert only(uid, found) == only(uid, before)
        if damage.table not in SCALARSTOP_TABLES:
            assert not report.scalarstop_refused
        ask_everything(target)
        again = target.merge(damaged)
        assert (again.refused, again.new, again.updated) == (report.refused, [], [])


def only(uid: str, held: dict[str, list[str]]) -> list[str]:
    return [row for found in held.values() for row in found if uid in row]


def without(uid: str | None, held: dict[str, list[str]]) -> list[str]:
    """The rows of all runs but one, by what they belong to."""
    of_others = [row for found in held.values() for row in found if uid is None or uid not in row]
    return [row for row in of_others if any(other in row for other in _uids(held) - {uid})]


def _uids(held: dict[str, list[str]]) -> set[str]:
    return {row[2:38] for row in held["run"]}


def ask_everything(store: TrainStore) -> None:
    """Every public query, and edits of every run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = store.list_runs(hyperparams="all")
        uids = list(runs["uid"])
        store.list_runs(where="metric.loss < 1 and hp.lr = 0.1 and duration < 5h", since="2020-01-01", tag="t")
        store.list_runs_grouped_by_metric(metric_name="loss", metric_direction="min")
        store.get_best_run(metric_name="loss", metric_direction="min")
        for attempts in ("current", "all"):
            store.list_step_logs(uids, attempts=attempts, details=True)
            store.list_samples(uids, attempts=attempts)
        store.list_step_logs(uids, metrics=["loss"], tidy=True)
        store.list_metrics()
        store.list_hyperparams()
        store.list_events()
        store.list_attempts()
        if len(uids) > 1:
            store.compare_runs(uids, everything=True)
        for uid in uids:
            str(store.get_run(uid))
            store.get_current_step(uid)
            store.set_tags(uid, {"seen": True})
            store.set_notes(uid, "seen")
            store.rename_run(uid, "seen")
        for frame in (store.list_datablobs, store.list_model_templates, store.list_models, store.list_model_epochs):
            frame()
        store.list_models_grouped_by_epoch_metric(metric_name="loss", metric_direction="min")
