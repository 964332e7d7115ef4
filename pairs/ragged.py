"""Rows of different lengths as one flat array: the arithmetic of lengths, offsets, rows and places.

N rows of `lengths` [N] lie end to end in T cells; `offsets` [N + 1] say where each begins, the last where all end.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def offsets_of(lengths: npt.ArrayLike) -> Ints:
    """Where each row begins, and where the last ends [N + 1]."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def rows_of(lengths: npt.ArrayLike) -> Ints:
    """The row of every cell [T]."""
    lengths = np.asarray(lengths, dtype=np.int64)
    return np.repeat(np.arange(len(lengths)), lengths)


def places_of(lengths: npt.ArrayLike) -> Ints:
    """The place of every cell in its row, from 0 [T]."""
    return segments(np.zeros(len(np.asarray(lengths)), dtype=np.int64), lengths)


def segments(begins: Ints, lengths: npt.ArrayLike) -> Ints:
    """The flat places of the segments `begins[n] ... begins[n] + lengths[n] - 1`, one segment after another [T]."""
    lengths = np.asarray(lengths, dtype=np.int64)
    shift = begins - (np.cumsum(lengths) - lengths)  # from a cell's place in the result to where it is taken from
    places: Ints = np.arange(int(lengths.sum())) + np.repeat(shift, lengths)
    return places
