"""Which hyperparameter a name means: namespaces, dots, quotes, and what stands inside others."""

from __future__ import annotations

from typing import Any

import pytest

from queries.builders import Builder
from trainstore.errors import InvalidArgumentError
from trainstore.queries import list_hyperparams, list_runs
from trainstore.queries.names import Name, did_you_mean, flat, resolve_name, resolve_names, spelled
from trainstore.values import stored_label


def meant(builder: Builder, text: str) -> Name:
    with builder.reader() as reader:
        return resolve_name(reader, text)


def test_a_name_means_what_the_store_has(builder: Builder) -> None:
    """A key with dots, a key of a namespace, or what stands inside a key; in any namespace."""
    builder.run("a", hyperparams={"hp.lr": 1, "hp.env.name": "x", "mth.n": 1, "env.torch": "2", "tag.t.u": 1})
    builder.run("b", hyperparams={"hp.model": {"depth": 2, "head": {"n.m": 1}}, "hp.opt.adam": {"eps": 1}})
    for text, name in {
        "lr": Name("hp", "lr"), "hp.lr": Name("hp", "lr"), "mth.n": Name("mth", "n"), "env.torch": Name("env", "torch"),
        "env.name": Name("hp", "env.name"), "hp.env.name": Name("hp", "env.name"), "tag.t.u": Name("tag", "t.u"),
        'hp."env.name"': Name("hp", "env.name"), '"env.name"': Name("hp", "env.name"), '"lr"': Name("hp", "lr"),
        "model.depth": Name("hp", "model", ("depth",)), "hp.model.depth": Name("hp", "model", ("depth",)),
        'hp."model"."depth"': Name("hp", "model", ("depth",)), "model.head.n.m": Name("hp", "model", ("head", "n.m")),
        'model.head."n.m"': Name("hp", "model", ("head", "n.m")), "opt.adam.eps": Name("hp", "opt.adam", ("eps",)),
    }.items():  # fmt: skip
        assert meant(builder, text) == name, text


def test_a_name_that_no_run_has_is_a_key(builder: Builder) -> None:
    """Of the namespace that it begins with, else of hp; so a column for it has a name."""
    builder.run("a", hyperparams={"hp.model": {"depth": 2}, "hp.text": "model"})
    for text, name in {
        "lr": Name("hp", "lr"), "env.torch": Name("env", "torch"), "a.b": Name("hp", "a.b"),
        "hp.a.b": Name("hp", "a.b"), "model.width": Name("hp", "model.width"), "": Name("hp", "~empty"),
        "model.depth.x": Name("hp", "model.depth.x"), 'hp."a"."b"': Name("hp", "a", ("b",)), "a..b": Name("hp", "a..b"),
        "hp.": Name("hp", "~empty"), 'say "x"': Name("hp", 'say "x"'), "text.upper": Name("hp", "text.upper"),
        ".".join("x" * 1_200): Name("hp", stored_label(".".join("x" * 1_200))),
        "hp." + "x" * 300: Name("hp", stored_label("x" * 300)),
    }.items():  # fmt: skip
        assert meant(builder, text) == name, text


def test_a_quote_that_is_not_closed_is_refused_unless_a_name_begins_with_it(builder: Builder) -> None:
    """It would name what nothing is called, and a filter by it find nothing."""
    builder.run("a", hyperparams={"hp.lr": 1, 'hp."odd': 2})
    assert meant(builder, '"odd') == Name("hp", '"odd')
    for text in ('"lr', 'hp."lr', 'hp."a".b."c'):
        with pytest.raises(InvalidArgumentError, match="a quote that is not closed"):
            meant(builder, text)


@pytest.mark.parametrize(
    ("hyperparams", "text", "spellings"),
    [
        ({"hp.a.b": 1, "hp.a": {"b": 2}}, "a.b", ['hp."a.b"', 'hp."a"."b"']),
        ({"hp.a.b": 1, "hp.a": {"b": 2}}, "hp.a.b", ['hp."a.b"', 'hp."a"."b"']),
        ({"hp.env.name": 1, "env.name": 2}, "env.name", ['hp."env.name"', 'env."name"']),
        ({"hp.env": {"name": 1}, "env.name": 2}, "env.name", ['hp."env"."name"', 'env."name"']),
        ({"hp.a": {"b.c": 1, "b": {"c": 2}}}, "a.b.c", ['hp."a"."b.c"', 'hp."a"."b"."c"']),
        ({'hp."x"': 1, "hp.x": 2}, '"x"', ['hp."""x"""', 'hp."x"']),
    ],
)
def test_a_name_that_may_be_two_is_refused(
    builder: Builder, hyperparams: dict[str, Any], text: str, spellings: list[str]
) -> None:
    """The error lists both spellings, each of which means one of them, also where they are two runs'."""
    for number, (key, value) in enumerate(hyperparams.items()):
        builder.run(str(number), hyperparams={key: value})
    with builder.reader() as reader:
        for ask in (
            lambda: resolve_name(reader, text),
            lambda: list_runs(reader, hyperparams=[text]),
            lambda: list_runs(reader, hyperparams={text: 1}),
            lambda: list_hyperparams(reader, key=text),
        ):
            with pytest.raises(InvalidArgumentError, match="ambiguous") as error:
                ask()
            assert all(spelling in str(error.value) for spelling in spellings)
        assert len(set(resolve_names(reader, spellings))) == 2
        found = [list_runs(reader, hyperparams={spelling: [1, 2]})["name"].tolist() for spelling in spellings]
    assert all(found)


def test_what_is_asked_for_twice_is_shown_once_and_two_things_as_two(builder: Builder) -> None:
    """Columns are named by key and path; only where two would be called alike, by their spelling."""
    builder.run("x", hyperparams={"hp.a.b": 1, "hp.a": {"b": [2], "c": 3}, "hp.lr": 4, "env.e": 5})
    with builder.reader() as reader:
        both = list_runs(reader, hyperparams=['hp."a.b"', 'hp."a"."b"', "lr", "hp.lr", "env.e", "a.c", "gone.x"])
        one = list_runs(reader, hyperparams=['"a.b"'])
        everything = list_runs(reader)
    shown = ['hp__"a.b"', "hp__a.b", "hp__lr", "env__e", "hp__a.c", "hp__gone.x"]
    assert both.iloc[:, 19:].to_dict("list") == dict(zip(shown, [[1], [[2]], [4], [5], [3], [None]], strict=True))
    assert one["hp__a.b"].tolist() == [1]
    assert everything[["hp__a", "hp__a.b", 'hp__"a.b"']].values.tolist() == [[{"b": [2], "c": 3}, [2], 1]]


def test_names_are_spelled_so_that_two_are_two(builder: Builder) -> None:
    """A key with dots is quoted wherever hyperparameters are flattened, and its spelling finds it."""
    values = {"a": {"b": 1, "e": {}, "f": {"g.h": 2}}, "a.b": 3, 'say "x"': 4, '"y': 5}
    names = flat("hp", values)
    assert names == {"hp.a.b": 1, "hp.a.e": {}, 'hp.a.f."g.h"': 2, 'hp."a.b"': 3, 'hp.say "x"': 4, 'hp."""y"': 5}
    builder.run("x", hyperparams={f"hp.{key}": value for key, value in values.items()})
    with builder.reader() as reader:
        for name in set(names) - {"hp.a.b"}:
            assert (
                spelled(*(lambda found: (found.namespace, found.key, *found.path))(resolve_name(reader, name))) == name
            )


def test_a_list_of_one_hyperparameter_takes_its_name_in_each_spelling(builder: Builder) -> None:
    """With or without its namespace; what stands inside one is asked for by that one."""
    builder.run(
        "x", hyperparams={"hp.lr": 1, "mth.lr": 2, "hp.opt.eps": 3, "hp.model": {"depth": 4}, "hp." + "k" * 300: 5}
    )
    with builder.reader() as reader:
        for key, values in {
            "lr": [1, 2],
            "hp.lr": [1],
            "mth.lr": [2],
            "opt.eps": [3],
            "hp.opt.eps": [3],
            '"opt.eps"': [3],
            "gone.x": [],
        }.items():
            assert list_hyperparams(reader, key=key)["value"].tolist() == values, key
        with pytest.raises(InvalidArgumentError, match="key='model'"):
            list_hyperparams(reader, key="model.depth")


def test_what_is_much_less_like_a_name_is_not_suggested() -> None:
    """Up to three names, the closest first; a far one only where there is no closer."""
    known = ["eval_loss", "val/loss", "total_flos", "grad_norm"]
    assert did_you_mean("eval_los", known) == "; did you mean eval_loss or val/loss?"
    assert did_you_mean("total_flo", known) == "; did you mean total_flos?"
    assert did_you_mean("totaflss", known) == "; did you mean total_flos?"
