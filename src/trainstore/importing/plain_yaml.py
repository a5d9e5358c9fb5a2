"""A small reader of plain YAML, for those who have no PyYAML: mappings and lists, one value a line.

What else YAML has (texts over several lines, flow collections, anchors, tags) is passed over and counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 64

MERGE = re.compile(r"<<\Z")
#: Unquoted texts that are something else than a text, by the rules of YAML 1.2.
TYPED = re.compile(
    r"(?:~|null|Null|NULL|true|True|TRUE|false|False|FALSE|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|)\Z"
)
_WHOLE = re.compile(r"[-+]?[0-9]+\Z")
_MAX_DIGITS = 4_000
_QUOTED = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)'""")
_NO_KEY = tuple("#&*!|>%@`[]{},?:")  # what no key without quotes begins with
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b", " ": " ",
    '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)


class _NotPlainError(ValueError):
    pass


def scalar(text: str) -> Any:
    """What an unquoted text is: None, a bool, a number or, if it is none of these, the text."""
    if not TYPED.match(text):
        return text
    word = text.lower()
    if word in ("", "~", "null"):
        return None
    if word in ("true", "false"):
        return word == "true"
    if word.startswith(("0o", "0x")):
        return int(word, 0)
    if _WHOLE.match(word):
        return int(word) if len(word) <= _MAX_DIGITS else text
    return float(word.replace(".inf", "inf").replace(".nan", "nan"))


@dataclass(slots=True)
class _Line:
    indent: int
    text: str


def parse(text: str) -> tuple[Any, int]:
    """The mapping or list that a text holds, and how many values of it were passed over."""
    lines: list[_Line] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#") and not (stripped == "---" and not lines):
            lines.append(_Line(len(line) - len(line.lstrip(" ")), stripped))
    reader = _Reader(lines)
    if not lines:
        return None, 0
    if len(lines) == 1 and lines[0].text in ("{}", "[]"):
        return ({} if lines[0].text == "{}" else []), 0
    value = reader.block(lines[0].indent, 0)
    reader.skipped += len(lines) - reader.at  # what follows with less indentation
    return value, reader.skipped


class _Reader:
    def __init__(self, lines: list[_Line]) -> None:
        self.lines = lines
        self.at = 0
        self.skipped = 0

    def block(self, indent: int, depth: int) -> Any:
        """The mapping or list whose lines begin here."""
        if depth >= MAX_DEPTH:
            self.skipped += 1
            self._pass_over(indent)
            return None
        line = self.lines[self.at].text
        return self._list(indent, depth) if line == "-" or line.startswith("- ") else self._mapping(indent, depth)

    def _mapping(self, indent: int, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        while self.at < len(self.lines) and self.lines[self.at].indent >= indent:
            line = self.lines[self.at]
            parts = _key_and_rest(line.text) if line.indent == indent else None
            self.at += 1
            try:
                if parts is None:
                    raise _NotPlainError
                key = _value(parts[0])
                found[key] = self._after(parts[1], indent, depth, lists=True)
            except _NotPlainError:
                self.skipped += 1
                self._pass_over(indent + 1)
        return found

    def _list(self, indent: int, depth: int) -> list[Any]:
        found: list[Any] = []
        while self.at < len(self.lines) and self.lines[self.at].indent >= indent:
            line = self.lines[self.at]
            if line.indent == indent and not (line.text == "-" or line.text.startswith("- ")):
                break
            try:
                if line.indent > indent:
                    raise _NotPlainError
                rest = line.text[1:].lstrip()
                if _key_and_rest(rest) or rest == "-" or rest.startswith("- "):
                    inner = indent + len(line.text) - len(rest)
                    self.lines[self.at] = _Line(inner, rest)
                    found.append(self.block(inner, depth + 1))
                    continue
                self.at += 1
                found.append(self._after(rest, indent, depth, lists=False))
            except _NotPlainError:
                self.at += line.indent > indent
                self.skipped += 1
                self._pass_over(indent + 1)
        return found

    def _after(self, text: str, indent: int, depth: int, *, lists: bool) -> Any:
        """The value after a key or a dash: on the same line, or in the lines below that are indented more."""
        following = self.lines[self.at] if self.at < len(self.lines) else None
        if not text or text.startswith("#"):
            if following and following.indent > indent:
                return self.block(following.indent, depth + 1)
            if lists and following and following.indent == indent and following.text.startswith(("- ", "-\n")):
                return self.block(indent, depth + 1)
            return None
        if following and following.indent > indent:  # a text that goes on
            raise _NotPlainError
        return _value(text)

    def _pass_over(self, indent: int) -> None:
        while self.at < len(self.lines) and self.lines[self.at].indent >= indent:
            self.at += 1


def _key_and_rest(line: str) -> tuple[str, str] | None:
    """The key that a line begins with, and what is after its colon; None if there is none."""
    if line.startswith(('"', "'")):
        match = _QUOTED.match(line)
        at = len(line) - len(line[match.end() :].lstrip()) if match else -1
        if match is None or line[at : at + 2] not in (":", ": ", ":\t"):
            return None
        return match[0], line[at + 1 :].strip()
    if not line or line.startswith(_NO_KEY) or line[:2] in ("-", "- "):
        return None
    places = [at for at in (line.find(": "), line.find(":\t")) if at > 0]
    at = min(places, default=len(line) - 1 if line.endswith(":") else -1)
    if at <= 0 or " #" in line[:at]:
        return None
    return line[:at].rstrip(), line[at + 1 :].strip()


def _value(text: str) -> Any:
    """A value in one line."""
    if text[0] in "\"'":
        return _quoted(text)
    text = re.split(r"\s#", text, maxsplit=1)[0].rstrip()
    if text in ("{}", "[]"):
        return {} if text == "{}" else []
    if text[0] in "&*!|>%@`[]{},":
        raise _NotPlainError
    return scalar(text)


def _quoted(text: str) -> str:
    match = _QUOTED.match(text)
    if match is None or (text[match.end() :].strip() and not re.match(r"\s+#", text[match.end() :])):
        raise _NotPlainError
    if match[2] is not None:
        return match[2].replace("''", "'")
    return _ESCAPE.sub(_unescaped, match[1])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None and match[4] in _ESCAPES:
        return _ESCAPES[match[4]]
    if code is None or int(code, 16) > 0x10FFFF:
        raise _NotPlainError
    return chr(int(code, 16))
