"""Ranked lists of many samples, written by the ranks that make them and put together without any holding them all."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np

from evaluation.ranked_lists import RankedLists
from launch.distributed import World
from pairs.rank_parts import PartColumn, PartColumns, joined, writing


def list_columns(depth: int) -> PartColumns:
    """Of lists that are `depth` long at most."""
    return {"items": PartColumn(np.int32, depth), "scores": PartColumn(np.float32, depth)}


def read_parts(folder: Path, name: str, depth: int, world: World) -> Iterator[RankedLists]:
    """All ranks' lists by rising sample id, some at a time; their files are gone then."""
    for sample_N, values in joined(folder, name, list_columns(depth), world.size):
        yield RankedLists(sample_N, values["items"].astype(np.int64), values["scores"])


Keep: TypeAlias = Callable[[str, RankedLists], None]
"""Takes some more lists of a system."""


@contextmanager
def keeping(folder: Path, names: Iterable[str], depth: int, world: World) -> Iterator[Keep]:
    """What takes this rank's lists of each name, some at a time, and has them in `folder`; a collective."""
    with ExitStack() as stack:
        parts = {name: stack.enter_context(writing(folder, name, list_columns(depth), world)) for name in names}

        def keep(name: str, lists: RankedLists) -> None:
            parts[name].add(lists.sample, items=lists.items, scores=lists.scores)

        yield keep
