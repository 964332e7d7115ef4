"""Prompts with the titles of their candidates behind them, so that one forward pass reads every title once.

    [padding] prompt, title of candidate 1, title of candidate 2, ...

A title sees the prompt and itself, and its positions go on from the prompt's end: as if it alone stood there. So
scores do not depend on the order of the candidates, nor on which others there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from pairs.ragged import offsets_of, places_of, segments
from pairs.tables import Ints
from training.ranking.candidates import CandidateLists
from training.ranking.titles import Titles

NOTHING = -1
"""The part of a packed row that is padding; 0 is the prompt, c + 1 the title of candidate c."""


@dataclass(frozen=True)
class PackedLists:
    """B prompts with at most C candidates each, padded on the left to T tokens."""

    input_ids: torch.Tensor  # [B, T]
    position_ids: torch.Tensor  # [B, T]
    part: torch.Tensor  # [B, T], NOTHING, 0 or 1 + the candidate's place
    last: torch.Tensor  # [B, C], where each title ends; 0 where there is no candidate
    present: torch.Tensor  # [B, C]

    def to(self, device: torch.device) -> "PackedLists":
        """The same on `device`."""
        return PackedLists(*(getattr(self, field.name).to(device) for field in fields(self)))

    def inputs(self, model: Any) -> dict[str, Any]:  # Any: a transformers model, bare or under DeepSpeed; its arguments
        """What `model` is called with."""
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "attention_mask": self.attention_mask(next(model.parameters()).dtype),
            "use_cache": False,
        }

    def attention_mask(self, dtype: torch.dtype) -> torch.Tensor:
        """[B, 1, T, T], to be added: 0 where a token (row) sees another (column), else the least number of `dtype`."""
        T = self.part.shape[1]
        asking, asked = self.part[:, :, None], self.part[:, None, :]
        places = torch.arange(T, device=self.part.device)
        seen = (places[:, None] >= places[None, :]) & ((asked == 0) | (asked == asking))  # padding sees padding: no NaN
        return torch.where(seen, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]


def pack(prompts: Sequence[Sequence[int]], candidates: CandidateLists, titles: Titles, *, pad: int) -> PackedLists:
    """Prompts of B samples and their candidates. No prompt at all gives one token of padding: a rank without work must
    still take part in the collectives of a forward pass."""
    if not prompts:
        one = torch.zeros((1, 1), dtype=torch.int64)
        return PackedLists(one + pad, one, one + NOTHING, one, one > 0)
    assert len(prompts) == len(candidates)
    title_lengths = titles.lengths[candidates.items]
    ends = offsets_of(title_lengths)
    behind = ends[candidates.offsets[1:]] - ends[candidates.offsets[:-1]]
    total = behind + np.array([len(prompt) for prompt in prompts])
    B, T, C = len(prompts), int(total.max()), max(1, int(candidates.lengths.max()))
    ids, positions = np.full((B, T), pad, dtype=np.int64), np.zeros((B, T), dtype=np.int64)
    part, last = np.full((B, T), NOTHING, dtype=np.int64), np.zeros((B, C), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        of_row = slice(*candidates.offsets[row : row + 2])
        lengths = title_lengths[of_row]
        start, middle = int(T - total[row]), int(T - behind[row])
        ids[row, start:middle] = prompt
        ids[row, middle:] = titles.tokens[segments(titles.offsets[candidates.items[of_row]], lengths)]
        positions[row, start:middle] = np.arange(len(prompt))
        positions[row, middle:] = len(prompt) + places_of(lengths)
        part[row, start:middle] = 0
        part[row, middle:] = np.repeat(np.arange(len(lengths)) + 1, lengths)
        last[row, : len(lengths)] = middle + np.cumsum(lengths) - 1
    present = np.arange(C)[None, :] < candidates.lengths[:, None]
    return PackedLists(*(torch.from_numpy(table) for table in (ids, positions, part, last, present)))


def packed_lengths(prompt_lengths: Ints, candidates: CandidateLists, titles: Titles) -> Ints:
    """[B] tokens of each prompt with its candidates."""
    ends = offsets_of(titles.lengths[candidates.items])
    return np.asarray(prompt_lengths + ends[candidates.offsets[1:]] - ends[candidates.offsets[:-1]], dtype=np.int64)
