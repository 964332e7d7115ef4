"""Cells of a table of samples and items that is never made whole: the few candidates of each sample, and the drawn.

Shapes: R samples of one domain, D its items, M cells, P pairs of a sample and a candidate that come more than once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from graph.sampled.negatives import Drawn

LARGEST_SHORT = torch.iinfo(torch.int32).max
Thin: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Cells:
    """What is scored instead of all R x D; candidates come first, in order of row and column, then the drawn."""

    num_rows: int
    size: int
    """D."""
    row: Tensor  # [M]
    column: Tensor  # [M]
    log_weight: Tensor  # [M], 0 for a candidate that stands for itself
    target: Tensor  # [R], the cell of each row's target

    @property
    def key(self) -> Tensor:
        """row * D + column [M]."""
        return self.row * self.size + self.column

    def is_one_of(self, key_C: Tensor) -> Tensor:
        """[M] whether a cell is among some, whose keys ascend."""
        return is_among(self.key, key_C)


def gather_cells(
    key_P: Tensor, target_R: Tensor, drawn: Drawn, *, size: int, thin: Thin | None = None
) -> tuple[Cells, Tensor]:
    """The cells, and the cell of each pair [P], -1 where it was not kept.

    Args:
        key_P: row * D + column of all pairs that say something of a candidate.
        target_R: the column of each row's target, which is always a candidate.
        thin: (row [A], column [A], the candidate of each pair [P], that of each target [R]) -> the share that each
            candidate stands for [A], 0 for those that are left out; None: all stand for themselves.
    """
    num_rows = len(target_R)
    row_R = torch.arange(num_rows, device=target_R.device)
    keys = short_keys(torch.cat([key_P, row_R * size + target_R]), num_rows * size)
    short_A, cell_A = torch.unique(keys, return_inverse=True)
    key_A = short_A.long()
    cell_P, target_cell_R = cell_A[: len(key_P)], cell_A[len(key_P) :]
    drawn_RS = row_R[:, None] * size + drawn.column
    fresh_RS = ~is_among(drawn_RS, key_A)  # what is a candidate anyway has its weight already
    weight_RS = drawn.log_weight.expand(num_rows, -1)
    log_weight_A = torch.zeros(len(key_A), device=key_A.device)
    if thin is not None:
        share_A = thin(key_A // size, key_A % size, cell_P, target_cell_R)
        kept_A = share_A > 0
        place_A = torch.where(kept_A, kept_A.cumsum(0) - 1, -1)
        key_A, log_weight_A = key_A[kept_A], -share_A[kept_A].log()
        cell_P, target_cell_R = place_A[cell_P], place_A[target_cell_R]
    key_M = torch.cat([key_A, drawn_RS[fresh_RS]])
    log_weight_M = torch.cat([log_weight_A, weight_RS[fresh_RS]])
    return Cells(num_rows, size, key_M // size, key_M % size, log_weight_M, target_cell_R), cell_P


def sampled_cross_entropy_sum(scores_M: Tensor, cells: Cells, *, smoothing: float) -> Tensor:
    """- sum log softmax(scores)[target], the full softmax's sum estimated; the target smoothed over the domain."""
    weighted_M = scores_M + cells.log_weight
    largest_R = torch.full((cells.num_rows,), -torch.inf, device=scores_M.device)
    largest_R = largest_R.scatter_reduce(0, cells.row, weighted_M.detach(), "amax")
    sum_R = torch.zeros_like(largest_R).index_add(0, cells.row, (weighted_M - largest_R[cells.row]).exp())
    of_target_R = scores_M[cells.target]
    if smoothing:
        mean_R = torch.zeros_like(largest_R).index_add(0, cells.row, cells.log_weight.exp() * scores_M) / cells.size
        of_target_R = (1 - smoothing) * of_target_R + smoothing * mean_R
    return (sum_R.log() + largest_R - of_target_R).sum()


def is_among(key: Tensor, key_A: Tensor) -> Tensor:
    """Whether each key is one of some, which ascend."""
    if len(key_A) == 0:
        return torch.zeros_like(key, dtype=torch.bool)
    return key_A[torch.searchsorted(key_A, key).clamp_max(len(key_A) - 1)] == key


def short_keys(key: Tensor, end: int) -> Tensor:
    """Keys below `end`, in four bytes where they fit: these are sorted in little more than half the time."""
    return key.int() if end <= LARGEST_SHORT else key
