"""What one TensorBoard event file says: its scalars step by step, texts, hyperparameters, and what is not kept.

Numbers are `simple_value`, or tensors without dimensions, whichever plugin they are of: the plugin is often told once
a tag, and a reader that goes on in the middle of a file does not know it.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from trainstore.importing.foreign import Entry, Hyperparams, Step
from trainstore.importing.places import File
from trainstore.importing.positions import PLACES, offset_of, placed, position_of
from trainstore.importing.wire import (
    FIXED64,
    LAST_SECOND,
    MAX_DEPTH,
    Frames,
    MalformedError,
    double,
    fields,
    message,
    number,
    tally,
    tell,
    text,
    varint,
)

MAX_STEP = 2**63 - 2
MAX_TEXT = 10_000  # characters of a text that is kept
_MAX_SAMPLES = 100  # texts of one tag that a step keeps
_MAX_TEXTS = 1_000_000  # of a file
_MAX_LAYOUT = 1_000  # bytes of an event whose form is remembered
MAX_METRICS = 1_000  # in one entry; a step may have more than one entry

_FLOAT, _DOUBLE, _STRING = 1, 2, 7  # tensors' types that are read
_MEDIA = {4: "image", 5: "histogram", 6: "audio"}
_OTHER = {4: "graph", 6: "log message", 8: "run metadata", 9: "graph"}
_START = 1
_TEXT = "/text_summary"  # torch and tensorboardX add it to the tag of a text
_TRAINER_ARGUMENTS = ("args", "args" + _TEXT)  # transformers writes a training's arguments there, as JSON


@dataclass(slots=True)
class Parsed:
    """One event."""

    wall_time: float = 0.0
    step: int = 0
    scalars: list[tuple[str, float, bytes]] = field(default_factory=list)  # tag, value, the value's bytes
    texts: list[tuple[str, str]] = field(default_factory=list)
    hyperparams: dict[str, Any] = field(default_factory=dict)
    start: bool = False  # a session begins that supersedes this step and later ones
    hparams: bool = False  # something of the hparams plugin
    left_out: list[str] = field(default_factory=list)

    @property
    def is_scalar(self) -> bool:
        """Whether it is one scalar, and nothing else."""
        other = self.texts or self.left_out or self.hparams or self.start
        return len(self.scalars) == 1 and not other and 0 <= self.step <= MAX_STEP


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the beginning of a file says; it does not change while the file grows."""

    wall_time: float  # of the first event
    start: int | None = None  # the step of a session's START
    first: tuple[int, str] | None = None  # step and tag of the first scalar
    hparams: bool = False
    decided: bool = False  # more will not change what is above


class _Samples:
    """What texts are called as samples of a step: by tag, and by number if a step has several of one tag."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()

    def key(self, tag: str, step: int, content: str) -> str | None:
        """The key of the next text in its step's details; None if it is not kept."""
        name = tag.removesuffix(_TEXT)[:200] or "text"
        place = name, step
        if len(content) > MAX_TEXT or self._counts[place] >= _MAX_SAMPLES or len(self._counts) > _MAX_TEXTS:
            return None
        self._counts[place] += 1
        return f"sample/{name}/{self._counts[place] - 1}"


class EventFile:
    """An event file. ``rename`` tells what a tag's metric is called."""

    def __init__(self, file: File, rename: Callable[[str], str] = str) -> None:
        self._file = file
        self._rename = rename
        # By the length of an event's bytes after its step: where in them a value may be, how it is read, and the
        # metrics by the other bytes. Events of a tag differ in nothing else: reading them so is ten times faster.
        self._layouts: dict[int, list[tuple[int, int, struct.Struct, dict[bytes, str]]]] = {}
        self._layout_count = 0

    def beginning(self) -> Beginning | None:
        """What its first event and its first scalar or START are; None if it holds no whole event."""
        found: Beginning | None = None
        start, hparams = None, False
        for count, parsed in enumerate(self._parsed(chunk=1 << 14)):
            wall_time = found.wall_time if found else parsed.wall_time
            start = parsed.step if parsed.start and start is None else start
            hparams = hparams or parsed.hparams
            first = (parsed.step, self._rename(parsed.scalars[0][0])) if parsed.scalars else None
            decided = first is not None or start is not None or count >= 1_000
            found = Beginning(wall_time, start, first, hparams, decided)
            if first is not None or count >= 1_000:
                break
        return found

    def scalars(self) -> Iterator[tuple[float, int, str]]:
        """Wall time, step and metric of each scalar."""
        with self._file.open() as file:
            for _, _, payload in Frames(file, self._file.size, []).read():
                fast = self._scalar(payload)
                if fast:
                    yield fast[:3]
                    continue
                try:
                    parsed = self._parse(payload)
                except MalformedError:
                    continue
                for tag, _, _ in parsed.scalars:
                    yield parsed.wall_time, parsed.step, self._rename(tag)

    def entries(self, after: int, left_out: Counter[str], damage: list[str]) -> Iterator[Entry]:
        """The entries after a position, scalars of one step that follow each other as one."""
        metrics: dict[str, Any] = {}
        step = at = last = 0
        samples = _Samples() if not after else None  # None: not counted yet
        with self._file.open() as file:
            for begin, end, payload in Frames(file, self._file.size, damage).read(offset_of(after)):
                one = self._scalar(payload)
                if one is None:
                    try:
                        parsed = self._parse(payload)
                    except MalformedError:
                        tell(damage, f"the record at byte {begin:,} is no event")
                        continue
                    if not parsed.is_scalar:
                        if samples is None:
                            samples = self._samples_before(after) if parsed.texts else _Samples()
                        entries = self._entries(parsed, begin, end, samples)
                        for what in parsed.left_out:
                            tally(left_out, what)
                        if entries and metrics:
                            yield Step(at, step, metrics, position=last)
                            metrics = {}
                        yield from (entry for entry in entries if entry.position > after)
                        continue
                    tag, number, _ = parsed.scalars[0]
                    one = parsed.wall_time, parsed.step, self._rename(tag), number
                wall_time, its_step, metric, value = one
                if its_step != step or metric in metrics or len(metrics) >= MAX_METRICS:
                    if metrics:
                        yield Step(at, step, metrics, position=last)
                    metrics, step = {}, its_step
                if not metrics:
                    at = self.microseconds(wall_time)
                metrics[metric] = value
                last = position_of(end)
        if metrics:
            yield Step(at, step, metrics, position=last)

    def _parsed(self, chunk: int) -> Iterator[Parsed]:
        with self._file.open() as file:
            for _, _, payload in Frames(file, self._file.size, [], chunk).read():
                try:
                    yield self._parse(payload)
                except MalformedError:
                    continue

    def microseconds(self, wall_time: float) -> int:
        """A time in seconds; the file's own if it is none."""
        return int(wall_time * 1e6) if 0 < wall_time < LAST_SECOND else self._file.modified

    def _samples_before(self, after: int) -> _Samples:
        """The texts that were read earlier, counted: each of a tag and a step has a number."""
        samples = _Samples()
        with self._file.open() as file:
            for begin, _, payload in Frames(file, self._file.size, []).read():
                if begin >= offset_of(after):
                    break
                if self._scalar(payload) is None:
                    with suppress(MalformedError):
                        parsed = self._parse(payload)
                        for tag, content in parsed.texts:
                            samples.key(tag, parsed.step, content)
        return samples

    def _entries(self, parsed: Parsed, begin: int, end: int, samples: _Samples) -> list[Entry]:
        """An event's entries. The last one's position is the event's end: reading goes on there."""
        at, step = self.microseconds(parsed.wall_time), parsed.step
        if not 0 <= step <= MAX_STEP:
            parsed.left_out += ["number at a negative step"] * len(parsed.scalars)
            parsed.left_out += ["text"] * len(parsed.texts)
            return []
        entries: list[Entry] = [Hyperparams(parsed.hyperparams)] if parsed.hyperparams else []
        metrics: dict[str, Any] = {}
        for tag, value, _ in parsed.scalars:
            metric = self._rename(tag)
            if metric in metrics:
                entries.append(Step(at, step, metrics))
                metrics = {}
            metrics[metric] = value
        if metrics:
            entries.append(Step(at, step, metrics))
        for tag, content in parsed.texts:
            arguments = _json_object(content) if tag in _TRAINER_ARGUMENTS else None
            if arguments is not None:
                entries.append(Hyperparams(arguments))
            elif key := samples.key(tag, step, content):
                entries.append(Step(at, step, {}, details={key: content}))
            else:
                parsed.left_out.append("long text" if len(content) > MAX_TEXT else "text")
        parsed.left_out += ["superfluous value"] * max(0, len(entries) - PLACES)
        del entries[PLACES:]
        return placed(entries, begin, end)

    def _scalar(self, payload: bytes) -> tuple[float, int, str, float] | None:
        """Wall time, step, metric and value of an event like one that was parsed before."""
        if len(payload) < 12 or payload[0] != 9:
            return None
        step, at = 0, 9
        if payload[9] == 16:
            step, at = payload[10], 11
            if step >= 128:
                step, at = varint(payload, 10)
                if step > MAX_STEP:
                    return None
        rest = payload[at:]
        for begin, end, form, metrics in self._layouts.get(len(rest), ()):
            metric = metrics.get(rest[:begin] + rest[end:])
            if metric is not None:
                return _TIME.unpack_from(payload, 1)[0], step, metric, form.unpack_from(rest, begin)[0]
        return None

    def _learn(self, payload: bytes, parsed: Parsed) -> None:
        """Remember how an event looks that has one scalar and nothing else, if the place of its value is certain."""
        tag, _, raw = parsed.scalars[0]
        form = _TIME if len(raw) == 8 else _SINGLE
        step, at = varint(payload, 10) if payload[9] == 16 else (0, 9)
        if step != parsed.step or _TIME.unpack_from(payload, 1)[0] != parsed.wall_time:
            return
        rest, probe = payload[at:], b"\x52\x61\x74\x65\x52\x61\x74\x65"[: len(raw)]
        begin = rest.rfind(raw)
        for _ in range(8):
            if begin < 0 or self._layout_count >= 10_000:
                return
            other = rest[:begin] + probe + rest[begin + len(raw) :]
            try:
                again = _parse(payload[:9] + other)
            except MalformedError:
                again = Parsed()
            same = not (again.step or again.left_out) and again.wall_time == parsed.wall_time
            if same and again.scalars == [(tag, form.unpack(probe)[0], probe)]:
                break
            begin = rest.rfind(raw, 0, begin + len(raw) - 1)
        else:
            return
        end = begin + len(raw)
        layouts = self._layouts.setdefault(len(rest), [])
        known = next((metrics for b, e, _, metrics in layouts if (b, e) == (begin, end)), None)
        if known is None:
            layouts.append((begin, end, form, known := {}))
        known[rest[:begin] + rest[end:]] = self._rename(tag)
        self._layout_count += 1

    def _parse(self, payload: bytes) -> Parsed:
        parsed = _parse(payload)
        if parsed.is_scalar and 12 <= len(payload) <= _MAX_LAYOUT and payload[0] == 9:
            self._learn(payload, parsed)
        return parsed


_TIME = struct.Struct("<d")
_SINGLE = struct.Struct("<f")


def _parse(payload: bytes) -> Parsed:
    """Parse an event. Raises `MalformedError`."""
    parsed = Parsed()
    for key, kind, value in fields(payload):
        if key == 1 and kind == FIXED64:
            parsed.wall_time = double(value)
        elif key == 2:
            parsed.step = number(value)
        elif key == 5:
            for inner, _, one in fields(message(value)):
                if inner == 1:
                    _parse_value(message(one), parsed)
        elif key == 7:
            status = {inner: one for inner, _, one in fields(message(value))}
            parsed.start = parsed.start or status.get(1) == _START
        elif key in _OTHER:
            parsed.left_out.append(_OTHER[key])
    return parsed


def _parse_value(value: bytes, parsed: Parsed) -> None:
    tag = old_tag = plugin = ""
    content = tensor = simple = b""
    media = None
    for key, _, one in fields(value):
        if key == 1:
            tag = text(one)
        elif key == 7:
            old_tag = text(one)
        elif key == 2:
            simple = message(one)
        elif key in _MEDIA:
            media = _MEDIA[key]
        elif key == 8:
            tensor = message(one)
        elif key == 9:
            plugin, content = _plugin(message(one))
    tag = tag or old_tag
    if plugin == "hparams":
        parsed.hparams = True
        parsed.hyperparams.update(_session_start(content))
    elif media:
        parsed.left_out.append(media)
    elif simple:
        parsed.scalars.append((tag, double(simple), simple))
    elif tensor:
        _parse_tensor(tag, plugin, tensor, parsed)
    else:
        parsed.left_out.append(plugin or "unknown value")


def _plugin(metadata: bytes) -> tuple[str, bytes]:
    name, content = "", b""
    for key, _, one in fields(metadata):
        if key == 1:  # plugin_data
            for inner, _, part in fields(message(one)):
                if inner == 1:
                    name = text(part)
                elif inner == 2:
                    content = message(part)
    return name, content


def _parse_tensor(tag: str, plugin: str, tensor: bytes, parsed: Parsed) -> None:
    kind = dimensions = 0
    raw, strings = b"", []
    for key, _, one in fields(tensor):
        if key == 1:
            kind = number(one)
        elif key == 2:
            dimensions += sum(inner == 2 for inner, _, _ in fields(message(one)))
        elif key in (4, 5, 6):  # tensor_content, float_val, double_val: the same bytes
            raw += message(one)
        elif key == 8:
            strings.append(one)
    if not dimensions and (kind, len(raw)) in ((_FLOAT, 4), (_DOUBLE, 8)):
        parsed.scalars.append((tag, double(raw), raw))
    elif kind == _STRING and dimensions <= 1 and len(strings) <= _MAX_SAMPLES and plugin in ("", "text"):
        parsed.texts += [(tag, text(one)) for one in strings]
    else:
        parsed.left_out.append(plugin or "tensor")


def _session_start(content: bytes) -> dict[str, Any]:
    """The hyperparameters of a session of the hparams plugin."""
    values: dict[str, Any] = {}
    for key, _, one in fields(content):
        if key == 3:  # session_start_info
            for inner, _, pair in fields(message(one)):
                if inner == 1:
                    values.update(_map_entry(message(pair), 0))
    return values


def _map_entry(pair: bytes, depth: int) -> dict[str, Any]:
    key, value = "", None
    for inner, _, one in fields(pair):
        if inner == 1:
            key = text(one)
        elif inner == 2:
            value = _json_value(message(one), depth)
    return {key: value}


def _json_value(value: bytes, depth: int) -> Any:
    """A `google.protobuf.Value`."""
    if depth > MAX_DEPTH:
        raise MalformedError("values are nested too deeply")
    for key, _, one in fields(value):
        if key == 2:
            return double(one)
        if key == 3:
            return text(one)
        if key == 4:
            return bool(one)
        if key == 5:
            pairs = [_map_entry(message(pair), depth + 1) for inner, _, pair in fields(message(one)) if inner == 1]
            return {name: item for pair in pairs for name, item in pair.items()}
        if key == 6:
            return [_json_value(message(item), depth + 1) for inner, _, item in fields(message(one)) if inner == 1]
    return None


def _json_object(content: str) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
