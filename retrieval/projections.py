"""Item tables: one vector an item, such that a user's vector is the sum over the history.

Two parts of a hybrid vector are made so: *items*, the TF-IDF bag of the history's items under a truncated SVD, so that
users who share rare items are near; and *text*, the words of the items' titles and attributes under another. Both are
fitted on train alone: items that no train history holds get no item vector, and a text vector from their words.
"""

import logging

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from evaluation.tfidf import TELLING_WORDS, Words, item_texts
from pairs.draws import draw_rows
from pairs.tables import Ints, Items, Samples
from retrieval.fixed_point import Floats, to_unit_length
from retrieval.keys import Keys

log = logging.getLogger(__name__)
POWER_STEPS = 4  # of the randomised SVD; more change the hit rate by less than its standard error
ITEMS_AT_ONCE = 100_000


def fit_item_table(train: Samples, keys: Keys, *, num_items: int, dim: int, max_rows: int, seed: int) -> Floats:
    """Item overlap: [I, dim], so that `bag_of_items(...) @ table` is the projected TF-IDF bag."""
    weights = inverse_frequencies(train, keys, num_items=num_items)
    rows = keys.row[draw_rows(len(keys), max_rows, seed=seed)]
    bags = unit_rows(bag_of_items(train, rows, num_items=num_items) @ sp.diags_array(weights))
    directions = leading_directions(bags, dim, seed=seed)
    return (directions * weights[:, None]).astype(np.float32)


def fit_text_table(items: Items, *, dim: int, max_rows: int, seed: int) -> Floats:
    """Text: [I, dim], each item's words as a vector of length one (zeros where it has no known word); [I, 0] where no
    two items of train share a word."""
    texts = item_texts(items)
    trained = np.flatnonzero(items.train_count > 0)
    fitted = trained[draw_rows(len(trained), max_rows, seed=seed)]
    words = Words([texts[item] for item in fitted], TELLING_WORDS, dtype=np.float64)
    if words.num_words == 0:
        return np.zeros((items.num_items, 0), dtype=np.float32)
    directions = leading_directions(sp.csr_array(words.fitted), dim, seed=seed)
    blocks = [
        np.asarray(words.vectors(texts[start : start + ITEMS_AT_ONCE]) @ directions, dtype=np.float32)
        for start in range(0, len(texts), ITEMS_AT_ONCE)
    ]
    return to_unit_length(np.concatenate(blocks))


def inverse_frequencies(train: Samples, keys: Keys, *, num_items: int) -> npt.NDArray[np.float64]:
    """`log((1 + U) / (1 + users of the item)) + 1` for every item [I]; 0 for items of no train history."""
    kept = train.take(keys.row)
    users = np.unique(keys.user)
    pairs = np.unique(np.searchsorted(users, np.repeat(keys.user, kept.lengths)) * num_items + kept.history)
    num_users_of = np.bincount(pairs % num_items, minlength=num_items)
    weights = np.log((1 + len(users)) / (1 + num_users_of)) + 1
    return np.where(num_users_of > 0, weights, 0.0)


def bag_of_items(samples: Samples, rows: Ints, *, num_items: int) -> sp.csr_array:
    """How often each item is in each history: [len(rows), I]."""
    kept = samples.take(rows)
    ones = np.ones(len(kept.history), dtype=np.float32)
    return sp.csr_array((ones, kept.history, kept.offsets), shape=(len(rows), num_items))


def unit_rows(matrix: sp.csr_array) -> sp.csr_array:
    """Each row divided by its length; rows of zeros stay."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sp.csr_array(sp.diags_array(1 / np.where(lengths > 0, lengths, 1.0)) @ matrix)


def leading_directions(matrix: sp.csr_array, dim: int, *, seed: int) -> npt.NDArray[np.float64]:
    """The right singular vectors [columns, <= dim] of the largest singular values, fewer where the rank is lower."""
    from sklearn.utils.extmath import randomized_svd  # a second that only those who fit need to wait

    dim = min(dim, *matrix.shape)
    with threadpool_limits(limits=1):  # the number of threads would change the last bits
        _, values, directions = randomized_svd(
            matrix.astype(np.float64), dim, n_iter=POWER_STEPS, random_state=seed, flip_sign=True
        )
    kept = values > 1e-6 * values[0]
    log.info("%d directions of %d x %d", int(kept.sum()), *matrix.shape)
    return np.asarray(directions[kept].T, dtype=np.float64)
