"""The filter language: ``where="hp.lr < 1e-3 and not tag.bad"``, a text → what it says → an SQLAlchemy expression.

::

    either      = both ("or" both)*
    both        = part ("and" part)*
    part        = "not" part | "(" either ")" | comparison | word
    comparison  = name ("=" | "!=" | "<" | "<=" | ">" | ">=" | "~") value
                | name ["not"] "in" "(" value ("," value)* ")"
                | name "is" ["not"] "null"

This module knows the grammar. What a name stands for is in ``field_names``, how it compares in ``fields``, what a
value means in ``literals``. Every condition is true or
false, never NULL, so ``not`` admits exactly the other runs. The text is only read: its values reach the database as
parameters. Its length and depth are limited, so that no text can exhaust Python's stack or the database's parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, and_, not_, or_, true

from trainstore.errors import FilterError
from trainstore.queries.field_names import field_named, is_field
from trainstore.queries.fields import Field, Scope, search
from trainstore.queries.literals import Token
from trainstore.queries.reader import Reader

if TYPE_CHECKING:
    from trainstore.queries.run_source import RunSource

MAX_LENGTH = 10_000  # characters
MAX_DEPTH = 20  # parentheses and nots within each other
MAX_TERMS = 200  # names and values

Condition = ColumnElement[bool]


def condition(reader: Reader, text: str, source: RunSource, parameters: Mapping[str, Any]) -> Condition:
    """The condition that a text states about a run; a blank one is true of each.

    Args:
        reader: What the store has decides what a name means.
        text: The filter.
        source: The FROM clause of the statement that gets the condition.
        parameters: Those of the source's status.

    Raises:
        FilterError: The text breaks the grammar or its limits, or names or compares what cannot be.
    """
    scope = Scope(reader, text, source, parameters)
    if len(text) > MAX_LENGTH:
        raise scope.error(MAX_LENGTH, f"the filter has {len(text):,} characters, and {MAX_LENGTH:,} are the limit")
    if not text.strip():
        return true()
    return _Builder(scope).build(parse(scope))


# --- Text to tokens --------------------------------------------------------------------------------------------------

_QUOTED = r'"(?:[^"]|"")*"'
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
    | (?P<text>'(?:[^']|'')*')
    | (?P<operator>==|!=|<=|>=|[=<>~])
    | (?P<mark>[(),])
    | (?P<word>(?:[^\s()=!<>~,"']|{_QUOTED})+)""",
    re.VERBOSE,
)
_KEYWORDS = ("and", "or", "not", "in", "is")
_ALL_QUOTED = re.compile(rf"{_QUOTED}\Z")


def tokens(scope: Scope) -> Iterator[Token]:
    """The tokens of a text, and one of kind "end"."""
    place = 0
    while place < len(scope.text):
        match = _TOKEN.match(scope.text, place)
        if match is None:
            found = scope.text[place]
            fix = "this quote is not closed" if found in "\"'" else f"{found!r} means nothing here; put text in quotes"
            raise scope.error(place, fix)
        kind, raw = str(match.lastgroup), match[0]
        if kind == "text" or (kind == "word" and _ALL_QUOTED.match(raw)):
            yield Token("text", raw[1:-1].replace(raw[0] * 2, raw[0]), place, raw)
        elif kind != "space":
            yield Token(kind, raw, place, raw)
        place = match.end()
    yield Token("end", "", len(scope.text), "")


# --- Tokens to a tree ------------------------------------------------------------------------------------------------


class Group(NamedTuple):
    """Conditions that must all hold ("and"), or one of which must ("or")."""

    joined_by: str
    parts: tuple[Any, ...]


class Not(NamedTuple):
    """The opposite of a condition."""

    part: Any


class Comparison(NamedTuple):
    """A name, an operator ("in" and "null" among them) and the values that it is compared with."""

    name: Token
    operator: str
    values: tuple[Token, ...]
    negated: bool = False  # not in, is not null


class Word(NamedTuple):
    """A word, or a text in quotes, without an operator."""

    token: Token


def parse(scope: Scope) -> Any:
    """The tree that a text describes: of `Group`, `Not`, `Comparison` and `Word`. Raises `FilterError`."""
    parser = _Parser(scope)
    tree = parser.either(0)
    if parser.next.kind != "end":
        raise parser.unexpected("and, or, or the end")
    return tree


def fields_in(scope: Scope) -> list[Field]:
    """The fields that a filter names. Errors as for `condition`."""
    waiting, found = [parse(scope)] if scope.text.strip() else [], []
    while waiting:
        node = waiting.pop()
        if isinstance(node, Group):
            waiting += reversed(node.parts)
        elif isinstance(node, Not):
            waiting.append(node.part)
        elif not isinstance(node, Word):
            found.append(field_named(scope, node.name))
        elif is_field(node.token):
            found.append(field_named(scope, node.token))
    return found


class _Parser:
    """Recursive descent, one method for a line of the grammar."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.left = tokens(scope)
        self.next = next(self.left)
        self.terms = 0

    def either(self, depth: int) -> Any:
        """Conditions joined by or."""
        return self._joined("or", lambda: self._joined("and", lambda: self.part(depth)))

    def _joined(self, word: str, part: Any) -> Any:
        parts = [part()]
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Group(word, tuple(parts))

    def part(self, depth: int) -> Any:
        """One of the conditions that are joined by and."""
        if depth > MAX_DEPTH:
            raise self.scope.error(self.next, f"more than {MAX_DEPTH} nested parentheses and nots")
        if self.take("not"):
            return Not(self.part(depth + 1))
        if self.take("("):
            inner = self.either(depth + 1)
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Any:
        """A comparison, or a word."""
        name = self.value("a name, a word, not or (")
        if self.next.kind == "operator":
            operator = self.advance().text
            return Comparison(name, "=" if operator == "==" else operator, (self.value(f"a value after {operator}"),))
        if self.take("is"):
            negated = self.take("not")
            if not (self.take("null") or self.take("none")):
                raise self.unexpected("null")
            return Comparison(name, "null", (), negated)
        negated = self.take("not")
        if self.take("in"):
            return Comparison(name, "in", self.values(), negated)
        if negated:
            raise self.unexpected("in")
        return Word(name)

    def values(self) -> tuple[Token, ...]:
        """A list of values in parentheses."""
        self.expect("(")
        found = [self.value("a value")]
        while self.take(","):
            found.append(self.value("a value"))
        self.expect(")")
        return tuple(found)

    def value(self, expected: str) -> Token:
        """A word or a text that the grammar does not know."""
        if self.next.kind not in ("word", "text") or self.next.keyword in _KEYWORDS:
            raise self.unexpected(expected)
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise self.scope.error(self.next, f"the filter has more than {MAX_TERMS} names and values")
        return self.advance()

    def take(self, text: str) -> bool:
        """Whether this comes next; then it is passed."""
        found = self.next.keyword == text
        if found:
            self.advance()
        return found

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            raise self.unexpected("a comma or )" if mark == ")" and self.next.kind in ("word", "text") else mark)

    def advance(self) -> Token:
        token, self.next = self.next, next(self.left, self.next)
        return token

    def unexpected(self, expected: str) -> FilterError:
        found = "the filter ends" if self.next.kind == "end" else f"{self.next.raw!r} stands"
        fix = "; put it in quotes if it is text" if self.next.keyword in _KEYWORDS else ""
        return self.scope.error(self.next, f"{found} where {expected} should be{fix}")


# --- A tree to a condition -------------------------------------------------------------------------------------------


class _Builder:
    """Conditions for a tree; each name is looked up once."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.fields: dict[str, Field] = {}

    def build(self, node: Any) -> Condition:
        if isinstance(node, Group):
            parts = [self.build(part) for part in node.parts]
            return and_(*parts) if node.joined_by == "and" else or_(*parts)
        if isinstance(node, Not):
            return not_(self.build(node.part))
        if isinstance(node, Word):
            return self.field(node.token).alone() if is_field(node.token) else search(self.scope, node.token)
        compared = self._compared(self.field(node.name), node)
        return not_(compared) if node.negated and node.operator == "null" else compared

    def _compared(self, field: Field, node: Comparison) -> Condition:
        values: Sequence[Token] = node.values
        if node.operator == "null":
            return not_(field.present())
        if node.operator == "~":
            return field.contains(values[0])
        if node.operator in ("=", "!=", "in"):
            equal = field.any_of(values)
            return and_(field.present(), not_(equal)) if node.negated or node.operator == "!=" else equal
        return field.ordered(node.operator, values[0])

    def field(self, token: Token) -> Field:
        if token.raw not in self.fields:
            self.fields[token.raw] = field_named(self.scope, token)
        return self.fields[token.raw]
