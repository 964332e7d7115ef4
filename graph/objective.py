"""The training loss of a batch: a row of `TERMS` for each term, how it is counted over all ranks, how all add up.

Loss = sum over terms of weight * (the term's sum over all ranks) / (its addends over all ranks). A rank divides its own
sum by everyone's count, so the ranks' losses add up to the loss of the whole batch, whatever their number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from graph.batches import Batch, next_items, next_of_own_domain, predicted
from graph.build import Graphs
from graph.config import GraphConfig, LossConfig
from graph.losses import (
    Discriminator,
    alignment_sum,
    cross_entropy_sum,
    infomax_sum,
    mean_discrepancy,
    perturb,
)
from graph.model import STREAMS
from graph.noise import Noise
from graph.ranker import GraphRanker
from graph.sampled.losses import sampled_losses

MMD_ITEMS = 512


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
    Term("next_shared", lambda w: w.next_item_weight, lambda at: at.next_items[0], lambda n: n.next_shared),
    Term("next_specific", lambda w: w.next_item_weight, lambda at: at.next_items[1], lambda n: n.next_specific),
    Term("target", lambda w: w.target_weight, lambda at: at.targets[0], lambda n: n.samples),
    Term("fused", lambda w: w.fused_weight, lambda at: at.targets[1], lambda n: n.samples),
    Term("infomax_x", lambda w: w.infomax_weight, lambda at: at.infomax(0), lambda n: n.in_both),
    Term("infomax_y", lambda w: w.infomax_weight, lambda at: at.infomax(1), lambda n: n.in_both),
    Term("align", lambda w: w.align_weight, lambda at: at.align(), lambda n: n.positions),
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
        self.ranker, self.discriminators = objective.ranker, objective.discriminators
        self.loss, self.graphs, self.batch, self.noise = objective.config.loss, graphs, batch, noise
        self.next_any_BL = next_items(batch, pad=graphs.num_items)
        self.next_own_BL = next_of_own_domain(batch, num_x=graphs.num_x, pad=graphs.num_items)
        self.drops = objective.config.model.drop_target_edges
        dropped = {"next_any_BL": self.next_any_BL, "next_own_BL": self.next_own_BL} if self.drops else {}
        self.zero = torch.zeros((), device=batch.history.device)
        if self.ranker.model is not None:
            self.tables = self.ranker.model.propagate(graphs, noise)
            self.states = self.ranker.model.encode(graphs, self.tables, batch.history, noise, **dropped)
            self.zero = self.states.shared.sum() * 0

    @cached_property
    def next_items(self) -> tuple[Tensor, Tensor]:
        """Shared: the next item of either domain from H_S. Specific: the next of the position's own from H_S + H_D."""
        graphs, states, next_any_BL, next_own_BL = self.graphs, self.states, self.next_any_BL, self.next_own_BL
        learnt_L = predicted(next_any_BL.shape[1], self.loss.predicted_positions, next_any_BL.device)
        shared: list[Tensor] = []
        specific: list[Tensor] = []
        for domain in (0, 1):
            own_BLK, is_own_BL = states.of(domain)
            for into, next_BL, allowed_BL, states_BLK in (
                (shared, next_any_BL, states.real, states.shared),
                (specific, next_own_BL, is_own_BL, states.shared + own_BLK),
            ):
                chosen_BL = allowed_BL & learnt_L & _is_of(next_BL, graphs, domain)
                scores_PD = self.ranker.attention.scores(graphs, self.tables, states_BLK[chosen_BL], domain)
                into.append(self._cross_entropy(scores_PD, next_BL[chosen_BL] - graphs.ids(domain).start))
        return shared[0] + shared[1], specific[0] + specific[1]

    @cached_property
    def targets(self) -> tuple[Tensor, Tensor]:
        """The target under the encoders' ranking scores, and under those fused with evidence without the user's own."""
        graphs, batch = self.graphs, self.batch
        target = fused = self.zero
        for domain in (0, 1):
            row_R = torch.nonzero(batch.domain == domain)[:, 0]
            if graphs.negatives is not None and is_sampled(self.loss, len(graphs.ids(domain))):
                # Drawn on every rank, with or without samples of the domain: all ranks draw the same numbers in order.
                drawn = graphs.negatives[domain].draw(self.noise.table_uniform(self.loss.sampled_negatives))
                sums = sampled_losses(
                    self.ranker, graphs, batch.take(row_R), domain, drawn, smoothing=self.loss.label_smoothing
                )
                target, fused = target + sums[0], fused + sums[1]
                continue
            column_R = batch.target[row_R] - graphs.ids(domain).start
            encoder_RD = self._encoder_scores(row_R, domain)
            if self.loss.target_weight:
                target = target + self._cross_entropy(encoder_RD, column_R)
            if self.loss.fused_weight:
                rows = batch.take(row_R)
                fused_RD = self.ranker.fuse(graphs, encoder_RD, rows.history, domain, own_user_B=rows.user)
                fused = fused + self._cross_entropy(fused_RD, column_R)
        return target, fused

    def _encoder_scores(self, row_R: Tensor, domain: int) -> Tensor:
        """What the encoders say of some rows [R, size]."""
        if self.ranker.model is None:
            return self.ranker.left_out_scores(self.graphs, self.batch.take(row_R), domain)
        return self.ranker.state_scores(self.graphs, self.tables, self.states, row_R, domain)

    def infomax(self, domain: int) -> Tensor:
        """Encode the mixed history with the other domain's items replaced, perturbed; tell it from the true one."""
        model, graphs, states = self.ranker.attention, self.graphs, self.states
        corrupted_BL = corrupt(self.batch.history, graphs, self.noise, replaced=1 - domain)
        without = (graphs, self.next_any_BL) if self.drops else None
        x_BLK = model.embed(self.tables, 0, corrupted_BL, states.real, without=without)
        x_BLK = perturb(x_BLK, self.noise.uniform(x_BLK.shape).to(x_BLK.dtype), self.loss.perturbation)
        corrupted_BLK = model.encoders[STREAMS[0]](x_BLK, states.real, self.noise)
        discriminator = self.discriminators[domain]
        assert isinstance(discriminator, Discriminator)
        return infomax_sum(discriminator, states, corrupted_BLK, domain)[0]

    def align(self) -> Tensor:
        """Distance of the halves: squared, over the real positions of X and of Y; or between samples of all items."""
        graphs, batch = self.graphs, self.batch
        total = torch.zeros((), device=batch.history.device)
        for stream in (1, 2):
            ids = graphs.ids(stream - 1)
            item_P = batch.history[_is_of(batch.history, graphs, stream - 1)]
            if self.loss.alignment == "mse":
                total = total + alignment_sum(self.ranker.attention.halves(self.tables, stream, item_P))
            else:  # the same items on every rank, in proportion to its positions
                drawn_P = ids.start + (self.noise.table_uniform(min(MMD_ITEMS, len(ids))) * len(ids)).long()
                halves = self.ranker.attention.halves(self.tables, stream, drawn_P)
                total = total + len(item_P) * mean_discrepancy(halves)
        return total

    def _cross_entropy(self, scores_PC: Tensor, target_P: Tensor) -> Tensor:
        return cross_entropy_sum(scores_PC, target_P, smoothing=self.loss.label_smoothing)


def is_sampled(loss: LossConfig, num_items: int) -> bool:
    """Whether the target's losses are estimated in a domain of so many items."""
    return loss.sampled_negatives > 0 and num_items > loss.full_softmax_items


def count_terms(graphs: Graphs, batch: Batch, loss: LossConfig) -> Tensor:
    """How many addends each term of `TERMS` has in a batch [len(TERMS)]; no model is needed for that."""
    is_x_BL, is_y_BL = (_is_of(batch.history, graphs, domain) for domain in (0, 1))
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


def corrupt(history_BL: Tensor, graphs: Graphs, noise: Noise, *, replaced: int) -> Tensor:
    """The histories with each item of one domain replaced by a random one of that domain."""
    ids = graphs.ids(replaced)
    random_BL = ids.start + (noise.uniform(history_BL.shape) * len(ids)).long()
    return torch.where(_is_of(history_BL, graphs, replaced), random_BL, history_BL)


def _is_of(item_BL: Tensor, graphs: Graphs, domain: int) -> Tensor:
    ids = graphs.ids(domain)
    return (item_BL >= ids.start) & (item_BL < ids.stop)
