"""Where the real positions of left-padded histories are, and how they are set out for attention.

Each row's real positions are moved together, to its front, and rows of about one length share a matrix: attention costs
the square of what a history has, not of the places it could have. A causal mask alone then hides what is no item: it
lies behind every position that is one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graph.noise import Noise

GROUPS = 5
"""Lengths that rows are set out in, at most."""


@dataclass(frozen=True)
class Positions:
    """Some positions, in order of rows and places."""

    row: Tensor  # [T]
    place: Tensor  # [T]
    slot: Tensor  # [T], in all groups' cells, one after the other

    def take(self, chosen_A: Tensor) -> "Positions":
        """Only those."""
        return Positions(self.row[chosen_A], self.place[chosen_A], self.slot[chosen_A])


@dataclass(frozen=True)
class Group:
    """Rows that are set out in a matrix [G, M]."""

    row: Tensor  # [G]
    place: Tensor  # [G, M], of each cell; of those behind a row's positions 0


@dataclass(frozen=True)
class Places:
    """The real positions of B histories of L places, and their groups."""

    num_rows: int
    length: int
    all: Positions
    groups: list[Group]

    @classmethod
    def of(cls, real_BL: Tensor) -> "Places":
        """Those that are true."""
        num_rows, length = real_BL.shape
        row_T, place_T = torch.nonzero(real_BL, as_tuple=True)
        step = -(-length // GROUPS)
        count_B = real_BL.sum(dim=1)
        size_B = (count_B + step - 1) // step * step
        start_B = torch.zeros_like(size_B)
        rows, total = [], 0
        for size in range(step, length + step, step):
            row_G = torch.nonzero(size_B == size)[:, 0]
            if len(row_G):
                start_B[row_G] = total + size * torch.arange(len(row_G), device=row_G.device)
                rows.append((row_G, size))
                total += size * len(row_G)
        slot_T = start_B[row_T] + (real_BL.cumsum(dim=1) - 1)[row_T, place_T]
        place_X = place_T.new_zeros(total).index_copy(0, slot_T, place_T)
        parts = torch.split(place_X, [len(row_G) * size for row_G, size in rows]) if rows else ()
        groups = [Group(row_G, part.view(-1, size)) for (row_G, size), part in zip(rows, parts, strict=True)]
        return cls(num_rows, length, Positions(row_T, place_T, slot_T), groups)

    def those(self, asked_BL: Tensor) -> Tensor:
        """Which of all positions are asked for [A]."""
        return torch.nonzero(asked_BL[self.all.row, self.all.place])[:, 0]

    def set_out(self, x_AK: Tensor, at: Positions) -> list[Tensor]:
        """A matrix [G, M, K] for each group, zero where `at` has nothing."""
        sizes = [group.place.numel() for group in self.groups]
        x_XK = x_AK.new_zeros(sum(sizes), x_AK.shape[1]).index_copy(0, at.slot, x_AK)
        parts = zip(self.groups, torch.split(x_XK, sizes), strict=True)
        return [part.view(*group.place.shape, -1) for group, part in parts]

    def states(self, x_AK: Tensor, at: Positions) -> Tensor:
        """[B, L, K], zero at other places than `at`."""
        x_XK = x_AK.new_zeros(self.num_rows * self.length, x_AK.shape[1])
        return x_XK.index_copy(0, at.row * self.length + at.place, x_AK).view(self.num_rows, self.length, x_AK.shape[1])

    def drop(self, x_AK: Tensor, at: Positions, p: float, noise: Noise | None) -> Tensor:
        """Dropout, as of a whole [B, L, K]."""
        return x_AK if noise is None else noise.dropout_at(x_AK, at.row, at.place, self.length, p)

    def drop_weights(self, weights: list[Tensor], p: float, noise: Noise) -> list[Tensor]:
        """Dropout of the groups' weights, as of a whole [B, L, L]."""
        cells = [group.place[:, :, None] * self.length + group.place[:, None, :] for group in self.groups]
        return noise.dropout_parts(weights, [group.row for group in self.groups], cells, self.length**2, p)
