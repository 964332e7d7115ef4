"""Lists to learn from: which candidates stand beside a sample's target, and how a batch of them is learnt.

A list has the target first, which the model cannot see, and `llm.negatives` others. A train sample whose target is not
among its candidates learns too, with the target put in; one of validation only counts where the target is found.
Under `llm.task: both` the same forward pass teaches to write: the target's title stands right behind the prompt.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from launch.errors import InputError
from pairs.tables import Ints, Split, load_samples
from training.config import Learn, LlmConfig
from training.ranking.candidates import CandidateLists, holds_target, lists_to_learn, read_candidates
from training.ranking.packing import PackedLists, pack
from training.ranking.scores import VerdictTokens, listwise_loss, verdict_of, verdict_tokens
from training.ranking.titles import Titles, read_titles
from training.tuning.batches import IGNORED, count_item_tokens, open_prompts

ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class ListBatch:
    """Lists of B samples and what is learnt of them."""

    lists: PackedLists
    labels: torch.Tensor  # [B, T], tokens that are learnt to be written, IGNORED elsewhere
    written: float
    """What a written token counts beside a list."""
    verdict: VerdictTokens

    def to(self, device: torch.device) -> "ListBatch":
        """The same on `device`."""
        return ListBatch(self.lists.to(device), self.labels.to(device), self.written, self.verdict)


@dataclass(frozen=True)
class ListData:
    """The lists of a split, put together when asked for; as `PromptData` otherwise."""

    dataset: Any  # Any: datasets is untyped
    place: Ints  # [N], of each sample in the dataset
    sample: Ints  # [N]
    target: Ints  # [N]
    prompt_lengths: Ints  # [N]
    lengths: Ints  # [N], tokens with the list
    learnt_lengths: Ints  # [N], lists that are learnt of each sample: 1
    titles: Titles
    verdict: VerdictTokens
    negatives: int
    seed: int
    learn: Learn | None
    """What is learnt to be written as well; None: nothing."""
    written_lengths: Ints  # [N], tokens of it

    def __len__(self) -> int:
        return len(self.place)

    def candidates(self, rows: Ints) -> CandidateLists:
        """The lists of some samples, each with its target first."""
        return lists_to_learn(
            read_candidates(self.dataset, self.place[rows]),
            sample=self.sample[rows], target=self.target[rows], negatives=self.negatives, seed=self.seed,
        )  # fmt: skip

    def batch(self, share: Ints, *, step_rows: Ints, pad: int) -> ListBatch:
        """The lists of `share`, out of the rows `step_rows` of a whole step."""
        prompts = self._prompts(share, "input_ids")
        lists = pack(prompts, self.candidates(share), self.titles, pad=pad)
        if self.learn is None:
            return ListBatch(lists, torch.full_like(lists.input_ids, IGNORED), 0.0, self.verdict)
        learnt = lists.part == 1
        if self.learn == "prompt":
            learnt |= (lists.part == 0) & (lists.position_ids > 0)
        elif self.learn == "items" and len(share):
            flags = [np.asarray(of_items) for of_items in self._prompts(share, "of_items")]
            learnt[lists.part == 0] = torch.from_numpy(np.concatenate(flags))
        labels = lists.input_ids.masked_fill(~learnt, IGNORED)
        return ListBatch(lists, labels, len(step_rows) / int(self.written_lengths[step_rows].sum()), self.verdict)

    def _prompts(self, rows: Ints, column: str) -> list[list[int]]:
        """What a column says of every token of some prompts."""
        cells = self.dataset[self.place[rows].tolist()][column] if len(rows) else []
        return [cell[:length] for cell, length in zip(cells, self.prompt_lengths[rows].tolist(), strict=True)]


def read_lists_to_learn(
    run_dir: Path, split: Split, config: LlmConfig, *, tokenizer: PreTrainedTokenizerBase, seed: int
) -> ListData:
    """The lists of prompts/SPLIT; of another split than train only those whose target is among the candidates.

    InputError where there is none.
    """
    dataset, titles = open_prompts(run_dir, split), read_titles(run_dir)
    samples = load_samples(run_dir, split)
    sample = np.asarray(dataset.data["sample"], dtype=np.int64)
    target = samples.target[samples.row_of(sample)]
    place = np.arange(len(sample))
    if split != "train":
        chunks = np.split(place, range(ROWS_AT_ONCE, len(place), ROWS_AT_ONCE))
        is_ranked = [holds_target(read_candidates(dataset, chunk), target[chunk]) for chunk in chunks]
        place = place[np.concatenate(is_ranked)]
    listed = np.asarray(pc.list_value_length(dataset.data["candidates"]), dtype=np.int64)[place]
    if not listed.any():
        missing = "any" if split == "train" else "its target"
        raise InputError(
            f"{run_dir / 'prompts' / split}: no list of candidates holds {missing}; "
            "raise prompts.graph_candidates or prompts.vote_candidates, or set llm.task=write"
        )
    prompt_lengths = np.asarray(dataset.data["prompt_length"], dtype=np.int64)[place]
    usual = float(titles.lengths.mean())  # by which samples are sorted: their lists are not drawn yet
    others = np.rint(usual * np.minimum(listed, config.negatives)).astype(np.int64)
    answers = titles.lengths[target[place]]
    learn: Learn = config.learn if split == "train" else "answer"
    written = answers
    if learn == "prompt":
        written = answers + prompt_lengths - 1
    elif learn == "items":
        written = count_item_tokens(dataset)[place]
    return ListData(
        dataset=dataset,
        place=place,
        sample=sample[place],
        target=target[place],
        prompt_lengths=prompt_lengths,
        lengths=prompt_lengths + answers + others,
        learnt_lengths=np.ones(len(place), dtype=np.int64),
        titles=titles,
        verdict=verdict_tokens(tokenizer),
        negatives=config.negatives,
        seed=seed,
        learn=learn if config.task == "both" else None,
        written_lengths=written,
    )


def list_loss(model: Any, batch: ListBatch) -> torch.Tensor:  # Any: a transformers model, bare or under DeepSpeed
    """The sum over the lists of -log p(target), and of what is written by its weight: a scalar in fp32."""
    lists = batch.lists
    labelled = torch.nonzero((batch.labels != IGNORED).any(dim=0))[:, 0]
    kept = torch.unique(torch.cat([lists.last.flatten(), labelled - 1]))
    logits_BKV = model(**lists.inputs(model), logits_to_keep=kept).logits
    loss = listwise_loss(verdict_of(logits_BKV, kept, lists, batch.verdict), lists.present)
    if len(labelled):
        before = torch.searchsorted(kept, labelled - 1)
        written = F.cross_entropy(
            logits_BKV[:, before].float().flatten(0, 1), batch.labels[:, labelled].flatten(),
            ignore_index=IGNORED, reduction="sum",
        )  # fmt: skip
        loss = loss + batch.written * written
    return loss
