"""How likely the language model would write each candidate's title, from one forward pass over all of them.

    score(c) = log p(title of c | prompt) - w log p(title of c | a prompt without any history)

With w = 1 that is the pointwise mutual information of history and title. A base model brings how likely a title is as
text, which says nothing of who wants it; a model from scratch has read nothing but this pair's purchases, and its prior
is how often a title is bought.
"""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class TitleTokens:
    """The N tokens of all titles of packed lists, each with the place where it is foretold."""

    stream: torch.Tensor  # [N]
    row: torch.Tensor  # [N]
    candidate: torch.Tensor  # [N]
    before: torch.Tensor  # [N], the column before it in its sequence: the prompt's last for the first of a title
    token: torch.Tensor  # [N]


def tokens_of_titles(lists: PackedLists) -> TitleTokens:
    """Row by row, from left to right."""
    stride = lists.stride
    row, column = torch.nonzero(lists.part.remainder(stride) * (lists.part >= 0), as_tuple=True)
    part = lists.part[row, column]
    stream = part // stride
    starts = part != lists.part[row, column - 1]
    before = torch.where(starts, _prompt_ends(lists)[stream, row], column - 1)
    return TitleTokens(stream, row, part.remainder(stride) - 1, before, lists.input_ids[row, column])


def sum_titles(said_N: torch.Tensor, tokens: TitleTokens, lists: PackedLists) -> torch.Tensor:
    """[S, B, C] the sum of log p over a title's tokens, its end token with them; 0 where there is no candidate."""
    sums_SBC = said_N.new_zeros((lists.streams, *lists.last.shape))
    return sums_SBC.index_put((tokens.stream, tokens.row, tokens.candidate), said_N, accumulate=True)


@torch.no_grad()
def title_likelihoods(model: PreTrainedModel, lists: PackedLists) -> torch.Tensor:
    """[B, C] log p(title | prompt); -inf where there is no candidate."""
    tokens = tokens_of_titles(lists)
    said_N = _log_probabilities(model, lists, tokens.row, tokens.before, tokens.token)
    return sum_titles(said_N, tokens, lists)[0].masked_fill(~lists.present, -torch.inf)


def likelihoods_without_history(
    model: PreTrainedModel, items: Ints, titles: Titles, *, domain: int, pad: int, device: torch.device
) -> Floats:
    """[N] log p(title | no history) of some titles, asked for as of `domain`."""
    likely = np.empty(len(items), dtype=np.float32)
    for start in range(0, len(items), AT_ONCE):
        chunk = items[start : start + AT_ONCE]
        one = CandidateLists(chunk, np.array([0, len(chunk)]))
        lists = pack([titles.empty[domain].tolist()], one, titles, pad=pad).to(device)
        likely[start : start + AT_ONCE] = title_likelihoods(model, lists)[0].cpu().numpy()
    return likely


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
            self._known[asked, missing] = likelihoods_without_history(
                self._model, missing, self._titles, domain=asked, pad=self._pad, device=self._device
            )
        return np.asarray(self._known[domain, items])


def _prompt_ends(lists: PackedLists) -> torch.Tensor:
    """[S, B] the last column of each stream's prompt."""
    columns = torch.arange(lists.part.shape[1], device=lists.part.device).expand_as(lists.part)
    ends = [torch.where(lists.part == stream * lists.stride, columns, 0) for stream in range(lists.streams)]
    return torch.stack(ends).max(dim=2).values


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
    return token_log_probabilities(head, hidden, token, torch.float32)


def token_log_probabilities(
    head: torch.nn.Linear, hidden: torch.Tensor, token: torch.Tensor, precision: torch.dtype
) -> torch.Tensor:
    """[N] log p of tokens that hidden states [N, H] foretell; the vocabulary's logits of a few at a time."""
    width = max(1, CHUNK_NUMBERS // head.weight.shape[0])
    parts = [
        torch.log_softmax(head(hidden[start : start + width]).to(precision), dim=1).gather(
            1, token[start : start + width, None]
        )[:, 0]
        for start in range(0, len(token), width)
    ]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=precision)
