"""The prompt of a user whom the run has never seen, as `tokenize` would have written it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from launch.artifacts import read_json
from pairs.tables import Pair, Samples
from training.config import PromptsConfig
from training.prompts.assembly import Budget, assemble
from training.prompts.kindred import NeighbourRows
from training.prompts.maker import make_maker


def write_prompt(
    sample: Samples,
    neighbour_samples: Sequence[int],
    *,
    run_dir: Path,
    pair: Pair,
    train: Samples,
    tokenizer: PreTrainedTokenizerBase,
    config: PromptsConfig,
) -> tuple[list[int], int]:
    """The prompt's tokens for one sample, and how many of the neighbours (train samples, nearest first) stand in it."""
    assert len(sample) == 1, len(sample)
    maker = make_maker(tokenizer, pair, config)
    rows = train.row_of(np.array(neighbour_samples, dtype=np.int64)) if neighbour_samples else np.zeros(0, np.int64)
    near = NeighbourRows(rows=rows, offsets=np.array([0, len(rows)]))
    source = maker.source(sample, train=train, neighbours=near, with_target=False)
    reserve = read_json(run_dir / "prompts" / "meta.json")["answer_tokens"]
    budget = Budget(config.max_tokens, answer_reserve=reserve, fit_answer=False)
    prompt = assemble(maker.pieces, source.wanted(np.zeros(1, dtype=np.int64)), budget)
    return prompt.tokens.tolist(), int(prompt.neighbours_shown[0])
