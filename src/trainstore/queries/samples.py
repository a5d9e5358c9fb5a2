"""Text samples: what a model wrote, and after which prompt, step by step.

A sample is an entry of a step's ``details``, under ``sample/<set>/<nr>``: one key for each, because details merge key
by key. Its value is a mapping with ``prompt``, ``completion`` and whatever else was logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from trainstore.errors import InvalidArgumentError
from trainstore.queries.frames import COUNT, TEXT, assemble, number_series, parse, series
from trainstore.queries.reader import Reader, RunKey, among, resolve_run, resolve_runs
from trainstore.queries.steps import check_attempts, step_source
from trainstore.values import stored_label

if TYPE_CHECKING:
    from pandas import DataFrame

SAMPLE_COLUMNS = (
    ("run", TEXT),
    ("step", COUNT),
    ("attempt", COUNT),
    ("set", TEXT),
    ("nr", COUNT),
    ("prompt", TEXT),
    ("completion", TEXT),
)
_FIXED = frozenset(name for name, _ in SAMPLE_COLUMNS)
_RECENT = 10_000  # steps
_OWN = ("prompt", "completion")
_PREFIX = "sample/"
_LIKE = f'%"{_PREFIX}%'  # what the JSON of details with a sample looks like


def sample_key(name: str, nr: int) -> str:
    """The key of a sample in a step's details: of the set called ``name``, the one at this place."""
    return f"{_PREFIX}{name}/{nr}"


def list_samples(
    reader: Reader, runs: object, *, name: str | Iterable[str] | None = None, attempts: str = "current"
) -> DataFrame:
    """The text samples of a run or of several."""
    check_attempts(attempts)
    wanted = _wanted(name)
    keys = resolve_runs(reader, runs)
    uids = dict(keys)
    rows: list[tuple[Any, ...]] = []
    found: list[dict[str, Any]] = []
    for run_id, step, attempt, details in _with_samples(reader, keys, attempts):
        for of_set, nr, value in sorted(_samples_in(parse(details)), key=lambda sample: sample[:2]):
            if wanted is None or of_set in wanted:
                fields = value if isinstance(value, dict) else {"completion": value}
                rows.append((uids[run_id], step, attempt, of_set, nr, *map(fields.get, _OWN)))
                found.append(fields)
    columns = {
        column: series([row[place] for row in rows], dtype)
        for place, (column, dtype) in enumerate(SAMPLE_COLUMNS)
        if column != "attempt" or attempts == "all"
    }
    for more in sorted(set().union(*found) - set(_OWN)):
        columns[_column_name(more)] = number_series([fields.get(more) for fields in found], exact=reader.exact)
    return assemble(columns, len(rows))


def has_samples(reader: Reader, run: object, last_step: int | None) -> bool:
    """Whether a run has samples among its last steps; to look at all of a long run's steps would take too long."""
    if last_step is None:
        return False
    log = reader.models.step_log.c
    details = reader.backend.json_text(log.details)
    recent = log.step > last_step - _RECENT
    statement = select(log.step).where(log.run_id == resolve_run(reader, run).id, recent, details.like(_LIKE))
    return bool(reader.rows(statement.limit(1)))


def _wanted(name: object) -> set[str] | None:
    if name is None:
        return None
    names = [name] if isinstance(name, str) else list(name) if isinstance(name, Iterable) else [name]
    for one in names:
        if not isinstance(one, str):
            raise InvalidArgumentError(f"name {one!r} is not the name of a set of samples, which is a text")
    return set(map(stored_label, names))


def _with_samples(reader: Reader, keys: list[RunKey], attempts: str) -> Iterator[Any]:
    """Run id, step, attempt and details of the steps that have samples, in this order."""
    table: Any = step_source(reader, keys, attempts).c
    details = reader.backend.json_text(table.details)
    statement = select(table.run_id, table.step, table.attempt, details).where(details.like(_LIKE))
    statement = statement.order_by(table.run_id, table.step, table.attempt)
    for condition in among(table.run_id, sorted(key.id for key in keys)):
        for rows in reader.chunks(statement.where(condition)):
            yield from rows


def _samples_in(details: Any) -> Iterator[tuple[str, int, Any]]:
    """Set, number and value of each sample in a step's details."""
    for key, value in details.items():
        of_set, _, nr = key.removeprefix(_PREFIX).rpartition("/")
        if key.startswith(_PREFIX) and of_set and nr.isascii() and nr.isdecimal() and len(nr) < 19:
            yield of_set, int(nr), value


def _column_name(field: str) -> str:
    """The column of a further field. One that begins with our prefix gets it again, so that no two share a column."""
    return field if field not in _FIXED and not field.startswith("sample__") else f"sample__{field}"
