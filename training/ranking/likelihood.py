"""How likely the language model would write each candidate's title, from one forward pass over all of them.

    score(c) = log p(title of c | prompt) - w log p(title of c | a prompt without any history)

With w = 1 that is the pointwise mutual information of history and title. A base model brings how likely a title is as
text, which says nothing of who wants it; a model from scratch has read nothing but this pair's purchases, and its prior
is how often a title is bought.
"""

import numpy as np
import torch
from transformers import PreTrainedModel

from pairs.tables import Ints
from retrieval.fixed_point import Floats
from training.plain_heads import CHUNK_NUMBERS, PLAIN_HEADS
from training.ranking.candidates import CandidateLists
from training.ranking.packing import PackedLists, pack
from training.ranking.titles import Titles

AT_ONCE = 64
"""Titles behind one prompt without history."""


@torch.no_grad()
def title_likelihoods(model: PreTrainedModel, lists: PackedLists) -> torch.Tensor:
    """[B, C] the sum of log p over a title's tokens, its end token with them; -inf where there is no candidate."""
    row, column = torch.nonzero(lists.part > 0, as_tuple=True)
    before = _token_before(lists)[row, column]
    said_N = _log_probabilities(model, lists, row, before, lists.input_ids[row, column])
    sums_BC = torch.zeros(lists.last.shape, device=said_N.device)
    sums_BC.index_put_((row, lists.part[row, column] - 1), said_N, accumulate=True)
    return sums_BC.masked_fill(~lists.present, -torch.inf)


class Priors:
    """log p(title | no history), each made when it is first asked for."""

    def __init__(self, model: PreTrainedModel, titles: Titles, *, pad: int, device: torch.device) -> None:
        self._model, self._titles, self._pad, self._device = model, titles, pad, device
        self._known = np.full((len(titles.empty), len(titles.lengths)), np.nan, dtype=np.float32)

    def of(self, items: Ints, domain: Ints) -> Floats:
        """[N] for items asked for as of `domain` [N]."""
        for asked in np.unique(domain).tolist():
            wanted = np.unique(items[domain == asked])
            missing = wanted[np.isnan(self._known[asked, wanted])]
            for start in range(0, len(missing), AT_ONCE):
                chunk = missing[start : start + AT_ONCE]
                one = CandidateLists(chunk, np.array([0, len(chunk)]))
                lists = pack([self._titles.empty[asked].tolist()], one, self._titles, pad=self._pad)
                self._known[asked, chunk] = title_likelihoods(self._model, lists.to(self._device))[0].cpu().numpy()
        return np.asarray(self._known[domain, items])


def _token_before(lists: PackedLists) -> torch.Tensor:
    """[B, T] the column before each token in its sequence: the prompt's last for the first of every title."""
    T = lists.part.shape[1]
    columns = torch.arange(T, device=lists.part.device).expand_as(lists.part)
    prompt_end_B = torch.where(lists.part == 0, columns, -1).max(dim=1).values
    starts = lists.part != torch.roll(lists.part, 1, dims=1)
    return torch.where(starts, prompt_end_B[:, None], columns - 1).clamp(min=0)


def _log_probabilities(
    model: PreTrainedModel, lists: PackedLists, row: torch.Tensor, before: torch.Tensor, token: torch.Tensor
) -> torch.Tensor:
    """[N] log p of tokens after the columns `before` of their rows; the vocabulary's logits of a few at a time."""
    inputs = lists.inputs(model)
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    if model.config.model_type not in PLAIN_HEADS or head is None:  # logits are more than the head's product
        said = model(**inputs).logits[row, before].float()
        return torch.log_softmax(said, dim=1).gather(1, token[:, None])[:, 0]
    hidden = model.base_model(**inputs).last_hidden_state[row, before]
    width = max(1, CHUNK_NUMBERS // model.config.vocab_size)
    parts = [
        torch.log_softmax(head(hidden[start : start + width]).float(), dim=1).gather(
            1, token[start : start + width, None]
        )[:, 0]
        for start in range(0, len(token), width)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, device=hidden.device)
