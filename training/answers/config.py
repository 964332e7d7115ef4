"""The recipe's `generation` section: how the tuned model answers."""

from dataclasses import dataclass
from typing import Literal

from launch.options.fields import Decides, Means
from training.config import PrecisionChoice, at_least

MOST_AHEAD = 32
"""Tokens without a choice that are read at once: those of a beam that loses are read for nothing."""


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Lists by a ranking of candidates, or by beam search and the catalogue items that its texts stand for."""

    by: Decides[Literal["auto", "rank", "write"]] = "auto"
    """How the model answers; auto: it ranks where `llm.task` taught it to, else it writes. A model that was taught to
    write ranks by how likely it would write each candidate."""
    prior_weight: Decides[float | None] = None
    """How much of log p(title | no history) is taken off log p(title | prompt) in such a ranking. null: as the model
    was taught (`llm.prior_weight`), else 0 for a model from `scratch`, whose prior is this pair's popularity, and 1
    for others, whose prior is that of all they have read."""
    mode: Decides[Literal["constrained", "free"]] = "constrained"
    """`constrained`: only titles of the target domain can be written; `free`: anything, grounded afterwards."""
    num_beams: Decides[int] = 5
    """Beams kept of every sample."""
    max_new_tokens: Decides[int | None] = None
    """Longest answer in tokens; null: the 99th percentile of the titles' tokens, plus `token_margin`."""
    token_margin: Decides[int] = 4
    """Tokens added to that percentile."""
    length_penalty: Decides[float | None] = None
    """Beams are ranked by log-probability / tokens ** length_penalty. null: 0 (the probability of the whole title)
    where only titles can be written; 1 in free text, where a half-trained model's likeliest text is an empty one."""
    rescore: Decides[bool] = False
    """Order the beams of a prompt by how much likelier their texts are for it than for a prompt without history
    (`prior_weight`)."""
    list_depth: Decides[int] = 200
    """Items of a ranked list: those of the beams first, filled up by BM25 of the beams' texts."""
    batch_tokens: Means[int] = 8192
    """Prompt tokens, padding included, that a rank reads at once; memory grows with it."""
    tensor_parallel: Means[bool] = False
    """Cut every layer over the ranks, for a model that is larger than one device: all ranks answer every batch together
    and need fast links. Otherwise each holds the whole model and answers its share."""
    part_batches: Means[int] = 4
    """Batches between two part files; a killed run repeats at most this many a rank."""
    max_samples: Decides[int | None] = None
    """Generate for this many samples of a split, drawn by the seed; null: all."""
    precision: Decides[PrecisionChoice] = "auto"
    """Arithmetic of the model; auto: as in `llm.precision`."""

    def __post_init__(self) -> None:
        at_least("generation", self, 1, "num_beams", "max_new_tokens", "list_depth", "batch_tokens", "part_batches")
        at_least("generation", self, 1, "max_samples")
        at_least("generation", self, 0, "token_margin", "length_penalty", "prior_weight")

    @property
    def resolved_length_penalty(self) -> float:
        """`length_penalty`, or what null means in this mode."""
        if self.length_penalty is not None:
            return self.length_penalty
        return 0.0 if self.mode == "constrained" else 1.0
