"""Lists to learn from: which candidates stand beside a sample's target, and how a batch of them is learnt.

A list has the target first, which the model cannot see, and `llm.negatives` others. What is not among the candidates of
its sample is not put in unless `llm.added_targets` says so: such a target is what nobody would expect of its user, and
among lists of what everybody would expect a model learns soon to take the one that does not belong.
Under `llm.task: both` the same forward pass teaches to write: the target's title stands right behind the prompt.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from launch.errors import InputError
from pairs.draws import draw_rows
from pairs.tables import Ints, Split, load_samples
from training.config import Learn, LlmConfig
from training.lessons.batches import IGNORED, Work, count_item_tokens, open_prompts
from training.ranking.candidates import CandidateLists, holds_target, lists_to_learn, read_candidates
from training.ranking.packing import PackedLists, pack
from training.ranking.scores import TitleScore, VerdictTokens, verdict_tokens
from training.ranking.taught import taught_prior_weight
from training.ranking.titles import Titles, read_candidate_titles

ListScore: TypeAlias = TitleScore | VerdictTokens
ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class ListBatch:
    """Lists of B samples and what is learnt of them."""

    lists: PackedLists
    labels: torch.Tensor  # [B, T], tokens that are learnt to be written, IGNORED elsewhere
    written: float
    """What a written token counts beside a list."""
    score: ListScore
    temperature: float = 1.0
    """By which scores are divided before their softmax."""

    def to(self, device: torch.device) -> "ListBatch":
        """The same on `device`."""
        return ListBatch(self.lists.to(device), self.labels.to(device), self.written, self.score, self.temperature)


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
    domain: Ints  # [N], that is asked for
    titles: Titles
    score: ListScore
    temperature: float
    negatives: Ints  # [N], that stand beside the target; 0: it is written alone
    seed: int
    learn: Learn | None
    """What is learnt to be written as well; None: nothing."""
    written_lengths: Ints  # [N], tokens of it

    def __len__(self) -> int:
        return len(self.place)

    def work(self, rows: Ints) -> Work:
        """What `rows` cost; of what is written the titles are counted alone."""
        lengths = self.lengths[rows].astype(float)
        return Work(lengths.sum(), (lengths**2).sum(), lengths.sum() - float(self.prompt_lengths[rows].sum()))

    def candidates(self, rows: Ints) -> CandidateLists:
        """The lists of some samples, each with its target first."""
        return lists_to_learn(
            read_candidates(self.dataset, self.place[rows]),
            sample=self.sample[rows], target=self.target[rows], negatives=self.negatives[rows], seed=self.seed,
        )  # fmt: skip

    def batch(self, share: Ints, *, step_rows: Ints, pad: int) -> ListBatch:
        """The lists of `share`, out of the rows `step_rows` of a whole step."""
        prompts = self._prompts(share, "input_ids")
        empty = [self.titles.empty[d].tolist() for d in self.domain[share]] if self.has_priors else None
        lists = pack(prompts, self.candidates(share), self.titles, pad=pad, empty=empty)
        if self.learn is None:
            nothing = torch.full_like(lists.input_ids, IGNORED)
            return ListBatch(lists, nothing, 0.0, self.score, self.temperature)
        learnt = lists.part == 1
        if self.learn == "prompt":
            learnt |= (lists.part == 0) & (lists.position_ids > 0)
        elif self.learn == "items" and len(share):
            flags = [np.asarray(of_items) for of_items in self._prompts(share, "of_items")]
            learnt[lists.part == 0] = torch.from_numpy(np.concatenate(flags))
        labels = lists.input_ids.masked_fill(~learnt, IGNORED)
        written = len(step_rows) / int(self.written_lengths[step_rows].sum())
        return ListBatch(lists, labels, written, self.score, self.temperature)

    @property
    def has_priors(self) -> bool:
        """Whether titles are read without a history as well."""
        return isinstance(self.score, TitleScore) and self.score.prior_weight != 0

    def _prompts(self, rows: Ints, column: str) -> list[list[int]]:
        """What a column says of every token of some prompts."""
        cells = self.dataset[self.place[rows].tolist()][column] if len(rows) else []
        return [cell[:length] for cell, length in zip(cells, self.prompt_lengths[rows].tolist(), strict=True)]


def read_lists_to_learn(
    run_dir: Path, split: Split, config: LlmConfig, *, tokenizer: PreTrainedTokenizerBase, seed: int
) -> ListData:
    """The lists of prompts/SPLIT whose target is among the candidates, and those that `llm.added_targets` asks for.
    Where writing is taught as well the other samples of train stay, as lists of their target alone, whose loss is 0.

    InputError where there is none.
    """
    dataset, titles = open_prompts(run_dir, split), read_candidate_titles(run_dir)
    samples = load_samples(run_dir, split)
    sample = np.asarray(dataset.data["sample"], dtype=np.int64)
    target = samples.target[samples.row_of(sample)]
    is_held = _holds_target(dataset, target)
    if not is_held.any():
        otherwise = "llm.judge=loss" if config.task == "write" else "llm.task=write"
        raise InputError(
            f"{run_dir / 'prompts' / split}: no list of candidates holds its target; "
            f"raise prompts.graph_candidates or prompts.vote_candidates, or set {otherwise}"
        )
    if split == "train":
        missing = np.flatnonzero(~is_held)
        is_held[missing[draw_rows(len(missing), round(config.added_targets * len(missing)), seed=seed)]] = True
    writes = config.task == "both" and split == "train"
    place = np.arange(len(sample)) if writes else np.flatnonzero(is_held)
    listed = np.asarray(pc.list_value_length(dataset.data["candidates"]), dtype=np.int64)[place]
    negatives = np.where(is_held[place], config.negatives, 0)
    prompt_lengths = np.asarray(dataset.data["prompt_length"], dtype=np.int64)[place]
    score: ListScore = verdict_tokens(tokenizer)
    if config.score == "title":
        score = TitleScore(taught_prior_weight(config, run_dir))
    twice = 1 if isinstance(score, VerdictTokens) or score.prior_weight == 0 else 2
    usual = float(titles.lengths.mean())  # by which samples are sorted: their lists are not drawn yet
    others = np.rint(usual * np.minimum(listed, negatives)).astype(np.int64)
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
        lengths=prompt_lengths + twice * (answers + others),
        learnt_lengths=np.ones(len(place), dtype=np.int64),
        domain=samples.domain[samples.row_of(sample)][place],
        titles=titles,
        score=score,
        temperature=config.resolved_temperature,
        negatives=negatives,
        seed=seed,
        learn=learn if config.task == "both" else None,
        written_lengths=written,
    )


def _holds_target(dataset: Any, target: Ints) -> NDArray[np.bool_]:  # Any: datasets is untyped
    """[N] whether each sample's target is among its candidates."""
    places = np.split(np.arange(len(target)), range(ROWS_AT_ONCE, len(target), ROWS_AT_ONCE))
    return np.concatenate([holds_target(read_candidates(dataset, chunk), target[chunk]) for chunk in places])
