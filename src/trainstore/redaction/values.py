"""Values with secrets replaced: texts, structures at any depth, command lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainstore.redaction.assignments import redact_assignments
from trainstore.redaction.forms import redact_forms
from trainstore.redaction.names import REDACTED, is_secret_key, option_name

SHORTEST = 8  # characters of a text that can be recognised as a secret without its name
SHORTEST_TOKEN = 20  # of one of letters, digits and underscores only: AWS's AKIA…
LONGEST_SECRET = 4_096  # characters behind a cut that are needed to know what stands before it
NONFINITE = ("NaN", "Infinity", "-Infinity")  # numbers, as JSON stores them

Json = Any


def redact_text(text: str) -> str:
    """``text`` with every substring that looks like a credential replaced by ``[redacted]``."""
    if len(text) < SHORTEST or (len(text) < SHORTEST_TOKEN and text.isidentifier()):  # most names are such
        return text
    lower = text.lower()
    return redact_assignments(redact_forms(text, lower), lower)


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
        elif equals and value and is_secret_key(option_name(name), value):
            result.append(f"{name}={REDACTED}")
        else:
            result.append(redact_text(argument))
            short = _SHORT_OPTIONS.get(argument.rpartition("/")[2], short)
        option = argument if argument.startswith("-") and not equals else ""
    return result


def is_secret_option(option: str, value: str, short: Sequence[str] = ()) -> bool:
    """Whether what follows an option of a command line is a secret."""
    return option in short or is_secret_key(option_name(option), value)
