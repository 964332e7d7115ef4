"""Ranked lists that another stage left, read from their file when they are asked for: never all of them at once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evaluation.ranked_lists import LIST_COLUMNS, RankedLists, concatenated_lists, lists_of_table, unreadable
from launch.errors import InputError
from pairs.tables import Ints


@dataclass(frozen=True)
class StoredLists:
    """The lists of N samples in a file of more or other ones; a sample without a list has an empty one."""

    path: Path
    sample: Ints
    """[N] sample ids."""
    num_items: int
    """Of the catalogue: a list of an item outside is an error."""
    stage: str
    """Which writes the file."""

    def __len__(self) -> int:
        return len(self.sample)

    @cached_property
    def in_file(self) -> Ints:
        """Sample ids in the file's order."""
        return np.asarray(_read(self.path, ["sample"]).column("sample").to_numpy(), dtype=np.int64)

    @cached_property
    def listed(self) -> NDArray[np.bool_]:
        """[N] whether there is a list."""
        return np.isin(self.sample, self.in_file)

    def complete(self) -> "StoredLists":
        """The same, of which none may be missing."""
        missing = self.sample[~self.listed]
        if len(missing):
            raise InputError(
                f"{self.path}: no list for sample {missing[0]} ({len(missing)} of {len(self)} missing); "
                "run the stage that writes it again"
            )
        return self

    def of_samples(self, sample_M: Ints) -> RankedLists:
        """The lists of some samples, empty where there is none; only the parts of the file that hold them are read."""
        place_M = self._place_of(sample_M)
        starts = self._starts
        groups = np.unique(np.searchsorted(starts, place_M[place_M >= 0], side="right") - 1)
        parts = []
        for group in groups.tolist():
            here = place_M[(place_M >= starts[group]) & (place_M < starts[group + 1])] - starts[group]
            parts.append(
                self._checked(lists_of_table(_read(self.path, LIST_COLUMNS, group=group).take(pa.array(here))))
            )
        return concatenated_lists(parts).aligned(sample_M)[0]

    def _checked(self, lists: RankedLists) -> RankedLists:
        if lists.items.max(initial=0) >= self.num_items:
            raise InputError(
                f"{self.path}: item {lists.items.max()} is not in the catalogue of {self.num_items} items; "
                f"run `kinrec {self.stage}` again"
            )
        return lists

    def _place_of(self, sample_M: Ints) -> Ints:
        """[M] places in the file, -1 where there is none."""
        order, ordered = self._order
        if len(ordered) == 0:
            return np.full(len(sample_M), -1, dtype=np.int64)
        place_M = np.minimum(np.searchsorted(ordered, sample_M), len(ordered) - 1)
        return np.where(ordered[place_M] == sample_M, order[place_M], -1)

    @cached_property
    def _order(self) -> tuple[Ints, Ints]:
        order = np.argsort(self.in_file, kind="stable")
        return order, self.in_file[order]

    @cached_property
    def _starts(self) -> Ints:
        """[G + 1] the first place of every row group, and the end."""
        metadata = pq.read_metadata(self.path)
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        return np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)


def _read(path: Path, columns: list[str], *, group: int | None = None) -> pa.Table:
    with unreadable(path), pq.ParquetFile(path) as file:
        return file.read(columns) if group is None else file.read_row_group(group, columns)
