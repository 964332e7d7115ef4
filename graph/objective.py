"""The training loss of a batch: a row of `TERMS` for each term, how it is counted over all ranks, how all add up.

Loss = sum over terms of weight * (the term's sum over all ranks) / (its addends over all ranks). A rank divides its own
sum by everyone's count, so the ranks' losses add up to the loss of the whole batch, whatever their number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from graph.attention.forward import AttentionForward, is_of
from graph.attention.losses import Discriminator, cross_entropy_sum
from graph.batches import Batch, next_of_own_domain, predicted
from graph.build import Graphs
from graph.config import GraphConfig, LossConfig
from graph.noise import Noise
from graph.ranker import GraphRanker
from graph.sampled.losses import sampled_losses
from graph.sampled.negatives import is_sampled


@dataclass(frozen=True)
class TermCounts:
    """What of a batch can be an addend of a term, each a number in a tensor."""

    next_shared: Tensor
    """Positions whose next item is learnt."""
    next_specific: Tensor
    """Those that have a next item of their own domain."""
    samples: Tensor
    in_both: Tensor
    """Histories with items of both domains."""
    positions: Tensor
    """Items in the histories."""


@dataclass(frozen=True)
class Term:
    """One term of the loss."""

    name: str
    weight: Callable[[LossConfig], float]
    sum: "Callable[[Forward], Tensor]"
    """This rank's sum; not called where the weight is 0."""
    count: Callable[[TermCounts], Tensor]


TERMS = (
    Term("next_shared", lambda w: w.next_item_weight, lambda at: at.encoded.next_items[0], lambda n: n.next_shared),
    Term("next_specific", lambda w: w.next_item_weight, lambda at: at.encoded.next_items[1], lambda n: n.next_specific),
    Term("target", lambda w: w.target_weight, lambda at: at.targets[0], lambda n: n.samples),
    Term("fused", lambda w: w.fused_weight, lambda at: at.targets[1], lambda n: n.samples),
    Term("infomax_x", lambda w: w.infomax_weight, lambda at: at.encoded.infomax(0), lambda n: n.in_both),
    Term("infomax_y", lambda w: w.infomax_weight, lambda at: at.encoded.infomax(1), lambda n: n.in_both),
    Term("align", lambda w: w.align_weight, lambda at: at.encoded.align(), lambda n: n.positions),
)
"""A new term is a row here, its weight in graph.loss, its sum in `Forward`. Rows are worked through in this order."""


class Objective(nn.Module):
    """A ranker with what only training needs. DistributedDataParallel wraps this."""

    def __init__(self, ranker: GraphRanker, config: GraphConfig) -> None:
        super().__init__()
        self.ranker = ranker
        self.config = config
        domains = (0, 1) if config.loss.infomax_weight else ()
        self.discriminators = nn.ModuleList([Discriminator(2 * config.model.dim) for _ in domains])

    def keep_rows_only(self) -> None:
        """From now on let gradients of tables, where Adam steps by rows, hold a step's rows only: sparse tensors."""
        if self.ranker.model is not None:
            self.ranker.model.by_rows = self.config.schedule.table_optimizer == "rows"

    def forward(self, graphs: Graphs, batch: Batch, noise: Noise, count_T: Tensor) -> tuple[Tensor, Tensor]:
        """This rank's part of the loss, whose sum over ranks is the loss; and each term's sum [len(TERMS)].

        Args:
            count_T: `count_terms` summed over ranks.
        """
        at = Forward(self, graphs, batch, noise)
        weights = [term.weight(self.config.loss) for term in TERMS]
        sum_T = torch.stack([term.sum(at) if weight else at.zero for term, weight in zip(TERMS, weights, strict=True)])
        weight_T = torch.tensor(weights, dtype=sum_T.dtype, device=sum_T.device)
        return (weight_T * sum_T / count_T.clamp_min(1)).sum(), sum_T.detach()


class Forward:
    """A batch once through the model, and the terms' sums over it."""

    def __init__(self, objective: Objective, graphs: Graphs, batch: Batch, noise: Noise) -> None:
        self.ranker, self.loss, self.graphs, self.batch = objective.ranker, objective.config.loss, graphs, batch
        self.noise = noise
        model = objective.ranker.model
        self._encoded = (
            None
            if model is None
            else AttentionForward(model, objective.discriminators, graphs, batch, noise, objective.config)
        )
        self.zero = torch.zeros((), device=batch.history.device) if self._encoded is None else self._encoded.zero

    @property
    def encoded(self) -> AttentionForward:
        """What only encoders of attention have."""
        assert self._encoded is not None
        return self._encoded

    @cached_property
    def targets(self) -> tuple[Tensor, Tensor]:
        """The target under the encoders' ranking scores, and under those fused with evidence without the user's own."""
        graphs, batch = self.graphs, self.batch
        target = fused = self.zero
        for domain in (0, 1):
            row_R = torch.nonzero(batch.domain == domain)[:, 0]
            if self._encoded is None and graphs.negatives and is_sampled(self.loss, len(graphs.ids(domain))):
                # Drawn on every rank, with or without samples of the domain: all ranks draw the same numbers in order.
                drawn = graphs.negatives[domain].draw(self.noise.table_uniform(self.loss.sampled_negatives))
                sums = sampled_losses(
                    self.ranker,
                    graphs,
                    batch.take(row_R),
                    domain,
                    drawn,
                    smoothing=self.loss.label_smoothing,
                    budget=self.loss.sampled_candidates,
                    noise=self.noise,
                )
                target, fused = target + sums[0], fused + sums[1]
                continue
            column_R = batch.target[row_R] - graphs.ids(domain).start
            encoder_RD = self._encoder_scores(row_R, domain)
            if self.loss.target_weight:
                target = target + self._cross_entropy(encoder_RD, column_R)
            if self.loss.fused_weight:
                rows = batch.take(row_R)
                fused_RD = self.ranker.fuse(graphs, encoder_RD, rows, domain, own_user_B=rows.user)
                fused = fused + self._cross_entropy(fused_RD, column_R)
        return target, fused

    def _encoder_scores(self, row_R: Tensor, domain: int) -> Tensor:
        """What the encoders say of some rows [R, size]."""
        if self._encoded is None:
            return self.ranker.left_out_scores(self.graphs, self.batch.take(row_R), domain)
        return self._encoded.target_scores(row_R, domain)

    def _cross_entropy(self, scores_PC: Tensor, target_P: Tensor) -> Tensor:
        return cross_entropy_sum(scores_PC, target_P, smoothing=self.loss.label_smoothing)


def count_terms(graphs: Graphs, batch: Batch, loss: LossConfig) -> Tensor:
    """How many addends each term of `TERMS` has in a batch [len(TERMS)]; no model is needed for that."""
    is_x_BL, is_y_BL = (is_of(batch.history, graphs, domain) for domain in (0, 1))
    real_BL = is_x_BL | is_y_BL
    learnt_L = predicted(real_BL.shape[1], loss.predicted_positions, real_BL.device)
    has_own_BL = next_of_own_domain(batch, num_x=graphs.num_x, pad=graphs.num_items) != graphs.num_items
    counts = TermCounts(
        next_shared=(real_BL & learnt_L).sum(),
        next_specific=(has_own_BL & learnt_L).sum(),
        samples=torch.tensor(len(batch), device=real_BL.device),
        in_both=(is_x_BL.any(dim=1) & is_y_BL.any(dim=1)).sum(),
        positions=real_BL.sum(),
    )
    return torch.stack([term.count(counts) for term in TERMS]).to(torch.float32)
