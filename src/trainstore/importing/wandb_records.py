"""The records of a W&B log as they are written: of each kind, what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from trainstore.importing.texts import is_flat
from trainstore.importing.wire import (
    BYTES,
    MAX_DEPTH,
    MalformedError,
    double,
    fields,
    message,
    number,
    signed,
    text,
    timestamp,
    varint,
)

HISTORY, SUMMARY, CONFIG, STATS, ARTIFACT, ALERT, METRIC, RUN, EXIT, USED = 2, 3, 5, 7, 8, 10, 12, 17, 18, 25
MAX_STEP = 2**63 - 2
_ENVELOPE = (1, 16, 19, 200)  # fields of a record beside its content
_ONE_PART = 10  # the first byte of an item whose name has one part
_DIGITS = (*(b"%d" % digit for digit in range(10)), b"-")
_LEVELS = {"WARN": "warn", "ERROR": "error"}


@dataclass(slots=True)
class RunRecord:
    """The record that a run begins with."""

    id: str = ""
    project: str = ""
    name: str = ""
    notes: str = ""
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    host: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    started_at: int = 0  # microseconds since 1970
    commit: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    branch: tuple[str, int] | None = None  # the run and the step that it goes on from

    def tag_values(self) -> dict[str, Any]:
        """Its tags, group, kind of job and sweep as tags."""
        named = {"group": self.group, "job_type": self.job_type, "sweep": self.sweep}
        return {**dict.fromkeys(self.tags, True), **{name: value for name, value in named.items() if value}}


def record_of(payload: bytes) -> tuple[int, bytes]:
    """The kind of a record and its content. Raises `MalformedError`."""
    if payload[:1] == b"\x08":  # its number, and then as a rule the content
        _, at = varint(payload, 1)
        if at < len(payload):
            key, at = varint(payload, at)
            if key & 7 == BYTES and key >> 3 not in _ENVELOPE:
                length, at = varint(payload, at)
                if length <= len(payload) - at:
                    return key >> 3, payload[at : at + length]
    for key, _, value in fields(payload):
        if key not in _ENVELOPE:
            return key, message(value)
    return 0, b""


def run_record(body: bytes) -> RunRecord:
    """Read a run's record. Raises `MalformedError`."""
    run = RunRecord()
    for key, _, value in fields(body):
        if key == 1:
            run.id = text(value)
        elif key == 3:
            run.project = text(value)
        elif key == 4:
            run.config = config_of(message(value))
        elif key == 6:
            run.group = text(value)
        elif key == 7:
            run.job_type = text(value)
        elif key == 8:
            run.name = text(value)
        elif key == 9:
            run.notes = text(value)
        elif key == 10:
            run.tags.append(text(value))
        elif key == 12:
            run.sweep = text(value)
        elif key == 13:
            run.host = text(value)
        elif key == 17:
            run.started_at = timestamp(value)
        elif key == 19:
            run.versions = _versions(message(value))
        elif key == 21:
            run.commit = "".join(text(one) for inner, _, one in fields(message(value)) if inner == 2)
        elif key == 23:
            run.branch = _branch(message(value))
    return run


def items(body: bytes, wanted: int = 1) -> Iterator[tuple[list[str], str]]:
    """The items of a history, summary or configuration: the parts of a name, and JSON."""
    for key, _, value in fields(body):
        if key == wanted:
            yield item(message(value))


def item(body: bytes) -> tuple[list[str], str]:
    """The parts of an item's name, and its value as JSON."""
    parts: list[str] = []
    content = ""
    for key, _, value in fields(body):
        if key in (1, 2):
            parts.append(text(value))
        elif key == 16:
            content = text(value)
    if len(parts) > MAX_DEPTH:  # as many mappings in each other
        parts[MAX_DEPTH:] = [".".join(parts[MAX_DEPTH:])]
    return parts or [""], content


def row_of(body: bytes, names: dict[bytes, str]) -> tuple[dict[str, Any], int]:
    """A row of the history, and the step that it says. Raises `MalformedError`.

    Args:
        body: The record's content.
        names: Keeps names that were read before.
    """
    plain = _plain(body, names)
    return plain if plain else _any_row(body)


def _any_row(body: bytes) -> tuple[dict[str, Any], int]:
    row = {".".join(parts): json_value(content) for parts, content in items(body)}
    counted = 0
    for key, _, value in fields(body):
        if key == 2:
            counted = sum(number(one) for inner, _, one in fields(message(value)) if inner == 1)
    return row, counted


def _value(content: bytes) -> Any:
    """As `_json`, faster for numbers."""
    if content[:1] in _DIGITS:
        try:
            return float(content) if b"." in content or b"e" in content else int(content)
        except ValueError:
            pass
    return json_value(content.decode("utf-8", "replace"))


def config_of(body: bytes) -> dict[str, Any]:
    """A configuration, nested, without what W&B keeps there for itself."""
    config: dict[str, Any] = {}
    for parts, content in items(body):
        if parts[0] == "_wandb":
            continue
        place = config
        for part in parts[:-1]:
            below = place.setdefault(part, {})
            place = below if isinstance(below, dict) else place.setdefault(part + ".", {})
        place[parts[-1]] = json_value(content)
    return config


def _versions(telemetry: bytes) -> dict[str, str]:
    found = {}
    for key, _, value in fields(telemetry):
        if key == 4:
            found["python"] = text(value)
        elif key == 5:
            found["wandb"] = text(value)
    return found


def _branch(body: bytes) -> tuple[str, int] | None:
    run, step = "", 0.0
    for key, _, value in fields(body):
        if key == 1:
            run = text(value)
        elif key == 2:
            step = double(value)
    return (run, int(step)) if run and 0 <= step <= MAX_STEP else None


def alert(body: bytes) -> dict[str, Any]:
    """An alert, as ours are: its level is one of info, warn, error."""
    found = {"title": "", "text": "", "level": "info"}
    for key, _, value in fields(body):
        if key in (1, 2):
            found["title" if key == 1 else "text"] = text(value)
        elif key == 3:
            found["level"] = _LEVELS.get(text(value), "info")
    return found


def artifact(body: bytes) -> dict[str, Any]:
    """An artifact as a link: its name, kind, digest, aliases, and how much it holds."""
    found: dict[str, Any] = {}
    names = {4: "type", 5: "name", 6: "digest", 7: "description"}
    for key, _, value in fields(body):
        if key in names:
            found[names[key]] = text(value)
        elif key == 11:
            found.setdefault("aliases", []).append(text(value))
        elif key == 12:
            sizes = [_entry_size(message(entry)) for inner, _, entry in fields(message(value)) if inner == 4]
            found |= {"files": len(sizes), "size": sum(sizes)}
    return {key: value for key, value in found.items() if value not in ("", [])}


def _entry_size(entry: bytes) -> int:
    return sum(number(value) for key, _, value in fields(entry) if key == 4)


def used_artifact(body: bytes) -> dict[str, Any]:
    """An artifact that the run used, as a link."""
    names = {1: "id", 2: "type", 3: "name"}
    return {names[key]: text(value) for key, _, value in fields(body) if key in names} | {"used": True}


def json_value(content: str) -> Any:
    """What JSON says; NaN and the infinities are words there. Raises `MalformedError`."""
    try:
        value = json.loads(content) if content else None
    except (ValueError, RecursionError):
        raise MalformedError("a value is no JSON") from None
    if content.count("[") + content.count("{") > MAX_DEPTH and not is_flat(value):
        raise MalformedError("a value is nested too deeply")
    return value


def own_summary(body: bytes) -> Iterator[tuple[str, Any]]:
    """What the user set in a summary; W&B itself writes the last row's values there, in another field."""
    if _may_have_own(body):
        for key, _, value in fields(body):
            if key == 1 and message(value)[:1] == bytes([_ONE_PART]):
                parts, content = item(message(value))
                yield ".".join(parts), json_value(content)


def _may_have_own(body: bytes) -> bool:
    """Whether some item of a summary may have a name of one part; fast, as each row has a summary."""
    at, size = 0, len(body) - 2
    while at < size:
        if body[at] != 10 or body[at + 1] > 127 or body[at + 2] == _ONE_PART:
            return True
        at += 2 + body[at + 1]
    return False


def _plain(body: bytes, names: dict[bytes, str]) -> tuple[dict[str, Any], int] | None:
    """A row as W&B writes most: short names in one part and short values. Else None: `_row` reads all of them."""
    row: dict[str, Any] = {}
    counted = at = 0
    size = len(body)
    try:
        while at < size:
            tag, end = body[at], at + 2 + body[at + 1]
            at += 2
            if end > size or end - at > 127:
                return None
            if tag == 18:  # the step
                counted = varint(body, at + 1)[0] if end > at and body[at] == 8 else 0
            else:
                middle = at + 2 + body[at + 1]  # behind the name
                length = body[middle + 2]
                if tag != 10 or body[at] != 18 or body[middle : middle + 2] != b"\x82\x01" or length > 127:
                    return None
                if middle + 3 + length != end or middle == at + 2:
                    return None
                key = body[at + 2 : middle]
                name = names.get(key)
                if name is None:
                    name = text(key)
                    if len(names) < 10_000:
                        names[key] = name
                row[name] = _value(body[middle + 3 : end])
            at = end
    except (IndexError, MalformedError):
        return None
    return row, signed(counted)
