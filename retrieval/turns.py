"""Who answers which samples: contiguous shares of a stretch of rows, a few rows of every share at a time.

All ranks are asked the same rows in one turn, and each has the answers to its own share of them. Over the turns of a
stretch a rank's answers are contiguous, as many as a block holds whatever the number of ranks: one part file.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pairs.ragged import offsets_of
from pairs.tables import Ints


@dataclass(frozen=True)
class Turn:
    """Rows that are asked together."""

    rows: Ints
    """Increasing."""
    cuts: tuple[int, ...]
    """Answers of `rows[cuts[r] : cuts[r + 1]]` are rank r's."""
    is_last: bool
    """Whether every rank's share of the stretch ends with it."""

    def of_rank(self, rank: int) -> Ints:
        """The rows whose answers are one rank's."""
        return self.rows[self.cuts[rank] : self.cuts[rank + 1]]


def turns_of(gaps: Iterable[range], *, block: int, size: int) -> list[Turn]:
    """Turns that cover the rows of `gaps` once, of at most about `block` rows each, for `size` ranks."""
    return [
        turn for gap in gaps for stretch in block_ranges(gap, block * size) for turn in _turns(stretch, block, size)
    ]


def block_ranges(rows: range, block: int) -> list[range]:
    """`rows` in blocks, whatever the number of ranks."""
    return [rows[start : start + block] for start in range(0, len(rows), block)]


def even_cuts(length: int, size: int) -> tuple[int, ...]:
    """Where `length` rows are cut into `size` shares in order."""
    return tuple(rank * length // size for rank in range(size + 1))


def _turns(stretch: range, block: int, size: int) -> list[Turn]:
    shares = even_cuts(len(stretch), size)
    number = -(-len(stretch) // block)
    turns = []
    for turn in range(number):
        pieces = []
        for start, stop in itertools.pairwise(shares):
            piece = even_cuts(stop - start, number)
            pieces.append(stretch[start + piece[turn] : start + piece[turn + 1]])
        rows = np.concatenate([np.arange(piece.start, piece.stop) for piece in pieces])
        cuts = offsets_of([len(piece) for piece in pieces])
        if len(rows):
            turns.append(Turn(rows, tuple(int(cut) for cut in cuts), is_last=turn + 1 == number))
    return turns
