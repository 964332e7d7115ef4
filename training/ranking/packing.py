"""Prompts with the titles of their candidates behind them, so that one forward pass reads every title once.

    [padding] prompt, title of candidate 1, title of candidate 2, ...

A title sees the prompt and itself, and its positions go on from the prompt's end: as if it alone stood there. So
scores do not depend on the order of the candidates, nor on which others there are. Behind all that the same titles may
stand once more, after a prompt without any history: the second stream of a row, of which the first sees nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from pairs.ragged import offsets_of, places_of, segments
from pairs.tables import Ints
from training.ranking.candidates import CandidateLists
from training.ranking.titles import Titles

NOTHING = -1
"""The part of a packed row that is padding. In a row of at most C candidates 0 is the prompt and c + 1 the title of
candidate c; those of a second stream are C + 1 more."""


@dataclass(frozen=True)
class PackedLists:
    """B prompts with at most C candidates each, padded on the left to T tokens."""

    input_ids: torch.Tensor  # [B, T]
    position_ids: torch.Tensor  # [B, T]
    part: torch.Tensor  # [B, T], NOTHING, 0 or 1 + the candidate's place
    last: torch.Tensor  # [B, C], where each title of the first stream ends; 0 where there is no candidate
    present: torch.Tensor  # [B, C]
    streams: int = 1
    """2 where every title stands behind a prompt without history as well."""

    def to(self, device: torch.device) -> "PackedLists":
        """The same on `device`."""
        tables = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: table.to(device) for name, table in tables.items() if name != "streams"})

    @property
    def stride(self) -> int:
        """Parts of one stream."""
        return self.last.shape[1] + 1

    def inputs(self, model: Any) -> dict[str, Any]:  # Any: a transformers model, bare or under DeepSpeed; its arguments
        """What `model` is called with."""
        return packed_inputs(model, self.input_ids, self.position_ids, self.part, stride=self.stride)


def pack(
    prompts: Sequence[Sequence[int]],
    candidates: CandidateLists,
    titles: Titles,
    *,
    pad: int,
    empty: Sequence[Sequence[int]] | None = None,
) -> PackedLists:
    """Prompts of B samples and their candidates. No prompt at all gives one token of padding: a rank without work must
    still take part in the collectives of a forward pass.

    Args:
        empty: for each sample the prompt without history that its titles shall stand behind as well.
    """
    if not prompts:
        one = torch.zeros((1, 1), dtype=torch.int64)
        return PackedLists(one + pad, one, one + NOTHING, one, one > 0)
    assert len(prompts) == len(candidates)
    title_lengths = titles.lengths[candidates.items]
    streams = [prompts] if empty is None else [prompts, empty]
    total = sum(packed_lengths(_counts(stream), candidates, titles) for stream in streams)
    B, T, C = len(prompts), int(np.max(total)), max(1, int(candidates.lengths.max()))
    ids, positions = np.full((B, T), pad, dtype=np.int64), np.zeros((B, T), dtype=np.int64)
    part, last = np.full((B, T), NOTHING, dtype=np.int64), np.zeros((B, C), dtype=np.int64)
    for row in range(B):
        of_row = slice(*candidates.offsets[row : row + 2])
        lengths = title_lengths[of_row]
        tokens = titles.tokens[segments(titles.offsets[candidates.items[of_row]], lengths)]
        title_parts = np.repeat(np.arange(len(lengths)) + 1, lengths)
        end = T
        for stream in reversed(range(len(streams))):
            prompt = streams[stream][row]
            middle = end - len(tokens)
            start = middle - len(prompt)
            ids[row, start:middle], ids[row, middle:end] = prompt, tokens
            positions[row, start:middle] = np.arange(len(prompt))
            positions[row, middle:end] = len(prompt) + places_of(lengths)
            part[row, start:middle] = stream * (C + 1)
            part[row, middle:end] = stream * (C + 1) + title_parts
            end = start
            if stream == 0:
                last[row, : len(lengths)] = middle + np.cumsum(lengths) - 1
    present = np.arange(C)[None, :] < candidates.lengths[:, None]
    return PackedLists(
        input_ids=torch.from_numpy(ids),
        position_ids=torch.from_numpy(positions),
        part=torch.from_numpy(part),
        last=torch.from_numpy(last),
        present=torch.from_numpy(present),
        streams=len(streams),
    )


def packed_inputs(
    model: Any, ids: torch.Tensor, positions: torch.Tensor, part: torch.Tensor, *, stride: int
) -> dict[str, Any]:  # Any: a transformers model, bare or under DeepSpeed; its arguments
    """What `model` is called with to read rows [B, T] of parts."""
    mask = sight(part, stride=stride, dtype=next(model.parameters()).dtype)
    return {"input_ids": ids, "position_ids": positions, "attention_mask": mask, "use_cache": False}


def sight(part: torch.Tensor, *, stride: int, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, T, T], to be added: 0 where a token (row) sees another (column), else the least number of `dtype`.

    part: [B, T], NOTHING for padding; a token sees those before it of its own part and of its stream's first, which is
    the multiple of `stride` below.
    """
    asking, asked = part[:, :, None], part[:, None, :]
    first = asking.div(stride, rounding_mode="floor") * stride
    places = torch.arange(part.shape[1], device=part.device)
    # Padding sees padding, which makes no NaN.
    seen = (places[:, None] >= places[None, :]) & ((asked == first) | (asked == asking))
    return torch.where(seen, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]


def packed_lengths(prompt_lengths: Ints, candidates: CandidateLists, titles: Titles) -> Ints:
    """[B] tokens of each prompt with its candidates."""
    ends = offsets_of(titles.lengths[candidates.items])
    return np.asarray(prompt_lengths + ends[candidates.offsets[1:]] - ends[candidates.offsets[:-1]], dtype=np.int64)


def _counts(prompts: Sequence[Sequence[int]]) -> Ints:
    return np.array([len(prompt) for prompt in prompts], dtype=np.int64)
