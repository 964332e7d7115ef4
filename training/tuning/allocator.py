"""What the C library keeps of a rank's memory on CPUs.

glibc keeps what is freed, in a heap that tensors of another size at every step tear into pieces: a rank holds up to
twice what is in use, and more from step to step. Where blocks above a bound come from the system and go back there,
it holds what is in use; the system's zeroing of pages costs a tenth of the time, and more of a small model's.
"""

import ctypes
import logging
import os

M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""
BLOCK = 1 << 20
"""Bytes from which on a block is the system's: activations of a layer, not its vectors."""
LARGE = 50_000_000
"""Parameters from which on that is worth it."""
OWN = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Where a user has said how memory is managed."""
log = logging.getLogger(__name__)


def hand_back_blocks() -> bool:
    """Let large blocks go back to the system when they are freed; False where that is not ours to say."""
    if any(os.environ.get(name) for name in OWN):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    done = mallopt is not None and mallopt(M_MMAP_THRESHOLD, BLOCK) == 1
    if not done:
        log.info("this C library keeps what is freed: ranks may hold more memory than planned")
    return done
