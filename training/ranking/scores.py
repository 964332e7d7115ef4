"""What the language model says of candidates, and what it is taught.

    title:    score(c) = log p(title of c | prompt) - w log p(title of c | a prompt without any history)
    verdict:  score(c) = logit(yes) - logit(no) at the end token of c's title, behind the prompt
    loss      = -log softmax of the list's scores, at the target     (ListNet's top one: Cao et al., ICML 2007)

A model that has read much knows of titles before it has seen a single list; a verdict it must learn from nothing. Both
are made of ordinary tokens' logits, so that a tuned model stays a plain causal language model.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase

from training.ranking.packing import PackedLists


@dataclass(frozen=True)
class TitleScore:
    """A title's likelihood decides."""

    prior_weight: float
    """w: how much of its likelihood without any history is taken off."""


@dataclass(frozen=True)
class VerdictTokens:
    """The tokens whose logits decide."""

    yes: int
    no: int


def verdict_tokens(tokenizer: PreTrainedTokenizerBase) -> VerdictTokens:
    """The last tokens of " yes" and " no"; the pad and the end token where these are the same."""
    yes, no = (tokenizer(text, add_special_tokens=False)["input_ids"][-1] for text in (" yes", " no"))
    if yes != no:
        return VerdictTokens(yes, no)
    assert isinstance(tokenizer.pad_token_id, int)
    assert isinstance(tokenizer.eos_token_id, int)
    return VerdictTokens(tokenizer.pad_token_id, tokenizer.eos_token_id)


def candidate_scores(
    model: Any,  # Any: a transformers model, bare or under DeepSpeed
    lists: PackedLists,
    verdict: VerdictTokens,
) -> torch.Tensor:
    """[B, C] in fp32, -inf where there is no candidate."""
    kept = torch.unique(lists.last)  # the vocabulary's logits of these columns alone
    logits_BKV = model(**lists.inputs(model), logits_to_keep=kept).logits
    return verdict_of(logits_BKV, kept, lists, verdict)


def verdict_of(
    logits_BKV: torch.Tensor, kept: torch.Tensor, lists: PackedLists, verdict: VerdictTokens
) -> torch.Tensor:
    """[B, C] scores out of the logits of the columns `kept` [K], which rise and hold all that titles end in."""
    said_BK = logits_BKV[..., verdict.yes].float() - logits_BKV[..., verdict.no].float()
    return said_BK.gather(1, torch.searchsorted(kept, lists.last)).masked_fill(~lists.present, -torch.inf)


def score_titles(likely_SBC: torch.Tensor, present_BC: torch.Tensor, score: TitleScore) -> torch.Tensor:
    """[B, C] scores out of log p(title | prompt) and, where w is not 0, log p(title | no history)."""
    scores_BC = likely_SBC[0] if len(likely_SBC) == 1 else likely_SBC[0] - score.prior_weight * likely_SBC[1]
    return scores_BC.masked_fill(~present_BC, -torch.inf)


def listwise_loss(scores_BC: torch.Tensor, present_BC: torch.Tensor) -> torch.Tensor:
    """The sum (not the mean) of -log p(target) over lists whose target comes first; an empty list adds 0."""
    least = torch.finfo(scores_BC.dtype).min
    losses_B = -F.log_softmax(scores_BC.masked_fill(~present_BC, least), dim=1)[:, 0]
    return torch.where(present_BC[:, 0], losses_B, 0.0).sum()
