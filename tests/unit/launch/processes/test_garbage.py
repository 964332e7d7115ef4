"""Imports are not searched for garbage, what comes after them is, as by any Python; what was freed goes back."""

import ctypes
import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from launch.processes.garbage import RARELY, return_freed, search_as_usual, search_rarely

HOLDING = """
from launch.processes.garbage import return_freed

def own():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))

blocks = [bytearray(100_000) for _ in range(4000)]
kept = blocks[::50]
del blocks
print(own())
return_freed()
print(own())
"""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_what_imports_made_is_never_searched_again() -> None:
    gc.set_threshold(700, 10, 10)
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    search_rarely()
    assert gc.get_threshold()[0] == RARELY
    search_as_usual()
    assert gc.get_threshold() == usual
    assert gc.get_freeze_count() > frozen


def test_a_threshold_of_ones_own_stays() -> None:
    gc.set_threshold(5000, 5, 5)
    search_as_usual()
    assert gc.get_threshold() == (5000, 5, 5)


def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        assert not return_freed()
        pytest.skip("this C library has no malloc_trim: what is freed stays")
    said = subprocess.run([sys.executable, "-c", HOLDING], capture_output=True, text=True, check=True).stdout
    freed, returned = map(int, said.split())
    assert freed > 200
    assert returned < freed / 4
