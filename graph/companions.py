"""The co-occurrence graph towards one domain: an item's companions there, with the counts of a user taken out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graph.edges import NUM_GAPS, Companions
from graph.words import Floats
from pairs.ragged import offsets_of
from pairs.tables import Ints


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


@dataclass(frozen=True)
class CompanionGraph:
    """Companions in one domain, by item of both domains; row num_items, the padding's, is empty."""

    offsets: Tensor  # [I + 2]
    candidate: Tensor  # [E]
    gap_counts: Tensor  # [E, G]
    likeness: Tensor  # [E]
    least: Tensor  # [I + 1], pairs that fewer users share are left out
    users: Tensor  # ascending user ids
    user_offsets: Tensor  # [U + 1]
    user_pair: Tensor  # [C]
    user_gap: Tensor  # [C]

    def pairs_of(self, item_N: Tensor, user_N: Tensor | None) -> FoundPairs:
        """The companions of each item; with `user_N`, as if that user's train samples did not exist."""
        entry_P, pair_P = expand(self.offsets, item_N)
        counts_PG = self.gap_counts[pair_P]
        if user_N is not None:
            counts_PG = counts_PG - self._own_counts(user_N[entry_P], pair_P)
        # The same threshold after the own counts are out: else a pair that stays would tell that the user has it.
        kept_P = counts_PG.sum(dim=1) >= self.least[item_N][entry_P]
        entry_P, pair_P = entry_P[kept_P], pair_P[kept_P]
        return FoundPairs(entry_P, self.candidate[pair_P], counts_PG[kept_P], self.likeness[pair_P])

    def _own_counts(self, user_P: Tensor, pair_P: Tensor) -> Tensor:
        """What each pair owes to the user who asks [P, NUM_GAPS]: at most one count, in one class."""
        asking_A, place_P = torch.unique(user_P, return_inverse=True)
        index_A = torch.searchsorted(self.users, asking_A).clamp_max(len(self.users) - 1)
        known_A = self.users[index_A] == asking_A
        asker_C, own_C = expand(self.user_offsets, index_A[known_A])
        num_pairs = max(1, len(self.candidate))
        key_C = torch.nonzero(known_A)[:, 0][asker_C] * num_pairs + self.user_pair[own_C]  # ascending
        counts_PG = torch.zeros(len(pair_P), NUM_GAPS, device=pair_P.device)
        if len(key_C) == 0 or len(pair_P) == 0:
            return counts_PG
        key_P = place_P * num_pairs + pair_P
        cell_P = torch.searchsorted(key_C, key_P).clamp_max(len(key_C) - 1)
        hit_P = torch.nonzero(key_C[cell_P] == key_P)[:, 0]
        counts_PG[hit_P, self.user_gap[own_C[cell_P[hit_P]]]] = 1.0
        return counts_PG


def build_companion_graph(
    pairs: Companions, ids: range, *, num_items: int, likeness_of: Floats, max_companions: int
) -> CompanionGraph:
    """The part of `pairs` whose second item is one of `ids`; `likeness_of` are the items' text vectors [I, K]."""
    inside = (pairs.target >= ids.start) & (pairs.target < ids.stop)
    source, target = pairs.source[inside], pairs.target[inside]
    new_row = np.cumsum(inside) - 1
    kept = inside[pairs.user_pair]
    before_C = offsets_of(kept)
    counts = pairs.gap_counts[inside]
    return CompanionGraph(
        offsets=torch.from_numpy(np.searchsorted(source, np.arange(num_items + 2)).astype(np.int64)),
        candidate=torch.from_numpy(target - ids.start),
        gap_counts=torch.from_numpy(counts),
        likeness=torch.from_numpy(_likeness(likeness_of, source, target)),
        least=torch.from_numpy(_least(source, counts.sum(axis=1), num_items, max_companions)),
        users=torch.from_numpy(pairs.users),
        user_offsets=torch.from_numpy(before_C[pairs.user_offsets].astype(np.int64)),
        user_pair=torch.from_numpy(new_row[pairs.user_pair[kept]].astype(np.int64)),
        user_gap=torch.from_numpy(pairs.user_gap[kept]),
    )


def expand(offsets: Tensor, row_N: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of CSR rows, one row after the other: (which of `row_N`, which cell)."""
    start_N, length_N = offsets[row_N], offsets[row_N + 1] - offsets[row_N]
    entry_P = torch.repeat_interleave(torch.arange(len(row_N), device=row_N.device), length_N)
    first_N = length_N.cumsum(0) - length_N
    return entry_P, torch.arange(len(entry_P), device=row_N.device) - (first_N - start_N)[entry_P]


def _likeness(vectors: Floats, source: Ints, target: Ints) -> Floats:
    likeness = np.empty(len(source), dtype=np.float32)
    for start in range(0, len(source), 1 << 18):
        part = slice(start, start + (1 << 18))
        likeness[part] = np.einsum("ek,ek->e", vectors[source[part]], vectors[target[part]])
    return likeness


def _least(source: Ints, users: Floats, num_items: int, max_companions: int) -> Floats:
    """For every item the smallest number of shared users, at least 1, that leaves at most `max_companions` [I + 1]."""
    least = np.ones(num_items + 1, dtype=np.float32)
    first = np.searchsorted(source, np.arange(num_items + 1))
    for item in np.flatnonzero(np.diff(first) > max_companions):
        shared = np.sort(users[first[item] : first[item + 1]])[::-1]
        least[item] = shared[max_companions] + 1
    return least
