"""Draws of rows that a seed decides."""

import numpy as np
import numpy.typing as npt

from pairs.tables import Samples


def draw_rows(num_rows: int, most: int | None, *, seed: int) -> npt.NDArray[np.int64]:
    """All of `num_rows` rows, or `most` of them at random, in their order; None: no limit."""
    if most is None or num_rows <= most:
        return np.arange(num_rows, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(num_rows, size=most, replace=False)).astype(np.int64)


def draw_users(user_N: npt.NDArray[np.int64], most: int | None, *, seed: int) -> npt.NDArray[np.int64]:
    """All rows, or those of random users: as many whole users as fit into `most` rows, at least one; None: no limit."""
    if most is None or len(user_N) <= most:
        return np.arange(len(user_N), dtype=np.int64)
    users, user_row_N, counts_U = np.unique(user_N, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(users))
    num_users = max(1, int(np.searchsorted(np.cumsum(counts_U[order]), most, side="right")))
    return np.flatnonzero(np.isin(user_row_N, order[:num_users]))


def sample_of_users(samples: Samples, most: int | None, seed: int) -> Samples:
    """All samples, or those of random users, as in `draw_users`; None: all."""
    if most is None or len(samples) <= most:
        return samples
    return samples.take(draw_users(samples.user, most, seed=seed))
