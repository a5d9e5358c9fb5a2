"""Names: which hyperparameter a text means, and how one is spelled; and the existing names, for completion.

``lr`` is the hyperparameter of that name, ``hp.lr`` says its namespace too, and ``model.depth`` is the key "depth"
inside the hyperparameter "model". A key may contain dots itself, so ``env.name`` may be the key "env.name", the key
"name" of the namespace env, or "name" inside the key "env". What is in the store decides; if two of them are, the text
is refused. Quotes keep a key together: ``hp."env.name"``, ``env."name"``, ``hp."env"."name"``. The name of a column of
the run table, ``hp__model.depth``, means what that column shows, unless the store has a key of that name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import Any, NamedTuple

from sqlalchemy import exists, or_, select

from trainstore.errors import InvalidArgumentError
from trainstore.models import NAMESPACES
from trainstore.queries.frames import parse
from trainstore.queries.reader import Reader, RunKey, among
from trainstore.values import stored_label, stored_name

# --- Hyperparameters -------------------------------------------------------------------------------------------------


class Name(NamedTuple):
    """A hyperparameter, or the value inside one under a path of keys."""

    namespace: str
    key: str
    path: tuple[str, ...] = ()


class _Part(NamedTuple):
    """The text between two dots; in quotes it is a whole key."""

    text: str
    quoted: bool


COLUMNS = 100  # of one statement: databases have a limit, and a text may contain thousands of dots
_COLUMN = re.compile(rf"({'|'.join(NAMESPACES)})__(.+)", re.DOTALL)
_PART = re.compile(r'"((?:[^"]|"")+)"(?=\.|\Z)|([^.]*)')


def spelled(namespace: str, *keys: str) -> str:
    """A name as a text: ``hp.model.depth``, ``hp."env.name"``. No two names have the same spelling."""
    return ".".join((namespace, *(spelled_key(key) if "." in key or key.startswith('"') else key for key in keys)))


def flat(namespace: str, values: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters, also those inside others, by their spelled names."""
    result: dict[str, Any] = {}

    def put(keys: tuple[str, ...], value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                put((*keys, key), item)
        else:
            result[spelled(namespace, *keys)] = value

    for key, value in values.items():
        put((key,), value)
    return result


def resolve_names(reader: Reader, texts: Iterable[object]) -> list[Name]:
    """What the texts mean, each name once. Errors as for `resolve_name`."""
    return list(dict.fromkeys(resolve_name(reader, text) for text in texts))


def resolve_name(reader: Reader, text: object) -> Name:
    """What a text means, as the module says; if the store has nothing of that name, a key without a path.

    Raises `InvalidArgumentError` if it is not a text, if it matches two existing hyperparameters, or if it matches none
    and one of its quotes is not closed.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f"hyperparameter {text!r} is not a name; pass a str")
    column = _COLUMN.match(text)
    if "." not in text and '"' not in text and column is None:
        return Name("hp", stored_label(text))
    readings = readings_of(text)
    run_has = reader.models.hyperparam.c
    asked: list[Any] = [exists().where(run_has.namespace == space, run_has.key == key) for space, key in readings]
    there: list[bool] = []
    for start in range(0, len(asked), COLUMNS):
        there += reader.rows(select(*asked[start : start + COLUMNS]))[0]
    found = dict.fromkeys(
        Name(*reading, path)
        for reading, is_there in zip(readings, there, strict=True)
        if is_there
        for path in _paths(reader, *reading, readings[reading])
    )
    if len(found) > 1:
        spellings = " and ".join(
            ".".join((name.namespace, *map(spelled_key, (name.key, *name.path)))) for name in found
        )
        raise InvalidArgumentError(f"hyperparameter {text!r} is ambiguous: there are {spellings}; write one of these")
    if not found and column is not None:
        return resolve_name(reader, f"{column[1]}.{column[2]}")
    if not found and any(part.text.startswith('"') and not part.quoted for part in _parts(text)):
        raise InvalidArgumentError(f'hyperparameter {text!r} has a quote that is not closed; write hp."env.name"')
    return next(iter(found), _if_nothing_is_there(text))


def inside(value: Any, path: Sequence[str]) -> Any:
    """The item of a value under a path of keys; `NOTHING` if there is none."""
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return NOTHING
        value = value[key]
    return value


NOTHING: Any = object()


def readings_of(text: str) -> dict[tuple[str, str], Sequence[_Part]]:
    """Each namespace and key that a text may begin with, and the parts after them; flat keys first."""
    parts = _parts(text)
    roots = [("hp", parts)]
    if len(parts) > 1 and not parts[0].quoted and parts[0].text in NAMESPACES:
        of_namespace = (parts[0].text, parts[1:])
        roots = [of_namespace] if parts[1].quoted else [*roots, of_namespace]
    readings: dict[tuple[str, str], Sequence[_Part]] = {("hp", stored_label(text)): ()}
    for namespace, of_root in roots:
        for key, rest in _keys(of_root):
            readings.setdefault((namespace, key), rest)
    return readings


def _if_nothing_is_there(text: str) -> Name:
    """The namespace, if the text begins with one, and a key: all the rest, unless quotes say otherwise."""
    namespace, parts = "hp", _parts(text)
    if len(parts) > 1 and not parts[0].quoted and parts[0].text in NAMESPACES:
        namespace, parts = parts[0].text, parts[1:]
    key, *path = [part.text for part in parts]
    if any(part.quoted for part in parts):
        return Name(namespace, stored_label(key), tuple(map(stored_label, path)))
    return Name(namespace, stored_label(".".join((key, *path))))


def _parts(text: str) -> list[_Part]:
    parts: list[_Part] = []
    place = 0
    while True:
        match = _PART.match(text, place)
        assert match is not None  # it matches nothing, too
        quoted = match[1] is not None
        parts.append(_Part(match[1].replace('""', '"') if quoted else match[2], quoted))
        place = match.end() + 1  # past the dot
        if place > len(text):
            return parts


def _keys(parts: Sequence[_Part]) -> Iterator[tuple[str, Sequence[_Part]]]:
    """Each key that these parts may begin with, the longest first, and the parts after it."""
    together = next((place for place, part in enumerate(parts) if part.quoted), len(parts))
    for length in range(max(together, 1), 0, -1):
        yield stored_label(".".join(part.text for part in parts[:length])), parts[length:]


def _paths(reader: Reader, namespace: str, key: str, rest: Sequence[_Part]) -> Iterator[tuple[str, ...]]:
    """Each way to read the rest as a path inside the values that are stored under a key."""
    if not rest:
        yield ()
        return
    for value in nested_values(reader, namespace, key).values():
        yield from _paths_inside(value, rest)


def _paths_inside(value: Any, parts: Sequence[_Part]) -> Iterator[tuple[str, ...]]:
    for key, rest in _keys(parts) if isinstance(value, dict) else ():
        if key in value:
            if not rest:
                yield (key,)
            for path in _paths_inside(value[key], rest) if rest else ():
                yield (key, *path)


def nested_values(reader: Reader, namespace: str, key: str, *, or_numbers: Sequence[float] = ()) -> dict[str, Any]:
    """The distinct values of a hyperparameter that are not numbers, or are these, by their stored text."""
    table = reader.models.hyperparam.c
    text = reader.backend.json_text(table.value)
    wanted = or_(table.number.is_(None), table.number.in_(or_numbers))
    statement = select(text).where(table.namespace == namespace, table.key == key, wanted).distinct()
    return {found: parse(found) for (found,) in reader.rows(statement) if found is not None}


def spelled_key(key: str) -> str:
    """A key in quotes: it is read as it is."""
    return '"' + key.replace('"', '""') + '"'


def is_there(reader: Reader, name: Name) -> bool:
    """Whether a run has a value under this name."""
    if name.path:
        there = nested_values(reader, name.namespace, name.key).values()
        return any(inside(value, name.path) is not NOTHING for value in there)
    table = reader.models.hyperparam.c
    return bool(reader.rows(select(exists().where(table.namespace == name.namespace, table.key == name.key)))[0][0])


def known_names(reader: Reader) -> list[str]:
    """The names of all hyperparameters, and of what stands inside them, as they are spelled."""
    table = reader.models.hyperparam.c
    keys = reader.rows(select(table.namespace, table.key).distinct())
    names = {spelled(*row) for row in keys}
    text = reader.backend.json_text(table.value)
    objects = select(table.namespace, table.key, text).where(table.number.is_(None), text.startswith("{")).distinct()
    for namespace, key, found in reader.rows(objects.limit(1_000)):
        names.update(flat(namespace, {key: parse(found)}))
    return sorted(names, key=lambda name: (NAMESPACES.index(name.partition(".")[0]), name))


def did_you_mean(written: str, known: Sequence[str]) -> str:
    """The end of an error about a name: the closest of those that there are, or the first of them."""
    by_key: dict[str, str] = {}
    for name in known:
        by_key.setdefault(_without_namespace(name), name)
    wanted = _without_namespace(written.replace("__", "."))
    close = _closest(wanted, list(by_key)) or [key for key in by_key if key.endswith((f".{wanted}", f"/{wanted}"))][:3]
    if close:
        return f"; did you mean {' or '.join(by_key[key] for key in close)}?"
    return f"; there are {', '.join(known[:10])}{', …' if len(known) > 10 else ''}" if known else "; there are none"


def _closest(wanted: str, known: Sequence[str]) -> list[str]:
    """Up to three names that are like it, without those that are much less so than the first."""
    found = get_close_matches(wanted, known)
    likeness = [SequenceMatcher(None, name, wanted).ratio() for name in found]
    return [name for name, ratio in zip(found, likeness, strict=True) if ratio >= 0.75 * likeness[0]]


def _without_namespace(name: str) -> str:
    namespace, _, key = name.lower().partition(".")
    return key if namespace in (*NAMESPACES, "metric") else name.lower()


# --- Runs and metrics ------------------------------------------------------------------------------------------------


class RunName(NamedTuple):
    """A run as a person would name it."""

    id: int
    uid: str
    name: str
    project: str
    status: str


def all_runs(reader: Reader) -> list[RunKey]:
    """Every run, by id."""
    run = reader.models.run.c
    return [RunKey(*row) for row in reader.rows(select(run.id, run.uid).order_by(run.id))]


def run_names(reader: Reader, keys: Sequence[RunKey]) -> dict[int, str]:
    """The names of runs, by id; one that has just been deleted is left out."""
    run = reader.models.run.c
    names: dict[int, str] = {}
    for condition in among(run.id, sorted(key.id for key in keys)):
        names |= {row[0]: row[1] for row in reader.rows(select(run.id, run.name).where(condition))}
    return names


def run_labels(names: Mapping[int, str]) -> dict[int, str]:
    """What runs are called beside each other: the name, with the id if another of them has the same name."""
    several = Counter(names.values())
    return {run: name if several[name] == 1 else f"{name} (id {run})" for run, name in names.items()}


def runs_beginning(reader: Reader, start: str, limit: int = 100) -> list[RunName]:
    """The newest runs whose name or uid begins with this."""
    run = reader.models.run.c
    statement = (
        select(run.id, run.uid, run.name, run.project, run.status)
        .where(or_(run.name.startswith(start, autoescape=True), run.uid.startswith(start, autoescape=True)))
        .order_by(run.id.desc())
        .limit(limit)
    )
    return [RunName(*row) for row in reader.rows(statement)]


def metric_readings(text: str, summaries: Sequence[str]) -> list[tuple[str, str]]:
    """Each metric and summary that ``metric.train/loss.min`` may mean; without a summary it is the first of them."""
    parts = _parts(text)[1:]
    quoted = any(part.quoted for part in parts)
    readings = []
    if not quoted or len(parts) == 1:
        readings.append((stored_name(".".join(part.text for part in parts)), summaries[0]))
    *of_name, last = parts
    if of_name and last.text in summaries and not last.quoted and (not quoted or len(of_name) == 1):
        readings.append((stored_name(".".join(part.text for part in of_name)), last.text))
    return readings


def metrics_beginning(reader: Reader, start: str, limit: int = 200) -> list[str]:
    """The metrics whose name begins with this, sorted."""
    metric = reader.models.metric_summary.c.metric
    statement = select(metric).distinct().where(metric.startswith(start, autoescape=True)).order_by(metric).limit(limit)
    return [row[0] for row in reader.rows(statement)]


def tags_beginning(reader: Reader, start: str, limit: int = 200) -> list[str]:
    """The tags whose name begins with this, sorted."""
    table = reader.models.hyperparam.c
    there = (table.namespace == "tag", table.key.startswith(start, autoescape=True))
    return [row[0] for row in reader.rows(select(table.key).distinct().where(*there).order_by(table.key).limit(limit))]
