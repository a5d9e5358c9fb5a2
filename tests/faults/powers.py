"""Root without its powers: the permissions of files bind it as they bind their owner. For processes of the tests."""

from __future__ import annotations

import ctypes
import os

_VERSION_3 = 0x2008_0522
_PR_CAPBSET_DROP = 24
DAC_READ_SEARCH = 2


def give_up(*kept: int) -> None:
    """Give up every capability but ``kept`` in this process and in what it starts, as setpriv(1) does."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        if capability not in kept:
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for numbers that this kernel does not know
    bits = sum(1 << capability for capability in kept)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bits, bits, 0, 0, 0, 0)  # effective, permitted, inheritable: the low halves first
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
