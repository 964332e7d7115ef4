"""Scores of a few items of each sample, as the rows of a table.

Shapes: B samples, M cells, P places of the longest row, D items of the domain.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graph.sampled.cells import Cells, short_keys


@dataclass(frozen=True)
class Pooled:
    """Candidates with their scores."""

    column: Tensor  # [B, P], ascending, from the domain's first item; D behind them
    score: Tensor  # [B, P], -inf behind them


@dataclass(frozen=True)
class CellRows:
    """Where cells stand in a table of their rows, whoever scores them."""

    column: Tensor  # [B, P], as in `Pooled`
    place: Tensor  # [M], of each cell in the flattened table

    def filled(self, score_M: Tensor) -> Pooled:
        """The cells' scores in the table."""
        score = torch.full((self.column.numel(),), -torch.inf, device=score_M.device)
        return Pooled(self.column, score.scatter_(0, self.place, score_M).view_as(self.column))


def cell_rows(cells: Cells) -> CellRows:
    """Cells in the order of their columns; none comes twice."""
    num_rows, size, device = cells.num_rows, cells.size, cells.row.device
    order_M = torch.sort(short_keys(cells.key, num_rows * size)).indices
    length_B = torch.bincount(cells.row, minlength=num_rows)
    width = int(length_B.max()) if num_rows else 0
    # Cells before a row, in the table and among the sorted cells.
    ahead_B = torch.arange(num_rows, device=device) * width - (length_B.cumsum(0) - length_B)
    place_M = torch.arange(len(order_M), device=device) + ahead_B.repeat_interleave(length_B)
    column = torch.full((num_rows * width,), size, device=device)
    column.scatter_(0, place_M, cells.column.index_select(0, order_M))
    return CellRows(column.view(num_rows, width), torch.empty_like(place_M).scatter_(0, order_M, place_M))


def pooled_target_ranks(pooled: Pooled, target_B: Tensor, history_BL: Tensor, ids: range) -> Tensor:
    """Rank of each target among the candidates outside the history [B]; ties, and scores that are no numbers,
    count against it.

    Infinite where the target is no candidate, or in the history.
    """
    seen_BP = torch.zeros_like(pooled.column, dtype=torch.bool)
    for item_B in history_BL.T:
        seen_BP |= pooled.column == (item_B - ids.start)[:, None]
    allowed_BP = pooled.score.masked_fill(seen_BP, -torch.inf)
    is_target_BP = pooled.column == (target_B - ids.start)[:, None]
    own_B1 = allowed_BP.masked_fill(~is_target_BP, -torch.inf).amax(dim=1, keepdim=True)
    rank_B = (~(allowed_BP < own_B1)).sum(dim=1).double()
    return rank_B.masked_fill(own_B1[:, 0] == -torch.inf, torch.inf)
