"""The statements that a backend writes itself, tried without a store."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import func, select

from trainstore.testing.base import AT, VALUES, ContractBase, Database
from trainstore.values import canonical

KEYS = ("run_id", "step", "attempt")


class Statements(ContractBase):
    """The statements that a backend writes itself, tried without a store."""

    def test_upsert_inserts_and_replaces(self, database: Database) -> None:
        """upsert() inserts new rows, replaces whole rows that exist, and may be repeated; no rows are no statement."""
        table = database.models.step_log
        first = [self._step(1, {"loss": 1.0}, epoch=0.5, details={"a": "b"}), self._step(2, {"loss": math.nan})]
        second = [self._step(1, VALUES, logged_at=AT + timedelta(microseconds=1)), self._step(3, {"big": 2**62})]
        with database.engine.begin() as connection:
            for rows in ([], first, first, second, second):
                database.backend.upsert(connection, table, KEYS, rows)
            stored = connection.execute(select(table).order_by(table.c.step)).all()
        assert [row.step for row in stored] == [1, 2, 3]
        assert stored[0].metrics == canonical(VALUES)
        assert (stored[0].epoch, stored[0].details) == (None, None)
        assert stored[0].logged_at == AT + timedelta(microseconds=1)
        assert stored[1].metrics == {"loss": "NaN"}

    def test_insert_missing_leaves_what_is_there(self, database: Database) -> None:
        """insert_missing() adds rows whose keys are new, changes no other, and may be repeated."""
        table = database.models.step_log
        with database.engine.begin() as connection:
            for rows in ([], [self._step(1, {"a": 1})], [self._step(1, {"a": 2}), self._step(2, {"a": 3})]):
                database.backend.insert_missing(connection, table, KEYS, rows)
            stored = connection.execute(select(table.c.metrics).order_by(table.c.step)).scalars().all()
        assert stored == [{"a": 1}, {"a": 3}]

    def test_insert_new_stores_what_upsert_would(self, database: Database) -> None:
        """insert_new() takes any number of rows with any values, column by column; times are microseconds."""
        table, backend = database.models.step_log, database.backend
        text = {"text": 'tab\t line\n back\\slash \\N quote" \u00e9\u4e2d\U0001f600'}
        variants: tuple[dict[str, Any], ...] = (
            {"metrics": VALUES},
            {"metrics": text, "details": {"\\": [None, "\\."]}},
            {"metrics": {}, "epoch": math.inf, "step_time": 5e-324, "logged_at": AT + timedelta(microseconds=1)},
        )
        rows = [self._step(**{"number": number, **variants[number % len(variants)]}) for number in range(300)]
        names = tuple(rows[0])
        microseconds = [
            {**row, "logged_at": (row["logged_at"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)}
            for row in rows
        ]
        batches = [
            [[row[name] for row in microseconds[begin:end]] for name in names] for begin, end in ((0, 2), (2, 300))
        ]
        read = []
        for write in (
            partial(backend.insert_new, names=names, batches=iter(())),
            partial(backend.insert_new, names=names, batches=iter(batches)),
            partial(backend.upsert, rows=rows),
        ):
            with database.engine.connect() as connection:
                write(connection, table, KEYS)
                statement = select(*(table.c[name] for name in names)).order_by(table.c.step)
                read.append([tuple(row) for row in connection.execute(statement)])
                connection.rollback()
        nothing, *read = read
        assert nothing == []
        assert len(read[0]) == len(rows)
        assert read[0] == read[1]

    def test_floats_are_exact(self, database: Database) -> None:
        """Float columns take infinities, the extremes of float64 and None exactly."""
        table = database.models.metric_summary
        values = [(-math.inf, math.inf, None), (5e-324, 1.7976931348623157e308, 0.1), (-0.5, 1e16, 123456789.123456789)]
        rows = [
            {"run_id": 1, "metric": f"m{place}", "count": 1, "nonfinite_count": 0, "min": a, "max": b, "last": c}
            for place, (a, b, c) in enumerate(values)
        ]
        with database.engine.begin() as connection:
            database.backend.upsert(connection, table, ("run_id", "metric"), rows)
            read = connection.execute(select(table.c.min, table.c.max, table.c.last).order_by(table.c.metric)).all()
        assert [tuple(row) for row in read] == values

    def test_json_expressions(self, database: Database) -> None:
        """json_value() finds what json_path_reaches() admits; json_number() is a finite number or NULL."""
        table, backend = database.models.step_log, database.backend
        stored = canonical(VALUES)
        with database.engine.begin() as connection:
            backend.upsert(connection, table, KEYS, [self._step(1, VALUES)])
            for name, value in stored.items():
                if not backend.json_path_reaches(name):
                    continue
                found = connection.execute(select(backend.json_value(table.c.metrics, name))).scalar()
                assert found == value, name
                number = connection.execute(select(backend.json_number(table.c.metrics, name))).scalar()
                expected = float(value) if type(value) in (int, float) else None
                assert (None if number is None else float(number)) == expected, name
            for expression in (backend.json_value, backend.json_number):
                assert connection.execute(select(expression(table.c.metrics, "absent"))).scalar() is None

    def test_json_numbers_compare(self, database: Database) -> None:
        """Comparing and ordering by a number skips rows whose value is not a number."""
        table, backend = database.models.step_log, database.backend
        values = [2, "high", 0.5, None, True, math.inf, [9], 1]
        with database.engine.begin() as connection:
            rows = [self._step(place, {"x": value}) for place, value in enumerate(values)]
            backend.upsert(connection, table, KEYS, rows)
            number = backend.json_number(table.c.metrics, "x")
            found = connection.execute(select(table.c.step).where(number > 0).order_by(number)).scalars().all()
        assert found == [2, 7, 0]

    def test_json_text_is_equal_for_equal_values(self, database: Database) -> None:
        """json_text() is a text that can be compared and grouped by."""
        table, backend = database.models.step_log, database.backend
        rows = [self._step(1, {"a": 1}), self._step(2, {"a": 1}), self._step(3, {"a": 2})]
        with database.engine.begin() as connection:
            backend.upsert(connection, table, KEYS, rows)
            texts = (
                connection.execute(select(backend.json_text(table.c.metrics)).order_by(table.c.step)).scalars().all()
            )
        assert texts[0] == texts[1] != texts[2]
        assert isinstance(texts[0], str)

    def test_reading(self, database: Database) -> None:
        """reading(), snapshot() and lock_rows() give the rows that are committed."""
        engine, backend, models = database
        statement = select(models.run.c.uid)
        for reading in (backend.reading, backend.snapshot):
            with reading(engine) as connection:
                assert connection.execute(statement).scalars().all() == ["r"]
                assert connection.execute(select(func.count()).select_from(models.attempt)).scalar_one() == 1
        own = backend.create_writer_engine()
        with own.connect() as connection, backend.writing(connection):
            assert connection.execute(backend.lock_rows(statement)).scalars().all() == ["r"]
        own.dispose()

    @staticmethod
    def _step(number: int, metrics: dict[str, Any], **others: Any) -> dict[str, Any]:
        row = {"run_id": 1, "step": number, "attempt": 1, "logged_at": AT, "epoch": None, "step_time": None}
        return {**row, "metrics": canonical(metrics), "details": None, **others}
