"""TensorBoard's event files, as TensorBoard, torch, tensorboardX and Keras write them.

A folder that holds event files is a run, each file a session. A file that begins with a START of step s supersedes s
and what follows, as in TensorBoard. Without START, a file that begins when the ones before are written no more, below
the step that they have reached and with one of their tags, is a training that was started again: it supersedes what
follows its first step. Any other file joins: a second writer, another rank, an evaluation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from trainstore.errors import SourceError
from trainstore.importing.foreign import Entry, ForeignRun, Options, Session, Unread
from trainstore.importing.places import File, Place
from trainstore.importing.positions import position_of
from trainstore.importing.tfevents import Beginning, EventFile

TOOL = "tensorboard"
LABEL = "TensorBoard"

_TRAIN, _VALIDATION = "train", "validation"  # Keras's folders of one training
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_HPARAMS_FOLDER = re.compile(r"\d{9,}\.\d+\Z")  # as add_hparams names it: the time


def is_at(place: Place) -> bool:
    """Whether there are event files: names with "tfevents", as TensorBoard looks for them."""
    return any("tfevents" in file.name for file in place.files)


def runs(place: Place, options: Options) -> Iterator[ForeignRun | Unread]:
    """Its runs, those of enclosing folders first."""
    named = [file for file in place.files if "tfevents" in file.name and not file.name.endswith(".profile-empty")]
    if not named:
        raise SourceError(f"{place.name} holds no event files (their names have “tfevents” in them)")
    folders: dict[str, _Folder] = {}
    unread: list[Unread] = []
    for file in named:
        if file.name.endswith(_COMPRESSED):
            unread.append(Unread(file.relative, "is compressed; unpack it first"))
            continue
        try:
            beginning = EventFile(file).beginning()
        except (SourceError, OSError) as error:
            unread.append(Unread.of(file, error))
            continue
        if beginning is not None:
            folders.setdefault(file.folder, _Folder(file.folder)).add(file, beginning)
        elif not file.size:
            unread.append(Unread(file.relative, "is empty"))
        else:
            unread.append(Unread(file.relative, "holds no whole event; it has just begun, or is no event file"))
    if not folders and unread:
        raise SourceError(f"{unread[0].where} {unread[0].why}")
    yield from unread
    for folder in folders.values():
        for file, beginning in folder.files[1:]:
            if not beginning.decided:
                yield Unread(file.relative, "has no number yet that would tell whether it resumes the files before it")
    yield from _runs(place, sorted(folders.values(), key=lambda folder: folder.path), options)


def _runs(place: Place, folders: list[_Folder], options: Options) -> Iterator[ForeignRun]:
    taken: set[str] = set()  # identities: a copy of a folder is a run of its own
    found: dict[str | None, _Folder] = {}
    for folder in folders:
        above = next((found[path] for path in _above(folder.path) if path in found), None)
        train = found.get(_train_beside(folder.path)) if options.merge_subfolders else None
        if train:
            train.takes_validation(folder)
            continue
        if above and options.merge_subfolders and (not folder.is_decided() or above.takes(folder)):
            continue
        folder.above = above
        found[folder.path] = folder
    for folder in found.values():
        sessions = folder.sessions(taken)
        folder.identity = sessions[0].identity
        yield ForeignRun(
            identity=folder.identity,
            name=_run_folder(folder.path, options) or _place_name(place),
            started_at=sessions[0].started_at,
            where=folder.files[0][0].relative,
            sessions=sessions,
            project=_place_name(place),
            parent=folder.above.identity if folder.above else None,
        )


def _train_beside(path: str) -> str | None:
    """Of a folder with the curves of Keras's validation: that with the training's own."""
    return f"{path[: -len(_VALIDATION)]}{_TRAIN}" if PurePosixPath(path).name == _VALIDATION else None


def _run_folder(path: str, options: Options) -> str:
    """The folder that a run is named after."""
    if options.merge_subfolders and PurePosixPath(path).name == _TRAIN:
        return path[: -len(_TRAIN)].rstrip("/")
    return path


def _place_name(place: Place) -> str:
    if place.path is not None and place.path.is_file():
        return place.path.parent.name or place.name
    return place.name


def _above(path: str) -> list[str]:
    """The folders around a folder, the nearest first; "" is the source."""
    if not path:
        return []
    return ["" if str(above) == "." else str(above) for above in PurePosixPath(path).parents]


class _Folder:
    """The event files of one folder, and of the subfolders that are merged into it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.files: list[tuple[File, Beginning]] = []
        self.above: _Folder | None = None
        self.identity = ""
        self._merged: list[tuple[_Folder, Callable[[str], str]]] = []
        self._has_hparams = False

    def add(self, file: File, beginning: Beginning) -> None:
        """Add a file."""
        self.files.append((file, beginning))
        self.files.sort(key=lambda pair: (pair[1].wall_time, pair[0].name))

    def is_decided(self) -> bool:
        """Whether enough is there to tell by whom it was made."""
        beginning = self.files[0][1]
        return beginning.decided or beginning.hparams

    def takes(self, other: _Folder) -> bool:
        """Whether a subfolder was made by ``add_scalars`` or ``add_hparams`` of this folder's writer; then it is in.

        One set of hyperparameters is: the first. Trials side by side stay runs of their own.
        """
        below = other.path[len(self.path) :].lstrip("/")
        beginning = other.files[0][1]
        if beginning.hparams or _HPARAMS_FOLDER.match(below):
            if self._has_hparams:
                return False
            self._has_hparams = True
            self._merged.append((other, str))
            return True
        if beginning.first is None or not below.startswith(_curve(beginning.first[1])):
            return False

        def rename(tag: str) -> str:
            prefix = _curve(tag)
            return f"{tag}/{below[len(prefix) :]}" if below.startswith(prefix) else f"{below}/{tag}"

        self._merged.append((other, rename))
        return True

    def takes_validation(self, other: _Folder) -> None:
        """Take in the curves of the validation."""
        self._merged.append((other, lambda tag: f"{_VALIDATION}/{tag}"))

    def sessions(self, taken: set[str]) -> list[_FileSession]:
        """Its files as sessions: own ones by their times, and those of merged subfolders among them."""
        own: list[_FileSession] = []
        for file, beginning in self.files:
            if not own or beginning.decided:  # how a later one opens must not change any more
                own.append(_FileSession(file, beginning, EventFile(file), list(own), taken))
        merged = [
            _FileSession(file, beginning, EventFile(file, rename), None, taken)
            for folder, rename in self._merged
            for file, beginning in folder.files
        ]
        return [own[0], *sorted([*own[1:], *merged], key=lambda session: session.started_at)]


def _curve(tag: str) -> str:
    """How the folder of one of the curves begins that ``add_scalars`` makes of a tag."""
    return tag.replace("/", "_") + "_"


class _FileSession(Session):
    def __init__(
        self, file: File, beginning: Beginning, events: EventFile, earlier: list[_FileSession] | None, taken: set[str]
    ) -> None:
        super().__init__()
        self.identity = f"{file.name}:{beginning.wall_time!r}"
        if self.identity in taken:
            self.identity += f":{file.folder}"
        taken.add(self.identity)
        self.started_at = events.microseconds(beginning.wall_time)
        self.end_position = position_of(file.size)
        self.written_at = file.modified
        self._beginning = beginning
        self._events = events
        self._earlier = earlier
        self._summary: tuple[float, int, set[str]] | None = None

    def opening(self) -> int | None:
        """See the module's docstring."""
        if self._earlier is None:
            return None
        if not self._earlier:
            return -1
        if self._beginning.start is not None:
            return max(self._beginning.start - 1, -1)
        if self._beginning.first is None:
            return None
        first, metric = self._beginning.first
        reached, known = -1, False
        for earlier in self._earlier:
            last, step, names = earlier._reached()
            if last > self._beginning.wall_time:
                return None  # it was still written
            reached = max(reached, step)
            known = known or metric in names
        return first if known and 0 <= first < reached else None

    def _reached(self) -> tuple[float, int, set[str]]:
        """The latest time, the highest step and the metrics of its scalars; every later file asks."""
        if self._summary is None:
            last, reached, names = -math.inf, -1, set[str]()
            for wall_time, step, name in self._events.scalars():
                last, reached = max(last, wall_time), max(reached, step)
                names.add(name)
            self._summary = last, reached, names
        return self._summary

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """The file's entries after a position."""
        return self._events.entries(after, self.left_out, self.damage)
