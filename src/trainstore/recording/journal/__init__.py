"""The journal: a record is on disk before ``log()`` returns, and memory never holds more than a batch.

A journal is a folder of one writer (one process that records into one run)::

    <writer uid>/            0700
        meta.json            which store, prefix and run it belongs to; ``seen`` after the first commit
        lock                 held by fcntl.lockf while the writer lives
        reserve              space for the last records of a run whose disk is full
        00000000000000000001.seg   segments of about 4 MiB, named by their first sequence number

A segment is a row of frames: 4 bytes magic (the format's version), the payload's length, its sequence number (1, 2, …
without gaps) and a CRC-32 over length, number and payload, then the payload, a JSON object. Appending is one write(2)
of one frame. A reader takes what is valid: it ignores a torn tail, and after damage in the middle it goes on at the
next valid frame.

A journal has a limit, and so has the disk. If the database stays away until one of them is reached, the steps of the
oldest segment are dropped; if a record cannot be written at all, it is lost. Either way a ``gap`` record names the lost
steps and reaches the database. Space for it, and for the run's final status, is reserved up front; steps never use it.

``frames`` is the format of a segment, ``base`` the contract and the journal in memory, ``file`` the journal on disk,
``dropping`` what goes at its limit, ``reserve`` what a full disk leaves, ``folder`` meta.json, lock and journals that
other processes left, ``disk`` files as such, ``places`` where the journals of a store are.
"""

from trainstore.recording.journal.base import Journal, MemoryJournal
from trainstore.recording.journal.file import LIMIT, FileJournal
from trainstore.recording.journal.folder import (
    ASIDE,
    LOCK,
    META,
    FoundJournal,
    boot_id,
    claim,
    forget_all_in_child,
    hostname,
    is_live,
    journal_folders,
    last_record,
    read_meta,
)
from trainstore.recording.journal.frames import MAGIC, frame, frames
from trainstore.recording.journal.places import JournalPlaces
from trainstore.recording.journal.reserve import RESERVE_BYTES

__all__ = [
    "ASIDE", "LIMIT", "LOCK", "MAGIC", "META", "RESERVE_BYTES", "FileJournal", "FoundJournal", "Journal",
    "JournalPlaces", "MemoryJournal", "boot_id", "claim", "forget_all_in_child", "frame", "frames", "hostname",
    "is_live", "journal_folders", "last_record", "read_meta",
]  # fmt: skip
