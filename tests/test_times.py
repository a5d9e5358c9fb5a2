"""The rule for times: recorded as ISO 8601 text, found by the same time in any type, and in UTC without an offset."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trainstore import TrainStore
from trainstore.errors import InvalidArgumentError
from trainstore.times import as_iso_text, utc
from trainstore.values import canonical

EAST = timezone(timedelta(hours=2))
NAIVE = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001
AWARE = NAIVE.replace(tzinfo=EAST)

RECORDED: list[tuple[Any, str]] = [
    (NAIVE, "2026-01-02T03:04:05"),
    (NAIVE.replace(microsecond=600), "2026-01-02T03:04:05.000600"),
    (AWARE, "2026-01-02T01:04:05+00:00"),
    (date(2026, 1, 2), "2026-01-02"),
    (pd.Timestamp(NAIVE), "2026-01-02T03:04:05"),
    (pd.Timestamp(AWARE), "2026-01-02T01:04:05+00:00"),
    (pd.Timestamp("2026-01-02 03:04:05.000000001"), "2026-01-02T03:04:05.000000001"),
    (np.datetime64("2026-01-02"), "2026-01-02"),
    (np.datetime64("2026-01-02T03:04:05", "ns"), "2026-01-02T03:04:05"),
    (np.datetime64("2026-01-02T03:04:05.500", "ms"), "2026-01-02T03:04:05.500000"),
    (np.datetime64("2026-01-02T03:04:05.000000001"), "2026-01-02T03:04:05.000000001"),
    (np.datetime64("2026-01-02T03"), "2026-01-02T03:00:00"),
]


def test_a_recorded_time_is_its_iso_text() -> None:
    """In UTC if it has an offset; the same text for the same time of Python, NumPy and pandas."""
    for value, text in RECORDED:
        assert canonical(value) == text, repr(value)
    assert canonical({"a": [AWARE]}) == {"a": ["2026-01-02T01:04:05+00:00"]}
    assert canonical(np.array([[NAIVE, "NaT"]], "M8[ns]")) == [["2026-01-02T03:04:05", "NaT"]]
    assert canonical(pd.Series([NAIVE])) == ["2026-01-02T03:04:05"]
    assert canonical(pd.Series([AWARE])) == ["2026-01-02T01:04:05+00:00"]


def test_a_time_that_utc_does_not_reach_costs_no_record() -> None:
    """The first hours of year 1, east of Greenwich, are kept as a repr."""
    first = datetime.min.replace(tzinfo=EAST)
    assert canonical(first) == {"$repr": repr(first)}
    assert as_iso_text(first.isoformat()) is None


MOMENTS: list[Any] = [
    AWARE,
    AWARE.astimezone(UTC),
    pd.Timestamp(AWARE),
    "2026-01-02T03:04:05+02:00",
    "2026-01-02 01:04:05Z",
    "2026-01-02T01:04:05",
    "2026-01-02 01:04:05",
    np.datetime64("2026-01-02T01:04:05"),
]


def test_a_moment_is_in_utc_if_it_names_no_offset() -> None:
    """A date is its first moment; only a naive datetime is refused, as it may be local time."""
    for value in MOMENTS:
        assert utc(value) == AWARE, repr(value)
        assert utc(value).tzinfo is UTC
    for day in (date(2026, 1, 2), "2026-01-02", np.datetime64("2026-01-02")):
        assert utc(day) == datetime(2026, 1, 2, tzinfo=UTC)
    for value in (NAIVE, pd.Timestamp(NAIVE)):
        with pytest.raises(InvalidArgumentError, match="has no time zone; pass an aware datetime"):
            utc(value)
    for value in (5, "soon", object(), np.datetime64("NaT"), pd.NA):
        with pytest.raises(InvalidArgumentError, match="is not a time"):
            utc(value)


def test_a_recorded_time_is_found_by_the_same_time_and_by_its_text(store: TrainStore) -> None:
    """Of any type and offset; a naive one is another time than an aware one, as in Python."""
    for name, value in (("aware", AWARE), ("naive", NAIVE), ("day", date(2026, 1, 2)), ("list", [AWARE])):
        with store.start_run(name=name, hyperparams={"started": value}, tags={"at": value}):
            pass
    nested = {"data": {"until": AWARE}}
    with store.start_run(name="nested", hyperparams=nested):
        pass

    def found(value: Any) -> list[str]:
        return sorted(store.list_runs(hyperparams={"started": value})["name"])

    for value in (
        AWARE,
        AWARE.isoformat(),
        AWARE.astimezone(UTC),
        AWARE.astimezone(UTC).isoformat(),
        "2026-01-02 01:04:05Z",
        pd.Timestamp(AWARE),
        [AWARE, 5],
    ):
        assert found(value) == ["aware"], repr(value)
    for value in (NAIVE, NAIVE.isoformat(), "2026-01-02 03:04:05", pd.Timestamp(NAIVE), np.datetime64(NAIVE)):
        assert found(value) == ["naive"], repr(value)
    for value in (date(2026, 1, 2), "2026-01-02", np.datetime64("2026-01-02")):
        assert found(value) == ["day"], repr(value)
    assert found([[AWARE]]) == ["list"]
    assert found(pd.Series([AWARE, AWARE])) == ["aware"]
    assert found(AWARE + timedelta(microseconds=1)) == []
    assert list(store.list_runs(tag={"at": AWARE})["name"]) == ["aware"]
    assert list(store.list_runs(hyperparams={"data.until": AWARE})["name"]) == ["nested"]
    shown = store.list_runs(name="aware")["hp__started"].iloc[0]
    assert shown == "2026-01-02T01:04:05+00:00"
    assert found(shown) == ["aware"]
    assert store.get_run("nested").hyperparams == {"data": {"until": "2026-01-02T01:04:05+00:00"}}
