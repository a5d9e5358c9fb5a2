"""where=, and the user's own statements: values as NumPy, pandas and the frames hold them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import (
    Boolean,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    tuple_,
)

from queries.builders import START, Builder
from trainstore.errors import InvalidArgumentError
from trainstore.models import Models
from trainstore.queries import list_runs
from trainstore.store import TrainStore


@pytest.fixture
def three(builder: Builder) -> Builder:
    """Runs a, b and c, up to the steps 10, 20 and 30, begun a day apart."""
    for number, name in enumerate("abc"):
        builder.run(name, minutes=number * 24 * 60, last_step=(number + 1) * 10, project=f"p{number}")
    return builder


def found(builder: Builder, where: Any) -> str:
    with builder.reader() as reader:
        return "".join(sorted(list_runs(reader, where=where)["name"]))


NUMBERS: list[tuple[Any, str]] = [
    (np.int64(20), "a"), (np.int8(20), "a"), (np.uint64(20), "a"), (np.float32(20.5), "ab"), (np.float64(20), "a"),
    (np.array(20), "a"), (np.array([20]), "a"), (np.float16(math.inf), "abc"), (Decimal("20.5"), "ab"),
    (Decimal(20), "a"), (Fraction(41, 2), "ab"), (pd.Series([20]).iloc[0], "a"), (pd.array([20])[0], "a"),
    (2**70, "abc"), (-(2**70), ""), (2**63, "abc"),
]  # fmt: skip


def test_a_number_of_any_type_is_a_number(three: Builder) -> None:
    """In an expression of SQLAlchemy, alone or in a list."""
    column = three.models.run.c.last_step
    for value, names in NUMBERS:
        assert found(three, column < value) == names, (type(value), value)
        if value == 20:
            assert found(three, column == value) == "b", (type(value), value)
            assert found(three, column.in_([value, 10])) == "ab", (type(value), value)


def test_values_of_a_frame_find_its_rows(three: Builder) -> None:
    """Ids, steps, names and times, taken out of a frame in each way that pandas has."""
    with three.reader() as reader:
        frame = list_runs(reader, name="b")
    column = three.models.run.c
    for name, of_run in (
        ("run_id", column.id),
        ("last_step", column.last_step),
        ("started_at", column.started_at),
        ("name", column.name),
        ("project", column.project),
    ):
        for value in (frame[name].iloc[0], frame.iloc[0][name], frame[name].max(), frame[name].to_numpy()[0]):
            assert found(three, of_run == value) == "b", (name, value)
            assert found(three, of_run.in_(list(frame[name]))) == "b"


TIMES: list[Any] = [
    START + timedelta(days=1),
    date(2026, 1, 3),
    "2026-01-03",
    "2026-01-03 03:04:05.000678",
    "2026-01-03T02:00:00Z",
    "2026-01-03T05:04:05+02:00",
    pd.Timestamp("2026-01-03", tz="UTC"),
    np.datetime64("2026-01-03"),
    np.datetime64("2026-01-03T00:00:00.000000001"),
    pd.Timestamp("2026-01-03 04:00", tz="Europe/Berlin"),
    datetime(2026, 1, 3, 5, 0, tzinfo=timezone(timedelta(hours=2))),
]


def test_a_time_is_one_in_utc(three: Builder) -> None:
    """Aware times, dates, ISO texts and NumPy's times; a text without an offset is in UTC, as all that is shown."""
    column = three.models.run.c.started_at
    for time in TIMES:
        assert found(three, column >= time) == "bc", time
        assert found(three, column.between(time, "2026-01-04")) == "b", time


NO_VALUES: list[tuple[str, Any, str]] = [
    ("started_at", datetime(2026, 1, 3), "no time zone"),  # noqa: DTZ001
    ("started_at", pd.Timestamp("2026-01-03"), "no time zone"),
    ("started_at", "yesterday", "'yesterday' is not"),
    ("started_at", 20, "20 is not a time"),
    ("started_at", pd.NaT, "is_(None)"),
    ("started_at", np.datetime64("NaT"), "is not a time"),
    ("ended_at", pd.NaT, "is_(None)"),
    ("last_step", pd.NA, "is_(None)"),
    ("last_step", np.array([10, 20]), "in_(values.tolist())"),
    ("last_step", pd.Series([10, 20]), "in_(values.tolist())"),
    ("last_step", object(), "not supported"),
]


def test_what_is_no_value_is_refused(three: Builder) -> None:
    """The message names the value, or its type, and what to write."""
    for column, value, words in NO_VALUES:
        with pytest.raises(InvalidArgumentError) as error:
            found(three, three.models.run.c[column].op("<=")(value))
        assert words in str(error.value), (column, value)


REFUSED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda run: literal_column("bogus") > 1, "where 'bogus > :bogus_1' cannot be used: "),
    (lambda run: [run.last_step > 1, literal_column("bogus > 1", Boolean)], "bogus"),
    (lambda run: func.nosuch(run.name) == 1, "nosuch"),
    (lambda run: run.id.in_(select(literal_column("run_id")).select_from(table("nope"))), "nope"),
    (lambda run: run.last_step > bindparam("x"), "cannot be used: A value is required for bind parameter 'x'; write"),
]


@pytest.mark.parametrize("query", ["list_runs", "list_runs_grouped_by_metric", "get_best_run"])
def test_what_the_statement_does_not_have_is_refused(store: TrainStore, query: str) -> None:
    """A column, table, function or parameter: our error names it, without the whole SQL; the store goes on."""
    arguments = [] if query == "list_runs" else ["loss"]
    for make, words in REFUSED:
        with pytest.raises(InvalidArgumentError) as error:
            getattr(store, query)(*arguments, where=make(store.table.run.c))
        assert words in str(error.value)
        assert "store.table.run.c (id, uid, " in str(error.value)
        assert "SELECT run" not in str(error.value).replace("SELECT run_id", "")
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__
        assert store.list_runs().empty


def test_in_a_snapshot_a_refused_expression_does_not_keep_the_next_query_from_working(store: TrainStore) -> None:
    """The transaction goes on."""
    store.start_run(name="a").finish()
    with store.snapshot() as view:
        with pytest.raises(InvalidArgumentError, match="bogus"):
            view.list_runs(where=literal_column("bogus") > 1)
        assert list(view.list_runs()["name"]) == ["a"]


MISFITS: list[tuple[Callable[[Any, Models], Any], str]] = [
    (lambda run, _: run.last_step == "x", "run.last_step (a number) with 'x' (text); compare it with a number"),
    (lambda run, _: run.last_step == "20", "with '20' (text)"),
    (lambda run, _: run.last_step != "x", "with 'x' (text)"),
    (lambda run, _: ~(run.last_step < "x"), "with 'x' (text)"),
    (lambda run, _: run.last_step.op("<")("x"), "with 'x' (text)"),
    (lambda run, _: run.last_step.in_([20, "x"]), "with 'x' (text)"),
    (lambda run, _: run.last_step.not_in(["x", 20]), "with 'x' (text)"),
    (lambda run, _: run.last_step.in_([run.id, "x"]), "with 'x' (text)"),
    (lambda run, _: run.last_step.between(5, "x"), "with 'x' (text)"),
    (lambda run, _: run.last_step == b"20", "with b'20' (bytes)"),
    (lambda run, _: run.last_step == literal("20"), "with '20' (text)"),
    (lambda run, _: literal("20") == run.last_step, "run.last_step (a number) with '20' (text)"),
    (lambda run, _: run.last_step.is_(True), "with true (a truth value)"),
    (lambda run, _: run.last_step > np.True_, "(a truth value)"),
    (lambda run, _: (run.last_step > 5) == 1, "(a truth value) with 1 (a number)"),
    (lambda run, _: func.coalesce(run.last_step, 0) + 1 == "x", "with 'x' (text)"),
    (lambda run, _: case((run.last_step == "x", True), else_=False), "with 'x' (text)"),
    (lambda run, _: or_(run.name == "a", run.last_step == "x"), "with 'x' (text)"),
    (lambda run, _: run.name == 5, "run.name (text) with 5 (a number); compare it with text"),
    (lambda run, _: run.name.in_(["a", np.float32(5)]), "(a number)"),
    (lambda run, _: run.name == START, "(a time)"),
    (lambda run, _: run.name == np.datetime64("2026-01-03"), "(a time)"),
    (lambda run, _: run.uid == UUID(int=1), "(a UUID)"),
    (lambda run, _: run.name == run.last_step, "run.name (text) with run.last_step (a number)"),
    (lambda run, _: run.started_at == run.name, "run.started_at (a time) with run.name (text)"),
    (lambda run, _: run.id.in_(select(run.name)), "(text)"),
    (lambda run, _: tuple_(run.id, run.name).in_([(1, 2)]), "run.name (text) with 2 (a number)"),
    (lambda run, _: tuple_(run.id, run.name) == tuple_(run.id, run.id), "run.name (text) with run.id (a number)"),
    (
        lambda run, to: run.id.in_(select(to.hyperparam.c.run_id).where(to.hyperparam.c.number == "x")),
        "hyperparam.number (a number) with 'x' (text)",
    ),
    (lambda run, _: run.last_step, "run.last_step is a number, not a condition"),
    (lambda run, _: ~run.last_step, "run.last_step is a number, not a condition"),
    (lambda run, _: and_(run.name == "a", run.last_step), "run.last_step is a number, not a condition"),
]


def test_a_value_of_another_kind_than_its_column_is_refused(three: Builder) -> None:
    """SQLite would find nothing, PostgreSQL fail; the message names both sides and the kind to write."""
    for number, (make, words) in enumerate(MISFITS):
        with pytest.raises(InvalidArgumentError) as error:
            found(three, make(three.models.run.c, three.models))
        assert words in str(error.value), number


def test_what_is_of_one_kind_is_compared(three: Builder) -> None:
    """Columns, functions, lists, tuples, NULL, and what a subquery gives."""
    run, hyperparam = three.models.run.c, three.models.hyperparam.c
    for where, names in (
        (run.name.startswith("a") | run.name.regexp_match("b"), "ab"), (run.name == None, ""),  # noqa: E711
        (run.ended_at.is_(None), "abc"), (run.ended_at.is_not(None), ""), (run.last_step + 1 == 21.0, "b"),
        (run.last_step.in_([run.id, 20]), "b"), (run.last_step.in_([]), ""), (run.last_step.in_([None, 20]), "b"),
        (tuple_(run.last_step, run.name).in_([(10, "a"), (10, "b")]), "a"), ((run.last_step > 5).is_(True), "abc"),
        (run.id == select(func.max(run.id)).scalar_subquery(), "c"), (func.length(run.name) == 1, "abc"),
        (tuple_(run.last_step, run.name).in_(select(run.last_step, run.name)), "abc"), (literal(True), "abc"),
        (~exists().where(hyperparam.run_id == run.id, hyperparam.number > 1), "abc"), (false(), ""),
        (run.started_at.in_(["2026-01-03T03:04:05.000678", date(2026, 1, 3)]), "b"),
        (run.started_at == run.started_at, "abc"), (run.name == "2026-01-03", ""),
    ):  # fmt: skip
        assert found(three, where) == names, str(where)


def test_the_users_own_statements_take_them_too(store: TrainStore) -> None:
    """Through session(), engine and connection, as expressions and as SQL, to read and to write."""
    for step in (10, 20, 30):
        with store.start_run(name=f"to {step}") as run:
            run.log({"loss": 1.0}, step=step)
    frame = store.list_runs()
    assert len(frame) == 3
    column, step, last = store.table.run.c, np.int64(20), frame["started_at"].max()
    statement = select(column.name).where(column.last_step == step)
    with store.session() as session:
        assert session.execute(statement).scalars().all() == ["to 20"]
        assert session.query(store.models.Run).filter_by(id=frame["run_id"].iloc[0]).one().name == "to 30"
    with store.engine.connect() as connection:
        assert connection.execute(statement).scalars().all() == ["to 20"]
        sql = text("SELECT name FROM run WHERE last_step = :step")
        assert connection.execute(sql, {"step": step}).scalars().all() == ["to 20"]
        sql = text("SELECT name FROM run WHERE started_at = :time")
        for time in (last, last.to_pydatetime()):
            assert connection.execute(sql, {"time": time}).scalars().all() == ["to 30"]
        with pytest.raises(InvalidArgumentError, match="in_"):
            connection.execute(select(column.name).where(column.last_step == np.array([10, 20])))
        with pytest.raises(InvalidArgumentError, match="'soon' is not a time"):
            connection.execute(select(column.name).where(column.started_at < "soon"))
    with store.session() as session:
        session.get(store.models.Run, np.int64(frame["run_id"].iloc[0])).last_step = np.int64(31)
    assert store.get_current_step("to 30") == 31
    event = store.table.event
    rows = [
        {"run_id": run_id, "writer_uid": "w", "seq": np.int64(number), "at": datetime.now(UTC), "kind": "k"}
        for number, run_id in enumerate(frame["run_id"])
    ]
    with store.engine.begin() as connection:
        connection.execute(event.insert(), rows)
        seqs = connection.execute(select(event.c.seq).where(event.c.kind == "k").order_by(event.c.seq))
        assert seqs.scalars().all() == [0, 1, 2]
