"""By name, inside a text: ``api_key=X``, ``--api-key X``, ``"password": "X"``, "the API key is X"."""

from __future__ import annotations

import re
from collections.abc import Callable

from trainstore.redaction.names import (
    REDACTED,
    is_compound,
    is_digest,
    is_secret_key,
    is_weak,
    looks_chosen,
    looks_random,
    option_name,
)

NEEDLES = (
    "token", "key", "pass", "secret", "auth", "credential", "cookie", "bearer", "pwd", "pw", "trainstore_notify",
)  # fmt: skip

_ESCAPE = r"(?:\x1b|\\{1,4}(?:x1b|u001b))\[[\d;]{0,20}m"  # tracebacks and logs in colour; in a repr, in JSON
_COLOUR = rf"(?:{_ESCAPE}){{0,3}}"
# ``api_key: str = "X"``, a line of source code
_TYPE = r"[ \t]{0,3}(?:str|bytes|SecretStr|Optional\[\w{3,9}\])(?:[ \t]?\|[ \t]?None)?[ \t]{0,3}=(?!=)"
_BLOCK = r"[ \t][|>][+\-]?[ \t]{0,3}(?:\n|\\{1,4}n)[ \t]{1,40}"  # YAML: the text is in the next line
_NEXT = r"(?:\\*[\"']),[ \t]?(?=\\*[\"'][^\-])"  # from an option to its value, in the repr of a list
_NAME = re.compile(
    rf"(?:(?<![\w.\-$])|{_ESCAPE})(?:(?P<option>--[A-Za-z][\w.\-]*)(?:[ \t]{{1,3}}|{_NEXT})(?!-)"
    rf"|(?P<name>-{{0,2}}[A-Za-z_][\w.\-]*)(?P<quote>\\*[\"'`]?)\]?{_COLOUR}[ \t]{{0,3}}"
    rf"(?P<sign>:?=>?(?!=)|:(?!//)(?:{_TYPE}|{_BLOCK})?){_COLOUR}[ \t]{{0,3}}{_COLOUR})"
)
_PLAIN, _BACKSLASH = r"[^\s,;&\"'`()\[\]{}\x1b\\]", r"\\(?![nrtux\\\"'])"  # a text in a repr has "\n" behind the value
_VALUE = re.compile(
    r"(?P<open>[bBrRuU]?(?P<quote>\\*(?:'''|\"\"\"|[\"'])|`(?=[^`\s]{4,256}`)))"
    r"(?P<quoted>(?:\\.|[^\\\n]){0,4096}?)(?=(?P=quote)|\n|\Z)"
    rf"|(?P<bare>{_PLAIN}{{1,1024}}(?:{_BACKSLASH}{_PLAIN}{{0,1024}}){{0,3}})(?P<code>[(\[]?)"
)
_REST = re.compile(rf"(?:{_PLAIN}|{_BACKSLASH})*")  # of a longer one
# In a sentence: "Incorrect API key provided: X", "password is 'X'", "token X". Searched in the lower case:
# to ignore the case would take ten times as long.
_SAID = re.compile(
    r"(?:key|token|secret|credential|passw(?:or)?d|passphrase)s?\b"
    r"(?P<link>\s(?:is|was|provided|given|used|supplied|sent)\b)?(?P<sign>[ \t]{0,2}(?::(?!//)|=>?|->))?[ \t]{0,2}"
)
_WHOSE = re.compile(
    r"\b(?:api|access|secret|private|auth|refresh|bearer|security|session|deploy|user|service|app|client|hub|hf|"
    r"hugging ?face|github|gitlab|openai|wandb|w&b)[ _\-]?\Z"
)
_IN_A_WORD = re.compile(r"[\w<|\-]")
_SAID_VALUE = re.compile(r"(?P<quote>\\*['\"`])?(?P<value>[^\s'\"`,;()\[\]{}<>\\]{6,256})(?<![.!?:])")
# What follows an option, or "password:", in ordinary sentences
_PROSE = re.compile(
    r"(?:to|or|and|is|are|for|with|in|if|as|on|from|instead|option|flag|argument|must|was|not|can|cannot|will|the|an?|"
    r"it|be|by|of|at|you|your|this|that|should|may|when|where|before|after|again|try|set|expected|required|missing|"
    r"invalid|yes|no|has|have|does|field|value|type|input|incorrect|wrong|rejected|failed|optional|empty|unset|given)"
    r"[.:!?,]*\Z",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"(?:none|null|true|false|[+\-]?(?:\d+(?:\.\d*)?(?:e[+\-]?\d+)?|nan|inf(?:inity)?)|\*+|\.\.\.|\$.*|%.*|<.*|\[redacted\].*"
    r"|str|string|bytes|bool|int|float|any|optional|secretstr|basic|bearer|digest|negotiate"
    # What is between two texts of a line of source code, or behind the last: input("password: ")
    r"|[)\]}:,; ]{1,4}|\s?[+%]\s.*|[|>][+\-]?|your[_\-][\w\-]+)\Z",
    re.IGNORECASE,
)
_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_PASSWORDS = re.compile(r"(?:password|passwd|passphrase)$", re.IGNORECASE)

_Span = tuple[int, int]


def redact_assignments(text: str, lower: str) -> str:
    """Replace what a secret name or option has beside it. ``lower`` is the text in lower case."""
    if not any(needle in lower for needle in NEEDLES):
        return text
    text = _replace(text, text, _NAME, _assigned)
    return _replace(text, lowered(text), _SAID, _said)


def lowered(text: str) -> str:
    """The text in lower case, each character where it was."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_ASCII_LOWER)


def _replace(
    text: str, searched: str, pattern: re.Pattern[str], secret_after: Callable[[re.Match[str], str], _Span | None]
) -> str:
    """Replace what ``secret_after`` finds in the text behind the matches. The search goes on there, or right behind a
    match: a value may contain the next name, as in "error: api_key=…".
    """
    kept: list[str] = []
    copied = position = 0
    while (named := pattern.search(searched, position)) is not None:
        position = named.end("sign") if named["sign"] else named.end()  # a colour belongs to the next name, too
        span = secret_after(named, text)
        if span is not None:
            kept += text[copied : span[0]], REDACTED
            copied = position = span[1]
    return "".join([*kept, text[copied:]]) if kept else text


# --- Assigned --------------------------------------------------------------------------------------------------------


def _assigned(named: re.Match[str], text: str) -> _Span | None:
    name = named["option"] or named["name"]
    lower = name.lower()
    if not any(needle in lower for needle in NEEDLES):
        return None
    value = _VALUE.match(text, named.end())
    if value is None or not _is_secret(name, named, value):
        return None
    if value["bare"] is None:
        return value.span("quoted")
    start, end = value.span("bare")
    rest = _REST.match(text, end)
    return start, end if rest is None else rest.end()


def _is_secret(name: str, named: re.Match[str], value: re.Match[str]) -> bool:
    bare = value["bare"]
    found = value["quoted"] if bare is None else bare
    if not found or (_CODE.match(found) and not _is_pin(name, found)) or value["code"] or _is_reference(name, found):
        return False
    key = option_name(name)
    if named["option"]:
        return _PROSE.match(found) is None and is_secret_key(key, found)
    # In Markdown, `api_key`: may be followed by prose.
    is_firm = bare is None or named["quote"].rstrip("`") != "" or named["sign"] != ":"
    return any(_is_secret_under(one, found, is_firm) for one in _readings(key, named))


def _readings(key: str, named: re.Match[str]) -> list[str]:
    """The name, and what it is if a text was quoted: the ``n`` of ``\\napi_key=…`` is none of its letters."""
    is_escaped = named.string[named.start() - 1 : named.start()] == "\\" and key[0] in "nrt"
    return [key, key[1:]] if is_escaped else [key]


def _is_secret_under(key: str, value: str, is_firm: bool) -> bool:
    # In a text the word "token" alone may mean a tokenizer's, and what follows a colon may be prose.
    if is_weak(key):
        if not is_firm and is_compound(value):
            return False
        return looks_chosen(value, 7 if is_firm else 10) or looks_random(value, 12)
    if not is_secret_key(key, value):
        return False
    return is_firm or looks_random(value, 8) or looks_chosen(value, 4) or _is_password(key, value)


def _is_password(name: str, value: str) -> bool:
    return _PASSWORDS.search(name) is not None and _PROSE.match(value) is None


def _is_pin(name: str, value: str) -> bool:
    return value.isdecimal() and len(value) >= 4 and _PASSWORDS.search(name) is not None


def _is_reference(name: str, value: str) -> bool:
    """Whether a value is another variable, as in source code: ``token=token``, ``token=args.hub_token``; or a
    placeholder: ``--hub-token TOKEN``.
    """
    if not value.isascii() or not all(part.isidentifier() for part in value.split(".")):
        return False
    last = value.rpartition(".")[2]
    if "." in value:
        return value.split(".")[0] in ("self", "cls", "args", "os", "config", "cfg", "settings", "opts") or (
            is_secret_key(last)
        )
    key = option_name(name).rpartition(".")[2].lower()
    return last.lower() == key or (last.isupper() and key.endswith(f"_{last.lower()}"))


# --- Said ------------------------------------------------------------------------------------------------------------


def _said(named: re.Match[str], text: str) -> _Span | None:
    found = _SAID_VALUE.match(text, named.end())
    if found is None or _CODE.match(found["value"]):
        return None
    start, value, is_password = named.start(), found["value"], named[0].startswith("pass")
    if not found["quote"] and (text[found.end() : found.end() + 1] in ("(", "[") or _is_reference("", value)):
        return None  # a line of source code
    is_firm = is_password or _WHOSE.search(named.string, max(0, start - 20), start) is not None
    if not is_firm and (named[0].startswith("key") or _IN_A_WORD.match(named.string, max(0, start - 1), start)):
        return None
    is_linked = named["link"] or (named["sign"] and is_firm)  # `_assigned` has seen "token: X"
    if not is_linked and (named["sign"] or not found["quote"]):
        is_secret = (
            named[0][-1].isspace() and looks_random(value) and (is_firm or not ("/" in value or is_digest(value)))
        )
    elif is_password and is_linked and found["quote"]:
        is_secret = _PROSE.match(value) is None
    else:
        is_secret = looks_chosen(value, 6 if is_firm else 10) or looks_random(value)
    return found.span("value") if is_secret else None
