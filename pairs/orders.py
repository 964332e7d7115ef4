"""The order of many rows by several whole numbers."""

import numpy as np

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


def _packed(keys: tuple[Ints, ...]) -> list[Ints]:
    """Words [N] of 63 bits at most that hold the keys, the least significant word first."""
    words: list[Ints] = []
    span = 1  # values that the last word tells apart
    for key_N in reversed(keys):
        low, high = (int(key_N.min()), int(key_N.max())) if len(key_N) else (0, 0)
        width = high - low + 1
        if words and span * width <= MOST_PACKED:
            words[-1] = words[-1] + (key_N.astype(np.int64, copy=False) - low) * span
            span *= width
        else:
            words.append(key_N - low if width <= MOST_PACKED else key_N)
            span = width
    return words
