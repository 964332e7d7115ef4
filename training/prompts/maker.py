"""Prompts of any sample of a run, as its recipe asks for: what `tokenize`, `show-prompts` and `recommend` share."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from launch.state.kept import NOTHING_KEPT, Arrays, KeptArrays
from pairs.tables import Pair, Samples, Split
from training.prompts.assembly import Budget
from training.prompts.config import PromptsConfig
from training.prompts.kindred import NeighbourRows, PromptSource, no_neighbours, read_neighbours
from training.prompts.pieces import Ints, Pieces, build_pieces

ANSWER_PERCENTILE = 95
"""So many in a hundred answers fit in what a prompt leaves for them."""


@dataclass(frozen=True)
class PromptMaker:
    """The pieces of a pair's prompts and how they are put together."""

    pieces: Pieces
    item_domain: Ints  # [I]
    config: PromptsConfig

    @property
    def answer_reserve(self) -> int:
        """Tokens that every prompt leaves for its answer."""
        return int(np.ceil(np.percentile(self.pieces.lengths[self.pieces.answer :], ANSWER_PERCENTILE)))

    def budget(self, split: Split) -> Budget:
        """How long the prompts of a split may be."""
        return Budget(self.config.max_tokens, answer_reserve=self.answer_reserve, fit_answer=split == "train")

    def source(self, samples: Samples, *, known: Samples, neighbours: NeighbourRows, with_target: bool) -> PromptSource:
        """What the prompts of `samples` could show."""
        return PromptSource(
            samples=samples,
            known=known,
            neighbours=neighbours,
            item_domain=self.item_domain,
            num_neighbours=self.config.num_neighbours,
            max_history=self.config.max_history,
            form=self.config.kindred,
            kindred_items=self.config.kindred_items,
            with_target=with_target,
        )

    def source_of_split(self, split: Split, samples: Samples, *, known: Samples, run_dir: Path) -> PromptSource:
        """The same for a split of a run; InputError where its neighbours are not there."""
        near = (
            read_neighbours(run_dir, split, samples=samples, known=known)
            if self.config.num_neighbours
            else no_neighbours(len(samples))
        )
        shown, rows = np.unique(near.rows, return_inverse=True)  # of all who may be kindred, who is: workers get a copy
        near = replace(near, rows=rows.astype(np.int64))
        return self.source(samples, known=known.take(shown), neighbours=near, with_target=split != "test")


def make_maker(
    tokenizer: PreTrainedTokenizerBase, pair: Pair, config: PromptsConfig, *, kept: KeptArrays = NOTHING_KEPT
) -> PromptMaker:
    """Tokenise everything that a pair's prompts are made of, unless the run has kept it."""

    def make() -> Arrays:
        pieces = build_pieces(
            tokenizer,
            titles=pair.items.titles,
            domains=pair.items.domain.tolist(),
            domain_names=pair.domain_names,
            max_item_tokens=config.max_item_tokens,
            system=config.system,
            order=config.order,
        )
        return {"tokens": pieces.tokens, "offsets": pieces.offsets}

    arrays = kept.arrays("prompt_pieces", make)
    pieces = Pieces(arrays["tokens"], arrays["offsets"], pair.items.num_items, config.order)
    return PromptMaker(pieces, pair.items.domain.astype(np.int64), config)
