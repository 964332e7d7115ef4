"""What every index answers: the best keys of each query, as scores and ids or both in one number.

Packed, a result is one int64: the score in the upper half, falling, and the id in the lower. Sorting such numbers puts
the best first and ties by lower id, whatever part of the keys they came from; half of a sort's work, and of what ranks
send each other, is saved beside scores and ids apart.
"""

from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from retrieval.fixed_point import Floats

Ints = npt.NDArray[np.int64]
Query = TypeVar("Query", contravariant=True)
MOST_IDS = 2**32 - 1
NOBODY = 0x7F800000FFFFFFFF
"""Score -inf, id -1, packed; sorts last."""
WIDE = 16
"""Times as many as are wanted: then it is faster to set those apart before they are sorted."""


class TopKIndex(Protocol[Query]):
    """Keys that can be searched, by vectors [B, d] or by what else has B rows."""

    def search(self, queries: Query, k: int, before: Ints | None = None) -> tuple[Floats, Ints]:
        """The k keys of largest inner product: scores [B, k] and ids [B, k], best first, ties by lower id.

        Where there are fewer than k keys the rows end with score -inf, id -1.

        Args:
            before: times [B]; only keys whose own time is earlier count. An index of keys without times takes none.
        """
        ...


def pack(scores: Floats, ids: Ints) -> Ints:
    """Scores and ids (-1 or below 2^32 - 1) as numbers that rise from the best to the worst."""
    bits = np.ascontiguousarray(scores + np.float32(0.0)).view(np.int32)  # + 0: minus zero is zero
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    packed: Ints = (~rising).astype(np.int64) << 32
    packed |= ids & 0xFFFFFFFF
    return packed


def unpack(packed: Ints) -> tuple[Floats, Ints]:
    """The scores and ids of `pack`."""
    rising = ~(packed >> 32).astype(np.int32)
    scores = (rising ^ ((rising >> 31) & 0x7FFFFFFF)).view(np.float32)
    ids = packed & 0xFFFFFFFF
    return scores, np.where(ids == MOST_IDS, -1, ids)


def best_of(packed: Ints, k: int) -> Ints:
    """The first k of each row [B, M], in order [B, k]; shorter rows end with `NOBODY`."""
    if packed.shape[1] < k:
        return np.sort(np.pad(packed, ((0, 0), (0, k - packed.shape[1])), constant_values=NOBODY), axis=1)
    if packed.shape[1] >= WIDE * k:  # as of many shards
        packed = np.partition(packed, k - 1, axis=1)[:, :k]
    return np.sort(packed, axis=1)[:, :k]


def pad_results(scores: Floats, ids: Ints, k: int) -> tuple[Floats, Ints]:
    """Results [B, depth] as [B, k]: shorter rows end with score -inf, id -1."""
    missing = k - scores.shape[1]
    if missing <= 0:
        return scores[:, :k], ids[:, :k]
    return (
        np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf),
        np.pad(ids, ((0, 0), (0, missing)), constant_values=-1),
    )
