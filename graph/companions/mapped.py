"""An item's companions in one domain, with the counts of a user taken out; read from a folder through memory maps.

What is asked for is gathered on the host and moved to the asker's device: the tables are too large for every device,
and one copy of them serves all ranks of a node.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graph.companions.array_files import Array, mapped
from graph.companions.domain_table import LARGE
from graph.companions.pair_keys import LARGEST_KEY, NUM_GAPS
from pairs.ragged import rows_of, segments
from pairs.tables import Ints

EACH_GAP = np.ones(NUM_GAPS, dtype=np.float32)


@dataclass(frozen=True)
class FoundPairs:
    """Pairs of one history item and one candidate each, P of them."""

    entry: Tensor  # [P]
    """Index of the history item among those asked for."""
    candidate: Tensor  # [P]
    """The companion, counted from the domain's first item."""
    gap_counts: Tensor  # [P, G]
    """Users that have both, by distance class; own counts taken out."""
    likeness: Tensor  # [P]
    """Cosine of the two items' text."""


class Owners:
    """What each user has, of both domains."""

    def __init__(self, folder: Path) -> None:
        self.users = mapped(folder / "users.npy")  # [U], ascending ids
        self.num_users = mapped(folder / "num_users.npy")  # [I + 1], of each item
        self._items, self._item = mapped(folder / "own_items.npy"), mapped(folder / "own_item.npy")
        self._pairs = mapped(folder / "own_pairs.npy")
        self._source, self._target, self._gap = (
            mapped(folder / f"own_{name}.npy") for name in ("source", "target", "gap")
        )

    @property
    def num_items(self) -> int:
        """Of the catalogue."""
        return len(self.num_users) - 1

    def items_of(self, user_B: Ints) -> tuple[Ints, Ints]:
        """(which of `user_B`, item) of all that they have, ascending; nothing of users who are not known."""
        row_B, asked = self._rows(user_B)
        entry, cell = _cells(self._items, row_B)
        return asked[entry], self._item[cell].astype(np.int64)

    def pairs_of(self, user_B: Ints) -> tuple[Ints, Ints]:
        """((which of `user_B` * I + item) * I + companion, class) of their pairs, ascending."""
        assert len(user_B) * self.num_items**2 < LARGEST_KEY, "too many users to ask about at once"
        row_B, asked = self._rows(user_B)
        entry, cell = _cells(self._pairs, row_B)
        first = self._items[row_B][entry]
        source, target = (self._item[first + places[cell]].astype(np.int64) for places in (self._source, self._target))
        return (asked[entry] * self.num_items + source) * self.num_items + target, self._gap[cell].astype(np.int64)

    def _rows(self, user_B: Ints) -> tuple[Ints, Ints]:
        """The rows of those who are known, and which they are."""
        if len(self.users) == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        row_B = np.minimum(np.searchsorted(self.users, user_B), len(self.users) - 1)
        asked = np.flatnonzero(self.users[row_B] == user_B)
        return row_B[asked], asked


class CompanionGraph:
    """Companions in the domain of `ids`, by item of both domains; the padding has none."""

    def __init__(self, folder: Path, owners: Owners, domain: int, ids: range) -> None:
        self.owners, self.ids = owners, ids
        self._offsets, self._candidate, self._counts, self._likeness, self._least, self._large_cell, large_count = (
            mapped(folder / f"{'XY'[domain]}_{name}.npy")
            for name in ("offsets", "candidate", "counts", "likeness", "least", "large_cell", "large_count")
        )
        self._large_count = large_count

    def pairs_of(self, item_N: Tensor, user_N: Tensor | None) -> FoundPairs:
        """The companions of each item; with `user_N`, as if that user's train samples did not exist."""
        device, item = item_N.device, item_N.cpu().numpy()
        entry_P, pair_P = _cells(self._offsets, item)
        counts_PG = self._counts_of(pair_P)
        candidate_P = np.take(self._candidate, pair_P).astype(np.int64)
        if user_N is not None:
            self._leave_out(counts_PG, user_N.cpu().numpy(), entry_P, item[entry_P], candidate_P)
        # The same threshold after the own counts are out: else a pair that stays would tell that the user has it.
        kept_P = np.flatnonzero(counts_PG @ EACH_GAP >= np.take(self._least[item], entry_P))
        columns = [entry_P, candidate_P, counts_PG, np.take(self._likeness, pair_P)]
        if len(kept_P) < len(pair_P):
            columns = [np.take(column, kept_P, axis=0) for column in columns]
        return FoundPairs(*(torch.from_numpy(column).to(device) for column in columns))

    def _counts_of(self, pair_P: Ints) -> Array:
        """Float32 [P, NUM_GAPS]."""
        bytes_PG = np.take(self._counts, pair_P, axis=0)
        counts_PG = bytes_PG.astype(np.float32)
        if len(self._large_cell):
            cell = np.flatnonzero(bytes_PG.ravel() == LARGE)
            place = np.searchsorted(self._large_cell, pair_P[cell // NUM_GAPS] * NUM_GAPS + cell % NUM_GAPS)
            counts_PG.ravel()[cell] = self._large_count[place]
        return counts_PG

    def _leave_out(self, counts_PG: Array, user_N: Ints, entry_P: Ints, item_P: Ints, candidate_P: Ints) -> None:
        """Take out what each pair owes to the user who asks: at most one count, in one class."""
        asking, place_N = np.unique(user_N, return_inverse=True)
        key_C, gap_C = self.owners.pairs_of(asking)
        if len(key_C) == 0 or len(item_P) == 0:
            return
        num_items = self.owners.num_items
        key_P = (place_N[entry_P] * num_items + item_P) * num_items + candidate_P + self.ids.start
        cell_P = np.minimum(np.searchsorted(key_C, key_P), len(key_C) - 1)
        hit_P = np.flatnonzero(key_C[cell_P] == key_P)
        counts_PG[hit_P, gap_C[cell_P[hit_P]]] -= 1


def expand(offsets: Tensor, row_N: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of CSR rows, one row after the other: (which of `row_N`, which cell)."""
    start_N, length_N = offsets[row_N], offsets[row_N + 1] - offsets[row_N]
    entry_P = torch.repeat_interleave(torch.arange(len(row_N), device=row_N.device), length_N)
    first_N = length_N.cumsum(0) - length_N
    return entry_P, torch.arange(len(entry_P), device=row_N.device) - (first_N - start_N)[entry_P]


def _cells(offsets: Array, row_N: Ints) -> tuple[Ints, Ints]:
    """`expand` of arrays."""
    begin_N = offsets[row_N]
    length_N = offsets[row_N + 1] - begin_N
    return rows_of(length_N), segments(begin_N, length_N)
