"""The tables of ``trainstore export``: their columns and rows, for some runs or for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trainstore.exporting.formats import ABSENT, Column, Row, value_kind

if TYPE_CHECKING:
    from pandas import DataFrame
    from sqlalchemy import BindParameter

    from trainstore.queries import Reader, RunKey
    from trainstore.store import TrainStore

TABLES = ("runs", "hyperparams", "metrics", "steps", "events", "attempts")
JSON_COLUMNS = frozenset({"value", "details", "versions", "changed_hyperparams"})

Table = tuple[Sequence[Column], Callable[[], Iterator[Sequence[Row]]]]


class ExportTables:
    """The tables of some runs, or of all (None), each made when it is asked for."""

    def __init__(
        self,
        store: TrainStore,
        reader: Reader,
        runs: list[str] | None,
        metrics: list[str] | None,
        attempts: str,
        *,
        several: bool,
    ) -> None:
        from trainstore.queries import resolve_runs
        from trainstore.queries.names import all_runs

        self._store = store
        self._reader = reader
        self._keys: list[RunKey] = all_runs(reader) if runs is None else resolve_runs(reader, runs)
        self._uids = [key.uid for key in self._keys]
        self._all = runs is None
        self._several = several  # then each step log names its run
        self._metrics = metrics
        self._attempts = attempts

    def of(self, name: str) -> Table:
        """The columns and rows of one of `TABLES`."""
        table: Table = getattr(self, f"_{name}_table")()
        return table

    def _runs_table(self) -> Table:
        from trainstore import queries

        chosen = None if self._all else self._store.table.run.c.id.in_(_in_the_text([key.id for key in self._keys]))
        return table_of(queries.list_runs(self._reader, metrics=self._metrics, where=chosen).iloc[::-1])

    def _hyperparams_table(self) -> Table:
        from trainstore import queries

        return table_of(queries.list_hyperparams(self._reader, self._uids))

    def _metrics_table(self) -> Table:
        from trainstore import queries

        frame = queries.list_metrics(self._reader, self._uids)
        return table_of(frame if self._metrics is None else frame[frame["metric"].isin(self._metrics)])

    def _events_table(self) -> Table:
        from trainstore import queries

        return table_of(queries.list_events(self._reader, self._uids))

    def _attempts_table(self) -> Table:
        from trainstore.queries.stream import list_attempts

        return table_of(list_attempts(self._reader, self._uids))

    def _steps_table(self) -> Table:
        from trainstore.queries.names import run_names
        from trainstore.queries.steps import column_name
        from trainstore.queries.stream import metric_kinds, metric_value, stream_steps

        names_of = run_names(self._reader, self._keys) if self._several else {}
        kinds: dict[str, set[str]] = {}
        with_details = False
        # The steps are read twice: a file's columns must be known before its first row is written.
        for steps in stream_steps(self._reader, self._keys, attempts=self._attempts):
            for name, found in metric_kinds(steps).items():
                kinds.setdefault(name, set()).update(found)
            with_details = with_details or any(step.details is not None for step in steps)
        names = sorted(kinds) if self._metrics is None else self._metrics
        columns = [
            *([Column("run", "text"), Column("name", "text")] if self._several else []),
            Column("step", "int"),
            *([Column("attempt", "int")] if self._attempts == "all" else []),
            Column("epoch", "float"),
            Column("step_time", "float"),
            Column("logged_at", "time"),
            *([Column("details", "json")] if with_details else []),
            *(Column(column_name(name), value_kind(kinds.get(name, ()))) for name in names),
        ]
        by_uid = {key.uid: names_of.get(key.id) for key in self._keys}

        def pieces() -> Iterator[Sequence[Row]]:
            for steps in stream_steps(self._reader, self._keys, attempts=self._attempts):
                yield [
                    [
                        *([step.run, by_uid[step.run]] if self._several else []),
                        step.step,
                        *([step.attempt] if self._attempts == "all" else []),
                        step.epoch,
                        step.step_time,
                        step.logged_at,
                        *([step.details] if with_details else []),
                        *(metric_value(step.metrics[name]) if name in step.metrics else ABSENT for name in names),
                    ]
                    for step in steps
                ]

        return columns, pieces


def _in_the_text(numbers: Sequence[int]) -> BindParameter[Any]:
    """The values of an IN list, written into the statement: databases take few parameters, but long statements."""
    from sqlalchemy import Integer, bindparam

    values: Any = numbers
    return bindparam(None, values, Integer(), expanding=True, literal_execute=True)


def table_of(frame: DataFrame) -> Table:
    """An exact frame as columns and rows of Python values."""
    columns = [Column(str(name), _kind(str(name), frame[name])) for name in frame.columns]

    def pieces() -> Iterator[Sequence[Row]]:
        for start in range(0, len(frame), 1_000):
            rows = frame.iloc[start : start + 1_000].itertuples(index=False, name=None)
            yield [list(map(_python, values)) for values in rows]

    return columns, pieces


def _kind(name: str, column: Any) -> str:
    """The kind of a column; that of a hyperparameter's or tag's column depends on its values."""
    from trainstore.models import NAMESPACES
    from trainstore.queries.stream import kinds_of

    if name.partition("__")[0] in NAMESPACES:
        return value_kind(set().union(*(kinds_of(_python(value)) for value in column)))
    if column.dtype.kind == "O":
        return "json" if name in JSON_COLUMNS else "text"
    return {"i": "int", "f": "float", "b": "bool", "M": "time"}[column.dtype.kind]


def _python(value: Any) -> Any:
    import pandas as pd

    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value
