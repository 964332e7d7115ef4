"""Each history of a batch once: what several samples share is worked out a single time and counts several times."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graph.batches import Batch

ODD = 0x5851F42D4C957F2D
"""Knuth's multiplier of a 64-bit linear congruence."""


@dataclass(frozen=True)
class DistinctHistories:
    """U histories of B samples."""

    history: Tensor  # [U, L]
    first: Tensor  # [U], a sample that has it
    row: Tensor  # [B], which history a sample has
    times: Tensor  # [U], how many samples have it
    key: Tensor  # [U], the same for the same user and history, on whatever rank


def distinct_histories(batch: Batch, *, merge: bool) -> DistinctHistories:
    """Those of a user that are equal, together: by a hash of 64 bits, in which others practically never meet.

    Args:
        merge: whether to look for them; else every sample has a history of its own, and its id as the key.
    """
    every_B = torch.arange(len(batch), device=batch.history.device)
    if not merge:
        return DistinctHistories(batch.history, every_B, every_B, torch.ones_like(every_B), batch.sample)
    key_B = batch.user + 1
    for column_B in batch.history.T:
        key_B = key_B * ODD + column_B + 1  # modulo 2^64
    key_U, row_B, times_U = torch.unique(key_B, return_inverse=True, return_counts=True)
    first_U = torch.full_like(times_U, len(batch)).scatter_reduce(0, row_B, every_B, "amin")
    return DistinctHistories(batch.history[first_U], first_U, row_B, times_U, key_U)


def distinct_positions(
    row_P: Tensor, place_P: Tensor, item_P: Tensor, *, length: int, num_items: int
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Equal (row, place, item) once, and how often each comes."""
    key, times = torch.unique((row_P * length + place_P) * num_items + item_P, return_counts=True)
    return (key // num_items // length, key // num_items % length, key % num_items), times
