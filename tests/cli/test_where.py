"""Filters as text on the command line: ``--where``."""

import json

import pytest


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["hp.learning_rate < 0.05"], {"second"}),
        (["learning_rate >= 0.01 and tag.t"], {"first", "second"}),
        (["started > -1h", "name = first"], {"first"}),
        (["SECOND or metric.eval_loss.min > 7"], {"second"}),
        (["not tag.t"], set()),
        ([""], {"first", "second"}),
    ],
)
def test_runs_and_best_show_only_runs_that_match_every_filter(trainstore, filters, names):
    """--where may be repeated."""
    options = [word for text in filters for word in ("--where", text)]
    code, out, err = trainstore("runs", "--json", *options)
    assert (code, err) == (0, "")
    assert {run["name"] for run in json.loads(out)} == names
    code, out, err = trainstore("best", "eval_loss", "--json", *options)
    if names:
        assert {run["name"] for run in json.loads(out)} == names
    else:
        assert (code, out) == (1, "")
        assert "no run that matches has a finite value of 'eval_loss'" in err


def test_filters_join_the_other_options(trainstore):
    """best takes what runs takes."""
    chosen = ("--where", "learning_rate < 0.05", "--project", "cli", "--status", "finished", "--tag", "t")
    for command in (["runs"], ["best", "eval_loss"]):
        assert [run["name"] for run in json.loads(trainstore(*command, *chosen, "--json").out)] == ["second"]
    assert trainstore("runs", *chosen, "--tag", "other").out == "no run matches\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "tag.t and hp.learning_rte < 1",
            [
                "Error: where, character 11: there is no hyperparameter or field hp.learning_rte; did you mean "
                "hp.learning_rate?",
                "  tag.t and hp.learning_rte < 1",
                "            ^",
            ],
        ),
        (
            "name = (",
            ["Error: where, character 8: '(' stands where a value after = should be", "  name = (", "         ^"],
        ),
        (
            "name = 日本 and\n\x1b[31m = 1",
            [
                r"Error: where, character 15: there is no hyperparameter or field \x1b[31m",
                r"  name = 日本 and\n\x1b[31m = 1",
                f"  {' ' * 17}^",  # two of the characters are two columns wide
            ],
        ),
        (
            f"{'a and ' * 30}(b or c{' and d' * 30}",
            [
                "Error: where, character 368: the filter ends where ) should be",
                f"  …{(' and d' * 10)}",
                f"  {' ' * 61}^",
            ],
        ),
        (
            f"{'a and ' * 20}b c{' and d' * 30}",
            [
                "Error: where, character 123: 'c' stands where and, or, or the end should be",
                f"  …{('a and ' * 20 + 'b ')[-60:]}{('c' + ' and d' * 30)[:40]}…",
                f"  {' ' * 61}^",
            ],
        ),
    ],
)
def test_an_error_shows_its_place_in_the_filter(trainstore, text, lines):
    """A caret stands under it, also behind wide characters and in a long filter."""
    for command in (["runs"], ["best", "eval_loss"]):
        code, out, err = trainstore(*command, "--where", text)
        assert (code, out) == (1, "")
        shown = err.splitlines()
        assert [shown[0].partition("; there are")[0], *shown[1:]] == lines
