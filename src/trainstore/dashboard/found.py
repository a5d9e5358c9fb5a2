"""Which runs an address means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import select

from trainstore.errors import RunNotFoundError, RunNotUniqueError
from trainstore.queries.reader import IN_LIMIT, Reader, RunKey, resolve_run
from trainstore.values import stored_label

SHORTEST = 6  # characters of a uid that are enough, if only one run's begins with them


def find_run(reader: Reader, text: str) -> RunKey:
    """The run with this uid, or whose uid begins with it, or what else `resolve_run` understands.

    Raises:
        RunNotFoundError: There is none.
        RunNotUniqueError: There are several.
    """
    run, wanted = reader.models.run.c, stored_label(text)
    found = reader.rows(select(run.id, run.uid).where(run.uid == wanted))
    if not found and len(wanted) >= SHORTEST:
        found = reader.rows(select(run.id, run.uid).where(run.uid.startswith(wanted, autoescape=True)).limit(2))
    if len(found) > 1:
        raise RunNotUniqueError(f"several runs have a uid that begins with {text}; write more of it")
    return RunKey(*found[0]) if found else resolve_run(reader, text)


def find_runs(reader: Reader, texts: Sequence[str]) -> dict[str, RunKey]:
    """The runs that these texts mean, in their order; those that have been deleted are left out.

    Raises:
        RunNotFoundError: None of them is there.
        RunNotUniqueError: As for `find_run`.
    """
    run = reader.models.run.c
    found: dict[str, RunKey] = {}
    asked = list(dict.fromkeys(map(stored_label, texts)))
    for condition in (run.uid.in_(asked[start : start + IN_LIMIT]) for start in range(0, len(asked), IN_LIMIT)):
        found |= {uid: RunKey(number, uid) for number, uid in reader.rows(select(run.id, run.uid).where(condition))}
    missing: RunNotFoundError | None = None
    for text in texts:
        if text not in found:
            try:
                found[text] = find_run(reader, text)
            except RunNotFoundError as error:
                missing = error
    if missing is not None and not found:
        raise missing
    return {text: found[text] for text in texts if text in found}


def each_once(keys: Iterable[RunKey]) -> list[RunKey]:
    """Runs without those that came before."""
    return list(dict.fromkeys(keys))
