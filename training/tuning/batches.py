"""Which prompts form a step, who computes them, and how they become tensors.

The samples of a step follow from (seed, step) alone, whatever the number of ranks; ranks and micro-steps only share
them out. Batches are left-padded, so that what is learnt of each ends in the last column.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from launch.distributed import World
from launch.errors import InputError
from training.prompts.pieces import Ints

WINDOW = 50  # global batches among which lengths are sorted: little padding, still a random order
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


class Plan:
    """The samples of every step."""

    def __init__(self, lengths: Ints, *, global_batch: int, seed: int) -> None:
        self._lengths = lengths
        self._global_batch = global_batch
        self._seed = seed
        self._epoch: tuple[int, list[Ints]] = (-1, [])
        self.steps_per_epoch = -(-len(lengths) // global_batch)
        """Steps of one pass over the samples; one of them may be smaller."""

    def rows(self, step: int) -> Ints:
        """The samples of `step` (from 0), longest first."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        return self._epoch[1][place]

    def _batches(self, epoch: int) -> list[Ints]:
        """Every sample once: shuffled, sorted by length within windows, cut into steps, the steps shuffled."""
        rng = np.random.default_rng((self._seed, epoch))
        order = rng.permutation(len(self._lengths))
        window = WINDOW * self._global_batch
        batches: list[Ints] = []
        for start in range(0, len(order), window):
            part = order[start : start + window]
            part = part[np.argsort(-self._lengths[part], kind="stable")]
            batches.extend(part[cut : cut + self._global_batch] for cut in range(0, len(part), self._global_batch))
        return [batches[place] for place in rng.permutation(len(batches))]


def shares(rows: Ints, *, micro_steps: int, per_device_batch: int, world: World) -> Iterator[Ints]:
    """This rank's rows of each micro-step. Neighbours in length go to the ranks of the same micro-step; a share may
    be empty, but every rank gets as many shares as the others."""
    width = per_device_batch * world.size
    assert len(rows) <= micro_steps * width
    for start in range(0, micro_steps * width, width):
        yield rows[start : start + width][world.rank :: world.size]


def collate(data: PromptData, rows: Ints, *, pad: int) -> PaddedPrompts:
    """The prompts of `rows` as one batch. No rows give one token of padding whose loss is zero: a rank without work
    must still take part in the collectives of a forward pass."""
    if len(rows) == 0:
        one = torch.ones((1, 1), dtype=torch.int64)
        return PaddedPrompts(one * pad, one, one * 0, torch.full((1, 1), IGNORED))
    table = data.dataset[rows.tolist()]
    tokens, longest = table["input_ids"], int(data.lengths[rows].max())
    longest_learnt = longest - 1 if data.items_alone else int(data.learnt_lengths[rows].max())
    input_ids = torch.full((len(rows), longest), pad)
    attention_mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    labels = torch.full((len(rows), longest_learnt), IGNORED)
    for place, (ids, learnt) in enumerate(zip(tokens, data.learnt_lengths[rows].tolist(), strict=True)):
        sequence = torch.tensor(ids)
        input_ids[place, longest - len(ids) :] = sequence
        attention_mask[place, longest - len(ids) :] = 1
        if data.items_alone:
            labels[place, longest - len(ids) :] = sequence[1:].where(
                torch.tensor(table["of_items"][place])[1:], IGNORED
            )
        else:
            labels[place, longest_learnt - learnt :] = sequence[len(ids) - learnt :]
    return PaddedPrompts(input_ids, attention_mask, positions(attention_mask), labels)


def positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """Positions [B, T] counted from each row's first real token."""
    return (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
