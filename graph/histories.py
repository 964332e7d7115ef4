"""The items of a batch of histories, one after the other."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Entries:
    """The real items of left-padded histories, N of them."""

    row: Tensor  # [N]
    item: Tensor  # [N]
    age: Tensor  # [N]
    """Items after it."""

    def is_of(self, first: int, size: int) -> Tensor:
        """[N] 1 where the item is one of `first .. first + size`."""
        return ((self.item >= first) & (self.item < first + size)).long()


def entries_of(history_BL: Tensor, pad: int) -> Entries:
    """In order of rows and places."""
    row_N, place_N = torch.nonzero(history_BL != pad, as_tuple=True)
    return Entries(row_N, history_BL[row_N, place_N], history_BL.shape[1] - 1 - place_N)
