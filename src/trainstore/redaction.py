r"""Secrets are replaced by ``[redacted]`` before anything is written. Three kinds of rules find them:

- A **name** that says "secret" (``hub_token``, ``AWS_SECRET_ACCESS_KEY``): every text, list or mapping under it is
  redacted. Numbers, bools and None stay: they only tell whether one was set. A name that says what else it holds
  (``password_file``, ``secret_size``) does not count.
- A name that may mean one (``account_key``, ``user_token``): a text is redacted if it looks random.
- A **value** that has the form of a secret (``hf_…``, ``ghp_…``, PEM, JWT), or is in a place of secrets in a text: in a
  URL, after an option (``--api-key X``), in an assignment (``HF_TOKEN=X python``), in a header.

The passwords of connection strings in messages are hidden elsewhere: ``backends/urls.py``.

What only sounds like a secret stays: a tokenizer's tokens, counts, hashes, paths. Both lists are kept in
``tests/redaction``. Each pattern is tried only on a text that contains one of its needles, and none backtracks over a
long text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

REDACTED = "[redacted]"
SHORTEST = 8  # characters of a text that can be recognised as a secret without its name
SHORTEST_TOKEN = 20  # of one of letters, digits and underscores only: AWS's AKIA…
NONFINITE = ("NaN", "Infinity", "-Infinity")  # numbers, as JSON stores them

Json = Any

# --- By name ---------------------------------------------------------------------------------------------------------

_SECRET_KEYS = re.compile(
    r"(?:^|[_\-. ])(?:[a-z]*password|passwd|passphrase|secret|api[_\-]?key|access[_\-]?key|private[_\-]?key|"
    r"credential|cookie|authorization|auth[_\-]?token|bearer)s?(?:$|[_\-. ])"
    r"|(?:^|[_\-. ])(?:encryption|decryption|signing|license|master|wandb|comet|openai|anthropic|service[_\-]?account)"
    r"[_\-]?key$"
    r"|(?:^|[_\-. ])(?:db|database|user|admin|root|smtp|proxy|ssh|ftp|mysql|pg|redis|mongo)[_\-. ]?(?:pass|pwd|pw)$"
    # What ends in "token" is a secret if the name says whose it is; eos_token and its like are a tokenizer's.
    r"|(?:^|[_\-. ])(?:hub|hf|hugging_?face|access|refresh|auth|api|bot|id|session|gh|github|gitlab|npm|wandb|slack|"
    r"bearer|security|private|personal|deploy|write|read|push|app|client|service|oauth|jwt|sas)[_\-. ]?token$"
    r"|(?:^|[_\-. ])(?:hub|hf|access|refresh|auth|api|github|gitlab|slack|bearer|service|oauth|jwt|sas)[_\-. ]?tokens$"
    r"|^(?:token|pass)$|_KEY_ID$",
    re.IGNORECASE,
)
# The size of a secret, or its location, is not a secret.
_ABOUT_A_SECRET = re.compile(
    r"[_\-. ](?:size|count|len|length|dim|bits|type|kind|env|env[_\-]?var|variable|name|path|file|filename|dir|folder|"
    r"ttl|timeout|expiry|expires[_\-]?(?:in|at)|required|enabled|prompt|policy|scopes?|uri|url|endpoint|field|column|"
    r"format|store|manager|provider)$",
    re.IGNORECASE,
)
_DOUBTFUL_KEYS = re.compile(r"(?:token|key)$", re.IGNORECASE)
# Under these names a digest or a UUID is what one expects.
_KEYS_OF_THINGS = re.compile(
    r"(?:^|[_\-. ])(?:cache|sort|primary|foreign|partition|group|index|lookup|join|row|object|blob|data|dataset|shard|"
    r"hash|content|fingerprint|model|checkpoint|commit|run|trial|experiment|idempotency)[_\-. ]?key$",
    re.IGNORECASE,
)
_DIGEST = re.compile(r"(?:[0-9a-f]{32,128}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z", re.IGNORECASE)
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NUMBER = re.compile(r"[_\-. ]?\d{1,3}\Z")
_RANDOM_TEXT = re.compile(r"[A-Za-z0-9_\-.~+/=:%]+\Z")
_WORDS = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{3,}")


def is_secret_key(key: str, value: object = None) -> bool:
    """Whether a value under this key is a secret by its name (``hub_token``, not ``eos_token`` or ``max_tokens``)."""
    name = _NUMBER.sub("", _CAMEL_HUMP.sub("_", key))  # hf_token_2 is an hf_token
    random = isinstance(value, str) and looks_random(value)
    if _SECRET_KEYS.search(name) is not None:
        return random or _ABOUT_A_SECRET.search(name) is None
    if not random or _DOUBTFUL_KEYS.search(name) is None:
        return False
    return not (_KEYS_OF_THINGS.search(name) and _DIGEST.match(str(value)))


def looks_random(text: str, least: int = 16) -> bool:
    """Whether a text looks random: letters and digits mixed, few words in between."""
    if len(text) < least or _RANDOM_TEXT.match(text) is None:
        return False
    text = text[:200]  # enough to tell
    kinds = [2 if c.isdigit() else c.isupper() for c in text if c.isalnum()]
    if 2 not in kinds or not any(c.isalpha() for c in text):
        return False
    rest = sum(map(str.isalnum, _WORDS.sub("", text)))
    pairs = itertools.pairwise(text)
    changes = sum(
        a.isalnum() and b.isalnum() and (a.isdigit(), a.isupper()) != (b.isdigit(), b.isupper()) for a, b in pairs
    )
    return 2 * rest >= len(kinds) and 5 * changes >= len(kinds)


# --- By form ---------------------------------------------------------------------------------------------------------


class _Rule(NamedTuple):
    needles: tuple[str, ...]  # in lower case; a text without any of them is not searched
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str] = REDACTED


_TOKENS = (
    _Rule(
        ("private key",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
            re.DOTALL,
        ),
    ),
    # Hugging Face, GitHub, npm, Stripe, Replicate, Groq, DigitalOcean, Shopify, Together, Weights & Biases
    _Rule(
        ("hf_", "api_org_", "gh", "npm_", "_live_", "_test_", "whsec_", "r8_", "gsk_", "_v1_", "shp"),
        re.compile(
            r"\b(?:hf|api_org|gh[opusr]|npm|(?:sk|rk|pk)_(?:live|test)|whsec|r8|gsk|dop_v1|tgp_v1|wandb_v1|shp(?:at|ca|pa))"
            r"_[A-Za-z0-9_]{20,}"
        ),
    ),
    _Rule(("github_pat_",), re.compile(r"\bgithub_pat_[A-Za-z0-9_]{20,}")),
    _Rule(("gl",), re.compile(r"\bgl(?:pat|ptt|dt|rt|soat|cbt|ft|imt|agent)-[A-Za-z0-9_.-]{10,}")),
    # OpenAI and Anthropic: a part that is not a word, unlike in sk-learn-something-long
    _Rule(("sk-",), re.compile(r"(?<![\w-])sk-(?=[\w-]*[A-Za-z0-9]{12})(?=[\w-]*\d)[A-Za-z0-9_-]{16,}")),
    _Rule(("akia", "asia", "abia", "acca"), re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b")),
    _Rule(("xox", "xapp-"), re.compile(r"\b(?:xox[abceoprsd]|xapp)(?:-|\.xox[a-z]-)[A-Za-z0-9-]{10,}")),
    _Rule(("aiza", "ya29.", "gocspx-"), re.compile(r"\b(?:AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})")),
    _Rule(("eyj",), re.compile(r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")),
    _Rule(
        ("pypi-ag", "nvapi-", "dapi", "pplx-", "xai-"),
        re.compile(
            r"\b(?:pypi-Ag[\w-]{20,}|nvapi-[\w-]{20,}|dapi[0-9a-f]{32}\b|pplx-[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,})"
        ),
    ),
    _Rule(("sg.",), re.compile(r"\bSG\.[\w-]{16,}\.[\w-]{16,}")),
    _Rule(
        ("hooks.slack.com", "webhooks/"),
        re.compile(r"(hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/)[\w/-]+"),
        rf"\1{REDACTED}",
    ),
)

_SECRET_PARAMETERS = re.compile(
    r"(?:token|sig|signature|pwd|auth|jwt|hmac|sas|passfile|sslpassword|awsaccesskeyid|"
    r"x-(?:amz|goog)-(?:signature|credential|security-token))\Z",
    re.IGNORECASE,
)


def _parameter(match: re.Match[str]) -> str:
    name, value = match[2], match[3]
    if _SECRET_PARAMETERS.match(name) or is_secret_key(name, value):
        return f"{match[1]}{name}={REDACTED}"
    return match[0]


def _user(match: re.Match[str]) -> str:
    return f"{match[1]}{REDACTED}@" if looks_random(match[2], 12) else match[0]


def _bearer(match: re.Match[str]) -> str:
    encoded = looks_random(match[2], 8) or match[2].endswith("=")
    return f"{match[1]}{REDACTED}" if encoded else match[0]


_WORD = r"""'[^']*'|"[^"]*"|\S+"""
_PLACES = (
    # Of URLs: the password, a user that is a token (https://TOKEN@github.com), parameters of query and fragment
    _Rule(("://",), re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s:/?#@'\"]*):[^\s/'\"]+@"), rf"\1:{REDACTED}@"),
    _Rule(("://",), re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)([^\s:/?#@'\"]+)@"), _user),
    _Rule(("=",), re.compile(r"([?&#])([A-Za-z][\w.-]{0,60})=([^&#\s'\"\\<>]+)"), _parameter),
    # Headers
    _Rule(
        ("authorization",),
        re.compile(
            r"(authorization\\?['\"]?\s{0,3}[:=]\s{0,3}\\?['\"]?(?:(?:bearer|basic|token|digest|apikey|negotiate)\s{1,3})?)"
            r"[^\s'\",\\]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    _Rule(("bearer", "basic"), re.compile(r"\b((?:bearer|basic)\s{1,3})([\w.~+/=-]{8,})", re.IGNORECASE), _bearer),
    _Rule(
        ("cookie",),
        re.compile(r"\b((?:set-)?cookie\\?['\"]?\s{0,3}:\s{0,3})\\?['\"]?[\w.-]{1,80}=[^\n'\"]+", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
    # Programs whose short options hold one
    _Rule(("sshpass",), re.compile(rf"\b(sshpass\s+-p\s*)(?:{_WORD})"), rf"\1{REDACTED}"),
    _Rule(
        ("mysql",),
        re.compile(rf"\b(mysql(?:dump|admin|import)?\s[^\n|;]{{0,200}}?(?<!\S)-p)(?![-=\s])(?:{_WORD})"),
        rf"\1{REDACTED}",
    ),
    _Rule(
        ("docker", "podman"),
        re.compile(rf"\b((?:docker|podman)\s+login\s[^\n|;]{{0,200}}?(?<!\S)-p[ =]?)(?!-)(?:{_WORD})"),
        rf"\1{REDACTED}",
    ),
    _Rule(
        ("curl",),
        re.compile(r"\b(curl\s[^\n|;]{0,300}?(?<!\S)(?:-u\s*|--user[ =])['\"]?[^\s:'\"]+:)[^\s'\"]+"),
        rf"\1{REDACTED}",
    ),
    _Rule(("machine",), re.compile(r"(\bmachine\s+\S+\s+login\s+\S+\s+password\s+)\S+"), rf"\1{REDACTED}"),
    # ODBC; elsewhere pwd is a folder
    _Rule(("pwd",), re.compile(r"((?:\A|;)\s{0,3}pwd\s{0,3}=\s{0,3})[^;\s/\\]+", re.IGNORECASE), rf"\1{REDACTED}"),
)

# --- In a text, after a name -----------------------------------------------------------------------------------------

_NAMED = ("token", "key", "pass", "secret", "auth", "credential", "cookie", "bearer", "pwd", "db_pw", "user_pw")
_NAME = re.compile(
    r"(?<![\w.\-$])(?:(?P<option>--[A-Za-z][\w.\-]*)[ \t]{1,3}(?!-)"
    r"|(?P<name>-{0,2}[A-Za-z_][\w.\-]*)(?P<quote>\\*[\"']?)\]?[ \t]{0,3}(?P<sign>=(?!=)|:(?!//))[ \t]{0,3})"
)
_VALUE = re.compile(
    r"(?P<open>[bBrRuU]?(?P<quote>\\*[\"']))(?P<quoted>(?:\\.|[^\\\n]){0,4096}?)(?=(?P=quote)|\n|\Z)"
    r"|(?P<bare>[^\s,;&\"'()\[\]{}]{1,4096})(?P<code>[(\[]?)"
)
_REST = re.compile(r"[^\s,;&\"'()\[\]{}]*")  # of a longer one
# What follows an option, or "password:", in ordinary sentences
_PROSE = re.compile(
    r"(?:to|or|and|is|are|for|with|in|if|as|on|from|instead|option|flag|argument|must|was|not|can|will|the|an?|it|be|by|"
    r"of|at|you|your|this|that|should|may|when|where|before|after|again|try|set|expected|required|missing|invalid)"
    r"[.:!?,]*\Z",
    re.IGNORECASE,
)
_CODE = re.compile(r"(?:none|null|true|false|\d+(?:\.\d+)?|\*+|\.\.\.|\$.*|%.*|<.*|\[redacted\].*)\Z", re.IGNORECASE)
_PASSWORDS = re.compile(r"(?:password|passwd|passphrase)$", re.IGNORECASE)


def _redact_named(text: str) -> str:
    """Replace what is assigned to a secret name, or follows a secret option."""
    kept: list[str] = []
    copied = position = 0
    while (named := _NAME.search(text, position)) is not None:
        # Go on after the sign, not after the value, which may contain the next name: "error: api_key=…".
        position = named.end()
        name = named["option"] or named["name"]
        lower = name.lower()
        if not any(needle in lower for needle in _NAMED):
            continue
        value = _VALUE.match(text, position)
        if value is None or not _is_secret_assignment(name, named, value):
            continue
        group = "bare" if value["quoted"] is None else "quoted"
        kept += text[copied : value.start(group)], REDACTED
        copied = position = _REST.match(text, value.end(group)).end() if group == "bare" else value.end(group)  # type: ignore[union-attr]
    return "".join([*kept, text[copied:]])


def _is_secret_assignment(name: str, named: re.Match[str], value: re.Match[str]) -> bool:
    bare = value["bare"]
    found = value["quoted"] if bare is None else bare
    if not found or _CODE.match(found) or value["code"] or _is_reference(name, found):
        return False
    key = _option_name(name)
    if named["option"]:
        return _PROSE.match(found) is None and is_secret_key(key, found)
    # In a text the word "token" alone may mean a tokenizer's, and what follows a colon may be prose.
    if name.lower() in ("token", "pass"):
        return looks_random(found, 12)
    if named["sign"] == ":" and bare is not None and not named["quote"]:
        return is_secret_key(key, found) and (looks_random(found, 8) or _is_password(key, found))
    return is_secret_key(key, found)


def _is_password(name: str, value: str) -> bool:
    return _PASSWORDS.search(name) is not None and _PROSE.match(value) is None


def _is_reference(name: str, value: str) -> bool:
    """Whether a value in source code is another variable: ``token=token``, ``token=args.hub_token``."""
    if not value.isascii() or not all(part.isidentifier() for part in value.split(".")):
        return False
    last = value.rpartition(".")[2]
    if "." in value:
        return value.split(".")[0] in ("self", "cls", "args", "os", "config", "cfg", "settings", "opts") or (
            is_secret_key(last)
        )
    return last.lower() == name.rpartition(".")[2].lower()


_LOOKS = (*_TOKENS, *_PLACES)


def redact_text(text: str) -> str:
    """``text`` with every substring that looks like a credential replaced by ``[redacted]``."""
    if len(text) < SHORTEST or (len(text) < SHORTEST_TOKEN and text.isidentifier()):  # most names are such
        return text
    lower = text.lower()
    for needles, pattern, replacement in _LOOKS:
        for needle in needles:
            if needle in lower:
                text = pattern.sub(replacement, text)
                break
    return _redact_named(text) if any(needle in lower for needle in _NAMED) else text


# --- Values ----------------------------------------------------------------------------------------------------------


def redact(value: Json) -> Json:
    """A canonical value with secrets replaced, by key and by form, at any depth. Its keys contain no secrets any more.

    Under a secret key, texts and their containers are redacted; numbers, bools and None stay (``token=True``,
    ``id_token=3``). A list that is a command line is read as one, and ``{"name": "HF_TOKEN", "value": …}`` as a name
    with its value.
    """
    if type(value) is str:
        return redact_text(value)
    if type(value) is dict:
        result = {key: redact_item(key, item) for key, item in value.items()}
        name = value.get("name", value.get("key"))
        if type(name) is str and type(value.get("value")) is str and is_secret_key(name, value["value"]):
            result["value"] = REDACTED
        return result
    if type(value) is list:
        if any(type(item) is str and item.startswith("-") for item in value):
            return _redact_command(value)
        return [redact(item) for item in value]
    return value


def redact_item(key: str, item: Json) -> Json:
    """The canonical value of a key, with secrets replaced."""
    kind = type(item)
    if kind is str:
        return REDACTED if item not in NONFINITE and is_secret_key(key, item) else redact_text(item)
    if kind is dict or kind is list:
        number = kind is dict and len(item) == 1 and "$int" in item
        login = kind is list and len(item) == 2 and key.lower() in ("auth", "basic_auth", "http_auth", "login")
        return REDACTED if not number and item and (login or is_secret_key(key)) else redact(item)
    return item


def redact_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line with secrets replaced: values by form, and what follows or is assigned to a secret option."""
    return _redact_command(arguments)


_SHORT_OPTIONS = {"sshpass": ("-p",), "docker": ("-p",), "podman": ("-p",)}


def _redact_command(arguments: Sequence[Any]) -> list[Any]:
    result: list[Any] = []
    option = ""
    short: tuple[str, ...] = ()
    for argument in arguments:
        if type(argument) is not str:
            result.append(redact(argument))
            option = ""
            continue
        name, equals, value = argument.partition("=")
        if option and (not argument.startswith("-") or option in short) and is_secret_option(option, argument, short):
            result.append(REDACTED)
        elif equals and value and is_secret_key(_option_name(name), value):
            result.append(f"{name}={REDACTED}")
        else:
            result.append(redact_text(argument))
            short = _SHORT_OPTIONS.get(argument.rpartition("/")[2], short)
        option = argument if argument.startswith("-") and not equals else ""
    return result


def is_secret_option(option: str, value: str, short: Sequence[str] = ()) -> bool:
    """Whether what follows an option of a command line is a secret."""
    return option in short or is_secret_key(_option_name(option), value)


def _option_name(argument: str) -> str:
    return argument.lstrip("-").replace("-", "_")
