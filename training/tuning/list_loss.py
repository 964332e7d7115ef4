"""The loss of lists: the target before the others and, under `llm.task: both`, what is written of it."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from training.lessons.batches import IGNORED
from training.lessons.list_data import ListBatch
from training.ranking.likelihood import sum_titles, tokens_of_titles
from training.ranking.scores import TitleScore, VerdictTokens, listwise_loss, score_titles, verdict_of
from training.tuning.losses import said_at


@dataclass(frozen=True)
class ListOutcome:
    """What a model makes of a batch of lists."""

    loss: torch.Tensor
    """The sum over the lists of -log p(target), and of what is written by its weight: a scalar in fp32."""
    scores: torch.Tensor  # [B, C], -inf where there is no candidate

    def measured(self) -> torch.Tensor:
        """[3]: the loss; summed over lists, the share of the other candidates that the target beats, ties half (1 where
        there is no other), and whether it beats all."""
        own_B1, others_BC = self.scores[:, :1], self.scores[:, 1:]
        other_BC, is_list_B = torch.isfinite(others_BC), torch.isfinite(own_B1[:, 0])
        won_BC = torch.where(other_BC, (own_B1 > others_BC).float() + 0.5 * (own_B1 == others_BC), 0.0)
        count_B = other_BC.sum(dim=1)
        beaten_B = torch.where(count_B > 0, won_BC.sum(dim=1) / count_B.clamp(min=1), 1.0)
        first_B = won_BC.sum(dim=1) == count_B
        return torch.stack([self.loss, beaten_B[is_list_B].sum(), first_B[is_list_B].float().sum()])


def learn_lists(
    model: Any, batch: ListBatch, *, fused: bool = False
) -> ListOutcome:  # Any: a transformers model, bare or under DeepSpeed
    """One forward pass over all candidates of a batch.

    Args:
        fused: the model was given to `fuse_head`; then no table of the vocabulary's logits is held for titles.
    """
    if isinstance(batch.score, VerdictTokens):
        return _by_verdicts(model, batch, batch.score)
    return _by_titles(model, batch, batch.score, fused=fused)


def _by_titles(model: Any, batch: ListBatch, score: TitleScore, *, fused: bool) -> ListOutcome:
    lists, tokens = batch.lists, tokens_of_titles(batch.lists)
    row, column = torch.nonzero(batch.labels != IGNORED, as_tuple=True)
    at = torch.cat([tokens.row, row]), torch.cat([tokens.before, column - 1])
    labels = torch.cat([tokens.token, batch.labels[row, column]])
    said = said_at(model, lists.inputs(model), at, labels, fused=fused)
    titles_N, written = said[: len(tokens.row)], said[len(tokens.row) :]
    scores_BC = score_titles(sum_titles(titles_N, tokens, lists), lists.present, score)
    loss = listwise_loss(scores_BC / batch.temperature, lists.present) - batch.written * written.sum()
    return ListOutcome(loss, scores_BC.detach())


def _by_verdicts(model: Any, batch: ListBatch, verdict: VerdictTokens) -> ListOutcome:
    lists = batch.lists
    labelled = torch.nonzero((batch.labels != IGNORED).any(dim=0))[:, 0]
    kept = torch.unique(torch.cat([lists.last.flatten(), labelled - 1]))
    logits_BKV = model(**lists.inputs(model), logits_to_keep=kept).logits
    scores_BC = verdict_of(logits_BKV, kept, lists, verdict)
    loss = listwise_loss(scores_BC / batch.temperature, lists.present)
    if len(labelled):
        before = torch.searchsorted(kept, labelled - 1)
        written = F.cross_entropy(
            logits_BKV[:, before].float().flatten(0, 1), batch.labels[:, labelled].flatten(),
            ignore_index=IGNORED, reduction="sum",
        )  # fmt: skip
        loss = loss + batch.written * written
    return ListOutcome(loss, scores_BC.detach())
