"""Draws of rows that a seed decides."""

import numpy as np
import numpy.typing as npt


def draw_rows(num_rows: int, most: int | None, *, seed: int) -> npt.NDArray[np.int64]:
    """All of `num_rows` rows, or `most` of them at random, in their order; None: no limit."""
    if most is None or num_rows <= most:
        return np.arange(num_rows, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(num_rows, size=most, replace=False)).astype(np.int64)
