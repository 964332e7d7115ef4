"""Count more keys than fit in memory: sorted runs of (key, count) on disk, then bands of keys out of all of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graph.companions.array_files import ArrayWriter, mapped, read_parts
from pairs.tables import Ints

Counts = npt.NDArray[np.int32]
Rows = list[tuple[int, int]]
"""Of all runs, some that lie behind each other: from, to."""


class CountedRuns:
    """Takes runs of keys and counts; gives each key once, ascending, with how often it came in all of them.

    A key is `group * group_size` and something. A band holds whole groups, so that who reads it sees all of a group;
    it is larger than asked for only where one group is.
    """

    def __init__(self, folder: Path, *, num_groups: int, group_size: int) -> None:
        self._group_size = group_size
        self._rows_of_group = np.zeros(num_groups, dtype=np.int64)
        self._begins = [0]
        folder.mkdir(parents=True)
        self._files = ExitStack()
        # All runs in two files: a thousand runs would be more files than a process may open.
        self._keys_path, self._counts_path = folder / "keys.npy", folder / "counts.npy"
        self._keys, self._counts = (
            self._files.enter_context(ArrayWriter(path, dtype))
            for path, dtype in ((self._keys_path, np.int64), (self._counts_path, np.int32))
        )

    def add(self, keys: Ints, counts: Counts) -> None:
        """Write one run: `counted` keys."""
        if len(keys) == 0:
            return
        self._counts.add(counts)
        self._keys.add(keys)
        self._rows_of_group += np.bincount(keys // self._group_size, minlength=len(self._rows_of_group))
        self._begins.append(self._begins[-1] + len(keys))

    def bands(self, rows: int) -> Iterator[Rows]:
        """Where about `rows` rows of all runs at a time are, ascending; nothing can be added after this."""
        self._files.close()
        ends = np.cumsum(self._rows_of_group)
        total = int(ends[-1]) if len(ends) else 0
        groups = np.unique(np.searchsorted(ends, np.arange(rows, total, rows), side="right"))
        borders = np.concatenate([groups, [len(ends)]]) * self._group_size
        keys = mapped(self._keys_path)
        runs = list(pairwise(self._begins))
        begins = self._begins[:-1]
        for border in borders.tolist():
            stops = [begin + int(np.searchsorted(keys[begin:end], border)) for begin, end in runs]
            parts = [part for part in zip(begins, stops, strict=True) if part[0] < part[1]]
            begins = stops
            if parts:
                yield parts

    def read(self, band: Rows) -> tuple[Ints, Counts]:
        """The keys of a band, ascending and each once, and their counts."""
        return _added_up(*(read_parts(path, band) for path in (self._keys_path, self._counts_path)))


def counted(keys: Ints) -> tuple[Ints, Counts]:
    """Keys in any order, ascending and each once, and how often they came; `keys` is sorted in its place."""
    keys.sort()
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    return keys[first], np.diff(np.append(first, len(keys))).astype(np.int32)


def _added_up(keys: Ints, counts: Counts) -> tuple[Ints, Counts]:
    """Each key once, ascending, its counts summed."""
    order = np.argsort(keys, kind="stable")  # a merge sort: what is there are sorted runs
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    return keys[first], np.add.reduceat(counts, first, dtype=np.int32)
