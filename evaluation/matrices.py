"""Sparse matrices of what train users did and of what a sample asks with.

Several train samples of one user (the twins of Art-Office, the growing histories of a chronological split) are merged:
a user counts once for an item, once for a transition.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pairs.orders import distinct_rows, lex_order
from pairs.ragged import offsets_of, rows_of
from pairs.tables import Ints, Items, Samples

Floats: TypeAlias = NDArray[np.float32]
Sparse: TypeAlias = "sp.csr_matrix[np.float32]"
DAY = 86_400
"""Seconds."""
PART = 1 << 22
"""Purchases that are looked at together where a user's count once."""


def csr_arrays(name: str, matrix: Sparse) -> dict[str, NDArray[Any]]:
    """A matrix as arrays that can be kept; the order inside its rows stays, for sums depend on it."""
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices,
        f"{name}.indptr": matrix.indptr,
        f"{name}.shape": np.array(matrix.shape, dtype=np.int64),
    }


def csr_of(name: str, arrays: Mapping[str, NDArray[Any]]) -> Sparse:
    """The matrix of `csr_arrays`."""
    data, indices, indptr, shape = (arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr", "shape"))
    return sp.csr_matrix((data, indices, indptr), shape=tuple(shape.tolist()), copy=False)


def parts_of_users(samples: Samples) -> Iterator[Samples]:
    """The samples of some users, then those of the next, in the users' order: each time `PART` purchases and at most
    one user's more, for what is counted by user need not lie in memory for all at once. At least one part."""
    users, user_row_N = np.unique(samples.user, return_inverse=True)
    purchases_U = np.bincount(user_row_N, weights=samples.lengths + 1, minlength=len(users))
    part_U = ((np.cumsum(purchases_U) - purchases_U) // PART).astype(np.int64)
    if len(users) == 0 or part_U[-1] == 0:
        yield samples
        return
    order = lex_order(part_U[user_row_N])
    for rows in np.split(order, np.flatnonzero(np.diff(part_U[user_row_N[order]])) + 1):
        yield samples.take(rows)


def user_item_matrix(train: Samples, num_items: int) -> Sparse:
    """[U, I] ones where a train user's histories or targets hold an item; one row a user, in user order."""
    counts, columns = [], []
    for part in parts_of_users(train):
        users, user_row_N = np.unique(part.user, return_inverse=True)
        rows = np.concatenate([np.repeat(user_row_N, part.lengths), user_row_N])
        rows, items = distinct_rows(rows, np.concatenate([part.history, part.target]))
        counts.append(np.bincount(rows, minlength=len(users)))
        columns.append(items.astype(np.int32))
    offsets, column_E = offsets_of(np.concatenate(counts)), np.concatenate(columns)
    ones_E = np.ones(len(column_E), dtype=np.float32)
    return sp.csr_matrix((ones_E, column_E, offsets), shape=(len(offsets) - 1, num_items))


def latest_times(train: Samples, bought_UI: Sparse) -> Ints:
    """[E] when a user bought an item last, for each one of `user_item_matrix`, in its order."""
    latest_E = np.concatenate([_latest_times(part, bought_UI.shape[1]) for part in parts_of_users(train)])
    assert len(latest_E) == bought_UI.nnz
    return latest_E


def _latest_times(train: Samples, num_items: int) -> Ints:
    assert train.history_time is not None
    assert train.target_time is not None
    user_row_N = np.unique(train.user, return_inverse=True)[1]
    cell = np.concatenate([np.repeat(user_row_N, train.lengths), user_row_N]) * np.int64(num_items)
    cell += np.concatenate([train.history, train.target])
    order = lex_order(cell)
    cell = cell[order]
    begins_E = np.flatnonzero(np.concatenate([[True], cell[1:] != cell[:-1]])[: len(cell)])
    if len(begins_E) == 0:
        return begins_E
    return np.maximum.reduceat(np.concatenate([train.history_time, train.target_time])[order], begins_E)


def fading_matrix(bought_UI: Sparse, latest_E: Ints, *, end: int, half_life: float) -> Sparse:
    """[U, I] `bought_UI`, a purchase counting 1/2 ** (its age at `end` / `half_life` days)."""
    weight_E = (0.5 ** ((end - latest_E) / (half_life * DAY))).astype(np.float32)
    return sp.csr_matrix((weight_E, bought_UI.indices, bought_UI.indptr), shape=bought_UI.shape, copy=False)


def transition_matrix(train: Samples, item_domain: NDArray[Any], *, within_domain: bool) -> Sparse:
    """[I, I] from an item to the next, counted by users, rows summing to 1.

    Args:
        item_domain: the items' domains [I].
        within_domain: the next item of the same domain instead of the next item of the mixed sequence.
    """
    num_items = len(item_domain)
    before, after = [], []
    for part in parts_of_users(train):  # of the steps of one user that are the same one counts: twins repeat theirs
        _, item, following = distinct_rows(*successions(part, item_domain, within_domain=within_domain))
        before.append(item.astype(np.int32))
        after.append(following.astype(np.int32))
    edges = np.concatenate(before), np.concatenate(after)
    counts = sp.csr_matrix((np.ones(len(edges[0]), dtype=np.float32), edges), shape=(num_items, num_items))
    totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    return sp.csr_matrix(sp.diags_array((1.0 / totals).astype(np.float32)) @ counts)


def successions(train: Samples, item_domain: NDArray[Any], *, within_domain: bool) -> tuple[Ints, Ints, Ints]:
    """(user, item, next item) for every step of every sample, in the mixed sequence or inside one domain."""
    row, items = sequences_with_target(train)
    if within_domain:  # bring each sample's items of one domain together; the order inside stays
        order = lex_order(row, item_domain[items])
        row, items = row[order], items[order]
    follows = row[1:] == row[:-1]
    if within_domain:
        follows &= item_domain[items[1:]] == item_domain[items[:-1]]
    return train.user[row[:-1]][follows], items[:-1][follows], items[1:][follows]


def sequences_with_target(samples: Samples) -> tuple[Ints, Ints]:
    """Every history followed by its target, end to end: (row of the sample, item)."""
    lengths_N = samples.lengths + 1
    ends_N = np.cumsum(lengths_N)
    row = rows_of(lengths_N)
    items = np.empty(len(row), dtype=np.int64)
    is_target = np.zeros(len(row), dtype=bool)
    is_target[ends_N - 1] = True
    items[is_target], items[~is_target] = samples.target, samples.history
    return row, items


def recency_matrix(samples: Samples, decay: float, num_items: int) -> Sparse:
    """[N, I] decay ** (items after it) for every history item; an item that occurs twice counts at its latest.

    A decay of 0 leaves the last item alone.
    """
    row = samples.item_rows
    after = np.repeat(samples.offsets[1:], samples.lengths) - 1 - np.arange(len(samples.history))
    order = np.lexsort((after, samples.history, row))
    row, item, after = row[order], samples.history[order], after[order]
    latest = np.ones(len(row), dtype=bool)
    latest[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
    weights = np.power(decay, after[latest], dtype=np.float64).astype(np.float32)
    matrix = sp.csr_matrix((weights, (row[latest], item[latest])), shape=(len(samples), num_items))
    matrix.eliminate_zeros()
    return matrix


def split_columns(matrix: Sparse, items: Items, domain: int) -> Sparse:
    """The columns of one domain's items."""
    ids = items.ids(domain)
    return sp.csr_matrix(matrix[:, ids.start : ids.stop])


def dense(product: Sparse) -> Floats:
    """A sparse batch of scores as a dense one."""
    return np.asarray(product.toarray(), dtype=np.float32)
