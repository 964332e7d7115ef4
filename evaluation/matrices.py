"""Sparse matrices of what train users did and of what a sample asks with.

Several train samples of one user (the twins of Art-Office, the growing histories of a chronological split) are merged:
a user counts once for an item, once for a transition.
"""

from collections.abc import Mapping
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


def user_item_matrix(train: Samples, num_items: int) -> Sparse:
    """[U, I] ones where a train user's histories or targets hold an item; one row a user, in user order."""
    users, user_row_N = np.unique(train.user, return_inverse=True)
    rows = np.concatenate([np.repeat(user_row_N, train.lengths), user_row_N])
    rows, columns = distinct_rows(rows, np.concatenate([train.history, train.target]))
    offsets = offsets_of(np.bincount(rows, minlength=len(users)))
    return sp.csr_matrix((np.ones(len(rows), dtype=np.float32), columns, offsets), shape=(len(users), num_items))


def latest_times(train: Samples, bought_UI: Sparse) -> Ints:
    """[E] when a user bought an item last, for each one of `user_item_matrix`, in its order."""
    assert train.history_time is not None
    assert train.target_time is not None
    user_row_N = np.unique(train.user, return_inverse=True)[1]
    cell = np.concatenate([np.repeat(user_row_N, train.lengths), user_row_N]) * np.int64(bought_UI.shape[1])
    cell += np.concatenate([train.history, train.target])
    order = lex_order(cell)
    cell = cell[order]
    begins_E = np.flatnonzero(np.concatenate([[True], cell[1:] != cell[:-1]])[: len(cell)])
    assert len(begins_E) == bought_UI.nnz
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
    # of the steps of one user that are the same one counts: twin samples repeat theirs
    _, before, after = distinct_rows(*successions(train, item_domain, within_domain=within_domain))
    ones = np.ones(len(before), dtype=np.float32)
    counts = sp.csr_matrix((ones, (before, after)), shape=(num_items, num_items))
    totals = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    return sp.csr_matrix(sp.diags_array((1.0 / totals).astype(np.float32)) @ counts)


def successions(train: Samples, item_domain: NDArray[Any], *, within_domain: bool) -> tuple[Ints, Ints, Ints]:
    """(user, item, next item) for every step of every sample, in the mixed sequence or inside one domain."""
    row, items = sequences_with_target(train)
    if within_domain:  # bring each sample's items of one domain together; the order inside stays
        order = np.lexsort((np.arange(len(items)), item_domain[items], row))
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
