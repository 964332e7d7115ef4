"""Imports are not searched for garbage: what they make lives as long as the process, and searching it over and over is
a fifth of the time in which a rank starts. And what was freed may go back to the system. Imports nothing but the
standard library."""

import ctypes
import functools
import gc
from collections.abc import Callable

RARELY = 100_000
"""Objects made between two searches while modules are imported; Python's own 700 is for programs at work."""


def search_rarely() -> None:
    """Before the heavy imports."""
    gc.set_threshold(RARELY)


def search_as_usual() -> None:
    """After them: what they made is never looked at again, what comes now is as ever."""
    if gc.get_threshold()[0] == RARELY:
        gc.freeze()
        gc.set_threshold(700, 10, 10)


def return_freed() -> bool:
    """Hand what the C library keeps of freed memory back to the system, before a piece of work that needs much; False
    where it cannot.

    glibc keeps it in a heap that arrays of ever other sizes tear into pieces. Milliseconds for a gigabyte, so for now
    and then; where every step counts, `training/tuning/allocator.py` sets another rule.
    """
    trim = _trim()
    return trim is not None and trim(0) == 1


@functools.cache
def _trim() -> Callable[[int], int] | None:
    function: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return function
