"""A training step as the released code of URLLM makes it: everything whole, most of it thrown away by masks.

Whole tables are propagated and turned into vectors for all items; five encoders work on all places of padded histories;
at each of the last places all items of both domains are scored, four times, and cross-entropies masked; gradients and
Adam are dense. Weights have the names of `Objective`'s, so that both can start alike.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.released.dense_encoder import DenseEncoder
from graph.batches import Batch, next_items, next_of_own_domain
from graph.build import Graphs
from graph.config import GraphConfig
from graph.noise import Noise

IGNORED = -100


class TorchNoise(Noise):
    """Dropout as PyTorch has it; none where the model is to be compared."""

    def __init__(self, *, still: bool) -> None:
        self.still = still

    def dropout(self, x: Tensor, p: float) -> Tensor:
        return F.dropout(x, p, training=not self.still)


class DenseModel(nn.Module):
    """The tables, the encoders and the heads."""

    def __init__(self, graphs: Graphs, config: GraphConfig) -> None:
        super().__init__()
        model, num_items = config.model, graphs.num_items
        width, self.dim, self.dropped = 2 * model.dim, model.dim, model.propagation_dropout
        self.tables = nn.ParameterDict({s: nn.Parameter(torch.zeros(num_items, model.dim)) for s in "SXY"})
        self.attribute_table = nn.Parameter(torch.zeros(num_items + graphs.num_attributes, model.attribute_dim))
        self.biases = nn.ParameterDict({s: nn.Parameter(torch.zeros(model.layers, model.dim)) for s in "SXY"})
        self.attribute_bias = nn.Parameter(torch.zeros(model.layers, model.attribute_dim))
        self.propagated_map = nn.ModuleDict({s: nn.Linear(model.attribute_dim, model.dim, bias=False) for s in "SXY"})
        self.own_map = nn.Linear(model.attribute_dim, model.dim, bias=False)
        self.encoders = nn.ModuleDict(
            {
                s: DenseEncoder(width, max_history=model.max_history, blocks=model.blocks, dropout=model.dropout)
                for s in "SXY"
            }
        )
        sizes = [len(graphs.ids(domain)) for domain in (0, 1)]
        self.head_bias = nn.ParameterList([nn.Parameter(torch.zeros(size)) for size in sizes])
        self.head = nn.ParameterList([nn.Parameter(torch.zeros(size, width)) for size in sizes])

    def vectors(self, graphs: Graphs, noise: Noise) -> list[Tensor]:
        """Of all items in each stream [I + 1, 2 d]; the last one is the padding's."""
        words_VK = self._propagated(graphs.attributes, self.attribute_table, self.attribute_bias, noise)
        num_items = graphs.num_items
        streams = []
        for name, graph in zip("SXY", (graphs.mixed, graphs.within, graphs.within), strict=True):
            table_IK = self.tables[name]
            propagated_IK = self._propagated(graph, table_IK, self.biases[name], noise)
            by_words_IK = self.propagated_map[name](words_VK[:num_items]) + self.own_map(
                self.attribute_table[:num_items]
            )
            whole_IK = math.sqrt(self.dim) * torch.cat([propagated_IK + table_IK, by_words_IK], dim=1)
            streams.append(torch.cat([whole_IK, whole_IK.new_zeros(1, whole_IK.shape[1])]))
        return streams

    def _propagated(self, graph: object, table_VK: Tensor, bias_LK: Tensor, noise: Noise) -> Tensor:
        h_VK = total_VK = table_VK
        for bias_K in bias_LK:
            h_VK = graph.neighbour_mean(noise.dropout(h_VK, self.dropped)) + bias_K  # type: ignore[attr-defined]
            total_VK = total_VK + h_VK
        return total_VK / (len(bias_LK) + 1)


class DenseStep(nn.Module):
    """The model, the discriminators and the loss."""

    def __init__(self, graphs: Graphs, config: GraphConfig) -> None:
        super().__init__()
        self.config, width = config, 2 * config.model.dim
        self.model = DenseModel(graphs, config)
        self.discriminators = nn.ModuleList([nn.Bilinear(width, width, 1) for _ in range(2)])

    def start_as(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of an `Objective`."""
        renamed = {
            name.removeprefix("ranker.").replace("form.", ""): weight.detach().clone()
            for name, weight in weights.items()
        }
        self.load_state_dict(renamed)

    def forward(
        self, graphs: Graphs, batch: Batch, corrupted: list[Tensor], uniform: list[Tensor], *, still: bool
    ) -> Tensor:
        """The loss.

        Args:
            corrupted: the histories with Y's items replaced, and X's [B, L].
            uniform: numbers in [0, 1) for the perturbations [B, L, 2 d].
            still: without dropout.
        """
        model, loss, noise, pad = self.model, self.config.loss, TorchNoise(still=still), graphs.num_items
        vectors = model.vectors(graphs, noise)
        history_BL = batch.history
        real_BL, is_x_BL = history_BL != pad, history_BL < graphs.num_x
        is_y_BL = real_BL & ~is_x_BL
        shared_BLK, x_BLK, y_BLK = (
            model.encoders[name](vectors[stream][history_BL], is_BL, noise)
            for stream, (name, is_BL) in enumerate(zip("SXY", (real_BL, is_x_BL, is_y_BL), strict=True))
        )
        next_any_BL = next_items(batch, pad=pad)
        next_own_BL = next_of_own_domain(batch, num_x=graphs.num_x, pad=pad)
        last = loss.predicted_positions or history_BL.shape[1]
        sums, counts = [shared_BLK.new_zeros(()) for _ in range(2)], [0, 0]
        for domain, (own_BLK, is_own_BL) in enumerate(((x_BLK, is_x_BL), (y_BLK, is_y_BL))):
            for kind, (states_BLK, next_BL, at_BL) in enumerate(
                ((shared_BLK, next_any_BL, real_BL), (shared_BLK + own_BLK, next_own_BL, is_own_BL))
            ):
                ids = graphs.ids(domain)
                logits_BLD = F.linear(states_BLK[:, -last:], model.head[domain], model.head_bias[domain])
                asked_BL = (at_BL & (next_BL >= ids.start) & (next_BL < ids.stop))[:, -last:]
                target_BL = torch.where(asked_BL, next_BL[:, -last:] - ids.start, IGNORED)
                sums[kind] = sums[kind] + F.cross_entropy(
                    logits_BLD.flatten(0, 1), target_BL.flatten(), ignore_index=IGNORED, reduction="sum"
                )
                counts[kind] += int(asked_BL.sum())
        total = loss.next_item_weight * (sums[0] / max(1, counts[0]) + sums[1] / max(1, counts[1]))
        both_B = is_x_BL.any(dim=1) & is_y_BL.any(dim=1)
        for domain, (own_BLK, is_own_BL, is_other_BL) in enumerate(
            ((x_BLK, is_x_BL, is_y_BL), (y_BLK, is_y_BL, is_x_BL))
        ):
            false_BLK = vectors[0][corrupted[domain]]
            noise_BLK = uniform[domain] / uniform[domain].norm(dim=2, keepdim=True).clamp_min(1e-12)
            false_BLK = false_BLK + loss.perturbation * false_BLK.sign() * noise_BLK
            false_BLK = model.encoders["S"](false_BLK, real_BL, noise)
            own_BK = _mean(own_BLK, is_own_BL)
            logits_B = [
                self.discriminators[domain](own_BK, _mean(of_BLK, is_other_BL))[:, 0]
                for of_BLK in (shared_BLK, false_BLK)
            ]
            each_B = F.softplus(-logits_B[0]) + F.softplus(logits_B[1])
            total = total + loss.infomax_weight * (each_B * both_B).sum() / 2 / both_B.sum().clamp_min(1)
        apart = shared_BLK.new_zeros(())
        for stream, is_BL in ((1, is_x_BL), (2, is_y_BL)):
            halves_BLK = vectors[stream][history_BL] / math.sqrt(model.dim)
            far_BL = (halves_BLK[..., : model.dim] - halves_BLK[..., model.dim :]).square().mean(dim=2)
            apart = apart + (far_BL * is_BL).sum()
        whole: Tensor = total + loss.align_weight * apart / real_BL.sum()
        return whole


def _mean(states_BLK: Tensor, chosen_BL: Tensor) -> Tensor:
    return (states_BLK * chosen_BL[:, :, None]).sum(dim=1) / chosen_BL.sum(dim=1, keepdim=True).clamp_min(1)
