"""Positions in a log whose records have byte offsets. Several entries may come from one record.

The last entry of a record has the position of the record's end, since reading goes on there. Those before it have
positions just behind the record's beginning: going on after one of them reads the record again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trainstore.importing.foreign import Entry

PLACES = 64  # positions of a byte, so that a record may give as many entries


def position_of(offset: int) -> int:
    """The position of a record's end."""
    return offset * PLACES


def offset_of(position: int) -> int:
    """Where in the file reading goes on after a position."""
    return position // PLACES


def placed(entries: Sequence[Any], begin: int, end: int) -> list[Entry]:
    """The entries of a record that lies between two offsets, at most `PLACES` of them, with their positions."""
    entries = entries[:PLACES]
    places = [*range(begin * PLACES + 1, begin * PLACES + len(entries)), end * PLACES]
    return [replace(entry, position=place) for entry, place in zip(entries, places, strict=False)]
