"""JSON and YAML of others: what is read, and what is refused before it costs memory or runs anything."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainstore.errors import SourceError
from trainstore.importing import texts
from trainstore.importing.places import Place
from trainstore.importing.plain_yaml import parse as parse_plain


def yaml(text: str, left_out: Counter[str] | None = None) -> Any:
    return texts.parse_yaml(text, "hparams.yaml", Counter() if left_out is None else left_out)


@pytest.fixture(params=["PyYAML", "without"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "yaml", None)
    return str(request.param)


def test_json_words_for_numbers_are_numbers() -> None:
    """NaN and infinities, as Python writes them, come back as numbers; whole numbers stay exact."""
    value = texts.parse_json(b'\xef\xbb\xbf{"a": [NaN, Infinity, -Infinity], "b": 9007199254740993}', "x")
    assert math.isnan(value["a"][0])
    assert value["a"][1:] == [math.inf, -math.inf]
    assert value["b"] == 2**53 + 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1', "state.json is not JSON"),
        (b"\xff\xfe{", "state.json is not UTF-8 at byte 0"),
        (b"[" * 66 + b"]" * 66, "nested more than 64 deep"),
        (b"[" * 100_000, "nested more than 64 deep"),
        (b'{"a": ' * 70 + b"1" + b"}" * 70, "nested more than 64 deep"),
        (b"9" * 10_000, "state.json cannot be read"),
        (b" " * 2_000, "larger than 0 MiB"),
    ],
)
def test_json_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """What is torn, too deep, too long or in another encoding is refused, with the file's name."""
    (tmp_path / "state.json").write_bytes(content)
    (file,) = Place.of(tmp_path).files
    with pytest.raises(SourceError, match=message):
        texts.read_json(file, limit=1_000 if content.isspace() else texts.MAX_JSON)


def test_yaml_of_one_line_values_is_read_with_and_without_pyyaml(reading: str) -> None:
    """Scalars have the types of YAML 1.2, whoever reads: what other tools wrote as text stays text."""
    text = """---
# a comment
lr: 1e-5
whole: 010
hex: 0x1F
bool: true
text: yes
date: 2020-01-01
none:
tilde: ~
nan: .nan
inf: -.inf
underscore: 1_000
time: "12:30"  # not minutes
url: http://host:80/a#b
single: 'it''s #1'
double: "gr\\xFCn \\U0001F680 \\"x\\"\\n"
-1: minus
"quoted: key": 1
opt:
  name: adam
  betas:
  - 0.9
  - 0.999
  groups:
    - lr: 1
      k: a
    - lr: 2
empty: {}
list: []
"""
    value = yaml(text)
    assert math.isnan(value.pop("nan"))
    assert value == {
        "lr": 1e-5,
        "whole": 10,
        "hex": 31,
        "bool": True,
        "text": "yes",
        "date": "2020-01-01",
        "none": None,
        "tilde": None,
        "inf": -math.inf,
        "underscore": "1_000",
        "time": "12:30",
        "url": "http://host:80/a#b",
        "single": "it's #1",
        "double": 'grün 🚀 "x"\n',
        -1: "minus",
        "quoted: key": 1,
        "opt": {"name": "adam", "betas": [0.9, 0.999], "groups": [{"lr": 1, "k": "a"}, {"lr": 2}]},
        "empty": {},
        "list": [],
    }


def test_what_needs_pyyaml_is_counted_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts over several lines, flow collections, anchors and tags are left out, the rest is there."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    left_out: Counter[str] = Counter()
    text = "a: 1\nc: 3\nfolded: one\n  two\nb: 2\nflow: [1, 2]\nanchor: &x 3\ntag: !!python/name:os.system ''\n"
    text += "block: |\n  x\n"
    assert yaml(text, left_out) == {"a": 1, "b": 2, "c": 3}
    assert left_out == {"YAML value that PyYAML is needed for": 5}


def test_tags_are_never_executed(tmp_path: Path) -> None:
    """A tag of Python's becomes a text or a mapping that says what it was; nothing is called, and tuples are lists."""
    made = tmp_path / "made"
    value = yaml(
        f"call: !!python/object/apply:os.mkdir ['{made}']\nname: !!python/name:os.system ''\nsecret: !vault abc\n"
        "pair: !!python/tuple [1, 2]\nset: !!set {a, b}\nobject: !!python/object:a.B {x: 1}\n"
    )
    assert not made.exists()
    assert value == {
        "call": {"!!python/object/apply:os.mkdir": [str(made)]},
        "name": "!!python/name:os.system",
        "secret": "!vault abc",
        "pair": [1, 2],
        "set": {"a": None, "b": None},
        "object": {"!!python/object:a.B": {"x": 1}},
    }


def laughs(levels: int, first: str, item: str) -> str:
    lines = [f"a0: &a0 {first}"]
    for level in range(1, levels):
        names = ",".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {item.replace('X', names)}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (laughs(10, "[1, 1, 1]", "[X]"), "more than 1,000,000 values, with its aliases"),
        (
            laughs(10, "{" + ",".join(f"k{i}: 1" for i in range(2_000)) + "}", "{<<: [X]}"),
            "“<<” brings more than 100,000",
        ),
        (
            "a: &a {"
            + ",".join(f"k{i}: 1" for i in range(9_000))
            + "}\n"
            + "".join(f"b{i}: {{<<: *a}}\n" for i in range(900)),
            "“<<” brings more than 100,000",
        ),
        ("a: &a 1\nb: [" + "*a," * 1_001 + "]", "more than 1,000 aliases"),
        ("&a [*a]", "cannot be read|recursive"),
        ("&a {<<: *a}", "nested|recursive|cannot be read"),
        ("a: " + "[" * 70 + "]" * 70, "nested more than 64 deep"),
        ("a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 90)), "nested more than 64 deep"),
        ("? [1]\n: 2", "line 1"),
        ("a: [1\nb: 2", "is not YAML in line 2"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: \x00", "is not YAML"),
    ],
    ids=range(12),
)
def test_yaml_that_would_explode_is_refused(text: str, message: str) -> None:
    """Bombs of aliases and of merges, circles, nesting and torn files: an error that names the file, at once."""
    with pytest.raises(SourceError, match=message) as error:
        yaml(text)
    assert str(error.value).startswith("hparams.yaml ")


def test_aliases_and_merges_in_bounds_are_read() -> None:
    """Ordinary anchors work."""
    assert yaml("base: &b {x: 1, y: 2}\nchild:\n  <<: *b\n  y: 3\nlist: [*b, *b]")["child"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    "text",
    ["a" + " " * 1_000_000 + "x", "a: '" + "''" * 500_000, '"' + "\\" * 1_000_000, "- " * 200_000, "a:" * 300_000],
    ids=range(5),
)
def test_a_line_that_is_long_takes_no_longer_than_it_is(text: str) -> None:
    """Without PyYAML: no pattern goes back and forth over it, and no list within a list is followed to its end."""
    value, skipped = parse_plain(text)
    assert skipped or value


@given(st.text(max_size=60) | st.text(alphabet="-: \n'\"#[]{}&*!|>ab1.\\x", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Neither reader raises anything else than `SourceError`, whatever a file holds."""
    parse_plain(text)
    try:
        yaml(text)
    except SourceError:
        pass


def test_a_file_without_the_right_to_read_is_named(tmp_path: Path) -> None:
    """An error of ours, not the operating system's."""
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    (file,) = Place.of(tmp_path).files
    os.unlink(path)
    with pytest.raises(SourceError, match=r"a\.yaml cannot be read: No such file"):
        texts.read_yaml(file, Counter())
