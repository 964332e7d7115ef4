"""Prompts to learn from, and how they become tensors: left-padded, so that what is learnt of each ends in the last
column."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from launch.errors import InputError
from training.prompts.assembly import Mask
from training.prompts.pieces import Ints

IGNORED = -100


@dataclass(frozen=True)
class PromptData:
    """The prompts of a split, read from disk when asked for."""

    dataset: Any  # Any: datasets is untyped
    lengths: Ints  # [N], tokens with the answer
    learnt_lengths: Ints  # [N], tokens that are learnt: the answer, all but the first, or those of items
    items_alone: bool = False
    """Whether tokens are learnt of items alone, wherever they stand; otherwise the last of each prompt."""

    def __len__(self) -> int:
        return len(self.lengths)

    def work(self, rows: Ints) -> "Work":
        """What `rows` cost."""
        lengths = self.lengths[rows].astype(float)
        return Work(float(lengths.sum()), float((lengths**2).sum()), float(self.learnt_lengths[rows].sum()))

    def batch(self, share: Ints, *, step_rows: Ints, pad: int) -> "PaddedPrompts":
        """The prompts of `share`; those of the whole step change nothing."""
        return collate(self, share, pad=pad)


@dataclass(frozen=True)
class PaddedPrompts:
    """B prompts, left-padded to T tokens."""

    input_ids: torch.Tensor  # [B, T]
    attention_mask: torch.Tensor  # [B, T]
    position_ids: torch.Tensor  # [B, T], counted from each prompt's first token
    labels: torch.Tensor  # [B, A], the last A tokens, IGNORED where they are not learnt

    def to(self, device: torch.device) -> "PaddedPrompts":
        """The same on `device`."""
        return PaddedPrompts(
            self.input_ids.to(device),
            self.attention_mask.to(device),
            self.position_ids.to(device),
            self.labels.to(device),
        )


@dataclass(frozen=True)
class Work:
    """What a forward pass of some samples has to do."""

    tokens: float
    """That are read."""
    squares: float
    """Summed over sequences: tokens squared, of which attention looks at half."""
    scored: float
    """Tokens whose words are scored."""


class Data(Protocol):
    """What a fine-tune learns from: N samples, and how a batch of them is made."""

    @property
    def lengths(self) -> Ints:
        """[N] tokens that are read."""
        ...

    @property
    def learnt_lengths(self) -> Ints:
        """[N] what the loss is a mean over: tokens, or lists."""
        ...

    def __len__(self) -> int: ...

    def work(self, rows: Ints) -> Work:
        """What the samples `rows` cost."""
        ...

    def batch(self, share: Ints, *, step_rows: Ints, pad: int) -> "LearntBatch":
        """The samples `share` of the rows `step_rows` of a whole step; no rows give a batch whose loss is zero."""
        ...


class LearntBatch(Protocol):
    """Tensors of some samples."""

    def to(self, device: torch.device) -> Self:
        """The same on `device`."""
        ...


def open_prompts(run_dir: Path, split: str) -> Any:  # Any: datasets is untyped
    """The dataset prompts/SPLIT, memory-mapped."""
    path = run_dir / "prompts" / split
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; run `kinrec tokenize` first")
    return datasets.load_from_disk(str(path))


def read_prompts(run_dir: Path, split: str, *, items: bool = False) -> PromptData:
    """The prompts of a split and their answers; `items`: with what `learn_items` asks for."""
    columns = ["sample", "input_ids", "prompt_length", *(["of_items"] if items else [])]
    dataset = open_prompts(run_dir, split).select_columns(columns)  # a batch is made of all that is there
    table = dataset.data
    lengths = np.asarray(pc.list_value_length(table["input_ids"]), dtype=np.int64)
    return PromptData(dataset, lengths, lengths - np.asarray(table["prompt_length"], dtype=np.int64))


def learn_whole_prompts(data: PromptData) -> PromptData:
    """The same prompts with every token learnt that has one before it."""
    return replace(data, learnt_lengths=data.lengths - 1)


def learn_items(data: PromptData) -> PromptData:
    """The same prompts with the tokens of items learnt, but for those of a prompt's first line."""
    return replace(data, learnt_lengths=count_item_tokens(data.dataset), items_alone=True)


def count_item_tokens(dataset: Any) -> Ints:  # Any: datasets is untyped
    """[N] tokens of items in each row of a dataset of prompts, the answer's with them."""
    return np.concatenate([_true_values(chunk) for chunk in dataset.data["of_items"].chunks])


def _true_values(lists: pa.ListArray) -> Ints:
    """[N] how many of each list are true."""
    offsets = np.asarray(lists.offsets, dtype=np.int64)
    sums = np.concatenate([[0], np.cumsum(np.asarray(lists.values.to_numpy(zero_copy_only=False), dtype=np.int64))])
    return np.asarray(sums[offsets[1:]] - sums[offsets[:-1]], dtype=np.int64)


def collate(data: PromptData, rows: Ints, *, pad: int) -> PaddedPrompts:
    """The prompts of `rows` as one batch. No rows give one token of padding whose loss is zero: a rank without work
    must still take part in the collectives of a forward pass."""
    if len(rows) == 0:
        one = torch.ones((1, 1), dtype=torch.int64)
        return PaddedPrompts(one * pad, one, one * 0, torch.full((1, 1), IGNORED))
    table = data.dataset[rows.tolist()]
    longest = int(data.lengths[rows].max())
    longest_learnt = longest - 1 if data.items_alone else int(data.learnt_lengths[rows].max())
    input_ids = torch.full((len(rows), longest), pad)
    attention_mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    labels = torch.full((len(rows), longest_learnt), IGNORED)
    for place, (ids, learnt) in enumerate(zip(table["input_ids"], learnt_flags(data, table, rows), strict=True)):
        sequence = torch.tensor(ids)
        input_ids[place, longest - len(ids) :] = sequence
        attention_mask[place, longest - len(ids) :] = 1
        own = sequence.where(torch.from_numpy(learnt), IGNORED)[-min(len(ids), longest_learnt) :]
        labels[place, longest_learnt - len(own) :] = own
    return PaddedPrompts(input_ids, attention_mask, positions(attention_mask), labels)


def learnt_flags(data: PromptData, table: Any, rows: Ints) -> list[Mask]:  # Any: the rows `rows` of the dataset
    """Of every token of some prompts whether it is learnt."""
    if data.items_alone:
        flags = [np.array(of_items) for of_items in table["of_items"]]
        for of_prompt in flags:
            of_prompt[0] = False  # nothing is known before it
        return flags
    read = data.lengths[rows] - data.learnt_lengths[rows]
    return [np.arange(len(ids)) >= before for ids, before in zip(table["input_ids"], read.tolist(), strict=True)]


def positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """Positions [B, T] counted from each row's first real token."""
    return (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
