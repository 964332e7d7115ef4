"""What the C library keeps of a rank's memory on CPUs.

glibc keeps what is freed, in a heap that tensors of another size at every step tear into pieces: a rank holds up to
twice what is in use, and more from step to step. Where blocks above a bound come from the system and go back there,
it holds little more than what is in use. Each comes back as pages that the system has zeroed and has to map one by
one, which costs: so only large blocks, in huge pages (`launch.processes.pages`).
"""

import ctypes
import logging

from launch.processes.pages import is_managed

M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""
BLOCK = 2 << 20
"""Bytes from which on a block is the system's: a huge page, and activations of a layer, not its vectors."""
LARGE = 50_000_000
"""Parameters from which on that is worth it."""
log = logging.getLogger(__name__)


def hand_back_blocks() -> bool:
    """Let large blocks go back to the system when they are freed; False where that is not ours to say."""
    if is_managed():
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    done = mallopt is not None and mallopt(M_MMAP_THRESHOLD, BLOCK) == 1
    if not done:
        log.info("this C library keeps what is freed: ranks may hold more memory than planned")
    return done
