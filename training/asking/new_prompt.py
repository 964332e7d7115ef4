"""The prompt of a user whom the run has never seen, as `tokenize` would have written it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launch.artifacts import read_json
from launch.state.kept import NOTHING_KEPT, KeptArrays
from pairs.tables import Pair, Samples
from retrieval.posterior.expected import ExpectedItems
from training.answers.questions import Questions
from training.base_model import load_tokenizer_folder
from training.prompts.assembly import Budget, assemble
from training.prompts.config import PromptsConfig
from training.prompts.kindred import NeighbourRows
from training.prompts.maker import PromptMaker, make_maker
from training.ranking.candidates import join_candidates


@dataclass(frozen=True)
class PromptWriter:
    """What the prompts of a run are made of, loaded."""

    maker: PromptMaker
    known: Samples
    config: PromptsConfig
    answer_reserve: int
    """Tokens that every prompt of the run leaves for its answer."""

    def write(
        self, sample: Samples, neighbour_samples: Sequence[int], *, expected: ExpectedItems | None = None
    ) -> tuple[Questions, int]:
        """The question of one sample, and how many of the neighbours (samples of `known`, nearest first) stand in its
        prompt.

        Args:
            expected: what the evidence expects, of which come candidates.
        """
        assert len(sample) == 1, len(sample)
        config, known, first = self.config, self.known, np.zeros(1, dtype=np.int64)
        rows = known.row_of(np.array(neighbour_samples, dtype=np.int64)) if neighbour_samples else first[:0]
        near = NeighbourRows(rows=rows, offsets=np.array([0, len(rows)]))
        source = self.maker.source(sample, known=known, neighbours=near, with_target=False)
        budget = Budget(config.max_tokens, answer_reserve=self.answer_reserve, fit_answer=False)
        prompt = assemble(self.maker.pieces, source.wanted(first), budget)
        candidates = join_candidates(
            expected, source.votes(first), most_expected=config.graph_candidates,
            most_votes=config.vote_candidates, count=1,
        )  # fmt: skip
        asked = Questions(sample.sample, [prompt.tokens.tolist()], sample.domain, candidates)
        return asked, int(prompt.neighbours_shown[0])


def open_prompts(
    run_dir: Path, pair: Pair, known: Samples, config: PromptsConfig, *, kept: KeptArrays = NOTHING_KEPT
) -> PromptWriter:
    """Of a run whose prompts are made; `kept` is what it keeps of them."""
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    reserve = int(read_json(run_dir / "prompts" / "meta.json")["answer_tokens"])
    return PromptWriter(make_maker(tokenizer, pair, config, kept=kept), known, config, reserve)
