"""The filter language: ``where="…"``."""

from __future__ import annotations

import inspect
import math
import pickle
import re
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.profiles import examples
from queries.builders import START, Builder
from trainstore.errors import FilterError, InvalidArgumentError
from trainstore.queries import get_best_run, list_runs, list_runs_grouped_by_metric
from trainstore.queries.language import MAX_DEPTH, MAX_LENGTH, MAX_TERMS
from trainstore.store import TrainStore


def found(builder: Builder, where: str, **arguments: Any) -> str:
    """The names of the runs, each a letter, in order."""
    with builder.reader() as reader:
        runs = list_runs(reader, where=where, **{"hyperparams": [], "metrics": [], **arguments})
        return "".join(sorted(runs["name"]))


def error(builder: Builder, where: str) -> FilterError:
    with pytest.raises(FilterError) as raised:
        found(builder, where)
    return raised.value


def lines(table: str) -> list[str]:
    """The lines of a table, without its remarks."""
    return [line for line in table.splitlines() if line.strip() and not line.startswith("#")]


@pytest.fixture
def runs(builder: Builder) -> Builder:
    """Four runs: a, b and c of the project "sweep", and d, which has hardly anything."""
    builder.run(
        "a",
        project="sweep",
        last_step=100,
        minutes=0,
        ended_at=START + timedelta(minutes=90),
        notes="Größe 1",
        hyperparams={
            "hp.lr": 1e-4,
            "hp.optim": "adamw",
            "hp.model": {"depth": 2, "head": {"n.m": 1}},
            "hp.env.name": "Pole",
            "hp.fp16": True,
            "hp.layers": ["q_proj", "v_proj"],
            "tag.bad": True,
            "mth.n": 5,
            "hp.seed": 2**60 + 1,
        },
        metrics={"loss": 0.5, "train/loss": {"last": 3.0, "min": 1.0, "max": 4.0, "count": 7}},
    )
    builder.run(
        "b",
        project="sweep",
        status="failed",
        last_step=20,
        minutes=60,
        ended_at=START + timedelta(minutes=61),
        error="CUDA out of memory",
        hyperparams={
            "hp.lr": 1e-2,
            "hp.optim": "lion",
            "hp.model": {"depth": 12},
            "hp.fp16": False,
            "tag.owner": "ÄNNE",
            "tag.bad": False,
            "hp.seed": 2**60,
        },
        metrics={"loss": math.nan},
    )
    builder.run(
        "c",
        project="sweep",
        status="running",
        minutes=120,
        heartbeat_age=1.0,
        hyperparams={"hp.lr": math.inf, "hp.optim": None, "hp.fp16": "yes", "hp.seed": 10**30, "hp.model": "plain"},
        metrics={"loss": math.inf},
    )
    builder.run("d", status="running", minutes=180, heartbeat_age=1e6, hyperparams={"hp.lr": "auto"})
    return builder


FOUND = """
# facts of the run
name = a → a
name != a → bcd
name in (a, 'b', "d") → abd
name not in (a, b) → cd
name ~ A → a
project = sweep → abc
project = Sweep →
project ~ SWEE → abc
status = finished → a
status = running → c
status = lost → d
status != lost → abc
status in (lost, failed) → bd
status ~ 'IN' → ac
notes is null → bcd
notes is not null → a
not notes is null → a
notes ~ GRÖSSE → a
notes = 'Größe 1' → a
error ~ cuda → b
host = node1 → abcd
host ~ 'E1' → abcd
command ~ 'lr 1' → abcd
commit = c0ffee → abcd
source = python → abcd
uid ~ 0001 → a
id = 1 → a
id in (1, 3) → ac
last_step = 100 → a
last_step < 100 → b
last_step >= 20 → ab
last_step != 100 → b
last_step is null → cd
not last_step < 100 → acd
last_step < inf → ab
last_step > -inf → ab
last_step < nan →
last_step != nan → ab
last_step = 100.0 → a
last_step > 19.5 → ab
last_step < 10000000000000000000000000000000000000000 → ab
attempts = 1 → abcd
attempts > 1 →
attempts < 9007199254740993 → abcd
metric.loss.count < 1e300 → abcd
# times
started < 2026-01-02T04:00 → a
started >= '2026-01-02 04:04:05' and started < 2026-01-02T05:00 → b
started < 2026-01-02T05:00+01:00 → a
started < 2026-01-03 → abcd
started > 2026-01-03 →
started < -7d → abcd
started > -7d →
started > -100000d → abcd
ended < -1h30m → ab
ended is null → cd
not ended < -1w → cd
duration > 1h → ac
duration = 60 → b
duration in (60s, 1h30m) → ab
duration <= 1.5h → ab
duration is null → d
duration < inf → abc
duration < nan →
duration != 60 → ac
# hyperparameters
hp.lr < 1e-3 → a
lr < 1e-3 → a
lr<1e-3 → a
lr >= .01 → bc
lr = 1E-4 → a
lr == 0.0001 → a
lr = inf → c
lr > 1e300 → c
lr < inf → ab
lr <= inf → abc
lr = '0.0001' →
lr = auto → d
lr != 1e-4 → bcd
not lr = 1e-4 → bcd
not lr < 1 → cd
lr in (1e-4, auto, inf) → acd
lr = nan →
lr > nan →
lr ~ AUT → d
lr is null →
seed = 1152921504606846976 → b
seed > 1152921504606846976 → ac
seed >= 1152921504606846976 → abc
seed < 1152921504606846977 → b
seed > 2305843009213693952 → c
seed = 1000000000000000000000000000000 → c
optim in (adamw, lion) → ab
optim = 'adamw' → a
optim ~ 'ADAM' → a
optim is null → cd
optim != adamw → b
not optim = adamw → bcd
optim is not null → ab
optim is none → cd
model.depth > 2 → b
hp.model.depth = 2 → a
# columns of the run table
hp__lr < 1e-3 → a
hp__model.depth = 2 → a
metric__loss < 1 → a
not metric__loss < 1 → bcd
metric__train/loss = 3 → a
metric__train/loss.max = 4 → a
started_at < 2026-01-02T04:00 → a
run_id in (1, 3) → ac
git_commit = c0ffee → abcd
model.depth != 2 → b
model.depth is null → cd
not model.depth = 2 → bcd
model.depth in (2, 12) → ab
model.head."n.m" = 1 → a
hp.model.depth → ab
model ~ PLAIN → c
env.name = Pole → a
hp."env.name" = Pole → a
"env.name" = Pole → a
'env.name' = Pole → a
mth.n = 5 → a
layers ~ V_PROJ → a
hp.layers → a
hp.fp16 → ac
not hp.fp16 → bd
fp16 = true → a
fp16 = FALSE → b
fp16 != true → bc
fp16 = yes → c
fp16 = 'true' →
fp16 < 2 →
# tags
tag.bad → a
not tag.bad → bcd
tag.bad = false → b
tag.nobody →
not tag.nobody → abcd
tag.nobody = 1 →
tag.owner → b
tag.owner ~ änne → b
tag = bad → ab
tag in (bad, x) → ab
tag != bad →
not tag = bad → cd
tag is null → cd
tag is not null → ab
tag ~ OWN → b
# metrics
metric.loss < 1 → a
metric.loss = nan → b
metric.loss != 0.5 → bc
metric.loss > 0.4 → ac
metric.loss = inf → c
metric.loss in (0.5, nan) → ab
metric.loss.last = 0.5 → a
metric.loss.min < 1 → a
metric.loss.max is null → bcd
metric.loss is null → d
metric.loss → abc
not metric.loss → d
metric.loss < nan →
not metric.loss < 1 → bcd
metric.loss.min = nan →
metric.train/loss.max = 4 → a
metric.train/loss → a
metric."train/loss".min = 1 → a
metric.train/loss.count = 7 → a
metric.loss.count = 0 → d
metric.loss.count >= 1 → abc
metric.loss.count is null →
# words
grösse → a
'größe 1' → a
ÄNNE → b
änne → b
owner → b
bad → ab
nothing →
b → ab
# joined
name = a or name = b and name = c → a
(name = a or name = b) and not name = b → a
NOT name = a AND NOT (name = b OR name = c) → d
not not name = a → a
a or owner → ab
project = sweep and (optim in ('adamw', 'lion') or lr < 1e-3) and not tag.bad → b
"""


def test_a_filter_finds_the_runs_that_it_describes(runs: Builder) -> None:
    """Each field with each operator, on each database."""
    table = [line.rpartition(" → ") if line[-1:] != "→" else line.rpartition(" →") for line in lines(FOUND)]
    assert {where: found(runs, where) for where, _, _ in table} == {where: names for where, _, names in table}
    assert found(runs, "") == found(runs, " \n") == "abcd"


ERRORS = """
hp.learning_rte < 1
^ there is no hyperparameter or field hp.learning_rte; there are hp
optimm = adamw
^ there is no hyperparameter or field optimm; did you mean hp.optim?
name = a and hp__lrr < 1
             ^ there is no hyperparameter or field hp__lrr; did you mean hp.lr?
statsu = lost
^ did you mean status?
model.dpth = 1
^ did you mean hp.model.depth?
metric.los < 1
^ there is no metric los; did you mean metric.loss?
metric__los < 1
^ there is no metric los; did you mean metric.loss?
metric.loss.mean < 1
^ there is no metric loss.mean; did you mean metric.loss
metric."a".b.c < 1
^ is not the name of a metric
metric.
^ there is no metric
status = finishd
         ^ there is no status finishd; did you mean finished?
hp.lr <
       ^ the filter ends where a value after < should be
hp.lr < abc
        ^ hp.lr is compared with a number, and abc is not one
hp.lr < '1'
        ^ hp.lr is compared with a number, and '1' is not one
last_step = x
            ^ last_step is compared with a number
metric.loss = x
              ^ metric.loss is compared with a number
(name = a
         ^ the filter ends where ) should be
name = a)
        ^ ')' stands where and, or, or the end should be
name = a name = b
         ^ 'name' stands where and, or, or the end should be
name in (a b)
           ^ 'b' stands where a comma or ) should be
name in ()
         ^ ')' stands where a value should be
name in a
        ^ 'a' stands where ( should be
name not = a
         ^ '=' stands where in should be
name is 5
        ^ '5' stands where null should be
and
^ 'and' stands where a name, a word, not or ( should be
name = and
       ^ 'and' stands where a value after = should be
name !~ a
     ^ '!' means nothing here; put text in quotes
name = "a
       ^ this quote is not closed
hp."a < 1
   ^ this quote is not closed
name = null
       ^ nothing equals null; write name is null
hp.lr in (1, none)
             ^ nothing equals none; write hp.lr is null
name
^ name needs an operator
not started
    ^ started needs an operator
name < b
^ name has no order
tag < b
^ tag has no order
last_step ~ 1
^ last_step is not a text
metric.loss ~ 1
^ metric.loss is not a text
started = 2026-01-31
^ started is a moment, which no time that you write equals
started > 7d
          ^ 7d is not a time; write -7d, if you mean so long ago
started > yesterday
          ^ yesterday is not a time; write 2026-01-31
started > -999999999999d
          ^ is not a time
started > 20260131
          ^ is not a time
started > '2026-01-31 25:00'
          ^ is not a time
duration > 2x
           ^ 2x is not a duration; write seconds, or 90s, 30m, 2h
duration > '2h'
           ^ is not a duration
hp.optim = hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345
           ^ cannot be compared with this value, which looks like a secret
"""


def test_an_error_says_where_and_what_to_write(runs: Builder) -> None:
    """It is an `InvalidArgumentError` that knows the filter and the position, also after pickling."""
    both = lines(ERRORS)
    for where, caret in zip(both[::2], both[1::2], strict=True):
        position, text = caret.index("^"), caret.partition("^ ")[2]
        raised = error(runs, where)
        assert isinstance(raised, InvalidArgumentError)
        assert (raised.text, raised.position) == (where, position), raised
        assert str(raised).startswith(f"where, character {position + 1}: "), where
        assert text in str(raised), where
        copy = pickle.loads(pickle.dumps(raised))
        assert (str(copy), copy.text, copy.position) == (str(raised), where, position)


def test_an_unknown_name_of_an_empty_store_is_an_error_too(builder: Builder) -> None:
    """The message does not list what is not there; words, fields and tags need nothing to be there."""
    assert "no hyperparameter or field hp.lr; there are name, project" in str(error(builder, "hp.lr < 1"))
    assert str(error(builder, "metric.loss < 1")).endswith("there is no metric loss; there are none")
    assert found(builder, "not tag.bad and status = lost and word and duration > 1h") == ""


def test_a_name_that_may_be_two_is_refused(builder: Builder) -> None:
    """Its spellings are named; each of them works."""
    builder.run(
        "a",
        hyperparams={"hp.m": {"d": 1}, "hp.m.d": 2},
        metrics={"loss": {"last": 1.0, "min": 0.5}, "loss.min": 3.0, "x.min": 4.0},
    )
    assert 'ambiguous: there are hp."m.d" and hp."m"."d"' in str(error(builder, "m.d = 1"))
    assert 'metric.loss.min is ambiguous: there are metric."loss.min".last and metric."loss".min' in str(
        error(builder, "metric.loss.min < 1")
    )
    for where in (
        'hp."m.d" = 2',
        'hp."m"."d" = 1',
        'metric."loss.min" = 3',
        'metric."loss".min = 0.5',
        "metric.loss = 1",
        "metric.x.min = 4",
        "metric.loss.min.last = 3",
        'metric."loss.min".last = 3',
    ):
        assert found(builder, where) == "a", where


HOSTILE = [
    "it's",
    'say "x"',
    "100%",
    "%s %(x)s :y ?",
    "a\\b",
    "' OR 1=1 --",
    "a\nb",
    "a\x00b",
    "\ud800",
    ") or (name != x",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_of_a_filter_is_only_a_text(builder: Builder, text: str) -> None:
    """Whatever stands in quotes is compared, as it was stored, and never run."""
    from trainstore.values import plain_text, stored_label

    quoted = '"' + text.replace('"', '""') + '"'
    single = "'" + text.replace("'", "''") + "'"
    key = stored_label(text)
    builder.run(
        "x", project=plain_text(text), notes=plain_text(text), hyperparams={f"hp.{key}": text, f"tag.{key}": text}
    )
    builder.run("y", hyperparams={"hp.z": 1})
    for written in (quoted, single):
        for where in (
            f"project = {written}",
            f"notes ~ {written}",
            f"notes in ({written}, b)",
            f"{written} = {written}",
            f"hp.{quoted} = {written}",
            f"hp.{quoted} ~ {written}",
            f"tag = {written}",
            f"tag.{quoted} = {written}",
            written,
        ):
            assert found(builder, where) == "x", where


def test_letters_have_no_case_in_any_alphabet(builder: Builder) -> None:
    """~ and words find a text however its capitals and accents are written; = is exact."""
    builder.run("a", notes="STRASSE Ελληνικός", hyperparams={"tag.k": "\u00dcn\u00ef"})
    builder.run("b", notes="straße ΕΛΛΗΝΙΚΌΣ", hyperparams={"tag.k": "U\u0308ni\u0308"})
    builder.run("c", notes="100% sure_thing", hyperparams={"tag.k": "unrelated"})
    for word in ("Straße", "strasse", "ελληνικός", "ÜNÏ", "ünï"):
        assert found(builder, word) == "ab", word
    assert found(builder, "notes ~ 'straße ελ'") == "ab"
    assert found(builder, "tag.k = '\u00dcn\u00ef'") == "a"
    assert found(builder, "notes ~ '0% s'") + found(builder, "e_t") == "cc"
    assert found(builder, "notes ~ '_'") + found(builder, "'%'") == "cc"


def test_a_filter_is_one_of_several_conditions(runs: Builder) -> None:
    """It joins the other arguments, expressions among them, in every query that takes conditions."""
    run = runs.models.run.c
    assert found(runs, "lr < 1", project="sweep", status="failed") == "b"
    with runs.reader() as reader:
        both = list_runs(reader, where=["lr < 1", run.last_step > 50, "not tag.nobody"])
        assert list(both["name"]) == ["a"]
        best = get_best_run(
            reader, metric_name="loss", metric_direction="max", where="project = sweep and optim = adamw"
        )
        assert best is not None
        assert best.name == "a"
        ranked = list_runs_grouped_by_metric(reader, metric_name="loss", metric_direction="min", where="hp.lr > 1e-3")
        assert list(ranked["name"]) == []


def test_the_store_takes_a_filter(store: TrainStore) -> None:
    """What was recorded just now is found, with a duration and a start."""
    with store.start_run(name="kept", hyperparams={"lr": 1e-3, "optim": {"name": "Adam"}}, tags=["good"]) as run:
        run.log({"loss": 0.25})
    with store.start_run(name="other", hyperparams={"lr": 1e-1}):
        pass
    where = "lr < 1e-2 and optim.name ~ adam and tag.good and metric.loss.min < 1 and started > -1h and duration < 1h"
    assert list(store.list_runs(where=where)["name"]) == ["kept"]
    best = store.get_best_run(metric_name="loss", metric_direction="min", where=where)
    assert best is not None
    assert best.name == "kept"


def test_the_runs_of_a_filter_may_be_many(builder: Builder) -> None:
    """More than a statement has room for in parameters (SQLite: 32,766; PostgreSQL: 65,535)."""
    count = {"sqlite": 33_000, "postgresql": 66_000}[builder.engine.dialect.name]
    with builder.engine.begin() as connection:
        rows = [
            {
                "uid": f"{number:036d}",
                "project": "p",
                "name": f"Run {number}",
                "status": "finished",
                "started_at": START,
                "source": "python",
            }
            for number in range(count)
        ]
        builder.backend.insert_missing(connection, builder.models.run, ("uid",), rows)
    with builder.reader() as reader:
        assert (
            len(list_runs(reader, where="name ~ RUN and not name ~ 'run 1'", hyperparams=[], metrics=[]))
            == count - 11_111
        )


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_a_filter_of_the_largest_size_is_answered(runs: Builder) -> None:
    """As deep, as many and as long as the limits allow."""
    deep = "name = a"
    for level in range(MAX_DEPTH):
        deep = f"not ({deep})" if level % 2 else f"({deep} and lr < 5 or name = x)"
        if deep.count("(") + deep.count("not") > MAX_DEPTH - 2:
            break
    assert found(runs, deep) in ("a", "bcd")
    assert found(runs, "(" * MAX_DEPTH + "name = a" + ")" * MAX_DEPTH) == "a"
    assert found(runs, "not " * MAX_DEPTH + "name = a") == "a"
    many = MAX_TERMS // 2
    assert found(runs, " or ".join(["lr = 1e-4"] * many)) == "a"
    assert found(runs, " and ".join(["not model.depth = 2"] * many)) == "bcd"
    assert found(runs, f"optim in ({', '.join(f'x{number}' for number in range(MAX_TERMS - 2))}, adamw)") == "a"
    assert found(runs, "name = a".ljust(MAX_LENGTH)) == "a"


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("(" * 5_000, "nested parentheses"),
        ("not " * 2_000 + "x", "nested parentheses"),
        ("(" * (MAX_DEPTH + 1) + "x" + ")" * (MAX_DEPTH + 1), "nested parentheses"),
        (" or ".join(["x"] * (MAX_TERMS + 1)), "more than 200 names and values"),
        ("name in (" + ",".join("x" * MAX_TERMS) + ")", "more than 200 names and values"),
        ("x" * (MAX_LENGTH + 1), "10,001 characters, and 10,000 are the limit"),
        ("last_step > " + "9" * 5_000, "last_step"),
    ],
)
def test_a_filter_beyond_a_limit_is_refused(builder: Builder, where: str, text: str) -> None:
    """By an error of ours, never by Python's stack or the database."""
    if text == "last_step":
        assert found(builder, where) == ""  # a number of any length is a number
    else:
        assert text in str(error(builder, where))


def test_a_deep_filter_needs_little_of_the_stack(runs: Builder) -> None:
    """A notebook is some 60 frames deep; the deepest filter is compiled within 500 more."""
    where = "name = a"
    for _ in range(MAX_DEPTH // 2):
        where = f"not (name = b and {where} or lr = 5)"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 500)
    try:
        assert found(runs, where) == "acd"
    finally:
        sys.setrecursionlimit(limit)


PIECES = st.sampled_from(
    re.split(
        " +",
        """( ) and or not in is null = != < >= ~ , name hp.lr hp. lr tag tag. tag.bad metric.loss.min metric. started
        duration last_step status lost -7d 2h 1e-3 nan inf -inf " ' "a hp.model.depth "." 2026-01-31 1e999 é"""
        " \0 \ud800",
    )
)


def test_any_text_is_a_filter_or_raises_our_error(runs: Builder) -> None:
    """Whether it looks like a filter or not."""

    @examples(150)
    @given(
        st.one_of(
            st.text(max_size=60), st.lists(PIECES, max_size=12).map(" ".join), st.lists(PIECES, max_size=8).map("".join)
        )
    )
    def fuzz(text: str) -> None:
        position = 0
        try:
            found(runs, text)
        except FilterError as raised:
            position = raised.position
        assert 0 <= position <= len(text)

    fuzz()
