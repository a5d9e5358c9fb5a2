"""Reading what `lines` wrote: into an empty store of its own, row by row, each checked by the column that it is for.

A run is taken whole, or not at all: one whose lines are cut off, damaged or changed is named, and so is a file that
does not have its last line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from trainstore.errors import SourceError
from trainstore.recording.statements import STEP_COLUMNS, Statements
from trainstore.schema import HEAD
from trainstore.transfer import line_values
from trainstore.transfer.line_values import DamageError, checks_of, parsed
from trainstore.transfer.lines import FORMAT, MARK, TABLES
from trainstore.values import microseconds_of, plain_text

_CHUNK = 1_000  # rows
_BEGIN = f'{{"{MARK}":'.encode()


@dataclass(slots=True)
class LoadedRun:
    """A run that was read whole."""

    uid: str
    name: str
    project: str
    where: str = ""  # "line 2"
    points: int = 0  # values of metrics


@dataclass(slots=True)
class Loaded:
    """What a file held."""

    runs: list[LoadedRun] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    """What could not be taken, and why."""


def is_lines(beginning: bytes) -> bool:
    """Whether a file that begins so has whole runs in it."""
    return beginning.startswith(_BEGIN)


def load(path: Path, connection: Connection, statements: Statements) -> Loaded:
    """Read a file into a store that is empty.

    Args:
        path: The file's.
        connection: The store's, outside a transaction.
        statements: The store's.

    Raises:
        SourceError: It cannot be read, is not such a file, or was written by a newer trainstore.
    """
    loading = _Loading(connection, statements)
    try:
        with path.open("rb") as file:
            for number, line in _numbered(file):
                loading.take(number, line)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None
    finally:
        loading.roll_back()
    return loading.finish()


def _numbered(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(line_values.MAX_LINE + 1):
        number += 1
        if len(line) > line_values.MAX_LINE:
            while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
        yield number, line


class _Loading:
    def __init__(self, connection: Connection, statements: Statements) -> None:
        self.connection = connection
        self.statements = statements
        self.loaded = Loaded()
        self.checks = {name: checks_of(statements.models, name) for name in ("run", *TABLES)}
        self.run: LoadedRun | None = None
        self.why: str | None = None  # the run, or what is between runs, cannot be taken
        self.is_whole = False  # the file's last line was there
        self._begin(None)

    def _begin(self, run: LoadedRun | None) -> None:
        self.run = run
        self.run_id = 0
        self.lines = 0
        self.digest = hashlib.sha256()
        self.attempts: set[int] = set()
        self.last = (-1, 0)  # step and attempt
        self.waiting: dict[str, list[dict[str, Any]]] = {}
        self.kind = ""  # the table of the rows that wait

    def take(self, number: int, line: bytes) -> None:
        """Take in a line."""
        try:
            row = parsed(line)
            kind = row.pop("table", None)
            if MARK in row:
                _check_head(row)
                self._close("its end is missing")
                self.is_whole = False
                return
            if kind == "run":
                self._close("the lines after it are another run's")
                self._open(row, f"line {number:,}")
            elif kind == "end":
                self._end(row)
                return
            elif kind == "end of file":
                self._close("its end is missing")
                self.is_whole = True
                return
            elif kind in TABLES:
                self._add(str(kind), row)
            else:
                raise DamageError(f"is of no table that is known, but of {str(kind)[:60]!r}")
        except DamageError as error:
            if number == 1:
                raise SourceError(f"the first line {error}") from None
            self.why = self.why or f"line {number:,} {error}"
        self.lines += 1
        self.digest.update(line)

    def _open(self, row: dict[str, Any], where: str) -> None:
        self.why = None
        uid = row.get("uid")
        self._begin(LoadedRun(str(uid)[:36], str(row.get("name"))[:255], str(row.get("project"))[:255], where))
        values = self._checked("run", row)
        self.connection.begin()
        try:
            result = self.connection.execute(insert(self.statements.models.run), values)
        except IntegrityError:
            raise DamageError("is of a run that is in the file already") from None
        self.run_id = result.inserted_primary_key[0]  # type: ignore[index]

    def _add(self, kind: str, row: dict[str, Any]) -> None:
        if self.why is not None:
            return
        if self.run is None:
            raise DamageError("belongs to no run: the line of its run is missing")
        values = self._checked(kind, row)
        attempt = values.get("attempt")
        if kind == "attempt":
            before = values["resumed_from"]
            if before is not None and before not in self.attempts:
                raise DamageError(f"has an attempt that resumes attempt {before}, which is not there")
            self.attempts.add(values["attempt"])
        elif attempt is not None and attempt not in self.attempts:
            raise DamageError(f"names attempt {attempt}, which is not there")
        if kind == "step_log":
            place = (values["step"], values["attempt"])
            if place <= self.last:
                raise DamageError(f"is of step {place[0]}, which is there twice or not in order")
            self.last = place
            earlier = (values["details"] or {}).get("earlier") if isinstance(values["details"], dict) else None
            self.run.points += len(values["metrics"])
            if isinstance(earlier, dict):
                self.run.points += sum(len(one) for one in earlier.values() if isinstance(one, list))
        values["run_id"] = self.run_id
        if kind != self.kind or len(self.waiting.get(kind, ())) >= _CHUNK:
            self._flush()
        self.kind = kind
        self.waiting.setdefault(kind, []).append(values)

    def _checked(self, kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
        checks = self.checks[kind]
        unknown = row.keys() - checks.keys()
        if unknown:
            raise DamageError(f"has {str(min(unknown))[:60]!r}, which {kind} does not have")
        return {name: check(row.get(name)) for name, check in checks.items()}

    def _flush(self) -> None:
        waiting, self.waiting = self.waiting, {}
        try:
            for kind, rows in waiting.items():
                if kind == "step_log":
                    columns = [[row[name] for row in rows] for name in STEP_COLUMNS]
                    columns[STEP_COLUMNS.index("logged_at")] = [microseconds_of(row["logged_at"]) for row in rows]
                    self.statements.append_steps(self.connection, [columns])
                else:
                    self.connection.execute(insert(getattr(self.statements.models, kind)), rows)
        except IntegrityError:
            raise DamageError("or one shortly before it has a row that is there twice") from None

    def _end(self, row: Mapping[str, Any]) -> None:
        """The end of a run: it is taken if everything is there."""
        uid = str(row.get("run"))[:36]
        try:
            if self.why is None and self.run is None:
                raise DamageError("the line that it begins with is missing")
            if self.why is None and self.run is not None:
                if (row.get("run"), row.get("lines")) != (self.run.uid, self.lines):
                    raise DamageError(f"{self.lines:,} lines of it are there, not {str(row.get('lines'))[:20]}")
                if row.get("sha256") != self.digest.hexdigest():
                    raise DamageError("its lines were damaged or changed after they were written")
                if not self.attempts:
                    raise DamageError("it has no attempt")
                self._flush()
        except DamageError as error:
            self.why = str(error)
        if self.why is None and self.run is not None:
            self.connection.commit()
            self.loaded.runs.append(self.run)
        else:
            name = f"run {uid}" if self.run is None else _named(self.run)
            self.loaded.damaged[name] = self.why or "it cannot be read"
        self.roll_back()
        self.why = None
        self._begin(None)

    def _close(self, why: str) -> None:
        """What was begun does not end."""
        if self.run is not None or self.why is not None:
            name = "what stands between two runs" if self.run is None else _named(self.run)
            self.loaded.damaged[name] = self.why or why
        self.roll_back()
        self.why = None
        self._begin(None)

    def roll_back(self) -> None:
        """Let go of a run that is not whole."""
        if self.connection.in_transaction():
            self.connection.rollback()

    def finish(self) -> Loaded:
        """What was read."""
        self._close("the file is cut off within it")
        if not self.is_whole:
            self.loaded.damaged["the file"] = "its last line is missing, so runs may be missing"
        return self.loaded


def _named(run: LoadedRun) -> str:
    return plain_text(f"run {run.name} ({run.uid})", 400)


def _check_head(row: Mapping[str, Any]) -> None:
    schema, version = str(row.get("schema"))[:20], str(row.get("version"))[:20]
    if row.get("format") != FORMAT or not schema.isdigit() or schema > HEAD:
        raise SourceError(
            f"it was written by trainstore {version} (format {str(row.get('format'))[:20]}, schema {schema}); this one "
            f"reads format {FORMAT} up to schema {HEAD}: upgrade trainstore"
        )
