"""The k-th largest value of each row, of rows that are long and often mostly equal.

numpy's selection takes up to ten times as long over rows of which most are the same, as scores of sparse sources are.
So a bound comes first: of the largest values of blocks of columns the k-th is at most the k-th of all. Few values are
above it, and where they are fewer than k it is the answer itself.
"""

import numpy as np

from evaluation.matrices import Floats

LEAST_BLOCK, MOST_BLOCK = 8, 64
"""Columns of which the largest is taken; as few as make twice as many blocks as are looked for."""


def kth_largest(values_BC: Floats, k: int) -> Floats:
    """[B] the k-th largest value of each row, 1 <= k <= C; no NaN."""
    assert 1 <= k <= values_BC.shape[1], (k, values_BC.shape)
    bar_B = _bound(values_BC, k)
    above_BC = values_BC > bar_B[:, None]
    count_B = above_BC.sum(axis=1)
    rows = np.flatnonzero(count_B >= k)
    if len(rows):
        count_R = count_B[rows]
        values = values_BC[above_BC & (count_B >= k)[:, None]]  # end to end, row after row
        cells_RM = np.repeat(bar_B[rows, None], int(count_R.max()), axis=1)
        cells_RM[np.arange(cells_RM.shape[1]) < count_R[:, None]] = values
        bar_B[rows] = _select(cells_RM, k)
    return bar_B


def _bound(values_BC: Floats, k: int) -> Floats:
    """[B] at most the k-th largest, and close to it; the k-th itself of short rows."""
    num_rows, num_columns = values_BC.shape
    width = min(MOST_BLOCK, num_columns // (2 * k))
    if width < LEAST_BLOCK:
        return _select(values_BC, k)
    num_blocks = num_columns // width
    blocks = values_BC[:, : num_blocks * width].reshape(num_rows, num_blocks, width)
    return _select(blocks.max(axis=2), k)


def _select(values_BC: Floats, k: int) -> Floats:
    """By numpy, from the end at which values differ."""
    selected: Floats = -np.partition(-values_BC, k - 1, axis=1)[:, k - 1]
    return selected
