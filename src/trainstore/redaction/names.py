"""By name: whether what is called so is a secret; and whether a text alone looks like one."""

from __future__ import annotations

import itertools
import re

REDACTED = "[redacted]"

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
    r"|^(?:token|pass|TRAINSTORE_NOTIFY)$|_KEY_ID$",
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
#: Names that alone say little: a tokenizer has tokens, a network passes.
WEAK_NAMES = ("token", "pass", "pw")
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
_CHOSEN_TEXT = re.compile(r"[A-Za-z0-9_\-.~+/=:%!@$^&*?]+\Z")
# What has letters and digits and is none: words and numbers side by side, a number with its unit, a path.
_ORDINARY = re.compile(
    r"(?:[A-Za-z]+|\d{1,6})(?:[_\-./+:=~%]{1,2}(?:[A-Za-z]+|\d{1,6}))*\Z"
    r"|[\d.,:+\-x/]+(?:e[\d+\-]+)?[A-Za-z%]{0,5}(?:/[a-z]{1,6})?\Z"
    r"|(?:[A-Za-z]:)?\.{0,2}~?/",
    re.IGNORECASE,
)
# A name of parts, as models and tests have: llama-3.2-1b, test_attention_fp16.
_COMPOUND = re.compile(
    r"(?=(?:.*[_\-./])?[A-Za-z]{3,}(?:[_\-./]|\Z))"
    r"(?:[A-Za-z]+\d{0,3}|\d{1,6}[A-Za-z]{0,2})(?:[_\-./](?:[A-Za-z]+\d{0,3}|\d{1,6}[A-Za-z]{0,2}))+\Z"
)


def is_secret_key(key: str, value: object = None) -> bool:
    """Whether a value under this key is a secret by its name (``hub_token``, not ``eos_token`` or ``max_tokens``)."""
    name = _NUMBER.sub("", _CAMEL_HUMP.sub("_", key))  # hf_token_2 is an hf_token
    random = isinstance(value, str) and looks_random(value)
    if _SECRET_KEYS.search(name) is not None:
        return random or _ABOUT_A_SECRET.search(name) is None
    if "." in key and is_weak(key) and isinstance(value, str) and looks_chosen(value, 8):  # model.token
        return True
    if not random or _DOUBTFUL_KEYS.search(name) is None:
        return False
    return not (_KEYS_OF_THINGS.search(name) and is_digest(str(value)))


def is_digest(text: str) -> bool:
    """Whether a text is a hash in hexadecimal digits, or a UUID."""
    return _DIGEST.match(text) is not None


def looks_random(text: str, least: int = 16) -> bool:
    """Whether a text looks random: letters and digits mixed, few words in between."""
    if len(text) < least or _RANDOM_TEXT.match(text) is None:
        return False
    text = text[:200]  # enough to tell
    if not any(map(str.isdigit, text)) or not any(map(str.isalpha, text)):
        return False
    count = sum(map(str.isalnum, text))
    rest = sum(map(str.isalnum, _WORDS.sub("", text)))
    pairs = itertools.pairwise(text)
    changes = sum(
        a.isalnum() and b.isalnum() and (a.isdigit(), a.isupper()) != (b.isdigit(), b.isupper()) for a, b in pairs
    )
    return 2 * rest >= count and 5 * changes >= count


def looks_chosen(text: str, least: int) -> bool:
    """Whether a text is one word of letters and digits, as a password may be: enough only beside a name."""
    text = text[:256]  # enough to tell
    return (
        len(text) >= least
        and _CHOSEN_TEXT.match(text) is not None
        and any(map(str.isdigit, text))
        and any(map(str.isalpha, text))
        and _ORDINARY.match(text) is None
    )


def is_compound(text: str) -> bool:
    """Whether a text is a name of several parts, one of them a word: more likely a thing's than a secret."""
    return _COMPOUND.match(text) is not None


def is_weak(name: str) -> bool:
    """Whether a name, or its last part, is "token" or its like, which may mean no secret at all."""
    return name.rpartition(".")[2].lower() in WEAK_NAMES


def option_name(argument: str) -> str:
    """The name in ``--api-key`` or in Hydra's ``+hub.token``, spelled as a variable's."""
    return argument.lstrip("-+~").replace("-", "_")
