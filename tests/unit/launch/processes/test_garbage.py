"""Imports are not searched for garbage; what comes after them is searched as by any Python."""

import gc
from collections.abc import Iterator

import pytest

from launch.processes.garbage import RARELY, search_as_usual, search_rarely


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
