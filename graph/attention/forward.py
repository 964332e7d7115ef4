"""A training batch once through the attention encoders, and its losses' sums.

Every history is encoded once, however many samples have it (unless edges are dropped, which differ between them); the
graphs are propagated to the items that the batch needs. In domains above `full_softmax_items` the next-item losses are
sampled: the same drawn items for all positions, the log-Q correction (graph/sampled/negatives.py), each position's own
target always in.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from graph.attention.distinct import distinct_histories, distinct_positions
from graph.attention.losses import (
    Discriminator,
    alignment_sum,
    cross_entropy_sum,
    infomax_sum,
    mean_discrepancy,
    perturb,
)
from graph.attention.model import STREAMS, DualGraphModel, States, Tables
from graph.batches import Batch, next_items, next_of_own_domain, predicted
from graph.build import Graphs
from graph.config import GraphConfig
from graph.noise import Noise
from graph.sampled.negatives import Drawn, is_sampled

MMD_ITEMS = 512


class AttentionForward:
    """Positions P are pairs of a history and a place, U the distinct histories, D a domain's items."""

    def __init__(
        self,
        model: DualGraphModel,
        discriminators: nn.ModuleList,
        graphs: Graphs,
        batch: Batch,
        noise: Noise,
        config: GraphConfig,
    ) -> None:
        self.model, self.discriminators, self.graphs, self.batch, self.loss = (
            model, discriminators, graphs, batch, config.loss,
        )  # fmt: skip
        pad, self.drops = graphs.num_items, config.model.drop_target_edges
        self.own = distinct_histories(batch, merge=not self.drops)
        self.noise = noise.keyed(self.own.key)
        self.next_any_BL = next_items(batch, pad=pad)
        self.next_own_BL = next_of_own_domain(batch, num_x=graphs.num_x, pad=pad)
        self.drawn: tuple[Drawn | None, ...] = tuple(self._draw(domain) for domain in (0, 1))
        self.chosen_V = self._infomax_rows()
        corrupted = range(2 if self.loss.infomax_weight else 0)
        self.corrupted = [
            corrupt(self.own.history[self.chosen_V], graphs, self._noise_of_chosen(), replaced=1 - domain)
            for domain in corrupted
        ]
        self.mmd = [self._mmd_items(domain) for domain in (0, 1)] if self._compares_sets else []
        dropped = {"next_any_BL": self.next_any_BL, "next_own_BL": self.next_own_BL} if self.drops else {}
        self.tables: Tables = model.propagate(graphs, self.noise, self._items())
        asked_UL = self._asked_positions()
        self.states: States = model.encode(
            graphs, self.tables, self.own.history, self.noise, asked_BL=asked_UL, **dropped
        )

    @property
    def zero(self) -> Tensor:
        """With a gradient for what the encoders are made of."""
        return self.states.shared.sum() * 0

    @cached_property
    def next_items(self) -> tuple[Tensor, Tensor]:
        """Shared: the next item of either domain from H_S. Specific: the next of the position's own from H_S + H_D."""
        graphs, states, row_B = self.graphs, self.states, self.own.row
        learnt_L = predicted(self.next_any_BL.shape[1], self.loss.predicted_positions, row_B.device)
        sums = torch.zeros(2, device=row_B.device)
        for domain in (0, 1):
            own_ULK, is_own_UL = states.of(domain)
            asked = []
            for next_BL, allowed_UL, parts in (
                (self.next_any_BL, states.real, (states.shared,)),
                (self.next_own_BL, is_own_UL, (states.shared, own_ULK)),
            ):
                chosen_BL = allowed_UL[row_B] & learnt_L & is_of(next_BL, graphs, domain)
                b_P, l_P = torch.nonzero(chosen_BL, as_tuple=True)
                (u_P, l_P, next_P), times_P = distinct_positions(
                    row_B[b_P], l_P, next_BL[b_P, l_P], length=len(learnt_L), num_items=graphs.num_items
                )
                states_PK = torch.stack([part[u_P, l_P] for part in parts]).sum(dim=0)
                asked.append(LearntPositions(states_PK, next_P - graphs.ids(domain).start, times_P))
            sums = sums + self._next_item_sums(asked, domain)
        return sums[0], sums[1]

    def target_scores(self, row_R: Tensor, domain: int) -> Tensor:
        """Ranking scores of some samples [R, D]."""
        states_RK = self.model.user_vectors(self.states, domain)[self.own.row[row_R]]
        return self.model.scores(self.graphs, self.tables, states_RK, domain)

    def infomax(self, domain: int) -> Tensor:
        """Encode the mixed history with the other domain's items replaced, perturbed; tell it from the true one."""
        model, chosen_V, noise = self.model, self.chosen_V, self._noise_of_chosen()
        states = self.states.take(chosen_V)
        without = (self.graphs, self.next_any_BL[chosen_V]) if self.drops else None
        x_TK = model.embed(self.tables, 0, self.corrupted[domain], states.real, without=without)
        row_T, place_T = torch.nonzero(states.real, as_tuple=True)
        uniform_TK = noise.uniform_at(row_T, place_T, states.real.shape[1], x_TK.shape[1]).to(x_TK.dtype)
        x_TK = perturb(x_TK, uniform_TK, self.loss.perturbation)
        is_other_VL = states.is_y if domain == 0 else states.is_x
        corrupted_VLK = model.encoders[STREAMS[0]](x_TK, states.real, noise, is_other_VL)
        discriminator = self.discriminators[domain]
        assert isinstance(discriminator, Discriminator)
        times_V = self.own.times[chosen_V] / self.loss.infomax_share
        return infomax_sum(discriminator, states, corrupted_VLK, domain, times_V)

    def align(self) -> Tensor:
        """Distance of the halves: squared, over the real positions of X and of Y; or between samples of all items."""
        total = torch.zeros((), device=self.own.row.device)
        for stream in (1, 2):
            is_own_UL = is_of(self.own.history, self.graphs, stream - 1)
            times_P = self.own.times[:, None].expand(is_own_UL.shape)[is_own_UL]
            if self.loss.alignment == "mse":
                halves = self.model.halves(self.tables, stream, self.own.history[is_own_UL])
                total = total + alignment_sum(halves, times_P)
            else:  # the same items on every rank, in proportion to its positions
                halves = self.model.halves(self.tables, stream, self.mmd[stream - 1])
                total = total + times_P.sum() * mean_discrepancy(halves)
        return total

    @property
    def _compares_sets(self) -> bool:
        return self.loss.align_weight > 0 and self.loss.alignment == "mmd"

    def _mmd_items(self, domain: int) -> Tensor:
        ids = self.graphs.ids(domain)
        return ids.start + (self.noise.table_uniform(min(MMD_ITEMS, len(ids))) * len(ids)).long()

    def _draw(self, domain: int) -> Drawn | None:
        """Drawn on every rank, with or without positions of the domain: all ranks draw the same numbers in order."""
        negatives = self.graphs.negatives
        is_asked = self.loss.next_item_weight > 0 and is_sampled(self.loss, len(self.graphs.ids(domain)))
        if negatives is None or not is_asked:
            return None
        return negatives[domain].draw(self.noise.table_uniform(self.loss.sampled_negatives))

    def _infomax_rows(self) -> Tensor:
        """Histories that infomax looks at [V]: drawn, in a share of all."""
        num_rows, share = len(self.own.key), self.loss.infomax_share
        if share == 1:
            return torch.arange(num_rows, device=self.own.key.device)
        return torch.nonzero(self.noise.uniform(torch.Size([num_rows, 1]))[:, 0] < share)[:, 0]

    def _noise_of_chosen(self) -> Noise:
        return self.noise.aside(self.own.key[self.chosen_V])

    def _asked_positions(self) -> Tensor | None:
        """Those whose states some loss reads [U, L]; None: all."""
        history_UL, loss = self.own.history, self.loss
        if loss.predicted_positions == 0 or self._ranks:
            return None
        learnt_L = predicted(history_UL.shape[1], loss.predicted_positions, history_UL.device)
        asked_UL = learnt_L[None].repeat(len(history_UL), 1)
        if loss.infomax_weight:
            asked_UL[self.chosen_V] = True
        return asked_UL

    @property
    def _ranks(self) -> bool:
        """Whether the target is learnt, from the last states."""
        return self.loss.target_weight + self.loss.fused_weight > 0

    def _items(self) -> Tensor | None:
        """All that this batch needs the vectors of, ascending; None: every item."""
        graphs, pad = self.graphs, self.graphs.num_items
        asked = [self.own.history, *self.corrupted, *self.mmd]
        if self.drops:
            asked += [self.next_any_BL, self.next_own_BL]
        if len(self.model.head) == 0:  # the head is made of the items' vectors
            if self._ranks or None in self.drawn:
                return None
            asked += [self.next_any_BL, self.next_own_BL]
            asked += [drawn.column + graphs.ids(domain).start for domain, drawn in enumerate(self.drawn) if drawn]
        item_N = torch.unique(torch.cat([part.flatten() for part in asked]))
        kept_N: Tensor = item_N[item_N != pad]
        return kept_N

    def _next_item_sums(self, asked: list["LearntPositions"], domain: int) -> Tensor:
        """Of each kind [len(asked)]."""
        model, graphs, tables, drawn = self.model, self.graphs, self.tables, self.drawn[domain]
        smoothing = self.loss.label_smoothing
        if drawn is None:
            return torch.stack(
                [
                    cross_entropy_sum(
                        model.scores(graphs, tables, one.states, domain),
                        one.column,
                        smoothing=smoothing,
                        times_P=one.times,
                    )
                    for one in asked
                ]
            )
        states_PK, column_P = torch.cat([one.states for one in asked]), torch.cat([one.column for one in asked])
        column_N, place = torch.unique(torch.cat([drawn.column, column_P]), return_inverse=True)
        head_NK, bias_N = model.head_of(graphs, tables, domain, column_N)
        place_S, place_P = place[: len(drawn.column)], place[len(drawn.column) :]
        drawn_PS = states_PK @ nn.functional.embedding(place_S, head_NK).T + bias_N[place_S]
        target_P = (states_PK * nn.functional.embedding(place_P, head_NK)).sum(dim=1) + bias_N[place_P]
        weighted_PS = (drawn_PS + drawn.log_weight).masked_fill(drawn.column == column_P[:, None], -torch.inf)
        whole_P = torch.cat([target_P[:, None], weighted_PS], dim=1).logsumexp(dim=1)
        if smoothing:
            mean_P = (drawn_PS * drawn.log_weight.exp()).sum(dim=1) / len(graphs.ids(domain))
            target_P = (1 - smoothing) * target_P + smoothing * mean_P
        each_P = (whole_P - target_P) * torch.cat([one.times for one in asked])
        return torch.stack([part.sum() for part in torch.split(each_P, [len(one.times) for one in asked])])


@dataclass(frozen=True)
class LearntPositions:
    """Positions whose next item is learnt."""

    states: Tensor  # [P, K]
    column: Tensor  # [P], that item, counted from its domain's first
    times: Tensor  # [P], how often each counts


def corrupt(history_BL: Tensor, graphs: Graphs, noise: Noise, *, replaced: int) -> Tensor:
    """The histories with each item of one domain replaced by a random one of that domain."""
    ids = graphs.ids(replaced)
    random_BL = ids.start + (noise.uniform(history_BL.shape) * len(ids)).long()
    return torch.where(is_of(history_BL, graphs, replaced), random_BL, history_BL)


def is_of(item_BL: Tensor, graphs: Graphs, domain: int) -> Tensor:
    """Which items are of a domain."""
    ids = graphs.ids(domain)
    return (item_BL >= ids.start) & (item_BL < ids.stop)
