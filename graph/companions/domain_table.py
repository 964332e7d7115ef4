"""The companions in one domain, written as bands of pairs come."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graph.companions.array_files import ArrayWriter, save_array
from graph.companions.counted_runs import Counts
from graph.companions.pair_keys import NUM_GAPS
from graph.companions.rules import CompanionRules
from graph.words import Floats
from pairs.ragged import offsets_of
from pairs.tables import Ints

LARGE = 255
"""From here on a count does not fit its byte."""
ROWS_AT_ONCE = 1 << 13
"""Pairs whose text vectors are compared at a time."""


@dataclass(frozen=True)
class DomainTable:
    """The companions in the domain of some items, in order of items and companions: E pairs."""

    source: Ints  # [E]
    candidate: npt.NDArray[np.int32]  # [E]
    counts: npt.NDArray[np.uint8]  # [E, NUM_GAPS]
    likeness: Floats  # [E]
    large_cell: Ints
    large_count: Counts


class DomainWriter:
    """Writes them; a context, for a table that an error ended is not closed as a whole one."""

    def __init__(self, folder: Path, rules: CompanionRules, domain: int, text_IK: Floats) -> None:
        self._rules, self._ids, self._text_IK = rules, rules.ids(domain), text_IK
        self._path = folder / "XY"[domain]
        self._lengths = np.zeros(rules.num_items + 1, dtype=np.int64)
        self._least = np.ones(rules.num_items + 1, dtype=np.int64)
        self._num_pairs = 0

    def __enter__(self) -> "DomainWriter":
        self._files = ExitStack()
        self._candidate, self._counts, self._likeness, self._large_cell, self._large_count = (
            self._files.enter_context(ArrayWriter(self._file(name), dtype, *shape))
            for name, dtype, shape in (
                ("candidate", np.int32, ()),
                ("counts", np.uint8, (NUM_GAPS,)),
                ("likeness", np.float32, ()),
                ("large_cell", np.int64, ()),
                ("large_count", np.int32, ()),
            )
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._files.__exit__(*error)  # type: ignore[arg-type]  # as the with statement gives them
        if error[0] is None:
            save_array(self._file("offsets"), offsets_of(self._lengths))
            save_array(self._file("least"), self._least)

    def table(self, keys: Ints, counts: Counts) -> DomainTable:
        """Of whole items' pairs, ascending, and their users."""
        target = keys % self._rules.row_keys // NUM_GAPS
        inside = (target >= self._ids.start) & (target < self._ids.stop)
        keys, target, counts = keys[inside], target[inside], counts[inside]
        source, gap = keys // self._rules.row_keys, keys % NUM_GAPS
        changes = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
        first = np.flatnonzero(np.append(True, changes)[: len(source)])
        users = np.add.reduceat(counts, first) if len(first) else counts
        self._raise_least(source[first], users)
        kept = users >= self._least[source[first]]
        row = np.cumsum(kept) - 1
        cell_row = np.repeat(np.where(kept, row, -1), np.diff(np.append(first, len(source))))
        cells = np.flatnonzero(cell_row >= 0)
        counts_EG = np.zeros((int(kept.sum()), NUM_GAPS), dtype=np.uint8)
        counts_EG[cell_row[cells], gap[cells]] = np.minimum(counts[cells], LARGE)
        large = cells[counts[cells] >= LARGE]
        source, target = source[first][kept], target[first][kept]
        likeness_E = np.empty(len(source), dtype=np.float32)
        for begin in range(0, len(source), ROWS_AT_ONCE):
            part = slice(begin, begin + ROWS_AT_ONCE)
            likeness_E[part] = np.einsum("ek,ek->e", self._text_IK[source[part]], self._text_IK[target[part]])
        return DomainTable(
            source=source,
            candidate=(target - self._ids.start).astype(np.int32),
            counts=counts_EG,
            likeness=likeness_E,
            large_cell=cell_row[large] * NUM_GAPS + gap[large],
            large_count=counts[large],
        )

    def add(self, table: DomainTable) -> None:
        """Write it behind those before."""
        self._candidate.add(table.candidate)
        self._counts.add(table.counts)
        self._likeness.add(table.likeness)
        self._large_cell.add(self._num_pairs * NUM_GAPS + table.large_cell)
        self._large_count.add(table.large_count)
        self._lengths += np.bincount(table.source, minlength=len(self._lengths))
        self._num_pairs += len(table.source)

    def _raise_least(self, source: Ints, users: Counts) -> None:
        """The smallest number of shared users that leaves at most `max_companions`, for items that have more."""
        items, first, lengths = np.unique(source, return_index=True, return_counts=True)
        most = self._rules.max_companions
        for place in np.flatnonzero(lengths > most):
            shared = np.sort(users[first[place] : first[place] + lengths[place]])[::-1]
            self._least[items[place]] = shared[most] + 1

    def _file(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}_{name}.npy")
