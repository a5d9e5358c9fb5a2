"""The fields of the filter language: what each name stands for, and how its values compare.

A comparison with a value that is missing is false. What SQL would compare differently on SQLite and PostgreSQL
(letters without case, values inside others, the infinities) is compared in Python, and its condition lists the runs.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, false, or_, select, type_coerce

from trainstore.column_types import JsonType, WholeNumber
from trainstore.errors import FilterError, InvalidArgumentError
from trainstore.models import STATUSES
from trainstore.queries import literals
from trainstore.queries.frames import EXACT, parse
from trainstore.queries.literals import Token, containing, moment, seconds
from trainstore.queries.matches import has_name, has_value
from trainstore.queries.names import NOTHING, Name, did_you_mean, inside
from trainstore.queries.reader import Reader
from trainstore.values import plain_text, stored_label

if TYPE_CHECKING:
    from trainstore.queries.run_source import RunSource

Condition = ColumnElement[bool]
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Scope:
    """What a filter is read with: the store, the text for errors, and the statement that it will be part of."""

    reader: Reader
    text: str
    source: RunSource
    parameters: Mapping[str, Any]
    argument: str = "where"

    def error(self, place: Token | int, problem: str) -> FilterError:
        """An error that says where it is."""
        position = place if isinstance(place, int) else place.position
        return FilterError(f"{self.argument}, character {position + 1}: {problem}", text=self.text, position=position)

    def runs_where(self, column: ColumnElement[Any], holds: Callable[[Any], bool]) -> Condition:
        """The runs whose value of a column, if it is there, passes a test in Python."""
        run = self.reader.models.run.c
        columns = self.source.statement.with_only_columns(run.id, column, maintain_column_froms=True)
        found = self.reader.rows(columns.where(column.is_not(None)), self.parameters)
        return self.runs(run_id for run_id, value in found if holds(value))

    def runs(self, ids: Iterable[int]) -> Condition:
        """These runs. Their ids stand in the SQL itself: databases take only so many parameters."""
        found = list(ids)
        listed: Any = bindparam(None, found, expanding=True, literal_execute=True)
        return self.reader.models.run.c.id.in_(listed) if found else false()


class Field:
    """What a name stands for. Every condition is true or false, never NULL."""

    def __init__(self, scope: Scope, token: Token) -> None:
        self.scope = scope
        self.token = token

    def present(self) -> Condition:
        """The run has a value."""
        raise NotImplementedError

    def any_of(self, values: Sequence[Token]) -> Condition:
        """It is equal to one of these."""
        raise NotImplementedError

    def ordered(self, sign: str, value: Token) -> Condition:
        """It is smaller or larger."""
        raise self.scope.error(self.token, f"{self.token.raw} has no order; compare it with =, !=, in or ~")

    def contains(self, value: Token) -> Condition:
        """Its text contains another, in small or capital letters."""
        raise self.scope.error(self.token, f"{self.token.raw} is not a text; ~ compares texts")

    def number(self, value: Token) -> int | float:
        """The number that it is compared with."""
        number = literals.number(value)
        if number is None:
            raise self.scope.error(value, f"{self.token.raw} is compared with a number, and {value.raw} is not one")
        return number

    def given(self, value: Token, read: Callable[[Token], Any] = lambda token: token.text) -> Any:
        """The value that it is compared with, by default a text; not null, which nothing equals."""
        if value.keyword in ("null", "none"):
            raise self.scope.error(
                value, f"nothing equals {value.text}; write {self.token.raw} is null, or put the text in quotes"
            )
        return read(value)

    def alone(self) -> Condition:
        """What the name means without an operator."""
        raise self.scope.error(
            self.token,
            f"{self.token.raw} needs an operator (= != < <= > >= ~ in is); put a word to search for in quotes",
        )


# --- Facts of a run --------------------------------------------------------------------------------------------------


class TextField(Field):
    """A column of text; ``stored`` is how a text that is asked for would stand there."""

    def __init__(
        self, scope: Scope, token: Token, column: ColumnElement[Any], stored: Callable[[str], str] = plain_text
    ) -> None:
        super().__init__(scope, token)
        self.column, self.stored = column, stored

    def present(self) -> Condition:
        return self.column.is_not(None)

    def any_of(self, values: Sequence[Token]) -> Condition:
        texts = [self.stored(self.given(value)) for value in values]
        return and_(self.column.is_not(None), self.column.in_(texts))

    def contains(self, value: Token) -> Condition:
        return self.scope.runs_where(self.column, containing(value))


class StatusField(TextField):
    """The status that is shown, "lost" derived."""

    def any_of(self, values: Sequence[Token]) -> Condition:
        for value in values:
            known = (*STATUSES, "lost")
            if value.text not in known:
                raise self.scope.error(value, f"there is no status {value.raw}" + did_you_mean(value.text, known))
        return super().any_of(values)


class NumberField(Field):
    """A column of integers; ``counted`` is the metric whose values it counts, if it does."""

    def __init__(self, scope: Scope, token: Token, column: ColumnElement[Any], counted: str | None = None) -> None:
        super().__init__(scope, token)
        self.column, self.counted = type_coerce(column, WholeNumber()), counted

    def present(self) -> Condition:
        return self.column.is_not(None)

    def any_of(self, values: Sequence[Token]) -> Condition:
        return or_(false(), *(self._compared(operator.eq, value) for value in values))

    def ordered(self, sign: str, value: Token) -> Condition:
        return self._compared(_ORDER[sign], value)

    def _compared(self, how: Callable[[Any, Any], Any], value: Token) -> Condition:
        number = self.number(value)
        if not math.isfinite(number):  # none of these numbers is NaN or infinite
            return self.present() if how(0, number) else false()
        return and_(self.present(), how(self.column, number))


class TimeField(Field):
    """A column of times."""

    def __init__(self, scope: Scope, token: Token, column: ColumnElement[Any]) -> None:
        super().__init__(scope, token)
        self.column = column

    def present(self) -> Condition:
        return self.column.is_not(None)

    def any_of(self, values: Sequence[Token]) -> Condition:
        raise self.scope.error(
            self.token,
            f"{self.token.raw} is a moment, which no time that you write equals; give bounds, such as "
            f"{self.token.raw} >= 2026-01-31 and {self.token.raw} < 2026-02-01",
        )

    def ordered(self, sign: str, value: Token) -> Condition:
        time = moment(value, self.scope.reader.now)
        if time is None:
            is_span = value.text[:1].isdigit() and seconds(value) is not None
            fix = f"-{value.text}, if you mean so long ago" if is_span else "2026-01-31, 2026-01-31T12:00 (UTC) or -7d"
            raise self.scope.error(value, f"{value.raw} is not a time; write {fix}")
        return and_(self.present(), _ORDER[sign](self.column, time))


class DurationField(Field):
    """From the start of a run to its end or, while it is running, to now; a lost run has none."""

    def present(self) -> Condition:
        run, status = self.scope.reader.models.run.c, self.scope.source.status
        return or_(run.ended_at.is_not(None), status == "running")

    def any_of(self, values: Sequence[Token]) -> Condition:
        wanted = {self._wanted(value) for value in values}
        return self._where(lambda duration: duration in wanted)

    def ordered(self, sign: str, value: Token) -> Condition:
        wanted = self._wanted(value)
        return self._where(lambda duration: bool(_ORDER[sign](duration, wanted)))

    def _wanted(self, value: Token) -> float:
        found = seconds(value)
        if found is None:
            raise self.scope.error(value, f"{value.raw} is not a duration; write seconds, or 90s, 30m, 2h, 1h30m, 7d")
        return found

    def _where(self, holds: Callable[[float], bool]) -> Condition:
        run, reader = self.scope.reader.models.run.c, self.scope.reader
        statement = self.scope.source.statement.with_only_columns(
            run.id, run.started_at, run.ended_at, maintain_column_froms=True
        )
        now = reader.now()
        rows = reader.rows(statement.where(self.present()), self.scope.parameters)
        return self.scope.runs(
            run_id for run_id, started, ended in rows if holds(((ended or now) - started).total_seconds())
        )


class TagNamesField(Field):
    """The names of a run's tags."""

    def _exists(self, *also: Any) -> Condition:
        table, run = self.scope.reader.models.hyperparam.c, self.scope.reader.models.run
        return exists().where(table.run_id == run.c.id, table.namespace == "tag", *also).correlate(run)

    def present(self) -> Condition:
        return self._exists()

    def any_of(self, values: Sequence[Token]) -> Condition:
        names = [stored_label(self.given(value)) for value in values]
        return self._exists(self.scope.reader.models.hyperparam.c.key.in_(names))

    def contains(self, value: Token) -> Condition:
        return self.where(containing(value), values_too=False)

    def where(self, holds: Callable[[Any], bool], *, values_too: bool) -> Condition:
        """The runs with a tag whose name, or value, passes a test."""
        reader = self.scope.reader
        table, text = reader.models.hyperparam.c, reader.backend.json_text(reader.models.hyperparam.c.value)
        statement = select(table.run_id, table.key, text).where(table.namespace == "tag")
        found = reader.rows(statement)
        ids = {run_id for run_id, key, value in found if holds(key) or (values_too and holds(parse(value)))}
        return self.scope.runs(sorted(ids))


def search(scope: Scope, token: Token) -> Condition:
    """The runs that have a text in their name, their notes, or the name or value of a tag."""
    run, holds = scope.reader.models.run.c, containing(token)
    return or_(
        scope.runs_where(run.name, holds),
        scope.runs_where(run.notes, holds),
        TagNamesField(scope, token).where(holds, values_too=True),
    )


# --- Hyperparameters and tags ----------------------------------------------------------------------------------------


class HyperparamField(Field):
    """A hyperparameter, or what stands inside one; so for tags and the other namespaces."""

    def __init__(self, scope: Scope, token: Token, name: Name) -> None:
        super().__init__(scope, token)
        self.name = name
        self.table = scope.reader.models.hyperparam.c

    def present(self) -> Condition:
        if self.name.path:
            return self._where(lambda value: value is not None)
        return self._has(self.table.value.is_not(None))

    def any_of(self, values: Sequence[Token]) -> Condition:
        wanted = [self.given(value, literals.value) for value in values]
        try:
            return has_value(self.scope.reader, self.name, iter(wanted))
        except InvalidArgumentError as error:
            raise self.scope.error(values[0], str(error)) from None

    def ordered(self, sign: str, value: Token) -> Condition:
        number, compare = self.number(value), _ORDER[sign]

        def holds(stored: Any) -> bool:
            return type(stored) in (int, float) and bool(compare(stored, number))

        column = self.table.number
        if self.name.path or not -EXACT < number < EXACT:  # float64 would round such a number
            return self._where(holds)
        return or_(self._has(compare(column, float(number))), self._where(holds, column.is_(None)))

    def contains(self, value: Token) -> Condition:
        return self._where(containing(value), self.table.number.is_(None))

    def alone(self) -> Condition:
        if self.name.path:
            return self._where(lambda value: value is not None and value is not False)
        return self._has(self.table.value.is_not(None), self.table.value != type_coerce(False, JsonType))

    def _has(self, *also: Any) -> Condition:
        return has_name(self.scope.reader, self.name, *also)

    def _where(self, holds: Callable[[Any], bool], *also: Any) -> Condition:
        """The runs whose value passes a test; each text that is stored is read and tested once."""
        reader, table = self.scope.reader, self.table
        statement = select(table.run_id, reader.backend.json_text(table.value)).where(
            table.namespace == self.name.namespace, table.key == self.name.key, table.value.is_not(None), *also
        )
        tested: dict[str, bool] = {}
        found = []
        for run_id, text in reader.rows(statement):
            if text not in tested:
                value = inside(parse(text), self.name.path)
                tested[text] = value is not NOTHING and holds(value)
            if tested[text]:
                found.append(run_id)
        return self.scope.runs(found)


# --- Metrics ---------------------------------------------------------------------------------------------------------


class MetricField(Field):
    """The last, smallest or largest value of a metric. A last value of NaN is stored as NULL."""

    def __init__(self, scope: Scope, token: Token, metric: str, summary: str) -> None:
        super().__init__(scope, token)
        self.metric, self.summary = metric, summary
        self.table = scope.reader.models.metric_summary.c
        self.column = self.table[summary]

    def present(self) -> Condition:
        return self._has() if self.summary == "last" else self._has(self.column.is_not(None))

    def any_of(self, values: Sequence[Token]) -> Condition:
        numbers = [float(self.number(value)) for value in values]
        among: list[Any] = [self.column.in_([number for number in numbers if number == number])]
        if self.summary == "last" and any(number != number for number in numbers):
            among.append(self.column.is_(None))
        return self._has(or_(*among))

    def ordered(self, sign: str, value: Token) -> Condition:
        number = float(self.number(value))
        return false() if number != number else self._has(_ORDER[sign](self.column, number))

    def alone(self) -> Condition:
        return self.present()

    def _has(self, *also: Any) -> Condition:
        table, run = self.table, self.scope.reader.models.run
        there = exists().where(table.run_id == run.c.id, table.metric == self.metric, table.count > 0, *also)
        return there.correlate(run)
