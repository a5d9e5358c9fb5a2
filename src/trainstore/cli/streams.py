"""The standard streams: any text can be written, whatever their encoding, even if they are closed.

If the output is not UTF-8 (a Windows code page, the POSIX locale), characters that its encoding lacks are replaced by
a look-alike (``->``) or an escape (``\\U0001f680``). A closed stream is replaced by the null device, so that no file
that is opened later gets its number; output to it is dropped silently.
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
_DOTS = ("\u2801", "\u28ff")  # the characters of plots


def settle() -> None:
    """Make this process's streams safe to use; called before anything else."""
    with suppress(OSError):
        for number in (0, 1, 2):
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = _Closed("rb")
    sys.stdout, sys.stderr = _safe(sys.stdout), _safe(sys.stderr)


def is_utf8() -> bool:
    """Whether standard output can write every character."""
    return not isinstance(sys.stdout, _Limited)


def as_written(text: str) -> str:
    """The text that standard output will show; a table needs it to compute column widths."""
    return sys.stdout.as_written(text) if isinstance(sys.stdout, _Limited) else text


def visible(value: object) -> str:
    """A value as text that standard output can write, with control characters escaped."""
    return as_written("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value)))


def visible_lines(text: str) -> str:
    """A text of several lines, each of them as `visible` gives it."""
    return "\n".join(map(visible, text.split("\n")))


def at_terminal() -> bool:
    """Whether a user can be asked a question."""
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
    """Drop what could not be written. Python would try again at exit, and print an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Closed(io.TextIOWrapper):
    """Replaces a closed stream."""

    def __init__(self, mode: str) -> None:
        super().__init__(open(os.devnull, mode), encoding="utf-8", errors="backslashreplace")  # noqa: SIM115


class _Limited(io.TextIOWrapper):
    """A stream whose encoding lacks some characters."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream  # kept: it would close the descriptor when collected
        self._limit = stream.encoding
        # Click treats an ASCII stream as UTF-8. ASCII has the same bytes in Latin-1.
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
