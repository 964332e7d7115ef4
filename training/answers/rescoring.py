"""Beams ordered anew: by how much likelier a text is for this user than for nobody in particular.

    score(t) = (log p(t | prompt) - w log p(t | a prompt without any history)) / tokens ** length_penalty

Beam search finds texts that are likely; of what it found, those that any prompt would have led to say nothing of the
user. The weight is `generation.prior_weight`, as for ranked candidates.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedModel

from pairs.ragged import offsets_of
from pairs.tables import Ints
from training.answers.results import Beams
from training.prompts.pieces import Tokens
from training.ranking.likelihood import likelihoods_without_history
from training.ranking.titles import Titles


@dataclass(frozen=True)
class Rescoring:
    """What beams are compared with."""

    model: PreTrainedModel
    empty: tuple[Tokens, Tokens]
    """A prompt without any history, for each asked domain."""
    weight: float
    length_penalty: float
    pad: int
    device: torch.device

    def order(self, beams: list[Beams], domain: Ints) -> list[Beams]:
        """The beams of every prompt, which asks for `domain` [B], best first by the new scores."""
        prior = self._priors(beams, domain)
        return [self._ordered(one, prior, int(asked)) for one, asked in zip(beams, domain, strict=True)]

    def _ordered(self, beams: Beams, prior: dict[tuple[int, tuple[int, ...]], float], domain: int) -> Beams:
        lengths = np.array([len(tokens) for tokens in beams.tokens]) ** self.length_penalty
        without = np.array([prior[domain, tuple(tokens)] for tokens in beams.tokens])
        scores = np.array(beams.scores) - self.weight * without / lengths
        order = np.argsort(-scores, kind="stable").tolist()
        return replace(
            beams,
            tokens=[beams.tokens[place] for place in order],
            scores=scores[order].tolist(),
            leaves=[beams.leaves[place] for place in order],
        )

    def _priors(self, beams: list[Beams], domain: Ints) -> dict[tuple[int, tuple[int, ...]], float]:
        """log p(text | no history) by domain and text, each text read once."""
        known: dict[tuple[int, tuple[int, ...]], float] = {}
        for asked in np.unique(domain).tolist():
            written = [one for one, its in zip(beams, domain, strict=True) if its == asked]
            texts = sorted({tuple(tokens) for one in written for tokens in one.tokens})
            tokens = np.concatenate([np.array(text, dtype=np.int32) for text in texts])
            as_titles = Titles(tokens, offsets_of([len(text) for text in texts]), self.empty)
            likely = likelihoods_without_history(
                self.model, np.arange(len(texts)), as_titles, domain=asked, pad=self.pad, device=self.device
            )
            known |= {(asked, text): value for text, value in zip(texts, likely.tolist(), strict=True)}
        return known
