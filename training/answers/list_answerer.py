"""Let the tuned model rank candidates: one forward pass a question, and the best ones' titles as its texts."""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from evaluation.ranked_lists import NO_ITEM, RankedLists
from pairs.tables import Ints
from retrieval.fixed_point import Floats
from training.answers.answer_lists import Answers
from training.answers.config import GenerationConfig
from training.answers.questions import Questions
from training.prompts.pieces import clean_title
from training.ranking.candidates import CandidateLists
from training.ranking.likelihood import Priors, title_likelihoods
from training.ranking.packing import pack, packed_lengths
from training.ranking.scores import VerdictTokens, candidate_scores
from training.ranking.titles import Titles


@dataclass(frozen=True)
class ListAnswerer:
    """A loaded model and the titles that it ranks."""

    model: PreTrainedModel
    titles: Titles
    names: list[str]
    """Every item's title as the catalogue has it."""
    verdict: VerdictTokens | None
    """None: by how likely each title is."""
    priors: Priors | None
    prior_weight: float
    pad: int
    device: torch.device
    config: GenerationConfig

    @property
    def settings(self) -> dict[str, object]:
        """See `Answering`."""
        score = {"score": "verdict"} if self.verdict else {"score": "likelihood", "prior_weight": self.prior_weight}
        return {"by": "rank", **score}

    def tokens(self, prompt_lengths: Ints, candidates: CandidateLists) -> Ints:
        """See `Answering`."""
        return packed_lengths(prompt_lengths, candidates, self.titles)

    def answer(self, asked: Questions) -> Answers:
        """See `Answering`. The texts are the titles of the best `num_beams` items, all of them of the asked domain."""
        scores_BC = self.scores(asked)
        items_BC = np.full(scores_BC.shape, NO_ITEM, dtype=np.int64)
        items_BC[np.isfinite(scores_BC)] = asked.candidates.items
        order_BC = np.lexsort((items_BC, -scores_BC), axis=1)[:, : self.config.list_depth]
        items_BD = np.take_along_axis(items_BC, order_BC, axis=1)
        scores_BD = np.take_along_axis(scores_BC, order_BC, axis=1)
        kept = [int(count) for count in np.isfinite(scores_BD[:, : self.config.num_beams]).sum(axis=1)]
        best = [items_BD[row, :count].tolist() for row, count in enumerate(kept)]
        return Answers(
            lists=self._filled(asked.sample, items_BD, scores_BD),
            texts=[[clean_title(self.names[item]) for item in items] for items in best],
            text_scores=[scores_BD[row, :count].tolist() for row, count in enumerate(kept)],
            grounded=best,
            in_domain=[[True] * count for count in kept],
        )

    @torch.no_grad()
    def scores(self, asked: Questions) -> Floats:
        """[B, C] of every candidate, -inf after a list's end."""
        lists = pack(asked.prompts, asked.candidates, self.titles, pad=self.pad).to(self.device)
        if self.verdict is not None:
            return candidate_scores(self.model, lists, self.verdict).cpu().numpy()
        scores_BC: Floats = title_likelihoods(self.model, lists).cpu().numpy()
        if self.priors is not None:
            candidates = asked.candidates
            prior = self.priors.of(candidates.items, asked.domain[candidates.rows])
            scores_BC[np.isfinite(scores_BC)] -= np.float32(self.prior_weight) * prior
        return scores_BC

    def _filled(self, sample: Ints, items_BD: Ints, scores_BD: Floats) -> RankedLists:
        """As wide as every list of the run, whatever the batch."""
        missing = ((0, 0), (0, self.config.list_depth - items_BD.shape[1]))
        return RankedLists(
            sample=sample,
            items=np.pad(items_BD, missing, constant_values=NO_ITEM),
            scores=np.pad(scores_BD, missing, constant_values=-np.inf),
        )
