"""The training loss of a batch: which terms there are, how they are counted over all ranks, how they add up."""

import torch
from torch import Tensor, nn

from graph.batches import Batch, next_items, next_of_own_domain, predicted
from graph.build import Graphs
from graph.losses import (
    Discriminator,
    alignment_sum,
    cross_entropy_sum,
    infomax_sum,
    mean_discrepancy,
    perturb,
)
from graph.model import STREAMS, States, Tables
from graph.noise import Noise
from graph.presets import GraphSettings
from graph.ranker import GraphRanker

TERMS = ("next_shared", "next_specific", "target", "fused", "infomax_x", "infomax_y", "align")
MMD_ITEMS = 512


class Objective(nn.Module):
    """A ranker with what only training needs. DistributedDataParallel wraps this."""

    def __init__(self, ranker: GraphRanker, settings: GraphSettings) -> None:
        super().__init__()
        self.ranker = ranker
        self.settings = settings
        width = 2 * settings.dim
        self.discriminators = nn.ModuleList([Discriminator(width) for _ in (0, 1)] if settings.infomax_weight else [])

    def forward(self, graphs: Graphs, batch: Batch, noise: Noise, count_T: Tensor) -> tuple[Tensor, Tensor]:
        """This rank's part of the loss, whose sum over ranks is the loss; and each term's sum [len(TERMS)].

        Args:
            count_T: `count_terms` summed over ranks.
        """
        model, settings = self.ranker.model, self.settings
        next_any_BL = next_items(batch, pad=graphs.num_items)
        next_own_BL = next_of_own_domain(batch, num_x=graphs.num_x, pad=graphs.num_items)
        drops = {"next_any_BL": next_any_BL, "next_own_BL": next_own_BL} if settings.drop_target_edges else {}
        tables = model.propagate(graphs, noise)
        states = model.encode(graphs, tables, batch.history, noise, **drops)
        zero = states.shared.sum() * 0
        sums = dict.fromkeys(TERMS, zero)
        if settings.next_item_weight:
            sums["next_shared"], sums["next_specific"] = self._next_items(
                graphs, tables, states, next_any_BL, next_own_BL
            )
        sums["target"], sums["fused"] = self._targets(graphs, tables, states, batch)
        if settings.infomax_weight:
            sums["infomax_x"], sums["infomax_y"] = (
                self._infomax(graphs, tables, states, batch, noise, drops.get("next_any_BL"), domain)
                for domain in (0, 1)
            )
        if settings.align_weight:
            sums["align"] = self._align(graphs, tables, batch, noise)
        sum_T = torch.stack([sums[term] for term in TERMS])
        weight_T = torch.tensor(self._weights(), dtype=sum_T.dtype, device=sum_T.device)
        return (weight_T * sum_T / count_T.clamp_min(1)).sum(), sum_T.detach()

    def _weights(self) -> list[float]:
        s = self.settings
        return [s.next_item_weight] * 2 + [s.target_weight, s.fused_weight] + [s.infomax_weight] * 2 + [s.align_weight]

    def _next_items(
        self, graphs: Graphs, tables: Tables, states: States, next_any_BL: Tensor, next_own_BL: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shared: the next item of either domain from H_S. Specific: the next of the position's own from H_S + H_D."""
        learnt_L = predicted(next_any_BL.shape[1], self.settings.predicted_positions, next_any_BL.device)
        shared: list[Tensor] = []
        specific: list[Tensor] = []
        for domain in (0, 1):
            own_BLK, is_own_BL = states.of(domain)
            for into, next_BL, allowed_BL, states_BLK in (
                (shared, next_any_BL, states.real, states.shared),
                (specific, next_own_BL, is_own_BL, states.shared + own_BLK),
            ):
                chosen_BL = allowed_BL & learnt_L & _is_of(next_BL, graphs, domain)
                scores_PD = self.ranker.model.scores(graphs, tables, states_BLK[chosen_BL], domain)
                into.append(self._cross_entropy(scores_PD, next_BL[chosen_BL] - graphs.ids(domain).start))
        return shared[0] + shared[1], specific[0] + specific[1]

    def _targets(self, graphs: Graphs, tables: Tables, states: States, batch: Batch) -> tuple[Tensor, Tensor]:
        """The target under the encoders' ranking scores, and under those fused with evidence without the user's own."""
        settings, nothing = self.settings, states.shared.sum() * 0
        target, fused = nothing, nothing
        if not settings.target_weight and not settings.fused_weight:
            return target, fused
        for domain in (0, 1):
            row_R = torch.nonzero(batch.domain == domain)[:, 0]
            column_R = batch.target[row_R] - graphs.ids(domain).start
            encoder_RD = self.ranker.encoder_scores(graphs, tables, states, row_R, domain)
            if settings.target_weight:
                target = target + self._cross_entropy(encoder_RD, column_R)
            if settings.fused_weight:
                rows = batch.take(row_R)
                fused_RD = self.ranker.fuse(graphs, encoder_RD, rows.history, domain, own_user_B=rows.user)
                fused = fused + self._cross_entropy(fused_RD, column_R)
        return target, fused

    def _infomax(
        self,
        graphs: Graphs,
        tables: Tables,
        states: States,
        batch: Batch,
        noise: Noise,
        next_any_BL: Tensor | None,
        domain: int,
    ) -> Tensor:
        """Encode the mixed history with the other domain's items replaced, perturbed; tell it from the true one."""
        model = self.ranker.model
        corrupted_BL = corrupt(batch.history, graphs, noise, replaced=1 - domain)
        without = None if next_any_BL is None else (graphs, next_any_BL)
        x_BLK = model.embed(tables, 0, corrupted_BL, states.real, without=without)
        x_BLK = perturb(x_BLK, noise.uniform(x_BLK.shape).to(x_BLK.dtype), self.settings.perturbation)
        corrupted_BLK = model.encoders[STREAMS[0]](x_BLK, states.real, noise)
        discriminator = self.discriminators[domain]
        assert isinstance(discriminator, Discriminator)
        return infomax_sum(discriminator, states, corrupted_BLK, domain)[0]

    def _align(self, graphs: Graphs, tables: Tables, batch: Batch, noise: Noise) -> Tensor:
        """Distance of the halves: squared, over the real positions of X and of Y; or between samples of all items."""
        total = torch.zeros((), device=batch.history.device)
        for stream in (1, 2):
            ids = graphs.ids(stream - 1)
            item_P = batch.history[_is_of(batch.history, graphs, stream - 1)]
            if self.settings.alignment == "mse":
                total = total + alignment_sum(self.ranker.model.halves(tables, stream, item_P))
            else:  # the same items on every rank, in proportion to its positions
                drawn_P = ids.start + (noise.table_uniform(min(MMD_ITEMS, len(ids))) * len(ids)).long()
                halves = self.ranker.model.halves(tables, stream, drawn_P)
                total = total + len(item_P) * mean_discrepancy(halves)
        return total

    def _cross_entropy(self, scores_PC: Tensor, target_P: Tensor) -> Tensor:
        return cross_entropy_sum(scores_PC, target_P, smoothing=self.settings.label_smoothing)


def count_terms(graphs: Graphs, batch: Batch, settings: GraphSettings) -> Tensor:
    """How many addends each term of `TERMS` has in a batch [len(TERMS)]; no model is needed for that."""
    is_x_BL, is_y_BL = (_is_of(batch.history, graphs, domain) for domain in (0, 1))
    real_BL = is_x_BL | is_y_BL
    learnt_L = predicted(real_BL.shape[1], settings.predicted_positions, real_BL.device)
    has_own_BL = next_of_own_domain(batch, num_x=graphs.num_x, pad=graphs.num_items) != graphs.num_items
    shared, specific = (real_BL & learnt_L).sum(), (has_own_BL & learnt_L).sum()
    both = (is_x_BL.any(dim=1) & is_y_BL.any(dim=1)).sum()
    samples = torch.tensor(len(batch), device=real_BL.device)
    return torch.stack([shared, specific, samples, samples, both, both, real_BL.sum()]).to(torch.float32)


def corrupt(history_BL: Tensor, graphs: Graphs, noise: Noise, *, replaced: int) -> Tensor:
    """The histories with each item of one domain replaced by a random one of that domain."""
    ids = graphs.ids(replaced)
    random_BL = ids.start + (noise.uniform(history_BL.shape) * len(ids)).long()
    return torch.where(_is_of(history_BL, graphs, replaced), random_BL, history_BL)


def _is_of(item_BL: Tensor, graphs: Graphs, domain: int) -> Tensor:
    ids = graphs.ids(domain)
    return (item_BL >= ids.start) & (item_BL < ids.stop)
