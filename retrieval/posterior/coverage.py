"""Greedy coverage: each next user for what the earlier ones lack.

The nearest users by expectation have the same few likely items. Shown together, the second is worth what she has
beside the first: so of the best candidates that one is taken next whose items, less those of the users taken before,
score highest. Scores fall along a row, as each is the best of what is left.
"""

import numpy as np
import numpy.typing as npt

from evaluation.ranked_lists import NO_ITEM
from pairs.ragged import rows_of
from pairs.tables import Ints, Samples
from retrieval.fixed_point import Floats
from retrieval.posterior.expected import ExpectedItems
from retrieval.posterior.holders import length_roots, share_of

ROWS_AT_ONCE = 128


def cover(
    queries: ExpectedItems, candidates_BC: Ints, k: int, *, train: Samples, num_held_BC: Ints
) -> tuple[Floats, Ints]:
    """Take k of each row's candidates: what each adds [B, k], and where she stands among them [B, k].

    Args:
        candidates_BC: rows of `train`, best first, -1 where there are no more.
        num_held_BC: how many items each candidate's history has.

    Returns: rows that end with -inf, -1 where no candidate adds anything.
    """
    gains = np.full((len(queries), k), -np.inf, dtype=np.float32)
    places = np.full((len(queries), k), -1, dtype=np.int64)
    for start in range(0, len(queries), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(queries)))
        gains[rows], places[rows] = _cover(queries[rows], candidates_BC[rows], k, train, num_held_BC[rows])
    return gains, places


def _cover(
    queries: ExpectedItems, candidates_BC: Ints, k: int, train: Samples, num_held_BC: Ints
) -> tuple[Floats, Ints]:
    num_rows, num_candidates = candidates_BC.shape
    cell_P, slot_P = held_of(queries, candidates_BC, train)
    row_P = cell_P // max(1, num_candidates)
    roots_BC = length_roots(num_held_BC)
    left_BK = queries.weights.copy()
    gains = np.full((num_rows, k), -np.inf, dtype=np.float32)
    places = np.full((num_rows, k), -1, dtype=np.int64)
    every_B = np.arange(num_rows)
    for place in range(min(k, num_candidates)):
        gain_BC = scores_of(left_BK, cell_P, slot_P, roots_BC)
        best_B = gain_BC.argmax(axis=1)  # of equals the first, the better by itself
        gain_B = gain_BC[every_B, best_B]
        adds_B = gain_B > 0
        gains[adds_B, place], places[adds_B, place] = gain_B[adds_B], best_B[adds_B]
        taken_P = cell_P == (every_B * num_candidates + best_B)[row_P]
        left_BK[row_P[taken_P], slot_P[taken_P]] = 0
    return gains, places


def scores_of(weights_BK: Ints, cell_P: Ints, slot_P: Ints, roots_BC: npt.NDArray[np.float64]) -> Floats:
    """Candidates' scores [B, C] by the weights of what each holds, as `held_of` says it."""
    row_P = cell_P // max(1, roots_BC.shape[1])
    # Sums of whole numbers far below 2^53: exact in float64.
    sums = np.bincount(cell_P, weights=weights_BK[row_P, slot_P], minlength=roots_BC.size)
    return share_of(sums.reshape(roots_BC.shape), roots_BC)


def held_of(queries: ExpectedItems, candidates_BC: Ints, train: Samples) -> tuple[Ints, Ints]:
    """Every expected item of every candidate, once: the cell of [B, C] and the item's place in the list."""
    num_rows, num_slots = queries.items.shape
    cells = np.flatnonzero(candidates_BC.ravel() >= 0)
    kept = train.take(candidates_BC.ravel()[cells])
    row_Q, slot_Q = np.nonzero(queries.items != NO_ITEM)
    items, column_Q = np.unique(queries.items[row_Q, slot_Q], return_inverse=True)
    slot_of = np.full((num_rows, len(items) + 1), num_slots, dtype=np.int32)  # num_slots: the row expects no such item
    slot_of[row_Q, column_Q] = slot_Q
    width = 1 + max(int(items.max(initial=0)), int(kept.history.max(initial=0)))
    column_of = np.full(width, len(items), dtype=np.int64)
    column_of[items] = np.arange(len(items))
    cell_P = cells[rows_of(kept.lengths)]
    slot_P = slot_of[cell_P // max(1, candidates_BC.shape[1]), column_of[kept.history]]
    expected_P = slot_P < num_slots
    is_held = np.zeros(candidates_BC.size * num_slots, dtype=bool)
    is_held[cell_P[expected_P] * num_slots + slot_P[expected_P]] = True  # once, though some buy a thing twice
    held = np.flatnonzero(is_held)
    return held // max(1, num_slots), held % max(1, num_slots)
