"""JSON and YAML of others, read safely: bounded in size and nesting, and nothing in them is ever executed.

YAML is read by PyYAML if it is installed, by the rules of YAML 1.2 ("yes" is a text, 1e-5 a number); without it, by
the small reader of ``plain_yaml.py``. What that cannot read is counted as left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

from trainstore.errors import SourceError
from trainstore.importing import plain_yaml
from trainstore.importing.places import File

MAX_JSON = 256 << 20  # bytes
MAX_YAML = 4 << 20
MAX_DEPTH = 64
MAX_ALIASES = 1_000
MAX_PARTS = 1_000_000  # with everything that aliases name written out
MAX_MERGED = 100_000  # keys that all "<<" of a file bring into mappings
_TAG = "tag:yaml.org,2002:"


def read(file: File, limit: int) -> bytes:
    """A whole file. Raises `SourceError` if it is longer than the limit, or cannot be read."""
    try:
        with file.open() as opened:
            content = opened.read(limit + 1)
    except OSError as error:
        raise SourceError(f"{file.relative} cannot be read: {error.strerror or error}") from None
    if len(content) > limit:
        raise SourceError(f"{file.relative} is larger than {limit >> 20} MiB, too large for a file of its kind")
    return content


def read_json(file: File, limit: int = MAX_JSON) -> Any:
    """What a JSON file holds; NaN, Infinity and -Infinity are numbers. Raises `SourceError`."""
    return parse_json(read(file, limit), file.relative)


def parse_json(content: bytes | str, what: str) -> Any:
    """As `read_json`, of a text. Raises `SourceError`, which begins with ``what``."""
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        value = json.loads(text)
    except UnicodeDecodeError as error:
        raise SourceError(f"{what} is not UTF-8 at byte {error.start:,}") from None
    except json.JSONDecodeError as error:
        raise SourceError(f"{what} is not JSON: {error}") from None
    except ValueError as error:  # a number of thousands of digits
        raise SourceError(f"{what} cannot be read: {error}") from None
    except RecursionError:
        raise SourceError(_too_deep(what)) from None
    if not is_flat(value):
        raise SourceError(_too_deep(what))
    return value


def read_yaml(file: File, left_out: Counter[str]) -> Any:
    """What a YAML file holds: mappings, lists, texts, numbers, bools and None. Raises `SourceError`.

    A value with a tag that is not YAML's own becomes a text, ``"!tag value"``, a list or mapping one ``{"!tag": …}``.

    Args:
        file: The file.
        left_out: Without PyYAML, what could not be read is counted here.
    """
    content = read(file, MAX_YAML)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{file.relative} is not UTF-8 at byte {error.start:,}") from None
    return parse_yaml(text, file.relative, left_out)


def yaml_stamp() -> str:
    """Part of the stamp of what has YAML in it: without PyYAML less of it is read, and with it the rest is."""
    return "" if find_spec("yaml") else "-plain-yaml"


def parse_yaml(text: str, what: str, left_out: Counter[str]) -> Any:
    """As `read_yaml`, of a text. Raises `SourceError`, which begins with ``what``."""
    try:
        import yaml
    except ImportError:
        value, skipped = plain_yaml.parse(text)
        if skipped:
            left_out["YAML value that PyYAML is needed for"] += skipped
        return value
    loader = _loader()
    try:
        _check(yaml, yaml.parse(text, Loader=loader), what)
        value = yaml.load(text, Loader=loader)
        parts, depth = _measure(value, {})
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1:,}" if mark else ""
        raise SourceError(f"{what} is not YAML{where}: {getattr(error, 'problem', None) or error}") from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:  # "0x" and the like; keys that are lists
        raise SourceError(f"{what} cannot be read: {error}") from None
    except RecursionError:
        raise SourceError(_too_deep(what)) from None
    if depth > MAX_DEPTH:
        raise SourceError(_too_deep(what))
    if parts > MAX_PARTS:
        raise SourceError(f"{what} has more than {MAX_PARTS:,} values, with its aliases written out")
    return value


def _too_deep(what: str) -> str:
    return f"{what} is nested more than {MAX_DEPTH} deep"


def is_flat(value: Any) -> bool:
    """Whether nothing in it is nested too deep. Level by level, so that no recursion is needed."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for container in level
            if isinstance(container, (dict, list))
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return True
    return False


def _check(yaml: Any, events: Iterator[Any], what: str) -> None:
    """Refuse what is nested too deep, or has too many aliases, before anything is built of it."""
    depth = aliases = 0
    for count, event in enumerate(events):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH:
            raise SourceError(_too_deep(what))
        if aliases > MAX_ALIASES:
            raise SourceError(f"{what} has more than {MAX_ALIASES:,} aliases")
        if count > 2 * MAX_PARTS:
            raise SourceError(f"{what} has more than {MAX_PARTS:,} values")


def _measure(value: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values it has with aliases written out, and how deep it is nested. Raises ValueError for a circle."""
    if not isinstance(value, (dict, list)):
        return 1, 0
    if id(value) not in known:
        known[id(value)] = (-1, 0)
        parts, depth = 1, 0
        for item in value.values() if isinstance(value, dict) else value:
            inner_parts, inner_depth = _measure(item, known)
            parts, depth = parts + inner_parts, max(depth, inner_depth)
        known[id(value)] = (parts, depth + 1)
    if known[id(value)][0] < 0:
        raise ValueError("a list or mapping contains itself")
    return known[id(value)]


@cache
def _loader() -> Any:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[Any, Any] = {}  # none of YAML 1.1

        merged = 0  # keys

        def flatten_mapping(self, node: Any) -> None:
            for key, value in node.value:
                if key.tag == f"{_TAG}merge":
                    for other in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                        if isinstance(other, yaml.MappingNode):
                            self.flatten_mapping(other)
                            self.merged += len(other.value)
                        if self.merged > MAX_MERGED:
                            raise ValueError(f"“<<” brings more than {MAX_MERGED:,} values into mappings")
            super().flatten_mapping(node)

    def scalar(_: Any, node: Any) -> Any:
        return plain_yaml.scalar(node.value)

    def text(_: Any, node: Any) -> Any:
        return node.value

    def unknown(loader: Any, node: Any) -> Any:
        tag = node.tag.replace(_TAG, "!!", 1)
        if isinstance(node, yaml.ScalarNode):
            return f"{tag} {node.value}".rstrip()
        return {tag: _content(yaml, loader, node)}

    def content(loader: Any, node: Any) -> Any:
        return _content(yaml, loader, node)

    Loader.add_implicit_resolver(f"{_TAG}merge", plain_yaml.MERGE, ["<"])
    Loader.add_implicit_resolver(f"{_TAG}plain", plain_yaml.TYPED, None)
    for kind in ("null", "bool", "int", "float", "plain"):
        Loader.add_constructor(f"{_TAG}{kind}", scalar)
    for kind in ("timestamp", "binary", "python/str", "python/unicode"):
        Loader.add_constructor(f"{_TAG}{kind}", text)
    for kind in ("set", "omap", "pairs", "python/tuple", "python/list", "python/dict"):
        Loader.add_constructor(f"{_TAG}{kind}", content)
    Loader.add_constructor(None, unknown)
    return Loader


def _content(yaml: Any, loader: Any, node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value
