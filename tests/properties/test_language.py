"""A filter as text finds, on both databases, what the same filter evaluated in Python over the run table finds."""

from __future__ import annotations

import math
import operator
import random
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.profiles import examples
from queries.builders import START, Builder
from trainstore.queries import list_runs

Row = Mapping[str, Any]
NUMBERS = [0, 1, 1.0, -3, 0.5, 1e-4, 20, 2**53, 2**53 + 1, 2**60, 10**30, 1e300, math.inf, -math.inf, math.nan]
TEXTS = [
    "adamw",
    "AdamW",
    "lion",
    "Größe",
    "GRÖSSE",
    "it's",
    'say "x"',
    "1",
    "true",
    "100%",
    "a_b",
    "",
    "ﬁt",
    "ΣΊΣΥΦΟΣ",
]
METRIC_FIELDS = [f"metric.loss.{kind}" for kind in ("last", "min", "max", "count")]
NUMBER_FIELDS = ["last_step", "attempts", "hp.lr", "lr", "hp.model.depth", "hp.any", "metric.val/loss", *METRIC_FIELDS]
TEXT_FIELDS = ["name", "notes", "status", "host", "hp.optim", "hp.any", "hp.model", "tag.owner", "tag.bad"]
NULL_FIELDS = [*NUMBER_FIELDS, *TEXT_FIELDS, "started", "ended", "hp.fp16"]
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


# --- The runs --------------------------------------------------------------------------------------------------------


def fill(builder: Builder) -> None:
    """Insert runs with values of every kind, the same in each database."""
    choice = random.Random(7)
    for number in range(24):
        some: dict[str, Any] = {
            "hp.lr": choice.choice(NUMBERS),
            "hp.any": choice.choice([*NUMBERS, *TEXTS, None, True, False, ["Lion", 2], {"a": 1}]),
            "hp.model": choice.choice([{"depth": choice.choice(NUMBERS)}, {"depth": None}, {"width": 1}, "adamw", 1]),
            "hp.optim": choice.choice(TEXTS),
            "hp.fp16": choice.choice([True, False, None, 0, "false"]),
            "tag.owner": choice.choice(TEXTS),
            "tag.bad": choice.choice([True, False, "lion"]),
        }
        finite = [choice.uniform(0, 30) for _ in range(2)]
        last = choice.choice([1.0, 0.5, math.inf, -math.inf, None])
        metrics = {
            "loss": {"last": last, "min": min(finite), "max": max(finite), "count": choice.randint(1, 3)},
            "val/loss": choice.choice([0.5, 20.0, math.nan, math.inf]),
        }
        builder.run(
            f"{choice.choice(TEXTS)} {number}",
            status=choice.choice(["finished", "failed", "running"]),
            heartbeat_age=choice.choice([-1e6, 1e6]),
            minutes=number,
            ended_at=choice.choice([None, START]),
            last_step=choice.choice([None, 0, 1, 20, 2**53 + 1, 2**60]),
            notes=choice.choice([None, *TEXTS]),
            hyperparams={name: value for name, value in some.items() if choice.random() < 0.7},
            metrics={name: value for name, value in metrics.items() if choice.random() < 0.7},
        )


def rows_of(builder: Builder) -> dict[int, Row]:
    """What the run table shows of each run, by the names of fields."""
    with builder.reader() as reader:
        exact = replace(reader, exact=True)
        tables = {kind: list_runs(exact, summary=kind) for kind in ("last", "min", "max")}
        counts = builder.models.metric_summary.c
        counted = {
            (row.run_id, row.metric): row.count for row in reader.connection.execute(counts.count.table.select())
        }
    rows: dict[int, Row] = {}
    for place, shown in enumerate(tables["last"].to_dict("records")):
        row: dict[str, Any] = {
            **shown,
            "started": shown["started_at"],
            "ended": shown["ended_at"],
            "lr": shown["hp__lr"],
        }
        row |= {name.replace("__", ".", 1): value for name, value in shown.items()}
        model = row["hp.model"]
        row["hp.model.depth"] = model.get("depth") if isinstance(model, dict) else None
        for metric in ("loss", "val/loss"):
            for kind, table in tables.items():
                row[f"metric.{metric}.{kind}"] = table[f"metric__{metric}"][place]
            row[f"metric.{metric}"] = row[f"metric.{metric}.last"]
            row[f"metric.{metric}.count"] = counted.get((shown["run_id"], metric), 0)
        rows[shown["run_id"]] = row
    return rows


# --- A filter, as text and in Python ---------------------------------------------------------------------------------


class Filter(NamedTuple):
    text: str
    holds: Callable[[Row], bool]

    def __repr__(self) -> str:
        return self.text


def missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT


def equal(stored: Any, asked: Any) -> bool:
    if isinstance(stored, str) or isinstance(asked, str):
        return type(stored) is type(asked) and bool(stored == asked)
    if isinstance(stored, (dict, list)) or isinstance(stored, bool) != isinstance(asked, bool):
        return False
    return bool(stored == asked) or (stored != stored and asked != asked)


def folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


def contains(stored: Any, asked: str) -> bool:
    texts = stored if isinstance(stored, list) else [stored]
    return any(isinstance(text, str) and folded(asked) in folded(text) for text in texts)


def written(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def ordered(field: str, sign: str, number: Any) -> Filter:
    return Filter(
        f"{field} {sign} {written(number)}",
        lambda row: not missing(row[field]) and is_number(row[field]) and bool(ORDER[sign](row[field], number)),
    )


def any_of(field: str, values: list[Any], negated: bool) -> Filter:
    listed = f"({', '.join(map(written, values))})" if len(values) > 1 else written(values[0])
    sign = ("not in" if negated else "in") if len(values) > 1 else ("!=" if negated else "=")
    return Filter(
        f"{field} {sign} {listed}",
        lambda row: not missing(row[field]) and any(equal(row[field], value) for value in values) is not negated,
    )


def word(text: str) -> Filter:
    def holds(row: Row) -> bool:
        tags = {name[4:]: value for name, value in row.items() if name.startswith("tag.") and not missing(value)}
        return any(contains(value, text) for value in [row["name"], row["notes"], *tags, *tags.values()])

    return Filter(written(text), holds)


def leaves() -> st.SearchStrategy[Filter]:
    numbers, texts = st.sampled_from(NUMBERS), st.sampled_from(TEXTS)
    metrics = st.sampled_from([field for field in NUMBER_FIELDS if field[:3] != "hp."])
    plain_texts = st.sampled_from([field for field in TEXT_FIELDS if field != "status"])
    statuses = st.sampled_from(["finished", "failed", "running", "lost"])
    values = st.one_of(numbers, texts, st.booleans())
    minutes = st.integers(-1, 25)
    return st.one_of(
        st.builds(ordered, st.sampled_from(NUMBER_FIELDS), st.sampled_from(list(ORDER)), numbers),
        st.builds(any_of, metrics, st.lists(numbers, min_size=1, max_size=3), st.booleans()),
        st.builds(any_of, plain_texts, st.lists(texts, min_size=1, max_size=3), st.booleans()),
        st.builds(any_of, st.just("status"), st.lists(statuses, min_size=1, max_size=3), st.booleans()),
        st.builds(any_of, st.just("hp.any"), st.lists(values, min_size=1, max_size=4), st.booleans()),
        st.builds(
            lambda field, text: Filter(f"{field} ~ {written(text)}", lambda row: contains(row[field], text)),
            st.sampled_from(TEXT_FIELDS),
            texts,
        ),
        st.builds(
            lambda field, negated: Filter(
                f"{field} is{' not' if negated else ''} null", lambda row: missing(row[field]) is not negated
            ),
            st.sampled_from(NULL_FIELDS),
            st.booleans(),
        ),
        st.builds(
            lambda field: Filter(field, lambda row: not missing(row[field]) and row[field] is not False),
            st.sampled_from(["tag.bad", "tag.owner", "hp.fp16", "hp.any", "hp.model.depth", "metric.loss.min"]),
        ),
        st.builds(
            lambda sign, after: Filter(
                f"started {sign} {(START + pd.Timedelta(minutes=after)).isoformat()}",
                lambda row: bool(ORDER[sign](row["started"], START + pd.Timedelta(minutes=after))),
            ),
            st.sampled_from(list(ORDER)),
            minutes,
        ),
        st.builds(word, texts),
    )


def filters() -> st.SearchStrategy[Filter]:
    def joined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
        return st.one_of(
            st.builds(lambda part: Filter(f"not ({part.text})", lambda row: not part.holds(row)), inner),
            st.builds(
                lambda a, b: Filter(f"({a.text}) and {b.text}", lambda row: a.holds(row) and b.holds(row)),
                inner,
                leaves(),
            ),
            st.builds(
                lambda a, b: Filter(f"{a.text} or ({b.text})", lambda row: a.holds(row) or b.holds(row)),
                leaves(),
                inner,
            ),
        )

    return st.recursive(leaves(), joined, max_leaves=4)


@pytest.fixture
def both(new_database: Callable[..., str]) -> Iterator[tuple[Builder, Builder]]:
    """The same runs in each database."""
    builders = Builder(new_database("sqlite")), Builder(new_database("postgresql"))
    for builder in builders:
        fill(builder)
    yield builders
    for builder in builders:
        builder.close()


def test_a_filter_finds_what_it_says(both: tuple[Builder, Builder]) -> None:
    """Every field, operator and kind of value, joined in every way."""
    tables = [rows_of(builder) for builder in both]

    @examples(150)
    @given(filters())
    def check(asked: Filter) -> None:
        for builder, rows in zip(both, tables, strict=True):
            with builder.reader() as reader:
                found = set(list_runs(reader, where=asked.text, hyperparams=[], metrics=[])["run_id"])
            assert found == {run_id for run_id, row in rows.items() if asked.holds(row)}

    check()
