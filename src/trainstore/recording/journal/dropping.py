"""What a journal at its limit drops: the steps of its oldest segment."""

from __future__ import annotations

from itertools import pairwise

import orjson

from trainstore.recording.journal.frames import frame, frames
from trainstore.recording.journal.reserve import Lost
from trainstore.recording.records import STEP, skip_record


def without_steps(segment: bytes, acked: int) -> tuple[bytes, Lost]:
    """A segment without its steps, and what was lost with them: those after ``acked``, which are not stored yet.

    A gap stands in the place of the last of these, so that it is read even if the database turns out to have stored
    some of the others. Each earlier range of dropped steps leaves a skip, under its last number.
    """
    lost = Lost()
    kept: list[tuple[int, bytes]] = []
    dropped: list[int] = []
    for _, sequence, payload in frames(segment):
        if not payload.startswith(STEP):
            kept.append((sequence, payload))
        elif sequence > acked:
            lost.add(payload)
            dropped.append(sequence)
    if dropped:
        first, last = dropped[0], dropped[-1]
        kept.append((last, lost.gap("the journal reached its limit", records=[first, last])))
        begins = first
        for number, following in pairwise(dropped):
            if following != number + 1:
                kept.append((number, orjson.dumps(skip_record(begins))))
                begins = following
    return b"".join(frame(sequence, payload) for sequence, payload in sorted(kept)), lost
