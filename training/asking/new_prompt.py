"""The prompt of a user whom the run has never seen, as `tokenize` would have written it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from launch.artifacts import read_json
from pairs.tables import Pair, Samples
from retrieval.posterior.expected import ExpectedItems
from training.answers.questions import Questions
from training.config import PromptsConfig
from training.prompts.assembly import Budget, assemble
from training.prompts.kindred import NeighbourRows
from training.prompts.maker import make_maker
from training.ranking.candidates import join_candidates


def write_prompt(
    sample: Samples,
    neighbour_samples: Sequence[int],
    *,
    run_dir: Path,
    pair: Pair,
    train: Samples,
    tokenizer: PreTrainedTokenizerBase,
    config: PromptsConfig,
    expected: ExpectedItems | None = None,
) -> tuple[Questions, int]:
    """The question of one sample, and how many of the neighbours (train samples, nearest first) stand in its prompt.

    Args:
        expected: what the evidence expects, of which come candidates.
    """
    assert len(sample) == 1, len(sample)
    maker = make_maker(tokenizer, pair, config)
    rows = train.row_of(np.array(neighbour_samples, dtype=np.int64)) if neighbour_samples else np.zeros(0, np.int64)
    near = NeighbourRows(rows=rows, offsets=np.array([0, len(rows)]))
    source = maker.source(sample, train=train, neighbours=near, with_target=False)
    reserve = read_json(run_dir / "prompts" / "meta.json")["answer_tokens"]
    budget = Budget(config.max_tokens, answer_reserve=reserve, fit_answer=False)
    prompt = assemble(maker.pieces, source.wanted(np.zeros(1, dtype=np.int64)), budget)
    candidates = join_candidates(
        expected, source.votes(np.zeros(1, dtype=np.int64)), most_expected=config.graph_candidates,
        most_votes=config.vote_candidates, count=1,
    )  # fmt: skip
    asked = Questions(sample.sample, [prompt.tokens.tolist()], sample.domain, candidates)
    return asked, int(prompt.neighbours_shown[0])
