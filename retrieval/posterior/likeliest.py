"""How much of what is expected is looked up: the likeliest items, until those who hold them are many enough.

What everybody holds tells no user from another, and to look up its holders takes as long as there are users. So users
are named by a sample's likeliest items, as many as have at most so many holders together, and who is named is scored
by all that is expected. How many hold an item is counted over all ranks: what is looked up does not depend on them.
"""

import numpy as np
import numpy.typing as npt

from evaluation.ranked_lists import NO_ITEM
from pairs.tables import Ints, Samples
from retrieval.fixed_point import Floats
from retrieval.indexes.topk import best_of, pack, unpack
from retrieval.posterior.coverage import ROWS_AT_ONCE, held_of, scores_of
from retrieval.posterior.expected import ExpectedItems
from retrieval.posterior.holders import length_roots

NAMED = 1.5
"""Times as many users are named as are asked for."""


def holders_of_lists(queries: ExpectedItems, num_holders: Ints) -> Ints:
    """[B, K] how many hold each item of the lists, of `num_holders` [I]."""
    return np.asarray(np.append(num_holders, 0)[queries.items])  # NO_ITEM is the last


def likeliest(queries: ExpectedItems, num_holders: Ints, most_B: Ints) -> ExpectedItems:
    """The likeliest items of each list whose holders are at most so many together.

    What does not fit is passed over for less likely items that do; where none fits, that with the fewest holders
    stays.

    Args:
        num_holders: [I] of each item.
    """
    holders_BK = holders_of_lists(queries, num_holders)
    order_BK = np.argsort(-queries.weights, axis=1, kind="stable")
    ordered_BK = np.take_along_axis(holders_BK, order_BK, axis=1)
    fits_BK = np.zeros(order_BK.shape, dtype=bool)
    left_B = most_B.copy()
    for place in range(order_BK.shape[1]):
        fits_BK[:, place] = ordered_BK[:, place] <= left_B
        left_B -= np.where(fits_BK[:, place], ordered_BK[:, place], 0)
    kept_BK = np.zeros(order_BK.shape, dtype=bool)
    np.put_along_axis(kept_BK, order_BK, fits_BK, axis=1)
    kept_BK &= queries.items != NO_ITEM
    _keep_the_rarest(kept_BK, queries, holders_BK)
    return ExpectedItems(np.where(kept_BK, queries.items, NO_ITEM), np.where(kept_BK, queries.weights, 0))


def _keep_the_rarest(kept_BK: npt.NDArray[np.bool_], queries: ExpectedItems, holders_BK: Ints) -> None:
    nothing = np.flatnonzero(~kept_BK.any(axis=1))
    if len(nothing) and holders_BK.shape[1]:
        is_none = queries.items[nothing] == NO_ITEM
        rarest = np.where(is_none, np.iinfo(np.int64).max, holders_BK[nothing]).argmin(axis=1)
        kept_BK[nothing, rarest] = ~is_none[np.arange(len(nothing)), rarest]


def best_by_all(
    queries: ExpectedItems, rows_BC: Ints, positions_BC: Ints, k: int, *, train: Samples, num_held_BC: Ints
) -> tuple[Floats, Ints]:
    """The k best of named users by all that is expected: scores and positions [B, k], as an index answers.

    Args:
        rows_BC: of `train`, -1 where nobody is named.
        positions_BC: of the same users among the keys.
        num_held_BC: how many items each one's history has.
    """
    scores_BC = np.empty(rows_BC.shape, dtype=np.float32)
    for start in range(0, len(queries), ROWS_AT_ONCE):
        some = np.arange(start, min(start + ROWS_AT_ONCE, len(queries)))
        cell_P, slot_P = held_of(queries[some], rows_BC[some], train)
        scores_BC[some] = scores_of(queries.weights[some], cell_P, slot_P, length_roots(num_held_BC[some]))
    scores_BC[rows_BC < 0] = -np.inf
    return unpack(best_of(pack(scores_BC, positions_BC), k))
