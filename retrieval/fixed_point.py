"""Vectors on a grid: their inner products come out bit for bit the same in any order, on any device.

Floating-point sums depend on the order of addition, so on the shape of the matrix product, the number of threads and
the kernel: near ties would then flip with the number of ranks. Vectors no longer than one whose components are
multiples of 2^-11 have products that are multiples of 2^-22 and partial sums below 4: every one of them is exact in
float32 (and in TF32, whose 11 bits hold each component). A cosine is off by about 2e-4 (one standard deviation),
whatever the width.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
STEPS = float(2**11)


def to_grid(vectors: Floats) -> Floats:
    """Round the components of vectors [N, d] that are no longer than one to multiples of 2^-11."""
    return np.asarray(np.rint(vectors * STEPS) / STEPS, dtype=np.float32)


def to_unit_length(vectors: Floats) -> Floats:
    """Divide each row [N, d] by its length; rows of zeros stay."""
    lengths = row_lengths(vectors)
    return (vectors / np.where(lengths > 0, lengths, 1.0)[:, None]).astype(np.float32)


def row_lengths(vectors: Floats) -> npt.NDArray[np.float64]:
    """Euclidean lengths [N]. numpy sums each row by itself, so a row's length does not depend on its block."""
    doubles = np.ascontiguousarray(vectors, dtype=np.float64)
    return np.asarray(np.sqrt((doubles * doubles).sum(axis=1)))
