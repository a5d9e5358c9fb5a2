"""The short form of the tests in a browser names tests that exist."""

import ast
from pathlib import Path

BROWSER = Path(__file__).parent / "browser"


def names_of(path):
    """The test functions of a file."""
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def short_form():
    """`SHORT` of the conftest, read without its fixtures."""
    for node in ast.parse((BROWSER / "conftest.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "SHORT":
            return ast.literal_eval(node.value)
    raise AssertionError("the conftest has no SHORT")


def test_every_file_has_a_short_form_whose_tests_exist():
    """A test that is renamed is not lost from it without a word."""
    short = short_form()
    assert sorted(short) == sorted(path.stem for path in BROWSER.glob("test_*.py"))
    for stem, names in short.items():
        assert {name.partition("[")[0] for name in names or ()} <= names_of(BROWSER / f"{stem}.py")
