"""The readers, one module of this package for each tool, and which of them a place is for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from trainstore.errors import InvalidArgumentError, SourceError
from trainstore.importing.databases import databases
from trainstore.importing.foreign import Reader, Unread
from trainstore.importing.own import explain_unknown
from trainstore.importing.places import Place
from trainstore.values import plain_text

#: Modules; each is imported when it is needed. Sorted.
READERS = (
    "columns",
    "dvclive",
    "lightning",
    "mlflow",
    "optuna",
    "swanlab",
    "tensorboard",
    "trackio",
    "trainer_state",
    "wandb",
)  # fmt: skip

_SHOWN = 5  # names of what lies in a folder


def tools() -> list[str]:
    """The tools that can be imported: what ``tool`` and ``--from`` take."""
    return list(dict.fromkeys(_module(name).TOOL for name in READERS))


def reader_of(place: Place, tool: str | None = None) -> Reader:
    """The reader of a tool, or the one whose files lie at a place.

    Raises:
        InvalidArgumentError: There is no reader of this tool.
        SourceError: Nothing at the place is known, or several tools' files lie there. What is ours, or Aim's, is told
            what to do with it.
    """
    readers = [_module(name) for name in READERS]
    if tool is not None:
        wanted = tool.strip().lower()
        named = [reader for reader in readers if wanted in (reader.TOOL, reader.LABEL.lower())]
        if named:  # a tool may have several: its files, its database
            return next((reader for reader in named if reader.is_at(place)), named[0])
        known = ", ".join(tools())
        raise InvalidArgumentError(f"there is no reader for {plain_text(tool, 100)!r}; there are {known}")
    found = [reader for reader in readers if reader.is_at(place)]
    if len(found) == 1:
        return found[0]
    if found:
        labels = " and ".join(reader.LABEL for reader in found)
        choices = " or ".join(f"--from {reader.TOOL}" for reader in found)
        raise SourceError(f"{place.shown} holds files of {labels}; say which to import: {choices}")
    broken = next((one for one in databases(place) if isinstance(one, Unread)), None)
    if broken is not None:
        raise SourceError(f"{place.shown} has nothing else that can be imported, and {broken.where} {broken.why}")
    explain_unknown(place)
    raise SourceError(
        f"{place.shown} was written by none of the tools that can be imported "
        f"({', '.join(dict.fromkeys(reader.LABEL for reader in readers))}); {_what_lies_at(place)}"
    )


def _module(name: str) -> Reader:
    return cast(Reader, import_module(f"{__package__}.{name}"))


def _what_lies_at(place: Place) -> str:
    if place.path is None:
        return "none of their tables are there; if you know which tool wrote it, name it with --from"
    if place.path.is_file():
        size = place.files[0].size
        return "it is an empty file" if not size else f"it is a file of {size:,} bytes"
    names = [file.relative for file in place.files[: _SHOWN + 1]]
    if not names:
        return "it is an empty folder"
    more = f" and {len(place.files) - _SHOWN:,} more" if len(place.files) > _SHOWN else ""
    return f"it holds {', '.join(names[:_SHOWN])}{more}"
