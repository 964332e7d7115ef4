"""A sample's candidates, where they are more than a budget: some of them, drawn, each standing for several.

Every cell c of a row is kept with probability p_c = min(1, budget * m_c), independently, and enters the softmax's sum
with weight 1 / p_c: the sum's expectation is that over all cells (Horvitz and Thompson 1952). m is half in proportion
to what pairs say of the cell, half equal over the row's cells, so that no weight exceeds twice the cells by the budget.
The target is always kept. In a small catalogue candidates coincide and stay within the budget; in a large one they do
not, and without this a step would cost more the more items there are.
"""

import torch
from torch import Tensor

from graph.noise import Noise


def kept_share(row_A: Tensor, mass_A: Tensor, target_R: Tensor, *, budget: int) -> Tensor:
    """p [A] of every cell; 1 for all of a row that has no more than `budget`.

    Args:
        row_A: the row of each cell.
        mass_A: 0 or more.
        target_R: the cell of each row's target.
    """
    num_rows = len(target_R)
    count_R = torch.bincount(row_A, minlength=num_rows)
    total_R = torch.zeros(num_rows, dtype=torch.float64, device=row_A.device).index_add(0, row_A, mass_A.double())
    equal_R, scaled_R = 0.5 * budget / count_R.clamp_min(1), 0.5 * budget / total_R.clamp_min(1e-30)
    share_A = (mass_A * scaled_R[row_A] + equal_R[row_A]).float().clamp_max(1.0)
    share_A[(count_R <= budget)[row_A]] = 1.0
    share_A[target_R] = 1.0
    return share_A


def drawn_cells(share_A: Tensor, key_A: Tensor, noise: Noise) -> Tensor:
    """Whether each cell is kept: by its own number, which is the same on whatever rank.

    Args:
        key_A: says which sample and which item a cell is of.
    """
    uniform_A = noise.aside(key_A).uniform(torch.Size([len(key_A), 1]))[:, 0]
    return uniform_A < share_A
