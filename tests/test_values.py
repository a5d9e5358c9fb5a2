"""Values as they are stored, names, and what is redacted."""

from __future__ import annotations

import dataclasses
import enum
import math
import pathlib
import sys
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import orjson
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, insert, select

from fixtures.databases import opened
from trainstore.backends.urls import safe_url
from trainstore.recording.environment import safely
from trainstore.redaction import REDACTED
from trainstore.values import (
    INT64_MAX,
    INT64_MIN,
    MAX_NAME_LENGTH,
    MAX_PARTS,
    MAX_REPR_LENGTH,
    canonical,
    canonical_hyperparams,
    index_of,
    number_of,
    plain_text,
    restore,
    stored_label,
    stored_name,
)

# --- Canonical values ------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    __slots__ = ()


class Count(int):
    pass


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no")


class Hostile:
    shape = ()

    def item(self):
        raise RuntimeError("no")

    def __repr__(self):
        return "hostile"


class LyingAboutItself:
    @property
    def __class__(self):
        raise RuntimeError("no")


@dataclasses.dataclass
class Optimizer:
    lr: float
    betas: tuple[float, float]


Point = namedtuple("Point", "x y")

SAME = [
    None,
    True,
    False,
    0,
    -1,
    INT64_MAX,
    INT64_MIN,
    0.1,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    "",
    "é",
    "𝄞",
    "a'b\"c\\",
]
CONVERTED = [
    (math.inf, "Infinity", math.inf),
    (-math.inf, "-Infinity", -math.inf),
    (2**63, {"$int": "9223372036854775808"}, 2**63),
    (-(10**40), {"$int": f"-{10**40}"}, -(10**40)),
    (Count(7), 7, 7),
    (Name("text"), "text", "text"),
    (Level.HIGH, 3, 3),
    (Colour.RED, "red", "red"),
    (Colour.PAIR, [1, 2], [1, 2]),
    (np.float32(0.5), 0.5, 0.5),
    (np.float64("inf"), "Infinity", math.inf),
    (np.int64(3), 3, 3),
    (np.uint64(2**64 - 1), {"$int": str(2**64 - 1)}, 2**64 - 1),
    (np.bool_(True), True, True),
    (np.str_("x"), "x", "x"),
    (np.array(2.5), 2.5, 2.5),
    (torch.tensor(0.25), 0.25, 0.25),
    (torch.tensor(0.25, dtype=torch.bfloat16, requires_grad=True), 0.25, 0.25),
    (torch.tensor(7), 7, 7),
    (torch.tensor(True), True, True),
    (np.array([[[3]]]), 3, 3),
    (torch.ones(1, 1, dtype=torch.bfloat16), 1.0, 1.0),
    (pd.Series([0.5]), 0.5, 0.5),
    (np.array(["x"]), "x", "x"),
    (np.array([Fraction(1, 2)]), 0.5, 0.5),
    (np.longdouble(2.5), 2.5, 2.5),
    (np.longdouble("1e4000"), {"$repr": "np.longdouble('1e+4000')"}, "np.longdouble('1e+4000')"),
    (Decimal("0.1"), 0.1, 0.1),
    (Decimal("-Infinity"), "-Infinity", -math.inf),
    (Decimal("1e400"), {"$repr": "Decimal('1E+400')"}, "Decimal('1E+400')"),
    (Decimal("sNaN"), {"$repr": "Decimal('sNaN')"}, "Decimal('sNaN')"),
    (Fraction(1, 4), 0.25, 0.25),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    (np.array([1.5, math.nan]).astype(">f4")[:1].repeat(2), [1.5, 1.5], [1.5, 1.5]),
    (np.ma.masked_array([1, 2], [False, True]), [1, None], [1, None]),
    (np.array([], dtype=int), [], []),
    (torch.arange(2, dtype=torch.bfloat16).requires_grad_(), [0.0, 1.0], [0.0, 1.0]),
    (torch.ones(2).to(torch.float8_e5m2), [1.0, 1.0], [1.0, 1.0]),
    (torch.eye(2).to_sparse(), [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]),
    (pd.Series([1, None], dtype="Int64"), [1.0, "NaN"], [1.0, math.nan]),
    (pd.Index(["a", "b"]), ["a", "b"], ["a", "b"]),
    (pd.DataFrame({"a": [1, 2], 3: ["x", "y"]}), {"a": [1, 2], "3": ["x", "y"]}, {"a": [1, 2], "3": ["x", "y"]}),
    (np.array(["2026-01-02", "2026-01-03"], dtype="M8[D]"), ["2026-01-02", "2026-01-03"], ["2026-01-02", "2026-01-03"]),
    ((1, (2, 3)), [1, [2, 3]], [1, [2, 3]]),
    (Point(1, 2), [1, 2], [1, 2]),
    (OrderedDict(a=1), {"a": 1}, {"a": 1}),
    ({1: "x", None: "y"}, {"1": "x", "None": "y"}, {"1": "x", "None": "y"}),
    (Optimizer(0.1, (0.9, 0.99)), {"lr": 0.1, "betas": [0.9, 0.99]}, {"lr": 0.1, "betas": [0.9, 0.99]}),
    (pathlib.PurePosixPath("/data/x"), "/data/x", "/data/x"),
    ("a\x00b", {"$repr": "a\\u0000b"}, "a\\u0000b"),
    ("a\ud800b", {"$repr": "a\\ud800b"}, "a\\ud800b"),
    ({"k\x00": 1}, {"k\\u0000": 1}, {"k\\u0000": 1}),
    (b"raw", {"$repr": "b'raw'"}, "b'raw'"),
    (1 + 2j, {"$repr": "(1+2j)"}, "(1+2j)"),
    ({3}, {"$repr": "{3}"}, "{3}"),
    (int, {"$repr": "<class 'int'>"}, "<class 'int'>"),
    (np.datetime64("2026-01-02"), "2026-01-02", "2026-01-02"),
    (np.datetime64("2026-01-02", "ns"), "2026-01-02T00:00:00", "2026-01-02T00:00:00"),
    (Hostile(), {"$repr": "hostile"}, "hostile"),
    (Unspeakable(), {"$repr": "<Unspeakable whose repr() fails>"}, "<Unspeakable whose repr() fails>"),
    ({"$repr": "mine"}, {"$repr": "{'$repr': 'mine'}"}, "{'$repr': 'mine'}"),
    ({"$int": "mine"}, {"$repr": "{'$int': 'mine'}"}, "{'$int': 'mine'}"),
    ({"$int": "1", "more": 2}, {"$int": "1", "more": 2}, {"$int": "1", "more": 2}),
]


@pytest.mark.parametrize("value", SAME)
def test_plain_values_stay(value: object):
    """What JSON and both databases hold by themselves is stored as it is."""
    assert canonical(value) == value
    assert type(canonical(value)) is type(value)
    assert restore(canonical(value)) == value


@pytest.mark.parametrize(("value", "stored", "read"), CONVERTED, ids=lambda value: repr(type(value).__name__))
def test_other_values_are_converted(value: object, stored: object, read: object):
    """Everything else becomes JSON by the table in values.py, and is read back as that table says."""
    assert canonical(value) == stored
    assert type(canonical(value)) is type(stored)
    assert repr(restore(canonical(value))) == repr(read)


@pytest.mark.parametrize("value", [math.nan, np.float32("nan"), torch.tensor(float("nan"))])
def test_nan(value: object):
    """NaN is stored as text and read back as NaN."""
    assert canonical(value) == "NaN"
    assert math.isnan(restore("NaN"))


def test_large_arrays_are_described():
    """More than 1,000 elements are kept as shape, dtype and digest: equal contents are equal texts, others differ."""
    numbers = np.arange(1_000, dtype="float32")
    assert canonical(numbers) == numbers.tolist()
    numbers = np.arange(1_001, dtype="float32")
    text = canonical(numbers)["$repr"]
    assert text.startswith("<ndarray of shape (1001,), dtype float32, sha256 ")
    assert canonical(numbers[::-1][::-1]) == canonical(numbers)
    assert canonical(torch.from_numpy(numbers))["$repr"] == text.replace("ndarray", "Tensor")
    assert canonical(torch.from_numpy(numbers).bfloat16())["$repr"] != text
    assert canonical(numbers + 1) != canonical(numbers)
    assert canonical(numbers.reshape(7, 143)) != canonical(numbers)
    assert "shape (1001,), dtype str, sha256 " in canonical(pd.DataFrame({"a": ["x"] * 1_001}))["a"]["$repr"]


def test_large_arrays_of_objects_are_digested_by_what_they_hold():
    """Not by the addresses of their elements."""
    one, other = (np.array([Fraction(number, 7) for number in range(1_001)], dtype=object) for _ in range(2))
    assert "sha256" in canonical(one)["$repr"]
    assert canonical(one) == canonical(other)
    other[3] = 0
    assert canonical(one) != canonical(other)


def test_arrays_without_readable_elements_are_described():
    """A tensor without contents, and an array too large to be digested, have shape and dtype."""
    assert canonical(torch.zeros(3, device="meta")) == {"$repr": "<Tensor of shape (3,), dtype float32>"}
    assert canonical(torch.zeros((1, 1), device="meta")) == {"$repr": "<Tensor of shape (1, 1), dtype float32>"}
    large = np.broadcast_to(np.float64(0), (2**20, 2**20))
    assert canonical(large) == {"$repr": "<ndarray of shape (1048576, 1048576), dtype float64>"}


def test_what_cannot_be_read_costs_itself():
    """Beside it everything is kept as it is."""
    value = {"good": 0.5, "bad": [Hostile(), LyingAboutItself(), 1], "worse": Unspeakable()}
    kept = canonical(value)
    assert (kept["good"], kept["bad"][2]) == (0.5, 1)
    assert kept["worse"] == {"$repr": "<Unspeakable whose repr() fails>"}


def test_cycles_and_depth_end():
    """A container that holds itself, or is nested without end, is cut by a repr and never loops."""
    cycle: dict[str, object] = {"a": 1}
    cycle["self"] = cycle
    assert canonical(cycle) == {"a": 1, "self": {"$repr": "{'a': 1, 'self': {...}}"}}
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    orjson.dumps(canonical(deep))


def test_huge_values_are_cut():
    """A repr is cut at a length that a database can bear; an int too long for str() is kept in hexadecimal."""
    assert len(canonical(b"x" * 10**6)["$repr"]) < MAX_REPR_LENGTH + 100
    assert canonical(1 << 100_000)["$repr"].startswith("0x1000")
    assert canonical(10**3000) == {"$int": "1" + "0" * 3000}


def test_hostile_class():
    """An object that raises from everything costs no exception."""
    assert set(canonical(LyingAboutItself())) == {"$repr"}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=[]))
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_canonical_is_json_and_stable(value: object):
    """What canonical() returns is JSON that orjson takes, reads back as itself, and canonical() leaves it at that."""
    stored = canonical(value)
    assert orjson.loads(orjson.dumps(stored)) == stored
    assert canonical(restore(stored)) == canonical(restore(canonical(restore(stored))))


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none())
def test_numbers_round_trip(value: object):
    """A number of any size is read back equal."""
    assert restore(canonical(value)) == value


NOW = datetime(2026, 1, 2, tzinfo=UTC)
RUN = {"id": 1, "uid": "r", "project": "p", "name": "n", "status": "running", "started_at": NOW, "source": "python"}


def test_databases_give_back_what_was_written(database_url: str):
    """Every value of the tables above survives the journey to the database and back, equal as the module says."""
    given_values = {str(place): value for place, value in enumerate([*SAME, *(pair[0] for pair in CONVERTED)])}
    stored = canonical(given_values)
    with opened(database_url) as (engine, _, models), engine.begin() as connection:
        table = models.event
        connection.execute(insert(models.run).values(RUN))
        row = {"run_id": 1, "writer_uid": "w", "seq": 1, "at": NOW, "kind": "note", "details": stored}
        connection.execute(insert(table).values(row))
        read = connection.execute(select(table.c.details)).scalar_one()
    assert read == stored
    assert restore(read) == restore(stored)
    assert {key: type(value) for key, value in read.items() if not isinstance(value, (int, float))} == {
        key: type(value) for key, value in stored.items() if not isinstance(value, (int, float))
    }


@pytest.mark.parametrize(
    ("stored", "number"),
    [(1, 1.0), (0.5, 0.5), ("Infinity", math.inf), (True, None), ("1", None), (None, None), ([1], None), ({}, None)],
)
def test_number_of(stored: object, number: float | None):
    """Ints, floats and the three special texts are numbers; bools, other texts and containers are none."""
    assert number_of(stored) == number


# --- Names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("loss", "loss"),
        ("a" * 255, "a" * 255),
        ("", "~empty"),
        ("x\x00y", "x\\u0000y"),
        ("\udfff", "\\udfff"),
        ("'; DROP TABLE run; --", "'; DROP TABLE run; --"),
        ('a"b\\c', 'a"b\\c'),
        ("損失", "損失"),
        (3, "3"),
        (None, "None"),
        (("a", 1), "('a', 1)"),
        (b"x", "b'x'"),
    ],
)
def test_metric_name(given_name: object, name: str):
    """A name of 1 to 255 characters stays; what is no text becomes one; what no database holds is escaped."""
    assert stored_name(given_name) == name
    assert stored_name(name) == name


def test_long_names_stay_apart():
    """Longer names are cut to 249 characters by a hash, so that two of them stay two; a megabyte is no trouble."""
    one, two = stored_name("a" * 10**6), stored_name("a" * 10**6 + "b")
    assert one != two
    assert len(one) == len(two) == 249
    assert one.startswith("a" * 240 + "~")
    assert stored_name(one) == one


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_names_fit_the_column(name: str):
    """Whatever is given, the name has 1 to 255 characters and is valid UTF-8 without NUL."""
    result = stored_name(name)
    assert 1 <= len(result) <= 255
    assert b"\x00" not in result.encode()


def test_a_secret_is_redacted_before_a_name_is_cut():
    """Where the cut would leave a half of it, the half could not be known for a secret."""
    for start in range(200, 245):
        name = "x" * start + " postgresql://user:" + "hunter2" * 6 + "@host/db"
        assert "hunter2" not in stored_name(name), start
        assert "hunter2" not in str(canonical_hyperparams({name: {name: 1}})), start


@given(st.integers(0, 260), st.sampled_from(["password=ab12", "hf_" + "aB3" * 9, "Authorization: x", "cookie: a=b"]))
def test_a_redacted_name_fits_its_column(length: int, secret: str):
    """A label or key near the limit does not grow beyond it by "[redacted]", and is the same if it is stored again."""
    name = f"{secret} ".ljust(length, "x")[:length] + f" {secret}"
    kept = stored_label(name)
    assert len(kept) <= MAX_NAME_LENGTH
    assert secret not in kept
    assert stored_label(kept) == kept
    assert list(canonical_hyperparams({name: {name: 1}})) == [kept]
    assert canonical({name: 1}) == {kept: 1}


def test_integers_of_any_type_are_integers():
    """NumPy's, a tensor's of one element in any shape; no bool, float, text, or what raises."""
    for value in (3, Count(3), Level.HIGH, np.uint8(3), np.array([[3]]), torch.tensor(3), torch.tensor([3])):
        assert index_of(value) == 3, repr(value)
        assert type(index_of(value)) is int
    for value in (True, np.True_, torch.tensor(True), 3.0, np.float64(3), "3", None, [3], np.array([3, 4]),
                  Decimal(3), Hostile(), torch.zeros(1, dtype=torch.int64, device="meta")):  # fmt: skip
        assert index_of(value) is None, repr(value)


def test_unspeakable_name():
    """A name whose str() fails is named after its type."""
    assert stored_name(Unspeakable()) == "<Unspeakable>"


# --- Hyperparameters --------------------------------------------------------------------------------------------------


def test_hyperparams_are_canonical_and_redacted():
    """Hyperparameters come from a mapping or dataclass, value by value canonical, secrets redacted, nested too."""
    values = {"lr": np.float32(0.5), "model_init_kwargs": {"token": "abc"}, "hub_token": "abc", 3: {1, 2}.__class__}
    assert canonical_hyperparams(values) == {
        "lr": 0.5,
        "model_init_kwargs": {"token": REDACTED},
        "hub_token": REDACTED,
        "3": {"$repr": "<class 'set'>"},
    }
    assert canonical_hyperparams(Optimizer(0.1, (0.9, 0.99))) == {"lr": 0.1, "betas": [0.9, 0.99]}


@pytest.mark.parametrize("values", [None, 3, "text", [1], Optimizer])
def test_hyperparams_of_another_type(values: object):
    """Anything else is refused by its type."""
    with pytest.raises(TypeError, match="a mapping, or a configuration"):
        canonical_hyperparams(values)


# --- Connection strings ----------------------------------------------------------------------------------------------

CANARY = "c4n4ry"
URLS = [
    f"postgresql://me:{CANARY}@host/db",
    f"postgresql://me:{CANARY}@x@host/db",
    f"postgresql://me:x@{CANARY}@host/db",
    f"postgresql://me:a/{CANARY}?b#c@host/db",
    f"postgresql://:{CANARY}@host/db",
    f"postgresql://me:{CANARY}@[::1]:5432/db",
    f"postgresql+psycopg://me:{CANARY}@h1,h2/db",
    f"postgresql://me@host/db?password={CANARY}",
    f"postgresql://me@host/db?sslmode=require&sslpassword={CANARY}&x=1",
    f"postgresql://me@host/db?PASSWORD={CANARY}",
    f"postgresql://me@host/db?passfile=/home/{CANARY}",
    f"postgresql://me:{CANARY}@",
    f"weird://me:{CANARY}@host:port:port/db",
    f"postgresql://me:{CANARY}\n@host/db",
    URL.create("postgresql", "me", CANARY, "host", 5432, "db", {"sslpassword": CANARY}),
]


@pytest.mark.parametrize("url", URLS, ids=str)
def test_safe_url_hides_passwords(url: object):
    """No spelling of a connection string shows its password, malformed ones and query parameters included."""
    shown = safe_url(url)
    assert CANARY not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "url", ["postgresql://me@host:5432/db?sslmode=require", "sqlite:///a/b@c.db", "/a/b:c@d", "runs.db"]
)
def test_safe_url_keeps_the_rest(url: str):
    """A connection string without password is shown as it is."""
    assert safe_url(url) == url


# --- Others ----------------------------------------------------------------------------------------------------------


def test_plain_text():
    """Text for a database: escaped where no database holds it, cut where it is too long."""
    assert plain_text("a\x00\ud800") == "a\\u0000\\ud800"
    assert plain_text("x" * 10, 5) == "xxxxx…"
    assert plain_text(ValueError("no")) == "no"


def test_safely(caplog: pytest.LogCaptureFixture):
    """A fact that cannot be had is replaced by the default and named in the log, without the error's text."""
    caplog.set_level("INFO", logger="trainstore")
    assert safely("the answer", lambda: 42) == 42
    assert safely("the file", lambda: open("/nowhere/secret-name"), "none") == "none"  # noqa: SIM115
    assert "the file could not be read (FileNotFoundError)" in caplog.text
    assert "secret-name" not in caplog.text


def test_int_printing_limit():
    """Also where the interpreter prints only short ints, a long one is kept somehow and raises nothing."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert set(canonical(10**700)) <= {"$repr", "$int"}
    finally:
        sys.set_int_max_str_digits(limit)


def test_a_value_that_would_grow_without_end_is_named(monkeypatch):
    """A list that holds the same list twice, sixty deep, would have 2^60 parts: it is kept as what it is called."""
    assert MAX_PARTS == 1_000_000
    monkeypatch.setattr("trainstore.values.MAX_PARTS", 10_000)
    value: list[object] = [1]
    for _ in range(60):
        value = [value, value]
    assert canonical(value) == {"$repr": "<list of more than 10,000 parts>"}
