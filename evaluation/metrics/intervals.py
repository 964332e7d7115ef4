"""Uncertainty by bootstrap over users: the samples of one user are alike, so users are drawn, not samples."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]
DRAW_CELLS = 1 << 24
"""User draws held at once."""
MOST_UNITS = 20_000
"""Users that are drawn one by one; more are put into so many groups at random, which are drawn: as good an interval, at
a cost that does not grow with the users."""


@dataclass(frozen=True)
class Difference:
    """A paired difference of means, first minus second."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided bootstrap probability of a difference of the other sign or none."""


def bootstrap_means(values_NF: Array, user_N: NDArray[np.int64], *, resamples: int, seed: int) -> Array:
    """[R, F] the means of F columns in R resamples of the users; a drawn user brings all their samples.

    Equal users, resamples and seed give equal draws, whatever the columns: means of two systems stay paired.
    """
    sums_UF, counts_U = _grouped(*sums_by_user(values_NF, user_N), seed=seed)
    num_users = len(counts_U)
    means_RF = np.empty((resamples, values_NF.shape[1]))
    random = np.random.default_rng(seed)
    at_once = max(1, DRAW_CELLS // num_users)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn_RU = random.integers(num_users, size=(rows, num_users)) + np.arange(rows)[:, None] * num_users
        times_RU = np.bincount(drawn_RU.ravel(), minlength=rows * num_users).reshape(rows, num_users)
        weights_RU = times_RU.astype(np.float64)
        means_RF[start : start + rows] = (weights_RU @ sums_UF) / (weights_RU @ counts_U)[:, None]
    return means_RF


def interval(means_RF: Array) -> Array:
    """[2, F] the 95 % percentile interval of each column."""
    return np.quantile(means_RF, [0.025, 0.975], axis=0)


def paired_difference(
    first_NF: Array, second_NF: Array, user_N: NDArray[np.int64], *, resamples: int, seed: int
) -> list[Difference]:
    """For each of F metrics, how much the first system is above the second on the same samples."""
    apart_NF = first_NF - second_NF
    means_RF = bootstrap_means(apart_NF, user_N, resamples=resamples, seed=seed)
    low_F, high_F = interval(means_RF)
    smaller_F = np.minimum((means_RF <= 0).sum(axis=0), (means_RF >= 0).sum(axis=0))
    p_F = np.minimum(1.0, 2.0 * (smaller_F + 1) / (resamples + 1))
    return [
        Difference(float(mean), float(low), float(high), float(p))
        for mean, low, high, p in zip(apart_NF.mean(axis=0), low_F, high_F, p_F, strict=True)
    ]


def _grouped(sums_UF: Array, counts_U: Array, *, seed: int) -> tuple[Array, Array]:
    """The sums and numbers of samples of users or, of many, of random groups of them."""
    if len(counts_U) <= MOST_UNITS:
        return sums_UF, counts_U
    group_U = np.random.default_rng(seed).permutation(len(counts_U)) % MOST_UNITS
    both_GF, _ = sums_by_user(np.column_stack([sums_UF, counts_U]), group_U)
    return both_GF[:, :-1], both_GF[:, -1]


def standard_error(values_N: Array, user_N: NDArray[np.int64]) -> float:
    """Standard error of a mean whose samples come in users."""
    sums_UF, counts_U = sums_by_user(values_N[:, None], user_N)
    apart_U = sums_UF[:, 0] - counts_U * values_N.mean()
    return float(np.sqrt((apart_U**2).sum()) / len(values_N))


def sums_by_user(values_NF: Array, user_N: NDArray[np.int64]) -> tuple[Array, Array]:
    """[U, F] sums and [U] numbers of samples of each user, in user order."""
    users, row_N = np.unique(user_N, return_inverse=True)
    member_UN = sp.csr_matrix((np.ones(len(user_N)), (row_N, np.arange(len(user_N)))), shape=(len(users), len(user_N)))
    return np.asarray(member_UN @ values_NF), np.bincount(row_N, minlength=len(users)).astype(np.float64)
