"""What late interaction knows of each item: three vectors, two out of who has it and one out of its words.

    shared  who has what of both domains     users x items, columns df ** -0.5, truncated SVD,
    within  who has what of its own domain   right singular vectors x root of the singular values
    words   TF-IDF of title and attributes, truncated SVD

Only directions count, so every vector is kept as whole numbers from -127 to 127 and the length of those: inner products
of up to 1,024 of them are exact in float32, in whatever order they are summed, on whatever device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from evaluation.matrices import user_item_matrix
from graph.co_occurrence import co_occurrence_vectors
from graph.words import Floats
from launch.state.kept import Arrays, KeptArrays
from pairs.tables import Items, Samples

Bytes: TypeAlias = npt.NDArray[np.int8]
LARGEST = 127
ROWS_AT_ONCE = 1 << 14


class CosineRoom:
    """Memory for the cosines of up to N items and D others, to be used again and again: new memory takes a system
    longer to give than it takes to fill.

    Inner products are exact either way: of bytes, where the processor multiplies them (AVX-512 VNNI: three times as
    fast as float32), or of floats.
    """

    def __init__(self, num_asked: int, num_items: int, device: torch.device, *, columns: int) -> None:
        self._shape, self._device = (num_asked, num_items), device
        self._said: dict[int, Tensor] = {}
        in_bytes = device.type == "cpu" and torch.cpu._is_vnni_supported() and columns > 1  # of one it is wrong
        self.dots = torch.empty(self._shape, dtype=torch.int32) if in_bytes else None

    def of(self, table: int) -> Tensor:
        """[N, D] what a table says."""
        if table not in self._said:
            self._said[table] = torch.empty(self._shape, device=self._device)
        return self._said[table]


@dataclass(frozen=True)
class ItemTables:
    """The vectors of all items; an item without users, or without words, has zeros there."""

    whole: Tensor  # [3, I, d] int8
    num_users: Tensor  # [I], of who is known

    def of(self, item_N: Tensor, table: int) -> Tensor:
        """Vectors of length one or zero, as far as bytes tell [N, d]."""
        return self.whole[table, item_N].float() * self._inverse_length[table, item_N][:, None]

    def cosines(self, item_N: Tensor, ids: range, table: int, room: "CosineRoom | None" = None) -> Tensor:
        """Of some items and all of `ids` [N, len(ids)]; in `room`, until it is asked for this table again."""
        asked_NK, own_DK = self.whole[table, item_N], self.whole[table, ids.start : ids.stop]
        inverse_I = self._inverse_length[table]
        room = CosineRoom(len(item_N), len(ids), asked_NK.device, columns=asked_NK.shape[1]) if room is None else room
        said_ND = room.of(table)[: len(item_N)]
        if room.dots is None:
            torch.mm(asked_NK.float(), own_DK.float().T, out=said_ND)
        else:
            said_ND.copy_(torch._int_mm(asked_NK, own_DK.T, out=room.dots[: len(item_N)]))
        return said_ND.mul_(inverse_I[item_N][:, None]).mul_(inverse_I[ids.start : ids.stop])

    @cached_property
    def _inverse_length(self) -> Tensor:
        """[3, I]; 0 for a vector of zeros."""
        length = torch.stack(
            [torch.cat([_squares(part) for part in table.split(ROWS_AT_ONCE)]) for table in self.whole]
        )
        return torch.where(length > 0, length.clamp_min(1).rsqrt(), 0.0)


def factorise(known: Samples, items: Items, *, dim: int) -> Bytes:
    """[2, I, dim] tables `shared` and `within` of what some users have."""
    bought_UI = user_item_matrix(known, items.num_items)
    num_x = items.num_x
    factors = np.empty((2, items.num_items, dim), dtype=np.int8)
    factors[0] = in_bytes(co_occurrence_vectors(bought_UI, dim=dim, seed=0))  # in bytes before the next is made
    for own in (slice(0, num_x), slice(num_x, None)):
        factors[1, own] = in_bytes(co_occurrence_vectors(sp.csr_matrix(bought_UI[:, own]), dim=dim, seed=0))
    return factors


def in_bytes(vectors: Floats) -> Bytes:
    """Each row as whole numbers, the largest of them 127 or -127; zeros stay."""
    whole = np.empty(vectors.shape, dtype=np.int8)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        part = vectors[start : start + ROWS_AT_ONCE]
        largest = np.abs(part).max(axis=1, keepdims=True, initial=0)
        scaled = np.divide(part * LARGEST, largest, out=np.zeros_like(part), where=largest > 0)
        whole[start : start + ROWS_AT_ONCE] = np.rint(scaled)
    return whole


def item_tables(factors: Bytes, words_IK: Floats, known: Samples) -> ItemTables:
    """From what `factorise` made of `known` and the items' text vectors [I, d]."""
    whole = np.concatenate([factors, in_bytes(words_IK)[None]])
    counts_I = np.asarray(user_item_matrix(known, len(words_IK)).sum(axis=0)).ravel()
    return ItemTables(torch.from_numpy(whole), torch.from_numpy(counts_I.astype(np.float32)))


def kept_item_tables(name: str, make: Callable[[], ItemTables], kept: KeptArrays) -> ItemTables:
    """Tables that the run keeps under a name, or that `make` makes."""

    def made() -> Arrays:
        tables = make()
        return {"whole": tables.whole.numpy(), "num_users": tables.num_users.numpy()}

    arrays = kept.arrays(name, made)
    return ItemTables(torch.from_numpy(arrays["whole"]), torch.from_numpy(arrays["num_users"]))


def _squares(whole_NK: Tensor) -> Tensor:
    """[N] squared lengths."""
    return whole_NK.float().square().sum(dim=1)
