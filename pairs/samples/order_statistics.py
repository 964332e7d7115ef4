"""The n-th smallest of more numbers than fit in memory, by counting: each pass narrows the range it can be in."""

from collections.abc import Callable, Iterable

import numpy as np

from pairs.tables import Ints

BINS = 1 << 16


def nth_smallest(pieces: Callable[[], Iterable[Ints]], place: int) -> int:
    """The number at `place` (from 0) if all pieces were sorted into one; `pieces` is called once a pass."""
    bounds = [(int(piece.min()), int(piece.max())) for piece in pieces() if len(piece)]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    while low < high:
        width = -(-(high - low + 1) // BINS)
        counts = np.zeros(BINS, dtype=np.int64)
        below = 0
        for piece in pieces():
            below += int((piece < low).sum())
            inside = piece[(piece >= low) & (piece <= high)]
            counts += np.bincount((inside - low) // width, minlength=BINS)
        chosen = int(np.searchsorted(below + np.cumsum(counts), place, side="right"))
        low, high = low + chosen * width, min(low + (chosen + 1) * width - 1, high)
    return low
