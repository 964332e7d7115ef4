"""The order of many rows by several whole numbers, and each of such rows once."""

import math

import numpy as np
from numpy.typing import NDArray

from pairs.ragged import Ints

MOST_PACKED = 1 << 63


def lex_order(*keys: Ints) -> Ints:
    """[N] the rows in order of the first of `keys` [N] each, of those that are equal by the second, and so on; as
    `np.lexsort` has it, but of whole numbers: several share a word, and what is in order already is not sorted."""
    order: Ints | None = None
    for word_N in _packed(keys):
        in_order_N = word_N if order is None else word_N[order]
        if (in_order_N[1:] >= in_order_N[:-1]).all():
            continue
        step = np.argsort(in_order_N, kind="stable")
        order = step if order is None else order[step]
    return np.arange(len(keys[0])) if order is None else order.astype(np.int64, copy=False)


def distinct_rows(*keys: Ints) -> tuple[Ints, ...]:
    """The distinct rows of `keys` [N] each, in order: as many columns [M].

    Where a row fits into a word of 63 bits the words are sorted in their place, in a third of an order's memory.
    """
    lows, widths = zip(*(_span(key_N) for key_N in keys), strict=True)
    if math.prod(widths) >= MOST_PACKED:
        order = lex_order(*keys)
        order = order[np.logical_or.reduce([_differs(key_N[order]) for key_N in keys])]
        return tuple(key_N[order] for key_N in keys)
    word_N = np.zeros(len(keys[0]), dtype=np.int64)
    for key_N, low, width in zip(keys, lows, widths, strict=True):
        word_N *= width
        word_N += key_N
        word_N -= low
    word_N.sort()
    word_N = word_N[_differs(word_N)]
    columns: list[Ints] = []
    for low, width in zip(reversed(lows), reversed(widths), strict=True):
        columns.append(word_N % width + low)
        word_N //= width
    return tuple(reversed(columns))


def _differs(sorted_N: Ints) -> NDArray[np.bool_]:
    """[N] the first row, and those that are not as the row before."""
    differs_N = np.ones(len(sorted_N), dtype=bool)
    differs_N[1:] = sorted_N[1:] != sorted_N[:-1]
    return differs_N


def _span(key_N: Ints) -> tuple[int, int]:
    """The least value, and how many there are from it to the greatest."""
    low, high = (int(key_N.min()), int(key_N.max())) if len(key_N) else (0, 0)
    return low, high - low + 1


def _packed(keys: tuple[Ints, ...]) -> list[Ints]:
    """Words [N] of 63 bits at most that hold the keys, the least significant word first."""
    words: list[Ints] = []
    span = 1  # values that the last word tells apart
    for key_N in reversed(keys):
        low, width = _span(key_N)
        if words and span * width <= MOST_PACKED:
            words[-1] = words[-1] + (key_N.astype(np.int64, copy=False) - low) * span
            span *= width
        else:
            words.append(key_N - low if width <= MOST_PACKED else key_N)
            span = width
    return words
