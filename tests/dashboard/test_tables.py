"""The table of runs as pages get it: columns that are fields of the filter language, cells that JSON can hold."""

import itertools
import json
import math
import random
from datetime import timedelta

import orjson
import pytest

from queries.builders import START, Builder
from trainstore import TrainStore
from trainstore.dashboard.answers import Answers
from trainstore.dashboard.cells import MOST, distinct, encoded, number
from trainstore.errors import FilterError

ALWAYS = ["uid", "name", "status", "started"]


@pytest.fixture
def builder(database_url):
    """Rows straight into the tables."""
    built = Builder(database_url)
    yield built
    built.close()


@pytest.fixture
def answers(database_url):
    """Of the same store, which is only read."""
    with TrainStore(database_url, read_only=True) as opened:
        yield Answers(opened)


def cells(answer):
    """The values of each column by its id; the answer is one that JSON can hold."""
    assert json.loads(orjson.dumps(answer)) == answer
    return {column["id"]: column["values"] for column in answer["columns"]}


def kinds(answer):
    """The kind of each column."""
    return {column["id"]: column["kind"] for column in answer["columns"]}


# --- Cells -----------------------------------------------------------------------------------------------------------


def test_every_value_of_a_run_has_a_cell(builder, answers):
    """Newest run first; numbers that JSON lacks, or that float64 would round, are texts; what is missing is null."""
    builder.run(
        "a",
        project="p",
        ended_at=START + timedelta(seconds=90),
        last_step=2,
        notes="<b>bold</b>",
        hyperparams={
            "hp.lr": 0.1, "hp.optim": {"name": "sgd", "betas": [0.9, math.nan]}, "hp.flag": True, "hp.mixed": "auto",
            "hp.seed": 2**70, "hp.other": 2**53 + 1, "tag.good": True, "mth.n": 5,
        },
        metrics={"loss": {"last": 0.5, "min": 0.25, "max": 1.0, "count": 7}},
    )  # fmt: skip
    builder.run(
        "b",
        minutes=1,
        hyperparams={"hp.lr": math.inf, "hp.mixed": 1.5, "hp.seed": 3, "hp.other": 2**60},
        metrics={"loss": math.nan, "acc": -math.inf},
    )
    builder.run("<script>alert(1)</script>", minutes=2, hyperparams={"hp.lr": 3, "hp.flag": False})
    answer = answers.runs(columns=["*"])
    found = cells(answer)
    assert list(found)[:4] == ALWAYS
    assert answer["count"] == 3
    assert found["name"] == ["<script>alert(1)</script>", "b", "a"]
    assert found["notes"] == [None, None, "<b>bold</b>"]
    assert found["started"] == [(START + timedelta(minutes=minutes)).timestamp() for minutes in (2, 1, 0)]
    assert found["duration"] == [None, None, 90.0]
    assert found["attempts"] == [1, 1, 1]
    assert found["commit"] == ["c0ffee"] * 3
    assert found["hp.lr"] == [3, "Infinity", 0.1]
    assert found["hp.flag"] == [False, None, True]
    assert found["hp.mixed"] == [None, "1.5", "auto"]
    assert found["hp.optim"] == [None, None, '{"name":"sgd","betas":[0.9,"NaN"]}']
    assert found["hp.optim.name"] == [None, None, "sgd"]
    assert found["hp.seed"] == [None, 3, str(2**70)]
    assert found["hp.other"] == [None, 2**60, str(2**53 + 1)]
    assert found["mth.n"] == [None, None, 5]
    assert found["tag.good"] == [None, None, True]
    assert found["metric.loss"] == [None, "NaN", 0.5]
    assert found["metric.loss.min"] == [None, None, 0.25]
    assert found["metric.loss.count"] == [None, 1, 7]
    assert found["metric.acc"] == [None, "-Infinity", None]
    of = kinds(answer)
    assert (of["started"], of["duration"], of["last_step"], of["notes"]) == ("time", "duration", "number", "text")
    assert (of["hp.lr"], of["hp.flag"], of["hp.mixed"], of["hp.optim"]) == ("number", "boolean", "text", "json")
    assert (of["hp.optim.betas"], of["hp.seed"], of["metric.loss"]) == ("json", "number", "number")


def test_the_duration_of_a_run_grows_while_it_runs_and_a_lost_run_has_none(builder, answers):
    """By the database's clock."""
    builder.run("live", status="running", heartbeat_age=1, last_step=1)
    builder.run("lost", status="running", heartbeat_age=1e6, minutes=1)
    found = cells(answers.runs(columns=["duration"]))
    assert found["status"] == ["lost", "running"]
    assert found["duration"][0] is None
    assert found["duration"][1] > 0


def test_a_long_text_is_cut(builder, answers):
    """A table has no room for it; the page of the run has it whole."""
    uid = builder.run("a", notes="n" * 10_000, hyperparams={"hp.t": "x" * 10_000, "hp.l": list(range(5_000))})
    found = cells(answers.runs(columns=["notes", "hp.t", "hp.l"]))
    assert {len(found[one][0]) for one in ("notes", "hp.t", "hp.l")} == {MOST}
    assert found["notes"][0].endswith("n…")
    assert answers.run(uid)["run"]["notes"] == "n" * 10_000


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        ([], "text", []),
        ([None], "text", [None]),
        ([True, None], "boolean", [True, None]),
        ([1, 2.5, None], "number", [1, 2.5, None]),
        ([-(2**63), 2**63 - 1, -(10**30)], "number", [-(2**63), str(2**63 - 1), str(-(10**30))]),
        ([math.nan, -math.inf, -0.0], "number", ["NaN", "-Infinity", -0.0]),
        (["a", 1, True, 0.1, math.inf, None], "text", ["a", "1", "true", "0.1", "Infinity", None]),
        ([[1, math.nan], "a"], "json", ['[1,"NaN"]', '"a"']),
    ],
)
def test_a_column_is_of_the_kind_that_its_values_have(values, kind, shown):
    """And its cells are what JSON can hold."""
    assert encoded(values) == (kind, shown)
    assert str(orjson.loads(orjson.dumps(shown))) == str(shown)


def test_every_integer_and_float_survives_json():
    """As a number if a page reads the same one, else as its digits."""
    dice = random.Random(1)
    numbers = [dice.getrandbits(bits) * dice.choice((1, -1)) for bits in range(1, 130) for _ in range(20)]
    numbers += [dice.uniform(-1, 1) * 10.0 ** dice.randint(-300, 300) for _ in range(1000)]
    for value in numbers:
        cell = number(value)
        assert type(cell)(value) == cell
        assert float(cell) == float(value)


def test_different_values_are_counted_as_people_would():
    """1 and 1.0 are the same, 1 and True are not, NaN equals NaN, and what is missing does not count."""
    assert distinct([1, 1.0, None, math.nan, float("nan")]) == 2
    assert distinct([1, True, "1", [1], [1.0]]) == 4
    assert distinct(["a", "a", None]) == 1
    assert distinct([]) == 0


# --- Which columns and rows ------------------------------------------------------------------------------------------


def test_an_empty_store_has_an_empty_table(builder, answers):
    """The facts of runs without values, and no other column."""
    answer = answers.runs()
    assert answer["count"] == 0
    assert set(map(tuple, cells(answer).values())) == {()}
    assert cells(answers.runs(columns=["*"]))["uid"] == []
    found = answers.columns()
    assert found["count"] == 0
    assert {column["group"] for column in found["columns"]} == {"run"}
    assert answers.meta()["projects"] == []


def test_without_columns_the_table_is_that_of_trainstore_runs(builder, answers):
    """The metrics by which runs are judged, the hyperparameters that differ, and what the filter names."""
    for number_of, lr in enumerate((0.1, 0.2)):
        builder.run(
            f"r{number_of}", minutes=number_of, last_step=5,
            hyperparams={"hp.lr": lr, "hp.same": 1, "hp.output_dir": f"/{lr}", "env.host": f"h{lr}", "tag.x": True},
            metrics={"loss": lr, "eval_loss": lr, "train_runtime": 5.0},
        )  # fmt: skip
    facts = ["project", "duration", "last_step", "attempts"]
    assert list(cells(answers.runs())) == [
        *ALWAYS, *facts, "metric.eval_loss", "metric.loss", "hp.lr", "hp.output_dir",
    ]  # fmt: skip
    assert "hp.same" in cells(answers.runs(q="hp.same = 1"))
    assert "metric.train_runtime" in cells(answers.runs(sort=["-metric.train_runtime"]))


def test_columns_are_those_asked_for_in_their_order(builder, answers):
    """However their ids are spelled; each once, after what every table has."""
    builder.run("a", hyperparams={"hp.lr": 0.1, "hp.optim": {"lr": 2}}, metrics={"loss": 1.0})
    asked = ['hp."lr"', "metric.loss.max", "hp.lr", "metric.loss", "name", "lr", "hp.optim.lr", "hp.lr", "host"]
    found = cells(answers.runs(columns=asked))
    order = ['hp."lr"', "metric.loss.max", "hp.lr", "metric.loss", "lr", "hp.optim.lr", "host"]
    assert list(found) == [*ALWAYS, *order]
    assert [found[one] for one in order] == [[0.1], [1.0], [0.1], [1.0], [0.1], [2], ["node1"]]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"columns": ["hp.lr_"]}, r"columns, character 1: there is no hyperparameter or field hp\.lr_; did you mean"),
        ({"columns": ["metric.los"]}, r"columns, character 1: there is no metric los; did you mean metric\.loss"),
        ({"columns": ["tag"]}, "tag is no column"),
        ({"columns": [""]}, "columns, character 1"),
        ({"q": "hp.lr <"}, "where, character 8"),
        ({"sort": ["-nothing"]}, "sort, character 2"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_place(builder, answers, asked, told):
    """And with what there is instead."""
    builder.run("a", hyperparams={"hp.lr": 0.1}, metrics={"loss": 1.0})
    with pytest.raises(FilterError, match=told):
        answers.runs(**asked)


def test_a_table_is_filtered_sorted_and_cut(builder, answers):
    """``count`` is that of all runs of the filter; what is missing is last, either way."""
    for minutes, (name, lr) in enumerate((("a", 0.3), ("b", None), ("c", 0.1), ("d", 0.2))):
        given = {"hp.lr": lr} if lr else {}
        builder.run(name, project="p" if name != "d" else "q", minutes=minutes, hyperparams=given)

    def names(**asked):
        answer = answers.runs(columns=["name"], **asked)
        return answer["count"], "".join(cells(answer)["name"])

    assert names() == (4, "dcba")
    assert names(limit=2) == (4, "dc")
    assert names(limit=2, offset=1) == (4, "cb")
    assert names(offset=3) == (4, "a")
    assert names(offset=9, limit=9) == (4, "")
    assert names(sort=["hp.lr"]) == (4, "cdab")
    assert names(sort=["-hp.lr"], offset=1, limit=2) == (4, "dc")
    assert names(sort=["project", "-name"]) == (4, "cbad")
    assert names(project="p", q="hp.lr > 0", limit=1) == (2, "c")
    assert names(project="nothing") == (0, "")
    uids = cells(answers.runs())["uid"]
    assert names(only=uids[:2], project="p") == (1, "c")
    assert names(only=[]) == (0, "")


def test_columns_are_described(builder, answers):
    """How many runs have a value, how many different ones, and whether it tells the runs apart."""
    builder.run("a", hyperparams={"hp.lr": 0.1, "hp.only": 1, "tag.x": True, "hp.same": 5}, metrics={"loss": 1.0})
    builder.run("b", minutes=1, hyperparams={"hp.lr": 0.2, "hp.same": 5.0}, metrics={"loss": math.nan})
    builder.run("c", minutes=2, project="other")
    described = {column["id"]: column for column in answers.columns(project="default")["columns"]}
    assert described["hp.lr"] == {
        "id": "hp.lr", "group": "hp", "label": "lr", "kind": "number", "filled": 2, "distinct": 2, "varies": True,
    }  # fmt: skip
    assert (described["hp.only"]["filled"], described["hp.only"]["varies"]) == (1, False)
    assert (described["tag.x"]["group"], described["tag.x"]["varies"]) == ("tag", True)
    assert (described["hp.same"]["distinct"], described["hp.same"]["varies"]) == (1, False)
    assert (described["metric.loss"]["distinct"], described["metric.loss.min"]["label"]) == (2, "loss min")
    assert (described["project"]["varies"], described["name"]["varies"]) == (False, True)
    assert answers.columns(q="hp.lr < 0.15")["count"] == 1


def test_columns_are_those_of_now(store):
    """Asked for again, they are the same; as soon as a run has more, so have they."""
    answers = Answers(store)
    with store.start_run(hyperparams={"lr": 0.1}) as run:
        store.flush()
        before = answers.columns()
        assert answers.columns() == before
        run.log({"loss": 1.0}, 1)
        store.flush()
        assert len(answers.columns()["columns"]) == len(before["columns"]) + 4
    assert answers.columns(project="other")["count"] == 0


# --- Ids -------------------------------------------------------------------------------------------------------------

ODD = [
    "a b", "a.b", 'a"b', "'", '"', '""', "(x)", "a,b", "a=b", "<", "~x", "!", "hp", "hp.lr", "lr", "mth", "mth.n",
    "metric.loss", "and", "or", "in", "is", "null", "~empty", "é", "日本", "a\nb", "\t", "<script>", "x" * 250, "a.b.c",
    ".", "..", "a.", ".a", "-x", "train/loss", "count", "min", "last", "loss", "loss.min", "loss.max.min", "loss.last",
    "*", "hp__lr", "metric__loss", "optim.lr", "optim.b.c", "name", "status", "tag",
]  # fmt: skip


def odd_names():
    """The names above, and some of random characters."""
    dice = random.Random(7)
    letters = " .\"'()=!<>~,ab_-/\\é日\n\t%$;:{}[]*"
    return list(dict.fromkeys([*ODD, *("".join(dice.choices(letters, k=dice.randint(1, 6))) for _ in range(30))]))


def test_every_column_is_a_field_of_the_filter_language(builder, answers):
    """Whatever its name: by its id one can filter, sort and choose it, and that means this column and no other."""
    values = itertools.count(1)  # all different, so that no column could be taken for another
    names = odd_names()
    given = {f"{space}.{name}": next(values) for space in ("hp", "mth", "tag") for name in names}
    given["hp.optim"] = {"lr": next(values), "b": {"c": next(values)}, "a.b": next(values), "x y": next(values)}
    summaries = ("last", "min", "max", "count")
    metrics = {name: {summary: next(values) for summary in summaries} for name in names}
    builder.run("a", hyperparams=given, metrics=metrics)
    builder.run("b", minutes=1)
    every = answers.runs(columns=["*"])
    columns = [column for column in every["columns"] if "." in column["id"]]
    ids = [column["id"] for column in columns]
    assert len(ids) == len(set(ids)) == 3 * len(names) + 5 + 4 * len(names)
    chosen = answers.runs(columns=ids)
    assert [column for column in chosen["columns"] if "." in column["id"]] == columns
    told = [(column["id"], column["values"][1]) for column in columns if column["kind"] == "number"]
    assert len(told) == len(ids) - 1  # hp.optim is a mapping
    for start in range(0, len(told), 40):
        some = told[start : start + 40]
        q = " and ".join(f"{one} = {value!r} and {one} is not null" for one, value in some)
        sort = [f"-{one}" for one, _ in some]
        assert cells(answers.runs(columns=["name"], q=q))["name"] == ["a"]
        assert cells(answers.runs(columns=["name"], sort=sort))["name"] == ["a", "b"]


def test_a_short_id_is_short(builder, answers):
    """Quotes are there only where they are needed."""
    builder.run("a", hyperparams={"hp.lr": 1, "hp.a-b/c": 1, "hp.x.y": 1, "tag.t": True}, metrics={"eval/loss": 1.0})
    ids = {column["id"] for column in answers.columns()["columns"] if "." in column["id"]}
    assert ids == {
        "hp.lr", "hp.a-b/c", 'hp."x.y"', "tag.t",
        "metric.eval/loss", "metric.eval/loss.min", "metric.eval/loss.max", "metric.eval/loss.count",
    }  # fmt: skip


def test_ten_thousand_columns(builder, answers):
    """A table has them all; each is one of the store's."""
    row = {"run_id": 1, "namespace": "hp", "attempt": 1}
    rows = [{**row, "key": f"k{nr}", "value": nr, "number": float(nr)} for nr in range(10_000)]
    builder.run("a")
    builder.run("b", minutes=1)
    with builder.engine.begin() as connection:
        connection.execute(builder.models.hyperparam.insert(), rows)
    described = answers.columns()
    assert sum(column["group"] == "hp" for column in described["columns"]) == 10_000
    found = cells(answers.runs(columns=["*"]))
    assert found["hp.k9999"] == [None, 9999]
    assert len(cells(answers.runs(columns=[f"hp.k{nr}" for nr in range(0, 10_000, 5)]))) == 4 + 2_000


# --- The store -------------------------------------------------------------------------------------------------------


def test_meta_says_which_store_this_is_and_what_is_in_it(builder, answers, database_url):
    """Its projects by name, with their runs and those that are running now; no password."""
    builder.run("a", project="z")
    builder.run("b", project="<b>", status="running", heartbeat_age=1)
    builder.run("c", project="<b>", status="running", heartbeat_age=1e6)
    meta = answers.meta()
    assert meta["projects"] == [{"name": "<b>", "runs": 2, "running": 1}, {"name": "z", "runs": 1, "running": 0}]
    assert (meta["runs"], meta["can_edit"], meta["waiting"]) == (3, False, None)
    assert meta["store"]["prefix"] == ""
    assert meta["title"] == database_url.rpartition("/")[2].partition("?")[0]
    assert meta["limits"]["curves_runs"] == 500
    assert abs(meta["now"] - START.timestamp()) > 0
    cells({**meta, "columns": []})


def test_the_version_is_the_same_until_something_changes(store):
    """A new run, steps, an edit, a deletion."""
    answers = Answers(store)
    versions = [answers.version()]
    assert answers.runs()["version"] == versions[0]
    with store.start_run() as run:
        versions.append(answers.version())
        run.log({"loss": 1.0}, 1)
        versions.append(answers.version())
    versions.append(answers.version())
    store.set_tags(run.uid, ["x"])
    versions.append(answers.version())
    store.rename_run(run.uid, "new")
    versions.append(answers.version())
    store.delete_run(run.uid)
    versions.append(answers.version())
    assert len(set(versions)) == len(versions)
    assert answers.version() == versions[-1]
