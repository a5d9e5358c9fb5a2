"""Lightning's CSVLogger: ``metrics.csv`` with a row a log, and ``hparams.yaml`` beside it.

A folder ``version_…`` is a run. A step may have several rows: what was logged for each step, and means of an epoch. The
logger writes the file anew when a metric is new, which changes nothing here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trainstore.errors import SourceError
from trainstore.importing.delimited import Delimited
from trainstore.importing.foreign import Entry, ForeignRun, Options, Unread
from trainstore.importing.places import File, Place
from trainstore.importing.rows import Layout, RowSession, first_row, hyperparams_in, scan
from trainstore.importing.texts import read, yaml_stamp

TOOL = "lightning"
LABEL = "Lightning CSVLogger"

_METRICS = "metrics.csv"
_HPARAMS = "hparams.yaml"
_MAX_HPARAMS = 4 << 20
_VERSION = re.compile(r"version_\d+\Z")


def is_at(place: Place) -> bool:
    """Whether a ``metrics.csv`` with steps lies in a folder ``version_…`` or beside an ``hparams.yaml``."""
    return any(_has_steps(file) for file in _files(place))


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """Its runs, sorted by their folders."""
    files = _files(place)
    if not files:
        raise SourceError(f"{place.name} holds no {_METRICS} of Lightning's CSVLogger")
    hparams = {file.folder: file for file in place.files if file.name == _HPARAMS}
    taken: set[str] = set()
    for file in files:
        try:
            yield _run(file, hparams.get(file.folder), taken)
        except (SourceError, OSError) as error:
            if len(files) == 1:
                raise
            yield Unread.of(file, error)


def _files(place: Place) -> list[File]:
    beside = {file.folder for file in place.files if file.name == _HPARAMS}
    return [
        file
        for file in place.files
        if file.name == _METRICS and (file.folder in beside or _VERSION.match(_folder(file).name))
    ]


def _folder(file: File) -> Path:
    return file.path.parent.resolve()


def _has_steps(file: File) -> bool:
    with suppress(SourceError, OSError), file.open() as opened:
        return b"step" in opened.readline(1 << 20).replace(b'"', b"").strip().split(b",")
    return False


def _run(file: File, hparams: File | None, taken: set[str]) -> ForeignRun:
    table = Delimited(file, ",", breaks=True)
    columns = table.columns
    if "step" not in columns:
        raise SourceError(f"{file.relative} has no column “step”")
    layout = Layout(
        columns.index("step"),
        {number: name for number, name in enumerate(columns) if name not in ("step", "epoch", "")},
        epoch=columns.index("epoch") if "epoch" in columns else None,
    )
    damage: list[str] = []
    part = scan(table, layout, damage).get("")
    if part is None:
        raise SourceError(f"{file.relative} has no rows yet")
    folder = _folder(file)
    identity = f"{folder.name}:{first_row(part)}"
    if identity in taken:
        identity += f":{file.folder}"
    taken.add(identity)
    name = file.folder or (f"{folder.parent.name}/{folder.name}" if _VERSION.match(folder.name) else folder.name)
    session = _Session(table, file, layout, part, "", identity, damage)
    session.take(hparams)
    project = None if file.folder else folder.parent.name or None
    return ForeignRun(identity, name, session.started_at, file.relative, [session], project=project)


class _Session(RowSession):
    _hparams: File | None = None

    def take(self, hparams: File | None) -> None:
        """Take the hyperparameters' file along."""
        self._hparams = hparams
        if hparams is not None:
            try:
                self.stamp = f"{self.stamp}{hashlib.sha256(read(hparams, _MAX_HPARAMS)).hexdigest()}{yaml_stamp()}"
            except SourceError:
                self.stamp = f"{self.stamp}?"

    def before(self) -> Iterator[Entry]:
        """The hyperparameters."""
        if self._hparams is None:
            return
        yield from hyperparams_in(self._hparams, self.left_out, self.damage)
