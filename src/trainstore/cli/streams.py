"""The standard streams: any text can be written, whatever their encoding, and also when they are closed.

Output that is not UTF-8 (a Windows code page, the POSIX locale) gets every character that its encoding has; others are
written by their look (``->``) or their number (``\\U0001f680``). A closed stream is replaced by the null device: no
file that is opened later takes its place, and output to it is lost in silence.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import IO, Any

from trainstore.errors import TrainStoreError

_LOOKS = {"→": "->", "…": "...", "×": "x", "│": "|", "└": "+", "─": "-", "━": "-", "╸": "-", "╺": "-"}
_DOTS = ("\u2801", "\u28ff")  # what plots are drawn with


def settle() -> None:
    """Make this process's streams safe to use; the first thing that a command does."""
    with suppress(OSError):
        for number in (0, 1, 2):
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # gets this number, the lowest that is free
    if sys.stdin is None:
        sys.stdin = _Closed("rb")
    sys.stdout, sys.stderr = _safe(sys.stdout), _safe(sys.stderr)


def is_utf8() -> bool:
    """Whether standard output has every character."""
    return not isinstance(sys.stdout, _Limited)


def as_written(text: str) -> str:
    """Text as standard output shows it; a table must know before it is laid out."""
    return sys.stdout.as_written(text) if isinstance(sys.stdout, _Limited) else text


def visible(value: object) -> str:
    """Text whose control characters are shown and not obeyed, as standard output can write it."""
    return as_written("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value)))


def at_terminal() -> bool:
    """Whether a person can be asked something."""
    return sys.stdin.isatty()


def read_input() -> str:
    """The text on standard input."""
    if isinstance(sys.stdin, _Closed):
        raise TrainStoreError("there is no text to read: standard input is closed")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise TrainStoreError(f"standard input is not {error.encoding} text") from None


def binary_output() -> IO[bytes]:
    """Standard output for bytes."""
    if isinstance(sys.stdout, _Closed):
        raise TrainStoreError("standard output is closed; name a file with --output")
    stream: IO[bytes] = sys.stdout.buffer
    return stream


def give_up() -> None:
    """Drop what could not be written: Python would try once more at exit, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Closed(io.TextIOWrapper):
    """In place of a stream that is closed."""

    def __init__(self, mode: str) -> None:
        super().__init__(open(os.devnull, mode), encoding="utf-8", errors="backslashreplace")  # noqa: SIM115


class _Limited(io.TextIOWrapper):
    """A stream whose encoding lacks some characters."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream  # which would close the descriptor if it were let go of
        self._limit = stream.encoding
        # Click would take a stream that says it is ASCII for UTF-8. The bytes of ASCII are the same in Latin-1.
        encoding = "latin-1" if codecs.lookup(self._limit).name == "ascii" else self._limit
        super().__init__(stream.buffer, encoding=encoding, line_buffering=stream.line_buffering)

    def as_written(self, text: str) -> str:
        return text.encode(self._limit, _by_look.__name__).decode(self._limit)

    def write(self, text: str) -> int:
        return super().write(self.as_written(text))


def _safe(stream: Any) -> Any:
    if stream is None:
        return _Closed("wb")
    if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, _Limited | _Closed):
        if not codecs.lookup(stream.encoding).name.startswith("utf"):
            return _Limited(stream)
        stream.reconfigure(errors="backslashreplace")  # parts of file names that are not UTF-8
    return stream


def _by_look(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    look = "*" if _DOTS[0] <= character <= _DOTS[1] else _LOOKS.get(character)
    return look or character.encode("ascii", "backslashreplace").decode(), error.start + 1


codecs.register_error(_by_look.__name__, _by_look)
