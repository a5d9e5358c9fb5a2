"""By form, and by place in a text: tokens of known services, and what stands in URLs, headers and commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from trainstore.redaction.names import REDACTED, is_secret_key, is_weak, looks_chosen, looks_random


class Rule(NamedTuple):
    """What is replaced wherever it stands."""

    needles: tuple[str, ...]  # in lower case; a text without any of them is not searched
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str] = REDACTED


TOKENS = (
    Rule(
        ("private key",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
            re.DOTALL,
        ),
    ),
    # Hugging Face, GitHub, npm, Docker, Stripe, Replicate, Groq, DigitalOcean, Shopify, Together, Weights & Biases
    Rule(
        ("hf_", "api_org_", "gh", "npm_", "dckr_", "_live_", "_test_", "whsec_", "r8_", "gsk_", "_v1_", "shp"),
        re.compile(
            r"\b(?:hf|api_org|gh[opusr]|npm|(?:sk|rk|pk)_(?:live|test)|whsec|r8|gsk|dop_v1|tgp_v1|wandb_v1|shp(?:at|ca|pa))"
            r"_[A-Za-z0-9_]{20,}|\bdckr_[po]at_[\w-]{20,}"
        ),
    ),
    Rule(("github_pat_",), re.compile(r"\bgithub_pat_[A-Za-z0-9_]{20,}")),
    Rule(("gl",), re.compile(r"\bgl(?:pat|ptt|dt|rt|soat|cbt|ft|imt|agent)-[A-Za-z0-9_.-]{10,}")),
    # OpenAI and Anthropic: a part that is not a word, unlike in sk-learn-something-long
    Rule(("sk-",), re.compile(r"(?<![\w-])sk-(?=[\w-]*[A-Za-z0-9]{12})(?=[\w-]*\d)[A-Za-z0-9_-]{16,}")),
    Rule(("akia", "asia", "abia", "acca"), re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b")),
    Rule(("xox", "xapp-"), re.compile(r"\b(?:xox[abceoprsd]|xapp)(?:-|\.xox[a-z]-)[A-Za-z0-9-]{10,}")),
    Rule(("aiza", "ya29.", "gocspx-"), re.compile(r"\b(?:AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})")),
    Rule(("eyj",), re.compile(r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")),
    Rule(
        ("pypi-ag", "nvapi-", "dapi", "pplx-", "xai-"),
        re.compile(
            r"\b(?:pypi-Ag[\w-]{20,}|nvapi-[\w-]{20,}|dapi[0-9a-f]{32}\b|pplx-[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,})"
        ),
    ),
    Rule((":aa",), re.compile(r"(?<!\d)\d{8,10}:AA[\w-]{30,40}(?![\w-])")),  # a bot of Telegram
    Rule(("sg.",), re.compile(r"\bSG\.[\w-]{16,}\.[\w-]{16,}")),
    Rule(
        ("hooks.slack.com", "webhooks/"),
        re.compile(r"(hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/)[\w/-]+"),
        rf"\1{REDACTED}",
    ),
)

_SECRET_PARAMETERS = re.compile(
    r"(?:token|sig|signature|pwd|pw|auth|jwt|hmac|sas|passfile|sslpassword|awsaccesskeyid|"
    r"x-(?:amz|goog)-(?:signature|credential|security-token))\Z",
    re.IGNORECASE,
)


def _parameter(match: re.Match[str]) -> str:
    name, value = match[2], match[3]
    if _SECRET_PARAMETERS.match(name) or is_secret_key(name, value):
        return f"{match[1]}{name}={REDACTED}"
    return match[0]


# Addresses that messages are sent to, in Apprise's form: the whole is a credential
_MESSENGERS = (
    "bark", "barks", "discord", "gchat", "gotify", "gotifys", "ifttt", "line", "mailgun", "matrix", "matrixs", "mmost",
    "mmosts", "msteams", "ntfy", "ntfys", "o365", "opsgenie", "pagerduty", "pbul", "pover", "prowl", "pushed", "pushy",
    "rocket", "rockets", "sendgrid", "signal", "signals", "slack", "sns", "tgram", "twilio", "victorops", "webex",
    "whatsapp", "workflows", "wxteams", "zulip",
)  # fmt: skip


def _address(match: re.Match[str]) -> str:
    scheme = match[1].lower()
    # In the repr of a text, the "n" of "\\nslack://…" is none of its letters.
    is_one = scheme in _MESSENGERS or (scheme[0] in "nrt" and scheme[1:] in _MESSENGERS)
    return f"{match[1]}://{REDACTED}" if is_one else match[0]


def _user(match: re.Match[str]) -> str:
    return f"{match[1]}{REDACTED}@" if looks_random(match[2], 12) else match[0]


_BASE64 = re.compile(r"[A-Za-z0-9+/]+=*\.?\Z")


def _header(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    if name[:5].lower() == "basic" and _BASE64.match(value) is None:
        return match[0]  # "basic v2.0-beta1"
    is_secret = looks_random(value, 8) or value.endswith("=")
    is_secret = is_secret or (name[:6].lower() == "bearer" and looks_chosen(value, 6))
    return f"{name}{REDACTED}" if is_secret else match[0]


def _pair(match: re.Match[str]) -> str:
    name, value = match["name"], match["value"]
    least = 7 if is_weak(name) else 4
    is_secret = is_secret_key(name, value) and (looks_chosen(value, least) or looks_random(value, 8))
    return f"{match[0][: -len(value)]}{REDACTED}" if is_secret else match[0]


_WORD = r"""'[^']*'|"[^"]*"|\S+"""
PLACES = (
    Rule(("://",), re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://[^\s'\"<>]+"), _address),
    # Of URLs: the password, a user that is a token (https://TOKEN@github.com), parameters of query and fragment
    Rule(("://",), re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s:/?#@'\"]*):[^\s/'\"]+@"), rf"\1:{REDACTED}@"),
    # one with a "/"; a number there is a port
    Rule(
        ("://",),
        re.compile(
            r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s:/?#@'\"\[]*):(?!\d{1,5}(?:[/?#]|$)|\[redacted\])"
            r"[^\s'\"/@]{0,256}/[^\s'\"@]{0,256}@"
        ),
        rf"\1:{REDACTED}@",
    ),
    Rule(("://",), re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)([^\s:/?#@'\"]+)@"), _user),
    Rule(("=",), re.compile(r"([?&#])([A-Za-z][\w.-]{0,60})=([^&#\s'\"\\<>]+)"), _parameter),
    # Headers
    Rule(
        ("authorization",),
        re.compile(
            r"(authorization\\?['\"]?\s{0,3}[:=]\s{0,3}\\?['\"]?(?:(?:bearer|basic|token|digest|apikey|negotiate)\s{1,3})?)"
            r"[^\s'\",\\]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    Rule(
        ("bearer", "basic"), re.compile(r"\b((?:bearer|basic)\s{1,3})([A-Za-z0-9_.~+/=-]{6,})", re.IGNORECASE), _header
    ),
    Rule(
        ("cookie",),
        re.compile(r"\b((?:set-)?cookie\\?['\"]?\s{0,3}:\s{0,3})\\?['\"]?[\w.-]{1,80}=[^\n'\"]+", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
    # Programs whose short options hold one
    Rule(("sshpass",), re.compile(rf"\b(sshpass\s+-p\s*)(?:{_WORD})"), rf"\1{REDACTED}"),
    Rule(
        ("mysql",),
        re.compile(rf"\b(mysql(?:dump|admin|import)?\s[^\n|;]{{0,200}}?(?<!\S)-p)(?![-=\s])(?:{_WORD})"),
        rf"\1{REDACTED}",
    ),
    Rule(
        ("docker", "podman"),
        re.compile(rf"\b((?:docker|podman)\s+login\s[^\n|;]{{0,200}}?(?<!\S)-p[ =]?)(?!-)(?:{_WORD})"),
        rf"\1{REDACTED}",
    ),
    Rule(
        ("curl",),
        re.compile(r"\b(curl\s[^\n|;]{0,300}?(?<!\S)(?:-u\s*|--user[ =])['\"]?[^\s:'\"]+:)[^\s'\"]+"),
        rf"\1{REDACTED}",
    ),
    Rule(("wandb",), re.compile(r"\b(wandb\s+login\s[^\n|;]{0,200}?)[A-Za-z0-9_-]{32,}"), rf"\1{REDACTED}"),
    Rule(("machine",), re.compile(r"(\bmachine\s+\S+\s+login\s+\S+\s+password\s+)\S+"), rf"\1{REDACTED}"),
    # ODBC; elsewhere pwd is a folder
    Rule(("pwd",), re.compile(r"((?:\A|;)\s{0,3}pwd\s{0,3}=\s{0,3})[^;\s/\\]+", re.IGNORECASE), rf"\1{REDACTED}"),
    # A name and its value in two, as in lists of headers
    Rule(
        ("',", '",'),
        re.compile(r"""\(b?(\\*['"])(?P<name>[\w.-]{2,60})\1,\s?b?(\\*['"])(?P<value>[^'"\n\\]{1,4096})(?=\3\))"""),
        _pair,
    ),
    # {"name": "HF_TOKEN", "value": X}, in JSON and YAML
    Rule(
        ("value",),
        re.compile(
            r"""\bname\\*['"]?\s?[:=]\s{0,3}\\*['"]?(?P<name>[\w.-]{2,60})\\*['"]?,?\s{1,40}\\*['"]?"""
            r"""value\\*['"]?\s?[:=]\s{0,3}\\*['"]?(?P<value>[^\s'"\\,}]{4,4096})"""
        ),
        _pair,
    ),
    Rule(
        ("auth=(", "auth("),
        re.compile(r"""(\b(?:auth=|\w{0,20}BasicAuth)\((\\*['"])[^'"\n]{0,100}\2,\s?\2)[^'"\n]{1,200}(?=\2)"""),
        rf"\1{REDACTED}",
    ),
)


def redact_forms(text: str, lower: str) -> str:
    """Replace what is recognised by its form or its place. ``lower`` is the text in lower case."""
    for needles, pattern, replacement in _LOOKS:
        for needle in needles:
            if needle in lower:
                text = pattern.sub(replacement, text)
                break
    return text


_LOOKS = (*TOKENS, *PLACES)
