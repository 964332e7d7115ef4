"""Imports are not searched for garbage: what they make lives as long as the process, and searching it over and over is
a fifth of the time in which a rank starts. Imports nothing but the standard library."""

import gc

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
