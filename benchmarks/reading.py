"""Queries: the table of runs, the best run, series of steps. Each store is a copy of one that is filled once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import orjson
import pandas as pd

from benchmarks.cases import BOTH, Cases, Figures, Place, check, raw_connection, seconds_of
from benchmarks.stored import VARYING, best_of, last_metrics, uid_of
from benchmarks.workload import METRICS, metrics_of, sum_of
from trainstore import TrainStore

case = Cases("reading")


def _ms(function: Callable[[], Any], place: Place) -> tuple[Figures, Any]:
    seconds, answer = seconds_of(function, place.size.calls)
    return {"ms": seconds * 1e3}, answer


# --- The table of runs ------------------------------------------------------------------------------------------------


def _table_of_runs(place: Place, runs: int, columns: int, **options: Any) -> Figures:
    with TrainStore(place.url) as store:
        figures, table = _ms(lambda: store.list_runs(**options), place)
    check("runs", len(table), runs)
    check("hyperparameters", sum(column.startswith("hp__") for column in table), columns)
    check("the sum of the loss", float(table["metric__loss"].sum()), _loss_of_all(runs))
    return figures


def _table_of_runs_floor(place: Place, runs: int, hyperparams: int) -> Figures:
    """The same rows fetched by raw sqlite3, and one DataFrame made of their columns."""
    with raw_connection(place.url) as connection:
        figures, table = _ms(lambda: _raw_table(connection), place)
    check("runs", len(table), runs)
    check("columns", table.shape[1], 8 + hyperparams + len(METRICS))
    check("the sum of the loss", float(table["loss"].sum()), _loss_of_all(runs))
    return figures


def _raw_table(connection: sqlite3.Connection) -> pd.DataFrame:
    runs = connection.execute(
        "SELECT id, uid, project, name, status, started_at, ended_at, last_step FROM run"
    ).fetchall()
    position = {run[0]: index for index, run in enumerate(runs)}
    columns: dict[str, list[Any]] = {}
    for run, key, value in connection.execute("SELECT run_id, key, value FROM hyperparam"):
        if key not in columns:
            columns[key] = [None] * len(runs)
        columns[key][position[run]] = orjson.loads(value)
    for run, metric, last in connection.execute("SELECT run_id, metric, last FROM metric_summary"):
        if metric not in columns:
            columns[metric] = [None] * len(runs)
        columns[metric][position[run]] = last
    return pd.concat([pd.DataFrame(runs), pd.DataFrame(columns)], axis=1)


def _loss_of_all(runs: int) -> float:
    return sum(last_metrics(index, runs)["loss"] for index in range(runs))


@case(stored="runs")
def runs(place: Place) -> Figures:
    return _table_of_runs(place, place.size.runs, 20)


@case(stored="runs")
def runs_floor(place: Place) -> Figures:
    return _table_of_runs_floor(place, place.size.runs, 20)


@case(stored="many_runs")
def many_runs(place: Place) -> Figures:
    return _table_of_runs(place, place.size.many_runs, 20)


@case(stored="wide_runs")
def wide_runs(place: Place) -> Figures:
    return _table_of_runs(place, place.size.runs, 190)


@case(stored="wide_runs")
def wide_runs_floor(place: Place) -> Figures:
    return _table_of_runs_floor(place, place.size.runs, 190)


@case(stored="wide_runs")
def varying(place: Place) -> Figures:
    return _table_of_runs(place, place.size.runs, VARYING, hyperparams="varying")


# --- The best run -----------------------------------------------------------------------------------------------------


def _best(place: Place, runs: int) -> Figures:
    with TrainStore(place.url) as store:
        figures, best = _ms(lambda: store.get_best_run(metric_name="loss", metric_direction="min"), place)
    check("the best run", best.uid, uid_of(best_of(runs)))
    return figures


@case(stored="runs", backends=BOTH)
def best(place: Place) -> Figures:
    return _best(place, place.size.runs)


@case(stored="runs", backends=BOTH)
def best_floor(place: Place) -> Figures:
    """Its uid alone, asked of the same tables on a connection that is open."""
    with raw_connection(place.url) as connection:
        figures, answer = _ms(
            lambda: connection.execute(
                "SELECT uid FROM run WHERE id = "
                "(SELECT run_id FROM metric_summary WHERE metric = 'loss' AND min IS NOT NULL ORDER BY min LIMIT 1)"
            ).fetchone(),
            place,
        )
    check("the best run", answer[0], uid_of(best_of(place.size.runs)))
    return figures


@case(stored="few_steps")
def best_of_few_steps(place: Place) -> Figures:
    return _best(place, place.size.deep_runs)


@case(stored="many_steps")
def best_of_many_steps(place: Place) -> Figures:
    return _best(place, place.size.deep_runs)


# --- Steps ------------------------------------------------------------------------------------------------------------


@case(stored="series")
def series(place: Place) -> Figures:
    with TrainStore(place.url) as store:
        figures, frame = _ms(lambda: store.list_step_logs(uid_of(0), metrics=["loss"]), place)
    check("columns", list(frame), ["step", "epoch", "step_time", "logged_at", "loss"])
    check("steps", len(frame), place.size.series_steps)
    check("the sum of the loss", float(frame["loss"].sum()), sum_of(place.size.series_steps))
    return figures


@case(stored="narrow_series")
def series_floor(place: Place) -> Figures:
    """Step and value of one metric, from the narrow table into a DataFrame."""
    with raw_connection(place.url) as connection:
        figures, frame = _ms(
            lambda: pd.DataFrame(
                connection.execute(
                    "SELECT step, value FROM point WHERE run = 1 AND metric = 0 ORDER BY step"
                ).fetchall(),
                columns=["step", "loss"],
            ),
            place,
        )
    check("steps", len(frame), place.size.series_steps)
    check("the sum of the loss", float(frame["loss"].sum()), sum_of(place.size.series_steps))
    return figures


@case(stored="series")
def wide_series(place: Place) -> Figures:
    with TrainStore(place.url) as store:
        figures, frame = _ms(lambda: store.list_step_logs(uid_of(0)), place)
    check("steps", len(frame), place.size.series_steps)
    for index, metric in enumerate(METRICS):
        check(f"the sum of {metric}", float(frame[metric].sum()), sum_of(place.size.series_steps, index))
    return figures


@case(stored="series")
def wide_series_floor(place: Place) -> Figures:
    """The same rows by raw sqlite3, and their JSON parsed by orjson; no DataFrame."""
    with raw_connection(place.url) as connection:
        figures, rows = _ms(
            lambda: [
                (*row, orjson.loads(row[4]))
                for row in connection.execute(
                    "SELECT step, logged_at, epoch, step_time, metrics FROM step_log WHERE run_id = 1 ORDER BY step"
                ).fetchall()
            ],
            place,
        )
    check("steps", len(rows), place.size.series_steps)
    check("the last metrics", rows[-1][-1], metrics_of(place.size.series_steps - 1))
    return figures
